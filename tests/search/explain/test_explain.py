"""Attributions: what Grad-CAM and integrated gradients promise, on networks small enough to check."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from explained_model import (
    CLASSES,
    SMALL,
    make_network,
    networks_of,
    synthesise,
    train_on_synthetic,
    with_recurrence,
)
from scipy.stats import spearmanr
from torch import nn

import search.models.frontends.layers as described
import space
from search.explain.attribution import (
    AttentionWeights,
    baseline,
    centres,
    grad_cam,
    integrated_gradients,
    internals,
    last_convolution,
    received_attention,
)
from search.explain.explain import class_to_explain
from search.explain.networks import Networks
from search.models.build import sequential
from search.predict.model import load_exported
from search.training.batches import LeadStatistics
from search.training.model_file import KeptModel

SEEDS = range(1000, 1008)
"""Of records that no model here was trained on."""


def hand_made(weights_CL: list[list[float]], readout_C: list[float]) -> Networks:
    """Convolution of one sample, ReLU, mean over time, and one logit: everything can be worked by hand."""
    layers = (described.Convolution(2, 2, 1), described.Relu())
    blocks = sequential(layers)
    assert isinstance(blocks, nn.Sequential)
    blocks[0].weight.data = torch.tensor(weights_CL)[:, :, None, None]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks, self.readout = blocks, torch.tensor(readout_C)

        def forward(self, x_BLT: torch.Tensor, _: object = None) -> torch.Tensor:
            return (self.blocks(x_BLT[:, :, None])[:, :, 0].mean(dim=-1) * self.readout).sum(-1, keepdim=True)

    kept = KeptModel(
        architecture=SMALL,
        classes=("A",),
        is_exclusive=False,
        leads=("I", "II"),
        rate_hz=100,
        n_samples=5,
        model=Net(),  # type: ignore[arg-type]
        statistics=LeadStatistics(mean_L=torch.zeros(2), deviation_L=torch.ones(2)),
        scaling=None,
    )
    folder = SimpleNamespace(preprocessing=SimpleNamespace(features=(), rate_hz=100))
    return Networks(folder=folder, apply_filter=lambda x, _: x, members=(kept,), weights=(1.0,))  # type: ignore[arg-type]


def test_grad_cam_is_that_worked_by_hand() -> None:
    networks = hand_made([[1.0, 0.0], [0.0, -1.0]], [3.0, -2.0])
    x_LT = np.array([[0, 2, 4, -6], [1, -1, 3, -5]], dtype=np.int16)
    # Feature maps ReLU(x_1) = 0 2 4 0 and ReLU(−x_2) = 0 1 0 5; the logit is their means times 3 and −2, so
    # that α = 3/4 and −2/4: ¾ (0 2 4 0) − ½ (0 1 0 5) = 0 1 3 −2.5, and below zero 0.
    assert grad_cam(networks, x_LT[None], 0)[0] == pytest.approx([0.0, 1.0, 3.0, 0.0])


def test_integrated_gradients_are_those_worked_by_hand() -> None:
    networks = hand_made([[1.0, 0.0], [0.0, -1.0]], [4.0, -8.0])
    x_LT = np.array([[1, 1, 1, 5, -2], [0, 0, 0, 10, -10]], dtype=np.int16)
    # Medians 1 and 0. In lead 1 the path from 1 to 5 has slope 4/5 throughout; that from 1 to −2 only until
    # 0, a third of it. In lead 2 ReLU(−x) has slope 0 on the way to 10 and −1 on the way to −10, times −8/5.
    values_LT, found = integrated_gradients(networks, x_LT, 0)
    assert baseline(x_LT).tolist() == [[1.0], [0.0]]
    assert values_LT[0, :4] == pytest.approx([0, 0, 0, 4 * 4 / 5], abs=1e-5)
    # A kink between two points of the quadrature is misplaced by at most the weight of one, .048 of the path
    # of length 3 for 32 points.
    assert values_LT[0, 4] == pytest.approx(-1 * 4 / 5, abs=0.048 * 3 * 4 / 5)
    assert values_LT[1] == pytest.approx([0, 0, 0, 0, -10 * 8 / 5], abs=1e-5)
    assert found.difference == pytest.approx(3.2 - 0.8 - 16)
    assert found.is_complete


def test_steps_are_centred_where_a_spike_shows_most() -> None:
    layers = (
        described.Convolution(1, 1, 3, 2),
        described.Residual(
            (described.Convolution(1, 1, 4, 2),), (described.Pool("mean", 2, 2, padded=True),)
        ),
        described.Pool("max", 2, 2),
    )
    # Step j of the first is centred on 2 j; the even kernel pads one sample more behind, which is half a step
    # of 2; the pool takes steps 0 and 1 of 4 samples each, whose middle is 2 further.
    assert centres(list(sequential(layers)), 5, 40).tolist() == [3.0, 11.0, 19.0, 27.0, 35.0]


@pytest.mark.slow
def test_the_place_of_grad_cam_is_behind_the_activation_of_the_last_convolution() -> None:
    for backbone, behind in (("cnn", "ReLU"), ("xresnet1d50", "ReLU"), ("s4d", "StateSpaceLayer")):
        if backbone not in space.FRONT_ENDS:
            continue
        architecture = space.Architecture(backbone=backbone, width=0.125)
        model = make_network(architecture)
        place = last_convolution(SimpleNamespace(model=model, architecture=architecture))  # type: ignore[arg-type]
        assert type(list(model.blocks)[place]).__name__ == behind  # type: ignore[arg-type]
        assert place == len(list(model.blocks)) - 1  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """Two members with recurrence, attention and gate."""
    architecture = with_recurrence()
    models = [make_network(architecture, seed=seed) for seed in (1, 2)]
    return networks_of(tmp_path_factory.mktemp("gated"), *models, architecture=architecture)


def test_probabilities_are_those_of_the_exported_graph(gated: Networks) -> None:
    x_LT = synthesise("CLBBB", 1, noise=1.0)
    p_NC = load_exported(gated.folder.path, int8=False)(x_LT[None]).probabilities_NC
    # Both compute in float32, whose rounding over some thousand sums stays below 1e-5.
    assert gated.probabilities(x_LT[None])[0] == pytest.approx(p_NC[0], abs=1e-5)


def test_attention_sums_to_one_and_gates_are_those_of_every_member(gated: Networks) -> None:
    found = internals(gated, synthesise("NORM", 3))
    assert [each.name for each in found.attention] == ["attention pooling"]
    assert found.attention[0].weights_T.shape == (1000,)
    assert found.attention[0].weights_T.sum() == pytest.approx(1)
    assert [gate_C.shape for gate_C in found.gate_MC] == [(8,), (8,)]
    assert all(((gate_C > 0) & (gate_C < 1)).all() for gate_C in found.gate_MC)


def test_an_attention_that_is_uniform_is_drawn_flat(tmp_path: Path) -> None:
    architecture = with_recurrence()
    model = make_network(architecture)
    model.pooling.context.weight.data.zero_()
    (attention,) = internals(
        networks_of(tmp_path, model, architecture=architecture), synthesise("NORM", 3)
    ).attention
    assert isinstance(attention, AttentionWeights)
    assert attention.weights_T == pytest.approx(np.full(1000, 1e-3), rel=1e-5)


def test_received_attention_is_that_worked_by_hand() -> None:
    # One head of width 1, two steps: queries 0 and ln 3, keys 1 and 0, so that the first attends evenly and
    # the second with odds 3 : 1.
    q, k = torch.tensor([0.0, np.log(3.0)]), torch.tensor([1.0, 0.0])
    projected = torch.stack([q, k, torch.zeros(2)], dim=-1)[None].float()
    assert received_attention(projected, 1)[0].tolist() == pytest.approx([0.625, 0.375])


def test_received_attention_in_windows_is_that_worked_by_hand() -> None:
    # Windows of two, shifted by one step. The first step shares its window with a step that is none, and
    # attends evenly; the other two are those above, which receive 1.25 and .75 of what they give.
    q, k = torch.tensor([0.0, 0.0, np.log(3.0)]), torch.tensor([2.0, 1.0, 0.0])
    projected = torch.stack([q, k, torch.zeros(3)], dim=-1)[None].float()
    found = received_attention(projected, 1, window=2, padding=(1, 0))
    assert found[0].tolist() == pytest.approx([0.5 / 2.5, 1.25 / 2.5, 0.75 / 2.5])


def test_a_frozen_front_end_has_a_map_too(tmp_path: Path) -> None:
    architecture = replace(SMALL, backbone="random-encoder")
    networks = networks_of(tmp_path, make_network(architecture), architecture=architecture)
    values_LT, found = integrated_gradients(networks, synthesise("CLBBB", 1), 0)
    assert np.abs(values_LT).sum() > 0
    assert found.is_complete


# ---------------------------------------------------------------------------------------------------------
# On a trained model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """A model of synthetic records with each of `CLASSES`."""
    model, statistics = train_on_synthetic()
    return networks_of(tmp_path_factory.mktemp("trained"), model, statistics=statistics)


@pytest.fixture(scope="module")
def three_trained(trained: Networks, tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """That model and two more as members of one.

    Where a single training looks depends on its rounding, and so on the processor and the number of threads.
    """
    models = [trained.members[0].model, *(train_on_synthetic(seed=seed)[0] for seed in (1, 2))]
    statistics = trained.members[0].statistics
    return networks_of(tmp_path_factory.mktemp("members"), *models, statistics=statistics)


@pytest.fixture(scope="module")
def random(trained: Networks, tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """The same with weights drawn anew."""
    folder = tmp_path_factory.mktemp("random")
    return networks_of(folder, make_network(seed=1), statistics=trained.members[0].statistics)


@pytest.mark.slow
def test_the_trained_model_knows_its_classes(trained: Networks) -> None:
    right = [
        np.argmax(trained.probabilities(synthesise(name, seed)[None])) == column
        for column, name in enumerate(CLASSES)
        for seed in SEEDS
    ]
    # Chance is a fifth.
    assert np.mean(right) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcam", "ig"])
def test_weights_drawn_anew_make_another_map(trained: Networks, tmp_path: Path, method: str) -> None:
    """Adebayo et al. 2018: a map that survives random weights shows the record, not the model.

    The few channels of one random network agree or disagree with the trained map by chance: rank correlations
    of Grad-CAM have a standard deviation of .33 over networks, so that the mean over eight is 0 ± .12.
    """

    def flat_map(networks: Networks, x_LT: np.ndarray) -> np.ndarray:
        if method == "gradcam":
            return grad_cam(networks, x_LT[None], column)[0]
        return integrated_gradients(networks, x_LT, column)[0].ravel()

    column = CLASSES.index("CLBBB")
    correlations = []
    for seed in SEEDS:
        anew = networks_of(
            tmp_path / str(seed), make_network(seed=seed), statistics=trained.members[0].statistics
        )
        x_LT = synthesise("CLBBB", seed, noise=1.0)
        map_of_trained, map_of_random = flat_map(trained, x_LT), flat_map(anew, x_LT)
        assert spearmanr(map_of_trained, flat_map(trained, x_LT)).statistic > 0.999
        # A map that is the same everywhere has no ranks; it is another map.
        is_flat = np.ptp(map_of_random) == 0
        correlations.append(0.0 if is_flat else spearmanr(map_of_trained, map_of_random).statistic)
    assert abs(np.mean(correlations)) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_integrated_gradients_sum_to_the_difference_of_the_logits(trained: Networks, name: str) -> None:
    """The logit of the baseline is found by a forward pass of its own, without captum."""
    column, x_LT = CLASSES.index(name), synthesise(name, 7, noise=1.0)
    values_LT, found = integrated_gradients(trained, x_LT, column)
    kept = trained.members[0]
    flat_LT = np.broadcast_to(np.median(x_LT, axis=1, keepdims=True), x_LT.shape)
    with torch.no_grad():
        z_2C = kept.model(kept.statistics.standardise(torch.from_numpy(np.stack([x_LT, flat_LT]))))
    difference = float(z_2C[0, column] - z_2C[1, column])
    # Gauss–Legendre on a path with kinks where a ReLU changes sides: the error falls with the square of the
    # points, which are doubled until it is within one percent, or a hundredth of a logit, where rounding of
    # float32 over 12,000 terms is some 1e-5.
    assert abs(values_LT.sum() - difference) <= max(0.01, 0.01 * abs(difference)) + 1e-4
    assert found.is_complete


def altered_samples(name: str, seed: int) -> np.ndarray:
    """Where the same heart without the statement differs by more than a tenth of the largest difference."""
    difference_T = np.abs(synthesise(name, seed) - synthesise(name, seed, severity=0.0).astype(float)).max(
        axis=0
    )
    return np.asarray(difference_T > 0.1 * difference_T.max())


def t_statistic(differences: list[float]) -> float:
    """Of a mean against zero."""
    return float(np.mean(differences) / (np.std(differences, ddof=1) / np.sqrt(len(differences))))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CLBBB", "WPW", "AFIB", "ISC_"])
def test_grad_cam_lies_on_what_the_statement_changes(three_trained: Networks, name: str) -> None:
    """ISC_ stands for the superclass STTC; of atrial fibrillation it is mostly beats at other times.

    By chance the share of the map on altered samples is the share of such samples.
    """
    column, excess = CLASSES.index(name), []
    for seed in SEEDS:
        is_altered_T = altered_samples(name, seed)
        map_T = grad_cam(three_trained, synthesise(name, seed)[None], column)[0]
        excess.append(map_T[is_altered_T].sum() / map_T.sum() - is_altered_T.mean())
    # Chance reaches this once in twenty, with 7 degrees of freedom.
    assert t_statistic(excess) > 1.895


@pytest.mark.slow
def test_integrated_gradients_lie_on_the_altered_waves_more_than_with_weights_drawn_anew(
    trained: Networks, random: Networks
) -> None:
    """Of ST and T waves, which are small.

    On QRS complexes integrated gradients are large whatever the weights, for their factor is the voltage.
    """
    column, over_chance, over_random = CLASSES.index("ISC_"), [], []
    for seed in SEEDS:
        is_altered_T, x_LT = altered_samples("ISC_", seed), synthesise("ISC_", seed)
        shares = []
        for networks in (trained, random):
            map_T = np.abs(integrated_gradients(networks, x_LT, column)[0]).sum(axis=0)
            shares.append(map_T[is_altered_T].sum() / map_T.sum())
        over_chance.append(shares[0] - is_altered_T.mean())
        over_random.append(shares[0] - shares[1])
    assert t_statistic(over_chance) > 1.895
    assert t_statistic(over_random) > 1.895


def test_of_an_exclusive_tier_the_class_that_the_model_predicts_is_explained() -> None:
    threshold_C = np.array([0.9, 0.2])
    p_NC = np.array([[0.7, 0.3], [np.nan, np.nan]])
    tier = SimpleNamespace(exclusive=True, threshold_C=threshold_C)
    assert class_to_explain(p_NC, tier) == 0  # type: ignore[arg-type]
    tier = SimpleNamespace(exclusive=False, threshold_C=threshold_C)
    assert class_to_explain(p_NC, tier) == 1  # type: ignore[arg-type]
