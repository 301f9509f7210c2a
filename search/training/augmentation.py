"""Augmentation of the signals of every training batch, on the device they are on.

Shapes: B batch, L lead, T time, C class. Signals are in standard deviations of their lead.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from search.training.batches import Batch

Augmentation = Callable[[Batch, torch.Generator, int], Batch]
"""Function from a batch, a generator and the sampling rate in Hz to a new batch."""

NOISE_RANGE = (0.005, 0.05)
"""Standard deviation of the added noise, in those of the lead; Jafari & Jafari give no number."""
SCALE_RANGE = (0.8, 1.2)
"""Factor on the amplitude of a record; Jafari & Jafari give no number."""
AUGMENTED_SHARE = 0.5
"""Share of the records of a batch that noise, scaling and wander touch, each on its own."""
WANDER_HZ = (0.05, 0.5)
"""Frequencies of breathing and of slow movements."""
WANDER_AMPLITUDE = (0.05, 0.5)
N_WANDER_WAVES = 3
HIDDEN_SHARE = 0.25
"""Share of the records in which leads, and in which time, are hidden."""
LEAD_DROPOUT = 0.2
"""Share of the leads that are then hidden."""
MASKED_S = (0.2, 2.0)
"""Seconds that are hidden in all leads."""
MIXUP_ALPHA = 0.2
"""Zhang et al. 2018, "mixup: beyond empirical risk minimization", section 3.1."""


def unchanged(batch: Batch, generator: torch.Generator, rate_hz: int) -> Batch:
    """The batch as it is."""
    return batch


def noise(batch: Batch, generator: torch.Generator, rate_hz: int) -> Batch:
    """Scale the amplitude of some records and add noise to some (Jafari & Jafari, 2.5).

    One factor for all leads of a record, so that voltages keep their relations.
    """
    x_BLT = batch.x_BLT
    scale = torch.where(_chosen(x_BLT, generator), _uniform(x_BLT, generator, *SCALE_RANGE), 1.0)
    amplitude = torch.where(_chosen(x_BLT, generator), _uniform(x_BLT, generator, *NOISE_RANGE), 0.0)
    added = torch.empty_like(x_BLT).normal_(generator=generator)
    return replace(batch, x_BLT=torch.addcmul(x_BLT * scale, added, amplitude))


def rich(batch: Batch, generator: torch.Generator, rate_hz: int) -> Batch:
    """Scaling and noise, baseline wander, leads and stretches of time hidden, each in some records."""
    x_BLT = noise(batch, generator, rate_hz).x_BLT
    x_BLT = x_BLT + _wander(x_BLT, generator, rate_hz)
    hides_leads = _chosen(x_BLT, generator, HIDDEN_SHARE)
    hidden_BL1 = _uniform(x_BLT, generator, 0.0, 1.0, n_leads=x_BLT.shape[1]) < LEAD_DROPOUT
    hidden_BLT = (hides_leads & hidden_BL1) | _stretch(x_BLT, generator, rate_hz)
    return replace(batch, x_BLT=x_BLT.masked_fill(hidden_BLT, 0.0))


def with_lead_dropout(batch: Batch, generator: torch.Generator, share: float) -> Batch:
    """The batch with every lead of every record hidden with probability `share`, one at least left.

    Random lead masking of Oh et al. 2022, "Lead-agnostic self-supervised learning for local and global
    representations of electrocardiogram". The lead with the largest number drawn always stays.
    """
    drawn_BL1 = _uniform(batch.x_BLT, generator, 0.0, 1.0, n_leads=batch.x_BLT.shape[1])
    hidden_BL1 = (drawn_BL1 < share) & (drawn_BL1 < drawn_BL1.amax(dim=1, keepdim=True))
    return replace(batch, x_BLT=batch.x_BLT.masked_fill(hidden_BL1, 0.0))


def mixup(batch: Batch, generator: torch.Generator, rate_hz: int) -> Batch:
    """Scaling and noise, then every record mixed with another one, and so are their targets and features.

    The share of the first is drawn from Beta(α, α), and is at least one half.
    """
    x_BLT = noise(batch, generator, rate_hz).x_BLT
    share_B11 = _beta(x_BLT, generator)
    share_B11 = torch.maximum(share_B11, 1 - share_B11)
    other_B = torch.randperm(len(x_BLT), generator=generator, device=x_BLT.device)
    share_B1 = share_B11[:, :, 0]
    y_BC, f_BK, teacher_BC = batch.y_BC, batch.f_BK, batch.teacher_BC
    return Batch(
        x_BLT=torch.lerp(x_BLT[other_B], x_BLT, share_B11),
        y_BC=torch.lerp(y_BC[other_B], y_BC, share_B1),
        f_BK=None if f_BK is None else torch.lerp(f_BK[other_B], f_BK, share_B1),
        teacher_BC=None if teacher_BC is None else torch.lerp(teacher_BC[other_B], teacher_BC, share_B1),
    )


def _uniform(
    x_BLT: Tensor, generator: torch.Generator, low: float, high: float, *, n_leads: int = 1
) -> Tensor:
    """A number for every record, or for every lead of it, (B, n_leads, 1)."""
    values = torch.empty(len(x_BLT), n_leads, 1, device=x_BLT.device)
    return values.uniform_(low, high, generator=generator)


def _chosen(x_BLT: Tensor, generator: torch.Generator, share: float = AUGMENTED_SHARE) -> Tensor:
    return _uniform(x_BLT, generator, 0.0, 1.0) < share


def _wander(x_BLT: Tensor, generator: torch.Generator, rate_hz: int) -> Tensor:
    """Slow waves with the same times in all leads, for they come from the body, and an amplitude in each."""
    angle_T = torch.arange(x_BLT.shape[2], device=x_BLT.device) * (2 * math.pi / rate_hz)
    wave_B1T = torch.zeros_like(x_BLT[:, :1])
    for _ in range(N_WANDER_WAVES):
        frequency, phase = _uniform(x_BLT, generator, *WANDER_HZ), _uniform(x_BLT, generator, 0, 2 * math.pi)
        wave_B1T = wave_B1T + torch.sin(frequency * angle_T + phase)
    amplitude = _uniform(x_BLT, generator, *WANDER_AMPLITUDE) / math.sqrt(N_WANDER_WAVES)
    share_BL1 = _uniform(x_BLT, generator, -1.0, 1.0, n_leads=x_BLT.shape[1])
    return torch.where(_chosen(x_BLT, generator), amplitude * share_BL1 * wave_B1T, 0.0)


def _stretch(x_BLT: Tensor, generator: torch.Generator, rate_hz: int) -> Tensor:
    """A stretch of time in some records, (B, 1, T)."""
    length = x_BLT.shape[2]
    # Never more than half of a short record.
    longest = min(MASKED_S[1] * rate_hz, length / 2)
    n_samples = _uniform(x_BLT, generator, min(MASKED_S[0] * rate_hz, longest), longest)
    start = _uniform(x_BLT, generator, 0.0, 1.0) * (length - n_samples)
    time_T = torch.arange(length, device=x_BLT.device)
    return _chosen(x_BLT, generator, HIDDEN_SHARE) & (time_T >= start) & (time_T < start + n_samples)


def _beta(x_BLT: Tensor, generator: torch.Generator) -> Tensor:
    """A number from Beta(α, α) for every record by Jöhnk's method, (B, 1, 1).

    PyTorch draws gamma variables from its global generator only. Of uniform u and v, u^(1/α) / (u^(1/α) +
    v^(1/α)) has the distribution given that the sum is at most one; of sixteen pairs the first such counts.
    """
    n_tries = 16  # for α = .2 more than nine in ten pairs are such
    pairs = torch.empty(2, len(x_BLT), n_tries, device=x_BLT.device).uniform_(generator=generator)
    powers = pairs.double().pow(1 / MIXUP_ALPHA)
    total_BK = powers.sum(dim=0)
    first_B1 = (total_BK <= 1).int().argmax(dim=1, keepdim=True)
    share_BK = powers[0] / total_BK
    return share_BK.gather(1, first_B1).float().view(-1, 1, 1)
