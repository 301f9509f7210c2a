"""Every mistake a user can make is one line on standard error: the value, what is wrong, what to do next."""

import csv
import errno
import os
import socket
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ptbxl_waveforms import noise, write_data_set, write_record

import storage
from search.commands.main import main
from search.errors import UsageError
from search.study.data import locate_data

MainLine = Callable[..., str]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; runs/ is relative to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PTBXL_DIR", raising=False)
    return tmp_path


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> MainLine:
    """The one line that a command says on standard error, without the name of the program."""

    def run(arguments: Sequence[str], status: int = 1) -> str:
        assert main(arguments) == status
        text = capsys.readouterr().err
        text = "".join(line for line in text.splitlines(True) if not line.startswith("search: warning: "))
        assert text.startswith("search: ")
        assert text.endswith("\n")
        assert text.count("\n") == 1
        return text.removeprefix("search: ").rstrip("\n")

    return run


def run_on(data: Path | str, *more: str) -> list[str]:
    return ["run", "--trials", "1", "--target", "superclass", "--epochs", "1", "--data", str(data), *more]


def contains(line: str, fragments: Sequence[str]) -> bool:
    return all(fragment in line for fragment in fragments)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ("", ["required: COMMAND", "see python -m search --help"]),
        (
            "train",
            [
                "'train'",
                "'run', 'confirm', 'report', 'pick', 'ensemble', 'evaluate', 'export'",
                "see python -m search --help",
            ],
        ),
        ("run", ["give the number of trials: --trials N", "--presets NAME"]),
        ("run --presets none", ["give the number of trials: --trials N", "--hours H"]),
        ("export --pick best --out m", ["--pick: unknown rule 'best'", "knee, or within=D"]),
        ("evaluate --pick within=near", ["--pick: unknown rule 'within=near'"]),
        ("run --trials 1 --workers 100000", ["--workers 100,000: at most ", "one a core is enough"]),
        ("confirm --seeds 2 --workers 100000", ["--workers 100,000: at most ", "one a core is enough"]),
        ("run --hours 0", ["--hours is a number above 0, such as 8 or 0.5", "got 0"]),
        ("run --hours nan", ["--hours is a number above 0", "got nan"]),
        ("run --hours 86400", ["--hours", "at most 10,000", "got 86400"]),
        ("report --studies A", ["--studies takes the names of at least two studies", "got 'A'"]),
        ("report --studies A,B,A", ["--studies names study A twice"]),
        ("report --studies A,", ["--studies takes the names of at least two studies", "got 'A,'"]),
        ("report --studies 1,2,3,4,5,6,7,8,9", ["one figure has room for 8 studies, got 9"]),
        ("report --studies A,B --trial 3", ["--studies compares fronts: leave --trial out"]),
        ("report --studies A,B --study C", ["--studies compares fronts: leave --study out"]),
        ("run --until 5", ["--until is a share of the hypervolume", "0.5% or 0.005", "got '5'"]),
        ("run --until 0%", ["--until is a share of the hypervolume", "got '0%'"]),
        ("run --until soon", ["--until is a share of the hypervolume", "got 'soon'"]),
        ("run --until 1% --sampler tpe", ["--until needs --sampler front: tpe does not estimate"]),
        ("run --until 1% --sampler random", ["--until needs --sampler front: random does not estimate"]),
        ("run --hours night", ["--hours", "'night' is not a number"]),
        (
            "run --presets cnn,vgg",
            ["--presets: unknown system 'vgg'", "choose from cnn, cnn-lstm", "or none"],
        ),
        ("run --presets cnn,", ["--presets: unknown system ''"]),
        ("run --trials abc", ["--trials", "'abc' is not a whole number", "see python -m search run --help"]),
        ("run --trials 1.5", ["--trials", "'1.5' is not a whole number", "--help"]),
        ("run --trials", ["--trials", "expected one argument", "--help"]),
        ("run --trials 0", ["--trials is a whole number from 1 up, got 0"]),
        ("run --trials -3", ["--trials is a whole number from 1 up, got -3"]),
        ("run --trials 1 --workers 0", ["--workers is a whole number from 1 up, got 0"]),
        ("run --trials 1 --epochs 0", ["--epochs is a whole number from 1 up, got 0"]),
        ("run --trials 1 --epochs -2", ["--epochs is a whole number from 1 up, got -2"]),
        ("run --trials 1 --batch-size 1", ["--batch-size is a whole number from 2 up, got 1"]),
        ("run --trials 1 --lr -1", ["--lr lies between 0 and 1, got -1"]),
        ("run --trials 1 --lr 0", ["--lr lies between 0 and 1, got 0"]),
        ("run --trials 1 --lr nan", ["--lr lies between 0 and 1, got nan"]),
        ("run --trials 1 --lr inf", ["--lr lies between 0 and 1, got inf"]),
        ("run --trials 1 --lr fast", ["--lr", "'fast' is not a number", "--help"]),
        ("run --trials 1 --seed -1", ["--seed is a whole number from 0 up, got -1"]),
        ("run --trials 1 --seed 4294967296", ["--seed is at most 4294967295, got 4294967296"]),
        ("run --trials 1 --rate 250", ["--rate 250", "PTB-XL", "100 or 500 Hz"]),
        ("run --trials 1 --pruner median", ["--pruner", "'median'", "'race', 'none'", "--help"]),
        ("run --trials 1 --alpha 0", ["--alpha is a share between 0 and 1, such as 0.05, got 0"]),
        ("run --trials 1 --alpha 1", ["--alpha is a share between 0 and 1, such as 0.05, got 1"]),
        ("run --trials 1 --alpha nan", ["--alpha is a share between 0 and 1, such as 0.05, got nan"]),
        ("run --trials 1 --alpha 5%", ["--alpha", "'5%' is not a number", "--help"]),
        ("run --trials 1 --device tpu", ["--device", "'tpu'", "'auto', 'cpu', 'cuda'", "--help"]),
        ("run --trials 1 --sampler cmaes", ["'cmaes'", "front, tpe, nsga2, random, grid"]),
        ("run --trials 1 --space huge", ["'huge'", "wide, paper"]),
        (
            "run --trials 1 --target severity",
            ["'severity'", "superclass, subclass, diagnostic, all, form, rhythm"],
        ),
        ("run --trials 1 --target ''", ["--target is empty"]),
        ("run --trials 1 --folds 10", ["unknown argument --folds 10", "see python -m search run --help"]),
        ("run --trials 1 --epoch 3", ["unknown argument --epoch 3", "see python -m search run --help"]),
        (
            "run --trials 1 --storage runs/search.db",
            ["--storage: runs/search.db", "write sqlite:///runs/search.db"],
        ),
        (
            "run --trials 1 --storage sqlite://",
            ["--storage: sqlite:// names no file", "sqlite:///runs/search.db"],
        ),
        (
            "run --trials 1 --storage mysql://me:secret@box/ecg",
            ["mysql", "use sqlite:///runs/search.db or postgres"],
        ),
        (
            "status --storage postgresql://me:secret@box:port/ecg",
            ["--storage: postgresql://me:***@box", "use sqlite:"],
        ),
        (
            "report --storage sqlite://me:secret@/a.db?mode=ro",
            ["neither user nor host", "use sqlite:///runs/search.db"],
        ),
        ("status --study ''", ["--study is empty: a shell variable that is not set?", "leave it out"]),
        ("run --trials 1 --study ''", ["--study is empty"]),
        ("run --trials 1 --data=", ["--data is empty"]),
        ("data check ''", ["an argument is empty"]),
        ("predict '' r01", ["an argument is empty"]),
        ("pick --within -1", ["--within: is a difference of scores from 0 to below 1", "got -1"]),
        ("pick --within nan", ["--within: is a difference of scores", "got nan"]),
        ("export --pick within=1 --out m", ["--pick: unknown rule 'within=1'"]),
        ("space --show cnn --rate 0", ["--rate is a positive number of Hz, got 0"]),
        ("status --storage file:runs/a.db", ["is not a database URL: write sqlite:///runs/a.db"]),
        ("status --storage sqlite:/runs/a.db", ["is not a database URL: write sqlite:///runs/a.db"]),
        ("dashboard --port 0", ["--port lies between 1 and 65535, got 0"]),
        ("dashboard --port 99999", ["--port lies between 1 and 65535, got 99999"]),
        ("dashboard --port http", ["--port", "'http' is not a whole number", "--help"]),
        ("space --space huge", ["'huge'", "wide, paper"]),
        ("space --target severity", ["'severity'", "superclass, subclass"]),
        ("data", ["required: ACTION", "see python -m search data --help"]),
        ("data check", ["required: DIR", "see python -m search data check --help"]),
        ("data demo there --records 0", ["0 records", "ask for 1 to"]),
        ("data demo there --records -5", ["-5 records", "ask for 1 to"]),
        ("data demo there --seed -1", ["seed -1", "ask for 0 or more"]),
        ("data download chapman there", ["'chapman'", "ptb-xl"]),
    ],
)
def test_bad_arguments(arguments: str, fragments: list[str], refusal: MainLine, folder: Path) -> None:
    words = ["" if word == "''" else word for word in arguments.split()]
    line = refusal(words, status=2)
    assert contains(line, fragments), line
    assert "secret" not in line
    assert not list(folder.iterdir()), "nothing is read or made before the arguments are checked"


