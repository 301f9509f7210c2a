"""Training on a GPU in the precision of a search: bfloat16 where autocast has it, with and without graphs.

A number in bfloat16 has eight binary digits, so one rounding errs by up to 2⁻⁹, or .2 %. Two trainings
that add up in another order differ by some roundings in every step, which partly cancel in the mean loss of
an epoch of twenty steps and grow with the steps: what differs by more than 2 %, ten roundings, in one of the
first two epochs computes something else. Probabilities lie within .02 of each other for the same reason.

No data are needed, and every test takes seconds.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from training_samples import Case, development, graphs_of, run_epochs, stop_early

from search.data.folds import cv_folds
from search.models.gru import hidden_states
from search.study.provenance import PeakMemory
from search.training import inference
from search.training.batches import Batch
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.fold_threads import FoldPool
from search.training.gan.records import SyntheticRecords
from search.training.interface import FoldOutcome
from search.training.lockstep import Lockstep, Together
from search.training.model_file import load_model
from search.training.settings import TrainingSettings
from search.training.trainer import CrossValidation
from space import Architecture, RecurrentLayer
from storage import EpochRecord

pytestmark = [pytest.mark.needs_gpu, pytest.mark.timeout(120)]

DEVICE = torch.device("cuda")
RELATIVE = 2e-2
ABSOLUTE = 2e-2
FUSED = Together(lockstep=True)
EAGER = replace(FUSED, graphs=False)
BESIDE = replace(FUSED, fused=False)
SETTINGS = TrainingSettings(epochs=6, batch_size=16, learning_rate=1e-3)
CNN = Architecture(width=0.25, head_width=64, label_tier="superclass")
LSTM, BILSTM = RecurrentLayer(cell="lstm"), RecurrentLayer(cell="lstm", bidirectional=True)
GRU = RecurrentLayer(cell="gru")
ARCHITECTURES = {
    "cnn": CNN,
    "lstm": replace(CNN, recurrent=(LSTM,), hidden_size=128),
    "gru-bilstm-lstm": replace(CNN, recurrent=(GRU, BILSTM, LSTM), hidden_size=32, gate=4),
    "attention": replace(
        CNN, recurrent=(BILSTM,), hidden_size=32, pooling="attention", head="linear", loss="focal"
    ),
    "mixup": replace(CNN, augmentation="mixup", loss="power", exponent=0.4, cap=3.0),
    "soft labels": replace(CNN, soft_labels=True),
    "rich": replace(CNN, augmentation="rich", pooling="mean-max", head="bottleneck"),
    "transformer": replace(CNN, backbone="cnn-transformer"),
    "s4d": replace(CNN, backbone="s4d", width=0.0625),
    "se": replace(CNN, backbone="resnet1d-se", loss="balanced"),
    "separable": replace(CNN, backbone="separable", sampling="square-root"),
    "tcn": replace(CNN, backbone="tcn", stride=2, sampling="balanced"),
    "mingru": replace(CNN, backbone="mingru"),
    "msw-transformer": replace(CNN, backbone="msw-transformer"),
    "lstm-bidir": replace(CNN, backbone="lstm-bidir", pooling="last-mean-max", head="bottleneck"),
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Folds of 350, 350, 350, 350 and 400 rows: some twenty full batches each, and tails of their own."""
    data = development(n_records=450, n_samples=250)
    on_device = DeviceData(data, DEVICE, cache_dir=tmp_path_factory.mktemp("cache"))
    return Case(data=data, on_device=on_device, folds=cv_folds(data.strat_fold, data.fold_plan))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    gc.collect()
    torch.cuda.empty_cache()  # fails if the allocator believes that something is still captured


def start(sample: Case, architecture: Architecture) -> list[FoldTraining]:
    return [sample.start(architecture, fold, SETTINGS) for fold in range(1, 6)]


