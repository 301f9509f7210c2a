"""Soft targets: a teacher's probabilities for the training part of every fold, from models not trained on the
rest.

Shapes: N record, C class.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from search.errors import DataError

if TYPE_CHECKING:
    from search.data.folds import Fold

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SoftTargets:
    """Probabilities of a teacher, by fold."""

    name: str
    """Value of the axis `teacher`."""
    ecg_id: Mapping[int, NDArray[np.int64]]
    """Ids of the records of the training part of each fold, shape (N,)."""
    probabilities: Mapping[int, Mapping[str, Floats]]
    """Soft targets by fold and tier, shape (N, C)."""

    def for_fold(self, fold: Fold, ecg_id: NDArray[np.int64], tier: str) -> Floats:
        """Probabilities for all records of a data set, NaN for those that the fold is not trained on.

        For a fold that validates nothing, as in an evaluation on the sealed fold alone, they are the mean
        over the folds in whose training part a record is.

        Args:
            fold: training and validation rows.
            ecg_id: ids of all rows, shape (N,).
            tier: of the classes.

        Raises:
            DataError: the teacher has a prediction for a validation record of the student, or none for a
                training record.
        """
        numbers = [fold.number] if len(fold.validation) else sorted(self.ecg_id)
        asked = np.concatenate([self.ecg_id[number] for number in numbers])
        n_leaked = np.count_nonzero(np.isin(ecg_id[fold.validation], asked))
        if n_leaked:
            raise DataError(
                f"teacher {self.name} has predictions for {n_leaked:,} records that validate fold "
                f"{fold.number}: its soft targets are damaged, make the study anew"
            )
        n_lacking = np.count_nonzero(~np.isin(ecg_id[fold.train], asked))
        if n_lacking:
            raise DataError(
                f"teacher {self.name} has no predictions for {n_lacking:,} records of the training part of "
                f"fold {fold.number}: its soft targets are damaged, make the study anew"
            )
        sums_NC = np.zeros((len(ecg_id), self.probabilities[numbers[0]][tier].shape[1]), np.float64)
        n_N = np.zeros(len(ecg_id), np.int64)
        for number in numbers:
            place = {each: row for row, each in enumerate(self.ecg_id[number].tolist())}
            rows = np.array([row for row, each in enumerate(ecg_id.tolist()) if each in place], np.int64)
            given = [place[each] for each in ecg_id[rows].tolist()]
            sums_NC[rows] += self.probabilities[number][tier][given]
            n_N[rows] += 1
        with np.errstate(invalid="ignore"):
            mean_NC: Floats = (sums_NC / n_N[:, None]).astype(np.float32)
        return mean_NC

    def packed(self) -> bytes:
        """The content of a file; `unpacked` is the inverse."""
        arrays: dict[str, NDArray[np.int64] | NDArray[np.float32]] = {}
        for number, ids in self.ecg_id.items():
            arrays[f"ecg_id {number}"] = ids
            arrays |= {f"p {number} {tier}": p for tier, p in self.probabilities[number].items()}
        file = io.BytesIO()
        np.savez_compressed(file, name=np.array(json.dumps(self.name)), **arrays)  # type: ignore[arg-type]
        return file.getvalue()


def unpacked(content: bytes) -> SoftTargets:
    """Soft targets of a file.

    Raises:
        DataError: it is no such file, or damaged.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files}
        name = str(json.loads(str(found.pop("name"))))
        ecg_id = {int(key.split(" ")[1]): ids for key, ids in found.items() if key.startswith("ecg_id ")}
        probabilities: dict[int, dict[str, Floats]] = {number: {} for number in ecg_id}
        for key, p_NC in found.items():
            if key.startswith("p "):
                _, number, tier = key.split(" ", 2)
                probabilities[int(number)][tier] = p_NC
    except (OSError, ValueError, KeyError, IndexError, BadZipFile) as error:
        raise DataError(
            f"the soft targets of a teacher are damaged ({error}): make the study anew"
        ) from error
    return SoftTargets(name=name, ecg_id=ecg_id, probabilities=probabilities)


def by_name(found: Sequence[SoftTargets]) -> dict[str, SoftTargets]:
    """Soft targets by the value of the axis `teacher`."""
    return {each.name: each for each in found}
