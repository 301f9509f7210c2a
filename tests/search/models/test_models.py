"""Models: closed-form parameter counts, gradients everywhere, hand-worked layers, initial weights."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from architectures import BILSTM, GRU, LSTM, TIERS, arbitrary, members
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from training_samples import seeded

import search.models.frontends.layers as described
import space
from search.models import sequence
from search.models.build import module_of, sequential
from search.models.cells import Gru, Lstm
from search.models.costs import count_parameters
from search.models.frontends.layers import squeezed_width
from search.models.hybrid import HybridModel, build_model, n_parameters
from search.models.initial import UninitialisedError, initialise
from search.models.modules import (
    AttentionPooling,
    Dropout,
    FeatureGate,
    LastMeanMaxPooling,
    MeanMaxPooling,
)
from search.models.parameters import front_end_layers
from search.models.sequence import Positions, RecurrentStack, TransformerLayer
from search.models.state_space import StateSpaceLayer, circular_convolution
from space import Architecture, Inputs, Space

WIDE = Space("wide", TIERS)
INPUTS = Inputs(n_features=10, likelihoods=True)
FULL = Space("full", TIERS, inputs=INPUTS)
BACKBONES = pytest.mark.parametrize("backbone", space.FRONT_ENDS)
SMALL = Architecture(recurrent=(GRU, BILSTM), hidden_size=6, width=0.0625, head_width=8, gate=4)


def build(architecture: Architecture, n_outputs: int = 5, seed: int = 0) -> HybridModel:
    return build_model(architecture, n_outputs, generator=seeded(seed), inputs=INPUTS)


def signals(n_records: int = 4, n_samples: int = 64, seed: int = 1) -> torch.Tensor:
    return torch.randn(n_records, space.N_LEADS, n_samples, generator=seeded(seed))


# ---------------------------------------------------------------------------------------------------------
# Every architecture


@pytest.mark.slow
@given(
    arbitrary() | members(WIDE) | members(FULL), st.integers(1, 80), st.integers(1, 12), st.integers(1, 99)
)
@settings(max_examples=80)
def test_parameters_equal_the_closed_form(
    architecture: Architecture, n_outputs: int, n_leads: int, n_features: int
) -> None:
    inputs = Inputs(n_leads=n_leads, n_features=n_features)
    with torch.device("meta"):
        model = HybridModel(architecture, n_outputs, inputs)
    assert n_parameters(model) == count_parameters(architecture, n_outputs, inputs)


@pytest.mark.slow
@BACKBONES
@given(st.integers(40, 300))
@settings(max_examples=5)
def test_front_ends_keep_the_length_that_they_say(backbone: str, length: int) -> None:
    architecture = Architecture(backbone=backbone, width=0.1)
    blocks = build(architecture).eval().blocks
    x_BC1T = blocks(signals(2, length).unsqueeze(2))
    layers = front_end_layers(architecture, 12)
    assert x_BC1T.shape == (2, described.width_after(layers, 12), 1, described.length_after(layers, length))


@pytest.mark.slow
@given(members(WIDE) | members(FULL), st.integers(1, 71), st.integers(0, 100))
@settings(max_examples=30)
def test_every_architecture_trains_a_step_with_a_gradient_everywhere(
    architecture: Architecture, n_outputs: int, seed: int
) -> None:
    model = build(architecture, n_outputs, seed)
    assert n_parameters(model) == count_parameters(architecture, n_outputs, INPUTS)
    model.draw_dropout_from(seeded(seed))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    x_BLT = signals(16, seed=seed)
    y_BC = (torch.rand(16, n_outputs, generator=seeded(seed)) < 0.5).float()

    z_BC = model.train()(x_BLT, torch.randn(16, 10, generator=seeded(seed)))
    F.binary_cross_entropy_with_logits(z_BC, y_BC).backward()
    optimiser.step()

    assert z_BC.shape == (16, n_outputs)
    assert z_BC.dtype == torch.float32
    for name, parameter in model.named_parameters():
        if architecture.front_end.frozen and name.startswith("blocks."):
            assert parameter.grad is None, name
            assert torch.equal(parameter, before[name]), name
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
        assert not torch.equal(parameter, before[name]), name


def test_checkpoints_name_parameters_by_part() -> None:
    """A new name would make old checkpoints and exported weights unreadable."""
    assert sorted({name.split(".")[0] for name, _ in build(SMALL).named_parameters()}) == [
        "blocks",
        "gate",
        "head",
        "recurrent",
    ]


# ---------------------------------------------------------------------------------------------------------
# Shapes and layers


def test_ten_seconds_are_pooled_to_125_steps() -> None:
    model = build(replace(SMALL, recurrent=()))
    x_BC1T = model.blocks(signals(2, 1000).unsqueeze(2))
    assert x_BC1T.shape == (2, 4 * SMALL.conv_width, 1, 125)
    assert model.eval()(signals(2, 1000)).shape == (2, 5)


@pytest.mark.parametrize(("kernel", "before", "after"), [(5, 2, 2), (10, 4, 5), (15, 7, 7), (2, 0, 1)])
def test_convolutions_keep_the_length_as_keras_does(kernel: int, before: int, after: int) -> None:
    """TensorFlow pads (k − 1) // 2 samples before and the rest, one more for an even kernel, behind."""
    convolution = module_of(described.Convolution(1, 1, kernel))
    weights = torch.arange(1.0, kernel + 1)
    with torch.no_grad():
        convolution.weight.copy_(weights.view(1, 1, 1, kernel))
    x_T = torch.randn(24, generator=seeded())
    convolved = convolution(x_T.view(1, 1, 1, 24))

    padded = np.concatenate([np.zeros(before), x_T.numpy(), np.zeros(after)])
    expected = [padded[start : start + kernel] @ weights.numpy() for start in range(24)]
    assert before + after == kernel - 1
    np.testing.assert_allclose(convolved.detach().flatten(), expected, rtol=1e-5, atol=1e-5)


