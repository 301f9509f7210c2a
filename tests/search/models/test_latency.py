"""The linear model of latencies: exact data are recovered, size never makes faster, its error is honest."""

from collections.abc import Sequence

import numpy as np
import pytest

import space
from search.models.costs import Operation, costs_of
from search.models.latency import LatencyModel, fit_latency, quantities


def conv(macs: int) -> Operation:
    return Operation(words="", channels=2, samples=100, macs=macs, live=1, operator="conv")


def gru(steps: int) -> Operation:
    return Operation(
        words="", channels=4, samples=steps, macs=10 * steps, steps=steps, live=1, operator="gru"
    )


def test_quantities_add_up_over_operations() -> None:
    found = quantities([conv(1000), conv(500), gru(50)])
    assert found == {
        "operation": 3,
        "value": 200 + 200 + 200,
        "conv MAC": 1500,
        "gru MAC": 500,
        "gru step": 50,
    }


def test_exact_latencies_are_recovered() -> None:
    """5 µs for a record, 700 ns for an operation, 2 ns for a MAC: nothing is left to explain."""
    random = np.random.default_rng(0)
    models: list[Sequence[Operation]] = [
        [conv(int(macs)) for macs in random.integers(10, 10_000, size=n)]
        for n in random.integers(1, 9, size=20)
    ]
    measured = [(model, 5000.0 + 700 * len(model) + 2 * sum(each.macs for each in model)) for model in models]
    fitted = fit_latency(measured, "a clock")
    # Values and operations go together here, so that coefficients need not be those; predictions must.
    for model, latency_ns in measured:
        assert fitted.nanoseconds(model) + fitted.overhead_ns == pytest.approx(latency_ns, abs=2)
    assert fitted.error < 1e-6
    assert fitted.n_measured == 20
    assert LatencyModel(**fitted.to_dict()) == fitted


def test_the_error_is_that_of_models_which_were_left_out() -> None:
    """With two latencies for the same model, 100 and 300, whoever was left out is missed by a lot."""
    measured = [([conv(100)], 100e3 if number % 2 else 300e3) for number in range(20)]
    fitted = fit_latency(measured, "a clock")
    # Least relative squares of 100 and 300 by one number c: c (1/100² + 1/300²) = 1/100 + 1/300, c = 120.
    assert fitted.nanoseconds([conv(100)]) + fitted.overhead_ns == pytest.approx(120e3, abs=2)
    assert fitted.error == pytest.approx((20 / 100 + 180 / 300) / 2, rel=0.05)


def test_a_larger_model_is_never_expected_to_be_faster() -> None:
    random = np.random.default_rng(1)
    measured = [
        ([conv(int(macs)), gru(int(macs) % 97)], float(ns)) for macs, ns in random.integers(1, 9999, (30, 2))
    ]
    fitted = fit_latency(measured, "a clock")
    assert min(fitted.coefficients.values()) >= 0
    assert fitted.nanoseconds([conv(10)]) <= fitted.nanoseconds([conv(10), gru(3)])


def test_latency_is_a_known_cost_only_where_it_is_known() -> None:
    costs = costs_of(space.preset("cnn", "superclass"), 5)
    assert "latency" not in costs.to_dict()
