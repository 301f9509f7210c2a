"""Subsets of the development records: whole patients, every class in its proportion, the same everywhere."""

from pathlib import Path

import numpy as np
import pytest
from ptbxl_folder import record, write_table
from ptbxl_waveforms import write_data_set

from search.data.catalogue import Catalogue
from search.data.dataset import load_development, load_sealed
from search.data.folds import cv_folds
from search.data.sources import find_data
from search.data.subset import Amount, draw
from search.errors import DataError, UsageError

N_PATIENTS = 1_000
CODES = {"IMI": 17, "AFIB": 50, "1AVB": 140, "NORM": 1_000}
"""Statements and the number of a patient below which a patient has it."""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Of 1,000 patients, nine in ten of folds 1 to 9; every fourth patient has two records."""
    rng = np.random.default_rng(0)
    rows = []
    for patient, place in enumerate(rng.permutation(N_PATIENTS).tolist()):
        codes = {code: 100.0 for code, below in CODES.items() if place < below}
        for _ in range(1 + (patient % 4 == 0)):
            changes = {"patient_id": f"{patient}.0", "scp_codes": repr(codes)}
            rows.append(record(len(rows) + 1, **changes, strat_fold=str(patient % 10 + 1)))
    whole = find_data(write_table(tmp_path_factory.mktemp("table"), rows)).read()
    return whole.select(whole.strat_fold != 10)


RECORDED = [34, 418, 470, 527, 571, 613, 714, 862, 907]


@pytest.mark.parametrize("text", ["10%", "25%", "60%"])
def test_every_class_keeps_its_share_of_whole_patients(catalogue: Catalogue, text: str) -> None:
    share = Amount.parse(text).of(len(catalogue))
    chosen = draw(catalogue, Amount.parse(text))
    patients = set(chosen.patient_id.tolist())
    kept = np.isin(catalogue.patient_id, chosen.patient_id)
    np.testing.assert_array_equal(catalogue.ecg_id[kept], chosen.ecg_id)
    # Taking every k-th of a list takes as many of each run of it as its share, give or take one patient.
    assert len(patients) == round(share * len(set(catalogue.patient_id.tolist())))
    # Whoever has a rarer statement has the commoner ones, too: those who have one are a run in each CV group.
    for code in CODES:
        has = np.array([code in codes for codes in catalogue.statements])
        n_kept, n_all = (len(set(catalogue.patient_id[rows].tolist())) for rows in (has & kept, has))
        assert abs(n_kept - share * n_all) <= 5
    groups = catalogue.fold_plan.group_of(catalogue.strat_fold)
    for group in range(5):
        of_group = set(catalogue.patient_id[groups == group].tolist())
        assert abs(len(of_group & patients) - share * len(of_group)) <= 1


def test_a_common_class_is_met_within_a_percent_of_all(catalogue: Catalogue) -> None:
    has = np.array(["1AVB" in codes for codes in draw(catalogue, Amount.parse("50%")).statements])
    assert abs(has.mean() - np.mean(["1AVB" in codes for codes in catalogue.statements])) < 0.01


def test_the_order_of_the_rows_does_not_matter(catalogue: Catalogue) -> None:
    mixed = catalogue.select(np.random.default_rng(1).permutation(len(catalogue)))
    drawn = draw(mixed, Amount.parse("10%")).ecg_id.tolist()
    assert sorted(drawn) == draw(catalogue, Amount.parse("10%")).ecg_id.tolist()


def test_the_same_subset_on_every_machine(catalogue: Catalogue) -> None:
    """Recorded once: a study on a subset is continued by another version, and elsewhere, with the same."""
    assert sorted(set(draw(catalogue, Amount.parse("1%")).patient_id.tolist())) == RECORDED


def test_a_number_of_records_is_about_so_many(catalogue: Catalogue) -> None:
    n = len(draw(catalogue, Amount.parse("300")))
    # Patients, not records, are counted out: within one patient of two records in each run of the list.
    assert abs(n - 300) <= 10


def test_too_many_records_and_too_few_patients(catalogue: Catalogue) -> None:
    with pytest.raises(DataError, match=r"--records 5000: the data set has 1,\d+ to train on: leave"):
        draw(catalogue, Amount.parse("5000"))
    with pytest.raises(DataError, match=r"--records 0.3% of .* leaves none in CV fold \d: give"):
        draw(catalogue, Amount.parse("0.3%"))


@pytest.mark.parametrize(
    ("text", "kept"), [("10%", "10%"), (" 12.50 % ", "12.5%"), (".5%", "0.5%"), ("2000", "2000")]
)
def test_amounts_are_kept_in_one_way_of_writing(text: str, kept: str) -> None:
    assert str(Amount.parse(text)) == kept
    assert Amount.parse(kept) == Amount.parse(text)


@pytest.mark.parametrize(
    "text", ["", "0%", "100%", "0", "-5", "0.1", "ten", "10 percent", "1e3", "nan%", "٣%"]
)
def test_what_is_no_amount_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        Amount.parse(text)
    advice = "--records is a share below 100% such as 10%, or a number of records such as 2000"
    assert str(refused.value) == f"{advice}, got {text!r}"


def test_the_sealed_fold_stays_whole_and_folds_stay_filled(tmp_path: Path) -> None:
    root = write_data_set(tmp_path / "data")
    whole = load_development(root, cache_dir=tmp_path / "cache")
    half = load_development(root, records="50%", cache_dir=tmp_path / "cache")
    assert (len(half), half.n_outside_subset) == (9, 9)
    assert set(half.ecg_id.tolist()) < set(whole.ecg_id.tolist())
    assert half.fingerprint != whole.fingerprint
    assert len(cv_folds(half.strat_fold, half.fold_plan)) == 5
    rows = [whole.ecg_id.tolist().index(ecg_id) for ecg_id in half.ecg_id.tolist()]
    np.testing.assert_array_equal(half.x_NLT, whole.x_NLT[rows])
    sealed = load_sealed(root, rate_hz=100, cache_dir=tmp_path / "cache")
    assert sealed.ecg_id.tolist() == [10, 20]
    with pytest.raises(DataError, match="leaves none in CV fold 1"):
        load_development(root, records="2%", cache_dir=tmp_path / "cache")