def test_convolution_block_by_hand() -> None:
    # Kernel 2 with weights (1, 2) and bias 1: 1·x[t] + 2·x[t + 1] + 1, zero behind the end.
    convolution, norm, *rest = (
        described.Convolution(1, 1, 2, bias=True),
        described.BatchNorm(1),
        described.Pool("max", 2, 2),
        described.Relu(),
    )
    block = sequential((convolution, norm, *rest)).eval()
    with torch.no_grad():
        block[0].weight.copy_(torch.tensor([1.0, 2.0]).view(1, 1, 1, 2))
        block[0].bias.fill_(1.0)
        block[1].running_mean.fill_(2.0)
        block[1].running_var.fill_(4.0 - block[1].eps)
    y = block(torch.tensor([1.0, 2.0, -3.0, 0.5]).view(1, 1, 1, 4))
    # Convolved 6, −3, −1, 1.5; normalised 2, −2.5, −1.5, −.25; ReLU 2, 0, 0, 0; pooled 2, 0.
    np.testing.assert_allclose(y.detach().flatten(), [2.0, 0.0], atol=1e-6)


def test_pooling_before_relu_is_relu_before_pooling() -> None:
    pool, relu = module_of(described.Pool("max", 2, 2)), module_of(described.Relu())
    x = torch.randn(2, 3, 1, 32, generator=seeded())
    assert torch.equal(relu(pool(x)), pool(relu(x)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@given(st.integers(1, 40), st.integers(2, 21), st.integers(0, 99))
@settings(max_examples=25)
def test_the_maximum_of_pairs_is_pytorchs_pooling_to_the_last_bit(
    dtype: torch.dtype, n_channels: int, n_samples: int, seed: int
) -> None:
    # Few different values, so that many pairs are equal.
    x_BC1T = torch.randint(-2, 3, (3, n_channels, 1, n_samples), generator=seeded(seed)).to(dtype)
    x_BC1T = x_BC1T.contiguous(memory_format=torch.channels_last)
    theirs, ours = x_BC1T.clone().requires_grad_(), x_BC1T.clone().requires_grad_()
    expected, found = F.max_pool2d(theirs, (1, 2)), module_of(described.Pool("max", 2, 2))(ours)
    assert torch.equal(found, expected)
    passed_back = torch.randn(expected.shape, generator=seeded(seed)).to(dtype)
    expected.backward(passed_back)
    found.backward(passed_back)
    assert torch.equal(ours.grad, theirs.grad)


def test_padded_pools_by_hand() -> None:
    x = torch.tensor([3.0, -1.0, 4.0, 1.0, -5.0]).view(1, 1, 1, 5)
    largest = module_of(described.Pool("max", 3, 2, padded=True))(x)
    assert largest.flatten().tolist() == [3.0, 4.0, 1.0]  # windows _3-1, -1 4 1, 1 -5_
    mean = module_of(described.Pool("mean", 2, 2, padded=True))(x)
    assert mean.flatten().tolist() == [1.0, 2.5, -5.0]  # the last window holds one sample


def test_residual_and_branches_by_hand() -> None:
    twice, thrice = described.Convolution(1, 1, 1), described.Convolution(1, 1, 1)
    residual = module_of(described.Residual((twice,), ()))
    projected = module_of(described.Residual((twice,), (thrice,)))
    branches = module_of(described.Branches(((twice,), (thrice,))))
    with torch.no_grad():
        residual.path[0].weight.fill_(2.0)
        projected.path[0].weight.fill_(2.0)
        projected.shortcut[0].weight.fill_(3.0)
        branches.paths[0][0].weight.fill_(2.0)
        branches.paths[1][0].weight.fill_(3.0)
    x = torch.tensor([1.0, -1.0]).view(1, 1, 1, 2)
    assert residual(x).flatten().tolist() == [3.0, -3.0]
    assert projected(x).flatten().tolist() == [5.0, -5.0]
    assert branches(x).flatten().tolist() == [2.0, -2.0, 3.0, -3.0]


def test_a_layer_without_a_module_is_named() -> None:
    with pytest.raises(TypeError, match="no module for a layer of type str"):
        module_of("dense")


def test_channel_gate_scales_channels_by_their_means() -> None:
    excitation = module_of(described.SqueezeExcitation(2, 2))
    with torch.no_grad():
        excitation.gate.squeeze.weight.copy_(torch.tensor([[1.0, 1.0]]))
        excitation.gate.squeeze.bias.zero_()
        excitation.gate.excite.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        excitation.gate.excite.bias.zero_()
    x = torch.tensor([[1.0, 3.0], [0.0, 2.0]]).view(1, 2, 1, 2)  # means 2 and 1, squeezed 3
    weight_C = torch.sigmoid(torch.tensor([3.0, -3.0]))
    torch.testing.assert_close(excitation(x), x * weight_C.view(1, 2, 1, 1))


# ---------------------------------------------------------------------------------------------------------
# Pooling over time, attention, states


def test_attention_by_hand() -> None:
    pooling = AttentionPooling(4)  # one hidden unit
    with torch.no_grad():
        pooling.alignment.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
        pooling.alignment.bias.zero_()
        pooling.context.weight.fill_(2.0)
    x_BTC = torch.zeros(1, 3, 4)
    x_BTC[0, :, 0] = torch.tensor([0.0, 1.0, -1.0])
    x_BTC[0, :, 1] = torch.tensor([1.0, 2.0, 3.0])
    score_T = 2 * np.tanh([0.0, 1.0, -1.0])
    weight_T = np.exp(score_T) / np.exp(score_T).sum()
    np.testing.assert_allclose(pooling.weights(x_BTC)[0].detach(), weight_T, rtol=1e-6)
    np.testing.assert_allclose(pooling(x_BTC)[0, 1].item(), weight_T @ [1.0, 2.0, 3.0], rtol=1e-6)


def test_uniform_attention_is_the_mean() -> None:
    pooling = AttentionPooling(8)
    torch.nn.init.zeros_(pooling.context.weight)
    x_BTC = torch.randn(2, 9, 8, generator=seeded())
    torch.testing.assert_close(pooling(x_BTC), x_BTC.mean(dim=1))


def test_mean_and_maximum_stand_side_by_side() -> None:
    x_BTC = torch.tensor([[[1.0, 4.0], [3.0, -4.0]]])
    assert MeanMaxPooling()(x_BTC).tolist() == [[2.0, 0.0, 3.0, 4.0]]


def test_the_last_state_of_each_direction_stands_before_mean_and_maximum() -> None:
    x_BTC = torch.tensor([[[1.0, 4.0], [5.0, 6.0], [3.0, -4.0]]])
    assert LastMeanMaxPooling(0)(x_BTC).tolist() == [[3.0, -4.0, 3.0, 2.0, 5.0, 6.0]]
    # The second feature ran backwards: it ends at the first time step.
    assert LastMeanMaxPooling(1)(x_BTC).tolist() == [[3.0, 4.0, 3.0, 2.0, 5.0, 6.0]]


@pytest.mark.parametrize(
    ("changes", "n_backwards"),
    [
        ({"backbone": "cnn"}, 0),
        ({"backbone": "cnn", "recurrent": (BILSTM,)}, 6),
        ({"backbone": "lstm"}, 0),
        ({"backbone": "lstm-bidir"}, 16),
        ({"backbone": "lstm-bidir", "recurrent": (GRU,)}, 0),
    ],
)
def test_the_pooling_knows_which_features_ran_backwards(changes: dict[str, Any], n_backwards: int) -> None:
    model = build(Architecture(width=0.0625, hidden_size=6, pooling="last-mean-max", **changes))
    assert isinstance(model.pooling, LastMeanMaxPooling)
    assert model.pooling.n_backwards == n_backwards


@pytest.mark.parametrize(("backbone", "bidirectional"), [("lstm", False), ("lstm-bidir", True)])
def test_the_recurrent_network_on_the_signal_is_the_one_of_the_benchmark(
    backbone: str, bidirectional: bool
) -> None:
    """PyTorch's LSTM of two layers with the same weights, and its final states for the last ones."""
    architecture = Architecture(backbone=backbone, width=1 / 64, pooling="last-mean-max", head="linear")
    model = build(architecture).eval()
    theirs = torch.nn.LSTM(12, 4, num_layers=2, bidirectional=bidirectional, batch_first=True)
    blocks: Any = model.blocks
    for number in (0, 1):
        for name, value in blocks[number].layer.named_parameters():
            getattr(theirs, name.replace("_l0", f"_l{number}")).data.copy_(value)
    x_BLT = signals()
    with torch.no_grad():
        h_BTC, (final, _) = theirs(x_BLT.transpose(1, 2))
        pooled_BC = model.pooling(blocks(x_BLT.unsqueeze(2)).squeeze(2).transpose(1, 2))
    last_BC = torch.cat(list(final[2:] if bidirectional else final[1:]), dim=-1)
    expected_BC = torch.cat([last_BC, h_BTC.mean(1), h_BTC.amax(1)], dim=-1)
    # Sums of at most 12 terms below one, in float32.
    torch.testing.assert_close(pooled_BC, expected_BC, rtol=0, atol=1e-5)


def test_attention_in_several_calls_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, whose grid of blocks does not hold the windows of many records; gradients as well."""
    described_layer = described.TransformerLayer(8, 2, 16, 0.0, window=4, shift=1)
    layer = TransformerLayer(described_layer).double()
    x_BC1T = torch.randn(5, 8, 1, 13, dtype=torch.float64, generator=seeded(0)).requires_grad_()
    sizes: list[int] = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def note(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        sizes.append(len(query))
        return attend(query, key, value)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", note)
    found = []
    for largest in ({}, {"cpu": 9}):
        # Private: a CPU attends to any number at once.
        monkeypatch.setattr(sequence, "_LARGEST_BATCH", largest)
        y_BC1T = layer(x_BC1T)
        found.append((y_BC1T, torch.autograd.grad(y_BC1T.square().sum(), x_BC1T)[0]))
    assert sizes == [20, 9, 9, 2]  # four windows of five records
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("length", "window", "shift"), [(20, 5, 0), (20, 5, 2), (13, 4, 1), (3, 8, 4)])
def test_attention_in_windows_is_attention_in_each_of_them(length: int, window: int, shift: int) -> None:
    """Positions of an edge window beyond the signal take part with scores and values of zero."""
    described_layer = described.TransformerLayer(8, 2, 16, 0.1, window=window, shift=shift)
    layer = module_of(described_layer).double().eval()
    x_BTC = torch.randn(3, length, 8, generator=seeded(), dtype=torch.float64)
    with torch.no_grad():
        found_BTC = layer._attend(x_BTC)  # Private: without norm and feed-forward.
        expected = torch.zeros(3, length, 8, dtype=torch.float64)
        edges = sorted({0, length, *range(shift or window, length, window)})
        for start, end in pairwise(edges):
            query, key, value = (
                part.unflatten(2, (2, 4)).transpose(1, 2)
                for part in layer.query_key_value(x_BTC[:, start:end]).chunk(3, dim=2)
            )
            weights = torch.exp(query @ key.transpose(2, 3) / 2)
            # Steps beyond the signal have weight exp(0).
            weights = weights / (weights.sum(-1, keepdim=True) + window - (end - start))
            expected[:, start:end] = (weights @ value).transpose(1, 2).flatten(2)
        torch.testing.assert_close(found_BTC, layer.attended(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backbone", ["cnn", "lstm", "s4d"])
def test_an_lstm_takes_float32_under_autocast(backbone: str) -> None:
    """Signals are float32, and so is what leaves some front ends."""
    model = build(Architecture(backbone=backbone, width=0.0625, recurrent=(LSTM,), hidden_size=4))
    model.draw_dropout_from(seeded())
    with torch.autocast("cpu", torch.bfloat16):
        z_BC = model.train()(signals())
    z_BC.float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_positions_are_sines_and_cosines() -> None:
    added = Positions()(torch.zeros(1, 4, 1, 3))[0, :, 0].numpy()
    time_T = np.arange(3)
    expected = [np.sin(time_T), np.cos(time_T), np.sin(time_T / 100), np.cos(time_T / 100)]
    np.testing.assert_allclose(added, expected, atol=1e-6)


def test_a_transformer_layer_sees_all_of_the_signal_and_no_order() -> None:
    layer = TransformerLayer(described.TransformerLayer(8, n_heads=2, feedforward=16, dropout=0.1)).eval()
    x_BC1T = torch.randn(1, 8, 1, 6, generator=seeded(), requires_grad=True)
    y_BC1T = layer(x_BC1T)
    order = [3, 0, 5, 1, 4, 2]
    torch.testing.assert_close(layer(x_BC1T[..., order]), y_BC1T[..., order])
    y_BC1T[..., 0].sum().backward()
    assert (x_BC1T.grad.abs().amax(dim=(0, 1, 2)) > 0).all()


def state_space(width: int = 3, n_states: int = 4) -> StateSpaceLayer:
    layer = StateSpaceLayer(described.StateSpaceLayer(width, n_states=n_states, dropout=0.0)).double()
    layer.initialise(seeded())
    return layer


def test_state_space_kernels_are_the_recurrence() -> None:
    """x_{t+1} = exp(AΔ) x_t + (exp(AΔ) − 1)/A u_t, y_t = 2 Re(C x_{t+1}), for an impulse at time zero."""
    layer = state_space()
    forwards_CT, backwards_CT = layer.kernels(12).detach().numpy()
    step = np.exp(layer.log_step.detach().numpy())[:, None]
    pole = -np.exp(layer.log_decay.detach().numpy()) + 1j * layer.frequency.detach().numpy()
    for direction, kernel_CT in enumerate((forwards_CT, backwards_CT)):
        readout = torch.view_as_complex(layer.readout.detach())[direction].numpy()
        state, seen = (np.exp(pole * step) - 1) / pole, []
        for _ in range(12):
            seen.append(2 * (readout * state).sum(axis=1).real)
            state = np.exp(pole * step) * state
        np.testing.assert_allclose(kernel_CT, np.array(seen).T, rtol=1e-9, atol=1e-12)


def test_state_space_layers_look_both_ways_and_not_around_the_ends() -> None:
    layer = state_space(width=1).float().eval()
    forwards_T, backwards_T = layer.kernels(9).detach()[:, 0]
    seen: list[torch.Tensor] = []
    layer.dropout.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    u_T = torch.zeros(9)
    u_T[4] = 1.0
    layer(u_T.view(1, 1, 1, 9))
    expected_T = torch.zeros(9)
    expected_T[4:] += forwards_T[:5]
    expected_T[:4] += backwards_T[:4].flip(0)
    expected_T[4] += layer.feedthrough.item()
    torch.testing.assert_close(seen[0].flatten(), F.gelu(expected_T), atol=1e-5, rtol=1e-5)


def test_a_convolution_around_a_circle_is_its_sum_and_has_its_gradients() -> None:
    u_BCT = torch.randn(2, 3, 5, dtype=torch.float64, generator=seeded(), requires_grad=True)
    kernel_CN = torch.randn(3, 8, dtype=torch.float64, generator=seeded(1), requires_grad=True)
    expected = torch.zeros(2, 3, 5, dtype=torch.float64)
    for t in range(5):
        for s in range(5):
            expected[:, :, t] += u_BCT.detach()[:, :, s] * kernel_CN.detach()[:, (t - s) % 8]
    torch.testing.assert_close(circular_convolution(u_BCT, kernel_CN), expected)
    assert torch.autograd.gradcheck(circular_convolution, (u_BCT, kernel_CN))


def test_batch_norm_and_dropout_stand_between_recurrent_layers() -> None:
    stack = RecurrentStack((GRU, BILSTM, LSTM), 7, 6, 0.1)
    assert [type(layer) for layer in stack.layers] == [Gru, Lstm, Lstm]
    assert [norm.num_features for norm in stack.norms] == [6, 12]
    assert [layer.input_size for layer in stack.layers] == [7, 6, 12]

    x_BTC = torch.randn(3, 10, 7, generator=seeded())
    stack.eval()
    for norm in stack.norms:
        norm.running_mean.normal_(generator=seeded())
        norm.running_var.uniform_(0.5, 2.0, generator=seeded())
    expected = x_BTC
    for position, layer in enumerate(stack.layers):
        if position:
            norm = stack.norms[position - 1]
            expected = (expected - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps)
        expected, _ = super(type(layer), layer).forward(expected)  # PyTorch's own
    torch.testing.assert_close(stack(x_BTC), expected)


@pytest.mark.parametrize("layer", [LSTM, BILSTM, GRU])
def test_a_single_recurrent_layer_has_no_batch_norm(layer: space.RecurrentLayer) -> None:
    assert not RecurrentStack((layer,), 7, 6, 0.1).norms


def test_gate_by_hand() -> None:
    gate = FeatureGate(4, 4)
    with torch.no_grad():
        gate.squeeze.weight.copy_(torch.tensor([[1.0, 0.0, -1.0, 0.0]]))
        gate.squeeze.bias.fill_(0.5)
        gate.excite.weight.copy_(torch.tensor([[1.0], [0.0], [-1.0], [2.0]]))
        gate.excite.bias.zero_()
    x_BC = torch.tensor([[2.0, 1.0, 1.5, -1.0], [0.0, 1.0, 2.0, 3.0]])
    # The squeezed unit is 1 for the first record and 0 (ReLU of −1.5) for the second.
    weight_BC = torch.sigmoid(torch.tensor([[1.0, 0.0, -1.0, 2.0], [0.0, 0.0, 0.0, 0.0]]))
    expected = (x_BC * weight_BC).numpy()
    np.testing.assert_allclose(gate(x_BC).detach(), expected, rtol=1e-6)


def test_a_gate_without_units_to_spare_still_has_one() -> None:
    assert FeatureGate(6, 16).squeeze.out_features == squeezed_width(6, 16) == 1


@given(st.sampled_from([LSTM, GRU]), st.integers(0, 10_000))
@settings(max_examples=20)
def test_no_gate_starts_switched_off(layer: space.RecurrentLayer, seed: int) -> None:
    """The narrowest gate of the wide space, two units on 32 features."""
    narrow = Architecture(recurrent=(layer,), hidden_size=32, width=0.25, head_width=64, gate=16)
    model = build(narrow, seed=seed)
    assert model.gate is not None
    seen: list[torch.Tensor] = []
    model.gate.squeeze.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model.eval()(signals(8, seed=seed))
    assert (seen[0] > 0).any(dim=1).all()


# ---------------------------------------------------------------------------------------------------------
# Dropout


@pytest.mark.parametrize(("shape", "time_axis"), [((3, 50, 1, 7), 3), ((3, 7, 50), 1)])
def test_spatial_dropout_drops_whole_channels(shape: tuple[int, ...], time_axis: int) -> None:
    dropout = Dropout(0.3, spatial=True)
    dropout.generator = seeded()
    y = dropout(torch.ones(shape))
    first = y.select(time_axis, 0)
    assert torch.equal(y, first.unsqueeze(time_axis).expand(shape))
    kept = torch.tensor([0.0, 1 / 0.7])
    assert torch.isclose(first.flatten()[:, None], kept).any(dim=1).all()
    n_dropped = int((first == 0).sum())
    assert 25 <= n_dropped <= 65  # of 150, expected 45, within four standard deviations


def test_dropout_drops_single_values_and_keeps_the_mean() -> None:
    dropout = Dropout(0.5)
    dropout.generator = seeded()
    y = dropout(torch.ones(200, 50))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert abs(float(y.mean()) - 1) < 0.05
    assert 0 < int((y[0] == 0).sum()) < 50


def test_dropout_is_the_identity_outside_training() -> None:
    x = torch.randn(4, 5, generator=seeded())
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_dropout_draws_from_its_own_generator() -> None:
    model = build(SMALL).train()
    outputs = []
    for _ in range(2):
        model.draw_dropout_from(seeded(3))
        state = torch.get_rng_state()
        outputs.append(model(signals()))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(outputs[0], outputs[1])
    model.draw_dropout_from(seeded(4))
    assert not torch.equal(model(signals()), outputs[0])


def test_evaluation_is_deterministic_and_record_by_record() -> None:
    model = build(SMALL).eval()
    x_BLT = signals(6)
    assert torch.equal(model(x_BLT), model(x_BLT))
    torch.testing.assert_close(model(x_BLT)[2:4], model(x_BLT[2:4]))


# ---------------------------------------------------------------------------------------------------------
# Initial weights


def test_initial_weights_depend_on_the_generator_alone() -> None:
    global_state = torch.get_rng_state()
    first = build(SMALL, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), global_state)
    try:
        torch.manual_seed(123)
        second = build(SMALL, seed=7).state_dict()
    finally:
        torch.set_rng_state(global_state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = build(SMALL, seed=8).state_dict()
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_convolutions_and_dense_layers_start_as_he_et_al() -> None:
    model = build(Architecture(gate=4), n_outputs=71)
    convolutions = [layer for layer in model.blocks if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) == 3
    layers = [*convolutions, model.head[0].dense, model.head[1].dense]
    assert model.gate is not None
    for layer in (*layers, model.gate.squeeze, model.gate.excite):
        n_inputs = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / n_inputs) ** 0.5, rel=0.05)
        assert not layer.bias.any()
    output = model.head[2]
    assert output.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not output.bias.any()


@pytest.mark.parametrize("layer", [LSTM, BILSTM])
def test_lstm_starts_with_a_forget_bias_of_one(layer: space.RecurrentLayer) -> None:
    model = build(replace(SMALL, recurrent=(layer,)))
    assert model.recurrent is not None
    parameters = dict(model.recurrent.layers[0].named_parameters())
    for suffix in ("", "_reverse")[: layer.n_directions]:
        both = parameters[f"bias_ih_l0{suffix}"] + parameters[f"bias_hh_l0{suffix}"]
        # Gates in PyTorch's order: input, forget, cell, output.
        expected = torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(6)
        assert torch.equal(both, expected)


def test_recurrent_states_start_orthogonal_and_gru_without_bias() -> None:
    model = build(SMALL)
    assert model.recurrent is not None
    gru = dict(model.recurrent.layers[0].named_parameters())
    for gate in gru["weight_hh_l0"].split(6):
        torch.testing.assert_close(gate @ gate.T, torch.eye(6))
    assert not gru["bias_ih_l0"].any()
    assert not gru["bias_hh_l0"].any()
    bound = (6 / (16 + 18)) ** 0.5  # Glorot: 16 inputs, three gates of 6 units
    assert 0.8 * bound < gru["weight_ih_l0"].abs().max().item() <= bound


def test_an_untrained_model_predicts_the_prevalence() -> None:
    model = build(Architecture(), n_outputs=3)
    p_C = torch.tensor([0.002, 0.1, 0.7])
    model.set_initial_output(p_C)
    torch.testing.assert_close(torch.sigmoid(model.head[2].bias), p_C)
    assert model.head[2].bias.requires_grad
    z_BC = model.eval()(signals(8, 200))
    assert (z_BC - torch.logit(p_C)).abs().max() < 0.5


def test_first_guesses_are_close_to_one_half() -> None:
    p_BC = torch.sigmoid(build(Architecture(), n_outputs=23).eval()(signals(8, 200)))
    assert (p_BC - 0.5).abs().max().item() < 0.2


class Gate(torch.nn.Module):
    """A parameter and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.query = torch.nn.Parameter(torch.empty(4))
        self.register_buffer("seen", torch.empty((), dtype=torch.int64))
        self.output = torch.nn.Linear(4, 1)


class HalfSetGate(Gate):
    def initialise(self, generator: torch.Generator) -> None:
        self.query[:3] = 0.0
        self.seen.zero_()
        torch.nn.init.zeros_(self.output.weight)
        torch.nn.init.zeros_(self.output.bias)


class SetGate(HalfSetGate):
    def initialise(self, generator: torch.Generator) -> None:
        super().initialise(generator)
        self.query.normal_(generator=generator)


@pytest.mark.parametrize(
    ("kind", "message"), [(Gate, "query of Gate"), (HalfSetGate, "query of HalfSetGate"), (SetGate, "")]
)
def test_weights_that_nobody_set_are_named(kind: type[Gate], message: str) -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(4), kind())
    if not message:
        initialise(model, model[1].output, seeded())
        assert torch.isfinite(model[1].query).all()
        return
    with pytest.raises(UninitialisedError, match=rf"^{message} \(1\) has no initial value: give "):
        initialise(model, model[1].output, seeded())


def test_a_buffer_that_nobody_set_is_named() -> None:
    gate = SetGate()
    gate.register_buffer("positions", torch.empty(3))
    with pytest.raises(UninitialisedError, match=r"^positions of SetGate "):
        initialise(gate, gate.output, seeded())
