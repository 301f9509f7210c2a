"""One fold of one trial: the schedule, paired batches, repeatability, divergence, predictions."""

import math
import subprocess
import sys
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_samples import CPU, HIERARCHY, NO_CACHE, TINY, Case, case, development, weights

import space
from scores.scorers import MACRO_AUPRC
from search.data.folds import cv_folds
from search.errors import TrainingError, UsageError, is_out_of_memory
from search.training import device, inference
from search.training.batches import Batch, n_batches
from search.training.device import (
    autocast,
    choose_device,
    device_label,
    has_fast_bfloat16,
    why_no_gpu,
)
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.gan.records import SyntheticRecords
from search.training.schedule import Plan, one_cycle
from search.training.settings import TrainingSettings, automatic_batch_size
from search.training.trainer import CrossValidation
from space import Architecture

PLAIN_CNN = Architecture(width=0.09375, head_width=16, label_tier="superclass")


@pytest.fixture(scope="module")
def tiny() -> Case:
    return case()


def train(training: FoldTraining, n_epochs: int = 4) -> list[float]:
    return [training.run_epoch()[0] for _ in range(n_epochs)]


# ---------------------------------------------------------------------------------------------------------
# Learning-rate schedule


@pytest.mark.slow
@given(st.integers(7, 400), st.floats(1e-5, 1))
def test_schedule_equals_pytorchs_one_cycle(n_steps: int, peak: float) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([parameter], lr=peak)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=peak, total_steps=n_steps)
    for step in range(n_steps):
        assert one_cycle(step, n_steps, peak) == pytest.approx(reference.get_last_lr()[0], rel=1e-9)
        optimiser.step()
        if step < n_steps - 1:
            reference.step()


@given(st.integers(1, 6), st.floats(1e-5, 1))
def test_very_short_schedules_stay_within_bounds(n_steps: int, peak: float) -> None:
    rates = [one_cycle(step, n_steps, peak) for step in range(n_steps)]
    assert all(peak / 250_000 * (1 - 1e-9) <= rate <= peak * (1 + 1e-9) for rate in rates)


def test_every_step_of_a_fold_follows_the_schedule(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainingSettings(epochs=3, batch_size=16, learning_rate=0.01)
    training = tiny.start(PLAIN_CNN, settings=settings)
    seen: list[float] = []
    # Private: rates as they reach the optimiser.
    step = training._optimiser.step
    monkeypatch.setattr(
        training._optimiser,
        "step",
        lambda: (seen.append(training._optimiser.param_groups[0]["lr"]), step())[1],
    )
    train(training, 3)
    n_steps = 3 * n_batches(len(training.fold.train), 16)
    assert seen == [one_cycle(number, n_steps, 0.01) for number in range(n_steps)]


# ---------------------------------------------------------------------------------------------------------
# Repeatability


@pytest.mark.slow
def test_two_runs_with_the_same_seed_are_identical(tiny: Case) -> None:
    first, second = tiny.start(), tiny.start()
    assert train(first) == train(second)
    assert np.array_equal(first.predict(), second.predict())
    expected = weights(first)
    assert all(torch.equal(value, expected[name]) for name, value in weights(second).items())


def test_folds_trained_in_turns_do_not_disturb_each_other(tiny: Case) -> None:
    alone = tiny.start(fold=2)
    expected = train(alone, 2)
    first, second = tiny.start(fold=1), tiny.start(fold=2)
    losses = []
    for _ in range(2):
        train(first, 1)
        torch.rand(3)  # whatever draws from the global generator must not matter
        losses += train(second, 1)
    assert losses == expected
    assert np.array_equal(alone.predict(), second.predict())


@pytest.mark.slow
def test_another_process_gets_the_same_result(tiny: Case) -> None:
    program = (
        "import sys, zlib; sys.path[:0] = ['tests/helpers', '.']; import training_samples;"
        "training = training_samples.case().start(); training.run_epoch();"
        "print(zlib.crc32(training.predict().tobytes()))"
    )
    root = Path(__file__).resolve().parents[3]
    other = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=root
    )
    training = tiny.start()
    train(training, 1)
    assert int(other.stdout) == zlib.crc32(training.predict().tobytes())


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 0.02}])
def test_settings_matter(tiny: Case, change: dict[str, object]) -> None:
    settings = TrainingSettings(epochs=4, batch_size=16)
    first, second = tiny.start(settings=settings), tiny.start(settings=replace(settings, **change))
    assert train(first, 1) != train(second, 1)


