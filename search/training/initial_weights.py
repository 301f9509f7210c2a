"""Weights that the models of a study begin with: those of kept models, fold by fold without leaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search.errors import DataError

if TYPE_CHECKING:
    from search.data.folds import Fold
    from search.training.model_file import KeptModel


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class InitialWeights:
    """Kept models of a trial, by CV fold."""

    name: str
    """Value of the axis `init`."""
    read: Mapping[int, Callable[[], KeptModel]]
    """Function that reads the model of a fold, by fold."""
    trained_on: Mapping[int, NDArray[np.int64]] | None
    """Ids of the records that the model of each fold was trained on; None for a model of other data."""

    def for_fold(self, fold: Fold, ecg_id: NDArray[np.int64]) -> KeptModel:
        """The model that a fold begins with: that of the same fold.

        Where nothing validates, and where the model is of other data with fewer folds, that of the last fold.

        Args:
            fold: training and validation rows.
            ecg_id: ids of all rows, shape (N,).

        Raises:
            DataError: the model was trained on a record that validates the fold, or is damaged.
        """
        number = fold.number if fold.number in self.read else max(self.read)
        if self.trained_on is not None:
            n_seen = np.count_nonzero(np.isin(ecg_id[fold.validation], self.trained_on[number]))
            if n_seen:
                raise DataError(
                    f"{self.name} was trained on {n_seen:,} records that validate fold {fold.number}: make "
                    "the study anew"
                )
        return self.read[number]()
