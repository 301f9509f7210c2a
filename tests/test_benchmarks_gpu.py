"""The benchmark of GPUs: what it says of what it has measured, and the ways that it measures."""

import numpy as np
import pytest
import torch
from training_samples import CPU, development

from benchmarks.gpu import FULL, N_TRIALS, QUICK, Measured, body
from benchmarks.gpu_records import many_records
from benchmarks.gpu_slice import Slice, Sliced, extrapolated_minutes
from benchmarks.gpu_ways import WAYS, Speed, measure_way
from search.training.settings import TrainingSettings
from space import Architecture

SLICE = Slice(n_records=90, n_trials=12, epochs=30, batch_size=16, device="cpu", workers=1)
SLICED = Sliced(seconds=120.0, n_pruned=7, share_trained=0.4)


def test_two_hundred_trials_from_twelve() -> None:
    """Ten seconds a trial; had none been pruned, each would have taken 2.5 times as long."""
    assert extrapolated_minutes(SLICED, SLICE, N_TRIALS) == pytest.approx((100 / 3, 250 / 3))


def test_ratios_are_to_the_reference() -> None:
    speeds = {
        (name, way): Speed(seconds=12.0 if way.startswith("reference") else 3.0, memory_bytes=2**30)
        for name in QUICK.architectures
        for way in QUICK.ways
    }
    problems = {("small", "fused, graph"): "training goes on without CUDA graphs: a reason"}
    text = body(
        Measured(size=QUICK, device="a GPU", speeds=speeds, problems=problems, slices=[(SLICE, SLICED)])
    )
    assert text.count("3.000 s (4.00 ×, 1.0 GiB)") == 5
    assert "- small, fused, graph: training goes on without CUDA graphs: a reason." in text
    assert "| 1 | 12 | 7 | 40% | 120 | 33 min | 83 min |" in text
    assert set(FULL.ways) == set(WAYS)


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