def agree(found: Sequence[Sequence[float]], expected: Sequence[Sequence[float]]) -> None:
    assert np.array(found) == pytest.approx(np.array(expected), rel=RELATIVE)


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_captured_steps_equal_steps_that_are_not(sample: Case, architecture: Architecture) -> None:
    """With the same random numbers; warnings are errors, so that no capture has failed."""
    expected = run_epochs(Lockstep(start(sample, architecture), EAGER), 2)
    for together in (FUSED, BESIDE):
        folds = start(sample, architecture)
        group = Lockstep(folds, together)
        agree(run_epochs(group, 2), expected)
        if folds[0].batch_size == SETTINGS.batch_size:
            assert graphs_of(group)
        for fold, p_NC in zip(folds, group.predict(), strict=True):
            assert isinstance(p_NC, np.ndarray)
            np.testing.assert_allclose(p_NC, fold.predict(), atol=ABSOLUTE)


def test_tails_are_captured_as_well(sample: Case) -> None:
    """A fold has two a epoch: captured in the fifth epoch if they are of the same size, else never here."""
    expected = run_epochs(Lockstep(start(sample, CNN), EAGER), 6)
    group = Lockstep(start(sample, CNN), FUSED)
    found = run_epochs(group, 6)
    assert set(graphs_of(group)) - {SETTINGS.batch_size}
    # Differences grow with the steps: after six epochs three times as long a way as after two.
    assert np.array(found) == pytest.approx(np.array(expected), rel=3 * RELATIVE)


def test_synthetic_records_join_captured_steps(sample: Case) -> None:
    def folds() -> list[FoldTraining]:
        made = SyntheticRecords(
            x_MLT=torch.from_numpy(sample.data.x_NLT[:32].copy()).to(DEVICE),
            y_MC=torch.from_numpy(sample.data.y["superclass"][:32].astype(np.float32)).to(DEVICE),
            seconds=0.0,
        )
        found = start(sample, CNN)
        for fold in found:
            # Private: synthetic records that no GAN has been trained for.
            fold._material = replace(fold._material, synthetic=made, synthetic_share=0.25)
        return found

    agree(run_epochs(Lockstep(folds(), FUSED), 2), run_epochs(Lockstep(folds(), EAGER), 2))


def test_a_checkpoint_between_groups_is_continued(sample: Case, tmp_path: Path) -> None:
    architecture = ARCHITECTURES["lstm"]
    folds = start(sample, architecture)
    group = Lockstep(folds, FUSED)
    run_epochs(group, 1)
    for number, fold in enumerate(folds):
        fold.save(tmp_path / str(number))
    expected = run_epochs(group, 1)
    continued = start(sample, architecture)
    for number, fold in enumerate(continued):
        fold.restore(tmp_path / str(number))
    agree(run_epochs(Lockstep(continued, FUSED), 1), expected)


def test_when_a_fold_leaves_the_others_go_on(sample: Case) -> None:
    expected = run_epochs(Lockstep(start(sample, CNN), EAGER), 3)
    folds = start(sample, CNN)
    group = Lockstep(folds, FUSED)
    run_epochs(group, 1)
    stop_early(folds[0])
    found = run_epochs(group, 2)
    agree([losses[1:] for losses in found], [losses[1:] for losses in expected[1:]])


def test_one_seed_gives_about_the_same_twice(sample: Case) -> None:
    """Not to the last bit: kernels add up in an order of their own."""
    first, second = (run_epochs(Lockstep(start(sample, CNN), FUSED), 2) for _ in range(2))
    agree(first, second)


