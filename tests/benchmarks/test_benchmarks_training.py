"""The benchmark of training: a reference that computes what our model does, and a report of it."""

import argparse
import math
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from training_samples import CPU, case, development, in_double_precision

import benchmarks.training.helpers.reference as reference_module
import search.training.fold as fold_module
from benchmarks.helpers.results import write_section
from benchmarks.training import training
from benchmarks.training.helpers import training_pairs, training_text
from benchmarks.training.helpers.reference import PlainModel, Reference, macro_auprc, run_trial
from benchmarks.training.helpers.training_pairs import (
    ARCHITECTURES,
    TIER,
    Pair,
    Timed,
    busy_program,
    n_samples,
    settings_of,
    train,
)
from benchmarks.training.helpers.training_profile import KINDS, REST, Peak, Profile
from benchmarks.training.helpers.training_text import Measured, body, headline
from scores.scorers import MACRO_AUPRC
from search.models.hybrid import build_model
from search.models.modules import Dropout
from search.training import inference
from search.training.settings import TrainingSettings
from space import Architecture, RecurrentLayer

TINY = Architecture(
    recurrent=(RecurrentLayer(cell="gru"), RecurrentLayer(cell="lstm", bidirectional=True)),
    hidden_size=4,
    width=0.0625,
    head_width=8,
    gate=4,
    label_tier=TIER,
)


