"""Batches: every record once, statistics of training rows only, augmentation that keeps lead relations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_samples import seeded

from search.training import batches
from search.training.batches import (
    LeadStatistics,
    n_batches,
    shuffled_batches,
)

RNG = np.random.default_rng(0)
X_NLT = (RNG.normal(0, 300, (50, 12, 40)) + RNG.integers(-500, 500, (1, 12, 1))).astype(np.int16)


# ---------------------------------------------------------------------------------------------------------
# Batches


@given(st.integers(2, 700), st.integers(2, 300), st.integers(0, 9))
def test_every_row_comes_once_in_full_batches_but_for_two(n_rows: int, batch_size: int, seed: int) -> None:
    rows = torch.arange(n_rows) * 3 + 1
    parts = list(shuffled_batches(rows, batch_size, seeded(seed)))
    sizes = [len(part) for part in parts]
    assert sorted(torch.cat(parts).tolist()) == rows.tolist()
    assert len(parts) == n_batches(n_rows, batch_size)
    assert set(sizes[:-2]) <= {batch_size}
    assert sizes[-1] <= sizes[-2:][0] <= sizes[-1] + 1
    assert 2 * min(sizes) >= min(batch_size, n_rows)
    assert min(sizes) >= 2  # batch norm cannot train on one record
    if batch_size > 2 or n_rows % 2 == 0:
        assert max(sizes) <= batch_size


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "expected"),
    [(2000, 32, 63), (2000, 2000, 1), (10, 128, 1), (3, 2, 1), (129, 128, 2), (128, 128, 1), (5, 2, 2)],
)
def test_number_of_batches(n_rows: int, batch_size: int, expected: int) -> None:
    assert n_batches(n_rows, batch_size) == expected


def test_order_depends_on_the_generator_alone() -> None:
    rows = torch.arange(100)
    first, again, other = (
        torch.cat(list(shuffled_batches(rows, 16, seeded(seed)))).tolist() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert first != rows.tolist()


# ---------------------------------------------------------------------------------------------------------
# Statistics


def test_statistics_equal_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "STATISTICS_CHUNK", 7)
    rows = np.arange(3, 33)
    statistics = LeadStatistics.of(torch.from_numpy(X_NLT), rows)
    reference = X_NLT[rows].astype(np.float64)
    np.testing.assert_allclose(statistics.mean_L, reference.mean(axis=(0, 2)), rtol=1e-6)
    np.testing.assert_allclose(statistics.deviation_L, reference.std(axis=(0, 2)), rtol=1e-6)

    z_BLT = statistics.standardise(torch.from_numpy(X_NLT[rows])).numpy()
    assert z_BLT.dtype == np.float32
    np.testing.assert_allclose(z_BLT.mean(axis=(0, 2)), np.zeros(12), atol=1e-5)
    np.testing.assert_allclose(z_BLT.std(axis=(0, 2)), np.ones(12), atol=1e-5)


def test_statistics_do_not_see_other_rows() -> None:
    train, validation = np.arange(40), np.arange(40, 50)
    changed = X_NLT.copy()
    changed[validation] = 30_000
    first, second = (
        LeadStatistics.of(torch.from_numpy(X_NLT), train),
        LeadStatistics.of(torch.from_numpy(changed), train),
    )
    assert torch.equal(first.mean_L, second.mean_L)
    assert torch.equal(first.deviation_L, second.deviation_L)


def test_voltage_survives_standardising() -> None:
    """Statistics are per lead, not per record: a heart twice as large stays twice as large."""
    x_NLT = np.stack([X_NLT[0] // 4, 2 * (X_NLT[0] // 4)])
    statistics = LeadStatistics(mean_L=torch.zeros(12), deviation_L=torch.full((12,), 200.0))
    small, large = statistics.standardise(torch.from_numpy(x_NLT))
    torch.testing.assert_close(large, 2 * small)


@pytest.mark.parametrize("level_uv", [0, -777, 32767])
def test_a_lead_that_never_moves_keeps_unit_scale(level_uv: int) -> None:
    x_NLT = X_NLT.copy()
    x_NLT[:, 4] = level_uv
    statistics = LeadStatistics.of(torch.from_numpy(x_NLT), np.arange(50))
    assert statistics.deviation_L[4] == 1.0
    assert not statistics.standardise(torch.from_numpy(x_NLT))[:, 4].any()


def test_extreme_voltages_do_not_overflow() -> None:
    x_NLT = np.full((64, 12, 1000), 32767, dtype=np.int16)
    x_NLT[:, :, ::2] = -32768
    statistics = LeadStatistics.of(torch.from_numpy(x_NLT), np.arange(64))
    np.testing.assert_allclose(statistics.mean_L, np.full(12, -0.5))
    np.testing.assert_allclose(statistics.deviation_L, np.full(12, 32767.5))
