"""The sealed fold stays sealed: every command but `evaluate` works where its records cannot be touched.

Sealed are signals and labels of the test fold. Its labels stand beside those of all others (in PTB-XL's and
SPH's tables, in one's own, in MIT-BIH's annotations) and leave with their rows before a signal is read. Here
every signal file of the fold is a symbolic link to itself: the operating system refuses whoever asks for its
content, its size or its age, whatever library does so.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mitbih_folder import write_database
from ptbxl_waveforms import noise, write_data_set, write_record
from report_records import write_page_alone
from sph_folder import write_sph

import space
import storage
from reports.document import report_document
from reports.evidence import gather
from search.commands.main import main
from search.data.dataset import load_development, load_external, load_sealed
from search.data.sources import find_data
from search.errors import DataError

ROOT = Path(__file__).parents[3]
OPENED: set[str] = set()
"""Every file that this process opens, from Python."""


def note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        OPENED.add(os.fsdecode(arguments[0]))


sys.addaudithook(note)  # for the rest of the process: there is no way to take a hook away


def make_ptbxl(root: Path) -> list[Path]:
    codes = ["{'NORM': 100.0}", "{'IMI': 80.0}", "{'1AVB': 100.0, 'SR': 0.0}", "{'NST_': 50.0}"]
    write_data_set(root, n_records=40, scp_codes={number: codes[number % 4] for number in range(1, 41)})
    return [
        root / f"records100/00000/{number:05d}_lr.{extension}"
        for number in range(10, 41, 10)
        for extension in ("hea", "dat")
    ]


def make_mitbih(root: Path) -> list[Path]:
    kinds = {101: "NVN", 106: "NVA", 108: "NVA", 109: "LVN", 112: "VNA", 114: "AVN", 100: "NVA", 200: "VNN"}
    write_database(root, {record: beats * 4 for record, beats in kinds.items()})
    return [root / f"{record}.{extension}" for record in (100, 200) for extension in ("hea", "dat")]


def make_sph(root: Path) -> list[Path]:
    write_sph(root, n_records=30)
    catalogue = find_data(root).read()
    numbers = catalogue.ecg_id[catalogue.strat_fold == catalogue.fold_plan.sealed]
    assert len(numbers) >= 6
    return [root / f"records/A{number:05d}.h5" for number in numbers]


def make_own(root: Path) -> list[Path]:
    """Sealed records come first: it is not they who say which leads there are."""
    rows = ["record,patient_id,labels,fold"]
    for number in range(1, 31):
        fold = "test" if number <= 5 else str(number % 5 + 1)
        rows.append(f"r{number},{number},{'AF;' * (number % 2)}{'PVC' * (number % 3 > 0)},{fold}")
        write_record(root, f"r{number}", noise(number)[:3, :500], leads=("I", "II", "V1"))
    (root / "records.csv").write_text("\n".join(rows))
    return [root / f"r{number}.{extension}" for number in range(1, 6) for extension in ("hea", "dat")]


Make = Callable[[Path], list[Path]]
KINDS: dict[str, Make] = {"ptb-xl": make_ptbxl, "mit-bih": make_mitbih, "sph": make_sph, "own": make_own}


def seal(files: list[Path]) -> None:
    for file in files:
        file.unlink()
        file.symlink_to(file.name)
        with pytest.raises(OSError, match="Too many levels"):
            file.stat()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, and a space of two small architectures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PTBXL_DIR", raising=False)
    tiny = {"width": (0.125,), "head_width": (16,), "label_smoothing": (0.0, 0.1)}
    monkeypatch.setitem(space.SPACES, "tiny", tiny)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def cached_rows(folder: Path) -> list[int]:
    """Number of rows of every array of signals in a cache."""
    arrays = (np.load(file, mmap_mode="r", allow_pickle=False) for file in folder.rglob("signals.npy"))
    return sorted(map(len, arrays))


RUN = ["run", "--data", "data", "--trials", "2", "--epochs", "1", "--space", "tiny", "--presets", "none"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_never_touches_the_sealed_fold(
    kind: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run`, with sampler and race, then everything that tells of it."""
    sealed = KINDS[kind](here / "data")
    shutil.copytree(here / "data", here / "untouched")
    seal(sealed)
    OPENED.clear()
    assert main([*RUN, "--device", "cpu"]) == 0
    # A report takes seconds, and knows nothing of data; its figures are drawn once.
    write_page_alone(monkeypatch)
    for command in ("status", "ensemble", *(["report"] if kind == "own" else [])):
        assert main([command]) == 0
    assert not OPENED & set(map(str, sealed))
    store = storage.open_store(create=False)
    study = store.last_study()
    assert [trial.state for trial in store.trials(study.name)] == ["complete", "complete"]
    assert study.skipped_records == ()
    assert store.sealed_fold_openings(None) == []
    store.close()
    data = load_development(here / "untouched", cache_dir=here / "cache")
    assert study.data_fingerprint == data.fingerprint  # nothing is missing, and nothing else is there
    assert cached_rows(here / "runs/cache") == [len(data)]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_one_way_in_reads_and_keeps_it(kind: str, here: Path) -> None:
    """The names that the test above looks for do exist."""
    sealed = KINDS[kind](here / "data")
    data = load_development(here / "data", cache_dir=here / "cache")
    assert cached_rows(here / "cache") == [len(data)]
    OPENED.clear()
    opened = load_sealed(here / "data", rate_hz=data.rate_hz, cache_dir=here / "cache")
    assert set(opened.strat_fold.tolist()) == {opened.fold_plan.sealed}
    assert not set(opened.ecg_id.tolist()) & set(data.ecg_id.tolist())
    assert not set(opened.patient_id.tolist()) & set(data.patient_id.tolist())
    assert cached_rows(here / "cache") == sorted([len(data), len(opened)])
    if kind != "sph":  # the library of HDF5 opens its files itself
        assert set(map(str, sealed)) <= OPENED
    seal(sealed)
    with pytest.raises(DataError, match=r"no waveform files at all|none of \d+ records can be read"):
        load_sealed(here / "data", rate_hz=data.rate_hz, cache_dir=here / "elsewhere")


