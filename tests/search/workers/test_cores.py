"""Cores that may be used: the fewest of affinity, quotas of control groups and the environment."""

from pathlib import Path

import pytest

from search import cores
from search.cores import VARIABLES, available_cores, why_not_all_cores

V1_MOUNT = "33 31 0:30 {root} {folder} rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct"
V2_MOUNT = "41 31 0:38 {root} {folder} rw,relatime - cgroup2 cgroup2 rw,nsdelegate"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of 64 cores without control groups; its /proc."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    # Private: /proc of another machine.
    monkeypatch.setattr(cores, "_PROC", proc)
    monkeypatch.setattr(cores, "cores_of_the_kernel", lambda: 64)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return proc


def group_files(folder: Path, quotas: dict[str, str]) -> None:
    """`cpu.max` of version 2 as `quota period`, of version 1 the two files."""
    for group, content in quotas.items():
        place = folder / group
        place.mkdir(parents=True, exist_ok=True)
        if folder.name == "v2":
            (place / "cpu.max").write_text(f"{content}\n")
        else:
            quota, period = content.split()
            (place / "cpu.cfs_quota_us").write_text(f"{quota}\n")
            (place / "cpu.cfs_period_us").write_text(f"{period}\n")


def test_without_control_groups_the_kernel_decides() -> None:
    assert available_cores() == 64


def test_without_proc_the_kernel_decides(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Private: /proc of another machine.
    monkeypatch.setattr(cores, "_PROC", machine / "nowhere")
    assert available_cores() == 64


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"": "max 100000"}, 64),
        ({"": "200000 100000"}, 2),
        ({"job/step": "max 100000", "job": "300000 100000"}, 3),  # the group around has the quota
        ({"job/step": "400000 100000", "job": "300000 100000"}, 3),
        ({"job/step": "50000 100000"}, 1),  # half a core
        ({"job/step": "150000 100000"}, 2),
        ({"job/step": "140000 100000"}, 1),
        ({"job/step": "6400000 50000"}, 64),  # more than there are
        ({"job/step": "nonsense"}, 64),
    ],
)
def test_quota_of_version_2(machine: Path, tmp_path: Path, quotas: dict[str, str], expected: int) -> None:
    (machine / "self/cgroup").write_text("0::/job/step\n")
    (machine / "self/mountinfo").write_text(V2_MOUNT.format(root="/", folder=tmp_path / "v2") + "\n")
    group_files(tmp_path / "v2", quotas)
    assert available_cores() == expected


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"": "-1 100000"}, 64),
        ({"job": "250000 50000"}, 5),
        ({"": "700000 100000", "job": "-1 100000"}, 7),
        ({"job": "0 0"}, 64),
    ],
)
def test_quota_of_version_1(machine: Path, tmp_path: Path, quotas: dict[str, str], expected: int) -> None:
    (machine / "self/cgroup").write_text("4:memory:/other\n2:cpu,cpuacct:/job\n0::/\n")
    (machine / "self/mountinfo").write_text(V1_MOUNT.format(root="/", folder=tmp_path / "v1") + "\n")
    group_files(tmp_path / "v1", quotas)
    assert available_cores() == expected


@pytest.mark.parametrize("root", ["/docker/abc", "/"])
def test_a_container_sees_its_own_group_only(machine: Path, tmp_path: Path, root: str) -> None:
    """The path of the group is the host's, and its files are where the mount begins."""
    (machine / "self/cgroup").write_text("2:cpu,cpuacct:/docker/abc\n")
    (machine / "self/mountinfo").write_text(V1_MOUNT.format(root=root, folder=tmp_path / "v1") + "\n")
    group_files(tmp_path / "v1", {"": "200000 100000"})
    assert available_cores() == 2


def test_a_group_above_the_mount_is_not_looked_for(machine: Path, tmp_path: Path) -> None:
    (machine / "self/cgroup").write_text("0::/../outside\n")
    (machine / "self/mountinfo").write_text(V2_MOUNT.format(root="/", folder=tmp_path / "v2") + "\n")
    group_files(tmp_path / "v2", {"": "200000 100000"})
    group_files(tmp_path / "outside", {"": "100000 100000"})
    assert available_cores() == 2


def test_a_mount_point_with_a_space(machine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my groups" / "v2"
    (machine / "self/cgroup").write_text("0::/\n")
    written = V2_MOUNT.format(root="/", folder=str(folder).replace(" ", "\\040"))
    (machine / "self/mountinfo").write_text(written + "\n")
    group_files(folder, {"": "500000 100000"})
    assert available_cores() == 5


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("OMP_NUM_THREADS", "3", 3),
        ("OMP_NUM_THREADS", "4,2", 4),
        ("OMP_NUM_THREADS", "", 64),
        ("OMP_NUM_THREADS", "0", 64),
        ("OMP_NUM_THREADS", "-2", 64),
        ("OMP_NUM_THREADS", "many", 64),
        ("OMP_NUM_THREADS", "100", 64),
        ("SLURM_CPUS_PER_TASK", "6", 6),
        ("NSLOTS", "7", 7),
    ],
)
def test_what_the_environment_says(
    variable: str, value: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert available_cores() == expected


def test_what_leaves_cores_unused_is_said(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why_not_all_cores() is None
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert why_not_all_cores() == "1 of 64 cores are used: OMP_NUM_THREADS=1"
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert why_not_all_cores() is None
    (machine / "self/cgroup").write_text("0::/\n")
    (machine / "self/mountinfo").write_text(V2_MOUNT.format(root="/", folder=tmp_path / "v2") + "\n")
    group_files(tmp_path / "v2", {"": "150000 100000"})
    assert why_not_all_cores() == "2 of 64 cores are used: the quota of the control group is 1.5"


def test_the_fewest_count(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "self/cgroup").write_text("0::/\n")
    (machine / "self/mountinfo").write_text(V2_MOUNT.format(root="/", folder=tmp_path / "v2") + "\n")
    group_files(tmp_path / "v2", {"": "800000 100000"})
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    monkeypatch.setenv("OMP_NUM_THREADS", "12")
    assert available_cores() == 6
