"""Entropies and the wavelet cascade: numbers worked out by hand, loops as references."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.data.features.entropy import (
    approximate_entropy,
    multiscale_permutation_entropy,
    permutation_entropy,
    sample_entropy,
    shannon_entropy,
    wavelet_details,
)

SERIES = st.lists(st.integers(-5, 5), min_size=8, max_size=40).map(lambda values: np.array(values, float))


def test_sample_entropy_by_hand() -> None:
    # 0 1 0 1 0 1 2 with r = .2 SD: only equal values match. Templates of 2 that have a successor:
    # 01 10 01 10 01: 3 + 1 pairs; of 3: 010 101 010 101 012: 1 + 1 pairs.
    assert sample_entropy(np.array([0.0, 1, 0, 1, 0, 1, 2])) == pytest.approx(math.log(4 / 2))


def test_approximate_entropy_by_hand() -> None:
    # 0 1 0 1: templates 01 10 01 match 2, 1 and 2 of 3; 010 and 101 match 1 of 2 each.
    phi_2 = (2 * math.log(2 / 3) + math.log(1 / 3)) / 3
    assert approximate_entropy(np.array([0.0, 1, 0, 1])) == pytest.approx(phi_2 - math.log(1 / 2))


def test_permutation_entropy_by_hand() -> None:
    # Bandt & Pompe (2002): 4 7 9 10 6 11 3 has the patterns 012 twice, 201 twice and 102 once.
    expected = -(2 * 0.4 * math.log(0.4) + 0.2 * math.log(0.2)) / math.log(6)
    assert permutation_entropy(np.array([4.0, 7, 9, 10, 6, 11, 3])) == pytest.approx(expected)
    assert permutation_entropy(np.arange(20.0)) == 0
    assert multiscale_permutation_entropy(np.arange(40.0)) == 0


@given(SERIES)
def test_sample_entropy_counts_what_a_loop_counts(x_T: np.ndarray) -> None:
    def matches(length: int) -> int:
        near = [x_T[row : row + length] for row in range(len(x_T) - 2)]
        return sum(np.abs(a - b).max() <= 0.2 * x_T.std() for i, a in enumerate(near) for b in near[i + 1 :])

    found = sample_entropy(x_T)
    if x_T.std() == 0 or not matches(3):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(math.log(matches(2) / matches(3)))


@given(SERIES)
def test_entropies_do_not_depend_on_scale(x_T: np.ndarray) -> None:
    for entropy in (sample_entropy, approximate_entropy, permutation_entropy):
        np.testing.assert_allclose(entropy(x_T * 4), entropy(x_T), rtol=1e-9)  # 4 is exact in binary


@pytest.mark.parametrize("n", range(4))
def test_series_without_an_entropy(n: int) -> None:
    for entropy in (sample_entropy, approximate_entropy, permutation_entropy, multiscale_permutation_entropy):
        assert math.isnan(entropy(np.arange(float(n)) % 2))


def test_shannon_entropy() -> None:
    assert shannon_entropy(np.ones(8)) == pytest.approx(math.log(8))
    assert shannon_entropy(np.array([0, 3])) == 0
    assert math.isnan(shannon_entropy(np.zeros(3)))


def test_wavelets_are_blind_to_cubics_and_keep_energy() -> None:
    # Four vanishing moments: a cubic has no details away from the ends.
    t = np.linspace(-1, 1, 200)
    assert np.abs(wavelet_details(t**3 - t, 1)[0][6:-6]).max() < 1e-10
    # An orthogonal transform: white noise keeps its variance at every level.
    noise = np.random.default_rng(0).normal(size=40_000)
    assert [level.var() for level in wavelet_details(noise, 4)] == pytest.approx([1] * 4, rel=0.06)


@pytest.mark.parametrize(("hz", "level"), [(4.5, 4), (9, 3), (18, 2), (35, 1)])
def test_wavelet_levels_are_octaves(hz: float, level: int) -> None:
    details = wavelet_details(np.sin(2 * np.pi * hz * np.arange(1000) / 100), 4)
    assert int(np.argmax([(part**2).sum() for part in details])) + 1 == level
