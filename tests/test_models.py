"""Models: closed-form parameter counts, gradients everywhere, hand-worked layers, initial weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from architectures import BILSTM, GRU, LSTM, TIERS, arbitrary, members
from hypothesis import given, settings
from hypothesis import strategies as st

import space
from search.models import HybridModel, build_model, n_trainable_parameters
from search.models.layers import ConvolutionBlock, Dropout, FeatureGate, RecurrentStack
from space import Architecture, Space

WIDE = Space("wide", TIERS)
SMALL = Architecture(recurrent=(GRU, BILSTM), hidden_size=6, conv_width=4, head_width=8, gate=4)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(architecture: Architecture, n_outputs: int = 5, seed: int = 0) -> HybridModel:
    return build_model(architecture, n_outputs, generator=generator(seed))


def signals(n_records: int = 4, n_samples: int = 64, seed: int = 1) -> torch.Tensor:
    return torch.randn(n_records, space.N_LEADS, n_samples, generator=generator(seed))


# ---------------------------------------------------------------------------------------------------------
# Every architecture


@given(arbitrary() | members(WIDE), st.integers(1, 80), st.integers(1, 12))
@settings(max_examples=60)
def test_parameters_equal_the_closed_form(architecture: Architecture, n_outputs: int, n_leads: int) -> None:
    with torch.device("meta"):
        model = HybridModel(architecture, n_outputs, n_leads)
    assert n_trainable_parameters(model) == space.count_parameters(architecture, n_outputs, n_leads)


@given(members(WIDE), st.integers(1, 71), st.integers(0, 100))
@settings(max_examples=20)
def test_every_architecture_trains_a_step_with_a_gradient_everywhere(
    architecture: Architecture, n_outputs: int, seed: int
) -> None:
    model = build(architecture, n_outputs, seed)
    assert n_trainable_parameters(model) == space.count_parameters(architecture, n_outputs)
    model.draw_dropout_from(generator(seed))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x_BLT = signals(16, seed=seed)
    y_BC = (torch.rand(16, n_outputs, generator=generator(seed)) < 0.5).float()

    z_BC = model.train()(x_BLT)
    F.binary_cross_entropy_with_logits(z_BC, y_BC).backward()
    optimiser.step()

    assert z_BC.shape == (16, n_outputs)
    assert z_BC.dtype == torch.float32
    for name, parameter in model.named_parameters():
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
    block = ConvolutionBlock(1, 1, kernel, 0.0)
    weights = torch.arange(1.0, kernel + 1)
    with torch.no_grad():
        block.convolution.weight.copy_(weights.view(1, 1, 1, kernel))
        block.convolution.bias.zero_()
    seen: list[torch.Tensor] = []
    block.convolution.register_forward_hook(lambda module, inputs, output: seen.append(output))
    x_T = torch.randn(24, generator=generator())
    block.eval()(x_T.view(1, 1, 1, 24))

    padded = np.concatenate([np.zeros(before), x_T.numpy(), np.zeros(after)])
    expected = [padded[start : start + kernel] @ weights.numpy() for start in range(24)]
    assert before + after == kernel - 1
    np.testing.assert_allclose(seen[0].detach().flatten(), expected, rtol=1e-5, atol=1e-5)


def test_convolution_block_by_hand() -> None:
    # Kernel 2 with weights (1, 2) and bias 1: 1·x[t] + 2·x[t + 1] + 1, zero behind the end.
    block = ConvolutionBlock(1, 1, 2, 0.0).eval()
    with torch.no_grad():
        block.convolution.weight.copy_(torch.tensor([1.0, 2.0]).view(1, 1, 1, 2))
        block.convolution.bias.fill_(1.0)
        block.norm.running_mean.fill_(2.0)
        block.norm.running_var.fill_(4.0 - block.norm.eps)
    y = block(torch.tensor([1.0, 2.0, -3.0, 0.5]).view(1, 1, 1, 4))
    # Convolved 6, −3, −1, 1.5; normalised 2, −2.5, −1.5, −.25; ReLU 2, 0, 0, 0; pooled 2, 0.
    np.testing.assert_allclose(y.detach().flatten(), [2.0, 0.0], atol=1e-6)


def test_pooling_before_relu_is_relu_before_pooling() -> None:
    block = ConvolutionBlock(3, 4, 5, 0.0).eval()
    x = torch.randn(2, 3, 1, 32, generator=generator())
    published = F.max_pool2d(F.relu(block.norm(block.convolution(x))), (1, 2))
    assert torch.equal(block(x), published)


def test_batch_norm_and_dropout_stand_between_recurrent_layers() -> None:
    stack = RecurrentStack((GRU, BILSTM, LSTM), 7, 6, 0.1)
    assert [type(layer) for layer in stack.layers] == [torch.nn.GRU, torch.nn.LSTM, torch.nn.LSTM]
    assert [norm.num_features for norm in stack.norms] == [6, 12]
    assert [layer.input_size for layer in stack.layers] == [7, 6, 12]

    x_BTC = torch.randn(3, 10, 7, generator=generator())
    stack.eval()
    for norm in stack.norms:
        norm.running_mean.normal_(generator=generator())
        norm.running_var.uniform_(0.5, 2.0, generator=generator())
    expected = x_BTC
    for position, layer in enumerate(stack.layers):
        if position:
            norm = stack.norms[position - 1]
            expected = (expected - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps)
        expected, _ = layer(expected)
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
    assert FeatureGate(6, 16).squeeze.out_features == space.gate_width(6, 16) == 1


@given(st.sampled_from([LSTM, GRU]), st.integers(0, 10_000))
@settings(max_examples=20)
def test_no_gate_starts_switched_off(layer: space.RecurrentLayer, seed: int) -> None:
    """The narrowest gate of the wide space, two units on 32 features."""
    narrow = Architecture(recurrent=(layer,), hidden_size=32, conv_width=16, head_width=64, gate=16)
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
    dropout.generator = generator()
    y = dropout(torch.ones(shape))
    first = y.select(time_axis, 0)
    assert torch.equal(y, first.unsqueeze(time_axis).expand(shape))
    kept = torch.tensor([0.0, 1 / 0.7])
    assert torch.isclose(first.flatten()[:, None], kept).any(dim=1).all()
    n_dropped = int((first == 0).sum())
    assert 25 <= n_dropped <= 65  # of 150, expected 45, within four standard deviations


def test_dropout_drops_single_values_and_keeps_the_mean() -> None:
    dropout = Dropout(0.5)
    dropout.generator = generator()
    y = dropout(torch.ones(200, 50))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert abs(float(y.mean()) - 1) < 0.05
    assert 0 < int((y[0] == 0).sum()) < 50


def test_dropout_is_the_identity_outside_training() -> None:
    x = torch.randn(4, 5, generator=generator())
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_dropout_draws_from_its_own_generator() -> None:
    model = build(SMALL).train()
    outputs = []
    for _ in range(2):
        model.draw_dropout_from(generator(3))
        state = torch.get_rng_state()
        outputs.append(model(signals()))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(outputs[0], outputs[1])
    model.draw_dropout_from(generator(4))
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
    layers = [block.convolution for block in model.blocks] + [model.head[0].dense, model.head[1].dense]
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
    model.predict_at_first(p_C)
    torch.testing.assert_close(torch.sigmoid(model.head[2].bias), p_C)
    assert model.head[2].bias.requires_grad
    z_BC = model.eval()(signals(8, 200))
    assert (z_BC - torch.logit(p_C)).abs().max() < 0.5


def test_first_guesses_are_close_to_one_half() -> None:
    p_BC = torch.sigmoid(build(Architecture(), n_outputs=23).eval()(signals(8, 200)))
    assert (p_BC - 0.5).abs().max().item() < 0.2