def test_a_capture_that_fails_takes_nothing_from_the_next_trial(sample: Case) -> None:
    folds = start(sample, CNN)
    for fold in folds:

        def ask(z_BC: Tensor, batch: Batch, fold: FoldTraining = fold) -> Tensor:
            value = FoldTraining.loss(fold, z_BC, batch)
            value.item()  # what a graph cannot hold
            return value

        fold.loss = ask  # type: ignore[method-assign]
    said: list[str] = []
    group = Lockstep(folds, FUSED, said.append)
    found = run_epochs(group, 2)
    assert len(said) == 1
    assert said[0].startswith("training goes on without CUDA graphs: ")
    agree(found, run_epochs(Lockstep(start(sample, CNN), EAGER), 2))
    del group, folds
    gc.collect()
    torch.cuda.empty_cache()
    torch.rand(2, device=DEVICE).tolist()  # the default generator has not stayed in the capture
    after: list[str] = []
    group = Lockstep(start(sample, CNN), FUSED, after.append)
    run_epochs(group, 1)
    if torch.__version__ >= (2, 12):
        assert after == []
        assert graphs_of(group)
    else:
        assert after == said


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
def test_recurrent_layers_and_their_gradients_are_in_float32(
    kind: type[torch.nn.LSTM | torch.nn.GRU],
) -> None:
    """Gradients of 2e-7, as a mean over time and records gives them, would be zero in float16."""
    torch.manual_seed(0)
    layer = kind(64, 32, batch_first=True).to(DEVICE)
    x_BTC = torch.randn(16, 50, 64, device=DEVICE).bfloat16().requires_grad_()
    with torch.autocast("cuda", torch.bfloat16):
        h_BTC = hidden_states(layer, x_BTC)
    assert h_BTC.dtype == torch.float32
    h_BTC.backward(torch.full_like(h_BTC, 2e-7))
    assert x_BTC.grad is not None
    assert (x_BTC.grad == 0).float().mean() < 0.01


def test_logits_are_in_float32(sample: Case) -> None:
    fold = sample.start(CNN)
    x_BLT, _ = fold.fetch(fold.validation_rows)
    with fold.precision():
        assert fold.model.eval()(x_BLT).dtype == torch.float32


def test_batches_of_predictions_are_bounded(sample: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = sample.start(CNN)
    expected = fold.predict()
    monkeypatch.setattr(inference, "LARGEST_TENSOR", {"cuda": 16 * 250 * 7})
    # Private: the batch that a model was found to have room for.
    inference._room.clear()
    np.testing.assert_allclose(fold.predict(), expected, atol=ABSOLUTE)
    assert inference._room[fold.model] == 7
    inference._room.clear()


def test_two_trials_as_a_search_trains_them(sample: Case, tmp_path: Path) -> None:
    """Nothing is said, the memory is known, and the models say on a CPU what they said on the GPU."""
    settings = replace(SETTINGS, epochs=3)
    trainer = CrossValidation(
        sample.data, "superclass", settings, device=DEVICE, n_threads=2, cache_dir=tmp_path / "cache"
    )
    for architecture in (ARCHITECTURES["gru-bilstm-lstm"], ARCHITECTURES["mixup"]):
        memory = PeakMemory()
        outcomes: dict[int, FoldOutcome] = {}
        numbers = range(1, trainer.n_folds + 1)
        with FoldPool(trainer, architecture, numbers, checkpoint=lambda fold: tmp_path / str(fold)) as pool:
            for report in pool.reports(stop=lambda: False):
                assert not isinstance(report.event, Exception)
                if isinstance(report.event, EpochRecord):
                    assert report.notes == ()
                elif report.event is not None:
                    outcomes[report.fold] = report.event
        assert sorted(outcomes) == list(numbers)
        n_bytes = memory.n_bytes_on_gpu()
        assert n_bytes is not None
        assert n_bytes > sample.data.x_NLT.nbytes
        for fold, outcome in outcomes.items():
            kept = load_model(outcome.model)
            x_NLT = np.asarray(sample.data.x_NLT[sample.folds[fold - 1].validation])
            p_NC = outcome.predictions.probabilities_NC
            np.testing.assert_allclose(kept.predict(x_NLT), p_NC, atol=ABSOLUTE)
        summary = trainer.summarise("superclass", {n: each.predictions for n, each in outcomes.items()})
        assert 0 < summary["superclass"].metrics["macro_auprc"] <= 1
