"""Axes found in any architecture; effects from pairs by hand and from the model where the truth is known."""

import math

import numpy as np
import pytest
from report_records import make_architecture, make_trial, pruned_trial

from reports.findings.axes import contrasts, find_axes, levels_of
from reports.findings.effects import Effect, axis_effects
from reports.findings.sentences import axis_answer, effect_words
from reports.numbers import interval_words, score_words
from storage.records import DecisionRecord, TrialRecord

LSTM, GRU, BILSTM = ("lstm", False), ("gru", False), ("lstm", True)


def effects_of(trials: list[TrialRecord]) -> dict[tuple[str, object, object], Effect]:
    return {
        (axis.name, effect.contrast.base, effect.contrast.level): effect
        for axis, found in axis_effects(trials, "subclass")
        for effect in found
    }


def test_every_field_is_an_axis_and_the_stack_is_three() -> None:
    architectures = [
        make_architecture(),
        make_architecture([LSTM], hidden_size=64, loss="power", exponent=0.4, cap=3.0),
        make_architecture([GRU, BILSTM], hidden_size=32, loss="focal", backbone="xresnet", filter=[0.5, 45]),
        *(make_architecture(gate=gate, loss=loss) for gate in (0, 4) for loss in ("bce", "focal")),
        *(make_architecture([GRU, BILSTM], hidden_size=32, gate=gate, loss="bce") for gate in (0, 4)),
    ]
    axes = {axis.name: axis for axis in find_axes([levels_of(each) for each in architectures])}
    assert axes["depth"].levels == (0, 1, 2)
    assert set(axes["direction"].levels) == {"forward", "mixed"}
    assert "depth" in axes["hidden_size"].follows
    assert axes["loss"].levels == ("bce", "focal", "power")
    assert axes["filter"].levels[-1] == "[0.5, 45]"  # anything new is there without being named
    assert "backbone" in axes
    assert contrasts(axes["exponent"], [], "subclass") == ()  # one value cannot be compared
    assert "label_smoothing" not in axes


def test_a_field_follows_the_one_that_decides_whether_it_has_a_value() -> None:
    losses = [("bce", None), ("power", 0.4), ("power", 1.0), ("focal", None)]
    levels = [
        levels_of(make_architecture(loss=loss, exponent=exponent, gate=gate))
        for loss, exponent in losses
        for gate in (0, 4)
    ]
    exponent = next(axis for axis in find_axes(levels) if axis.name == "exponent")
    assert exponent.follows == {"loss"}
    assert exponent.levels == (0.4, 1.0)


def test_numbers_are_compared_with_the_next_smaller_and_names_with_their_reference() -> None:
    levels = [
        levels_of(make_architecture([cell], hidden_size=size, label_tier=tier))
        for cell, size, tier in [(LSTM, 32, "all"), (GRU, 64, "subclass"), (LSTM, 128, "all")]
    ]
    found = {axis.name: contrasts(axis, levels, "subclass") for axis in find_axes(levels)}
    assert [(c.base, c.level) for c in found["hidden_size"]] == [(32, 64), (64, 128)]
    assert [(c.base, c.level) for c in found["cell"]] == [("LSTM", "GRU")]
    assert [(c.base, c.level) for c in found["label_tier"]] == [("subclass", "all")]


def test_pairs_by_hand() -> None:
    """Eight pairs that differ in the gate alone: differences .01 … .08, mean .045, t of 7 degrees."""
    trials = []
    for index in range(8):
        for gate in (0, 4):
            score = 0.4 + 0.03 * index + (0.01 * (index + 1) if gate else 0.0)
            architecture = make_architecture(conv_width=8 * (index + 1), gate=gate)
            trials.append(
                make_trial(len(trials), score, 1000 * (2 if gate else 1), architecture=architecture)
            )
    effect = effects_of(trials)["gate", 0, 4]
    assert (effect.method, effect.n, effect.n_forecasts) == ("paired", 8, 0)
    assert effect.difference == pytest.approx(0.045)
    half = 2.364624 * math.sqrt(0.0006) / math.sqrt(8)  # t.ppf(.975, 7); variance of .01 … .08
    assert (effect.low, effect.high) == pytest.approx((0.045 - half, 0.045 + half))
    assert effect.cost_ratio == pytest.approx(2.0)
    assert effect.is_real


