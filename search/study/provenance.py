"""Provenance of a trial: machine, software and memory, stored with every trial."""

import ctypes
import importlib.metadata
import os
import platform
import re
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage import TierScores, WorkerRecord
from storage.connection.passwords import without_password

_PROC = Path("/proc")
_CLEAR, _STATUS = _PROC / "self/clear_refs", _PROC / "self/status"
_RESTART = "5"
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", flags=re.MULTILINE)
PACKAGES = ("numpy", "optuna", "scikit-learn", "torch", "wfdb", "ecg-architecture-search")


def this_worker(device: str, precision: str | None = None) -> WorkerRecord:
    """The record of this process.

    Args:
        device: on which it trains.
        precision: in which its models compute.
    """
    return WorkerRecord(
        host=socket.gethostname(),
        process_id=os.getpid(),
        process_started_at=process_start(os.getpid()) or 0.0,
        device=device,
        command=" ".join(["python -m search", *map(without_password, sys.argv[1:])]),
        versions=versions(),
        commit=commit(),
        process_namespace=process_namespace(),
        precision=precision,
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
    root = Path(__file__).resolve().parents[2]
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
        fields = (_PROC / str(process_id) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    is_zombie = fields[0] == "Z"
    return None if is_zombie else float(fields[19])


def process_namespace() -> str | None:
    """Namespace in which process id and start time identify a process; None where it is unknown.

    Containers have process namespaces of their own, and often the same host name: there process 7 of one is
    not process 7 of another. A namespace is known by its inode, which the next boot may use again; start
    times count from the boot, as a time namespace has it.

    Returns:
        None where it cannot be known: without /proc, or with that of another namespace.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        processes, times = (_namespace(kind) for kind in ("pid", "time"))
        status = (_PROC / "self/status").read_text()
    except OSError:
        return None
    # /proc lists the processes of the namespace in which it was mounted. Seen from an outer one, a process
    # has a number for each namespace in between.
    numbers = re.search(r"^NSpid:((?:\s+\d+)+)$", status, flags=re.MULTILINE)
    if processes is None or numbers is None or numbers[1].split() != [str(os.getpid())]:
        return None
    return " ".join([boot, processes, *([] if times is None else [times])])


def _namespace(kind: str) -> str | None:
    """Name of a namespace such as `pid:[4026531836]`; None where the kernel has no such namespaces."""
    try:
        return str((_PROC / "self/ns" / kind).readlink())
    except FileNotFoundError:
        return None


def has_died(worker: WorkerRecord | None) -> bool:
    """Whether a worker is certainly gone; False whenever that cannot be known.

    Only a worker of this host and process namespace can be looked up. Of all others, and of those that
    earlier versions wrote down without a namespace, the heartbeat tells.
    """
    if worker is None or worker.process_namespace is None or worker.host != socket.gethostname():
        return False
    if worker.process_namespace != process_namespace():
        return False
    try:
        os.kill(worker.process_id, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # there is one, of another user
    if not (_PROC / str(worker.process_id) / "stat").exists():
        return False  # hidden from this user
    return process_start(worker.process_id) != worker.process_started_at


class PeakMemory:
    """Peak of the resident memory of this process from here on, memory-mapped signals and threads included.

    Linux records the peak and lets a process reset it (proc(5), VmHWM and clear_refs). Elsewhere only the
    peak since the start of the process is known, which is that of its largest trial so far: it is then not
    reported. Memory of a GPU is counted separately; other workers are in neither.
    """

    def __init__(self) -> None:
        with suppress(AttributeError, OSError):
            # What earlier trials have freed and glibc keeps for later is none of this one's.
            ctypes.CDLL(None).malloc_trim(0)
        self._is_known = False
        try:
            _CLEAR.write_text(_RESTART, encoding="ascii")
            self._is_known = True
        except OSError:
            pass  # not Linux, or not allowed
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()

    def n_bytes(self) -> int | None:
        """The peak since this was made; None where it cannot be known."""
        if not self._is_known:
            return None
        found = _PEAK.search(_STATUS.read_text(encoding="ascii", errors="replace"))
        return None if found is None else 1024 * int(found[1])

    def n_bytes_on_gpu(self) -> int | None:
        """The peak of what tensors took on the GPU since then, the signals included; None without one."""
        cuda = _cuda()
        return None if cuda is None else int(cuda.max_memory_allocated())


def _cuda() -> Any:
    """`torch.cuda` where this process uses a GPU; PyTorch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def with_peak_memory(scores: TierScores, memory: PeakMemory) -> TierScores:
    """The scores of a trial with `peak_memory_bytes` and `peak_gpu_memory_bytes`, where they are known.

    Of a trial that was interrupted they are the peaks of the attempt that ended it.
    """
    peaks = {"peak_memory_bytes": memory.n_bytes(), "peak_gpu_memory_bytes": memory.n_bytes_on_gpu()}
    known = {name: float(n_bytes) for name, n_bytes in peaks.items() if n_bytes is not None}
    return replace(scores, metrics={**scores.metrics, **known})
