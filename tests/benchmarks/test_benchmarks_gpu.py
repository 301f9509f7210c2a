"""The benchmark of GPUs: what it says of what it has measured, and the ways that it measures."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_samples import CPU, development

from benchmarks.gpu import gpu
from benchmarks.gpu.gpu import FULL, N_TRIALS, QUICK, Measured, body
from benchmarks.gpu.helpers.gpu_records import many_records
from benchmarks.gpu.helpers.gpu_slice import Slice, Sliced, extrapolated_minutes
from benchmarks.gpu.helpers.gpu_ways import WAYS, Speed, measure_way
from search.study.worker import TooManyFailuresError
from search.training.settings import TrainingSettings
from space import Architecture

SLICE = Slice(n_records=90, n_trials=12, epochs=30, batch_size=16, device="cpu", workers=1, seconds=300.0)
SLICED = Sliced(seconds=120.0, n_trials=12, n_pruned=7, share_trained=0.4)


def test_two_hundred_trials_from_twelve() -> None:
    """Ten seconds a trial; had none been pruned, each would have taken 2.5 times as long."""
    assert extrapolated_minutes(SLICED, N_TRIALS) == pytest.approx((100 / 3, 250 / 3))


def test_ratios_are_to_the_reference() -> None:
    speeds = {
        (name, way): Speed(seconds=12.0 if way.startswith("reference") else 3.0, memory_bytes=2**30)
        for name in QUICK.architectures
        for way in QUICK.ways
    }
    note = "training goes on without CUDA graphs: a reason"
    speeds["small", "fused, graph"] = Speed(seconds=3.0, memory_bytes=2**30, notes=(note,))
    text = body(Measured(size=QUICK, device="a GPU", speeds=speeds, slices=[(SLICE, SLICED)]))
    assert text.count("3.000 s (4.00 ×, 1.0 GiB)") == 5
    assert f"- small, fused, graph: {note}." in text
    assert "| 1 | 12 | 7 | 40% | 120 | 33 min | 83 min |" in text
    assert set(FULL.ways) == set(WAYS)


def test_what_is_missing_has_its_reason() -> None:
    """Without the reference there are no ratios; a slice that failed keeps its row."""
    measured = Measured(
        size=QUICK,
        device="a GPU",
        speeds={("small", "fused"): Speed(seconds=3.0, memory_bytes=2**30)},
        problems={("small", "reference fp32"): "OutOfMemoryError: no room"},
        slices=[(SLICE, "no trial ended within 300 s")],
    )
    text = body(measured)
    assert "| see below | – | 3.000 s (– ×, 1.0 GiB) | – | – | – | – |" in text
    assert "- small, reference fp32: OutOfMemoryError: no room." in text
    assert "| 1: no trial ended within 300 s | – | – | – | – | – | – |" in text


class Scripted:
    """Stands for the process that measures."""

    def __init__(self, size: object, device: str) -> None: ...

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_: object) -> None: ...

    def measure(self, name: str, way: str, seconds: float) -> Speed | str:
        if way == "fused":
            return "RuntimeError: CUDA error: an illegal memory access was encountered"
        return Speed(seconds=1.0, memory_bytes=0)


def test_what_was_measured_is_written_though_something_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(chosen: Slice) -> Sliced:
        sections.append((tmp_path / "RESULTS.md").read_text())
        raise TooManyFailuresError("5 trials in a row failed")

    sections: list[str] = []
    monkeypatch.setattr(gpu, "Measuring", Scripted)
    monkeypatch.setattr(gpu, "measure_slice", fail)
    arguments = ["--device", "cpu", "--architectures", "small;cnn", "--ways", "serial; fused"]
    assert gpu.main([*arguments, "--out", str(tmp_path / "RESULTS.md")]) == 0
    (before,) = sections
    assert before.count("1.000 s (– ×, 0.0 GiB)") == 2
    assert "- cnn, fused: RuntimeError: CUDA error" in before
    after = (tmp_path / "RESULTS.md").read_text()
    assert "TooManyFailuresError: 5 trials in a row failed" in after
    assert "--ways 'serial; fused'" in after
    out = capsys.readouterr().out.splitlines()
    assert out[1:6] == [
        "small, serial: 1.000 s an epoch",
        "cnn, serial: 1.000 s an epoch",
        "small, fused: RuntimeError: CUDA error: an illegal memory access was encountered",
        "cnn, fused: RuntimeError: CUDA error: an illegal memory access was encountered",
        "6 trials by 1 workers: TooManyFailuresError: 5 trials in a row failed",
    ]


def test_when_the_time_is_up_the_rest_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "Measuring", Scripted)
    assert gpu.main(["--quick", "--device", "cpu", "--no-slices", "--budget", "1", "--ways", "serial"]) == 0
    monkeypatch.setattr(gpu.time, "monotonic", itertools.count(step=100.0).__next__)
    assert gpu.main(["--quick", "--device", "cpu", "--no-slices", "--budget", "1", "--ways", "serial"]) == 1
    assert "small, serial: the time was up" in capsys.readouterr().out


def test_names_that_are_not_known_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["--ways", "serial; parallel"])
    assert "argument --ways: unknown 'parallel': choose from reference fp32; fused" in capsys.readouterr().err


@pytest.mark.slow
def test_a_process_that_measures_is_replaced_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = replace(QUICK, n_records=45)
    with gpu.Measuring(tiny, "cpu") as measuring:
        assert isinstance(measuring.measure("small", "serial", 100.0), Speed)
        # Private: the process that measures, to be killed.
        first = measuring._process
        assert (
            measuring.measure("no such architecture", "serial", 100.0) == "KeyError: 'no such architecture'"
        )
        assert first is not None
        assert not first.is_alive()
        assert measuring.measure("small", "serial", 0.01) == "not done within 0 s"
        assert isinstance(measuring.measure("small", "serial", 100.0), Speed)
        assert measuring._process is not None
        measuring._process.kill()
        measuring._process.join()
        assert measuring.measure("small", "serial", 100.0) == "its process died"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["serial", "fused, graph"])
def test_a_way_is_measured(way: str) -> None:
    settings = TrainingSettings(epochs=2, batch_size=16)
    tiny = Architecture(width=0.0625, head_width=8, label_tier="superclass")
    speed = measure_way(development(), "superclass", tiny, settings, way=WAYS[way], device=CPU)
    assert 0 < speed.seconds < 100
    assert speed.memory_bytes == 0
    assert torch.get_num_threads() >= 1


@pytest.mark.slow
def test_many_records_are_the_same_every_time() -> None:
    first, second = many_records(600), many_records(600)
    assert np.array_equal(first.x_NLT, second.x_NLT)
    assert len(first) == len(set(first.patient_id.tolist())) == 600
