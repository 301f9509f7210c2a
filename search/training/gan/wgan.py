"""Records of rare classes drawn by a conditional WGAN-GP that is trained on the training part of a fold.

Gulrajani et al. 2017, "Improved training of Wasserstein GANs", algorithm 1; for ECGs Delaney et al. 2019,
"Synthesis of realistic ECG using generative adversarial networks", and with the gradient penalty Thambawita
et al. 2021, "DeepFake electrocardiograms". The critic also names the classes (Odena et al. 2017, "Conditional
image synthesis with auxiliary classifier GANs"). A generated record has the
whole label vector of a real one, so that classes occur together as they do in hearts.

Shapes: N record, B batch, M generated record, L lead, T time, C class, Z noise; K independent lead and S time
at the reduced rate, as the GAN sees a signal.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from search.errors import TrainingError
from search.training.batches import LeadStatistics
from search.training.gan.networks import Critic, Generator, Shape, initialise
from search.training.gan.records import SyntheticRecords
from search.training.gan.settings import GanSettings
from search.training.gan.signals import Reduction

FEWEST_POSITIVES = 10
"""Positives of a class that is generated: from fewer, the GAN could only learn the records by heart."""
RARE_SHARE = 0.5
"""A class with fewer positives than this share of the average class is rare."""
LARGEST_DEVIATION = 10.0
"""Standard deviations beyond which voltages, mostly of electrodes that come off, are cut for the critic."""
_CHUNK: Final = 256
"""Records that are reduced at a time, to bound memory."""
_STREAM: Final = 0x6A4
"""Constant that separates the GAN's random numbers from those of the classifier of the same seed and fold."""


def rare_classes(y_NC: Tensor) -> list[int]:
    """Indices of the classes worth generating, ascending; possibly none.

    A class is rare if it has fewer than half the positives of the average class. Classes with fewer than
    `FEWEST_POSITIVES` are neither generated nor part of that average. The rule has no absolute share, since
    tiers have from three to over seventy classes.

    Args:
        y_NC: labels of the training part.
    """
    positives_C = y_NC.sum(dim=0, dtype=torch.float64)
    learnable_C = positives_C >= FEWEST_POSITIVES
    if not learnable_C.any():
        return []
    average = positives_C[learnable_C].mean()
    return [int(index) for index in torch.nonzero(learnable_C & (positives_C < RARE_SHARE * average))]


