"""Losses: hand numbers, the published formulas, their limits and their gradients at the extremes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from search.training.losses import (
    balanced_weight,
    focal_loss,
    is_categorical,
    make_loss,
    odds_weight,
    positive_weight,
)
from space import Architecture

N_LABELED = 17_084
"""Records of folds 1 to 8 of PTB-XL 1.0.3 with a subclass; 17,418 with those that have none."""
POSITIVES = {
    "NORM": 7596,
    "IMI": 2618,
    "AMI": 2466,
    "STTC": 1792,
    "LVH": 1708,
    "LAFB/LPFB": 1437,
    "ISC_": 1019,
    "IRBBB": 894,
    "ISCA": 756,
    "_AVB": 658,
    "IVCD": 630,
    "NST_": 615,
    "CRBBB": 432,
    "CLBBB": 428,
    "LAO/LAE": 341,
    "ISCI": 318,
    "LMI": 161,
    "RVH": 102,
    "RAO/RAE": 79,
    "WPW": 64,
    "ILBBB": 62,
    "SEHYP": 24,
    "PMI": 13,
}
"""Positives of the 23 subclasses in folds 1 to 8."""


def targets(positives: list[int], n_records: int) -> torch.Tensor:
    return (torch.arange(n_records)[:, None] < torch.tensor(positives)).float()


def test_positive_weights_of_ptb_xl() -> None:
    """Exponent .4 and cap 3, the weights of HC-CNN-TN; the cap bites below 6 % prevalence."""
    y_NC = targets(list(POSITIVES.values()), N_LABELED)
    weight_C = positive_weight(y_NC, 0.4, 3.0)
    expected = {"NORM": 1.09, "IMI": 1.98, "AMI": 2.04, "STTC": 2.36, "LVH": 2.41, "LAFB/LPFB": 2.60}
    for name, weight in zip(POSITIVES, weight_C.tolist(), strict=True):
        assert round(weight, 2) == expected.get(name, 3.0), name
    assert sum(weight == 3.0 for weight in weight_C.tolist()) == 17


def test_positive_weights_by_hand() -> None:
    y_NC = targets([1, 2, 4, 8, 0], 8)
    # (N − P) / P is 7, 3, 1, 0 and infinite.
    torch.testing.assert_close(positive_weight(y_NC, 1.0, 10.0), torch.tensor([7.0, 3.0, 1.0, 0.8, 10.0]))
    torch.testing.assert_close(
        positive_weight(y_NC, 0.5, 2.5), torch.tensor([2.5, math.sqrt(3), 1.0, 0.8, 2.5])
    )


def test_a_rare_class_of_exponent_one_weighs_its_odds() -> None:
    assert positive_weight(targets([13], 17_418), 1.0, 1e9).item() == pytest.approx(17_405 / 13)


@given(st.integers(1, 500), st.integers(1, 500), st.floats(0.05, 1), st.floats(1, 50))
def test_positive_weight_is_capped_and_falls_with_prevalence(
    fewer: int, more: int, exponent: float, cap: float
) -> None:
    low, high = sorted((fewer, more))
    rare, common = positive_weight(targets([low, high], 501), exponent, cap).tolist()
    assert 0 < common <= rare <= np.float32(cap)


def test_weighted_loss_by_hand() -> None:
    architecture = Architecture(loss="power", exponent=1.0, cap=3.0)
    loss = make_loss(architecture, targets([1, 2], 4), exclusive=False)  # weights 3 and 1
    z_BC, y_BC = torch.tensor([[0.5, -1.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    p = 1 / (1 + np.exp(-z_BC.numpy()))
    terms = [-3 * np.log(p[0, 0]), -np.log(1 - p[0, 1]), -np.log(1 - p[1, 0]), -1 * np.log(p[1, 1])]
    assert loss(z_BC, y_BC).item() == pytest.approx(np.mean(terms), rel=1e-6)


def logits_and_targets(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z_BC = 3 * torch.randn(20, 4, generator=generator)
    return z_BC, (torch.rand(20, 4, generator=generator) < 0.4).float()


def test_plain_loss_is_binary_cross_entropy() -> None:
    z_BC, y_BC = logits_and_targets()
    loss = make_loss(Architecture(), y_BC, exclusive=False)
    assert loss(z_BC, y_BC).item() == pytest.approx(F.binary_cross_entropy_with_logits(z_BC, y_BC).item())


@pytest.mark.parametrize("name", ["bce", "power", "focal", "balanced"])
def test_label_smoothing_moves_targets_towards_one_half(name: str) -> None:
    """Keras: y (1 − ε) + ε / 2."""
    z_BC, y_BC = logits_and_targets()
    kind = Architecture(loss=name, exponent=0.5, cap=3.0)
    smooth = Architecture(loss=name, exponent=0.5, cap=3.0, label_smoothing=0.1)
    moved = torch.where(y_BC == 1, 0.95, 0.05)
    expected = make_loss(kind, y_BC, exclusive=False)(z_BC, moved)
    assert make_loss(smooth, y_BC, exclusive=False)(z_BC, y_BC).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def usual_focal_loss(z_BC: torch.Tensor, y_BC: torch.Tensor) -> torch.Tensor:
    return focal_loss(z_BC, y_BC, alpha=0.25, gamma=2.0)


@given(st.floats(0.05, 0.95), st.floats(0, 4))
def test_focal_loss_with_other_numbers(alpha: float, gamma: float) -> None:
    z_BC, y_BC = logits_and_targets()
    loss = make_loss(Architecture(loss="focal", alpha=alpha, gamma=gamma), y_BC, exclusive=False)
    p = torch.sigmoid(z_BC.double())
    p_t = torch.where(y_BC == 1, p, 1 - p)
    alpha_t = torch.where(y_BC == 1, alpha, 1 - alpha)
    expected = (-alpha_t * (1 - p_t) ** gamma * torch.log(p_t)).mean().item()
    assert loss(z_BC, y_BC).item() == pytest.approx(expected, rel=1e-4)


def test_focal_loss_without_focus_is_half_the_cross_entropy() -> None:
    z_BC, y_BC = logits_and_targets()
    plain = F.binary_cross_entropy_with_logits(z_BC, y_BC).item()
    assert focal_loss(z_BC, y_BC, alpha=0.5, gamma=0.0).item() == pytest.approx(plain / 2, rel=1e-6)


def test_balanced_weights_by_hand() -> None:
    y_NC = targets([1, 2, 8, 0], 8)
    assert odds_weight(y_NC).tolist() == [7.0, 3.0, 0.0, 1.0]
    one_hot_NC = F.one_hot(torch.tensor([0, 0, 0, 1, 1, 0, 0, 0]), 3).float()
    # Six and two of eight records, three classes: 8 / 18 and 8 / 6; the third does not occur.
    torch.testing.assert_close(balanced_weight(one_hot_NC), torch.tensor([8 / 18, 8 / 6, 0.0]))


def test_balanced_loss_where_a_record_has_one_class_is_weighted_cross_entropy() -> None:
    y_NC = F.one_hot(torch.tensor([0, 0, 0, 1]), 2).float()
    architecture = Architecture(loss="balanced")
    loss = make_loss(architecture, y_NC, exclusive=True)
    z_BC, y_BC = torch.tensor([[1.0, 0.0], [0.5, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    weight = np.array([4 / 6, 4 / 2])
    cross_entropy = np.array([np.log(1 + np.exp(-1.0)), np.log(1 + np.exp(-1.5))])
    assert loss(z_BC, y_BC).item() == pytest.approx((weight * cross_entropy).mean(), rel=1e-6)
    assert is_categorical(architecture, exclusive=True)
    assert not is_categorical(architecture, exclusive=False)
    assert not is_categorical(Architecture(), exclusive=True)


def test_balanced_loss_where_a_record_has_several_classes_weighs_positives_by_their_odds() -> None:
    y_NC = targets([1, 2], 4)
    loss = make_loss(Architecture(loss="balanced"), y_NC, exclusive=False)
    z_BC, y_BC = logits_and_targets()
    expected = F.binary_cross_entropy_with_logits(
        z_BC[:, :2], y_BC[:, :2], pos_weight=torch.tensor([3.0, 1.0])
    )
    assert loss(z_BC[:, :2], y_BC[:, :2]).item() == pytest.approx(expected.item(), rel=1e-6)


def test_focal_loss_equals_the_published_formula() -> None:
    z_BC, y_BC = logits_and_targets()
    p = 1 / (1 + np.exp(-z_BC.double().numpy()))
    is_positive = y_BC.numpy() == 1
    p_t = np.where(is_positive, p, 1 - p)
    alpha_t = np.where(is_positive, 0.25, 0.75)
    expected = np.mean(-alpha_t * (1 - p_t) ** 2 * np.log(p_t))
    assert usual_focal_loss(z_BC, y_BC).item() == pytest.approx(expected, rel=1e-5)


def test_focal_loss_by_hand_at_one_half() -> None:
    # p_t = 1/2: α_t · 1/4 · log 2.
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    assert usual_focal_loss(zero, one).item() == pytest.approx(0.25 * 0.25 * math.log(2))
    assert usual_focal_loss(zero, zero).item() == pytest.approx(0.75 * 0.25 * math.log(2))


def test_focal_loss_of_what_is_badly_wrong_is_weighted_cross_entropy() -> None:
    """(1 − p_t)² tends to one: a quarter of the cross-entropy for positives, three quarters for negatives."""
    for logit, target, share in ((-12.0, 1.0, 0.25), (12.0, 0.0, 0.75)):
        z_BC, y_BC = torch.tensor([[logit]]), torch.tensor([[target]])
        plain = F.binary_cross_entropy_with_logits(z_BC, y_BC).item()
        assert usual_focal_loss(z_BC, y_BC).item() == pytest.approx(share * plain, rel=1e-4)


@given(st.floats(0, 1))
def test_focal_loss_of_a_soft_target_is_an_expectation(target: float) -> None:
    z_BC = torch.tensor([[-2.0, 0.3, 1.7]])
    soft = usual_focal_loss(z_BC, torch.full((1, 3), target)).item()
    hard = [usual_focal_loss(z_BC, torch.full((1, 3), value)).item() for value in (0.0, 1.0)]
    assert soft == pytest.approx((1 - target) * hard[0] + target * hard[1], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", ["bce", "power", "focal", "balanced"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-1e30, -1e4, -100.0, 0.0, 100.0, 1e4, 1e30])
def test_loss_and_gradient_are_finite_at_extreme_logits(
    name: str, smoothing: float, target: float, logit: float
) -> None:
    architecture = Architecture(loss=name, exponent=0.5, cap=10.0, label_smoothing=smoothing)
    loss = make_loss(architecture, targets([1], 100), exclusive=False)
    z_BC = torch.tensor([[logit]], requires_grad=True)
    value = loss(z_BC, torch.tensor([[target]]))
    value.backward()
    assert torch.isfinite(value)
    assert z_BC.grad is not None
    assert torch.isfinite(z_BC.grad).all()
