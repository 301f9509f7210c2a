"""Predicted latency of architectures that were not measured, from measured ones.

A linear model over the operations of an inference: nanoseconds for each multiply–accumulate of a kind of
operator, for each time step of a cell, for each value that an operation writes, for each operation, and once
for each record. No coefficient is negative, so that a larger model is never expected to be faster, and parts
of a model add up (`search.sampler.cost_table`). Coefficients minimise the relative error (non-negative least
squares, Lawson & Hanson 1974), which is stated by cross-validation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.models.costs import Operation

RECORD = "record"
"""Quantity that a model has once."""
_N_FOLDS = 5

Timed = tuple[Sequence[Operation], float]
"""Operations of a model, and its latency in nanoseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyModel:
    """Predicted latency of one record, as a linear function of the operations."""

    machine: str
    """Machine on which latencies were measured, in words."""
    coefficients: Mapping[str, float]
    """Nanoseconds for one of each quantity."""
    error: float
    """Mean absolute error of predicted latencies, as a share of the measured ones; cross-validated."""
    error_p90: float
    """90th percentile of the relative error."""
    n_measured: int
    """Architectures that were measured."""

    @property
    def overhead_ns(self) -> int:
        """Nanoseconds that every model takes once."""
        return round(self.coefficients.get(RECORD, 0.0))

    def nanoseconds(self, operations: Iterable[Operation]) -> int:
        """Nanoseconds of some operations of a model, without `overhead_ns`."""
        found = quantities(operations)
        return round(sum(self.coefficients.get(name, 0.0) * amount for name, amount in found.items()))

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; `LatencyModel(**kept)` is the inverse."""
        return asdict(self)


def quantities(operations: Iterable[Operation]) -> Counter[str]:
    """Quantities in which latency is linear: whole numbers that add up over operations."""
    found: Counter[str] = Counter()
    for each in operations:
        kind = each.operator or "dense"
        found["operation"] += 1
        found["value"] += each.channels * each.samples
        found[f"{kind} MAC"] += each.macs
        found[f"{kind} step"] += each.steps
    return +found


def fit_latency(measured: Sequence[Timed], machine: str) -> LatencyModel:
    """The model of measured latencies.

    Args:
        measured: at least ten models.
        machine: on which, in words.
    """
    rows = [quantities(operations) for operations, _ in measured]
    names = [RECORD, *sorted({name for row in rows for name in row})]
    x_ND = np.array([[1.0 if name == RECORD else row[name] for name in names] for row in rows])
    y_N = np.array([latency_ns for _, latency_ns in measured], dtype=np.float64)
    fold_N = np.arange(len(y_N)) % _N_FOLDS
    error_N = np.empty(len(y_N))
    for fold in range(_N_FOLDS):
        held_out = fold_N == fold
        found_D = _coefficients(x_ND[~held_out], y_N[~held_out])
        error_N[held_out] = np.abs(x_ND[held_out] @ found_D / y_N[held_out] - 1)
    return LatencyModel(
        machine=machine,
        coefficients=dict(zip(names, _coefficients(x_ND, y_N).tolist(), strict=True)),
        error=float(error_N.mean()),
        error_p90=float(np.quantile(error_N, 0.9)),
        n_measured=len(measured),
    )


def _coefficients(x_ND: NDArray[np.float64], y_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """The non-negative c that minimises Σ (x·c / y − 1)²."""
    from scipy.optimize import nnls

    relative_ND = x_ND / y_N[:, None]
    scale_D = relative_ND.max(axis=0)
    scale_D[scale_D == 0] = 1.0
    found_D, _ = nnls(relative_ND / scale_D, np.ones(len(y_N)))
    coefficients: NDArray[np.float64] = found_D / scale_D
    return coefficients
