"""Models with a fold axis: every fold gets what its own model would have made of its own signals."""

import contextlib
import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from architectures import BIGRU, BILSTM, GRU, LSTM
from torch import Tensor, nn
from training_samples import seeded

import space
from search.models import folded, modules
from search.models.folded import fold_models
from search.models.hybrid import HybridModel, build_model
from search.models.modules import Dropout
from space import Architecture, RecurrentLayer

N_FOLDS = 3
INPUTS = space.Inputs(n_features=10, likelihoods=True)
TINY = Architecture(width=0.0625, head_width=8)


def recurrent(*stack: RecurrentLayer, pooling: str = "mean") -> Architecture:
    return replace(TINY, recurrent=stack, hidden_size=6, pooling=pooling)


ARCHITECTURES = {
    "cnn": TINY,
    "gate": replace(TINY, gate=4),
    "gru": recurrent(GRU),
    "bigru": recurrent(BIGRU),
    "bilstm": recurrent(BILSTM),
    "gru-bilstm-lstm": recurrent(GRU, BILSTM, LSTM),
    "mean-max": replace(TINY, pooling="mean-max"),
    "last-mean-max": recurrent(BILSTM, pooling="last-mean-max"),
    "attention": recurrent(LSTM, pooling="attention"),
    "bottleneck": replace(TINY, head="bottleneck"),
    "linear": replace(TINY, head="linear"),
    "features": replace(TINY, features=True),
    "no dropout": replace(TINY, dropout=0.0),
    **{backbone: replace(TINY, backbone=backbone) for backbone in space.FRONT_ENDS},
    "even kernel": replace(TINY, backbone="resnet1d-wang", kernel=8),
}
MODELS = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def models_of(architecture: Architecture, n_folds: int = N_FOLDS) -> list[HybridModel]:
    """In double precision, each with weights and a dropout generator of its own."""
    models = [
        build_model(architecture, 5, generator=seeded(fold), inputs=INPUTS).double()
        for fold in range(n_folds)
    ]
    for fold, model in enumerate(models):
        model.draw_dropout_from(seeded(100 + fold))
    return models


def signals(n_folds: int = N_FOLDS, n_records: int = 6) -> tuple[Tensor, Tensor]:
    """Signals `x_FBLT` and features `f_FBK`."""
    x_FBLT = torch.randn(n_folds, n_records, space.N_LEADS, 96, generator=seeded(7))
    return x_FBLT.double(), torch.randn(n_folds, n_records, 10, generator=seeded(8)).double()


def copies(models: Sequence[HybridModel]) -> list[HybridModel]:
    """The same weights and generators in the same state."""
    found = [copy.deepcopy(model) for model in models]
    for fold, model in enumerate(found):
        model.draw_dropout_from(seeded(100 + fold))
    return found


def gradients(model: HybridModel) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.slow
@MODELS
def test_folds_at_once_equal_folds_alone(architecture: Architecture) -> None:
    """Logits, gradients and batch norm statistics, dropout switched on."""
    x_FBLT, f_FBK = signals()
    models = models_of(architecture)
    alone = copies(models)
    z_FBC = fold_models(models)(x_FBLT, f_FBK)
    z_FBC.square().sum().backward()
    for fold, (model, other) in enumerate(zip(models, alone, strict=True)):
        z_BC = other.train()(x_FBLT[fold], f_FBK[fold])
        z_BC.square().sum().backward()
        torch.testing.assert_close(z_FBC[fold], z_BC, rtol=1e-12, atol=1e-12)
        expected = gradients(other)
        assert torch.linalg.vector_norm(gradients(model) - expected) <= 1e-12 * torch.linalg.vector_norm(
            expected
        )
        for (name, buffer), same in zip(model.named_buffers(), other.buffers(), strict=True):
            torch.testing.assert_close(buffer, same, rtol=1e-12, atol=1e-12, msg=name)


@MODELS
def test_a_fold_has_no_gradient_in_the_parameters_of_another(architecture: Architecture) -> None:
    x_FBLT, f_FBK = signals()
    models = models_of(architecture)
    z_FBC = fold_models(models)(x_FBLT, f_FBK)
    z_FBC[1].square().sum().backward()
    assert gradients(models[1]).any()
    for fold in (0, 2):
        assert not any(p.grad.any() for p in models[fold].parameters() if p.grad is not None)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_fold_that_diverges_leaves_the_others_alone(broken: float) -> None:
    x_FBLT, _ = signals()
    models = models_of(ARCHITECTURES["gate"])
    with torch.no_grad():
        next(models[0].parameters()).fill_(broken)
    z_FBC = fold_models(models)(x_FBLT)
    z_FBC.square().sum().backward()
    assert not z_FBC[0].isfinite().any()
    assert z_FBC[1:].isfinite().all()
    assert gradients(models[1]).isfinite().all()
    assert all(buffer.isfinite().all() for buffer in models[2].buffers())


