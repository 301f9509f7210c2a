"""Folds in lock-step train as they do alone, whatever their sizes, and may leave at any moment."""

import contextlib
import gc
import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from architectures import BIGRU, BILSTM, GRU
from torch import Tensor
from training_samples import (
    CPU,
    NO_CACHE,
    TINY,
    Case,
    case,
    development,
    graphs_of,
    in_double_precision,
    run_epochs,
    stop_early,
    weights,
)

from search.data.dataset import load_development
from search.data.folds import cv_folds
from search.errors import TrainingError
from search.training import fold as fold_module
from search.training import inference, lockstep
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.fold_threads import FoldPool
from search.training.interface import FoldOutcome
from search.training.lockstep import Lockstep, Together
from search.training.settings import TrainingSettings
from search.training.trainer import CrossValidation
from space import Architecture
from storage import EpochRecord

FUSED = Together(lockstep=True)
BESIDE = Together(lockstep=True, fused=False)
CNN = Architecture(width=0.0625, head_width=8, label_tier="superclass")
ARCHITECTURES = {
    "cnn": CNN,
    "gru": replace(CNN, recurrent=(GRU,), hidden_size=6),
    "bigru-bilstm": replace(CNN, recurrent=(BIGRU, BILSTM), hidden_size=6, gate=4),
    "attention": replace(CNN, recurrent=(BILSTM,), hidden_size=6, pooling="attention", head="linear"),
    "fcn-wang": replace(CNN, backbone="fcn-wang", pooling="mean-max", head="bottleneck"),
    "resnet1d-se": replace(CNN, backbone="resnet1d-se", recipe="resnet1d-se", loss="balanced"),
    "cnn-transformer": replace(CNN, backbone="cnn-transformer", features=True, recipe="hc-cnn-tn"),
    "inception1d": replace(CNN, backbone="inception1d", augmentation="rich"),
    "xresnet1d50": replace(CNN, backbone="xresnet1d50", augmentation="none"),
    "s4d": replace(CNN, backbone="s4d", loss="focal"),
    "random-encoder": replace(CNN, backbone="random-encoder", head="linear"),
}
SETTINGS = TrainingSettings(epochs=4, batch_size=16)


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 nothing agrees to more than two digits."""
    for module in (fold_module, inference):
        monkeypatch.setattr(module, "autocast", lambda device: contextlib.nullcontext())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Folds of 70, 70, 70, 70 and 80 rows: all have full batches, and all but one have smaller ones."""
    data = development(n_samples=100)
    on_device = DeviceData(data, CPU, cache_dir=tmp_path_factory.mktemp("cache"))
    return Case(data=data, on_device=on_device, folds=cv_folds(data.strat_fold, data.fold_plan))


