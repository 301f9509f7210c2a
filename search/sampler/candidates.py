"""Candidates of a sampler: a finite list with known features and costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
Params = Mapping[str, Any]


class Candidates(Protocol):
    """A finite list of sets of parameters, addressed by position.

    Positions never change while a study runs. `encode` and `log_cost` are called with tens of thousands of
    positions at once and should be array operations.
    """

    @property
    def n_features(self) -> int:
        """Length of an encoded candidate."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Params:
        """Parameters of the candidate at a position, as Optuna is to suggest them."""

    def index(self, params: Params) -> int:
        """Position of the candidate with these parameters.

        Raises:
            KeyError: there is none.
        """

    def name(self, index: int) -> str:
        """Unique name of the candidate for the owner of the study."""

    def encode(self, indices: Indices) -> Floats:
        """Features of about unit range, different for different candidates. Shape (n, n_features)."""

    def log_cost(self, indices: Indices) -> Floats:
        """log10 of the second objective. Shape (n,)."""

    def neighbours(self, index: int) -> Indices:
        """Candidates that differ in a single choice."""
