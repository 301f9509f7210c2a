"""Share of a Ray cluster for a worker; apart from Ray, which takes seconds to import."""

from __future__ import annotations

import math
from dataclasses import dataclass

from search.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Resources of one worker on a node."""

    address: str
    """Address of the cluster, `auto` for the one of this machine, `local` for one made for this run."""
    cpus: float = 1.0
    gpus: float = 0.0
    """A fraction shares a GPU among workers."""

    def __post_init__(self) -> None:
        """Check the values given by the user.

        Raises:
            UsageError: a worker without a processor, or with less than none of a GPU.
        """
        if not 0 < self.cpus < math.inf:
            raise UsageError(f"--cpus-per-worker is a number above 0, such as 2 or 0.5, got {self.cpus:g}")
        if not 0 <= self.gpus < math.inf:
            raise UsageError(f"--gpus-per-worker is a number from 0 up, such as 1 or 0.25, got {self.gpus:g}")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise UsageError(f"--gpus-per-worker above 1 is a whole number, got {self.gpus:g}")

    @property
    def n_threads(self) -> int:
        """Threads that a worker may keep busy."""
        return max(1, int(self.cpus))