def test_only_evaluate_has_the_key() -> None:
    users = {
        file.relative_to(ROOT).as_posix()
        for package in ("search", "space", "storage", "reports")
        for file in (ROOT / package).rglob("*.py")
        if re.search(r"\bload_(sealed|external)\b", file.read_text(encoding="utf-8"))
    }
    assert users == {"search/data/dataset.py", "search/evaluate/evaluate.py"}


def test_no_sealed_header_says_what_the_others_are_like(tmp_path: Path) -> None:
    """In data of one's own the first header does."""
    make_own(tmp_path / "data")
    for number in range(1, 6):
        write_record(tmp_path / "data", f"r{number}", noise(number)[:, :400])
    data = load_development(tmp_path / "data", cache_dir=tmp_path / "cache")
    assert (data.leads, data.x_NLT.shape) == (("I", "II", "V1"), (25, 3, 500))


def test_a_table_of_sealed_records_alone_is_read_by_their_headers(tmp_path: Path) -> None:
    """To test a model of another data set on it."""
    make_own(tmp_path)
    table = (tmp_path / "records.csv").read_text().splitlines()[:6]
    (tmp_path / "records.csv").write_text("\n".join(table))
    data = load_external(tmp_path, rate_hz=100, cache_dir=tmp_path / "cache")
    assert data.x_NLT.shape == (5, 3, 500)


@pytest.mark.slow
def test_an_opening_that_fails_has_been_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate` writes down that it opens the fold before it asks for a file."""
    sealed = KINDS["ptb-xl"](here / "data")
    assert main([*RUN, "--trials", "1", "--device", "cpu"]) == 0
    seal(sealed)
    capsys.readouterr()
    assert main(["evaluate", "--data", "data", "--trial", "0", "--device", "cpu"]) == 1
    assert capsys.readouterr().err.startswith("search: ")
    store = storage.open_store(create=False)
    (opening,) = store.sealed_fold_openings(None)
    assert (opening.trial, opening.metrics) == (0, {})
    report = report_document(gather(store, store.last_study().name))
    store.close()
    assert len(report.provenance.sealed_fold_openings) == 1


def test_real_records_without_those_of_fold_10(ptbxl: Path, tmp_path: Path) -> None:
    """Real records: links to those of folds 1 to 9, and none but itself for those of fold 10."""
    catalogue = find_data(ptbxl).read()
    is_sealed = catalogue.strat_fold == 10
    signals = catalogue.waveforms[100]
    for name, hidden in zip(signals.names, is_sealed.tolist(), strict=True):
        for part in signals.files(name):
            file = tmp_path / "data" / part
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to(file.name if hidden else ptbxl / part)
    for table in ("ptbxl_database.csv", "scp_statements.csv"):
        (tmp_path / "data" / table).symlink_to(ptbxl / table)
    data = load_development(tmp_path / "data", rate_hz=100, cache_dir=tmp_path / "cache")
    assert (len(data), int(is_sealed.sum()), data.skipped) == (len(catalogue) - int(is_sealed.sum()), 4, ())
    assert cached_rows(tmp_path / "cache") == [len(data)]
