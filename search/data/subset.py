"""A subset of the development records: whole patients, every class in its proportion.

Nothing is drawn at random: patients are put in order by SHA-256 of what the data set calls them, so that the
same records make the same subset on every machine, whatever the seed of the study.
"""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.data.catalogue import Catalogue
from search.errors import DataError, UsageError

_ADVICE = "--records is a share below 100% such as 10%, or a number of records such as 2000"


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """Size of a subset: a share of all records, or an approximate number."""

    share: float | None = None
    """Share between 0 and 1."""
    number: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Amount":
        """The amount that a user wrote.

        Raises:
            UsageError: it is none.
        """
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*", text, re.ASCII)
        if found is not None and found[2] and 0 < float(found[1]) < 100:
            return cls(share=float(found[1]) / 100)
        if found is not None and not found[2] and found[1].isdigit() and int(found[1]) > 0:
            return cls(number=int(found[1]))
        raise UsageError(f"{_ADVICE}, got {text!r}")

    def __str__(self) -> str:
        return f"{self.number}" if self.share is None else f"{100 * self.share:.10g}%"

    def of(self, n_records: int) -> float:
        """The share of so many records.

        Raises:
            DataError: there are not more than the number that was asked for.
        """
        if self.share is not None:
            return self.share
        assert self.number is not None
        if self.number >= n_records:
            raise DataError(
                f"--records {self.number}: the data set has {n_records:,} to train on: "
                "leave --records out to use them all"
            )
        return self.number / n_records


def draw(catalogue: Catalogue, amount: Amount) -> Catalogue:
    """The subset of a catalogue.

    Patients are sorted by CV group, by the rarest class of the finest tier that they have, by their number
    of rows, and by the hash of their name; of that list every k-th is taken (systematic sampling after
    implicit stratification), so that groups, classes and patients with many rows keep their proportions as
    nearly as whole patients allow.

    Args:
        catalogue: development rows, N of them.
        amount: how many of them.

    Raises:
        DataError: there are not so many, or a CV group would be left without a patient.
    """
    share = amount.of(len(catalogue))
    patients, first, patient_of_row, n_rows = np.unique(
        catalogue.patient_id, return_index=True, return_inverse=True, return_counts=True
    )
    group = catalogue.fold_plan.group_of(catalogue.strat_fold)[first]
    names = [str(catalogue.patient_names.get(patient, patient)) for patient in patients.tolist()]
    order = np.lexsort((_places(names), n_rows, _rarest_class(catalogue, patient_of_row), group))
    taken = np.floor(share * np.arange(1, len(order) + 1) + 0.5).astype(np.int64)
    is_chosen = np.zeros(len(order), dtype=np.bool_)
    is_chosen[order] = np.diff(taken, prepend=0) > 0
    if lost := set(group.tolist()) - set(group[is_chosen].tolist()):
        raise DataError(
            f"--records {amount} of {len(catalogue):,} {catalogue.unit}s of {len(order):,} patients leaves "
            f"none in CV fold {min(lost) + 1}: give a larger share"
        )
    return catalogue.select(is_chosen[patient_of_row])


def _rarest_class(catalogue: Catalogue, patient_of_row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of the rarest class of every patient, 0 for the rarest of all; the last for those without any."""
    y_NC = catalogue.labels(catalogue.hierarchy.finest)
    by_frequency = np.argsort(y_NC.sum(axis=0), kind="stable")
    ranked_NC = y_NC[:, by_frequency]
    n_classes = ranked_NC.shape[1]
    rank_N = np.where(ranked_NC.any(axis=1), ranked_NC.argmax(axis=1), n_classes)
    rarest = np.full(int(patient_of_row.max()) + 1, n_classes, dtype=np.int64)
    np.minimum.at(rarest, patient_of_row, rank_N)
    return rarest


def _places(names: list[str]) -> NDArray[np.uint64]:
    """A number for each name, the same everywhere."""
    hashes = [hashlib.sha256(f"subset\n{name}".encode()).digest()[:8] for name in names]
    return np.array([int.from_bytes(each, "big") for each in hashes], dtype=np.uint64)
