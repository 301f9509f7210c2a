"""Worlds of the benchmarks, simulated and recorded."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.efficiency.helpers import conditional
from benchmarks.efficiency.helpers.worlds import (
    N_EPOCHS,
    N_FOLDS,
    SIMULATED,
    open_world,
    read_table,
    simulate,
    simulate_related,
)

SIZES = {"conditional": 234, "small": 336, "medium": 2_214, "widths": 4_392, "paper": 5_100, "noisy": 3_528}
TABLE = Path(__file__).resolve().parents[2] / "benchmarks/tables/ptb-xl-sample-superclass.json"


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_a_simulated_world(name: str) -> None:
    world = simulate(name, 3)
    assert len(world) == len(world.candidates) == SIZES[name]
    assert world.curves_NFE.shape == (SIZES[name], N_FOLDS, N_EPOCHS)
    np.testing.assert_allclose(world.curves_NFE[:, :, -1].mean(axis=1), world.score_N)
    # Folds differ in difficulty, which moves all scores alike; what is left is chance.
    chance = float(np.std(world.score_N - world.truth_N))
    if name == "noisy":
        # Four standard errors of a standard deviation of 3,528.
        assert chance == pytest.approx(0.006, rel=4 / np.sqrt(2 * 3_528))
    else:
        assert chance < 0.25 * np.std(world.truth_N)
    np.testing.assert_array_equal(world.parameters_N, np.rint(10**world.log_cost_N))
    assert {axis for index in range(len(world)) for axis in world.candidates[index]} <= set(world.axes)


def test_a_seed_makes_a_world() -> None:
    one, same, other = simulate("medium", 1), open_world("medium", 1), simulate("medium", 2)
    np.testing.assert_array_equal(one.curves_NFE, same.curves_NFE)
    np.testing.assert_array_equal(one.truth_N, same.truth_N)
    assert not np.allclose(one.truth_N, other.truth_N)


@pytest.mark.slow
def test_learning_curves_rise_and_cross() -> None:
    world = simulate("paper", 0)
    mean_NE = world.curves_NFE.mean(axis=1)
    assert (mean_NE[:, -1] > mean_NE[:, 0]).all()
    # Who leads halfway of the first fold is not who leads in the end.
    assert world.curves_NFE[:, 0, 5].argmax() != world.score_N.argmax()
    assert np.corrcoef(mean_NE[:, 5], world.score_N)[0, 1] < 0.95


def test_every_configuration_once() -> None:
    listed = list(conditional.everything(conditional.suggest))
    assert len(listed) == len({tuple(params.items()) for params in listed}) == SIZES["conditional"]
    assert listed[0] == {"cell": "none", "gate": 0, "loss": "bce", "tier": "superclass"}
    assert sum(params["cell"] == "none" for params in listed) == 18


def test_a_table_is_a_world() -> None:
    world, kept = read_table(TABLE), json.loads(TABLE.read_text(encoding="utf-8"))
    n_folds, n_epochs = kept["study"]["n_folds"], kept["study"]["n_epochs"]
    assert world.name == TABLE.stem
    assert world.parameters_N.tolist() == [row["parameters"] for row in kept["trials"]]
    assert world.score_N.tolist() == [row["macro_auprc"] for row in kept["trials"]]
    assert world.curves_NFE.shape == (len(kept["trials"]), n_folds, n_epochs)
    for index in range(len(world)):
        params = world.candidates[index]
        assert world.candidates.index(params) == index
        assert world.candidates.index(world.suggest(_Fixed(params))) == index
    # Anything else is taken for the row that is most like it.
    near = dict(world.candidates[0]) | {"label_smoothing": 0.1}
    assert world.candidates.index(world.suggest(_Fixed(near))) in range(len(world))


class _Fixed:
    """Stands in for a trial with given parameters."""

    def __init__(self, params: object) -> None:
        self._params = dict(params)  # type: ignore[call-overload]

    def suggest_categorical(self, name: str, choices: object) -> object:
        return self._params[name]


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_a_related_world_has_the_correlation_that_was_asked_for(correlation: float) -> None:
    own, other = simulate("small", 3), simulate_related("small", 3, correlation)
    # Sums of 336 numbers of about one: rounding errors of at most 336 × 2e-16.
    assert np.corrcoef(own.truth_N, other.truth_N)[0, 1] == pytest.approx(correlation, abs=1e-12)
    np.testing.assert_array_equal(own.log_cost_N, other.log_cost_N)


def test_a_limit_and_a_space_of_its_own_leave_the_same_tenth() -> None:
    whole, limited, alone = (open_world(name, 0) for name in ("small", "small limited", "small alone"))
    most = np.quantile(whole.parameters_N, 0.1)
    assert len(limited) == len(limited.candidates) == len(alone) == int((whole.parameters_N <= most).sum())
    for index in range(len(limited)):
        params = limited.candidates[index]
        there, before = alone.candidates.index(params), whole.candidates.index(params)
        assert limited.truth_N[index] == alone.truth_N[there] == whole.truth_N[before]
        assert limited.parameters_N[index] == alone.parameters_N[there] == whole.parameters_N[before]
    np.testing.assert_allclose(limited.candidates.log_cost(np.arange(len(limited))), limited.log_cost_N)
    np.testing.assert_allclose(alone.candidates.log_cost(np.arange(len(alone))), alone.log_cost_N)
