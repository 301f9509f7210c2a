"""What CUDA would refuse, or a graph would keep that must change, found on a CPU (`pretended_gpu`).

All that `space` names is trained: every front end, with the values of the other axes in turn. Each fold makes
a step alone, all make one at once, which is captured, and what was captured is what a step of another epoch
does, with other rows, rates and random numbers. Front ends are cut off behind their last kind of layer, since
a layer that comes again shows nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretended_gpu import PretendedGpu, Trace, difference
from torch import Tensor
from training_samples import CPU, HIERARCHY, NO_CACHE, Case, development, run_epochs

import space
from search.data.dataset import Development
from search.data.folds import Fold, cv_folds
from search.data.signals.leads import LEADS
from search.models.frontends.layers import Layers
from search.training import device
from search.training.batches import LeadStatistics
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.gan.records import SyntheticRecords
from search.training.gan.settings import GanSettings
from search.training.gan.wgan import synthesise
from search.training.initial_weights import InitialWeights
from search.training.lockstep import Graph, Lockstep, Step, Together
from search.training.model_file import load_model
from search.training.settings import TrainingSettings
from search.training.soft_targets import SoftTargets
from search.training.trainer import CrossValidation
from space import Architecture, RecurrentLayer
from storage import EpochRecord

DEVICE = torch.device("cuda")
SMALL = Architecture(width=0.0625, head_width=8, label_tier="superclass")
SETTINGS = TrainingSettings(epochs=4, batch_size=8)
FOLDS = (1, 5)
"""Their training parts differ in size."""
N_ROWS = 8
"""Records of a step."""
N_SAMPLES = 32


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with PretendedGpu()() as gpu:
        yield gpu


# ---------------------------------------------------------------------------------------------------------
# What the pretended GPU finds


def captured(gpu: PretendedGpu, step: Callable[[], object], *known: torch.Generator) -> Trace:
    """What a graph of the step holds."""
    graph = torch.cuda.CUDAGraph()
    for generator in known:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        step()
    return graph.trace  # type: ignore[attr-defined,no-any-return]


def on_gpu(*shape: int) -> Tensor:
    return torch.ones(shape, device="cuda")


SYNCHRONISING = {
    "a number": lambda: on_gpu(1).item(),
    "a condition": lambda: bool(on_gpu(1) > 0),
    "places": lambda: on_gpu(3).nonzero(),
    "a mask": lambda: on_gpu(3)[on_gpu(3) > 0],
    "a list": lambda: on_gpu(3).tolist(),
    "a copy to the CPU": lambda: on_gpu(3).cpu(),
    "a copy to the GPU": lambda: torch.ones(3).to("cuda"),
    "a tensor of numbers": lambda: torch.tensor([1.0, 2.0], device="cuda"),
}


@pytest.mark.parametrize("step", SYNCHRONISING.values(), ids=SYNCHRONISING)
def test_what_waits_for_the_device_is_a_fault_in_a_graph(
    step: Callable[[], object], gpu: PretendedGpu
) -> None:
    step()
    assert gpu.faults == []
    assert gpu.n_synchronised.total()
    captured(gpu, step)
    assert any("waits for the device" in fault for fault in gpu.faults)


def test_random_numbers_of_another_generator_are_a_fault_in_a_graph(gpu: PretendedGpu) -> None:
    known, other = torch.Generator("cuda"), torch.Generator("cuda")
    captured(gpu, lambda: on_gpu(3).uniform_(generator=known), known)
    assert gpu.faults == []
    captured(gpu, lambda: on_gpu(3).uniform_(generator=other), known)
    captured(gpu, lambda: on_gpu(3).uniform_(), known)
    assert [fault.partition(" (")[0] for fault in gpu.faults] == [
        "numbers are drawn from a generator that the graph does not know",
        "aten.uniform_.default draws from the default generator",
    ]


def test_tensors_of_two_devices_do_not_meet(gpu: PretendedGpu) -> None:
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        on_gpu(3) + torch.ones(3)
    with pytest.raises(RuntimeError, match="Expected another device type for generator"):
        on_gpu(3).uniform_(generator=torch.Generator())
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        on_gpu(3).numpy()
    assert torch.arange(3, device=on_gpu(1).device).is_cuda
    assert not torch.arange(3).is_cuda


def test_a_step_that_does_not_repeat_itself_is_told_from_its_graph(gpu: PretendedGpu) -> None:
    x, y = on_gpu(3), on_gpu(3)

    def step(factor: float, n: int = 3, other: Tensor = y) -> None:
        (x[:n] * factor).add_(other[:n])

    graph = captured(gpu, lambda: step(2.0))
    for again, expected in [
        (lambda: step(2.0), None),
        (lambda: step(3.0), "aten.mul.Tensor"),
        (lambda: step(2.0, n=2), "aten.slice.Tensor"),
        (lambda: step(2.0, other=on_gpu(3)), "aten.ones.default"),
    ]:
        with gpu.traced() as trace:
            again()
        found = difference(graph, trace)
        assert (found is None) == (expected is None)
        assert expected is None or expected in str(found)
    elsewhere = on_gpu(3)
    with gpu.traced() as trace:
        step(2.0, other=elsewhere)
    assert difference(graph, trace) is not None  # a tensor at another place


def test_autocast_follows_the_lists_of_cuda(gpu: PretendedGpu) -> None:
    x, half = on_gpu(2, 3), on_gpu(2, 3).bfloat16()
    with device.autocast(DEVICE):
        assert (x @ x.T).dtype == torch.bfloat16
        assert torch.nn.functional.layer_norm(half, (3,)).dtype == torch.float32
        assert torch.addcmul(x, half, half).dtype == torch.float32
        assert (half * half).dtype == torch.bfloat16
        assert (torch.ones(2, 3) @ torch.ones(3, 2)).dtype == torch.float32
        torch.nn.LSTM(3, 4).to(DEVICE)(x)
    assert [fault.partition(" (")[0] for fault in gpu.faults] == [
        "cuDNN computes recurrent layers in float16 under autocast"
    ]
    with pytest.raises(RuntimeError):
        torch.bmm(half[None], x.T[None])


# ---------------------------------------------------------------------------------------------------------
# Everything that can be named


def kind(layer: Any) -> object:
    """What a layer does, however wide it is."""
    if isinstance(layer, tuple):
        return tuple(kind(each) for each in layer)
    if is_dataclass(layer):
        return type(layer), tuple(kind(getattr(layer, field.name)) for field in fields(layer))
    # Of numbers counts whether they are none, one, even or odd.
    is_number = isinstance(layer, int) and not isinstance(layer, bool)
    return (min(layer, 2) + layer % 2) if is_number else str(layer)


def shortened(make: space.Code, *arguments: Any, **options: Any) -> Layers:
    """The layers of a front end until all kinds have come."""
    layers: Layers = space.load_code(make)(*arguments, **options)
    seen: set[object] = set()
    last = 0
    for number, layer in enumerate(layers, start=1):
        if kind(layer) not in seen:
            seen.add(kind(layer))
            last = number
    return layers[:last]


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for hand-crafted features, which are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def short_front_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, entry in space.FRONT_ENDS.items():
        layers = partial(shortened, entry.layers)
        monkeypatch.setitem(space.FRONT_ENDS.data, name, replace(entry, layers=layers))


NOT_IN_A_STEP = (
    *("width", "kernel", "stride", "hidden_size", "head_width"),  # sizes
    *(name for name, each in space.AXES.items() if each.of == "loss"),  # numbers
    "filter",  # is done before
    "synthetic",  # has a test of its own: a GAN comes first
    *("teacher_weight", "temperature", "init", "frozen"),  # of what a study has made before
)
"""Axes that leave a step as it is, or have other tests."""


def architectures() -> dict[str, Architecture]:
    """One for every front end, with the values of other axes in turn: every value at least once."""
    values = {name: each for name, each in space.SPACES["full"].items() if name not in NOT_IN_A_STEP}
    for name in (*space.STACK, "backbone"):
        del values[name]
    of_losses = {name: each.paper[0] for name, each in space.AXES.items() if each.of == "loss"}
    values |= {
        "recipe": tuple(space.RECIPES),
        "leads": (space.ALL_LEADS, "limb"),
        "lead_dropout": (0.0, 0.3, 0.5),
        "teacher": (space.NO_MODEL, "taught"),
        "label_tier": tuple(tier for tier in HIERARCHY.tiers if len(HIERARCHY.classes(tier)) > 1),
    }
    layers = [
        RecurrentLayer(cell=cell, bidirectional=two) for cell, two in product(space.CELLS, (False, True))
    ]
    stacks = [(), *((layer,) for layer in layers), tuple(layers[:2])]
    found = {}
    longest = max(len(space.FRONT_ENDS), *map(len, values.values()), len(stacks))
    backbones = [*space.FRONT_ENDS] * longest
    for number in range(longest):
        # Shifted from round to round, so that not always the same values come together.
        chosen: dict[str, Any] = of_losses | {
            name: options[(number + shift * (number // len(options))) % len(options)]
            for shift, (name, options) in enumerate(values.items())
        }
        name = backbones[number] + (f" {number}" if number >= len(space.FRONT_ENDS) else "")
        stack = stacks[number % len(stacks)]
        found[name] = replace(SMALL, backbone=backbones[number], recurrent=stack, hidden_size=6, **chosen)
    return found


ARCHITECTURES = architectures()


def taught(case: Case) -> SoftTargets:
    """A teacher that gives every class the same chance, by fold."""
    train = {fold.number: case.data.ecg_id[fold.train] for fold in case.folds}
    return SoftTargets(
        name="taught",
        ecg_id=train,
        probabilities={
            number: {
                tier: np.full((len(ids), len(HIERARCHY.classes(tier))), 0.3, np.float32)
                for tier in HIERARCHY.tiers
            }
            for number, ids in train.items()
        },
    )


def sample(cache_dir: Path = NO_CACHE, initial: dict[str, InitialWeights] | None = None) -> Case:
    """Records on the pretended GPU."""
    case = on_a_cpu()
    on_gpu = DeviceData(
        case.data, DEVICE, cache_dir=cache_dir, teachers={"taught": taught(case)}, initial=initial
    )
    return replace(case, on_device=on_gpu)


def on_a_cpu() -> Case:
    data = development(n_records=45, n_samples=N_SAMPLES)
    return Case(data=data, on_device=DeviceData(data, CPU, cache_dir=NO_CACHE), folds=folds_of(data))


def folds_of(data: Development) -> tuple[Fold, ...]:
    return cv_folds(data.strat_fold, data.fold_plan)


def check_steps(gpu: PretendedGpu, folds: Sequence[FoldTraining]) -> None:
    """Steps alone and of all folds, of which one is captured, and one of another epoch is the same."""
    rate = torch.tensor(1e-3, device=DEVICE)
    rows = [fold.begin_epoch()[0][:N_ROWS] for fold in folds]
    for fold, some in zip(folds, rows, strict=True):
        assert Step([fold])([some], [rate]).isfinite().all()
    assert np.isfinite(folds[0].predict()).all()
    step = Step(folds)
    graph = Graph(step, folds, N_ROWS, (0, 1))
    assert gpu.faults == []
    for fold in folds:
        fold.epochs_done += 1
    graph([fold.begin_epoch()[0][:N_ROWS] for fold in folds], [2 * rate for _ in folds])
    # Private: a graph is the driver's, and shows nothing of what it holds.
    with gpu.traced() as trace:
        step(graph._rows_FB.unbind(), graph._rates_F.unbind())
    assert difference(graph._graph.trace, trace) is None


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
@pytest.mark.usefixtures("short_front_ends")
def test_a_graph_holds_the_steps_of(architecture: Architecture, gpu: PretendedGpu, cache_dir: Path) -> None:
    case = sample(cache_dir)
    folds = [case.start(architecture, number, SETTINGS) for number in FOLDS]
    check_steps(gpu, folds)


def test_every_value_of_every_axis_is_among_them() -> None:
    for name, values in {**space.SPACES["full"], "recipe": tuple(space.RECIPES)}.items():
        if name in NOT_IN_A_STEP or name in space.STACK:
            continue
        assert set(values) <= {each.value(name) for each in ARCHITECTURES.values()}, name
    layers = {layer for each in ARCHITECTURES.values() for layer in each.recurrent}
    assert {(layer.cell, layer.bidirectional) for layer in layers} == set(product(space.CELLS, (False, True)))
    assert any(len(each.recurrent) > 1 for each in ARCHITECTURES.values())
    assert any(each.lead_dropout for each in ARCHITECTURES.values())
    assert {HIERARCHY.is_exclusive(each.label_tier) for each in ARCHITECTURES.values()} == {False, True}


@pytest.mark.slow
def test_a_graph_holds_steps_with_frozen_weights_and_synthetic_records(gpu: PretendedGpu) -> None:
    """Weights of a model of another study, and records that no GAN has made."""
    kept = load_model(untrained(SMALL))
    initial = InitialWeights(name="begun", read={number: lambda: kept for number in FOLDS}, trained_on=None)
    case = sample(initial={"begun": initial})
    architecture = replace(SMALL, init="begun", frozen=True, teacher="taught", lead_dropout=0.3)
    folds = [case.start(architecture, number, SETTINGS) for number in FOLDS]
    made = SyntheticRecords(
        x_MLT=torch.from_numpy(case.data.x_NLT[:8].copy()).to(DEVICE),
        y_MC=torch.from_numpy(case.data.y["superclass"][:8].astype(np.float32)).to(DEVICE),
        seconds=0.0,
    )
    for fold in folds:
        # Private: synthetic records that no GAN has been trained for.
        fold._material = replace(fold._material, synthetic=made, synthetic_share=0.25)
    check_steps(gpu, folds)
    for fold in folds:
        expected, found = kept.model.state_dict(), fold.model.state_dict()
        is_kept = {name: torch.equal(found[name].cpu(), weight) for name, weight in expected.items()}
        assert all(is_kept[f"blocks.{name}"] for name, _ in fold.model.blocks.named_parameters())
        assert not is_kept["head.0.dense.weight"]


def untrained(architecture: Architecture) -> bytes:
    """The file of a model as it is drawn."""
    case = on_a_cpu()
    return case.start(architecture).packed(case.data)


@pytest.mark.slow
def test_no_step_waits_for_the_device_even_without_a_graph(
    gpu: PretendedGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a study that is taught and begun by others, and scored by the group that is served worst."""
    small = replace(SMALL, backbone="fcn-wang", width=0.03125)
    kept = load_model(untrained(small))
    initial = InitialWeights(name="begun", read={n: lambda: kept for n in range(1, 6)}, trained_on=None)
    case = on_a_cpu()
    sex_N = (np.arange(len(case.data)) % 2).astype(np.float32)
    trainer = CrossValidation(
        replace(case.data, sex=sex_N),
        "superclass",
        TrainingSettings(epochs=4, batch_size=16),
        device=DEVICE,
        n_threads=1,
        cache_dir=NO_CACHE,
        teachers={"taught": taught(case)},
        initial={"begun": initial},
        objective="worst-group",
    )
    assert (trainer.n_parallel, trainer.n_together) == (5, 5)
    architecture = replace(small, init="begun", teacher="taught", sampling="square-root", lead_dropout=0.3)
    runs = [trainer.start(architecture, number) for number in range(1, 6)]
    group = trainer.group(runs)
    sizes: list[int] = []
    step = Step.__call__

    def watch(self: Step, rows: Sequence[Tensor], rates: Sequence[Tensor]) -> Tensor:
        before = gpu.n_synchronised.copy()
        losses_F = step(self, rows, rates)
        assert gpu.n_synchronised == before
        sizes.append(len(rows))
        return losses_F

    monkeypatch.setattr(Step, "__call__", watch)
    assert all(isinstance(event, EpochRecord) for event in group.run_epoch())
    assert set(sizes) == {1, 5}
    assert gpu.n_synchronised.total()  # at the end of an epoch
    assert group.take_notes() == ()
    runs[0].save(tmp_path / "checkpoint")
    runs[0].restore(tmp_path / "checkpoint")
    assert np.isfinite(runs[0].outcome().predictions.probabilities_NC).all()


