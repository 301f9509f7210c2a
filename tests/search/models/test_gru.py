"""GRU layers of our own against PyTorch's."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from search.models import cells, modules
from search.models.gru import hidden_states

SHAPES = [(3, 9, 7, 5), (1, 1, 1, 1), (2, 1, 3, 4), (4, 6, 2, 8)]
"""Records, time steps, channels, hidden units."""


def layer_and_input(
    bidirectional: bool, shape: tuple[int, int, int, int], dtype: torch.dtype
) -> tuple[nn.GRU, Tensor]:
    torch.manual_seed(sum(shape))
    *_, n_channels, n_hidden = shape
    layer = nn.GRU(n_channels, n_hidden, bidirectional=bidirectional, batch_first=True, dtype=dtype)
    return layer, torch.randn(*shape[:3], dtype=dtype, requires_grad=True)


@pytest.mark.parametrize(("bidirectional", "shape"), list(itertools.product((False, True), SHAPES)))
def test_states_and_all_gradients_are_pytorchs(bidirectional: bool, shape: tuple[int, int, int, int]) -> None:
    layer, x_BTC = layer_and_input(bidirectional, shape, torch.float64)
    expected, _ = layer(x_BTC)
    found = hidden_states(layer, x_BTC)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    weights = torch.randn_like(expected)  # every time step and unit matters, each differently
    arguments = [x_BTC, *layer.parameters()]
    gradients = [torch.autograd.grad((h * weights).sum(), arguments) for h in (found, expected)]
    for own, pytorchs in zip(*gradients, strict=True):
        torch.testing.assert_close(own, pytorchs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_are_finite_differences(bidirectional: bool) -> None:
    layer, x_BTC = layer_and_input(bidirectional, (2, 3, 2, 2), torch.float64)
    assert torch.autograd.gradcheck(lambda x, *_: hidden_states(layer, x), (x_BTC, *layer.parameters()))


def test_states_stay_in_float32_under_autocast() -> None:
    """bfloat16 rounds what the input adds, to one part in 256, and nothing that adds up over time."""
    layer, x_BTC = layer_and_input(True, (4, 200, 16, 8), torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = hidden_states(layer, x_BTC)
    assert found.dtype == torch.float32
    assert torch.isfinite(torch.autograd.grad(found.sum(), [x_BTC, *layer.parameters()])[0]).all()
    torch.testing.assert_close(found, layer(x_BTC)[0], rtol=0, atol=0.02)


def test_nothing_is_kept_for_a_backward_pass_that_never_comes() -> None:
    layer, x_BTC = layer_and_input(False, (2, 4, 3, 2), torch.float32)
    with torch.inference_mode():
        h_BTC = hidden_states(layer, x_BTC)
    assert h_BTC.grad_fn is None
    torch.testing.assert_close(h_BTC, layer(x_BTC)[0].detach())


@pytest.mark.parametrize("kind", [cells.Lstm, cells.Gru])
def test_where_autocast_would_lose_small_gradients_it_is_off_around_the_layer(
    kind: type[cells.Lstm | cells.Gru], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: what comes in may be bfloat16; what is computed, and what goes back, is not."""
    # Private: devices on which it is so.
    monkeypatch.setattr(modules, "_KEPT_FROM_AUTOCAST", {"cpu"})
    monkeypatch.setattr(cells, "_HAS_OWN_GRU", frozenset())
    torch.manual_seed(0)
    layer = kind(6, 4, bidirectional=True)
    x_BTC = torch.randn(3, 7, 6).bfloat16().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x_BTC.bfloat16())
    expected = layer(x_BTC)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    arguments = [*layer.parameters()]
    small = torch.full_like(found, 1e-7)  # far below what float16 holds precisely
    for own, exact in zip(
        torch.autograd.grad(found, arguments, small),
        torch.autograd.grad(expected, arguments, small),
        strict=True,
    ):
        assert own.dtype == torch.float32
        assert torch.equal(own, exact)
