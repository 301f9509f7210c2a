"""S4D, a layer of linear systems with diagonal state matrices (Gu et al. 2022, "On the Parameterization and
Initialization of Diagonal State Space Models").

Shapes: B batch, C channel, T time, N circle of time, P pair of states, I and J steps far and near.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import search.models.frontends.layers as described
from search.models.modules import Dropout, full_precision

TIME_STEPS = (0.001, 0.1)
"""Range of a state-space layer's time step in samples at the start (Gu et al. 2022, section 5.1)."""


class StateSpaceLayer(nn.Module):
    """Bidirectional S4D in a residual block: convolution, GELU, dropout, gated dense layer, layer norm.

    Channel c is the linear system x' = A x + B u, y = Re(C x) + D u with diagonal complex A, discretised with
    a time step of its own by zero-order hold, so that y is the convolution of u with
    K_t = 2 Re Σ_p C_p (exp(A_p Δ) − 1) / A_p · exp(A_p Δ t) (Gu et al. 2022, equations 4 and 6).
    """

    def __init__(self, layer: described.StateSpaceLayer) -> None:
        super().__init__()
        width, n_pairs = layer.width, layer.n_pairs
        self.log_step = nn.Parameter(torch.empty(width))
        self.log_decay = nn.Parameter(torch.empty(width, n_pairs))
        self.frequency = nn.Parameter(torch.empty(width, n_pairs))
        self.readout = nn.Parameter(torch.empty(2, width, n_pairs, 2))  # direction, channel, pair, re and im
        self.feedthrough = nn.Parameter(torch.empty(width))
        self.mix = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(layer.dropout)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """S4D-Lin: decays of one half, frequencies π p (Gu et al. 2022, section 4.3)."""
        low, high = (math.log(step) for step in TIME_STEPS)
        self.log_step.uniform_(low, high, generator=generator)
        self.log_decay.fill_(math.log(0.5))
        self.frequency.copy_(math.pi * torch.arange(self.frequency.shape[1]).expand_as(self.frequency))
        self.readout.normal_(std=math.sqrt(0.5), generator=generator)
        self.feedthrough.normal_(generator=generator)
        nn.init.xavier_uniform_(self.mix.weight, generator=generator)
        nn.init.zeros_(self.mix.bias)
        self.norm.reset_parameters()

    def kernels(self, length: int) -> Tensor:
        """Impulse responses forwards and backwards in time, (2, C, T).

        With t = i J + j, exp(a t) = exp(a i J) exp(a j): the powers of a pole at T times are products of
        those at √T far and √T near ones, and the sum over poles is a matrix product, real and imaginary
        parts side by side.
        """
        step_C1 = torch.exp(self.log_step)[:, None]
        pole_CP = torch.complex(-torch.exp(self.log_decay), self.frequency)
        moved_CP1 = (pole_CP * step_C1)[:, :, None]
        weight_2CP = 2 * torch.view_as_complex(self.readout) * (torch.exp(moved_CP1[:, :, 0]) - 1) / pole_CP
        n_near = math.isqrt(length - 1) + 1
        n_far = -(-length // n_near)
        time_J = torch.arange(n_near, device=step_C1.device)
        near_CPJ = torch.exp(moved_CP1 * time_J)
        far_CPI = torch.exp(moved_CP1 * (n_near * torch.arange(n_far, device=step_C1.device)))
        far_2CPI = weight_2CP[:, :, :, None] * far_CPI
        kernels_2CIJ = torch.cat([far_2CPI.real, -far_2CPI.imag], dim=2).transpose(2, 3) @ torch.cat(
            [near_CPJ.real, near_CPJ.imag], dim=1
        )
        return kernels_2CIJ.flatten(2)[:, :, :length]

    def forward(self, x_BC1T: Tensor) -> Tensor:
        """Same shape."""
        u_BCT = full_precision(x_BC1T.squeeze(2))  # there is no Fourier transform of bfloat16
        length = u_BCT.shape[2]
        with torch.autocast(u_BCT.device.type, enabled=False):
            forwards_CT, backwards_CT = self.kernels(length)
            # Behind the signal, the padded half of the circle holds what looks backwards.
            kernel_CN = F.pad(forwards_CT, (0, length)) + F.pad(backwards_CT.flip(1), (length, 0))
            y_BCT = circular_convolution(u_BCT, kernel_CN) + self.feedthrough[:, None] * u_BCT
        y_BTC = self.dropout(F.gelu(y_BCT)).transpose(1, 2)
        y_BTC = F.glu(self.mix(y_BTC), dim=2)
        z_BTC: Tensor = self.norm(u_BCT.transpose(1, 2) + y_BTC)
        return z_BTC.transpose(1, 2).unsqueeze(2)


def circular_convolution(u_BCT: Tensor, kernel_CN: Tensor) -> Tensor:
    """Signal and kernel of each channel around a circle of N ≥ T samples; the first T of the result."""
    y_BCT: Tensor = CircularConvolution.apply(u_BCT, kernel_CN)  # type: ignore[no-untyped-call]
    return y_BCT


class CircularConvolution(torch.autograd.Function):
    """Multiplication of spectra, which are found again in the backward pass.

    PyTorch would keep the signal's, of twice its size, and go back through complex transforms.
    """

    @staticmethod
    def forward(ctx: Any, u_BCT: Tensor, kernel_CN: Tensor) -> Tensor:
        """(B, C, T)."""
        ctx.save_for_backward(u_BCT, kernel_CN)
        length, circle = u_BCT.shape[2], kernel_CN.shape[1]
        spectrum = torch.fft.rfft(u_BCT, n=circle).mul_(torch.fft.rfft(kernel_CN))
        y_BCN: Tensor = torch.fft.irfft(spectrum, n=circle)
        return y_BCN[:, :, :length]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Correlations: the gradient of the signal is that of the output with the kernel, and so on."""
        u_BCT, kernel_CN = ctx.saved_tensors
        length, circle = u_BCT.shape[2], kernel_CN.shape[1]
        spectrum = torch.fft.rfft(gradients[0], n=circle)
        of_kernel = torch.einsum("bcf,bcf->cf", spectrum, torch.fft.rfft(u_BCT, n=circle).conj())
        grad_kernel_CN = torch.fft.irfft(of_kernel, n=circle)
        grad_u_BCN = torch.fft.irfft(spectrum.mul_(torch.fft.rfft(kernel_CN).conj()), n=circle)
        return grad_u_BCN[:, :, :length], grad_kernel_CN
