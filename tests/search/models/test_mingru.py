"""minGRU: its states are the recurrence step by step, gradients those of autograd, and each way is seen."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import search.models.frontends.layers as described
from search.models.frontends import separable, tcn
from search.models.initial import initialise
from search.models.mingru import LONGEST_MEMORY, MinGruLayer, recurrence
from search.models.modules import Convolution


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def step_by_step(kept_BTH: Tensor, added_BTH: Tensor) -> Tensor:
    states = [added_BTH[:, 0]]
    for step in range(1, added_BTH.shape[1]):
        states.append(kept_BTH[:, step] * states[-1] + added_BTH[:, step])
    return torch.stack(states, dim=1)


def test_states_by_hand() -> None:
    kept_BTH = torch.tensor([0.9, 0.5, 0.5, 0.0, 1.0])[None, :, None]
    added_BTH = torch.tensor([1.0, 1.0, 2.0, 3.0, 4.0])[None, :, None]
    # The first factor meets a state of zero.
    assert recurrence(kept_BTH, added_BTH).flatten().tolist() == [1.0, 1.5, 2.75, 3.0, 7.0]


@given(st.integers(1, 50), st.integers(0, 9))
def test_states_of_blocks_are_those_step_by_step(length: int, seed: int) -> None:
    kept_BTH, added_BTH = drawn(2, length, 3, seed=seed), drawn(2, length, 3, seed=seed + 100)
    # Sums of at most 50 numbers below 1: 50 × 2e-16 of a sum below 50.
    torch.testing.assert_close(
        recurrence(kept_BTH, added_BTH), step_by_step(kept_BTH, added_BTH), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("length", [1, 2, 11, 16])
def test_gradients_are_those_of_the_steps(length: int) -> None:
    found, weight_BTH = [], drawn(2, length, 3, seed=7)
    for function in (recurrence, step_by_step):
        kept_BTH, added_BTH = (drawn(2, length, 3, seed=seed).requires_grad_() for seed in (1, 2))
        (function(kept_BTH, added_BTH) * weight_BTH).sum().backward()
        found.append((kept_BTH.grad, added_BTH.grad))
    (kept, added), (expected_kept, expected_added) = found
    torch.testing.assert_close(added, expected_added, rtol=0, atol=1e-12)
    if length > 1:
        torch.testing.assert_close(kept, expected_kept, rtol=0, atol=1e-12)


def test_products_that_underflow_do_no_harm() -> None:
    kept_BTH, added_BTH = torch.full((1, 400, 2), 1e-30), torch.ones(1, 400, 2)
    kept_BTH.requires_grad_()
    h_BTH = recurrence(kept_BTH, added_BTH)
    h_BTH.sum().backward()
    assert torch.equal(h_BTH, torch.ones(1, 400, 2))
    assert torch.isfinite(kept_BTH.grad).all()


def layer(width: int = 4) -> MinGruLayer:
    made = MinGruLayer(described.MinGruLayer(width, 0.0))
    generator = torch.Generator().manual_seed(0)
    initialise(made, torch.nn.Linear(1, 1), generator)
    return made.double().eval()


def test_a_layer_is_the_published_recurrence() -> None:
    """Feng et al. 2024, section 3.1, in NumPy, one step after another; the second half of the units from
    behind."""
    made, x_BTC = layer(), drawn(1, 9, 4, seed=3)
    with torch.no_grad():
        y_BTC = made(x_BTC.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)
        normal_TC = made.norm(x_BTC)[0].numpy()
    weights = {name: value.detach().numpy() for name, value in made.named_parameters()}
    z_TH = 1 / (1 + np.exp(-(normal_TC @ weights["gate.weight"].T + weights["gate.bias"])))
    c_TH = normal_TC @ weights["candidate.weight"].T + weights["candidate.bias"]
    g_TH = np.where(c_TH >= 0, c_TH + 0.5, 1 / (1 + np.exp(-c_TH)))
    h_TH = np.zeros((9, 8))
    for steps, units in ((range(9), slice(0, 4)), (range(8, -1, -1), slice(4, 8))):
        state_H = np.zeros(4)
        for step in steps:
            z_H = z_TH[step, units]
            state_H = (1 - z_H) * state_H + z_H * g_TH[step, units]
            h_TH[step, units] = state_H
    expected_TC = x_BTC[0].numpy() + h_TH @ weights["mix.weight"].T + weights["mix.bias"]
    np.testing.assert_allclose(y_BTC[0].numpy(), expected_TC, rtol=0, atol=1e-12)


def test_units_remember_from_two_steps_to_the_longest_at_the_start() -> None:
    z_H = torch.sigmoid(layer(width=64).gate.bias.detach())
    assert 1 / LONGEST_MEMORY <= float(z_H.min()) < 0.05
    assert 0.2 < float(z_H.max()) <= 0.5


# ---------------------------------------------------------------------------------------------------------
# Convolutions with groups and dilation


def test_a_depthwise_convolution_keeps_channels_apart_and_a_dilated_one_leaves_gaps() -> None:
    x_BC1T = torch.zeros(1, 3, 1, 21)
    x_BC1T[0, 1, 0, 10] = 1.0
    for made, reached in (
        (described.Convolution(3, 3, 5, groups=3), {(1, time) for time in range(8, 13)}),
        (described.Convolution(3, 2, 3, dilation=4), {(c, time) for c in (0, 1) for time in (6, 10, 14)}),
        # An even kernel pads one gap more behind: 3 steps of 3 are 9 samples, 4 of them before.
        (described.Convolution(3, 1, 4, dilation=3), {(0, time) for time in (5, 8, 11, 14)}),
    ):
        module = Convolution(made)
        torch.nn.init.ones_(module.weight)
        y_BC1T = module(x_BC1T)
        assert y_BC1T.shape == (1, made.n_out, 1, 21)
        assert {(c, time) for _, c, _, time in y_BC1T.nonzero().tolist()} == reached
        assert module.weight.numel() == made.n_parameters


def test_the_receptive_field_of_the_tcn_is_what_it_says() -> None:
    """1 + 2 (k − 1) (1 + 2 + … + 32) samples behind the pool."""
    assert 1 + 2 * (tcn.KERNEL - 1) * sum(tcn.DILATIONS) == 757


@pytest.mark.parametrize("stride", [1, 2])
def test_mobilenet_leaves_an_eighth_of_the_samples_behind_its_first_convolution(stride: int) -> None:
    layers = separable.layers(12, 32, stride=stride)
    assert described.length_after(layers, 1000) == 125 // stride + (stride == 2)
    assert described.width_after(layers, 12) == 256
