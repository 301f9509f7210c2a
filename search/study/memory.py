"""How much memory a trial took: the peak of this process's resident memory while it trained, and of a GPU's.

Linux keeps the peak and lets a process start it again (proc(5), VmHWM and clear_refs). Elsewhere only the
peak since the process began is known, which is that of its largest trial so far: then nothing is said.
"""

import ctypes
import re
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage import TierScores

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESTART = "5"
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", flags=re.MULTILINE)


class PeakMemory:
    """Resident memory from here on, memory-mapped signals and all threads included.

    Memory of a GPU is counted apart; other workers are in neither.
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
