"""The real records of tests/assets, where they come from, and that tests open nothing else."""

import ast
import csv
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from outside import SHARED, Watch
from real_records import ASSETS, counts


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "ptbxl_database.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_part_of_ptbxl_has_what_makes_the_whole_difficult(ptbxl: Path) -> None:
    rows = rows_of(ptbxl)
    assert {row["strat_fold"] for row in rows} == {str(fold) for fold in range(1, 11)}
    assert sorted(Counter(row["patient_id"] for row in rows).values())[-2:] == [2, 4]
    assert sum(row["age"] == "300.0" for row in rows) == 4
    found = counts(ptbxl)
    assert found["superclass"]["unlabelled"] >= 4
    assert len(found["superclass"]["classes"]) == 5
    assert len(found["subclass"]["classes"]) == 21
    likelihoods = {value for row in rows for value in ast.literal_eval(row["scp_codes"]).values()}
    assert likelihoods >= {0.0, 15.0, 35.0, 50.0, 80.0, 100.0}
    ids = [int(row["ecg_id"]) for row in rows]
    assert ids == sorted(ids)
    assert max(b - a for a, b in pairwise(ids)) > 1


def test_the_records_take_less_than_three_megabytes() -> None:
    files = [file for name in ("ptb-xl", "mit-bih") for file in (ASSETS / name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3_000_000


@pytest.mark.needs_data
def test_cutting_again_gives_the_same_bytes(shared_data: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, ASSETS / "cut_records.py", shared_data, tmp_path], check=True)
    for name in ("ptb-xl", "mit-bih"):
        assert files_of(tmp_path / name) == files_of(ASSETS / name)


# ---------------------------------------------------------------------------------------------------------
# Nothing else is opened


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> tuple[Watch, Path]:
    """A watch for which the temporary folder is not allowed, and a file in a folder it does not allow."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "file").write_text("text")
    watching = Watch()
    watching.allowed = tuple(name for name in watching.allowed if not f"{folder}/".startswith(name))
    watching.on = True
    return watching, folder


def test_whatever_is_opened_outside_is_found(outside: tuple[Watch, Path], tmp_path: Path) -> None:
    watching, folder = outside
    file = str(folder / "file")
    link = tmp_path / "link"
    link.symlink_to(file)
    for event, arguments, expected in (
        ("open", (file, "r", 0), file),
        ("open", (os.fsencode(file), "r", 0), file),
        ("open", (str(folder / "new"), "w", os.O_CREAT), str(folder / "new")),
        ("open", (str(link), "r", 0), file),
        ("os.listdir", (str(folder),), str(folder)),
        ("os.scandir", (str(folder),), str(folder)),
        ("os.chdir", (str(folder),), str(folder)),
        ("sqlite3.connect", (file,), file),
        ("sqlite3.connect", (f"file:{file}?mode=ro",), file),
        ("subprocess.Popen", ("python", ["python", "-m", "search", file], None, None), file),
        ("subprocess.Popen", ("python", ["python"], str(folder), None), str(folder)),
    ):
        watching.hook(event, arguments)
        assert watching.take() == [expected], event


def test_what_any_machine_has_is_allowed(outside: tuple[Watch, Path]) -> None:
    watching, folder = outside
    for event, arguments in (
        ("open", (__file__, "r", 0)),
        ("open", (os.__file__, "r", 0)),
        ("open", (pytest.__file__, "r", 0)),
        ("open", ("/proc/cpuinfo", "r", 0)),
        ("open", (3, "r", 0)),
        ("open", (str(folder / "absent"), "r", 0)),
        ("os.listdir", (None,)),
        ("sqlite3.connect", (":memory:",)),
        ("subprocess.Popen", (sys.executable, [sys.executable, "-c", "pass"], None, None)),
    ):
        watching.hook(event, arguments)
    watching.on = False
    watching.hook("open", (str(folder / "file"), "r", 0))
    assert watching.take() == []


def test_what_lies_beside_the_checkout_is_never_allowed() -> None:
    watching = Watch()
    assert not watching.is_inside(str(SHARED / "data"))
    assert not watching.is_inside(str(SHARED))


@pytest.mark.slow
def test_a_test_that_reads_outside_fails_and_is_told_what_to_do(tmp_path: Path) -> None:
    """In a pytest of its own, whose checkout and temporary folder are others."""
    tests = tmp_path / "checkout" / "tests"
    tests.mkdir(parents=True)
    (tmp_path / "shared" / "data").mkdir(parents=True)
    (tmp_path / "shared" / "data" / "file").write_text("text")
    (tests / "helpers").mkdir()
    for name in ("conftest.py", "helpers/outside.py", "helpers/postgresql_server.py"):
        (tests / name).write_bytes((Path(__file__).parents[1] / name).read_bytes())
    (tests / "test_reading.py").write_text(
        "import pytest\n"
        "from pathlib import Path\n"
        "DATA = Path(__file__).parents[2] / 'shared' / 'data'\n"
        "def test_unmarked(): (DATA / 'file').read_text()\n"
        "@pytest.fixture\n"
        "def text(): return (DATA / 'file').read_text()\n"
        "def test_through_a_fixture(text): pass\n"
        "@pytest.mark.needs_data\n"
        "def test_marked(shared_data): (shared_data / 'file').read_text()\n"
    )
    (tests / "pytest.ini").write_text(
        "[pytest]\npythonpath = helpers\nmarkers =\n    needs_data: x\n    needs_gpu: x\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", str(tests)]
    done = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed, 1 error" in done.stdout
    message = "shared/data/file, outside the checkout and the temporary folder: use the real records of"
    assert done.stdout.count(message) >= 2