@pytest.fixture(scope="module")
def tiniest(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Folds of 35, 35, 35, 35 and 40 rows."""
    data = development(n_records=45, n_samples=64)
    on_device = DeviceData(data, CPU, cache_dir=tmp_path_factory.mktemp("cache"))
    return Case(data=data, on_device=on_device, folds=cv_folds(data.strat_fold, data.fold_plan))


def start(
    sample: Case, architecture: Architecture, settings: TrainingSettings = SETTINGS
) -> list[FoldTraining]:
    return [sample.start(architecture, fold, settings) for fold in range(1, 6)]


def record_losses(training: FoldTraining) -> list[float]:
    """Filled with the loss of every step."""
    seen: list[float] = []
    loss = training.loss

    def note(z_BC: Tensor, y_BC: Tensor) -> Tensor:
        value = loss(z_BC, y_BC)
        seen.append(value.item())
        return value

    training.loss = note
    return seen


def close(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float) -> None:
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=tolerance, atol=tolerance, msg=name)


# ---------------------------------------------------------------------------------------------------------
# The same training


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_steps_in_lockstep_equal_steps_alone(tiniest: Case, architecture: Architecture) -> None:
    """Losses of every step, and the weights at the end, in double precision."""
    settings = replace(SETTINGS, epochs=8, batch_size=8, learning_rate=1e-3)
    together = [in_double_precision(training) for training in start(tiniest, architecture, settings)]
    alone = [in_double_precision(training) for training in start(tiniest, architecture, settings)]
    seen, expected = ([record_losses(training) for training in each] for each in (together, alone))
    group = Lockstep(together, FUSED)
    n_epochs = 2 if architecture.recipe == "study" else 4  # others have larger batches
    run_epochs(group, n_epochs)
    for training in alone:
        for _ in range(n_epochs):
            training.run_epoch()
    for fold in range(5):
        assert len(seen[fold]) >= 4
        assert seen[fold] == pytest.approx(expected[fold], rel=1e-9)
    assert [len(each) for each in seen] == [len(each) for each in expected]


def test_full_batches_are_trained_at_once(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    step = lockstep.Step.__call__

    def note(self: lockstep.Step, rows: Sequence[Tensor], rates: Sequence[float]) -> Tensor:
        sizes.append((len(rows), len(rows[0])))
        return step(self, rows, rates)

    monkeypatch.setattr(lockstep.Step, "__call__", note)
    run_epochs(Lockstep(start(tiny, CNN), FUSED), 1)
    # 70 rows are 3 full batches and two of 11; 80 rows are 5 full batches.
    assert sizes == [(5, 16)] * 3 + [*[(1, 11)] * 4, (1, 16)] * 2


@pytest.mark.slow
@pytest.mark.parametrize("together", [FUSED, BESIDE], ids=["fused", "beside"])
def test_means_of_an_epoch_and_predictions_are_those_of_folds_alone(tiny: Case, together: Together) -> None:
    alone = start(tiny, TINY)
    folds = start(tiny, TINY)
    losses = run_epochs(Lockstep(folds, together), 2)
    for number, training in enumerate(alone):
        expected = [training.run_epoch()[0] for _ in range(2)]
        assert [epoch[number] for epoch in losses] == pytest.approx(expected, rel=2e-3)
        np.testing.assert_allclose(folds[number].predict(), training.predict(), atol=5e-3)


@pytest.mark.slow
def test_lockstep_repeats_itself_to_the_last_bit(tiny: Case) -> None:
    first, second = start(tiny, TINY), start(tiny, TINY)
    assert run_epochs(Lockstep(first, FUSED), 2) == run_epochs(Lockstep(second, FUSED), 2)
    for one, other in zip(first, second, strict=True):
        expected = weights(other)
        assert all(torch.equal(value, expected[name]) for name, value in weights(one).items())


def test_a_group_of_one_is_the_fold_alone(tiny: Case) -> None:
    one, other = tiny.start(), tiny.start()
    assert run_epochs(Lockstep([one], FUSED), 2) == [[other.run_epoch()[0]] for _ in range(2)]
    expected = weights(other)
    assert all(torch.equal(value, expected[name]) for name, value in weights(one).items())


def test_seconds_are_shared(tiny: Case) -> None:
    ends = Lockstep(start(tiny, CNN), FUSED).run_epoch()
    seconds = [end[1] for end in ends if not isinstance(end, TrainingError)]
    assert len(seconds) == 5
    assert all(second > 0 for second in seconds)
    assert max(seconds) < 2 * min(seconds)


# ---------------------------------------------------------------------------------------------------------
# Leaving and joining


@pytest.mark.slow
def test_checkpoints_of_a_group_and_of_a_fold_alone_are_the_same_thing(tiny: Case, tmp_path: Path) -> None:
    undisturbed = [in_double_precision(training) for training in start(tiny, TINY)]
    for training in undisturbed:
        for _ in range(4):
            training.run_epoch()

    def path(fold: int) -> Path:
        return tmp_path / str(fold)

    def restored() -> list[FoldTraining]:
        folds = [in_double_precision(training) for training in start(tiny, TINY)]
        for fold, training in enumerate(folds):
            training.restore(path(fold))
        return folds

    def save(folds: Sequence[FoldTraining]) -> None:
        for fold, training in enumerate(folds):
            training.save(path(fold))

    folds = [in_double_precision(training) for training in start(tiny, TINY)]
    run_epochs(Lockstep(folds, FUSED), 1)
    save(folds)
    folds = restored()
    for training in folds:  # alone for an epoch
        training.run_epoch()
    save(folds)
    folds = restored()
    run_epochs(Lockstep(folds, FUSED), 1)
    folds[1].run_epoch()  # one alone, while its parameters are parts of joint ones
    run_epochs(Lockstep([folds[0], *folds[2:]], FUSED), 1)
    for training, expected in zip(folds, undisturbed, strict=True):
        assert training.epochs_done == 4
        np.testing.assert_allclose(training.predict(), expected.predict(), rtol=1e-5)


@pytest.mark.slow
def test_folds_that_continue_from_different_epochs_train_together(tiny: Case) -> None:
    folds = [in_double_precision(training) for training in start(tiny, CNN)]
    expected = [in_double_precision(training) for training in start(tiny, CNN)]
    folds[2].run_epoch()
    run_epochs(Lockstep(folds, FUSED), 2)
    for number, training in enumerate(expected):
        for _ in range(3 if number == 2 else 2):
            training.run_epoch()
        assert training.epochs_done == folds[number].epochs_done
        close(weights(folds[number]), weights(training), 1e-7)


@pytest.mark.slow
def test_a_fold_whose_training_is_over_stays_as_it_is(tiny: Case) -> None:
    folds = [in_double_precision(training) for training in start(tiny, CNN)]
    expected = [in_double_precision(training) for training in start(tiny, CNN)]
    group = Lockstep(folds, FUSED)
    run_epochs(group, 1)
    stop_early(folds[0])
    before = weights(folds[0])
    second, third = run_epochs(group, 2)
    assert all(torch.equal(value, before[name]) for name, value in weights(folds[0]).items())
    assert second[0] == third[0]
    assert [training.epochs_done for training in folds] == [3] * 5
    for training in expected[1:]:
        for _ in range(3):
            training.run_epoch()
    for one, other in zip(folds[1:], expected[1:], strict=True):
        close(weights(one), weights(other), 1e-7)


@pytest.mark.slow
def test_early_stopping_sees_the_same_scores(tiny: Case) -> None:
    stopping = replace(CNN, recipe="resnet1d-se")
    folds, alone = start(tiny, stopping), start(tiny, stopping)
    run_epochs(Lockstep(folds, FUSED), 3)
    for one, other in zip(folds, alone, strict=True):
        for _ in range(3):
            other.run_epoch()
        # Private: the score that early stopping watches.
        assert one._stopping.best == pytest.approx(other._stopping.best, abs=0.02)
        assert len(one._stopping.state()) == len(other._stopping.state())


# ---------------------------------------------------------------------------------------------------------
# Failures


def test_a_fold_that_diverges_fails_alone(tiny: Case) -> None:
    folds = [in_double_precision(training) for training in start(tiny, CNN)]
    expected = [in_double_precision(training) for training in start(tiny, CNN)]
    with torch.no_grad():
        folds[3].model.head[-1].bias.fill_(torch.nan)
    ends = Lockstep(folds, FUSED).run_epoch()
    failure = ends.pop(3)
    assert isinstance(failure, TrainingError)
    assert (failure.kind, str(failure)) == ("diverged", "training loss is nan in epoch 1")
    assert folds[3].epochs_done == 0
    for end, training in zip(ends, expected[:3] + expected[4:], strict=True):
        assert not isinstance(end, TrainingError)
        assert end[0] == pytest.approx(training.run_epoch()[0], rel=1e-6)


def exhaust_memory(when: Callable[[Sequence[object]], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let steps run out of memory after they have drawn and normed a batch."""
    # Private: the moment between drawing a batch and changing weights.
    logits = lockstep.Step._logits

    def fail(self: lockstep.Step, batches: Sequence[object]) -> Sequence[Tensor]:
        found = logits(self, batches)
        if when(batches):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore words")
        return found

    monkeypatch.setattr(lockstep.Step, "_logits", fail)


@pytest.mark.slow
def test_folds_without_room_side_by_side_are_trained_in_turn(
    tiny: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if nothing had been tried: to the last bit."""
    expected = start(tiny, TINY)
    losses = [[training.run_epoch()[0] for training in expected] for _ in range(2)]
    folds = start(tiny, TINY)
    exhaust_memory(lambda batches: len(batches) > 1, monkeypatch)
    group = Lockstep(folds, FUSED)
    with pytest.warns(RuntimeWarning, match=r"^no memory for 5 folds at once: they are trained in turn$"):
        first = run_epochs(group, 1)
    assert first + run_epochs(group, 1) == losses
    for one, other in zip(folds, expected, strict=True):
        wanted = weights(other)
        assert all(torch.equal(value, wanted[name]) for name, value in weights(one).items())


def test_folds_without_room_for_one_fail(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    exhaust_memory(lambda batches: True, monkeypatch)
    with pytest.warns(RuntimeWarning, match="no memory for 5 folds at once"):
        ends = Lockstep(start(tiny, CNN), FUSED).run_epoch()
    assert [str(end) for end in ends] == ["CUDA out of memory. Tried to allocate 2 GiB"] * 5
    assert all(isinstance(end, TrainingError) and end.kind == "out-of-memory" for end in ends)


@pytest.mark.slow
def test_memory_that_runs_out_later_fails_no_fold_either(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second joint step of the second epoch; another library notices."""
    expected = [in_double_precision(training) for training in start(tiny, CNN)]
    losses = [[training.run_epoch()[0] for training in expected] for _ in range(3)]
    folds = [in_double_precision(training) for training in start(tiny, CNN)]
    n_joint = 0

    def fail(self: lockstep.Step, batches: Sequence[object]) -> Sequence[Tensor]:
        nonlocal n_joint
        found = logits(self, batches)
        n_joint += len(batches) > 1
        if len(batches) > 1 and n_joint == 5:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return found

    # Private: the moment between drawing a batch and changing weights.
    logits = lockstep.Step._logits
    monkeypatch.setattr(lockstep.Step, "_logits", fail)
    group = Lockstep(folds, FUSED)
    with pytest.warns(RuntimeWarning, match="^no memory for 5 folds at once"):
        found = run_epochs(group, 3)
    assert n_joint == 5
    assert np.array(found) == pytest.approx(np.array(losses), rel=1e-6)  # sums of five batches in float32
    for one, other in zip(folds, expected, strict=True):
        close(weights(one), weights(other), 1e-7)


def test_a_step_that_has_reached_some_weights_is_not_done_again(
    tiny: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moments are made in the first step of an optimiser, for which there may be no room."""
    folds = start(tiny, CNN)

    def fail(rate: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(folds[3], "optimizer_step", fail)
    ends = Lockstep(folds, FUSED).run_epoch()
    assert all(isinstance(end, TrainingError) and end.kind == "out-of-memory" for end in ends)


# ---------------------------------------------------------------------------------------------------------
# Graphs, where there is no GPU


class Recorded:
    """Stands for a graph; counts what it does."""

    made: ClassVar[list[tuple[int, int]]] = []
    n_replayed = 0

    def __init__(
        self, step: lockstep.Stepping, folds: Sequence[FoldTraining], batch_size: int, pool: object
    ) -> None:
        Recorded.made.append((len(folds), batch_size))
        assert pool == "pool of the group"
        self._step = step

    def __call__(self, rows: Sequence[Tensor], rates: Sequence[lockstep.Rate]) -> Tensor:
        Recorded.n_replayed += 1
        return self._step(rows, rates)


def capture(group: Lockstep) -> None:
    # Private: without a GPU nothing is captured.
    group._capturing.is_wanted = True


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    monkeypatch.setattr(lockstep, "Graph", Recorded)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool of the group")
    monkeypatch.setattr(Recorded, "made", [])
    monkeypatch.setattr(Recorded, "n_replayed", 0)
    return Recorded


@pytest.mark.slow
def test_every_size_of_batch_is_captured_once_it_has_recurred(tiny: Case, recorded: type[Recorded]) -> None:
    """Three joint steps an epoch, and two alone of every fold, which are of 11 or 16 records."""
    settings = replace(SETTINGS, epochs=8)
    folds, others = start(tiny, CNN, settings), start(tiny, CNN, settings)
    group = Lockstep(folds, FUSED)
    capture(group)
    found = run_epochs(group, 6)
    assert recorded.made == [(5, 16), *[(1, 11)] * 4, (1, 16)]
    # The ninth joint step is the last one of epoch 3, the ninth of a fold alone the first one of epoch 5.
    assert recorded.n_replayed == 1 + 3 * 3 + 2 * 2 * 5
    assert found == run_epochs(Lockstep(others, FUSED), 6)


@pytest.mark.slow
def test_when_folds_leave_their_graphs_are_let_go(tiny: Case, recorded: type[Recorded]) -> None:
    folds = start(tiny, CNN, replace(SETTINGS, epochs=8))
    group = Lockstep(folds, FUSED)
    capture(group)
    run_epochs(group, 4)
    graphs = [weakref.ref(graph) for held in graphs_of(group).values() for graph in held]
    assert graphs
    stop_early(folds[0])
    run_epochs(group, 1)
    gc.collect()
    assert all(graph() is None for graph in graphs)


def test_what_graphs_hold_is_free_with_the_group(tiny: Case, recorded: type[Recorded]) -> None:
    """Without the help of the garbage collector, which does not know how much memory that is."""
    group = Lockstep(start(tiny, CNN), FUSED)
    capture(group)
    run_epochs(group, 3)
    graphs = [weakref.ref(graph) for held in graphs_of(group).values() for graph in held]
    assert graphs
    gc.disable()
    try:
        del group
        assert all(graph() is None for graph in graphs)
    finally:
        gc.enable()


class FailedCapture:
    """Stands for `torch.cuda.graph` where nothing can be captured."""

    def __init__(self, graph: object, **options: object) -> None:
        self.options = options

    def __exit__(self, *_: object) -> None: ...

    def __enter__(self) -> None:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture\nmore words")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Settings given to the allocator."""

    class NoGraph:
        def register_generator_state(self, generator: torch.Generator) -> None: ...

    told: list[str] = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", NoGraph)
    monkeypatch.setattr(torch.cuda, "graph", FailedCapture)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    # Private: calls of PyTorch's allocator, and what the process remembers of a failure.
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        monkeypatch.setattr(
            torch._C,
            name,
            lambda device, pool, name=name: told.append(f"{name} {device} {pool}"),
            raising=False,
        )
    monkeypatch.setattr(lockstep.Capturing, "_given_up", "")
    return told


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.11.0+cu130", "2.12.0", "2.13.0+cu130"])
def test_a_failed_capture_is_undone_and_said(
    tiny: Case, failing: list[str], version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step goes on as if it had not been tried; before PyTorch 2.12 nothing is captured after it."""
    monkeypatch.setattr(torch, "__version__", version)
    expected = run_epochs(Lockstep(start(tiny, CNN), FUSED), 4)
    said: list[str] = []
    group = Lockstep(start(tiny, CNN), FUSED, said.append)
    capture(group)
    assert run_epochs(group, 4) == expected
    (reason,) = said
    assert reason.startswith(
        "training goes on without CUDA graphs: CUDA error: operation failed due to a previous error"
    )
    assert failing == ["_cuda_endAllocateToPool 0 (0, 1)", "_cuda_releasePool 0 (0, 1)"]
    # Private: training goes on the same with and without graphs.
    assert not group._capturing.is_wanted
    again: list[str] = []
    is_given_up = not lockstep.Capturing(is_wanted=True, tell=again.append).is_wanted
    assert is_given_up == (version.startswith("2.11"))
    assert again == ([reason] if is_given_up else [])


def test_an_allocator_that_knows_of_the_end_is_left_alone(
    failing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(device: int, pool: object) -> None:
        raise RuntimeError("endAllocatePool: not currently recording to mempool_id")

    # Private: the end of a capture, of which only its effect on the allocator can be seen.
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", refuse, raising=False)
    lockstep._end_allocation(torch.device("cuda", 1), (0, 1))
    assert failing == []


# ---------------------------------------------------------------------------------------------------------
# Predictions


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [TINY, replace(CNN, features=True)], ids=["tiny", "features"])
def test_predictions_at_once_are_those_of_folds_alone(
    tiny: Case, architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation parts of 20 and 10 records, in batches of 3 for each of 5 folds, in double precision."""
    monkeypatch.setattr(inference, "BATCH", 3)
    folds = [in_double_precision(training) for training in start(tiny, architecture)]
    group = Lockstep(folds, FUSED)
    # Private: whether the folds are one model.
    assert group._model is None
    run_epochs(group, 1)
    assert group._model is not None
    before = [weights(fold) for fold in folds]
    found = group.predict()
    assert len({len(fold.validation_rows) for fold in folds}) == 2
    for fold, p_NC in zip(folds, found, strict=True):
        np.testing.assert_allclose(p_NC, fold.predict(), rtol=1e-5)  # float32 in the end
    for fold, values in zip(folds, before, strict=True):
        assert all(torch.equal(value, values[name]) for name, value in weights(fold).items())
    losses = run_epochs(group, 1)  # in training again, dropout and batch norm included
    others = [in_double_precision(training) for training in start(tiny, architecture)]
    undisturbed = Lockstep(others, FUSED)
    run_epochs(undisturbed, 1)
    assert losses == run_epochs(undisturbed, 1)


def test_a_fold_whose_predictions_are_not_numbers_fails_alone(tiny: Case) -> None:
    folds = start(tiny, CNN)
    group = Lockstep(folds, FUSED)
    run_epochs(group, 1)
    with torch.no_grad():
        folds[3].model.head[-1].bias.fill_(torch.nan)
    found = group.predict()
    failure = found.pop(3)
    assert isinstance(failure, TrainingError)
    assert str(failure) == "predictions are not numbers after epoch 1"
    assert all(isinstance(p_NC, np.ndarray) for p_NC in found)


# ---------------------------------------------------------------------------------------------------------
# As a trial


def cross_validate(
    trainer: CrossValidation, architecture: Architecture, folder: Path
) -> dict[int, FoldOutcome]:
    outcomes: dict[int, FoldOutcome] = {}
    with FoldPool(
        trainer, architecture, range(1, trainer.n_folds + 1), checkpoint=lambda fold: folder / str(fold)
    ) as pool:
        for report in pool.reports(stop=lambda: False):
            if isinstance(report.event, Exception):
                raise report.event
            if isinstance(report.event, FoldOutcome):
                outcomes[report.fold] = report.event
            assert isinstance(report.event, EpochRecord | FoldOutcome)
    return outcomes


@pytest.mark.slow
@pytest.mark.parametrize("together", [FUSED, BESIDE], ids=["fused", "beside"])
def test_a_trial_in_lockstep_equals_one_fold_after_another(tmp_path: Path, together: Together) -> None:
    settings = TrainingSettings(epochs=2, batch_size=16)
    found = []
    for how in (together, Together(lockstep=False)):
        trainer = CrossValidation(
            development(), "superclass", settings, device=CPU, n_threads=1, cache_dir=NO_CACHE, together=how
        )
        found.append(cross_validate(trainer, TINY, tmp_path))
    for fold, outcome in found[0].items():
        p_NC = found[1][fold].predictions.probabilities_NC
        np.testing.assert_allclose(outcome.predictions.probabilities_NC, p_NC, atol=5e-3)


@pytest.mark.slow
def test_what_was_not_done_as_meant_goes_with_a_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhaust_memory(lambda batches: len(batches) > 1, monkeypatch)
    trainer = CrossValidation(
        development(), "superclass", SETTINGS, device=CPU, n_threads=1, cache_dir=NO_CACHE, together=FUSED
    )
    notes = []
    with FoldPool(trainer, CNN, range(1, 6), checkpoint=lambda fold: tmp_path / str(fold)) as pool:
        for report in pool.reports(stop=lambda: False):
            if isinstance(report.event, EpochRecord):
                notes.append((report.event.epoch, report.notes))
    assert [note for note in notes if note[1]] == [
        (1, ("no memory for 5 folds at once: they are trained in turn",))
    ]


def test_the_trainer_says_how_many_folds_run_at_once() -> None:
    def trainer(together: Together | None) -> CrossValidation:
        return CrossValidation(
            development(),
            "superclass",
            SETTINGS,
            device=CPU,
            n_threads=2,
            cache_dir=NO_CACHE,
            together=together,
        )

    beside, at_once = trainer(None), trainer(FUSED)
    assert (beside.n_parallel, beside.n_together, beside.n_threads_each) == (2, 1, 1)
    assert (at_once.n_parallel, at_once.n_together, at_once.n_threads_each) == (5, 5, 2)
    assert Together.on(torch.device("cuda")).lockstep


@pytest.mark.parametrize(
    ("ptbxl", "batch_size", "tolerance"),
    [
        ("part", 8, 0.03),  # among seven records two that change places are a step of a score
        pytest.param("ptb-xl-sample", 64, 2e-3, marks=[pytest.mark.needs_data, pytest.mark.slow]),
    ],
    indirect=["ptbxl"],
)
def test_real_records_in_lockstep_equal_one_fold_after_another(
    ptbxl: Path, batch_size: int, tolerance: float, tmp_path: Path
) -> None:
    """One epoch in 32-bit numbers: training carries their rounding further and further."""
    sample = load_development(ptbxl, cache_dir=tmp_path)
    settings = TrainingSettings(epochs=1, batch_size=batch_size, learning_rate=1e-3)
    architecture = replace(TINY, dropout=0.2)
    scores = []
    for how in (FUSED, Together(lockstep=False)):
        trainer = CrossValidation(
            sample, "superclass", settings, device=CPU, n_threads=1, cache_dir=tmp_path, together=how
        )
        outcomes = cross_validate(trainer, architecture, tmp_path)
        predictions = {fold: outcome.predictions for fold, outcome in outcomes.items()}
        summary = trainer.summarise("superclass", predictions)
        scores.append((summary["superclass"].metrics["macro_auprc"], predictions))
    assert scores[0][0] == pytest.approx(scores[1][0], abs=tolerance)
    for fold, expected in scores[1][1].items():
        found = scores[0][1][fold]
        assert np.array_equal(found.ecg_id, expected.ecg_id)
        np.testing.assert_allclose(found.probabilities_NC, expected.probabilities_NC, atol=5e-3)


# ---------------------------------------------------------------------------------------------------------
# On a GPU


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Many small batches, so that steps are captured."""
    data = development(n_records=450, n_samples=100)
    on_device = DeviceData(data, torch.device("cuda"), cache_dir=tmp_path_factory.mktemp("cache"))
    return Case(data=data, on_device=on_device, folds=cv_folds(data.strat_fold, data.fold_plan))


@pytest.mark.needs_gpu
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_captured_steps_equal_steps_that_are_not(on_gpu: Case, architecture: Architecture) -> None:
    """The same random numbers, and weights equal but for sums in another order."""
    settings = TrainingSettings(epochs=4, batch_size=16, learning_rate=1e-3)
    ways = [
        FUSED,
        replace(FUSED, graphs=False),
        BESIDE,
        replace(BESIDE, graphs=False),
        Together(lockstep=False, graphs=False),
    ]
    losses = []
    for how in ways:
        folds = [in_double_precision(training) for training in start(on_gpu, architecture, settings)]
        groups = [Lockstep(folds, how)] if how.lockstep else [Lockstep([fold], how) for fold in folds]
        losses.append(
            [loss for group in groups for epoch in zip(*run_epochs(group, 3), strict=True) for loss in epoch]
        )
        if how.graphs:
            # Private: training would go on without graphs.
            assert groups[0]._capturing.is_wanted
    for found in losses[1:]:
        assert found == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.needs_gpu
def test_a_gpu_trains_as_a_processor_does(on_gpu: Case) -> None:
    """Where nothing is drawn on the device."""
    settings = TrainingSettings(epochs=4, batch_size=16, learning_rate=1e-3)
    architecture = replace(ARCHITECTURES["fcn-wang"], dropout=0.0, augmentation="none")
    sample = case(n_records=450, n_samples=100)
    expected = [in_double_precision(training) for training in start(sample, architecture, settings)]
    found = [in_double_precision(training) for training in start(on_gpu, architecture, settings)]
    losses = run_epochs(Lockstep(found, FUSED), 3)
    for number, training in enumerate(expected):
        wanted = [training.run_epoch()[0] for _ in range(3)]
        assert [epoch[number] for epoch in losses] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.needs_gpu
def test_a_capture_that_fails_leaves_no_trace(on_gpu: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking the device in the middle of a step is what a graph cannot hold."""
    expected = run_epochs(Lockstep(start(on_gpu, CNN), replace(FUSED, graphs=False)), 2)
    folds = start(on_gpu, CNN)
    for training in folds:
        record_losses(training)  # asks for the value of every loss
    with pytest.warns(RuntimeWarning, match="training goes on without CUDA graphs"):
        found = run_epochs(Lockstep(folds, FUSED), 2)
    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-2)
    assert all(math.isfinite(loss) for epoch in found for loss in epoch)
