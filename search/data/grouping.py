"""Folds for data sets that bring none: balanced, and every patient in one fold."""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

N_FOLDS: Final = 5
SEALED_SHARE: Final = 0.1
"""Share of the patients that is sealed where a data set names no test set."""


def numbered(patients: Sequence[str]) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Number of the patient of each row, shape (N,), which is the first row of each, from 1; and their names.

    Args:
        patients: Patient of each row.
    """
    first: dict[str, int] = {}
    numbers = [first.setdefault(patient, row) for row, patient in enumerate(patients, start=1)]
    return np.array(numbers, dtype=np.int64), {number: patient for patient, number in first.items()}


def balanced_folds(patient_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """Folds 1 to 5 of about as many rows each, every patient in one.

    Patients are taken by their number of rows, most first, and put into the fold that has fewest so far
    (Graham 1969, longest processing time first: no fold has more than a third above what is possible).
    Nothing is drawn at random, so that the same rows always make the same folds, in whatever order they come.

    Args:
        patient_id: Patient of each row, shape (N,).

    Returns:
        Fold of each row, shape (N,). With fewer than five patients some folds stay empty.
    """
    patients, index, n_rows = np.unique(patient_id, return_inverse=True, return_counts=True)
    fold_of_patient = np.zeros(len(patients), dtype=np.int64)
    size = np.zeros(N_FOLDS, dtype=np.int64)
    for patient in np.argsort(-n_rows, kind="stable"):
        smallest = int(size.argmin())
        fold_of_patient[patient] = smallest + 1
        size[smallest] += n_rows[patient]
    return fold_of_patient[index]


def random_folds(n_rows: int) -> NDArray[np.int64]:
    """Folds 1 to 5 drawn row by row, whatever the patient, shape (N,); always the same for N rows."""
    return np.random.default_rng(0).permutation(n_rows) % N_FOLDS + 1


def is_sealed(patients: Sequence[str]) -> NDArray[np.bool_]:
    """Whether the patient of each row is among the tenth that is sealed for a final test, shape (N,).

    The name of a patient alone decides, by its SHA-256: records that are added later change nothing for those
    that are there. Of few patients, none of whom would be sealed, the next one is.

    Args:
        patients: Patient of each row.
    """
    share = {name: _place(name) for name in set(patients)}
    limit = max(SEALED_SHARE, min(share.values()))
    return np.array([share[name] <= limit for name in patients], dtype=np.bool_)


def _place(name: str) -> float:
    """A number from 0 to 1, the same for the same name everywhere."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