def synthesise(
    x_NLT: Tensor,
    y_NC: Tensor,
    rows: Tensor,
    statistics: LeadStatistics,
    *,
    leads: Sequence[str],
    rate_hz: float,
    seed: int,
    fold: int,
    settings: GanSettings | None = None,
) -> SyntheticRecords:
    """Train a GAN on the records of `rows` that carry a rare class and draw records from it.

    The result depends on the arguments and on the number of threads alone; no record outside `rows` is read.
    Where no class is rare, it has no record and cost next to nothing.

    Args:
        x_NLT: int16 microvolts, on the device to train on.
        y_NC: labels of one tier as 0 and 1, there too.
        rows: rows of the training part.
        statistics: statistics of the training part.
        leads: names of axis L. Of the twelve standard leads eight are generated and four derived.
        rate_hz: sampling rate.
        seed: seed of the study.
        fold: number of the fold.
        settings: size and length of the training.

    Raises:
        TrainingError: the GAN diverged (`diverged`) or memory ran out (`out-of-memory`).
    """
    started = time.perf_counter()
    settings = settings or GanSettings()
    rare = rare_classes(y_NC[rows])
    if not rare:
        x_MLT, y_MC = x_NLT.new_empty((0, *x_NLT.shape[1:])), y_NC.new_empty((0, y_NC.shape[1]))
    else:
        reduction = Reduction.of(leads, x_NLT.shape[2], rate_hz, statistics.to(x_NLT.device))
        carriers = rows[y_NC[rows][:, rare].any(dim=1)]
        try:
            # In bfloat16 the gradient of a gradient is mostly rounding.
            with torch.autocast(x_NLT.device.type, enabled=False):
                parts = [reduction.project(x_NLT[part]) for part in torch.split(carriers, _CHUNK)]
                gan = _Gan(
                    torch.cat(parts),
                    y_NC[carriers],
                    rare,
                    rate_hz=rate_hz / reduction.factor,
                    seed=_seed(seed, fold),
                    settings=settings,
                )
                gan.train()
                x_MKS, y_MC = gan.draw()
                x_MLT = reduction.restore(x_MKS)
        except torch.OutOfMemoryError as error:
            raise TrainingError("out-of-memory", "out of memory while the GAN was trained") from error
    return SyntheticRecords(x_MLT=x_MLT, y_MC=y_MC, seconds=time.perf_counter() - started)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real_BKS: Tensor, fake_BKS: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean over records of (‖∇ critic(x̂)‖ − 1)², before λ (Gulrajani et al. 2017, equation 3).

    x̂ lies at a random point of the straight line between a real and a generated record.

    Args:
        critic: one number for every record, each from its own signal only.
        real_BKS: real records.
        fake_BKS: generated records.
        generator: draws the points.
    """
    share_B11 = torch.rand(len(real_BKS), 1, 1, generator=generator, device=real_BKS.device)
    mixed_BKS = torch.lerp(fake_BKS, real_BKS, share_B11).requires_grad_()
    (gradient_BKS,) = torch.autograd.grad(critic(mixed_BKS).sum(), mixed_BKS, create_graph=True)
    return torch.as_tensor((gradient_BKS.flatten(1).norm(dim=1) - 1).square().mean())


class _Gan:
    """Generator and critic in training.

    Args:
        x_NKS: records to learn from, in standard deviations.
        y_NC: their labels.
        rare: classes that are drawn equally often.
        rate_hz: sampling rate of axis S.
        seed: seed of everything random.
        settings: size and length of the training.
    """

    def __init__(
        self,
        x_NKS: Tensor,
        y_NC: Tensor,
        rare: Sequence[int],
        *,
        rate_hz: float,
        seed: int,
        settings: GanSettings,
    ) -> None:
        self._x_NKS = x_NKS.clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION)
        self._y_NC = y_NC.float()
        # A class uniformly, then one of its records: the rarest is seen and drawn as often as the others.
        rare_NC = self._y_NC[:, rare]
        self._weight_N = (rare_NC / rare_NC.sum(dim=0)).sum(dim=1)
        self._settings = settings
        self._random = torch.Generator(x_NKS.device).manual_seed(seed)
        _, n_leads, n_samples = x_NKS.shape
        shape = Shape(n_leads=n_leads, n_samples=n_samples, rate_hz=rate_hz, n_classes=y_NC.shape[1])
        with torch.device("meta"):
            self._generator = Generator(shape, width=settings.width, n_noise=settings.n_noise)
            self._critic = Critic(shape, width=settings.width)
        initialise(self._generator, self._random)
        initialise(self._critic, self._random)
        self._average = copy.deepcopy(self._generator).requires_grad_(False)
        self._generator_step, self._critic_step = (
            torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.0, 0.9), fused=True)
            for network in (self._generator, self._critic)
        )

    def train(self) -> None:
        """Train for the number of steps of the settings.

        Raises:
            TrainingError: the losses are no numbers any more.
        """
        loss = torch.zeros(())
        # Only cuDNN's deterministic kernels: the same records whenever they are generated.
        # Arguments left out would be set to PyTorch's defaults here, which switch cuDNN off.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            for step in range(self._settings.n_steps):
                self._slow_down(step)
                for _ in range(self._settings.n_critic):
                    loss = self._train_critic()
                self._train_generator()
                self._keep_average(step)
        if not torch.isfinite(loss):
            raise TrainingError("diverged", f"the loss of the GAN's critic is {loss.item()}")

    @torch.no_grad()
    def draw(self) -> tuple[Tensor, Tensor]:
        """Records `x_MKS` in standard deviations and their labels `y_MC`.

        Raises:
            TrainingError: the generator gives no numbers.
        """
        parts = []
        y_MC = self._y_NC[self._draw_rows(self._settings.n_records)]
        for y_BC in torch.split(y_MC, self._settings.batch_size):
            parts.append(self._average(self._noise(len(y_BC)), y_BC))
        x_MKS = torch.cat(parts)
        if not torch.isfinite(x_MKS).all():
            raise TrainingError("diverged", "the GAN generates values that are not numbers")
        return x_MKS, y_MC

    def _train_critic(self) -> Tensor:
        """One update of the critic; returns its loss."""
        rows = self._draw_rows(self._settings.batch_size)
        real_BKS, y_BC = self._x_NKS[rows], self._y_NC[rows]
        with torch.no_grad():
            fake_BKS = self._generator(self._noise(len(rows)), y_BC)
        fake_B, _ = self._critic(fake_BKS, y_BC)
        real_B, z_BC = self._critic(real_BKS, y_BC)
        loss = (fake_B - real_B).mean() + self._class_loss(z_BC, y_BC)
        loss = loss + self._settings.penalty * gradient_penalty(
            lambda x_BKS: self._critic(x_BKS, y_BC)[0], real_BKS, fake_BKS, self._random
        )
        _descend(loss, self._critic_step)
        return torch.as_tensor(loss.detach())

    def _train_generator(self) -> None:
        y_BC = self._y_NC[self._draw_rows(self._settings.batch_size)]
        fake_BKS = self._generator(self._noise(len(y_BC)), y_BC)
        fake_B, z_BC = self._critic(fake_BKS, y_BC)
        _descend(self._class_loss(z_BC, y_BC) - fake_B.mean(), self._generator_step)

    def _class_loss(self, z_BC: Tensor, y_BC: Tensor) -> Tensor:
        """Cross-entropy of the classes, summed over them: real and generated records are to show them."""
        loss = F.binary_cross_entropy_with_logits(z_BC, y_BC, reduction="sum") / len(y_BC)
        return self._settings.class_weight * loss

    def _slow_down(self, step: int) -> None:
        """Learning rates fall linearly to nothing."""
        rate = self._settings.learning_rate * (1 - step / self._settings.n_steps)
        for optimiser in (self._generator_step, self._critic_step):
            for group in optimiser.param_groups:
                group["lr"] = rate

    @torch.no_grad()
    def _keep_average(self, step: int) -> None:
        """Exponential moving average of the weights (Yazıcı et al. 2019), with little weight on the first
        steps."""
        weight = max(1 - self._settings.average, 1 / (step + 1))
        for mean, value in zip(self._average.parameters(), self._generator.parameters(), strict=True):
            mean.lerp_(value, weight)

    def _draw_rows(self, n: int) -> Tensor:
        return torch.multinomial(self._weight_N, n, replacement=True, generator=self._random)

    def _noise(self, n: int) -> Tensor:
        return torch.randn(n, self._settings.n_noise, generator=self._random, device=self._x_NKS.device)


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimiser.step()


def _seed(seed: int, fold: int) -> int:
    entropy = (_STREAM, seed, fold)
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) % 2**63
