"""minGRU, a gated recurrence that is linear in its state (Feng et al. 2024, "Were RNNs all we needed?").

Shapes: B batch, C channel, T time, H hidden unit; I block of time, J time step within a block.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import search.models.frontends.layers as described
from search.models.modules import Dropout, full_precision

LONGEST_MEMORY = 100
"""Time steps that the slowest hidden units remember at the start, about."""


class MinGruLayer(nn.Module):
    """Layer norm, a minGRU in each direction, a dense layer on both, and the input added.

    h_t = (1 − z_t) h_{t−1} + z_t g(c_t) with z_t = σ(W_z x_t) and c_t = W_c x_t (section 3.1), where
    g(c) = c + 1/2 from 0 on and σ(c) below (appendix B.2), which keeps states positive.
    """

    def __init__(self, layer: described.MinGruLayer) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(layer.width)
        self.gate = nn.Linear(layer.width, 2 * layer.width)
        self.candidate = nn.Linear(layer.width, 2 * layer.width)
        self.mix = nn.Linear(2 * layer.width, layer.width)
        self.dropout = Dropout(layer.dropout)

    @torch.no_grad()
    def initialise_last(self, generator: torch.Generator) -> None:
        """Draw again what has no ReLU behind it, and let units remember from 1 to `LONGEST_MEMORY` steps.

        A unit forgets within 1 / z steps; gates of bias −log(u − 1), u uniform, start with z = 1 / u
        (Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", section 2).
        """
        for layer in (self.gate, self.candidate, self.mix):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
        self.gate.bias.uniform_(2, LONGEST_MEMORY, generator=generator).sub_(1).log_().neg_()

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Same shape."""
        x_BTC = x_BC1T.squeeze(-2).transpose(-2, -1)
        normal_BTC = self.norm(x_BTC)
        z_BTH = torch.sigmoid(full_precision(self.gate(normal_BTC)))
        c_BTH = full_precision(self.candidate(normal_BTC))
        # c + 1/2 from 0 on and σ(c) below, without a case.
        added_BTH = z_BTH * (F.relu(c_BTH) + torch.sigmoid(c_BTH.clamp(max=0)))
        kept_BTH = 1 - z_BTH
        half = kept_BTH.shape[-1] // 2
        forwards_BTH = recurrence(kept_BTH[..., :half], added_BTH[..., :half])
        backwards_BTH = recurrence(kept_BTH[..., half:].flip(-2), added_BTH[..., half:].flip(-2)).flip(-2)
        mixed_BTC = self.dropout(self.mix(torch.cat([forwards_BTH, backwards_BTH], dim=-1)))
        return torch.as_tensor((x_BTC + mixed_BTC).transpose(-2, -1).unsqueeze(-2))


def recurrence(kept_BTH: Tensor, added_BTH: Tensor) -> Tensor:
    """States h_t = kept_t · h_{t−1} + added_t from a state of zero, for factors in [0, 1].

    Axes before time do not matter.
    """
    h_BTH: Tensor = Recurrence.apply(kept_BTH, added_BTH)  # type: ignore[no-untyped-call]
    return h_BTH


class Recurrence(torch.autograd.Function):
    """The recurrence, whose gradient is one that runs backwards in time.

    With g_t = ∂L/∂h_t, of all that follows, g_t = d_t + kept_{t+1} g_{t+1}; ∂L/∂added_t = g_t and
    ∂L/∂kept_t = g_t h_{t−1}. So only factors and states are kept for it.
    """

    @staticmethod
    def forward(ctx: Any, kept_BTH: Tensor, added_BTH: Tensor) -> Tensor:
        """(…, T, H)."""
        h_BTH = _scan(kept_BTH, added_BTH)
        ctx.save_for_backward(kept_BTH, h_BTH)
        return h_BTH

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of factors and increments."""
        kept_BTH, h_BTH = ctx.saved_tensors
        next_BTH = F.pad(kept_BTH[..., 1:, :], (0, 0, 0, 1))
        g_BTH = _scan(next_BTH.flip(-2), gradients[0].flip(-2)).flip(-2)
        return g_BTH * F.pad(h_BTH[..., :-1, :], (0, 0, 1, 0)), g_BTH


def _scan(kept_BTH: Tensor, added_BTH: Tensor) -> Tensor:
    """States in √T steps within blocks of √T, all blocks at once, and √T steps from block to block.

    A block from a state of zero is L, and P its running product of factors; from a state S it is L + P S
    (Blelloch 1990, "Prefix sums and their applications", section 1.4, with two levels). No factor is
    divided by, so that products that underflow do no harm.
    """
    length = kept_BTH.shape[-2]
    n_inside = math.isqrt(length - 1) + 1
    n_blocks = -(-length // n_inside)
    behind = (0, 0, 0, n_blocks * n_inside - length)
    shape = (*kept_BTH.shape[:-2], n_blocks, n_inside, kept_BTH.shape[-1])
    kept_JBIH = F.pad(kept_BTH, behind).reshape(shape).unbind(-2)
    added_JBIH = F.pad(added_BTH, behind).reshape(shape).unbind(-2)
    states, products = [added_JBIH[0]], [kept_JBIH[0]]
    for kept_BIH, more_BIH in zip(kept_JBIH[1:], added_JBIH[1:], strict=True):
        states.append(torch.addcmul(more_BIH, kept_BIH, states[-1]))
        products.append(kept_BIH * products[-1])
    entering = [torch.zeros_like(states[-1][..., 0, :])]
    for product_BH, state_BH in zip(products[-1].unbind(-2)[:-1], states[-1].unbind(-2)[:-1], strict=True):
        entering.append(torch.addcmul(state_BH, product_BH, entering[-1]))
    entering_BI1H = torch.stack(entering, dim=-2).unsqueeze(-2)
    h_BIJH = torch.addcmul(torch.stack(states, dim=-2), torch.stack(products, dim=-2), entering_BI1H)
    return h_BIJH.flatten(-3, -2)[..., :length, :]
