"""Augmentation: reproducible, physical, and in the shares it says."""

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest
from training_samples import seeded

from search.data.signals.leads import LEADS
from search.training import augmentation
from search.training.augmentation import (
    HIDDEN_SHARE,
    LEAD_DROPOUT,
    MIXUP_ALPHA,
    NOISE_RANGE,
    SCALE_RANGE,
    WANDER_HZ,
    mixup,
    with_lead_dropout,
)
from search.training.batches import Batch
from space import AUGMENTATIONS, load_code

RATE_HZ = 100


def apply_to_both(
    name: str, x_BLT: torch.Tensor, y_BC: torch.Tensor, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    changed = load_code(AUGMENTATIONS[name].apply)(Batch(x_BLT=x_BLT, y_BC=y_BC), seeded(seed), RATE_HZ)
    return changed.x_BLT, changed.y_BC


def apply(name: str, x_BLT: torch.Tensor, seed: int) -> torch.Tensor:
    return apply_to_both(name, x_BLT, torch.zeros(len(x_BLT), 1), seed)[0]


def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "NOISE_RANGE", (0.0, 0.0))
    monkeypatch.setattr(augmentation, "SCALE_RANGE", (1.0, 1.0))


def test_augmentation_keeps_the_leads_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without noise a record is multiplied by one factor, so that Einthoven's law still holds."""
    monkeypatch.setattr(augmentation, "NOISE_RANGE", (0.0, 0.0))
    x_BLT = torch.randn(400, 12, 20, generator=seeded(1))
    i, ii, iii = (LEADS.index(name) for name in ("I", "II", "III"))
    x_BLT[:, iii] = x_BLT[:, ii] - x_BLT[:, i]
    y_BLT = apply("noise", x_BLT, 2)
    factor_BLT = y_BLT / x_BLT
    factor_B = factor_BLT[:, 0, 0]
    torch.testing.assert_close(factor_BLT, factor_B[:, None, None].expand_as(x_BLT), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(y_BLT[:, iii], y_BLT[:, ii] - y_BLT[:, i], rtol=1e-4, atol=1e-5)

    scaled = (factor_B - 1).abs() > 1e-6
    assert 0.4 < scaled.float().mean() < 0.6
    low, high = SCALE_RANGE
    assert low - 1e-3 <= factor_B.min() < low + 0.02
    assert high - 0.02 < factor_B.max() <= high + 1e-3
    assert abs(factor_B.mean() - 1) < 0.02


def test_added_noise_is_white_and_within_its_range() -> None:
    y_BLT = apply("noise", torch.zeros(400, 12, 200), 3)  # scaling nothing leaves nothing
    deviation_B = y_BLT.std(dim=(1, 2))
    noisy = deviation_B > 0
    assert 0.4 < noisy.float().mean() < 0.6
    low, high = NOISE_RANGE
    assert low * 0.9 <= deviation_B[noisy].min() < low * 1.6
    assert high * 0.9 < deviation_B[noisy].max() <= high * 1.1
    unit = y_BLT[noisy] / deviation_B[noisy][:, None, None]
    assert abs((unit[:, 0] * unit[:, 1]).mean()) < 0.02  # leads are independent
    assert abs((unit[:, :, :-1] * unit[:, :, 1:]).mean()) < 0.01  # and so are samples


@pytest.mark.parametrize("name", ["noise", "rich", "mixup"])
def test_augmentation_depends_on_the_generator_alone(name: str) -> None:
    x_BLT = torch.randn(8, 12, 20, generator=seeded(4))
    before = x_BLT.clone()
    state = torch.get_rng_state()
    first, again, other = (apply(name, x_BLT, seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(x_BLT, before)
    assert first.dtype == torch.float32


@pytest.mark.parametrize("name", ["none", "noise", "rich"])
def test_targets_stay_as_they_are(name: str) -> None:
    x_BLT, y_BC = torch.randn(8, 12, 50, generator=seeded(7)), torch.rand(8, 3, generator=seeded(8))
    x_changed_BLT, y_same_BC = apply_to_both(name, x_BLT, y_BC, 9)
    assert torch.equal(y_same_BC, y_BC)
    assert torch.equal(x_changed_BLT, x_BLT) == (name == "none")


def test_wander_is_slow_and_keeps_its_times_over_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    monkeypatch.setattr(augmentation, "HIDDEN_SHARE", 0.0)
    y_BLT = apply("rich", torch.zeros(200, 12, 4_000), 10).numpy()
    wandering = np.abs(y_BLT).max(axis=(1, 2)) > 0
    assert 0.4 < wandering.mean() < 0.6
    y_BLT = y_BLT[wandering]
    power = np.abs(np.fft.rfft(y_BLT * np.hanning(4_000))) ** 2
    frequency_hz = np.fft.rfftfreq(4_000, 1 / RATE_HZ)
    low, high = WANDER_HZ
    inside = (frequency_hz >= low - 0.05) & (frequency_hz <= high + 0.05)
    assert power[..., inside].sum() / power.sum() > 0.999
    assert all(np.linalg.matrix_rank(y_LT, tol=1e-3) == 1 for y_LT in y_BLT[:20])


@pytest.mark.slow
def test_leads_and_time_are_hidden_in_some_records(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    monkeypatch.setattr(augmentation, "WANDER_AMPLITUDE", (0.0, 0.0))
    hidden_BLT = apply("rich", torch.ones(4_000, 12, 1_000), 11) == 0
    leads_BL, times_BT = hidden_BLT.all(dim=2), hidden_BLT.all(dim=1)
    assert abs(leads_BL.float().mean() - HIDDEN_SHARE * LEAD_DROPOUT) < 0.01
    masked = times_BT.any(dim=1) & ~leads_BL.all(dim=1)
    assert abs(masked.float().mean() - HIDDEN_SHARE) < 0.03
    n_samples = times_BT[masked].sum(dim=1)
    assert 20 <= n_samples.min() <= 25
    assert 195 <= n_samples.max() <= 201
    # One stretch each: it begins once.
    begins = (times_BT[masked][:, 1:] & ~times_BT[masked][:, :-1]).sum(dim=1) + times_BT[masked][:, 0]
    assert (begins == 1).all()


def test_short_records_keep_half_of_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "LEAD_DROPOUT", 0.0)
    y_BLT = apply("rich", torch.ones(200, 2, 30), 12)
    assert ((y_BLT == 0).all(dim=1).sum(dim=1) <= 16).all()


def test_mixup_mixes_signals_and_targets_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    # Record k is a signal of value k with target k: the mixture must agree.
    value_B = torch.arange(64.0)
    x_BLT = value_B[:, None, None].expand(64, 2, 5).contiguous()
    mixed_BLT, mixed_BC = apply_to_both("mixup", x_BLT, value_B[:, None] / 64, 13)
    torch.testing.assert_close(mixed_BLT[:, 0, 0] / 64, mixed_BC[:, 0])
    torch.testing.assert_close(mixed_BLT, mixed_BLT[:, :1, :1].expand_as(mixed_BLT))
    assert mixed_BC.min() >= 0
    assert mixed_BC.max() <= 1
    assert (mixed_BC[:, 0] - value_B / 64).abs().max() > 0.01
    batch = Batch(x_BLT=x_BLT, y_BC=value_B[:, None] / 64, f_BK=value_B[:, None].expand(64, 3) / 64)
    mixed = mixup(batch, seeded(13), RATE_HZ)
    assert mixed.f_BK is not None
    torch.testing.assert_close(mixed.f_BK, mixed.y_BC.expand(64, 3))


def test_the_shares_of_mixup_have_the_beta_distribution() -> None:
    # Private: the shares themselves; a mixed record shows one at a time.
    share_B = augmentation._beta(torch.zeros(20_000, 1, 1), seeded(14)).flatten().double().numpy()
    # Float32 rounds what is nearly one to one.
    inside = share_B[(share_B > 1e-6) & (share_B < 1 - 1e-6)]
    expected = beta(MIXUP_ALPHA, MIXUP_ALPHA)
    low, high = expected.cdf([1e-6, 1 - 1e-6])
    assert kstest((expected.cdf(inside) - low) / (high - low), "uniform").pvalue > 0.001
    assert abs((share_B < 1e-6).mean() - low) < 0.01


def test_lead_dropout_hides_its_share_of_the_leads_and_never_all() -> None:
    x_BLT = torch.ones(4_000, 3, 2)
    batch = Batch(x_BLT=x_BLT, y_BC=torch.zeros(len(x_BLT), 1))
    hidden_BL = with_lead_dropout(batch, seeded(5), 0.5).x_BLT[:, :, 0] == 0
    counts = torch.bincount(hidden_BL.sum(dim=1), minlength=4) / len(x_BLT)
    # Of three leads 0, 1, 2 or 3 are drawn with 1, 3, 3 and 1 eighths; of three drawn, one comes back.
    assert counts.tolist() == pytest.approx([1 / 8, 3 / 8, 4 / 8, 0], abs=0.03)  # 4 standard errors
    assert hidden_BL.float().mean(dim=0).tolist() == pytest.approx([11 / 24] * 3, abs=0.032)
    assert torch.equal(with_lead_dropout(batch, seeded(5), 0.0).x_BLT, x_BLT)
    alone = Batch(x_BLT=x_BLT[:, :1], y_BC=batch.y_BC)
    assert torch.equal(with_lead_dropout(alone, seeded(5), 0.9).x_BLT, alone.x_BLT)