@pytest.mark.slow
@MODELS
def test_predictions_at_once_and_of_a_fold_that_is_taken_out(architecture: Architecture) -> None:
    x_FBLT, f_FBK = signals()
    models = models_of(architecture)
    folded = fold_models(models)
    folded(x_FBLT, f_FBK)  # statistics of a batch
    alone = copies(models)
    folded.eval()
    with torch.inference_mode():
        z_FBC = folded(x_FBLT, f_FBK)
        for fold, (model, other) in enumerate(zip(models, alone, strict=True)):
            expected = other.eval()(x_FBLT[fold], f_FBK[fold])
            assert torch.equal(model.eval()(x_FBLT[fold], f_FBK[fold]), expected)
            torch.testing.assert_close(z_FBC[fold], expected, rtol=1e-12, atol=1e-12)


def test_what_an_optimiser_does_to_a_fold_is_seen_by_all_at_once() -> None:
    x_FBLT, _ = signals()
    models = models_of(TINY)
    folded = fold_models(models).eval()
    before = folded(x_FBLT)
    with torch.no_grad():
        for parameter in models[1].parameters():
            parameter.mul_(1.1)
    after = folded(x_FBLT)
    assert torch.equal(before[::2], after[::2])
    assert not torch.equal(before[1], after[1])


def test_weights_and_gradients_of_fused_layers_are_parts_of_joint_tensors() -> None:
    """Nothing is copied in a step, and memory order, in which optimisers pair moments, stays as it was."""
    x_FBLT, _ = signals()
    models = models_of(ARCHITECTURES["gate"])
    strides = [parameter.stride() for parameter in models[0].parameters()]
    fold_models(models)(x_FBLT).square().sum().backward()
    for first, second, stride in zip(models[0].parameters(), models[1].parameters(), strides, strict=True):
        assert first.stride() == second.stride() == stride
        assert _storage(first) == _storage(second)
        assert first.grad is not None
        assert second.grad is not None
        assert _storage(first.grad) == _storage(second.grad)


def test_weights_of_recurrent_layers_stay_in_one_piece() -> None:
    """cuDNN copies them in every step otherwise."""
    models = models_of(ARCHITECTURES["bilstm"])
    kept = [parameter.data_ptr() for parameter in models[0].recurrent.parameters()]
    fold_models(models)
    assert [parameter.data_ptr() for parameter in models[0].recurrent.parameters()] == kept


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class _Doubling(nn.ReLU):
    """A subclass that computes something else than its base."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.dim() == 4  # of one fold
        return 2 * x


class _Scaling(nn.Module):
    """A module that nobody has fused."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(1, generator=seeded(3)).double())

    def forward(self, x_BC1T: Tensor) -> Tensor:
        return x_BC1T * self.factor


@pytest.mark.parametrize("make", [_Doubling, _Scaling])
def test_a_module_that_is_not_known_runs_fold_by_fold(make: Callable[[], nn.Module]) -> None:
    x_FBLT, _ = signals()
    models = models_of(TINY)
    for model in models:
        model.blocks.append(make())
    alone = copies(models)
    z_FBC = fold_models(models)(x_FBLT)
    for fold, other in enumerate(alone):
        torch.testing.assert_close(z_FBC[fold], other.train()(x_FBLT[fold]), rtol=1e-12, atol=1e-12)


def test_dropout_masks_of_a_fold_are_those_of_the_fold_alone() -> None:
    models = [nn.Sequential(Dropout(0.5), Dropout(0.3, spatial=True)) for _ in range(N_FOLDS)]
    x_FBTC = torch.ones(N_FOLDS, 4, 9, 3)
    expected = []
    for fold, model in enumerate(models):
        for dropout in model:
            dropout.generator = seeded(fold)
        expected.append(model(x_FBTC[fold]))
        for dropout in model:
            dropout.generator = seeded(fold)
    folded: nn.Module = fold_models(models)  # type: ignore[arg-type]
    assert torch.equal(folded(x_FBTC), torch.stack(expected))
    assert not torch.equal(expected[0], expected[1])


