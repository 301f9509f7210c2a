"""Number of processor cores that this program may keep busy, determined here only.

The smallest of the limits of the kernel (affinity), the control group (quota), the batch system and the user.
More threads than that do not compute but wait for each other: a container with a quota of two cores on a
machine of 64 would be throttled for most of every tenth of a second.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

VARIABLES = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "NSLOTS")
"""Variables with the number of cores for a process, set by the user, SLURM and Grid Engine."""
_PROC = Path("/proc")


def available_cores() -> int:
    """Cores for this process, at least one. A quota between two numbers is rounded, halves upwards."""
    return min(_whole(cores) for cores, _ in _limits())


def cores_each(n_workers: int) -> int:
    """Cores for each of several processes on this machine, at least one."""
    return max(1, available_cores() // n_workers)


def why_not_all_cores() -> str | None:
    """Limit that leaves cores of this machine unused, in words; None where all are used."""
    n_cores = cores_of_the_kernel()
    fewest, why = min(_limits())
    if _whole(fewest) >= n_cores:
        return None
    return f"{_whole(fewest)} of {n_cores} cores are used: {why}"


def _limits() -> list[tuple[float, str]]:
    """Cores by every limit that is set, and which it is."""
    quotas = [(quota, f"the quota of the control group is {quota:g}") for quota in _quotas()]
    return [(float(cores_of_the_kernel()), ""), *_variables(), *quotas]


def _whole(cores: float) -> int:
    return max(1, math.floor(cores + 0.5))


def cores_of_the_kernel() -> int:
    """Cores on which the kernel lets this process run, whatever their use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _variables() -> Iterator[tuple[float, str]]:
    """Limits in environment variables; a value that is no number from 1 up is ignored."""
    for variable in VARIABLES:
        first = os.environ.get(variable, "").partition(",")[0].strip()  # OpenMP lists one for each level
        if first.isascii() and first.isdigit() and int(first) >= 1:
            yield float(first), f"{variable}={first}"


def _quotas() -> list[float]:
    """Cores of the control group of this process and of those around it, where they have a quota."""
    try:
        return list(_read_quotas())
    except (OSError, ValueError):  # not Linux, or something that only looks like it
        return []


def _read_quotas() -> Iterator[float]:
    memberships = (_PROC / "self/cgroup").read_text(encoding="utf-8").splitlines()
    mounts = (_PROC / "self/mountinfo").read_text(encoding="utf-8").splitlines()
    groups: dict[str, str] = {}
    for membership in memberships:
        _, controllers, group = membership.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), group))  # that of version 2 has no name
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        root, mounted_at = before.split(" ")[3:5]
        kind, _, options = after.split(" ", 2)
        controller = {"cgroup": "cpu", "cgroup2": ""}.get(kind)
        if controller is None or (kind == "cgroup" and "cpu" not in options.split(",")):
            continue
        for folder in _folders(Path(_unescaped(mounted_at)), root, groups.get(controller)):
            with suppress(OSError, ValueError):  # the group that has all has no such file
                quota, period = _read_quota(folder, kind)
                if quota > 0 and period > 0:
                    yield quota / period


def _folders(mounted_at: Path, root: str, group: str | None) -> Iterator[Path]:
    """Folder of a group and those of the groups around it, as far as they can be seen from here.

    In a container the mount begins at the group of the container, and the path of the group may be that of
    the host; then the mount itself is the group.
    """
    if group is None:
        return
    path = PurePosixPath(group)
    inside = path.relative_to(root) if path.is_relative_to(root) else PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    yield from (mounted_at / part for part in (inside, *inside.parents))


def _read_quota(folder: Path, kind: str) -> tuple[float, float]:
    """Microseconds of a core in every period of so many microseconds; no quota is `max` or -1."""
    if kind == "cgroup2":
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return float("nan") if quota == "max" else float(quota), float(period)
    texts = [(folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")]
    return float(texts[0]), float(texts[1])


def _unescaped(text: str) -> str:
    """A path of mountinfo, where spaces and backslashes are octal."""
    return text.encode("ascii", "backslashreplace").decode("unicode_escape") if "\\" in text else text