@pytest.mark.slow
def test_a_gan_is_trained_on_the_gpu(gpu: PretendedGpu) -> None:
    case = sample()
    rows = case.folds[0].train
    y_NC = np.ones((len(case.data), 3), np.float32)
    y_NC[rows[10:], 0] = 0  # a class is rare
    x_NLT = torch.from_numpy(case.data.x_NLT.copy()).to(DEVICE)
    made = synthesise(
        x_NLT,
        torch.from_numpy(y_NC).to(DEVICE),
        torch.from_numpy(rows).to(DEVICE),
        LeadStatistics.of(x_NLT, rows),
        leads=LEADS,
        rate_hz=100,
        seed=0,
        fold=1,
        settings=GanSettings(n_steps=2, n_critic=1, n_records=8),
    )
    assert len(made) == 8
    assert made.x_MLT.is_cuda
    assert made.y_MC.is_cuda


@pytest.mark.slow
def test_losses_are_those_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, with the numbers that a processor draws: what is for a GPU alone computes the same."""
    monkeypatch.setattr(device, "has_fast_bfloat16", lambda device: False)
    architecture = replace(SMALL, gate=4, pooling="attention", label_smoothing=0.1)
    on_cpu = on_a_cpu()
    folds = [on_cpu.start(architecture, number, SETTINGS) for number in FOLDS]
    expected = run_epochs(Lockstep(folds, Together(lockstep=True)), 1)
    with PretendedGpu()():
        case = sample()
        folds = [case.start(architecture, number, SETTINGS) for number in FOLDS]
        found = run_epochs(Lockstep(folds, Together.on(DEVICE)), 1)
    # Five steps whose sums are in another order.
    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-4)
