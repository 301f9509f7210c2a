"""Candidates listed one by one: default features, grids over distributions."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.sampler.listed import ListedCandidates


def test_features_by_default() -> None:
    listing = [
        {"kind": "none", "on": True},
        {"kind": "lstm", "on": False, "depth": 1},
        {"kind": "gru", "on": True, "depth": 3},
    ]
    candidates = ListedCandidates(listing, cost_of=lambda params: 1 + params.get("depth", 0))
    # A column for each kind, for True and for False; depth halfway where there is none.
    assert candidates.encode(np.arange(3)).tolist() == [
        [1, 0, 0, 1, 0, 0.5],
        [0, 1, 0, 0, 1, 0.0],
        [0, 0, 1, 1, 0, 1.0],
    ]
    assert candidates.log_cost(np.arange(3)) == pytest.approx(np.log10([1, 2, 4]))


def test_a_grid_is_every_combination() -> None:
    candidates = ListedCandidates.grid(
        {
            "layers": IntDistribution(1, 5, step=2),
            "dropout": FloatDistribution(0.0, 0.3, step=0.1),
            "kind": CategoricalDistribution(["a", "b"]),
        },
        cost_of=lambda params: params["layers"],
    )
    assert len(candidates) == 3 * 4 * 2
    assert {candidates[n]["layers"] for n in range(24)} == {1, 3, 5}
    assert {round(candidates[n]["dropout"], 9) for n in range(24)} == {0.0, 0.1, 0.2, 0.3}
    # A neighbour differs in one value: 2 other layers, 3 other rates, 1 other kind.
    assert len(candidates.neighbours(0)) == 2 + 3 + 1


@pytest.mark.parametrize("distribution", [FloatDistribution(0, 1), IntDistribution(1, 9, log=True)])
def test_what_has_no_step_cannot_be_listed(distribution) -> None:
    with pytest.raises(ValueError, match=r"x: .* has no step; list the candidates themselves"):
        ListedCandidates.grid({"x": distribution}, cost_of=lambda params: 1)


def test_a_value_of_a_grid_is_as_it_is_written() -> None:
    candidates = ListedCandidates.grid({"x": FloatDistribution(0, 1, step=0.1)}, cost_of=lambda params: 1)
    assert [candidates[n]["x"] for n in range(11)] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert candidates.index({"x": 0.3}) == candidates.index({"x": 3 * 0.1}) == 3
