"""One synthetic recording: physics, identities, repeatability, and what severity and noise do."""

import csv

import numpy as np
import pytest

from search.data.demo import LEADS, quantise, synthesise_record, twelve_leads
from search.data.demo.classes import CHANGES
from search.data.demo.dipole import DOWER, frontal_vector, render
from search.data.demo.shares import COMPANIONS, RHYTHMS, STANDALONE, SUBCLASS_OF
from search.data.demo.tables import STATEMENTS_FILE


@pytest.mark.parametrize("axis_deg", [-75.0, -30.0, 0.0, 45.0, 90.0, 140.0])
def test_frontal_vector_shows_its_axis_and_amplitude_on_the_limb_leads(axis_deg: float) -> None:
    lead_i, lead_ii = DOWER[:2] @ frontal_vector(axis_deg, 1.2, 0.4)
    lead_avf = lead_ii - lead_i / 2

    assert lead_i == pytest.approx(1.2 * np.cos(np.radians(axis_deg)), abs=1e-3)
    assert lead_avf == pytest.approx(1.2 * np.sqrt(0.75) * np.sin(np.radians(axis_deg)), abs=1e-3)


def test_render_is_the_sum_of_whole_gaussians() -> None:
    rng = np.random.default_rng(0)
    waves_W5 = np.column_stack(
        [rng.uniform(-1, 11, 40), rng.uniform(0.004, 0.08, 40), rng.normal(size=(40, 3))]
    )
    times_s = np.arange(1000) / 100
    bells_WT = np.exp(-0.5 * ((times_s - waves_W5[:, :1]) / waves_W5[:, 1:2]) ** 2)

    np.testing.assert_allclose(render(waves_W5, 100, 1000), waves_W5[:, 2:].T @ bells_WT, atol=1e-8)


def test_limb_leads_obey_einthoven_and_goldberger_before_and_after_quantising() -> None:
    x_LT = synthesise_record({"IMI", "AFIB"}, np.random.default_rng(3)).astype(np.float64)
    i, ii, iii, avr, avl, avf = x_LT[:6]
    np.testing.assert_allclose(
        [iii, avr, avl, avf], [ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2], atol=1e-6
    )

    i, ii, iii, avr, avl, avf = quantise(x_LT)[:6].astype(int)
    np.testing.assert_array_equal(iii, ii - i)
    np.testing.assert_array_equal(2 * avr, -(i + ii))
    np.testing.assert_array_equal(2 * avl, 2 * i - ii)
    np.testing.assert_array_equal(2 * avf, 2 * ii - i)


def test_quantising_moves_the_measured_leads_by_at_most_one_microvolt() -> None:
    x_LT = twelve_leads(np.random.default_rng(1).normal(size=(8, 500)))

    error_uv = quantise(x_LT) - 1000 * x_LT

    assert np.abs(error_uv[:2]).max() <= 1.0
    assert np.abs(error_uv[6:]).max() <= 0.5


def test_quantising_clips_what_sixteen_bits_cannot_hold() -> None:
    assert np.abs(quantise(np.full((12, 3), 99.0)).astype(int)).max() <= 32767


@pytest.mark.parametrize("rate_hz", [100, 500])
def test_record_has_twelve_leads_of_ten_seconds(rate_hz: int) -> None:
    x_LT = synthesise_record({"NORM", "SR"}, np.random.default_rng(0), rate_hz)

    assert x_LT.shape == (len(LEADS), 10 * rate_hz)
    assert x_LT.dtype == np.float32
    assert np.all(x_LT.std(axis=1) > 0.02)
    assert np.abs(x_LT).max() < 6.0


def test_same_seed_same_record_and_another_seed_another() -> None:
    first, again, other = (synthesise_record({"LVH"}, np.random.default_rng(seed)) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_both_rates_show_the_same_heart() -> None:
    slow, fast = (
        synthesise_record({"CRBBB", "SR"}, np.random.default_rng(5), rate_hz, noise=0.0)
        for rate_hz in (100, 500)
    )

    np.testing.assert_allclose(slow, fast[:, ::5], atol=1e-6)


def test_without_severity_a_disease_is_not_seen() -> None:
    healthy = synthesise_record({"CLBBB"}, np.random.default_rng(4), severity=0.0, noise=0.0)
    mild, full = (
        synthesise_record({"CLBBB"}, np.random.default_rng(4), severity=severity, noise=0.0)
        for severity in (0.4, 1.0)
    )

    assert 0.05 < np.abs(mild - healthy).max() < np.abs(full - healthy).max()


def test_two_records_of_one_person_share_the_anatomy() -> None:
    def peak_to_peak(person: int, record: int) -> np.ndarray:
        x_LT = synthesise_record(
            {"NORM"}, np.random.default_rng(record), noise=0.0, person=np.random.default_rng(person)
        )
        return np.ptp(x_LT, axis=1)

    same = np.mean([np.abs(peak_to_peak(k, 10) - peak_to_peak(k, 11)).mean() for k in range(6)])
    different = np.mean([np.abs(peak_to_peak(k, 10) - peak_to_peak(k + 1, 10)).mean() for k in range(6)])
    assert same < 0.5 * different


def test_every_statement_of_ptb_xl_has_a_part_in_the_demo() -> None:
    with STATEMENTS_FILE.open(newline="") as file:
        codes = {row[""] for row in csv.DictReader(file)}

    assert len(codes) == 71
    assert set(SUBCLASS_OF) | set(RHYTHMS) | {"SR"} | set(STANDALONE) | set(COMPANIONS) == codes
    assert set(CHANGES) <= codes


@pytest.mark.parametrize("statement", sorted(CHANGES))
def test_every_change_can_be_seen_in_the_signal(statement: str) -> None:
    healthy, changed = (
        synthesise_record({statement}, np.random.default_rng(8), severity=severity, noise=0.0)
        for severity in (0.0, 1.0)
    )

    assert np.abs(changed - healthy).max() > 0.05
