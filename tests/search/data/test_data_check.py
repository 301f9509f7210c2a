"""`data check`: counts, missing files, damage, patients; as JSON and in words."""

import errno
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ptbxl_folder import record, write_table
from real_records import counts as counts_of
from real_records import ptbxl_folders
from rich.console import Console

from search.commands.data import render
from search.data.check import DataReport, check
from search.data.dataset import load_development
from search.data.labels.tiers import PTBXL_TIERS
from search.data.signals.records import Damage
from search.data.signals.sweep import Survey
from search.data.signals.waveforms import Waveforms
from search.errors import DataError, UsageError


def add_files(
    root: Path, ecg_ids: Sequence[int], rate_hz: int = 100, extensions: Sequence[str] = ("hea", "dat")
):
    folder = root / f"records{rate_hz}" / "00000"
    folder.mkdir(parents=True, exist_ok=True)
    for ecg_id in ecg_ids:
        name = f"{ecg_id:05d}_{'lr' if rate_hz == 100 else 'hr'}"
        for extension in extensions:
            header = f"{name} 1 {rate_hz} {10 * rate_hz}\n{name}.dat 16 1000/mV\n"
            (folder / f"{name}.{extension}").write_text(header if extension == "hea" else "")


def text_of(report: DataReport, **options: str) -> str:
    console = Console(width=80, file=io.StringIO(), color_system=None, legacy_windows=False, _environ={})
    render(report, console, **options)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [record(n) for n in range(1, 21)]
    rows[4] = record(5, scp_codes="{'AFIB': 0.0}")
    rows[9] = record(10, scp_codes="{'IMI': 35, 'ILMI': 0, 'NST': 100}")
    return write_table(tmp_path / "data", rows)


def test_a_folder_whose_name_differs_in_capitals_is_named_and_no_data_set_of_labels(root: Path) -> None:
    add_files(root, [1, 2])
    (root / "records100").rename(root / "Records100")
    report = check(root)
    rate = report.rates[100]
    assert rate is not None
    assert not report.sound
    [note] = rate.notes
    assert "to be renamed: 2 (Records100/00000/00001_lr.hea for records100/00000/00001_lr.hea, " in note


