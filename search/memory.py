"""How much memory a trial took: the peak of this process's resident memory while it trained.

Linux keeps the peak and lets a process start it again (proc(5), VmHWM and clear_refs). Elsewhere only the
peak since the process began is known, which is that of its largest trial so far: then nothing is said.
"""

import ctypes
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from storage import TierScores

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESTART = "5"
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", flags=re.MULTILINE)


class PeakMemory:
    """Resident memory from here on, memory-mapped signals and all threads included.

    Memory of a GPU is not in it, nor are other workers.
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

    def n_bytes(self) -> int | None:
        """The peak since this was made; None where it cannot be known."""
        if not self._is_known:
            return None
        found = _PEAK.search(_STATUS.read_text(encoding="ascii", errors="replace"))
        return None if found is None else 1024 * int(found[1])


def with_peak_memory(scores: TierScores, memory: PeakMemory) -> TierScores:
    """The scores of a trial with `peak_memory_bytes` beside them, where it is known.

    Of a trial that was interrupted it is the peak of the attempt that ended it.
    """
    n_bytes = memory.n_bytes()
    if n_bytes is None:
        return scores
    return replace(scores, metrics={**scores.metrics, "peak_memory_bytes": float(n_bytes)})
