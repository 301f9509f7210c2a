"""The development part: folds 1 to 9, labels that match, a fingerprint of content only."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loading import load
from ptbxl_waveforms import noise, write_data_set

from search.data.dataset import load_development
from search.data.labels.tiers import PTBXL_TIERS
from search.errors import DamagedRecordsError, DataError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    codes = {1: "{'IMI': 100.0, 'SR': 0.0}", 2: "{'AFIB': 0.0}", 13: "{'SR': 0.0}", 10: "{'NORM': 80.0}"}
    return write_data_set(tmp_path / "data", scp_codes=codes)


def test_folds_one_to_nine_with_signals_and_labels(root: Path) -> None:
    data = load(root)
    assert data.name == "ptb-xl"
    assert not data.synthetic
    assert data.rate_hz == 100
    assert len(data) == 18
    assert set(data.strat_fold.tolist()) == set(range(1, 10))
    assert 10 not in data.ecg_id
    assert 20 not in data.ecg_id
    np.testing.assert_array_equal(data.x_NLT, np.stack([noise(ecg_id) for ecg_id in data.ecg_id]))
    assert set(data.y) == set(PTBXL_TIERS)
    for tier, y_NC in data.y.items():
        assert y_NC.shape == (18, len(data.hierarchy.classes(tier)))
    mi = data.hierarchy.classes("superclass").index("MI")
    assert data.ecg_id[data.y["superclass"][:, mi]].tolist() == [1]


def test_fold_ten_is_never_touched(root: Path) -> None:
    for ecg_id in (10, 20):
        for extension in ("hea", "dat"):
            path = root / f"records100/00000/{ecg_id:05d}_lr.{extension}"
            path.unlink()
            path.mkdir()  # opening it would be an error
    sealed = load(root).fingerprint
    assert len(load(root)) == 18
    shutil.rmtree(root / "records100/00000/00010_lr.dat")
    assert load(root).fingerprint == sealed


def test_records_without_a_label_stay_unless_asked(root: Path) -> None:
    everything = load(root)
    assert not everything.y["superclass"][everything.ecg_id == 2].any()
    assert everything.n_unlabeled_dropped == 0
    labelled = load(root, drop_unlabeled_tier="superclass")
    assert labelled.n_unlabeled_dropped == 2
    assert sorted(set(everything.ecg_id) - set(labelled.ecg_id)) == [2, 13]
    assert labelled.y["superclass"].any(axis=1).all()
    np.testing.assert_array_equal(labelled.x_NLT, np.stack([noise(i) for i in labelled.ecg_id]))
    assert load(root, drop_unlabeled_tier="all").n_unlabeled_dropped == 0
    assert labelled.fingerprint != everything.fingerprint


def test_no_such_tier(root: Path) -> None:
    with pytest.raises(UsageError, match="subclas"):
        load(root, drop_unlabeled_tier="subclas")


def test_a_rate_that_does_not_exist(root: Path) -> None:
    with pytest.raises(UsageError, match=r"^--rate 250: .* 100 or 500 Hz"):
        load(root, rate_hz=250)


def test_nothing_left_to_train_on(root: Path) -> None:
    table = root / "ptbxl_database.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join([lines[0], *(line for line in lines[1:] if line.split(",")[0] in ("2", "13"))]))
    with pytest.raises(DataError, match=r"nothing to train on outside fold 10 \(2 records"):
        load(root, drop_unlabeled_tier="superclass")


def test_damaged_records(root: Path) -> None:
    (root / "records100/00000/00003_lr.dat").unlink()
    (root / "records100/00000/00010_lr.dat").unlink()  # sealed: nobody's business here
    with pytest.raises(DamagedRecordsError, match=r"^1 of 18 records cannot be used: 3 \(.*--skip-damaged"):
        load(root)
    data = load(root, skip_damaged=True)
    assert [damage.ecg_id for damage in data.skipped] == [3]
    assert 3 not in data.ecg_id
    assert len(data) == len(data.x_NLT) == len(data.y["all"]) == 17


def test_copies_have_one_fingerprint(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "somewhere" / "else"
    shutil.copytree(root, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1_000_000, 1_000_000))
    assert load(root).fingerprint == load(tmp_path / "somewhere").fingerprint


def change_sample(root: Path) -> None:
    path = root / "records100/00000/00004_lr"
    raw = bytearray(path.with_name("00004_lr.dat").read_bytes())
    raw[0], raw[24] = raw[24], raw[0]  # two samples of one lead: same checksum, if the high bytes are left
    path.with_name("00004_lr.dat").write_bytes(raw)


def change_label(root: Path) -> None:
    replace(root / "ptbxl_database.csv", "'IMI': 100.0", "'ASMI': 100.0")


def change_patient(root: Path) -> None:
    replace(root / "ptbxl_database.csv", "1004.0", "2004.0")


def change_hierarchy(root: Path) -> None:
    replace(root / "scp_statements.csv", "MI,AMI", "MI,XMI")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("change", [change_sample, change_label, change_patient, change_hierarchy])
def test_any_change_of_content_changes_the_fingerprint(root: Path, change: object) -> None:
    before = load(root).fingerprint
    change(root)  # type: ignore[operator]
    assert load(root).fingerprint != before


def test_likelihoods_and_people_change_the_details_and_not_the_fingerprint(root: Path) -> None:
    before = load(root)
    table = root / "ptbxl_database.csv"
    replace(table, "'IMI': 100.0", "'IMI': 80.0")
    uncertain = load(root)
    header, *rows = table.read_text().splitlines()
    column = header.split(",").index("age")
    first = rows[0].split(",")
    first[column] = "47"  # before it are numbers only, which no quotes enclose
    table.write_text("\n".join([header, ",".join(first), *rows[1:]]) + "\n")
    older = load(root)
    assert before.fingerprint == uncertain.fingerprint == older.fingerprint
    assert len({before.details, uncertain.details, older.details}) == 3
    assert uncertain.details_without_people == older.details_without_people == older.without_people().details
    assert before.details_without_people not in (before.details, older.details_without_people)


def test_what_decides_nothing_leaves_the_fingerprint(root: Path) -> None:
    before = load(root).fingerprint
    replace(root / "scp_statements.csv", "sinus rhythm", "Sinusrhythmus")
    assert load(root).fingerprint == before


def test_a_patient_in_two_folds(tmp_path: Path) -> None:
    root = write_data_set(tmp_path / "data", patient_id={10: "77", 4: "77"})
    with pytest.raises(DataError, match="77"):
        load(root)


def test_synthetic_records_are_called_demo(tmp_path: Path) -> None:
    root = write_data_set(tmp_path / "data", device=dict.fromkeys(range(1, 21), "SYNTH"))
    data = load(root)
    assert data.synthetic
    assert data.name == "demo"
    assert data.version == "SYNTHETIC"


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "nowhere")


@pytest.mark.slow
def test_a_warm_start_imports_neither_wfdb_nor_torch(root: Path) -> None:
    load(root)
    code = (
        "import sys; from pathlib import Path; from search.data.dataset import load_development; "
        f"load_development(Path({str(root)!r}), cache_dir=Path({str(root.parent / 'cache')!r})); "
        "print(sorted({'wfdb', 'torch', 'pandas', 'optuna'} & set(sys.modules)))"
    )
    repository = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("ptbxl", "n_records", "fingerprint"),
    [
        ("part", 36, "efd90b5075bc39e9e307b723494327267150f3565f134b950a42f99843b7222f"),
        pytest.param(
            "ptb-xl-sample",
            859,
            "f8a26a420cd3b88dc6b8156817a70a0f0580e22ebcc23415d2bd516a61a95995",
            marks=pytest.mark.needs_data,
        ),
    ],
    indirect=["ptbxl"],
)
def test_real_records(ptbxl: Path, n_records: int, fingerprint: str, tmp_path: Path) -> None:
    data = load_development(ptbxl, cache_dir=tmp_path)
    assert data.x_NLT.shape == (n_records, 12, 1000)
    # Version 0.1.0 computed the same: studies on PTB-XL made with it can be continued.
    assert data.fingerprint == fingerprint
    assert data.skipped == ()
    # Einthoven: II = I + III. PTB-XL keeps it to a step of 5 µV at 500 Hz, so to some µV after resampling.
    error_uv = data.x_NLT[:, 1].astype(int) - data.x_NLT[:, 0] - data.x_NLT[:, 2]
    assert np.percentile(np.abs(error_uv), 99) <= 5
    with pytest.raises(DamagedRecordsError, match="is missing; and "):
        load_development(ptbxl, rate_hz=500, cache_dir=tmp_path)
    for table in ("ptbxl_database.csv", "scp_statements.csv"):
        (tmp_path / "labels").mkdir(exist_ok=True)
        shutil.copyfile(ptbxl / table, tmp_path / "labels" / table)
    with pytest.raises(DataError, match="no waveform files at all"):
        load_development(tmp_path / "labels", cache_dir=tmp_path)
