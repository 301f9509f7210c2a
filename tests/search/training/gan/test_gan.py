"""The GAN of rare classes: its penalty by hand, only training rows, repeatable, leads that fit."""

import math
import os
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_samples import seeded

from search.data.signals.leads import LEADS
from search.errors import TrainingError
from search.training.batches import LeadStatistics
from search.training.gan import wgan as gan_module
from search.training.gan.networks import Critic, Generator, Shape, initialise
from search.training.gan.records import SyntheticRecords
from search.training.gan.settings import GanSettings
from search.training.gan.signals import Reduction
from search.training.gan.wgan import gradient_penalty, rare_classes, synthesise

TINY = GanSettings(n_steps=3, n_critic=2, batch_size=4, width=8, n_noise=4, n_records=10)
ROWS = np.arange(0, 100)
"""Of the training part; the other twenty are held out."""
MLII_V = ("MLII", "V")


def labels() -> torch.Tensor:
    """Classes with 100, 70, 12 (rare), 11 (rare, always with the third) and 3 positives of 120."""
    y_NC = torch.zeros(120, 5)
    y_NC[:100, 0] = 1
    y_NC[:70, 1] = 1
    y_NC[:12, 2] = 1
    y_NC[:11, 3] = 1
    y_NC[97:100, 4] = 1
    return y_NC


def signals(n_leads: int = 12, n_samples: int = 64) -> torch.Tensor:
    rng = np.random.default_rng(0)
    x_NLT = rng.normal(0, 200, (120, n_leads, n_samples)) + rng.normal(0, 50, (1, n_leads, 1))
    return torch.from_numpy(x_NLT.round().astype(np.int16))


def generate(
    x_NLT: torch.Tensor | None = None,
    y_NC: torch.Tensor | None = None,
    *,
    leads: tuple[str, ...] = LEADS,
    rate_hz: float = 100,
    seed: int = 0,
    fold: int = 1,
    settings: GanSettings = TINY,
) -> SyntheticRecords:
    x_NLT = signals() if x_NLT is None else x_NLT
    return synthesise(
        x_NLT,
        labels() if y_NC is None else y_NC,
        torch.from_numpy(ROWS),
        LeadStatistics.of(x_NLT, ROWS),
        leads=leads,
        rate_hz=rate_hz,
        seed=seed,
        fold=fold,
        settings=settings,
    )


# ---------------------------------------------------------------------------------------------------------
# Which classes are rare


def test_rare_is_fewer_than_half_of_the_average() -> None:
    # (100 + 70 + 12 + 11) / 4 = 48.25; the class with three positives is too small to learn from.
    assert rare_classes(labels()) == [2, 3]


@pytest.mark.parametrize(
    ("positives", "expected"),
    [
        ([0, 0, 0], []),
        ([9, 9, 100], []),  # none with enough
        ([10, 100], [0]),
        ([40, 40, 40], []),
        ([30, 90], []),  # exactly half of 60
        ([29, 91], [0]),
    ],
)
def test_rare_classes_at_the_bounds(positives: list[int], expected: list[int]) -> None:
    y_NC = torch.zeros(100, len(positives))
    for index, n in enumerate(positives):
        y_NC[:n, index] = 1
    assert rare_classes(y_NC) == expected


def test_nothing_is_generated_where_no_class_is_rare() -> None:
    y_NC = torch.zeros(120, 2)
    y_NC[:60, 0] = y_NC[40:100, 1] = 1
    records = generate(y_NC=y_NC)
    assert len(records) == 0
    assert records.x_MLT.shape == (0, 12, 64)
    assert records.y_MC.shape == (0, 2)
    assert 0 <= records.seconds < 1


# ---------------------------------------------------------------------------------------------------------
# The gradient penalty


@pytest.mark.parametrize(("weight", "expected"), [((3.0, 4.0), 16.0), ((0.6, 0.8), 0.0), ((0.0, 0.5), 0.25)])
def test_penalty_of_a_linear_critic(weight: tuple[float, float], expected: float) -> None:
    """The gradient of w·x is w wherever it is taken: ‖(3, 4)‖ = 5, and (5 − 1)² = 16."""
    w_KT = torch.tensor([[weight[0]], [weight[1]]])
    real_BKT, fake_BKT = torch.randn(6, 2, 1, generator=seeded(1)), torch.randn(6, 2, 1, generator=seeded(2))
    penalty = gradient_penalty(lambda x_BKT: (w_KT * x_BKT).sum(dim=(1, 2)), real_BKT, fake_BKT, seeded())
    assert penalty.item() == pytest.approx(expected, abs=1e-5)