def test_a_second_layer_is_paired_with_the_stacks_that_have_it_not() -> None:
    trials = []
    for width in range(8, 72, 8):
        for stack, score in (((), 0.3), ((LSTM,), 0.4), ((LSTM, GRU), 0.45), ((BILSTM, BILSTM), 0.9)):
            architecture = make_architecture(stack, hidden_size=64, conv_width=width)
            noise = 0.001 * (width % 3)
            trials.append(make_trial(len(trials), score + noise * len(stack), architecture=architecture))
    effects = effects_of(trials)
    first, second = effects["depth", 0, 1], effects["depth", 1, 2]
    assert (first.method, second.method) == ("paired", "paired")
    assert first.difference == pytest.approx(0.1, abs=0.005)
    assert second.difference == pytest.approx(0.05, abs=0.005)  # two BiLSTMs are no LSTM with a layer more


def test_the_model_finds_what_went_in() -> None:
    """Two hundred architectures at random, so that hardly any two make a pair."""
    rng = np.random.default_rng(0)
    held = {"gate": 0, "loss": 0, "depth": 0}
    for seed in range(10):
        trials = []
        for number in range(200):
            depth, gate = int(rng.integers(3)), int(rng.choice([0, 4]))
            loss = str(rng.choice(["bce", "focal"]))
            architecture = make_architecture(
                [LSTM] * depth,
                hidden_size=int(rng.integers(8, 200)),
                conv_width=int(rng.integers(8, 100)),
                gate=gate,
                loss=loss,
            )
            score = 0.5 + 0.02 * (gate == 4) - 0.01 * (loss == "focal") + 0.03 * min(depth, 1)
            score += float(rng.normal(0, 0.01))
            trials.append(make_trial(number, score, architecture=architecture))
        effects = effects_of(trials)
        gate_effect, loss_effect = effects["gate", 0, 4], effects["loss", "bce", "focal"]
        depth_effect = effects["depth", 1, 2]
        assert "model" in {gate_effect.method, loss_effect.method, depth_effect.method}
        assert gate_effect.is_real, seed
        held["gate"] += gate_effect.low <= 0.02 <= gate_effect.high
        held["loss"] += loss_effect.low <= -0.01 <= loss_effect.high
        held["depth"] += depth_effect.low <= 0 <= depth_effect.high
    assert sum(held.values()) >= 25  # of 30 intervals at 95 %


def test_a_pruned_trial_counts_with_its_forecast() -> None:
    decision = DecisionRecord(
        fold=1, epoch=2, rival=0, needed=0.5, predicted=0.35, standard_error=0.02, pruned=True, reason=""
    )
    trials = []
    for width in range(8, 72, 8):
        gated = make_architecture(conv_width=width, gate=4)
        trials.append(make_trial(len(trials), 0.4, architecture=make_architecture(conv_width=width)))
        trials.append(pruned_trial(len(trials), [0.3], architecture=gated, decision=decision))
    effect = effects_of(trials)["gate", 0, 4]
    assert effect.difference == pytest.approx(-0.05)
    assert effect.n_forecasts == 8


def test_too_few_trials_say_so() -> None:
    trials = [make_trial(0, 0.4), make_trial(1, 0.5, architecture=make_architecture(gate=4))]
    ((axis, found),) = axis_effects(trials, "subclass")
    assert found[0].method == "none"
    assert axis_answer(axis, found) == "feature-wise gate: too few trials to tell"
    assert effect_words(found[0]).endswith("cannot be estimated from 2 trials")
    assert axis_effects([], "subclass") == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.6912, ".691"),
        (-0.004, "−.004"),
        (0.0001, ".000"),
        (1.0, "1.000"),
        (math.nan, "–"),
        (-0.0004, ".000"),
    ],
)
def test_numbers_in_words(value: float, words: str) -> None:
    assert score_words(value) == words


def test_intervals_in_words() -> None:
    assert interval_words(-0.004, -0.011, 0.003, signed=True) == "−.004 [−.011, .003]"
    assert interval_words(0.021, math.nan, 0.3, signed=True) == "+.021"