def test_a_folder_that_cannot_be_opened_does_not_look_empty(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_files(root, [1])
    closed = root / "records100"
    scandir, stat = os.scandir, os.stat

    def refuses(path: Path) -> Any:
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuses)
        with pytest.raises(
            DataError, match=r"records100 cannot be opened: Permission denied; check its perm"
        ):
            check(root)

    def hides(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(f"{closed}/"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", hides)
    with pytest.raises(
        DataError, match=r"_lr.hea cannot be opened: Permission denied; check the permissions"
    ):
        load_development(root, cache_dir=root / "cache")


def test_an_archive_of_waveforms_that_was_not_unpacked_is_named(root: Path) -> None:
    (root / "records500.tar.gz").touch()
    assert "no waveforms: labels only; records500.tar.gz is there: unpack it" in text_of(check(root))


@ptbxl_folders
def test_tiers_equal_the_independent_counts(ptbxl: Path) -> None:
    report = json.loads(json.dumps(check(ptbxl).to_json()))
    expected = counts_of(ptbxl)
    assert {tier: report["tiers"][tier] for tier in expected} == expected
    assert set(report["tiers"]) - set(expected) == {"aha", "severity-4", "severity-3"}
    for tier, counts in report["tiers"].items():
        by_fold = [fold["tiers"][tier] for fold in report["folds"].values()]
        assert sum(fold["ones"] for fold in by_fold) == counts["ones"]
        assert sum(fold["all_zero"] for fold in by_fold) == counts["unlabelled"]
        for label, positives in counts["classes"].items():
            assert sum(fold["classes"].get(label, 0) for fold in by_fold) == positives


@pytest.mark.needs_data
def test_labels_without_waveforms(shared_data: Path) -> None:
    report = check(shared_data / "ptb-xl-labels")
    assert (report.version, report.n_records, report.n_patients) == ("1.0.3", 21_799, 18_869)
    assert not report.has_waveforms
    assert report.sound
    assert report.to_json()["waveforms"] == {"100": None, "500": None}
    text = text_of(report)
    assert "no waveforms: labels only" in text
    assert "missing" not in text


@pytest.mark.needs_data
def test_the_sample_has_all_records_at_100_hz_and_40_at_500_hz(shared_data: Path) -> None:
    report = check(shared_data / "ptb-xl-sample").to_json()
    assert report["waveforms"]["100"] == {
        "present": 987,
        "missing": 0,
        "missing_ids": [],
        "damaged": [],
        "notes": [],
    }
    assert report["waveforms"]["500"]["present"] == 40
    assert report["waveforms"]["500"]["missing"] == 947
    assert report["sound"]
    assert report["classes_without_positives"]["subclass"] == ["PMI", "WPW"]


def test_the_part_has_all_records_at_100_hz_and_seven_at_500_hz(ptbxl: Path) -> None:
    report = check(ptbxl).to_json()
    assert report["waveforms"]["100"] == {
        "present": 40,
        "missing": 0,
        "missing_ids": [],
        "damaged": [],
        "notes": [],
    }
    assert report["waveforms"]["500"]["present"] == 7
    assert report["waveforms"]["500"]["missing"] == 33
    assert report["sound"]
    assert report["classes_without_positives"]["superclass"] == []
    assert report["classes_without_positives"]["subclass"] == ["PMI", "WPW"]


def test_json_of_a_small_folder(root: Path) -> None:
    report = json.loads(json.dumps(check(root.parent).to_json()))
    assert report["path"] == str(root)
    assert report["version"] == "unknown"
    assert (report["records"], report["patients"], report["synthetic"]) == (20, 20, False)
    assert report["tiers"]["subclass"] == {
        "records": 20,
        "ones": 20,
        "classes": {"IMI": 1, "NORM": 18, "NST_": 1},
        "unlabelled": 1,
        "fold10": {"rows": 2, "ones": 3, "all_zero": 0},
    }
    assert report["classes_without_positives"]["subclass"] == ["AMI", "STTC", "_AVB"]
    assert report["folds"]["5"]["records"] == 2
    assert report["folds"]["5"]["tiers"]["rhythm"] == {
        "ones": 2,
        "all_zero": 0,
        "classes": {"AFIB": 1, "SR": 1},
    }


def test_missing_files_are_listed_once_any_is_there(root: Path) -> None:
    add_files(root, range(1, 19))
    add_files(root, [19], extensions=["hea"])
    add_files(root, [20], extensions=["dat"])
    report = check(root)
    assert report.to_json()["waveforms"] == {
        "100": {"present": 18, "missing": 2, "missing_ids": [19, 20], "damaged": [], "notes": []},
        "500": None,
    }
    assert not report.sound
    assert "100 Hz: 18 records, 2 missing (19, 20), signals not read" in text_of(report)
    add_files(root, range(1, 21), rate_hz=500)
    assert check(root).sound


def test_damage_is_sought_where_files_are(root: Path) -> None:
    add_files(root, range(1, 16))
    asked: list[tuple[int, list[int]]] = []

    def survey(waveforms: Waveforms) -> Survey:
        ids = waveforms.record_id.tolist()
        asked.append((waveforms.rate_hz, ids))
        damages = tuple(
            Damage(ecg_id=n, filename=f"records100/00000/{n:05d}_lr", reason="lead V2 is flat")
            for n in ids[:12]
        )
        return Survey(damages=damages, flat_leads={}, without_gain={}, twins=(), spans_mv={}, typical_mv=0.0)

    report = check(root, survey)
    assert asked == [(100, list(range(1, 16)))]
    assert not report.sound
    damaged = report.to_json()["waveforms"]["100"]["damaged"]
    assert len(damaged) == 12
    assert damaged[2] == {"ecg_id": 3, "filename": "records100/00000/00003_lr", "reason": "lead V2 is flat"}
    text = text_of(report)
    assert "12 damaged" in text
    assert "    1  records100/00000/00001_lr: lead V2 is flat" in text
    assert "and 2 more (--json lists all)" in text


def test_shared_patients_are_reported_and_not_raised(tmp_path: Path) -> None:
    rows = [record(n, patient_id="5" if n in (3, 10) else str(n)) for n in range(1, 11)]
    report = check(write_table(tmp_path, rows))
    assert report.to_json()["patients_in_several_folds"] == [5]
    assert not report.sound
    assert "patients in two CV folds, or in fold 10 and elsewhere: 1 (5)" in text_of(report)


def test_synthetic_records_are_announced_first(tmp_path: Path) -> None:
    report = check(write_table(tmp_path, [record(n, device="SYNTH") for n in range(1, 11)]))
    assert report.to_json()["synthetic"] is True
    assert text_of(report).startswith("SYNTHETIC")


def test_text_fits_80_columns_and_cuts_nothing(root: Path) -> None:
    text = text_of(check(root), tier="all")
    paths, lines = text.splitlines()[2], [line for line in text.splitlines() if str(root) not in line]
    assert paths == str(root)
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "…" not in text
    for word in (*PTBXL_TIERS, "strat_fold", "ABQRS", "1AVB", "test"):
        assert word in text


@pytest.mark.slow
@pytest.mark.needs_data
def test_text_of_the_full_set_cuts_nothing(shared_data: Path) -> None:
    report = check(shared_data / "ptb-xl-labels")
    text = text_of(report)
    assert "…" not in text
    assert "30,267" in text
    assert "severity-3  non-urgent    9,167      957" in text
    assert "severity by the map seed: AHA codes mapped by a cardiologist" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_bad_input(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown tier 'nope'"):
        text_of(check(root), tier="nope")
    with pytest.raises(DataError, match="does not exist"):
        check(tmp_path / "absent")
    write_table(root, [record(8, scp_codes="{'XYZ': 100}")])
    with pytest.raises(DataError, match="SCP code 'XYZ' of record 8 is not in scp_statements"):
        check(root)


def test_counts_do_not_depend_on_row_order(tmp_path: Path) -> None:
    rows = [record(n, scp_codes="{'IMI': 0}" if n % 3 else "{'SR': 0}") for n in range(1, 31)]
    straight = check(write_table(tmp_path / "a", rows))
    order = np.random.default_rng(0).permutation(30)
    shuffled = check(write_table(tmp_path / "b", [rows[n] for n in order]))
    for key in ("tiers", "folds", "patients"):
        assert straight.to_json()[key] == shuffled.to_json()[key]


def test_classes_that_hold_nothing_to_learn_are_named(tmp_path: Path) -> None:
    rows = [
        record(
            n,
            scp_codes="{'NORM': 100.0"
            + ", 'IMI': 50.0" * (n == 3)
            + ", 'NDT': 50.0" * (n in (1, 2))
            + ", '1AVB': 0.0" * (n in (10, 20))
            + "}",
        )
        for n in range(1, 21)
    ]
    report = check(write_table(tmp_path, rows))
    document = report.to_json()
    assert document["classes_without_negatives"]["superclass"] == ["NORM"]
    assert document["classes_in_one_record"]["superclass"] == ["MI"]
    # Record 3 is in fold 3, records 1 and 2 are in folds 1 and 2: one CV fold each.
    assert document["classes_in_one_cv_fold"]["superclass"] == ["MI", "STTC"]
    assert document["classes_only_in_the_test_fold"]["superclass"] == ["CD"]
    text = " ".join(text_of(report).split())
    assert "classes that every record has, so that nothing tells them apart: 1 (NORM)" in text
    assert "classes with a single record: 1 (IMI)" in text
    assert "classes that one CV fold alone has, scored by models that never saw one: 2 (IMI, STTC)" in text
    assert "classes that only fold 10 has, so that none can be learned: 1 (_AVB)" in text


def test_a_class_of_all_rows_of_one_cv_fold_is_left_out_of_its_scores(tmp_path: Path) -> None:
    """As `run` counts: a class without a negative in the only fold that has it is not scored."""
    rows = [
        record(n, scp_codes="{'NORM': 100.0" + ", 'IMI': 50.0" * (n % 10 in (1, 2)) + "}")
        for n in range(1, 21)
    ]
    assert check(write_table(tmp_path, rows)).to_json()["classes_in_one_cv_fold"]["superclass"] == []


def test_one_class_and_empty_folds_are_named(tmp_path: Path) -> None:
    text = text_of(check(write_table(tmp_path, [record(n) for n in range(1, 5)])))
    assert "subclass has one class only: NORM" in text
    assert "CV folds without a record, so that no search can be run: 3, 4, 5" in text
