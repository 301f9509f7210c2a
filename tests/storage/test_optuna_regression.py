"""Faults of Optuna 5 that the design works around; a failure here means that one was mended upstream."""

import optuna
import pytest
from optuna.trial import TrialState

N_STARTUP_TRIALS = 10
"""Trials before TPE samples from a model."""


def two_objectives(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)


def pruned_trial(study: optuna.Study, *, with_curve: bool) -> None:
    trial = study.ask()
    trial.suggest_categorical("depth", (0, 1, 2, 3))
    if with_curve:
        # Private: `Trial.report` refuses two objectives.
        study._storage.set_trial_intermediate_value(trial._trial_id, step=1, intermediate_value=0.5)
    study.tell(trial, state=TrialState.PRUNED)


def test_two_objectives_have_no_reports() -> None:
    trial = two_objectives(optuna.samplers.RandomSampler(seed=0)).ask()
    with pytest.raises(NotImplementedError, match="not supported for multi-objective"):
        trial.report(0.5, step=1)
    with pytest.raises(NotImplementedError, match="not supported for multi-objective"):
        trial.should_prune()


def test_intermediate_values_of_pruned_trials_crash_tpe() -> None:
    study = two_objectives(optuna.samplers.TPESampler(seed=0))
    for _ in range(N_STARTUP_TRIALS):
        pruned_trial(study, with_curve=True)
    trial = study.ask()
    with pytest.raises(RuntimeError, match="A single direction cannot be retrieved"):
        trial.suggest_categorical("depth", (0, 1, 2, 3))


def test_pruned_trials_without_intermediate_values_do_not() -> None:
    study = two_objectives(optuna.samplers.TPESampler(seed=0))
    for _ in range(N_STARTUP_TRIALS):
        pruned_trial(study, with_curve=False)
    assert study.ask().suggest_categorical("depth", (0, 1, 2, 3)) in range(4)


def test_optimize_hides_a_storage_that_fails_behind_a_name_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # Why storage.optuna_side.run_trial asks and tells by itself.
    study = two_objectives(optuna.samplers.RandomSampler(seed=0))

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        def away(*_: object) -> None:
            raise optuna.exceptions.StorageInternalError("away")

        # Private: the storage of a study that Optuna is running.
        monkeypatch.setattr(study._storage, "get_trial", away)
        return 0.5, 7

    with pytest.raises(NameError, match="updated_state"):
        study.optimize(objective, n_trials=1)
