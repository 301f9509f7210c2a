"""The benchmark of workers starts them as a user does, on the cores it says."""

import os
from pathlib import Path

import pytest

from benchmarks.training import workers
from benchmarks.training.workers import Setting, body, trials_per_hour
from search.data.demo import write_demo

CORES = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []


def test_ratios_are_of_runs_in_turn() -> None:
    text = body({Setting(1, 1): [100.0, 90.0, 80.0], Setting(2, 2): [150.0, 180.0, 136.0]})
    assert "| 1 worker on 1 core | 90 [80, 100] | 1.00 [1.00, 1.00] |" in text
    assert "| 2 workers on 2 cores | 150 [136, 180] | 1.70 [1.50, 2.00] |" in text


@pytest.mark.slow
@pytest.mark.skipif(not CORES, reason="only Linux keeps a process to some of the cores")
def test_trials_are_counted_by_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PRESETS", ("mingru", "tcn"))
    monkeypatch.setattr(workers, "N_EPOCHS", 1)
    write_demo(tmp_path / "demo", n_records=40)
    found = trials_per_hour(Setting(len(CORES), len(CORES)), CORES, tmp_path / "demo", tmp_path / "runs")
    assert 10 < found < 36_000