@pytest.mark.parametrize(
    "change",
    [{"augmentation": "none"}, {"filter": "median"}, {"recipe": "hc-cnn-tn"}, {"loss": "balanced"}],
)
def test_what_is_searched_beside_the_model_matters(tiny: Case, change: dict[str, str]) -> None:
    assert train(tiny.start(TINY), 1) != train(tiny.start(replace(TINY, **change)), 1)


def test_training_leaves_the_global_generator_alone(tiny: Case) -> None:
    state = torch.get_rng_state()
    training = tiny.start()
    train(training, 1)
    training.predict()
    assert torch.equal(torch.get_rng_state(), state)


def batches_of(training: FoldTraining, n_epochs: int, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    seen: list[list[int]] = []
    draw = training.draw

    def note(rows: torch.Tensor) -> Batch:
        seen.append(rows.tolist())
        return draw(rows)

    monkeypatch.setattr(training, "draw", note)
    train(training, n_epochs)
    return seen


def test_all_trials_see_the_same_batches_in_the_same_order(
    tiny: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That pairs the scores of two architectures fold by fold."""
    first = batches_of(tiny.start(TINY), 2, monkeypatch)
    focal = replace(PLAIN_CNN, loss="focal", label_tier="all")
    assert batches_of(tiny.start(focal), 2, monkeypatch) == first
    per_epoch = len(first) // 2
    assert first[:per_epoch] != first[per_epoch:]
    assert batches_of(tiny.start(TINY, fold=2), 2, monkeypatch) != first


def test_an_epoch_trains_on_the_training_part_only(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    training = tiny.start()
    seen = [row for rows in batches_of(training, 1, monkeypatch) for row in rows]
    assert sorted(seen) == training.fold.train.tolist()
    assert not set(seen) & set(training.fold.validation.tolist())


def test_validation_records_do_not_influence_training() -> None:
    """Neither weights nor statistics nor class weights know them."""
    power = replace(TINY, loss="power", exponent=1.0, cap=10.0)
    data = development()
    clean = case()
    held_out = clean.folds[0].validation
    x_NLT = np.array(data.x_NLT)
    x_NLT[held_out] = 20_000
    y_NC = {tier: y.copy() for tier, y in data.y.items()}
    for y in y_NC.values():
        y[held_out] = True
    spoilt = replace(data, x_NLT=x_NLT, y=y_NC)
    spoilt_case = Case(data=spoilt, on_device=DeviceData(spoilt, CPU, cache_dir=NO_CACHE), folds=clean.folds)
    first, second = clean.start(power), spoilt_case.start(power)
    assert train(first, 2) == train(second, 2)
    expected = weights(first)
    assert all(torch.equal(value, expected[name]) for name, value in weights(second).items())


# ---------------------------------------------------------------------------------------------------------
# Hand-crafted features


@pytest.mark.slow
def test_an_architecture_with_features_trains(tmp_path: Path) -> None:
    data = development(n_samples=200)
    both = Case(
        data=data,
        on_device=DeviceData(data, CPU, cache_dir=tmp_path),
        folds=cv_folds(data.strat_fold, data.fold_plan),
    )
    training = both.start(replace(TINY, features=True))
    assert all(math.isfinite(loss) for loss in train(training, 2))
    assert np.isfinite(training.predict()).all()
    rows = torch.from_numpy(training.fold.train[:5])
    # Private: the inputs of the model.
    _, f_BK = training._material.batch(rows)
    assert f_BK is not None
    assert f_BK.shape == (5, both.data.inputs.n_features)
    assert both.start(TINY)._material.batch(rows)[1] is None


@pytest.mark.slow
def test_validation_records_do_not_influence_the_scaling_of_features(tmp_path: Path) -> None:
    data = development(n_samples=200)
    folds = cv_folds(data.strat_fold, data.fold_plan)
    x_NLT = np.array(data.x_NLT)
    x_NLT[folds[0].validation] *= 3
    spoilt = replace(data, x_NLT=x_NLT)
    wanting = replace(TINY, features=True)
    seen = []
    for name, one in (("clean", data), ("spoilt", spoilt)):
        on_device = DeviceData(one, CPU, cache_dir=tmp_path / name)
        material = on_device.material(wanting, folds[0], folds[0].train, seed=0)
        assert material.f_NK is not None
        seen.append(material.f_NK)
    train_rows, validation_rows = folds[0].train, folds[0].validation
    assert torch.equal(seen[0][train_rows], seen[1][train_rows])
    assert not torch.equal(seen[0][validation_rows], seen[1][validation_rows])


def test_features_of_synthetic_records_are_missing(tiny: Case) -> None:
    # Private: a batch with records that no GAN was trained for.
    material = tiny.start()._material
    synthetic = SyntheticRecords(x_MLT=material.x_NLT[:4], y_MC=material.y_NC[:4], seconds=0.0)
    f_NK = torch.arange(2.0 * len(tiny.data)).reshape(-1, 2)
    mixed = replace(material, f_NK=f_NK, synthetic=synthetic, synthetic_share=0.5)
    rows = torch.tensor([7, 3])
    batch = mixed.training_batch(rows, torch.Generator().manual_seed(0))
    assert batch.f_BK is not None
    assert len(batch.x_BLT) == len(batch.f_BK) == len(batch.y_BC) == 4
    assert batch.f_BK.tolist() == [*f_NK[rows].tolist(), [0, 1], [0, 1]]


# ---------------------------------------------------------------------------------------------------------
# What comes out


def test_predictions_are_probabilities_of_the_validation_part(tiny: Case) -> None:
    training = tiny.start(replace(TINY, label_tier="all"))
    train(training, 1)
    p_NC = training.predict()
    assert p_NC.shape == (len(training.fold.validation), len(tiny.data.hierarchy.classes("all")))
    assert p_NC.dtype == np.float32
    assert np.isfinite(p_NC).all()
    assert ((p_NC > 0) & (p_NC < 1)).all()
    assert np.array_equal(training.predict(), p_NC)


def test_predictions_do_not_depend_on_the_inference_batch(
    tiny: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = tiny.start()
    train(training, 1)
    p_NC = training.predict()
    monkeypatch.setattr(inference, "BATCH", 3)
    np.testing.assert_allclose(training.predict(), p_NC, atol=5e-3)


def test_an_untrained_model_predicts_the_prevalence_of_the_training_part(tiny: Case) -> None:
    training = tiny.start()
    y_NC = tiny.data.y["superclass"][training.fold.train]
    expected = (y_NC.sum(axis=0) + 1) / (len(y_NC) + 2)
    np.testing.assert_allclose(training.predict().mean(axis=0), expected, atol=0.05)


def test_a_class_without_positives_can_be_trained() -> None:
    data = development()
    y_NC = {tier: y.copy() for tier, y in data.y.items()}
    y_NC["superclass"][:, 0] = False
    changed = replace(data, y=y_NC)
    rare = Case(data=changed, on_device=DeviceData(changed, CPU, cache_dir=NO_CACHE), folds=case().folds)
    training = rare.start(replace(TINY, loss="power", exponent=1.0, cap=10.0))
    assert all(math.isfinite(loss) for loss in train(training, 2))
    assert np.isfinite(training.predict()).all()


@pytest.mark.slow
def test_a_model_learns_what_can_be_learned() -> None:
    easy = case(n_records=360)
    settings = TrainingSettings(epochs=12, batch_size=16, learning_rate=0.02)
    training = easy.start(replace(PLAIN_CNN, width=0.125, head_width=32), settings=settings)
    losses = train(training, 12)
    assert losses[-1] < 0.8 * losses[0]
    y_NC = easy.data.y["superclass"][training.fold.validation]
    correct = (training.predict() > 0.5) == y_NC
    assert correct.mean() > 0.85


# ---------------------------------------------------------------------------------------------------------
# Failures


def test_a_loss_that_is_not_a_number_fails_the_fold(tiny: Case) -> None:
    training = tiny.start(PLAIN_CNN)
    with torch.no_grad():
        training.model.head[-1].bias.fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"^training loss is nan in epoch 1$") as caught:
        training.run_epoch()
    assert caught.value.kind == "diverged"
    assert training.epochs_done == 0


def test_predictions_that_are_not_numbers_fail_the_fold(tiny: Case) -> None:
    training = tiny.start(PLAIN_CNN)
    train(training, 1)
    with torch.no_grad():
        training.model.head[-1].bias.fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"^predictions are not numbers after epoch 1$") as caught:
        training.predict()
    assert caught.value.kind == "diverged"


def test_exhausted_memory_fails_the_fold(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    training = tiny.start(PLAIN_CNN)

    def exhaust(rows: torch.Tensor) -> Batch:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore words")

    monkeypatch.setattr(training, "draw", exhaust)
    with pytest.raises(TrainingError, match=r"^CUDA out of memory\. Tried to allocate 2 GiB$") as caught:
        training.run_epoch()
    assert caught.value.kind == "out-of-memory"


# ---------------------------------------------------------------------------------------------------------
# Settings, device and the trainer around it


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "--epochs is a whole number from 1 up, got 0"),
        ({"batch_size": 1}, "--batch-size is a whole number from 2 up, got 1"),
        ({"seed": -1}, "--seed is a whole number from 0 up, got -1"),
        ({"seed": 2**32}, "--seed is at most 4294967295, got 4294967296"),
        ({"learning_rate": 0.0}, "--lr lies between 0 and 1, got 0"),
        ({"learning_rate": 1.5}, "--lr lies between 0 and 1, got 1.5"),
        ({"learning_rate": math.nan}, "--lr lies between 0 and 1, got nan"),
    ],
)
def test_settings_that_cannot_be_used_are_named(changes: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainingSettings(**changes)
    assert str(caught.value) == message


def test_settings_survive_a_database() -> None:
    settings = TrainingSettings(epochs=3, seed=9)
    assert TrainingSettings(**settings.to_dict()) == settings


def test_small_training_sets_get_small_batches() -> None:
    assert [automatic_batch_size(n) for n in (100, 2_000, 4_999, 5_000, 19_601)] == [32, 32, 32, 128, 128]


def test_devices() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in {"cpu", "cuda"}
    assert "core" in device_label(CPU)
    with autocast(CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if has_fast_bfloat16(CPU) else torch.float32)


@pytest.mark.skipif(torch.cuda.is_available(), reason="only where there is no GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"^--device cuda: PyTorch sees no CUDA device; "):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("n_threads", "n_parallel", "n_each"),
    [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1), (8, 5, 1), (10, 5, 2), (64, 5, 12)],
)
def test_cores_are_shared_between_folds(tiny: Case, n_threads: int, n_parallel: int, n_each: int) -> None:
    trainer = CrossValidation(
        tiny.data,
        "superclass",
        TrainingSettings(epochs=1),
        device=CPU,
        n_threads=n_threads,
        cache_dir=NO_CACHE,
    )
    assert (trainer.n_parallel, trainer.n_threads_each) == (n_parallel, n_each)


def test_the_trainer_scores_epochs_on_the_target_and_folds_on_every_tier(tiny: Case, tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=2, batch_size=16)
    trainer = CrossValidation(tiny.data, "superclass", settings, device=CPU, n_threads=1, cache_dir=NO_CACHE)
    architecture = replace(TINY, label_tier="subclass")
    run = trainer.start(architecture, 3)
    group = trainer.group([run])
    group.run_epoch()
    run.save(tmp_path / "three")
    (last,) = group.run_epoch()
    outcome = run.outcome()
    rows = tiny.folds[2].validation
    assert (trainer.n_folds, trainer.n_epochs) == (5, 2)
    assert (last.epoch, run.epochs_done) == (2, 2)
    assert outcome.n_training == len(tiny.folds[2].train)
    assert outcome.predictions.ecg_id.tolist() == tiny.data.ecg_id[rows].tolist()
    assert np.array_equal(outcome.predictions.targets_NC, tiny.data.y["subclass"][rows])
    assert set(outcome.scores) == {"subclass", "superclass"}
    assert outcome.scores["superclass"].metrics["macro_auprc"] == pytest.approx(last.score)
    assert outcome.predictions.patient_id is not None
    assert outcome.predictions.patient_id.tolist() == tiny.data.patient_id[rows].tolist()
    on_target = outcome.predictions.projected["superclass"]
    assert np.array_equal(on_target.targets_NC, tiny.data.y["superclass"][rows])
    assert on_target.probabilities_NC.dtype == np.float32
    assert MACRO_AUPRC.fold(0, on_target.targets_NC, on_target.probabilities_NC) == last.score

    again = trainer.start(architecture, 3)
    again.restore(tmp_path / "three")
    assert again.outcome().predictions.probabilities_NC.shape == (len(rows), trainer.n_outputs("subclass"))
    assert trainer.group([again]).run_epoch()[0].score == last.score
    assert np.array_equal(again.outcome().predictions.probabilities_NC, outcome.predictions.probabilities_NC)


def test_predictions_of_severity_sum_to_one(tiny: Case) -> None:
    trainer = CrossValidation(
        tiny.data,
        "severity-3",
        TrainingSettings(epochs=1, batch_size=16),
        device=CPU,
        n_threads=1,
        cache_dir=NO_CACHE,
    )
    run = trainer.start(replace(TINY, label_tier="severity-4"), 1)
    (epoch,) = trainer.group([run]).run_epoch()
    assert epoch.score == run.outcome().scores["severity-3"].metrics["macro_auprc"]
    predictions = run.outcome().predictions
    np.testing.assert_allclose(predictions.probabilities_NC.sum(axis=1), 1, atol=1e-6)
    assert (predictions.targets_NC.sum(axis=1) == 1).all()
    summary = trainer.summarise("severity-4", {1: predictions})
    assert set(summary) == {"severity-4", "severity-3"}
    levels = HIERARCHY.classes("severity-3")
    confusion = [summary["severity-3"].class_metrics[f"predicted_{level}"] for level in levels]
    assert sum(map(sum, confusion)) == len(predictions.ecg_id)


def test_steps_without_a_graph_are_no_reason_to_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch would warn once for every optimiser that may be captured, so once a trial."""

    class OnGpu(torch.nn.Parameter):
        is_cuda = True  # or so it says

    class Stream:
        def is_capturing(self) -> bool:
            return False

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = OnGpu(torch.ones(3))

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "current_stream", Stream)
    model = Model()
    optimiser = Plan.of(space.RECIPES["study"], TrainingSettings()).optimiser(model)
    model.weight.grad = torch.ones(3)
    optimiser.load_state_dict(optimiser.state_dict())  # as from a checkpoint
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimiser.step()
    # Private: the flag of PyTorch that is under test.
    del optimiser._warned_capturable_if_run_uncaptured
    with pytest.warns(UserWarning, match="without CUDA graph capture"):
        optimiser.step()


# ---------------------------------------------------------------------------------------------------------
# Room for predictions


def sizes_of_batches(training: FoldTraining, monkeypatch: pytest.MonkeyPatch, most: int = 10**9) -> list[int]:
    """Filled with the sizes of batches that a model sees; above `most` there is no room."""
    sizes: list[int] = []
    forward = training.model.blocks.forward

    def note(x_BC1T: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x_BC1T))
        if len(x_BC1T) > most:
            raise RuntimeError("GET was unable to find an engine to execute this computation")
        return forward(x_BC1T)

    monkeypatch.setattr(training.model.blocks, "forward", note)
    return sizes


