"""Loss, accuracy and F1 of every epoch, and the recipe that looks at them."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from training_samples import CPU, NO_CACHE, TINY, Case, case

import space
from search.data.signals.filters import filter_named
from search.training import device_data
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.losses import make_loss
from search.training.schedule import Plan, Plateau
from search.training.settings import TrainingSettings
from search.training.trainer import CrossValidation

JAFARI = replace(TINY, label_tier="superclass", recipe="jafari")


@pytest.fixture(scope="module")
def tiny() -> Case:
    return case()


def test_measures_of_the_validation_part_are_those_of_scikit_learn(tiny: Case) -> None:
    architecture = replace(TINY, label_tier="superclass", label_smoothing=0.1)
    training = tiny.start(architecture)
    training.run_epoch()
    p_NC = training.predict()
    rows = training.fold.validation
    y_NC = tiny.data.y["superclass"][rows]
    # A threshold between the probabilities that there are: the model is hardly trained.
    found = training.validation_measures(p_NC)
    called_NC = p_NC >= 0.5
    scored = y_NC.any(axis=0) & ~y_NC.all(axis=0)
    f1_C = [f1_score(y, d, zero_division=0) for y, d in zip(y_NC.T, called_NC.T, strict=True)]
    assert found.accuracy == pytest.approx(np.mean(y_NC == called_NC))
    assert found.f1 == pytest.approx(np.mean(np.array(f1_C)[scored]))
    y_train = torch.from_numpy(tiny.data.y["superclass"][training.fold.train].astype(np.float32))
    loss = make_loss(architecture, y_train, exclusive=False)
    expected = loss(torch.logit(torch.from_numpy(p_NC).double()), torch.from_numpy(y_NC).double())
    assert found.loss == pytest.approx(float(expected), rel=1e-5)


def test_accuracy_and_f1_of_an_exclusive_tier_are_of_the_most_probable_class(tiny: Case) -> None:
    training = tiny.start(replace(TINY, label_tier="severity-3"))
    p_NC = np.array([[0.2, 0.3, 0.1], [0.9, 0.8, 0.1], [0.1, 0.2, 0.4], [0.3, 0.2, 0.1]], np.float32)
    training.validation_rows = torch.arange(4)
    y_NC = torch.zeros(len(tiny.data), 3)
    y_NC[:4] = torch.eye(3)[[1, 1, 2, 2]]
    # Private: labels of which every case is worked by hand.
    training._material = replace(training._material, y_NC=y_NC)
    found = training.validation_measures(p_NC)
    # Called 1, 0, 2, 0: the first and the third are right, F1 of classes 1 and 2 is 2/3, and 0 has no record.
    assert found.accuracy == 0.5
    assert found.f1 == pytest.approx(2 / 3)


def test_what_was_right_in_training_is_counted_over_one_epoch(tiny: Case) -> None:
    training = tiny.start(replace(TINY, label_tier="superclass"))
    assert math.isnan(training.training_measures().accuracy)
    training.run_epoch()
    n_records = len(training.fold.train)
    for _ in range(2):  # an epoch begins at nothing
        # Private: the counts from which accuracy follows.
        counted = training._seen_4C
        assert counted[3].tolist() == [n_records] * counted.shape[1]
        assert counted[2].tolist() == tiny.data.y["superclass"][training.fold.train].sum(axis=0).tolist()
        found = training.training_measures()
        right = counted[3] - counted[1] - counted[2] + 2 * counted[0]
        assert found.accuracy == pytest.approx(float(right.sum()) / float(counted[3].sum()))
        training.run_epoch()


def test_the_trainer_tells_what_every_epoch_measured(tiny: Case) -> None:
    settings = TrainingSettings(epochs=2, batch_size=16)
    trainer = CrossValidation(tiny.data, "superclass", settings, device=CPU, n_threads=1, cache_dir=NO_CACHE)
    run = trainer.start(replace(TINY, label_tier="subclass"), 2)
    (score,) = trainer.group([run]).run_epoch()
    assert not isinstance(score, Exception)
    measured = run.training.validation_measures(run.training.predict())  # type: ignore[attr-defined]
    assert score.validation_loss == pytest.approx(measured.loss)
    assert (score.validation_accuracy, score.validation_f1) == (measured.accuracy, measured.f1)
    assert 0 < score.training_accuracy < 1


def test_a_plateau_halves_the_rate_after_three_epochs_without_a_lower_loss() -> None:
    plateau = Plateau()
    factors = []
    for loss in (1.0, 0.9, 0.89995, 0.9, math.nan, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7):
        plateau.update(loss)
        factors.append(plateau.factor)
    # Losses 3 to 5 are not lower than .9 by 1e-4; after the first .7 the third and the sixth are not.
    assert factors == [1.0] * 4 + [0.5] * 4 + [0.25] * 3 + [0.125]
    again = Plateau()
    again.load(plateau.state())
    assert (again.factor, again.best, again.waited) == (0.125, 0.7, 0)
    again.load({})
    assert again.factor == 0.125


def test_the_recipe_of_the_seed_trains_with_adam_at_a_constant_rate(tiny: Case) -> None:
    plan = Plan.of(space.RECIPES["jafari"], TrainingSettings(epochs=30))
    assert type(plan.optimiser(tiny.start(JAFARI).model)) is torch.optim.Adam
    assert {plan.rate(step, 1000) for step in range(0, 240, 40)} == {1e-3}
    assert space.preset("cnn-bilstm-jafari", "subclass") == replace(
        space.preset("cnn-bilstm", "subclass"), recipe="jafari"
    )


def test_a_recipe_may_bound_the_gradient_more_than_the_study(tiny: Case) -> None:
    """A step of the size of the gradient is as long as the bound: SGD at rate one, without weight decay."""
    settings = TrainingSettings(epochs=2, batch_size=16)
    for recipe, bound in (("benchmark-rnn", 0.25), ("study", settings.gradient_clip)):
        training = tiny.start(replace(TINY, recipe=recipe), settings=settings)
        parameters = list(training.model.parameters())
        # Private: in place of Adam, whose step does not tell the size of a gradient.
        training._optimiser = torch.optim.SGD(parameters, lr=1.0)
        before = [parameter.detach().clone() for parameter in parameters]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        training.optimizer_step(1.0)
        moved = [now.detach() - then for now, then in zip(parameters, before, strict=True)]
        # Rounding of weights of up to 2 to float32, in some thousand of them.
        assert torch.linalg.vector_norm(torch.cat([m.flatten() for m in moved])) == pytest.approx(
            bound, abs=1e-4
        )


@pytest.mark.slow
def test_the_recipe_of_the_seed_lowers_the_rate_and_stops(
    tiny: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = TrainingSettings(epochs=30, batch_size=16)
    training = tiny.start(JAFARI, settings=settings)
    # Private: losses that never fall.
    monkeypatch.setattr(
        training, "_measured", lambda rows, p_NC: replace(training.training_measures(), loss=1.0)
    )
    monkeypatch.setattr("search.training.fold.auroc", lambda y_NC, p_NC: np.full(y_NC.shape[1], 0.5))
    rates = []
    while not training.is_over:
        rates.append(training.rates(1)[0])
        training.run_epoch()
    # The first epoch is the best of both; the rate is halved for epochs 5 to 7, and so on.
    assert rates == [1e-3] * 4 + [5e-4] * 3 + [2.5e-4] * 3 + [1.25e-4]
    assert training.epochs_done == 11
    training.save(tmp_path / "fold.safetensors")
    other = tiny.start(JAFARI, settings=settings)
    other.restore(tmp_path / "fold.safetensors")
    assert other.rates(1) == training.rates(1) == [1.25e-4]
    assert other.is_over


def test_early_stopping_watches_training_patients_unless_told_to_watch_the_validation_part(
    tiny: Case,
) -> None:
    data = DeviceData(tiny.data, CPU, cache_dir=NO_CACHE)
    settings = TrainingSettings(epochs=2, batch_size=16)
    inside = FoldTraining(JAFARI, tiny.start(JAFARI).fold, data, settings)
    outside = FoldTraining(JAFARI, inside.fold, data, settings, watch_validation=True)
    # Private: which rows are watched is seen nowhere else.
    watched = set(inside._watched.tolist())
    assert watched
    assert watched < set(inside.fold.train.tolist())
    assert set(inside._rows.tolist()) == set(inside.fold.train.tolist()) - watched
    assert outside._watched.tolist() == inside.fold.validation.tolist()
    assert outside._rows.tolist() == inside.fold.train.tolist()


def test_only_the_signals_used_last_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def noting(name: str) -> Callable[[np.ndarray, int], np.ndarray]:
        made.append(name)
        return filter_named(name)

    monkeypatch.setattr(device_data, "N_SIGNALS", 2)
    monkeypatch.setattr(device_data, "filter_named", noting)
    sample = case()
    for name in ("none", "bandpass", "none", "none", "median", "none", "bandpass"):
        sample.start(replace(TINY, filter=name))
    assert made == ["none", "bandpass", "median", "bandpass"]
