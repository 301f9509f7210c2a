"""Output and files of the commands, through `main(arguments)`.

One tiny run with real training (two small architectures, one epoch, 216 synthetic records) is shared by the
tests of this module; each works on a copy of what it left.
"""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from architectures import STACKS
from command_line import Ended, call
from killed_workers import Killed, dead_process
from real_records import counts, ptbxl_folders
from report_records import write_page_alone

import space
import storage
from reports.folder import FORMATS
from search.commands.main import main
from search.models.costs import count_parameters

REPOSITORY = Path(__file__).parents[3]
N_RECORDS = 240
SMALL = space.Architecture(width=0.25, head_width=64)
RECURRENT = replace(SMALL, recurrent=(space.RecurrentLayer(cell="gru"),), hidden_size=32)
SMALL_PRESETS = {
    "small": space.Preset(source="", summary="", architecture=SMALL),
    "small-gru": space.Preset(source="", summary="", architecture=RECURRENT),
    "small-gated": space.Preset(source="", summary="", architecture=replace(SMALL, gate=16)),
}


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """A plain 80-column console in `folder`, small presets, one core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        patch.delenv("PTBXL_DIR", raising=False)
        patch.setattr("space.PRESETS", SMALL_PRESETS)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    made = call("data", "demo", str(folder), "--records", str(N_RECORDS))
    assert made == Ended(0, made.out, "")
    assert made.out.splitlines()[-1] == f"240 SYNTHETIC records in {folder}"
    return folder


@pytest.fixture(scope="module")
def first_run(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """Folder and output of `run --trials 2`."""
    folder = tmp_path_factory.mktemp("first")
    with working_in(folder):
        ended = call(*run_arguments(demo, "--epochs", "1", "--target", "superclass"))
    return folder, ended


@pytest.fixture
def study(first_run: tuple[Path, Ended], tmp_path: Path) -> Iterator[Path]:
    """A copy of what the run left, as the working folder."""
    shutil.copytree(first_run[0], tmp_path, dirs_exist_ok=True)
    with working_in(tmp_path):
        yield tmp_path


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run_arguments(data: Path, *more: str, trials: int | None = 2) -> list[str]:
    n_trials = [] if trials is None else ["--trials", str(trials)]
    return ["run", *n_trials, "--data", str(data), "--pruner", "none", *more]


def n_complete(study: str = "demo-superclass") -> int:
    store = storage.open_store(create=False)
    try:
        return store.counts(study)["complete"]
    finally:
        store.close()


# ---------------------------------------------------------------------------------------------------------
# space


@pytest.mark.parametrize("name", ["wide", "paper", "full"])
def test_space_json(name: str, empty: Path) -> None:
    document = call("space", "--json", "--space", name).document()
    assert document["space"] == name
    assert document["target"] == "subclass"
    assert document["n_classes"] == 23
    inputs = space.Inputs(n_features=1, likelihoods=True)
    assert document["size"] == len(space.Space(name, ("subclass", "diagnostic", "all"), inputs=inputs))
    assert document["axes"]["label_tier"] == ["subclass", "diagnostic", "all"]
    assert list(document["axes"]) == [*space.SPACES[name], "label_tier"]
    found = {preset["name"]: preset["parameters"] for preset in document["presets"]}
    for stack, (ungated, gated, _) in STACKS.items():
        assert (found[f"{stack}-ungated"], found[stack]) == (ungated, gated)
    assert (found["fcn-wang"], found["xresnet1d101"]) == (312_087, 1_874_583)
    for preset in document["presets"]:
        assert preset["description"] == space.preset(preset["name"], "subclass").describe()
        is_of_space = not preset["name"].endswith(
            "-jafari"
        )  # those have a recipe of their own, which no space has
        is_efficient = preset["name"] in ("separable", "tcn", "mingru")
        in_space = is_of_space and (
            name == "full" or preset["source"] == "Jafari & Jafari" or (name == "wide" and is_efficient)
        )
        assert preset["in_space"] is in_space


def test_space_json_of_another_target(empty: Path) -> None:
    document = call("space", "--json", "--target", "superclass").document()
    assert document["n_classes"] == 5
    assert document["axes"]["label_tier"] == ["superclass", "subclass", "diagnostic", "all"]
    cnn = document["presets"][0]["parameters"]
    assert cnn == STACKS["cnn"][1] - (23 - 5) * (256 + 1)  # the last dense layer is all that differs


def test_space_in_words(empty: Path) -> None:
    ended = call("space")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= 80
    size = len(space.Space("wide", ("subclass", "diagnostic", "all")))
    assert lines[0].rstrip() == f"Space wide: {size:,} architectures, target subclass"
    counts = STACKS["cnn-gru-bilstm-lstm"]
    gated, ungated, _ = (line for line in lines if "cnn-gru-bilstm-lstm" in line)
    assert all(f"{count:,}" in row for count, row in zip(counts[:2], (ungated, gated), strict=True))
    (other,) = (line for line in lines if "inception1d" in line)
    assert other.split()[-2] == "no"


# ---------------------------------------------------------------------------------------------------------
# data


@pytest.mark.slow
def test_data_check_of_the_demo(demo: Path, empty: Path) -> None:
    ended = call("data", "check", str(demo))
    assert (ended.status, ended.err) == (0, "")
    assert max(len(line) for line in ended.out.splitlines() if not line.startswith("/")) <= 80
    assert ended.out.startswith("SYNTHETIC  PTB-XL, version SYNTHETIC\n240 records of ")
    assert "100 Hz: 240 records, 0 damaged" in ended.out

    document = call("data", "check", str(demo.parent), "--json").document()
    assert document["synthetic"] is True
    assert document["sound"] is True
    assert document["records"] == N_RECORDS
    assert document["tiers"]["subclass"]["records"] == N_RECORDS


def test_data_check_of_damaged_records_fails_and_says_which(demo: Path, empty: Path) -> None:
    shutil.copytree(demo, empty / "damaged")
    (empty / "damaged/records100/00000/00005_lr.dat").write_bytes(b"\0" * 100)
    ended = call("data", "check", "damaged")
    assert (ended.status, ended.err) == (1, "")
    assert "100 Hz: 240 records, 1 damaged" in ended.out
    assert "5  records100/00000/00005_lr: " in ended.out
    document = json.loads(call("data", "check", "damaged", "--json").out)
    assert document["sound"] is False
    assert [record["ecg_id"] for record in document["waveforms"]["100"]["damaged"]] == [5]


@ptbxl_folders
def test_data_check_counts_real_labels(ptbxl: Path, empty: Path) -> None:
    document = call("data", "check", str(ptbxl), "--json").document()
    for tier, expected in counts(ptbxl).items():
        assert document["tiers"][tier] == expected
    for tier in ("severity-4", "severity-3"):
        assert document["tiers"][tier]["ones"] == document["records"]
        assert document["tiers"][tier]["unlabelled"] == 0
    assert document["severity_map"]["name"] == "seed"
    assert document["has_waveforms"] is (ptbxl.name != "ptb-xl-labels")
    ended = call("data", "check", str(ptbxl))
    assert (ended.status, ended.err) == (0, "")
    version = "1.0.3" if ptbxl.name == "ptb-xl-labels" else "unknown"
    assert ended.out.splitlines()[0] == f"PTB-XL, version {version}"


# ---------------------------------------------------------------------------------------------------------
# run, status, report


def test_run_tells_what_it_does(first_run: tuple[Path, Ended], demo: Path) -> None:
    _, ended = first_run
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("Reading records: 216 of 216 in ")
    assert lines[1] == "00:00:00  SYNTHETIC DATA: these results say nothing about real ECGs"
    assert "Study demo-superclass · target superclass · demo SYNTHETIC, 216 records" in lines[2]
    assert "  training on " in lines[3]
    ends = [line for line in lines if " complete [SYNTHETIC]: macro-AUPRC ." in line]
    assert len(ends) == 2
    assert ends[1].endswith("; 2 of 2 done")
    assert "SYNTHETIC demo data: no result here says anything about patients" in lines
    assert lines[-3:] == [
        "Study demo-superclass: 2 complete, 0 pruned, 0 failed trials in runs/search.db",
        "Next: python -m search report",
        "Next: python -m search dashboard",
    ]
    assert "\x1b" not in ended.out
    assert "A new study created" not in ended.out


def test_status(study: Path) -> None:
    ended = call("status")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(
        "Trials: 2 complete, 0 pruned, 0 failed, 0 running, 1 waiting, 0 interrupted\n"
    )
    assert "SYNTHETIC" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80

    document = call("status", "--json").document()
    (device,) = document["devices"]
    assert f"Trained on: {device}" in " ".join(ended.out.split())
    counts = {state: document[state] for state in ("complete", "pruned", "failed", "running", "waiting")}
    assert counts == {"complete": 2, "pruned": 0, "failed": 0, "running": 0, "waiting": 1}
    assert document["study"] == "demo-superclass"
    assert document["synthetic"] is True
    smallest = document["front"][0]
    assert set(smallest) == {"trial", "macro_auprc", "parameters", "description", "cost", "trainings"}
    assert smallest["trial"] == 0
    assert smallest["parameters"] == count_parameters(SMALL, 5)
    assert 0 < smallest["macro_auprc"] < 1
    assert call("status", "--json", "--study", "demo-superclass").document() == document


@pytest.mark.slow
def test_report(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_page_alone(monkeypatch)
    monkeypatch.setattr("reports.folder.FORMATS", FORMATS)
    ended = call("report")
    assert (ended.status, ended.err) == (0, "")
    assert "runs/reports/demo-superclass/index.html" in ended.out.splitlines()
    assert "figures as PNG, SVG and PDF" in " ".join(ended.out.split())
    assert "SYNTHETIC" in ended.out
    folder = Path("runs/reports/demo-superclass")
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert contents["front.png"].startswith(b"\x89PNG")
    assert b"SYNTHETIC" in contents["front.svg"]
    assert contents["trials.csv"].count(b"SYNTHETIC") == 2

    monkeypatch.setattr("reports.folder.FORMATS", ("svg",))
    document = call("report", "--json", "--out", "elsewhere").document()
    assert document == json.loads(contents["report.json"])
    for_screens = {name for name in contents if not name.endswith((".png", ".pdf"))}
    assert {path.name for path in Path("elsewhere").iterdir()} == for_screens
    # The predictions of a real training carry patients and the target, so there are intervals.
    assert [each["problem"] for each in document["close"]] == [""] * len(document["close"])
    assert "patients (with" in document["methods"]["intervals"]
    best = document["close"][-1]
    assert best["interval"]["low"] <= best["interval"]["value"] <= best["interval"]["high"]
    scores = {trial["trial"]: trial["macro_auprc"] for trial in document["trials"]}
    assert best["interval"]["value"] == pytest.approx(scores[best["trial"]], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "made", "asked"),
    [
        ("--epochs", "1", "2"),
        ("--seed", "0", "7"),
        ("--target", "superclass", "subclass"),
        ("--space", "wide", "paper"),
        ("--batch-size", "32", "64"),
        ("--lr", "0.005", "0.001"),
    ],
)
def test_study_is_not_continued_with_another(
    option: str, made: str, asked: str, study: Path, demo: Path
) -> None:
    ended = call(*run_arguments(demo, "--study", "demo-superclass", option, asked, trials=1))
    assert ended.status == 1
    assert ended.err == (
        f"search: study demo-superclass was made with {option} {made}, not {asked}: "
        f"leave {option} out to continue it, or choose another --study\n"
    )
    assert n_complete() == 2


@pytest.mark.slow
def test_study_is_not_continued_with_other_data(study: Path) -> None:
    assert call("data", "demo", "other", "--records", str(N_RECORDS), "--seed", "1").status == 0
    ended = call(*run_arguments(Path("other"), "--target", "superclass", trials=1))
    assert ended.status == 1
    assert ended.err.startswith(
        "search: study demo-superclass was made with other data (demo SYNTHETIC, 216 records"
    )
    assert ended.err.endswith("give --data as then, or choose another --study\n")
    assert ended.err.count("\n") == 1
    assert n_complete() == 2


@pytest.mark.slow
def test_study_goes_on_where_it_was(study: Path, demo: Path) -> None:
    ended = call(*run_arguments(demo, "--study", "demo-superclass", trials=1))
    assert (ended.status, ended.err) == (0, "")
    assert "Reading records" not in ended.out  # the cache is warm
    assert "1 trial to go (2 complete, 0 pruned, 0 failed before this run)" in ended.out
    front = next(line for line in ended.out.splitlines() if "  front [SYNTHETIC]: trial 0" in line)
    assert ended.out.index(front) < ended.out.index("trial 2 started (preset small-gated)")
    assert n_complete() == 3


def test_a_database_that_nobody_uses_is_one_file(study: Path) -> None:
    assert call("status").status == 0
    assert [path.name for path in Path("runs").glob("search.db*") if not path.name.endswith("lock")] == [
        "search.db"
    ]


@pytest.mark.slow
def test_a_system_whose_training_was_killed_is_trained_by_the_same_command(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object) -> None:
        raise Killed

    command = run_arguments(demo, "--presets", "small-gru", trials=None)
    with working_in(tmp_path):
        with monkeypatch.context() as patch:
            patch.setattr("search.study.run.this_worker", lambda device, **kept: dead_process())
            # Private: a death in training, in this process.
            patch.setattr("search.study.trial.Trial._train_folds", die)
            with pytest.raises(Killed):
                call(*command, "--epochs", "1", "--target", "superclass")
        ended = call(*command, "--target", "superclass")
        assert (ended.status, n_complete()) == (0, 1)
    assert "trial 0 was killed" in ended.out
    assert "1 of 1 trial done (1 complete, 0 pruned), 0 failed" in ended.out


@pytest.mark.slow
def test_next_step_names_a_database_of_ones_own(study: Path, demo: Path) -> None:
    Path("runs/search.db").rename("own.db")
    Path("runs/artifacts").rename("artifacts")
    arguments = run_arguments(demo, "--study", "demo-superclass", "--storage", "sqlite:///own.db", trials=1)
    ended = call(*arguments)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-2] == f"Next: python -m search report --storage sqlite:///{study}/own.db"


@pytest.mark.slow
def test_disk_that_is_full_while_a_trial_runs(
    study: Path, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **arrays: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("storage.artifacts.np.savez_compressed", fail)
    ended = call(*run_arguments(demo, "--study", "demo-superclass", trials=1))
    assert ended.status == 1
    assert ended.err == (
        "search: runs/search.db cannot grow, the disk is full: free some space and "
        "run the same command again\n"
    )
    monkeypatch.undo()
    assert n_complete() == 2
    assert call(*run_arguments(demo, "--study", "demo-superclass", trials=1)).status == 0
    assert n_complete() == 3


# ---------------------------------------------------------------------------------------------------------
# The program


@pytest.mark.slow
def test_output_that_nobody_reads_to_the_end(empty: Path) -> None:
    """`python -m search space --json | head -1` ends without a complaint."""
    program = [sys.executable, "-m", "search", "space", "--json"]
    with subprocess.Popen(program, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_interrupt_is_a_line_and_a_bug_keeps_its_traceback(
    raised: type[BaseException], empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise raised

    monkeypatch.setattr("search.commands.space.space_document", fail)
    if raised is KeyboardInterrupt:
        assert call("space") == Ended(130, "", "search: stopped by Ctrl-C\n")
    else:
        with pytest.raises(ValueError):  # noqa: PT011 - the very one
            call("space")


def test_defaults_in_the_help_are_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    from search.data.sources import PTBXL
    from search.defaults import DEFAULT_ALPHA, DEFAULT_SPACE, N_DEMO_RECORDS
    from search.sampler.untried import SAMPLERS
    from search.training.settings import TrainingSettings

    def words(*command: str) -> str:
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        return " ".join(capsys.readouterr().out.split())

    settings = TrainingSettings()
    text = words("run")
    assert f"epochs of every fold (default: {settings.epochs})" in text
    assert f"peak learning rate (default: {settings.learning_rate:g})" in text
    assert f"may lose; a larger one prunes earlier (default: {DEFAULT_ALPHA:g})" in text
    assert f"seed of sampler and training (default: {settings.seed})" in text
    assert f"database (default: $SEARCH_STORAGE, else {storage.DEFAULT_URL})" in text
    assert all(f"{name}: " in text for name in space.SPACES)
    assert f"{DEFAULT_SPACE}: {space.SPACE_WORDS[DEFAULT_SPACE]} (default)" in text
    tiers = tuple(PTBXL.tiers)
    assert f"{', '.join(tiers[:-1])} or {tiers[-1]} (default: {PTBXL.default_target})" in text
    assert f"{', '.join(SAMPLERS[:-1])} or {SAMPLERS[-1]}" in text
    assert f"number of records (default: {N_DEMO_RECORDS})" in words("data", "demo")
