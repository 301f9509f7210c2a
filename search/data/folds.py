"""Cross-validation groups: fixed, patient-safe, and fold 10 sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.errors import DataError

CV_GROUPS: Final = ((1, 2), (3, 4), (5, 6), (7, 8), (9,))
"""PTB-XL's strat_folds that are held out together: nine folds do not divide by five."""

SEALED_FOLD: Final = 10
"""The test fold: only `evaluate` opens it, once per model."""

_N_STRAT_FOLDS: Final = 10
_N_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fold:
    """One of the five CV folds.

    Attributes:
        number: 1 to 5.
        train: Row numbers of the development records to train on, ascending.
        validation: Row numbers of the development records to score on, ascending.
    """

    number: int
    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def cv_folds(strat_fold: NDArray[np.int64]) -> tuple[Fold, ...]:
    """The five folds over the development rows; every row is in exactly one validation part.

    Args:
        strat_fold: PTB-XL's fold of each development row, 1 to 9, shape (N,).

    Raises:
        DataError: A row of the sealed fold is among them, or a group has no row.
    """
    group = _groups(strat_fold)
    n_sealed = int(np.count_nonzero(group == len(CV_GROUPS)))
    if n_sealed:
        raise DataError(
            f"{n_sealed:,} records of strat_fold {SEALED_FOLD} were handed to cross-validation; "
            "it is the test fold: leave them out and use `evaluate`"
        )
    folds = []
    for index, members in enumerate(CV_GROUPS):
        held_out = group == index
        if not held_out.any():
            raise DataError(
                f"no record in strat_fold {' or '.join(map(str, members))}, so CV fold {index + 1} is empty; "
                "use a data set with records in every fold"
            )
        folds.append(
            Fold(number=index + 1, train=np.flatnonzero(~held_out), validation=np.flatnonzero(held_out))
        )
    return tuple(folds)


def shared_patients(patient_id: NDArray[np.int64], strat_fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """Patients with records in more than one CV group, or in fold 10 and elsewhere; ascending."""
    pairs = np.unique(np.stack([patient_id, _groups(strat_fold)]), axis=1)
    patients, n_groups = np.unique(pairs[0], return_counts=True)
    return patients[n_groups > 1]


def check_patient_safety(patient_id: NDArray[np.int64], strat_fold: NDArray[np.int64]) -> None:
    """Make sure that no patient is trained on in one fold and scored in another.

    Raises:
        DataError: Names patients that are in several groups, with their folds.
    """
    shared = shared_patients(patient_id, strat_fold)
    if len(shared) == 0:
        return
    named = [
        f"{patient} (folds {_listing(np.unique(strat_fold[patient_id == patient]).tolist())})"
        for patient in shared[:_N_SHOWN].tolist()
    ]
    more = f" and {len(shared) - _N_SHOWN:,} more" if len(shared) > _N_SHOWN else ""
    raise DataError(
        f"patient {'; '.join(named)}{more} would be trained on and scored at once; "
        "put all records of a patient into one strat_fold"
    )


def _groups(strat_fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the CV group of each row; `len(CV_GROUPS)` for the sealed fold."""
    bad = strat_fold[(strat_fold < 1) | (strat_fold > _N_STRAT_FOLDS)]
    if len(bad):
        raise DataError(f"strat_fold {bad[0]} does not exist; it must be 1 to {_N_STRAT_FOLDS}")
    group_of = np.full(_N_STRAT_FOLDS + 1, len(CV_GROUPS), dtype=np.int64)
    for index, members in enumerate(CV_GROUPS):
        group_of[list(members)] = index
    return group_of[strat_fold]


def _listing(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
