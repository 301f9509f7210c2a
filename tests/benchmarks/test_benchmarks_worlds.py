"""Worlds of the benchmarks, simulated and recorded."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_study import make_worker, open_study
from fake_trainer import FakeTrainer

import space
from benchmarks.efficiency import conditional, record_table
from benchmarks.efficiency.record_table import as_ranges, without_paths
from benchmarks.efficiency.worlds import (
    N_EPOCHS,
    N_FOLDS,
    SIMULATED,
    open_world,
    read_table,
    simulate,
    simulate_related,
)

SIZES = {"conditional": 234, "small": 336, "medium": 2_214, "widths": 4_392, "paper": 5_100}
N_FAKE_TRIALS = 9


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_a_simulated_world(name: str) -> None:
    world = simulate(name, 3)
    assert len(world) == len(world.candidates) == SIZES[name]
    assert world.curves_NFE.shape == (SIZES[name], N_FOLDS, N_EPOCHS)
    np.testing.assert_allclose(world.curves_NFE[:, :, -1].mean(axis=1), world.score_N)
    # Folds differ in difficulty, which moves all scores alike; what is left is chance.
    chance_N = world.score_N - world.truth_N
    assert np.std(chance_N) < 0.25 * np.std(world.truth_N)
    np.testing.assert_array_equal(world.parameters_N, np.rint(10**world.log_cost_N))
    assert {axis for index in range(len(world)) for axis in world.candidates[index]} <= set(world.axes)


def test_a_seed_makes_a_world() -> None:
    one, same, other = simulate("medium", 1), open_world("medium", 1), simulate("medium", 2)
    np.testing.assert_array_equal(one.curves_NFE, same.curves_NFE)
    np.testing.assert_array_equal(one.truth_N, same.truth_N)
    assert not np.allclose(one.truth_N, other.truth_N)


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


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table recorded from a study of the fake trainer."""
    folder = tmp_path_factory.mktemp("table")
    store, study = open_study(folder / "search.db")
    make_worker(store, study, FakeTrainer(n_epochs=3)).work(N_FAKE_TRIALS)
    store.close()
    url, file = f"sqlite:///{folder / 'search.db'}", folder / "tables" / "fake.json"
    assert record_table.main(["--storage", url, "--study", "fake", "--out", str(file)]) == 0
    return file


def test_a_table_keeps_what_was_trained(table: Path) -> None:
    kept = json.loads(table.read_text(encoding="utf-8"))
    assert kept["study"]["n_outputs"] == {"superclass": 3, "subclass": 4, "diagnostic": 5}
    assert (kept["study"]["n_folds"], kept["study"]["n_epochs"]) == (5, 3)
    assert kept["data"]["synthetic"] is True
    assert kept["data"]["ecg_ids"]
    assert "numpy" in kept["workers"][0]["versions"]
    assert str(table.parent.parent) not in table.read_text(encoding="utf-8")
    assert len(kept["trials"]) == N_FAKE_TRIALS
    first = kept["trials"][0]
    assert np.shape(first["curves"]) == (5, 3)
    assert first["description"] == space.Architecture.from_dict(first["architecture"]).describe()
    assert first["macro_auprc"] == pytest.approx(np.mean(first["fold_scores"]), abs=1e-4)


def test_a_table_is_a_world(table: Path) -> None:
    world, kept = read_table(table), json.loads(table.read_text(encoding="utf-8"))
    assert world.name == "fake"
    assert world.parameters_N.tolist() == [row["parameters"] for row in kept["trials"]]
    assert world.score_N.tolist() == [row["macro_auprc"] for row in kept["trials"]]
    assert world.curves_NFE.shape == (N_FAKE_TRIALS, 5, 3)
    for index in range(N_FAKE_TRIALS):
        params = world.candidates[index]
        assert world.candidates.index(params) == index
        assert world.candidates.index(world.suggest(_Fixed(params))) == index
    # Anything else is taken for the row that is most like it.
    near = dict(world.candidates[0]) | {"label_smoothing": 0.1}
    assert world.candidates.index(world.suggest(_Fixed(near))) in range(N_FAKE_TRIALS)


def test_a_study_without_whole_trials_makes_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = open_study(tmp_path / "search.db")
    store.close()
    arguments = ["--storage", f"sqlite:///{tmp_path / 'search.db'}", "--out", str(tmp_path / "a.json")]
    assert record_table.main([*arguments, "--study", "fake"]) == 1
    assert capsys.readouterr().err == "error: study fake has no trial with all folds and epochs\n"
    assert record_table.main([*arguments, "--study", "other"]) == 1
    assert not (tmp_path / "a.json").exists()


def test_ranges() -> None:
    assert as_ranges([7, 1, 2, 3, 9, 8, 3, 20]) == [[1, 3], [7, 9], [20, 20]]
    assert as_ranges([]) == []


def test_paths_are_nobodys_business() -> None:
    command = "python -m search run --data /home/someone/ptb-xl/ --storage=sqlite:////srv/a.db --epochs 12"
    assert without_paths(command) == ("python -m search run --data ptb-xl --storage=a.db --epochs 12")


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
