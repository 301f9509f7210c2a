"""Workers killed, stopped, starved of memory and disk at every step: nothing finished is lost or changed.

The default suite sees some of it. `make chaos` sets CHAOS to the number of studies that go through all of it,
each of 25 faults.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_study import QUEUED, open_study
from fake_trainer import TARGET
from faults import Action, Fault, Moment, set_clock
from faulty_workers import end_all, fake_worker, real_worker, report, start
from ordeal import GAP, Ordeal, expected_score, repeated_epochs, running

import space
import storage
from search.data.demo import write_demo
from storage.optuna_side import MAX_RETRIES

N_STUDIES = int(os.environ.get("CHAOS", "0"))
N_FAULTS, N_REAL_FAULTS = (25, 12) if N_STUDIES else (5, 1)
"""Faults of a study, and of one with true training."""
LATEST: dict[Moment, int] = {"epoch": 24, "checkpoint": 20, "statement": 300, "commit": 120, "artifact": 4}
"""How late a fault may strike a worker with the fake trainer: about two trials go by until then."""
LATEST_REAL: dict[Moment, int] = {
    "epoch": 40,
    "checkpoint": 20,
    "statement": 500,
    "commit": 200,
    "artifact": 9,
}
"""The same with true training, where an epoch has two steps."""
IN_A_FOLD: tuple[Action, ...] = ("error", "nan", "memory")
REASONS = {
    "no such kernel": "error",
    "training loss is nan": "diverged",
    "CUDA out of memory": "out-of-memory",
}

pytestmark = [
    pytest.mark.timeout(1200 if N_STUDIES else 300),
    pytest.mark.usefixtures("no_optuna_log"),
]


def draw(rng: random.Random, latest: dict[Moment, int]) -> Fault:
    """A fault of any kind: half of them kill."""
    actions: list[Action] = ["kill"] * 9 + ["stop", "lock", *["full"] * 3, *IN_A_FOLD]  # type: ignore[list-item]
    action = rng.choice(actions)
    moment: Moment = "epoch" if action in IN_A_FOLD else rng.choice(list(latest))
    return Fault(
        action=action,
        moment=moment,
        after=rng.randint(1, latest[moment]),
        elsewhere=action == "kill" and rng.random() < 0.2,
    )


def finish(ordeal: Ordeal) -> storage.Store:
    """Let one worker that nothing happens to train what is left; check what nobody may have lost."""
    set_clock(ordeal.folder, 36_000)  # beyond every grace time
    assert ordeal.suffer(Fault(), n_trials=0) == [0]
    store = storage.open_store(f"sqlite:///{ordeal.folder}/search.db")
    while store.counts("fake")["waiting"]:  # such as what is queued again while others are trained
        assert ordeal.suffer(Fault(), n_trials=0) == [0]
    counts = store.counts("fake")
    assert (counts["running"], counts["waiting"], counts["interrupted"]) == (0, 0, 0)
    trials = store.trials("fake")
    assert {trial.state for trial in trials} <= {"complete", "failed"}
    assert len(trials) == len({trial.architecture_hash for trial in trials})
    for trial in trials:
        if trial.state == "failed":
            assert trial.failure is not None
            (kind,) = [kind for text, kind in REASONS.items() if text in trial.failure.message]
            assert trial.failure.kind == kind
    assert not list((ordeal.folder / "checkpoints").rglob("*.safetensors"))
    return store


# Any fault, in workers with the fake trainer


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(max(1, N_STUDIES)))
def test_nothing_finished_is_lost(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    ordeal = Ordeal(folder=tmp_path, work=fake_worker)
    while ordeal.n_faults < N_FAULTS:
        faults = [draw(rng, LATEST) for _ in range(rng.choice([1, 1, 2]))]
        if any(fault.action == "stop" for fault in faults):
            faults.append(Fault())  # somebody who takes the stopped one for dead
        ordeal.suffer(*faults)
    store = finish(ordeal)
    trials = store.trials("fake")
    assert set(QUEUED) <= {trial.preset for trial in trials}
    for trial in trials:
        if trial.state == "complete":
            architecture = space.Architecture.from_dict(trial.architecture)
            assert trial.score == expected_score(architecture)
    assert list(repeated_epochs(tmp_path / "epochs.log", GAP)) == []


@pytest.mark.slow
def test_a_stopped_worker_is_taken_for_dead_and_lets_go(tmp_path: Path) -> None:
    ordeal = Ordeal(folder=tmp_path, work=fake_worker)
    assert ordeal.suffer(Fault(action="stop", moment="epoch", after=8), Fault(), n_trials=2) == [0, 0]
    store = finish(ordeal)
    assert any(
        failure.kind == "killed" for trial in store.trials("fake") for failure in store.failures(trial.id)
    )


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [True, False] if N_STUDIES else [True])
def test_an_architecture_that_kills_its_workers_is_given_up(tmp_path: Path, elsewhere: bool) -> None:
    """Whether its process is seen to be gone or its heartbeat is missed."""
    doomed = space.preset("cnn", TARGET)
    ordeal = Ordeal(folder=tmp_path, work=fake_worker)
    fault = Fault(moment="epoch", after=3, doomed=doomed.digest, elsewhere=elsewhere)
    for attempt in range(1 + MAX_RETRIES):
        set_clock(tmp_path, 60.0 * attempt)
        assert ordeal.suffer(fault, n_trials=len(QUEUED)) == [-signal.SIGKILL]
    set_clock(tmp_path, 3600)
    assert ordeal.suffer(Fault(), n_trials=0) == [0]
    store, _ = open_study(tmp_path / "search.db")
    (failed,) = [trial for trial in store.trials("fake") if trial.state == "failed"]
    assert failed.architecture_hash == doomed.digest
    assert failed.failure is not None
    reason = "no sign of life from process " if elsewhere else "process "
    assert failed.failure.message.startswith(f"given up after 4 attempts: {reason}")
    assert [failure.kind for failure in store.failures(failed.id)] == [*["killed"] * 3, "error"]
    assert store.counts("fake")["complete"] == len(QUEUED) - 1


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3600, -3600] if N_STUDIES else [3600])
def test_the_clock_jumps(tmp_path: Path, seconds: int) -> None:
    """While two workers train: each may take the other for dead, and nothing is lost or changed."""
    workers = [
        start(fake_worker, tmp_path, 0, seed, Fault(), said=tmp_path / f"said-{seed}.txt")
        for seed in range(2)
    ]
    for jump in range(1, 4):
        time.sleep(0.5)
        set_clock(tmp_path, seconds * jump)
    assert end_all(workers) == [0, 0]
    assert [one.lines() for one in workers] == [[], []]
    ordeal = Ordeal(folder=tmp_path, work=fake_worker)
    trials = finish(ordeal).trials("fake")
    assert {trial.preset for trial in trials} == set(QUEUED)
    for trial in trials:
        assert trial.score == expected_score(space.Architecture.from_dict(trial.architecture))


# The command with true training


@pytest.fixture
def records(tmp_path: Path) -> Path:
    write_demo(tmp_path / "records", n_records=60)
    return tmp_path


@pytest.mark.slow
def test_true_training(records: Path) -> None:
    rng = random.Random(0)
    ordeal = Ordeal(folder=records, work=real_worker)
    assert ordeal.suffer(Fault(moment="read"), n_trials=1) == [-signal.SIGKILL]
    while ordeal.n_faults < N_REAL_FAULTS:
        ordeal.suffer(draw(rng, LATEST_REAL))
    store = finish(ordeal)
    assert list(repeated_epochs(records / "epochs.log", GAP)) == []
    assert len(store.trials("fake")) >= 1
    if not N_STUDIES:
        return  # the figures take as long as all the rest
    died = start(report, records, 0, 0, Fault(moment="checkpoint", after=3), said=records / "died.txt")
    assert end_all([died]) == [-signal.SIGKILL]
    assert end_all([start(report, records, 0, 0, Fault(), said=records / "whole.txt")]) == [0]
    assert "</html>" in (records / "runs/reports/fake/index.html").read_text()


if N_STUDIES:

    @pytest.mark.parametrize("seed", range(6))
    def test_the_program_killed_at_any_moment(records: Path, seed: int) -> None:
        """As users start it, with two workers that must not outlive it."""
        rng = random.Random(seed)
        command = [
            sys.executable,
            "-m",
            "search",
            "run",
            "--data",
            "records",
            "--study",
            "fake",
            "--epochs",
            "1",
        ]
        options = ["--target", "superclass", "--storage", "sqlite:///search.db", "--batch-size", "16"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}

        def run(*more: str) -> subprocess.Popen[bytes]:
            with (records / "said.txt").open("wb") as said:
                return subprocess.Popen(
                    [*command, *options, *more], cwd=records, env=environment, stdout=said, stderr=said
                )

        with run("--trials", "9", "--workers", "2") as program:
            time.sleep(rng.uniform(1, 40))
            program.kill()
        ordeal = Ordeal(folder=records, work=real_worker)
        time.sleep(3)  # its workers look every second whether it is there
        if (records / "search.db").exists():
            ordeal.check()
        with run("--trials", "1") as program:
            assert program.wait() == 0, (records / "said.txt").read_text()
        ordeal.check()
        assert not running(records)