def test_batches_are_halved_until_there_is_room(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    training = tiny.start(PLAIN_CNN)
    expected = training.predict()
    n_records = len(expected)
    monkeypatch.setattr(inference, "BATCH", 8)
    sizes = sizes_of_batches(training, monkeypatch, most=3)
    np.testing.assert_allclose(training.predict(), expected, atol=5e-3)
    assert sizes[:3] == [8, 4, 2]
    assert sum(sizes[2:]) == n_records
    sizes.clear()
    training.predict()
    assert set(sizes) <= {1, 2}  # what was found out is remembered


def test_without_room_for_one_record_the_reason_stays(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    training = tiny.start(PLAIN_CNN)
    sizes_of_batches(training, monkeypatch, most=0)
    with pytest.raises(RuntimeError, match="unable to find an engine"):
        training.predict()


def test_another_error_is_not_tried_again(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    training = tiny.start(PLAIN_CNN)

    def fail(x_BC1T: torch.Tensor) -> torch.Tensor:
        calls.append(len(x_BC1T))
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    calls: list[int] = []
    monkeypatch.setattr(training.model.blocks, "forward", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        training.predict()
    assert len(calls) == 1


def test_batches_are_bounded_by_the_largest_tensor(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many records that it has as many numbers as there may be, and not one record more."""
    training = tiny.start(PLAIN_CNN)
    monkeypatch.setattr(inference, "LARGEST_TENSOR", {"cpu": 5 * 768})
    sizes = sizes_of_batches(training, monkeypatch)
    training.predict()
    largest = max(each.numel() for each in tensors_between_layers(training))
    assert sizes[0] == 1  # looks
    assert max(sizes) * largest <= 5 * 768 < (max(sizes) + 1) * largest


def tensors_between_layers(training: FoldTraining) -> list[torch.Tensor]:
    """For one record."""
    seen: list[torch.Tensor] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: seen.append(output))
        for module in training.model.modules()
    ]
    with torch.no_grad():
        training.model.eval()(training.fetch(training.validation_rows[:1])[0])
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_whichever_library_notices_that_memory_ran_out(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


# ---------------------------------------------------------------------------------------------------------
# A GPU that cannot be used


@pytest.mark.parametrize(
    ("driver", "cuda", "said"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n",
            "13.0",
            "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126 (this "
            "PyTorch is built for CUDA 13.0, which needs NVIDIA's driver 580 or newer; here it is "
            "535.104.05)",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release\n",
            None,
            "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126 "
            "(NVIDIA's driver 580.65.06 is there, but this PyTorch is built without CUDA)",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release\n",
            "13.0",
            "find out with nvidia-smi why no GPU answers (NVIDIA's driver 580.65.06 is there, and recent "
            "enough for the CUDA 13.0 of this PyTorch)",
        ),
    ],
)
def test_why_a_gpu_is_not_used_is_said_with_what_to_do(
    driver: str, cuda: str | None, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "version").write_text(driver)
    # Private: the file of NVIDIA's driver.
    monkeypatch.setattr(device, "_DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert why_no_gpu() == said
    with pytest.raises(UsageError) as refused:
        choose_device("cuda")
    assert str(refused.value).endswith(said)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert why_no_gpu() is None  # hidden on purpose
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert why_no_gpu() is None


def test_a_machine_without_a_gpu_is_no_reason_to_complain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Private: the file of NVIDIA's driver.
    monkeypatch.setattr(device, "_DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert why_no_gpu() is None