@pytest.mark.needs_gpu
@MODELS
def test_folds_at_once_on_a_gpu(architecture: Architecture) -> None:
    """In double precision, against the CPU; without dropout, for a GPU draws other numbers."""
    x_FBLT, f_FBK = signals()
    models = [model.cuda() for model in copies(models_of(replace(architecture, dropout=0.0)))]
    for model in models:
        for module in model.modules():
            if isinstance(module, Dropout):
                module.rate = 0.0
    alone = [copy.deepcopy(model).cpu() for model in models]
    z_FBC = fold_models(models)(x_FBLT.cuda(), f_FBK.cuda())
    z_FBC.square().sum().backward()
    for fold, (model, other) in enumerate(zip(models, alone, strict=True)):
        z_BC = other.train()(x_FBLT[fold], f_FBK[fold])
        z_BC.square().sum().backward()
        torch.testing.assert_close(z_FBC[fold].cpu(), z_BC, rtol=1e-9, atol=1e-9)
        difference = torch.linalg.vector_norm(gradients(model).cpu() - gradients(other))
        assert difference <= 1e-9 * torch.linalg.vector_norm(gradients(other))


@pytest.mark.parametrize("multiple", [8, 5])
def test_channels_of_zeros_change_no_number(multiple: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a GPU wants them: logits, gradients and statistics are those of the folds without them.

    In double precision: what is added to every sum is exactly zero, so that all that may differ is the order.
    """
    x_FBLT, f_FBK = signals()
    models = models_of(TINY)
    padded = copies(models)
    z_FBC = fold_models(models)(x_FBLT, f_FBK)
    z_FBC.square().sum().backward()
    seen: list[int] = []
    convolve = torch.nn.functional.conv2d

    def note(x_BC1T: Tensor, weight: Tensor, *rest: object, groups: int) -> Tensor:
        seen.append(weight.shape[1])
        assert x_BC1T.shape[1] == groups * weight.shape[1]
        assert x_BC1T.is_contiguous(memory_format=torch.channels_last)
        return convolve(x_BC1T, weight, *rest, groups=groups)

    monkeypatch.setattr(torch.nn.functional, "conv2d", note)
    # Private: a CPU pads nothing.
    monkeypatch.setattr(folded, "_CHANNELS_IN_A_GROUP", {"cpu": multiple})
    found_FBC = fold_models(padded)(x_FBLT, f_FBK)
    found_FBC.square().sum().backward()
    assert seen
    assert all(n % multiple == 0 for n in seen)
    torch.testing.assert_close(found_FBC, z_FBC, rtol=1e-12, atol=1e-12)
    for model, other in zip(models, padded, strict=True):
        torch.testing.assert_close(gradients(other), gradients(model), rtol=1e-10, atol=1e-12)
        for buffer, expected in zip(other.buffers(), model.buffers(), strict=True):
            torch.testing.assert_close(buffer, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_folds", [1, N_FOLDS])
def test_logits_are_float32_where_autocast_is_kept_out(n_folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, for folds alone and at once; on a CPU they are as they were."""
    models = [build_model(TINY, 5, generator=seeded(fold), inputs=INPUTS) for fold in range(n_folds)]
    for model in models:
        model.draw_dropout_from(seeded(0))
    x_FBLT, _ = signals(n_folds)

    def logits_type() -> torch.dtype:
        with torch.autocast("cpu", torch.bfloat16):
            if n_folds == 1:
                return models[0](x_FBLT[0].float()).dtype
            return fold_models(models)(x_FBLT.float()).dtype

    assert logits_type() == torch.bfloat16
    # Private: devices on which it is so.
    monkeypatch.setattr(modules, "_KEPT_FROM_AUTOCAST", {"cpu"})
    assert logits_type() == torch.float32


def test_streams_wait_for_what_was_there_before_any_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a fold's stream the present one, the next folds would else wait for that fold."""
    done: list[str] = []

    class Stream:
        def __init__(self, name: str) -> None:
            self.name = name

        def record_event(self) -> str:
            done.append(f"{self.name} records")
            return f"event of {self.name}"

        def wait_event(self, event: str) -> None:
            done.append(f"{self.name} waits for {event}")

        def wait_stream(self, other: "Stream") -> None:
            done.append(f"{self.name} waits for {other.name}")

    streams = {number: Stream(f"stream {number}") for number in range(3)}
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: streams[0])
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(folded, "stream_of", lambda device, number: streams[number])

    def call(name: str) -> Callable[[], Tensor]:
        def run() -> Tensor:
            done.append(name)
            return torch.zeros(1)

        return run

    folded.side_by_side([call("first"), call("second")], torch.device("cuda"))
    assert done == [
        "stream 0 records",
        "stream 1 waits for event of stream 0",
        "first",
        "stream 2 waits for event of stream 0",
        "second",
        "stream 0 waits for stream 1",
        "stream 0 waits for stream 2",
    ]


def test_a_device_has_the_same_streams_for_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    folded.stream_of.cache_clear()
    try:
        made = [folded.stream_of(torch.device("cuda", 0), number) for number in range(6)]
        assert len(set(made)) == 6
        assert [folded.stream_of(torch.device("cuda", 0), number) for number in range(6)] == made
    finally:
        folded.stream_of.cache_clear()