def test_cuda_without_a_device(refusal: MainLine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    line = refusal(["run", "--trials", "1", "--device", "cuda"], status=2)
    assert contains(line, ["--device cuda", "use --device cpu, or check the driver"])
    assert not list(folder.iterdir())


# ---------------------------------------------------------------------------------------------------------
# Data


@pytest.mark.parametrize("command", [["run", "--trials", "1", "--data"], ["data", "check"]])
def test_folder_that_is_no_data_set(command: list[str], refusal: MainLine, folder: Path) -> None:
    line = refusal([*command, "nowhere"])
    assert line == f"{folder}/nowhere does not exist; give the folder that a data set was unpacked into"
    (folder / "empty").mkdir()
    line = refusal([*command, "empty"])
    assert contains(line, [f"no data set in {folder}/empty", "ptbxl_database.csv (PTB-XL)", "records.csv"])
    (folder / "file").write_text("")
    assert contains(
        refusal([*command, "file"]), [f"{folder}/file is a file, not a folder", "give the folder"]
    )
    assert not (folder / "runs").exists()


def test_environment_names_no_data_set(
    refusal: MainLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTBXL_DIR", "nowhere")
    assert contains(refusal(["run", "--trials", "1"]), [f"{folder}/nowhere does not exist"])


def test_truncated_samples(refusal: MainLine, folder: Path) -> None:
    data = write_data_set(folder / "data")
    signals = data / "records100/00000/00007_lr.dat"
    signals.write_bytes(signals.read_bytes()[:-500])
    line = refusal(run_on(data))
    assert contains(line, ["1 of 18 records", "7 (", "00007_lr", "--skip-damaged"]), line
    assert main(["data", "check", str(data)]) == 1


def test_header_with_eleven_leads(refusal: MainLine, folder: Path) -> None:
    data = write_data_set(folder / "data")
    leads = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5")
    write_record(data, "records100/00000/00003_lr", noise(3)[:11], leads=leads)
    line = refusal(run_on(data))
    assert contains(line, ["1 of 18 records", "3 (", "00003_lr", "V6", "--skip-damaged"]), line


def rewrite_table(data: Path, change: Callable[[dict[str, str]], None]) -> None:
    file = data / "ptbxl_database.csv"
    rows = list(csv.DictReader(file.read_text().splitlines()))
    for row in rows:
        change(row)
    with file.open("w", newline="") as text:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_table_without_strat_fold(refusal: MainLine, folder: Path) -> None:
    data = write_data_set(folder / "data")
    rewrite_table(data, lambda row: row.pop("strat_fold") and None)
    for arguments in (run_on(data), ["data", "check", str(data)]):
        line = refusal(arguments)
        assert contains(
            line,
            [f"{data}/ptbxl_database.csv lacks the column strat_fold", "take it from the PTB-XL download"],
        ), line


def test_statement_that_the_data_set_does_not_know(refusal: MainLine, folder: Path) -> None:
    data = write_data_set(folder / "data", scp_codes={4: "{'XYZ': 100.0}"})
    for arguments in (run_on(data), ["data", "check", str(data)]):
        line = refusal(arguments)
        assert contains(line, ["XYZ", "4", "scp_statements.csv"]), line


def test_rate_that_is_not_there(refusal: MainLine, folder: Path) -> None:
    data = write_data_set(folder / "data")
    assert contains(refusal(run_on(data, "--rate", "500")), ["500"])


def test_too_few_records_for_five_folds(refusal: MainLine, folder: Path) -> None:
    data = write_data_set(folder / "data", n_records=4)
    line = refusal(run_on(data))
    assert "fold" in line


def test_download_without_a_network(refusal: MainLine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("search.data.download.time.sleep", lambda seconds: None)
    line = refusal(["data", "download", "ptb-xl", "there"])
    assert contains(line, ["cannot reach physionet.org", "run the same command again"]), line


# ---------------------------------------------------------------------------------------------------------
# Database


@pytest.mark.parametrize("command", ["status", "report", "dashboard", "status --json", "report --json"])
def test_nothing_was_run_yet(command: str, refusal: MainLine, folder: Path) -> None:
    assert refusal(command.split()) == "no database runs/search.db: run `python -m search run` first"
    assert not list(folder.iterdir())


@pytest.mark.parametrize("command", ["status", "report", "run"])
def test_database_that_cannot_be_used(command: str, refusal: MainLine, folder: Path) -> None:
    arguments = run_on(write_data_set(folder / "data")) if command == "run" else [command]

    (folder / "garbage.db").write_bytes(b"not a database, " * 500)
    line = refusal([*arguments, "--storage", "sqlite:///garbage.db"])
    assert contains(line, ["garbage.db is not an SQLite database", "choose another --storage"])

    (folder / "folder.db").mkdir()
    line = refusal([*arguments, "--storage", "sqlite:///folder.db"])
    assert contains(line, ["folder.db is a folder", "folder.db/search.db"])

    storage.open_store("sqlite:///newer.db").close()
    with sqlite3.connect("newer.db") as connection:
        connection.execute("UPDATE ecg_schema SET version = 99")
    connection.close()
    line = refusal([*arguments, "--storage", "sqlite:///newer.db"])
    assert contains(line, ["newer.db has schema 99", "upgrade, or choose another --storage"])

    with sqlite3.connect("foreign.db") as connection:
        connection.execute("CREATE TABLE addresses (name TEXT)")
    connection.close()
    line = refusal([*arguments, "--storage", "sqlite:///foreign.db"])
    assert contains(line, ["foreign.db is the database of another program", "choose another --storage"])


def test_unknown_study_lists_the_known_ones(refusal: MainLine) -> None:
    from storage_samples import study_record

    store = storage.open_store()
    store.add_study(study_record("first"))
    store.add_study(study_record("second"))
    store.close()
    for command in ("status", "report", "status --json"):
        line = refusal([*command.split(), "--study", "thrid"])
        assert line == "no study thrid: known are second, first"


def test_database_without_a_study(refusal: MainLine) -> None:
    storage.open_store().close()
    for command in ("status", "report"):
        assert refusal([command]) == "runs/search.db holds no study: run `python -m search run` first"


def test_password_is_never_shown(refusal: MainLine) -> None:
    pytest.importorskip("psycopg")
    line = refusal(["status", "--storage", "postgresql://me:secret@127.0.0.1:1/ecg"])
    assert "127.0.0.1" in line
    assert "secret" not in line


# ---------------------------------------------------------------------------------------------------------
# Places that cannot be written


def test_file_where_the_folder_of_the_database_should_be(refusal: MainLine, folder: Path) -> None:
    data = write_data_set(folder / "data")
    (folder / "runs").write_text("in the way")
    line = refusal(run_on(data))
    assert contains(line, [f"runs/search.db: {folder}/runs: File exists", "choose another --storage"]), line


def test_folder_of_the_database_is_read_only(refusal: MainLine, folder: Path) -> None:
    data = write_data_set(folder / "data")
    line = refusal(run_on(data, "--storage", "sqlite:////proc/none/search.db"))
    assert contains(line, ["/proc/none/search.db: ", "choose another --storage"]), line
    line = refusal(run_on(data, "--storage", "sqlite:////proc/search.db"))
    assert contains(line, ["/proc/search.db cannot be opened", "check the permissions"]), line


def test_lock_that_cannot_be_made(refusal: MainLine, folder: Path) -> None:
    infarctions = dict.fromkeys(range(1, 21, 3), "{'IMI': 100.0}")  # so that there is a class to score
    data = write_data_set(folder / "data", scp_codes=infarctions)
    storage.open_store().close()
    (folder / "runs/search.db.start-lock").mkdir()  # what a read-only folder would refuse
    line = refusal(run_on(data))
    assert contains(line, ["runs/search.db", "start-lock"]), line


def test_cache_that_cannot_be_written(
    refusal: MainLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise FULL

    # Private: a disk that fills up in the middle.
    monkeypatch.setattr("search.data.cache._write_signals", fail)
    line = refusal(run_on(write_data_set(folder / "data")))
    assert contains(line, ["cannot write the cache in runs/cache", "No space left on device", "MB"]), line


def test_cache_folder_that_is_a_file(refusal: MainLine, folder: Path) -> None:
    data = write_data_set(folder / "data")
    (folder / "runs").mkdir()
    (folder / "runs/cache").write_text("in the way")
    line = refusal(run_on(data))
    assert contains(line, ["cannot write the cache in runs/cache"]), line


def test_demo_that_cannot_be_written(
    refusal: MainLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refusal(["data", "demo", "/proc/demo"])
    assert contains(line, ["cannot write the demo to /proc/demo", "give a folder that can be written"])

    def fail(*arguments: object) -> None:
        raise FULL

    # Private: a disk that fills up in the middle.
    monkeypatch.setattr("search.data.demo.writer._write_record", fail)
    line = refusal(["data", "demo", "there"])
    assert contains(line, ["cannot write the demo to there", "No space left on device"]), line
    line = refusal(["run", "--trials", "1"])
    assert contains(line, ["cannot write the demo to runs/demo", "No space left on device"]), line


@pytest.mark.slow
def test_report_that_cannot_be_written(
    refusal: MainLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage_samples import study_record

    store = storage.open_store()
    store.add_study(study_record())
    store.close()
    (folder / "file").write_text("in the way")
    line = refusal(["report", "--out", "file"])
    assert contains(line, ["cannot write the report to file", "File exists", "--out"])

    def fail(*arguments: object) -> None:
        raise FULL

    monkeypatch.setattr("reports.folder.write_whole", fail)
    line = refusal(["report", "--out", "there"])
    assert contains(line, ["cannot write the report to there", "No space left on device", "--out"])


@pytest.mark.parametrize("command", ["report --out", "export --trial 0 --out"])
def test_a_file_in_the_place_of_the_folder_to_write(command: str, refusal: MainLine, folder: Path) -> None:
    from storage_samples import study_record

    store = storage.open_store()
    store.add_study(study_record())
    store.close()
    (folder / "file").write_text("in the way")
    line = refusal([*command.split(), "file"], status=2 if command.startswith("export") else 1)
    assert contains(line, ["file", "--out"]), line
    assert (folder / "file").read_text() == "in the way"


def test_a_study_of_other_data_than_the_demo_asks_for_them() -> None:
    from storage_samples import study_record

    with pytest.raises(UsageError, match="study first was made with own-ward: give its folder with --data"):
        locate_data(None, study_record(data_name="own-ward", synthetic=False))
