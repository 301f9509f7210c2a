"""Disturbances of records: signal-to-noise ratios as asked, leads by hand, one seed and record one noise."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from search.data.signals.leads import LEADS
from search.stress.disturbances import (
    SNR_DB,
    Records,
    add_noise,
    disturbances,
    draw_noise,
    reversal_matrix,
    reversed_leads,
    row_keys,
    signal_power,
    there_and_back,
    with_gain,
    without_leads,
)

NOISES = ("baseline wander", "muscle noise", "mains hum", "electrode motion")
RATE_HZ = 100
N_SAMPLES = 1000
SUBSETS = (LEADS, ("I",), ("II", "V2"), ("MLII", "V1"))


def beats(leads: int = 12, n_records: int = 2) -> NDArray[np.int16]:
    """Triangles of 2,400 µV in the first lead, 100 more in each next one, once a second."""
    x_NLT = np.zeros((n_records, leads, N_SAMPLES), dtype=np.int16)
    for lead in range(leads):
        height = 2400 + 100 * lead
        for place, share in ((-1, 0.5), (0, 1.0), (1, 0.5)):
            x_NLT[:, lead, 50 + place :: 100] = round(share * height)
    return x_NLT


def noise(
    name: str, leads: tuple[str, ...] = LEADS, *, seed: int = 0, key: tuple[int, int] = (7, 0)
) -> NDArray:
    return draw_noise(name, leads, N_SAMPLES, RATE_HZ, seed=seed, key=key)


def test_the_power_of_the_signal_is_that_of_a_sinusoid_as_high_as_the_beats() -> None:
    # 2,400²/8 = 720,000 in one lead; 2,500²/8 = 781,250 in the next.
    assert signal_power(beats(1), RATE_HZ) == pytest.approx([720_000, 720_000])
    assert signal_power(beats(2), RATE_HZ) == pytest.approx([750_625, 750_625])


def test_one_artefact_does_not_change_the_power_of_the_signal() -> None:
    x_NLT = beats(1)
    x_NLT[0, 0, 333] = 20_000
    assert signal_power(x_NLT, RATE_HZ) == pytest.approx([720_000, 720_000])


def test_a_record_shorter_than_a_window_has_a_power() -> None:
    assert signal_power(beats(1)[:, :, :90], RATE_HZ) == pytest.approx([720_000, 720_000])


@pytest.mark.parametrize("leads", SUBSETS, ids="-".join)
@pytest.mark.parametrize("name", NOISES)
def test_noise_has_the_ratio_that_was_asked(name: str, leads: tuple[str, ...]) -> None:
    x_NLT = beats(len(leads))
    noise_NLT = np.stack([noise(name, leads, key=(number, 0)) for number in (1, 2)])
    for snr_db in SNR_DB:
        added_NLT = add_noise(x_NLT, noise_NLT, snr_db, RATE_HZ).astype(float) - x_NLT
        power_N = added_NLT.var(axis=2).mean(axis=1)
        found_N = 10 * np.log10(signal_power(x_NLT, RATE_HZ) / power_N)
        # Rounding moves a sample by .5 µV at most, beside noise of 2,400 / √8 µV less 24 dB, 53.5 µV: .08 dB.
        assert found_N == pytest.approx([snr_db] * 2, abs=0.08)


def test_noise_of_an_infinite_ratio_changes_nothing() -> None:
    x_NLT = beats()
    noise_NLT = np.stack([noise("muscle noise")] * 2)
    np.testing.assert_array_equal(add_noise(x_NLT, noise_NLT, math.inf, RATE_HZ), x_NLT)


def test_a_flat_record_stays_flat() -> None:
    flat_NLT = np.zeros((1, 12, N_SAMPLES), dtype=np.int16)
    np.testing.assert_array_equal(add_noise(flat_NLT, noise("mains hum")[None], 0, RATE_HZ), flat_NLT)


@pytest.mark.parametrize("name", NOISES)
def test_noise_obeys_einthoven_and_goldberger(name: str) -> None:
    lead = dict(zip(LEADS, noise(name), strict=True))
    np.testing.assert_allclose(lead["III"], lead["II"] - lead["I"], atol=1e-12)
    np.testing.assert_allclose(lead["aVR"] + lead["aVL"] + lead["aVF"], 0, atol=1e-12)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_decided_by_seed_and_record_alone(name: str) -> None:
    first = noise(name)
    np.testing.assert_array_equal(first, noise(name))
    np.testing.assert_array_equal(first[[1, 7]], noise(name, ("II", "V2")))
    for other in (noise(name, seed=1), noise(name, key=(8, 0)), noise(name, key=(7, 1))):
        assert np.abs(first - other).max() > 0


def test_records_get_the_same_noise_in_whatever_company_they_are() -> None:
    found, _ = disturbances(LEADS, RATE_HZ, seed=3)
    x_NLT, keys = beats(n_records=3), [(5, 0), (6, 0), (7, 0)]
    together = list(found[3].disturb(Records(x_NLT=x_NLT, keys=keys)))
    alone = list(found[3].disturb(Records(x_NLT=x_NLT[2:], keys=keys[2:])))
    assert len(together) == len(alone) == len(SNR_DB)
    for several, one in zip(together, alone, strict=True):
        np.testing.assert_array_equal(several[2:], one)


@pytest.mark.parametrize(
    ("name", "low_hz", "high_hz"),
    [("baseline wander", 0.0, 0.5), ("muscle noise", 5.0, 250.0), ("mains hum", 49.0, 51.0)],
)
def test_noise_lies_where_its_name_says(name: str, low_hz: float, high_hz: float) -> None:
    x_LT = draw_noise(name, LEADS, 5_000, 500, seed=0, key=(1, 0))
    power_LF = np.abs(np.fft.rfft(x_LT - x_LT.mean(axis=1, keepdims=True))) ** 2
    hertz = np.fft.rfftfreq(5_000, 1 / 500)
    within = power_LF[:, (hertz >= low_hz) & (hertz <= high_hz)].sum() / power_LF.sum()
    assert within > 0.9


def test_motion_of_an_electrode_is_in_the_range_of_the_beats() -> None:
    x_LT = draw_noise("electrode motion", LEADS, 5_000, 500, seed=0, key=(1, 0))
    power_LF = np.abs(np.fft.rfft(x_LT - x_LT.mean(axis=1, keepdims=True))) ** 2
    hertz = np.fft.rfftfreq(5_000, 1 / 500)
    assert power_LF[:, hertz < 10].sum() / power_LF.sum() > 0.9
    # Unlike wander, much of it is faster than breathing: no filter takes it away alone.
    assert power_LF[:, hertz > 0.5].sum() / power_LF.sum() > 0.3


def test_reversal_of_the_arms_by_hand() -> None:
    i, ii, v = 300, 500, 900
    before = {"I": i, "II": ii, "III": 200, "aVR": -400, "aVL": 50, "aVF": 350} | dict.fromkeys(LEADS[6:], v)
    after = {"I": -300, "II": 200, "III": 500, "aVR": 50, "aVL": -400, "aVF": 350} | dict.fromkeys(
        LEADS[6:], v
    )
    x_NLT = np.array([[[before[lead]] for lead in LEADS]], dtype=np.int16)
    matrix = reversal_matrix(LEADS)
    assert not isinstance(matrix, str)
    once = reversed_leads(x_NLT, matrix)
    assert once[0, :, 0].tolist() == [after[lead] for lead in LEADS]
    np.testing.assert_array_equal(reversed_leads(once, matrix), x_NLT)


def test_a_missing_counterpart_follows_from_other_limb_leads() -> None:
    # I = 300, II = 500: III = 200, and aVL = 300 − 250 = 50.
    for leads, before, after in (
        (("I", "II"), (300, 500), (-300, 200)),
        (("I", "II", "aVR"), (300, 500, -400), (-300, 200, 50)),
        (("I", "V1"), (300, 7), (-300, 7)),
    ):
        matrix = reversal_matrix(leads)
        assert not isinstance(matrix, str)
        x_NLT = np.array(before, dtype=np.int16)[None, :, None]
        assert reversed_leads(x_NLT, matrix)[0, :, 0].tolist() == list(after)


@pytest.mark.parametrize(
    ("leads", "reason"),
    [
        (("V1", "V2"), "the records have no standard limb lead"),
        (("aVF", "V1"), "it changes none of the leads of the records"),
        (("II", "V2"), "II becomes III, which does not follow from the leads II, V2"),
    ],
)
def test_a_reversal_that_does_not_apply_is_said(leads: tuple[str, ...], reason: str) -> None:
    assert reversal_matrix(leads) == reason
    _, not_applied = disturbances(leads, RATE_HZ, seed=0)
    assert [each.reason for each in not_applied if "reversed" in each.disturbance] == [reason]


def test_leads_are_lost_one_by_one_and_all_precordial_ones() -> None:
    def levels(*leads: str) -> tuple[list[str], list[tuple[str, str]]]:
        found, not_applied = disturbances(leads, RATE_HZ, seed=0)
        lost = [each.level for made in found for each in made.conditions if each.disturbance == "lost lead"]
        return lost, [(each.level, each.reason) for each in not_applied if each.disturbance == "lost lead"]

    assert levels(*LEADS) == ([*LEADS, "V1–V6"], [])
    assert levels("I", "V1", "V5") == (["I", "V1", "V5", "V1, V5"], [])
    assert levels("V1", "V2") == (["V1", "V2"], [("V1, V2", "no lead would be left")])
    assert levels("V1") == ([], [("V1", "no lead would be left")])
    assert levels("I", "II") == (
        ["I", "II"],
        [("all precordial", "the records have no standard precordial lead")],
    )


def test_a_lost_lead_is_flat_and_the_others_stay() -> None:
    x_NLT = beats()
    lost = without_leads(x_NLT, [6, 7])
    assert not lost[:, 6:8].any()
    kept = [lead for lead in range(12) if lead not in {6, 7}]
    np.testing.assert_array_equal(lost[:, kept], x_NLT[:, kept])
    assert x_NLT[:, 6].any()


def test_gain_by_hand() -> None:
    x_NLT = np.array([[[100, -301, 20_000]]], dtype=np.int16)
    assert with_gain(x_NLT, 0.5)[0, 0].tolist() == [50, -150, 10_000]
    # What no 16 bits hold is clipped, as by an amplifier.
    assert with_gain(x_NLT, 2.0)[0, 0].tolist() == [200, -602, 32_767]


def test_half_the_rate_and_back_keeps_what_half_the_rate_can_hold() -> None:
    times_s = np.arange(N_SAMPLES) / RATE_HZ
    slow, fast = (np.sin(2 * np.pi * hertz * times_s) for hertz in (5, 40))
    x_NLT = np.rint(1000 * np.stack([slow, fast]))[None].astype(np.int16)
    back = there_and_back(x_NLT, RATE_HZ, RATE_HZ / 2)
    middle = slice(100, 900)
    assert back.shape == x_NLT.shape
    # The polyphase filter of scipy is flat to a percent there, and 40 Hz lies far above 25.
    assert np.abs(back[0, 0, middle].astype(int) - x_NLT[0, 0, middle]).max() < 15
    assert np.abs(back[0, 1, middle]).max() < 20


def test_an_odd_number_of_samples_and_an_odd_rate_come_back() -> None:
    x_NLT = beats()[:, :, :901]
    assert there_and_back(x_NLT, 257, 257 / 2).shape == x_NLT.shape


def test_rates_are_those_of_the_data_set() -> None:
    def levels(rate_hz: int) -> list[str]:
        found, _ = disturbances(LEADS, rate_hz, seed=0)
        return [each.level for each in found[-1].conditions]

    assert levels(100) == ["100 → 50 → 100 Hz", "100 → 500 → 100 Hz"]
    assert levels(500) == ["500 → 250 → 500 Hz", "500 → 100 → 500 Hz"]
    assert levels(257) == ["257 → 128.5 → 257 Hz"]


def test_rows_of_one_record_have_keys_of_their_own() -> None:
    assert row_keys(np.array([4, 4, 9, 4])) == [(4, 0), (4, 1), (9, 0), (4, 2)]
