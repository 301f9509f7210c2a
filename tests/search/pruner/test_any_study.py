"""The race in plain Optuna studies: what it keeps, what it prunes, and what it leaves alone."""

import math
from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from search.pruner.any_study import CHANCE, CHANCE_LEFT, CURVE, StudyRace

pytestmark = pytest.mark.usefixtures("no_optuna_log")

N_EPOCHS = 12


def final_score(width: int, rate: float) -> float:
    return 0.4 + 0.1 * math.log10(width) - 0.6 * (rate - 0.3) ** 2


def objective_of(race: StudyRace, spent: list[int]) -> Callable[[optuna.Trial], tuple[float, float]]:
    generator = np.random.default_rng(0)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        width, rate = trial.suggest_int("width", 1, 64), trial.suggest_float("rate", 0, 1)
        final = final_score(width, rate)
        running = race.begin(trial, 100 * width)
        for fold in range(1, race.n_folds + 1):
            for epoch in range(1, N_EPOCHS + 1):
                spent.append(trial.number)
                score = final - 0.3 * math.exp(-epoch / 3) + generator.normal(0, 0.004)
                running.report(score, epoch=epoch, fold=fold)
                if running.should_prune():
                    assert running.reason.startswith("pruned after fold")
                    raise optuna.TrialPruned
        return final + generator.normal(0, 0.002), 100 * width

    return objective


def raced(race: StudyRace, n_trials: int = 40) -> tuple[optuna.Study, list[int]]:
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0)
    )
    spent: list[int] = []
    study.optimize(objective_of(race, spent), n_trials=n_trials)
    return study, spent


def would_improve(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
    """Whether the final score of a trial is above all complete ones before it that cost no more."""
    final = final_score(**trial.params)
    return all(
        final > other.values[0]
        for other in study.trials[: trial.number]
        if other.state is TrialState.COMPLETE and other.params["width"] <= trial.params["width"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_folds", [1, 3])
def test_hopeless_trials_end_early_and_those_that_matter_do_not(n_folds: int) -> None:
    study, spent = raced(StudyRace(n_epochs=N_EPOCHS, n_folds=n_folds))
    pruned = [trial for trial in study.trials if trial.state is TrialState.PRUNED]
    assert len(pruned) > 5
    assert len(spent) < 0.9 * 40 * n_folds * N_EPOCHS
    # Noise of .004 is small beside differences between trials: hardly one that mattered is lost.
    assert sum(would_improve(study, trial) for trial in pruned) <= 1
    for trial in pruned:
        assert 0 <= trial.user_attrs[CHANCE_LEFT] < trial.user_attrs[CHANCE]
        assert trial.user_attrs[CURVE][-1][-1] is None


@pytest.mark.slow
def test_pruned_trials_are_estimated_by_their_curves() -> None:
    race = StudyRace(n_epochs=N_EPOCHS)
    study, _ = raced(race)
    pruned = [trial for trial in study.trials if trial.state is TrialState.PRUNED]
    estimates = race.estimates(study)
    assert [params for params, _, _ in estimates] == [trial.params for trial in pruned]
    errors = [abs(score - final_score(**params)) / error for params, score, error in estimates]
    assert np.median(errors) < 2


def test_curves_are_kept_at_the_rungs_and_a_study_goes_on_with_them() -> None:
    race = StudyRace(n_epochs=N_EPOCHS, n_folds=2)
    study, _ = raced(race, n_trials=8)
    known = list(race.finished(study))
    assert [trial.number for trial in known] == list(range(8))
    assert all(trial.curve_FK.shape == (2, 6) for trial in known)
    # Another race has other rungs; what it cannot read it does not use.
    assert not list(StudyRace(n_epochs=7, n_folds=1).finished(study))
    again = [trial.curve_FK for trial in StudyRace(n_epochs=N_EPOCHS, n_folds=2).finished(study)]
    for first, second in zip(known, again, strict=True):
        np.testing.assert_array_equal(first.curve_FK, second)


def test_trials_that_did_not_race_are_left_alone() -> None:
    race = StudyRace(n_epochs=4)
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(optuna.trial.create_trial(values=[0.5, 100]))
    trial = study.ask()
    running = race.begin(trial, 100)
    running.report(0.1, epoch=1)
    assert not running.should_prune()
    assert not list(race.finished(study))


@pytest.mark.parametrize(
    "numbers",
    [{"n_epochs": 1}, {"n_epochs": 5, "n_folds": 0}, {"n_epochs": 5, "n_folds": 2, "n_parallel": 3}],
)
def test_numbers_out_of_range(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a race takes at least 2 epochs and 1 fold"):
        StudyRace(**numbers)


def test_costs_epochs_and_shares_out_of_range() -> None:
    with pytest.raises(ValueError, match="alpha is a share between 0 and 1, got 1"):
        StudyRace(n_epochs=4, alpha=1)
    study = optuna.create_study(directions=["maximize", "minimize"])
    race = StudyRace(n_epochs=4)
    with pytest.raises(ValueError, match=r"a count from 1 up, got 0\.5"):
        race.begin(study.ask(), 0.5)
    running = race.begin(study.ask(), 10)
    for wrong in ({"epoch": 0}, {"epoch": 5}, {"epoch": 1, "fold": 2}):
        with pytest.raises(ValueError, match="there is no epoch"):
            running.report(0.5, **wrong)
