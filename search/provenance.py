"""Where a worker runs and with what software: stored with every trial."""

import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

from storage import WorkerRecord
from storage.passwords import without_password

PACKAGES = ("numpy", "optuna", "scikit-learn", "torch", "wfdb", "ecg-architecture-search")


def this_worker(device: str) -> WorkerRecord:
    """The record of this process."""
    return WorkerRecord(
        host=socket.gethostname(),
        process_id=os.getpid(),
        process_started_at=process_start(os.getpid()) or 0.0,
        device=device,
        command=" ".join(["python -m search", *map(without_password, sys.argv[1:])]),
        versions=versions(),
        commit=commit(),
    )


def versions() -> dict[str, str]:
    """Python and the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Commit of this checkout, with `+` when files differ from it; None outside of git."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],  # noqa: S607
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None


def process_start(process_id: int) -> float | None:
    """Start of a process in clock ticks since boot; None if it does not run or cannot be known.

    Together with the process id it names a process: ids are used again.
    """
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    is_zombie = fields[0] == "Z"
    return None if is_zombie else float(fields[19])


def has_died(worker: WorkerRecord | None) -> bool:
    """Whether a worker of this host is certainly gone; False whenever that cannot be known."""
    if worker is None or worker.host != socket.gethostname() or not Path("/proc/self/stat").exists():
        return False
    return process_start(worker.process_id) != worker.process_started_at