def test_penalty_is_taken_between_real_and_generated() -> None:
    """For x²/2 the gradient is x: between 2 and 4 its norm less one lies between 1 and 3, its mean square at
    ∫₁³ u² du / 2 = 13/3."""
    real_BKT, fake_BKT = torch.full((4000, 1, 1), 2.0), torch.full((4000, 1, 1), 4.0)
    penalty = gradient_penalty(lambda x_BKT: x_BKT.square().sum(dim=(1, 2)) / 2, real_BKT, fake_BKT, seeded())
    assert penalty.item() == pytest.approx(13 / 3, rel=0.03)


def test_penalty_pulls_the_critic_towards_slope_one() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    penalty = gradient_penalty(
        lambda x_BKT: weight * x_BKT.sum(dim=(1, 2)), torch.ones(2, 1, 1), torch.zeros(2, 1, 1), seeded()
    )
    torch.autograd.backward(penalty)
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(2 * (3 - 1))  # d (w − 1)² / dw


def test_penalty_is_never_computed_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(
        critic: object, real_BKT: torch.Tensor, fake_BKT: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        seen.append((torch.is_autocast_enabled("cpu"), real_BKT.dtype, fake_BKT.dtype))
        return gradient_penalty(critic, real_BKT, fake_BKT, generator)  # type: ignore[arg-type]

    expected = generate()
    monkeypatch.setattr(gan_module, "gradient_penalty", watched)
    with torch.autocast("cpu", torch.bfloat16):
        records = generate()
    assert set(seen) == {(False, torch.float32, torch.float32)}
    assert torch.equal(records.x_MLT, expected.x_MLT)


# ---------------------------------------------------------------------------------------------------------
# Networks


@pytest.mark.slow
@given(
    st.sampled_from([5, 16, 63, 90, 250, 360, 1000, 1003]),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_networks_take_any_length(n_samples: int, n_leads: int, n_classes: int, n_records: int) -> None:
    shape = Shape(n_leads=n_leads, n_samples=n_samples, rate_hz=100, n_classes=n_classes)
    with torch.device("meta"):
        generator, critic = Generator(shape, width=8, n_noise=3), Critic(shape, width=8)
    initialise(generator, seeded())
    initialise(critic, seeded())
    z_BZ, y_BC = torch.randn(n_records, 3, generator=seeded()), torch.ones(n_records, n_classes)
    x_BKT = generator(z_BZ, y_BC)
    assert x_BKT.shape == (n_records, n_leads, n_samples)
    real_B, z_BC = critic(x_BKT, y_BC)
    assert real_B.shape == (n_records,)
    assert z_BC.shape == (n_records, n_classes)
    # The critic judges every record on its own, or the penalty would mean nothing.
    torch.testing.assert_close(critic(x_BKT[:1], y_BC[:1])[0], real_B[:1])
    torch.autograd.backward(real_B.sum() + z_BC.sum())
    for network in (generator, critic):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name


def test_classes_change_what_is_drawn_and_how_it_is_judged() -> None:
    shape = Shape(n_leads=2, n_samples=300, rate_hz=100, n_classes=2)
    with torch.device("meta"):
        generator, critic = Generator(shape, width=8, n_noise=3), Critic(shape, width=8)
    initialise(generator, seeded())
    initialise(critic, seeded())
    z_BZ = torch.randn(1, 3, generator=seeded())
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    x_BKT = generator(z_BZ, one)
    assert not torch.allclose(x_BKT, generator(z_BZ, other))
    (as_one, z_BC), (as_other, same_BC) = critic(x_BKT, one), critic(x_BKT, other)
    assert not torch.allclose(as_one, as_other)
    assert torch.equal(z_BC, same_BC)  # the classes are named without being told


@pytest.mark.parametrize(("n_samples", "is_periodic"), [(200, True), (199, False)])
def test_signals_of_two_seconds_have_a_train_of_beats(n_samples: int, is_periodic: bool) -> None:
    shape = Shape(n_leads=1, n_samples=n_samples, rate_hz=100, n_classes=1)
    with torch.device("meta"):
        generator = Generator(shape, width=8, n_noise=3)
    assert len(generator.outputs()) == (2 if is_periodic else 1)


# ---------------------------------------------------------------------------------------------------------
# Leads and rates


def test_limb_leads_fit_together_in_microvolts() -> None:
    records = generate(settings=replace(TINY, n_records=40))
    i, ii, iii, avr, avl, avf = (records.x_MLT[:, LEADS.index(name)].int() for name in LEADS[:6])
    assert i.float().std() > 10
    assert torch.equal(iii, ii - i)
    for lead, doubled in ((avr, -(i + ii)), (avl, 2 * i - ii), (avf, 2 * ii - i)):
        assert ((2 * lead - doubled).abs() <= 1).all()  # a half is rounded


def test_leads_are_found_by_name() -> None:
    shuffled = tuple(reversed(LEADS))
    statistics = LeadStatistics(mean_L=torch.arange(12.0), deviation_L=torch.arange(12.0) + 100)
    reduction = Reduction.of(shuffled, 50, 100, statistics)
    assert [shuffled[place] for place in reduction.independent] == [
        "V6",
        "V5",
        "V4",
        "V3",
        "V2",
        "V1",
        "II",
        "I",
    ]
    x_BLT = reduction.restore(torch.randn(3, 8, 50, generator=seeded()))
    i, ii, iii = (x_BLT[:, shuffled.index(name)].int() for name in ("I", "II", "III"))
    assert torch.equal(iii, ii - i)


@pytest.mark.parametrize("leads", [("MLII", "V1"), ("I", "II"), LEADS[:11]])
def test_other_leads_are_all_generated(leads: tuple[str, ...]) -> None:
    statistics = LeadStatistics(mean_L=torch.zeros(len(leads)), deviation_L=torch.ones(len(leads)))
    reduction = Reduction.of(leads, 50, 100, statistics)
    assert reduction.independent == tuple(range(len(leads)))
    assert torch.equal(reduction.weight_LK, torch.eye(len(leads)))


def test_there_and_back_at_100_hz_changes_nothing() -> None:
    x_NLT = signals()
    for source, signs in ((2, (-1, 1)), (3, (-0.5, -0.5)), (4, (1, -0.5)), (5, (-0.5, 1))):
        x_NLT[:, source] = (signs[0] * x_NLT[:, 0] + signs[1] * x_NLT[:, 1]).round().short()
    reduction = Reduction.of(LEADS, 64, 100, LeadStatistics.of(x_NLT, ROWS))
    assert reduction.factor == 1
    assert torch.equal(reduction.restore(reduction.project(x_NLT)), x_NLT)


@pytest.mark.parametrize(
    ("rate_hz", "n_samples", "reduced"), [(360, 360, 90), (500, 5000, 1000), (250, 101, 51)]
)
def test_high_rates_are_reduced_and_restored(rate_hz: float, n_samples: int, reduced: int) -> None:
    time_T = torch.arange(n_samples) / rate_hz
    x_BLT = (500 * torch.sin(2 * math.pi * 2 * time_T)).round().short().expand(2, 2, -1)  # 2 Hz
    statistics = LeadStatistics(mean_L=torch.tensor([10.0, -20.0]), deviation_L=torch.tensor([300.0, 90.0]))
    reduction = Reduction.of(MLII_V, n_samples, rate_hz, statistics)
    x_BKS = reduction.project(x_BLT)
    assert x_BKS.shape == (2, 2, reduced)
    back_BLT = reduction.restore(x_BKS)
    assert back_BLT.shape == x_BLT.shape
    assert back_BLT.dtype == torch.int16
    inner = slice(10, -10)  # there is nothing to interpolate with beyond the ends
    assert (back_BLT - x_BLT)[:, :, inner].abs().max() < 10


def test_voltages_that_int16_cannot_hold_are_cut() -> None:
    statistics = LeadStatistics(mean_L=torch.zeros(2), deviation_L=torch.full((2,), 30_000.0))
    x_BKS = torch.tensor([[[5.0, -5.0], [0.5, 0.0]]])
    assert Reduction.of(MLII_V, 2, 100, statistics).restore(x_BKS).tolist() == [[[32767, -32768], [15000, 0]]]


# ---------------------------------------------------------------------------------------------------------
# Generated records


@pytest.mark.parametrize(
    ("leads", "n_samples", "rate_hz"), [(LEADS, 1000, 100), (MLII_V, 360, 360), (("x",), 70, 50)]
)
def test_records_look_like_those_of_the_data_set(
    leads: tuple[str, ...], n_samples: int, rate_hz: float
) -> None:
    records = generate(signals(len(leads), n_samples), leads=leads, rate_hz=rate_hz)
    assert len(records) == TINY.n_records
    assert records.x_MLT.shape == (10, len(leads), n_samples)
    assert records.x_MLT.dtype == torch.int16
    assert records.y_MC.shape == (10, 5)
    assert records.seconds > 0


def test_labels_are_those_of_real_records_with_a_rare_class() -> None:
    records = generate(settings=replace(TINY, n_records=200))
    real = {tuple(y_C) for y_C in labels()[:12].tolist()}
    assert {tuple(y_C) for y_C in records.y_MC.tolist()} == real == {(1, 1, 1, 0, 0), (1, 1, 1, 1, 0)}


def test_every_rare_class_is_drawn_as_often() -> None:
    y_NC = torch.zeros(120, 3)
    y_NC[20:100, 0] = y_NC[:10, 1] = y_NC[80:100, 2] = 1
    y_NC = torch.cat([y_NC, torch.ones(120, 4)], dim=1)  # so that both are rare
    assert rare_classes(y_NC[:100]) == [1, 2]
    records = generate(y_NC=y_NC, settings=replace(TINY, n_records=2000))
    assert records.y_MC[:, 1].mean() == pytest.approx(0.5, abs=0.04)
    assert records.y_MC[:, 2].mean() == pytest.approx(0.5, abs=0.04)


def test_records_depend_on_seed_and_fold_alone() -> None:
    state = torch.get_rng_state()
    first, again = generate(), generate()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.x_MLT, again.x_MLT)
    assert torch.equal(first.y_MC, again.y_MC)
    for other in (generate(seed=1), generate(fold=2)):
        assert not torch.equal(first.x_MLT, other.x_MLT)


@pytest.mark.slow
def test_another_process_generates_the_same() -> None:
    program = "import zlib, test_gan; print(zlib.crc32(test_gan.generate().x_MLT.numpy().tobytes()))"
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(answer.stdout) == zlib.crc32(generate().x_MLT.numpy().tobytes())


def test_records_outside_the_training_part_are_never_read() -> None:
    x_NLT, y_NC = signals(), labels()
    expected = generate(x_NLT, y_NC)
    x_NLT[100:] = 32767
    y_NC[100:] = math.nan
    poisoned = generate(x_NLT, y_NC)
    assert torch.equal(poisoned.x_MLT, expected.x_MLT)
    assert torch.equal(poisoned.y_MC, expected.y_MC)


def test_records_of_the_training_part_are_read() -> None:
    x_NLT = signals()
    x_NLT[5] //= 2
    assert not torch.equal(generate(x_NLT).x_MLT, generate().x_MLT)


@pytest.mark.slow
def test_a_class_that_stands_out_is_learned() -> None:
    """Two kinds of records around different levels: after a second or two so are those generated."""
    y_NC = torch.ones(120, 6)
    y_NC[:, :2] = 0
    y_NC[:15, 0] = y_NC[15:30, 1] = 1
    x_NLT = signals(1, 16) // 4
    x_NLT[:15] += 400
    x_NLT[15:30] -= 400
    settings = replace(TINY, n_steps=250, n_critic=3, batch_size=16, n_records=100)
    records = generate(x_NLT, y_NC, leads=("x",), settings=settings)
    level_M, is_high = records.x_MLT.float().mean(dim=(1, 2)), records.y_MC[:, 0] == 1
    assert level_M[is_high].mean() > 100
    assert level_M[~is_high].mean() < -100


def test_divergence_is_told() -> None:
    with pytest.raises(TrainingError, match="GAN") as caught:
        generate(settings=replace(TINY, learning_rate=1e30, n_steps=10))
    assert caught.value.kind == "diverged"
