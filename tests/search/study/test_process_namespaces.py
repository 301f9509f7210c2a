"""Detection of dead processes where ids are ambiguous: in containers, or hidden from a user."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from killed_workers import dead_process

import storage
from search.study import provenance
from search.study.provenance import has_died, process_namespace, this_worker

REPOSITORY = Path(__file__).resolve().parents[3]
IN_A_CONTAINER = """
import json, sys
from dataclasses import asdict
import storage
from search.study.provenance import has_died, this_worker
host = storage.WorkerRecord(**json.loads(sys.argv[1]))
print(json.dumps([has_died(host), asdict(this_worker("cpu"))]))
"""


def fake_proc(folder: Path, **changes: str) -> Path:
    """A /proc as a process sees it in a namespace of its own."""
    files = {
        "sys/kernel/random/boot_id": "b6dd2e4d\n",
        "self/status": f"Name:\tpython\nPid:\t{os.getpid()}\nNSpid:\t{os.getpid()}\n",
    }
    links = {"self/ns/pid": "pid:[1]", "self/ns/time": "time:[2]"}
    for name, content in (files | {name: text for name, text in changes.items() if name in files}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    for name, target in (links | {name: text for name, text in changes.items() if name in links}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    return folder


@pytest.fixture
def dead() -> storage.WorkerRecord:
    """A worker of this namespace that is certainly gone: its number belongs to this process."""
    return dead_process()


def test_a_namespace_is_boot_processes_and_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Private: /proc of another machine.
    monkeypatch.setattr(provenance, "_PROC", fake_proc(tmp_path))
    assert process_namespace() == "b6dd2e4d pid:[1] time:[2]"
    (tmp_path / "self/ns/time").unlink()  # a kernel before 5.6
    assert process_namespace() == "b6dd2e4d pid:[1]"


@pytest.mark.parametrize(
    "gone", ["sys/kernel/random/boot_id", "self/status", "self/ns/pid"], ids=["boot", "status", "namespace"]
)
def test_where_proc_does_not_say_nothing_is_known(
    gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Private: /proc of another machine.
    monkeypatch.setattr(provenance, "_PROC", fake_proc(tmp_path))
    (tmp_path / gone).unlink()
    assert process_namespace() is None


@pytest.mark.parametrize("numbers", [f"4711\t{os.getpid()}", "4711"], ids=["nested", "other"])
def test_proc_of_another_namespace_is_not_trusted(
    numbers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = {"self/status": f"NSpid:\t{numbers}\n"}
    # Private: /proc of another machine.
    monkeypatch.setattr(provenance, "_PROC", fake_proc(tmp_path, **status))
    assert process_namespace() is None


def test_a_dead_worker_of_this_namespace_is_known(dead: storage.WorkerRecord) -> None:
    assert has_died(dead)


@pytest.mark.parametrize(
    "changes",
    [
        {"process_namespace": None},  # as earlier versions wrote it
        {"process_namespace": "b6dd2e4d pid:[1]"},
        {"host": "another"},
    ],
    ids=["unknown", "another namespace", "another host"],
)
def test_of_other_workers_only_the_heartbeat_tells(
    changes: dict[str, str | None], dead: storage.WorkerRecord
) -> None:
    assert not has_died(replace(dead, **changes))  # type: ignore[arg-type]


def test_a_number_that_nobody_has_is_a_dead_worker(dead: storage.WorkerRecord) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert has_died(replace(dead, process_id=ended.pid))


def test_a_number_that_no_process_can_have_is_not_looked_up(dead: storage.WorkerRecord) -> None:
    assert not has_died(replace(dead, process_id=2**80))


def test_a_process_that_is_hidden_from_this_user_may_live(
    dead: storage.WorkerRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with /proc mounted with hidepid: the signal finds it, the folder is not there."""
    monkeypatch.setattr(provenance, "process_namespace", lambda: dead.process_namespace)
    # Private: /proc of another machine.
    monkeypatch.setattr(provenance, "_PROC", tmp_path)
    assert not has_died(dead)


@pytest.mark.slow
@pytest.mark.parametrize("mounts_proc", [True, False])
def test_containers_with_one_host_name_do_not_take_each_other_for_dead(mounts_proc: bool) -> None:
    command = ["unshare", "--pid", "--fork", "--kill-child", *(["--mount-proc"] if mounts_proc else [])]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("process namespaces cannot be made here")
    here = this_worker("cpu")
    found = subprocess.run(
        [*command, sys.executable, "-c", IN_A_CONTAINER, json.dumps(asdict(here))],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    is_dead, inside = json.loads(found.stdout)
    assert not is_dead
    there = storage.WorkerRecord(**inside)
    assert there.host == here.host
    assert (there.process_namespace is not None) == mounts_proc
    assert not has_died(there)  # though it is gone: not for this namespace to say