@pytest.fixture(autouse=True)
def _no_words_about_even_kernels() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same'")
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ARCHITECTURES, "tiny"])
def test_the_reference_computes_what_our_model_does(name: str) -> None:
    architecture = ARCHITECTURES.get(name, TINY)
    ours = build_model(architecture, 5, generator=torch.Generator().manual_seed(0)).double().eval()
    plain = PlainModel(architecture, 12, 5).double().eval()
    with torch.no_grad():
        for own, parameter in zip(plain.parameters(), ours.parameters(), strict=True):
            own.copy_(parameter.reshape(own.shape))
        x_BLT = torch.randn(3, 12, 200, generator=torch.Generator().manual_seed(1)).double()
        torch.testing.assert_close(plain(x_BLT), ours(x_BLT), rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(width=0.0625, head_width=8, label_tier=TIER),
        replace(TINY, recurrent=(RecurrentLayer(cell="lstm", bidirectional=True),)),
        replace(TINY, recurrent=(RecurrentLayer(cell="gru", bidirectional=True),)),
        TINY,
    ],
    ids=["cnn", "bilstm", "bigru", "gru-bilstm"],
)
def test_a_training_of_ours_is_that_of_a_plain_loop(
    architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step by step, where both see the same, in 64 bits.

    Rounding of 32 bits grows some thousandfold in twelve steps, to more than 1e-4 with some kernels; that of
    64 bits is then still below 1e-11, so that weights that differ by 1e-8 are computed otherwise. Losses of
    epochs and probabilities are handed out in 32 bits.
    """
    monkeypatch.setattr(reference_module, "SPATIAL_DROPOUT", 0.0)
    for module in (fold_module, inference):
        monkeypatch.setattr(module, "autocast", lambda device: nullcontext())
    architecture = replace(architecture, dropout=0.0, augmentation="none", label_smoothing=0.0)
    sample, settings = case(), TrainingSettings(epochs=3, batch_size=16)
    ours = in_double_precision(sample.start(architecture, settings=settings))
    for module in ours.model.modules():
        if isinstance(module, Dropout):
            module.rate = 0.0
    plain = PlainModel(architecture, 12, 3).double()
    with torch.no_grad():
        for own, initial in zip(plain.parameters(), ours.model.parameters(), strict=True):
            own.copy_(initial.reshape(own.shape))
    train, validation = ours.fold.train, ours.fold.validation
    x_NLT = standardised(sample.data.x_NLT, train)
    y_NC = torch.from_numpy(sample.data.y[TIER].astype(np.float64))
    # The reference standardises in 32 bits, and divides by one value less.
    for part, rows in zip(
        reference_module.tensors(
            Reference(data=sample.data, tier=TIER, settings=settings, device=CPU), ours.fold
        ),
        (train, validation),
        strict=True,
    ):
        torch.testing.assert_close(
            part.tensors[0].double(), x_NLT[rows], rtol=1 / (len(train) * x_NLT.shape[2]), atol=1e-5
        )
        assert torch.equal(part.tensors[1].double(), y_NC[rows])
    optimiser = torch.optim.AdamW(
        plain.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    n_steps = settings.epochs * len(ours.begin_epoch())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=n_steps, cycle_momentum=False
    )
    for _ in range(settings.epochs):
        batches = ours.begin_epoch()
        plain.train()
        losses = []
        for rows in batches:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(plain(x_NLT[rows]), y_NC[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(plain.parameters(), settings.gradient_clip)
            optimiser.step()
            schedule.step()
            losses.append(loss.item() * len(rows))
        assert ours.run_epoch()[0] == pytest.approx(sum(losses) / len(train), rel=1e-6)
    for own, trained in zip(plain.parameters(), ours.model.parameters(), strict=True):
        torch.testing.assert_close(own, trained.reshape(own.shape), rtol=1e-8, atol=1e-8)
    with torch.no_grad():
        expected = torch.sigmoid(plain.eval()(x_NLT[validation])).numpy()
    assert ours.predict() == pytest.approx(expected, rel=1e-6)


def standardised(x_NLT: np.ndarray, rows: np.ndarray) -> Tensor:
    """Records per lead by mean and deviation of some rows, which our trainer keeps in 32 bits."""
    x_NLT = x_NLT.astype(np.float64)
    mean_L1, deviation_L1 = (
        of(x_NLT[rows], axis=(0, 2), keepdims=True)[0].astype(np.float32) for of in (np.mean, np.std)
    )
    return torch.from_numpy((x_NLT - mean_L1) / deviation_L1)


@pytest.mark.slow
def test_both_sides_of_a_pair_learn_what_can_be_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads that share tiny layers only wait for each other.
    monkeypatch.setattr(training_pairs, "available_cores", lambda: 1)
    settings = TrainingSettings(epochs=6, batch_size=16)
    chance = 0.45  # prevalences are .35 to .6
    for side in ("ours", "reference"):
        found = train(side, development(), TINY, settings)
        assert found.macro_auprc > chance
        assert found.seconds > 0
        assert found.processor_s > 0


@pytest.mark.slow
def test_the_reference_repeats_itself() -> None:
    reference = Reference(
        data=development(), tier=TIER, settings=TrainingSettings(epochs=1, batch_size=16), device=CPU
    )
    assert run_trial(reference, TINY) == run_trial(reference, TINY)


def test_both_scores_are_the_same_number() -> None:
    data = development()
    p_NC = torch.rand(data.y[TIER].shape, generator=torch.Generator().manual_seed(0)).numpy()
    assert macro_auprc(data.y[TIER], p_NC) == pytest.approx(MACRO_AUPRC.fold(0, data.y[TIER], p_NC))


def test_results_of_other_processors_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "RESULTS.md"
    options = argparse.Namespace(data=None, beside_busy=False)

    def write(name: str, text: str, *, native: bool = True) -> None:
        monkeypatch.setattr(training, "processor", lambda: name)
        monkeypatch.setattr(training, "has_fast_bfloat16", lambda device: native)
        write_section(training.section(options, development(), training.FULL, text), file)

    for name, text in (("AMD EPYC", "old"), ("Intel Xeon", "other"), ("AMD EPYC", "new")):
        write(name, text)
    write("AMD EPYC", "emulated", native=False)
    options.beside_busy = True
    write("AMD EPYC", "busy")
    found = file.read_text()
    assert [line for line in found.splitlines() if line.startswith("## ")] == [
        "## Training on AMD EPYC, demo (SYNTHETIC)",
        "## Training on Intel Xeon, demo (SYNTHETIC)",
        "## Training on AMD EPYC without bfloat16, demo (SYNTHETIC)",
        "## Training on AMD EPYC beside a busy program, demo (SYNTHETIC)",
    ]
    assert "python benchmarks/training/training.py --beside-busy`" in found
    assert "\nold\n" not in found
    assert all(f"\n{text}\n" in found for text in ("other", "new", "emulated", "busy"))


@pytest.mark.slow
def test_a_busy_program_computes_and_ends() -> None:
    children = set(multiprocessing.active_children())
    with busy_program():
        (process,) = set(multiprocessing.active_children()) - children
        clock = time.monotonic() + 60
        while (used := processor_s(process.pid)) < 1.0 and time.monotonic() < clock:
            time.sleep(0.05)
        assert used >= 1.0
    assert not set(multiprocessing.active_children()) - children


def processor_s(process_id: int | None) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("why", "bfloat16", "share", "words"),
    [
        (None, 2e11, "50%", "bfloat16 and float32 mixed"),
        ("this processor has no bfloat16", None, "100%", "float32, because this processor has no bfloat16"),
    ],
)
def test_the_report_has_ratios_pair_by_pair(
    why: str | None, bfloat16: float | None, share: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_text, "why_full_precision", lambda device: why)

    def timed(seconds: float, macro_auprc: float) -> Timed:
        return Timed(seconds=seconds, processor_s=2 * seconds, macro_auprc=macro_auprc)

    pairs = [
        Pair(ours=timed(2.0, 0.5), reference=timed(8.0, 0.4)),
        Pair(ours=timed(1.0, 0.5), reference=timed(3.0, 0.6)),
        Pair(ours=timed(1.0, 0.7), reference=timed(2.0, 0.7)),
    ]
    data = development()
    measured = Measured(
        data=data,
        epochs=2,
        pairs={("cnn", False): pairs, ("cnn", True): pairs[:1]},
        peak=Peak(float32=1e11, bfloat16=bfloat16),
        profiles={
            "cnn": Profile(seconds=1, shares=dict.fromkeys([*KINDS, REST], 0.1), convolution_flops=1e11)
        },
        read_ratios=[20.0, 30.0],
    )
    assert headline(measured) == {"ratio_cnn": 3.0, "ratio_cnn_bf16": 4.0, "read_ratio": 25.0}
    text = body(measured)
    # Differences +.1, −.1, 0: mean 0, standard error .1 / √3.
    for wanted in ("SYNTHETIC", "3.00 [2.00, 4.00]", f"+0.0000 ± {0.1 / math.sqrt(3):.4f}", share, words):
        assert wanted in text
    # 90 records, each in the training part of four of five folds, twice.
    assert n_samples(data, settings_of(2)) == 90 * 4 * 2
