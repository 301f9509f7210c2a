"""Cross-validation groups: fixed, patient-safe, and the test fold sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.errors import DataError

CV_GROUPS: Final = ((1, 2), (3, 4), (5, 6), (7, 8), (9,))
"""PTB-XL's strat_folds that are held out together: nine folds do not divide by five."""

SEALED_FOLD: Final = 10
"""PTB-XL's test fold: only `evaluate` opens it, once per model."""

INTER_PATIENT: Final = "inter-patient"
"""The split of every data set unless another is asked for: no patient is on both sides."""

INTRA_PATIENT: Final = "intra-patient"
"""Folds drawn row by row, so that models are scored on people they were trained on."""

_N_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldPlan:
    """Purposes of the folds of a data set.

    Attributes:
        column: Name of the column of folds.
        groups: Folds that are held out together, one group for each of the five CV folds.
        sealed: The test fold, the largest number.
        sealed_label: The test fold in a table with one row per fold.
        sealed_name: The test fold in a sentence.
    """

    column: str
    groups: tuple[tuple[int, ...], ...]
    sealed: int
    sealed_label: str
    sealed_name: str

    @property
    def sealed_key(self) -> str:
        """The test fold in a JSON document: fold10, or test where it has no number of its own."""
        return f"fold{self.sealed_label}" if self.sealed_label.isdigit() else self.sealed_label

    @property
    def patients_needed(self) -> str:
        """Advice on how a data set can be split."""
        return (
            f"{len(self.groups)} CV folds and {self.sealed_name} need records of at least "
            f"{len(self.groups) + 1} patients, some in every fold"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Every fold in a table, the sealed one last."""
        return (*map(str, range(1, self.sealed)), self.sealed_label)

    def group_of(self, fold: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the CV group of each row, shape (N,); `len(groups)` for the sealed fold.

        Raises:
            DataError: There is no such fold.
        """
        bad = fold[(fold < 1) | (fold > self.sealed)]
        if len(bad):
            raise DataError(f"{self.column} {bad[0]} does not exist; it must be 1 to {self.sealed}")
        group = np.full(self.sealed + 1, len(self.groups), dtype=np.int64)
        for index, members in enumerate(self.groups):
            group[list(members)] = index
        return group[fold]


PTBXL_FOLDS: Final = FoldPlan(
    column="strat_fold",
    groups=CV_GROUPS,
    sealed=SEALED_FOLD,
    sealed_label=str(SEALED_FOLD),
    sealed_name=f"fold {SEALED_FOLD}",
)
"""PTB-XL's ten folds (Wagner et al. 2020: fold 10 is the test fold)."""

FIVE_FOLDS: Final = FoldPlan(
    column="fold",
    groups=((1,), (2,), (3,), (4,), (5,)),
    sealed=6,
    sealed_label="test",
    sealed_name="the test fold",
)
"""Five folds and a test fold, for data sets whose folds are made here."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fold:
    """One of the five CV folds.

    Attributes:
        number: 1 to 5.
        train: Row numbers of the development rows to train on, ascending.
        validation: Row numbers of the development rows to score on, ascending.
    """

    number: int
    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def cv_folds(strat_fold: NDArray[np.int64], plan: FoldPlan) -> tuple[Fold, ...]:
    """The five folds over the development rows; every row is in exactly one validation part.

    Args:
        strat_fold: The data set's fold of each development row, shape (N,).
        plan: What these folds are for.

    Raises:
        DataError: A row of the sealed fold is among them, or a group has no row.
    """
    group = plan.group_of(strat_fold)
    n_sealed = int(np.count_nonzero(group == len(plan.groups)))
    if n_sealed:
        raise DataError(
            f"{n_sealed:,} rows of {plan.column} {plan.sealed_label} were handed to cross-validation; "
            "it is the test fold: leave them out and use `evaluate`"
        )
    folds = []
    for index, members in enumerate(plan.groups):
        held_out = group == index
        if not held_out.any():
            raise DataError(
                f"nothing in {plan.column} {' or '.join(map(str, members))}, so CV fold {index + 1} is "
                f"empty; {plan.patients_needed}"
            )
        folds.append(
            Fold(number=index + 1, train=np.flatnonzero(~held_out), validation=np.flatnonzero(held_out))
        )
    return tuple(folds)


def shared_patients(
    patient_id: NDArray[np.int64], strat_fold: NDArray[np.int64], plan: FoldPlan
) -> NDArray[np.int64]:
    """Patients with rows in more than one CV group, or in the sealed fold and elsewhere; ascending."""
    pairs = np.unique(np.stack([patient_id, plan.group_of(strat_fold)]), axis=1)
    patients, n_groups = np.unique(pairs[0], return_counts=True)
    return patients[n_groups > 1]


def check_patient_safety(
    patient_id: NDArray[np.int64],
    strat_fold: NDArray[np.int64],
    plan: FoldPlan,
    names: Mapping[int, str] | None = None,
) -> None:
    """Make sure that no patient is trained on in one fold and scored in another.

    Args:
        patient_id: Patient of each row, shape (N,).
        strat_fold: Fold of each row, shape (N,).
        plan: What the folds are for.
        names: What to call patients in messages, by their numbers; the numbers where there is no name.

    Raises:
        DataError: Names patients that are in several groups, with their folds.
    """
    shared = shared_patients(patient_id, strat_fold, plan)
    if len(shared) == 0:
        return
    named = []
    for patient in shared[:_N_SHOWN].tolist():
        folds = _listing(np.unique(strat_fold[patient_id == patient]).tolist(), plan)
        named.append(f"{(names or {}).get(patient, patient)} (folds {folds})")
    more = f" and {len(shared) - _N_SHOWN:,} more" if len(shared) > _N_SHOWN else ""
    raise DataError(
        f"patient {'; '.join(named)}{more} would be trained on and scored at once; "
        f"put all records of a patient into one {plan.column}"
    )


def _listing(folds: Sequence[int], plan: FoldPlan) -> str:
    return ", ".join(plan.labels[fold - 1] for fold in folds)
