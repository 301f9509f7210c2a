"""Architectures and listed parameters as candidates with features, costs and neighbours."""

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import optuna
import pytest
from architectures import indices
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scores.costs import COSTS
from search.models.costs import costs_of, count_parameters, operations
from search.models.latency import LatencyModel
from search.sampler.cost_table import CostTable
from search.sampler.encoding import SpaceCandidates
from search.sampler.listed import ListedCandidates
from space import Inputs, Space, SpaceError

N_OUTPUTS = {"superclass": 5, "subclass": 23, "diagnostic": 44, "all": 71}
PAPER = Space("paper", ("superclass", "subclass"))
WIDE = Space("wide", ("superclass", "subclass", "diagnostic", "all"))
SPACES = {space.name: space for space in (PAPER, WIDE)}


@functools.cache  # a second that those who only collect the tests need not wait
def candidates_of(name: str) -> SpaceCandidates:
    return SpaceCandidates(SPACES[name], N_OUTPUTS)


names = st.sampled_from(["paper", "wide"])


@st.composite
def picks(draw):
    name = draw(names)
    return candidates_of(name), SPACES[name], draw(indices(SPACES[name]))


def position(index):
    return np.array([index], dtype=np.int64)


@pytest.mark.slow
def test_lists_the_space() -> None:
    candidates = candidates_of("paper")
    assert len(candidates) == len(PAPER)
    assert {candidates.architecture(index) for index in range(len(candidates))} == set(PAPER)
    assert len(candidates_of("wide")) == len(WIDE)


@given(picks())
def test_parameters_lead_back_to_the_position(pick) -> None:
    candidates, space, index = pick
    params = candidates[index]
    assert candidates.index(params) == index
    architecture = space.suggest(optuna.trial.FixedTrial(dict(params)))
    assert architecture == candidates.architecture(index)
    assert architecture.digest == candidates.name(index)


@given(picks())
def test_cost_is_the_closed_form(pick) -> None:
    candidates, _, index = pick
    architecture = candidates.architecture(index)
    parameters = count_parameters(architecture, N_OUTPUTS[architecture.label_tier])
    assert candidates.log_cost(position(index))[0] == pytest.approx(np.log10(parameters), abs=1e-12)


@pytest.mark.parametrize("name", ["paper", "wide"])
def test_different_architectures_have_different_features(name) -> None:
    candidates, space = candidates_of(name), SPACES[name]
    step = max(1, len(space) // 20_000)
    x_ND = candidates.encode(np.arange(0, len(space), step))[:, :-1]  # without the cost
    assert len(np.unique(x_ND, axis=0)) == len(x_ND)


@given(picks())
def test_neighbours_have_other_features(pick) -> None:
    candidates, _, index = pick
    near = candidates.neighbours(index)
    x_ND = candidates.encode(np.append(near, index))[:, :-1]
    assert len(np.unique(x_ND, axis=0)) == len(near) + 1


@pytest.mark.parametrize("name", ["paper", "wide"])
def test_features_have_unit_range_and_vary(name) -> None:
    candidates, space = candidates_of(name), SPACES[name]
    x_ND = candidates.encode(np.linspace(0, len(space) - 1, 20_000).astype(np.int64))
    assert x_ND.shape == (20_000, candidates.n_features)
    assert x_ND.min() >= 0
    assert x_ND.max() <= 1
    assert (np.ptp(x_ND, axis=0) > 0.4).all()


def axes_that_differ(a, b) -> int:
    """Axes with another value; width, kernel and stride come with a front end."""
    with_front_end = {"width", "kernel", "stride"} if a.get("backbone") != b.get("backbone") else set()
    return sum(a.get(axis) != b.get(axis) for axis in (set(a) | set(b)) - with_front_end)


@given(picks())
def test_neighbours_are_mutual_and_differ_in_one_choice(pick) -> None:
    candidates, _, index = pick
    here = candidates[index]
    near = candidates.neighbours(index).tolist()
    assert len(set(near)) == len(near)
    assert index not in near
    for other in near[::7]:
        there = candidates[other]
        assert index in candidates.neighbours(other)
        if here["depth"] == there["depth"] and here["loss"] == there["loss"]:
            assert axes_that_differ(here, there) == 1
        else:
            assert abs(here["depth"] - there["depth"]) + (here["loss"] != there["loss"]) == 1


def test_neighbours_of_a_paper_architecture_by_hand() -> None:
    layer = {"depth": 1, "cell_1": "lstm", "direction_1": "forward", "hidden_size": 128}
    widths = {"width": 1.0, "head_width": 512, "gate": 0}
    params = {**layer, **widths, "loss": "bce", "label_smoothing": 0.05, "label_tier": "subclass"}
    candidates = candidates_of("paper")
    near = candidates.neighbours(candidates.index(params))
    # Cell, direction, no layer, four second layers; nine other losses; two gates; one tier.
    assert len(near) == (1 + 1 + 1 + 4) + 9 + 2 + 1


@pytest.mark.parametrize("missing", ["depth", "cell_1", "loss", "hidden_size", "label_tier"])
def test_incomplete_parameters_have_no_position(missing) -> None:
    candidates = candidates_of("wide")
    params = dict(candidates[len(candidates) - 1])
    del params[missing]
    with pytest.raises(KeyError):
        candidates.index(params)


def test_values_outside_the_space_have_no_position() -> None:
    candidates = candidates_of("wide")
    with pytest.raises(KeyError):
        candidates.index({**candidates[0], "width": 0.3})


def test_a_tier_without_a_size_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        SpaceCandidates(PAPER, {"superclass": 5})
    with pytest.raises(SpaceError):
        Space("paper", ())


# ---------------------------------------------------------------------------------------------------------
# Any listing


def listed() -> ListedCandidates:
    listing = [{"width": width, "kind": kind} for width, kind in itertools.product((8, 16, 64), "ab")]
    return ListedCandidates(
        listing,
        encode=lambda params: (np.log2(params["width"]), params["kind"] == "b"),
        cost_of=lambda params: 10.0 * params["width"],
    )


def test_a_listing_scales_features_and_costs() -> None:
    candidates = listed()
    assert candidates.encode(np.array([0, 2, 5])).tolist() == [[0, 0], [pytest.approx(1 / 3), 0], [1, 1]]
    assert candidates.log_cost(np.array([0])).tolist() == [pytest.approx(np.log10(80))]
    assert candidates.index({"kind": "b", "width": 64}) == 5
    assert candidates.name(5) == "kind='b', width=64"
    assert candidates.neighbours(0).tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    ("listing", "cost", "message"),
    [
        ([], 1.0, "at least one candidate"),
        ([{"a": 1}, {"a": 1}], 1.0, "must differ"),
        ([{"a": 1}], 0.0, "positive and finite"),
        ([{"a": 1}], float("inf"), "positive and finite"),
    ],
)
def test_a_listing_that_cannot_be_searched(listing, cost, message) -> None:
    with pytest.raises(ValueError, match=message):
        ListedCandidates(listing, encode=lambda params: [params["a"]], cost_of=lambda params: cost)


# ---------------------------------------------------------------------------------------------------------
# Costs of many at once


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wide", "full"])
def test_costs_of_a_hundred_thousand_are_those_of_each(name: str) -> None:
    inputs = Inputs(n_samples=250, n_features=80, likelihoods=True)
    space = Space(name, tuple(N_OUTPUTS), inputs=inputs)
    latency = LatencyModel(
        machine="made up",
        coefficients={
            "record": 1e4,
            "operation": 700.0,
            "conv MAC": 0.08,
            "gru MAC": 0.15,
            "lstm step": 90.0,
        },
        error=0.1,
        error_p90=0.2,
        n_measured=40,
    )
    table = CostTable(space, N_OUTPUTS, latency)
    sizes = tuple(len(group) for group in space.groups)
    drawn = np.random.default_rng(1).integers(0, len(space), 100_000)
    digits = np.unravel_index(drawn, sizes)
    found = {cost: table.costs(cost, digits) for cost in COSTS}
    for position in range(0, len(drawn), 2_000):
        architecture = space[int(drawn[position])]
        n_outputs = N_OUTPUTS[architecture.label_tier]
        costs = costs_of(architecture, n_outputs, inputs)
        told = {cost: values[position] for cost, values in found.items()}
        # Rounded part by part here, as a whole there: less than 10 parts, each by half a nanosecond at most.
        latency_ns = latency.nanoseconds(operations(architecture, n_outputs, inputs)) + latency.overhead_ns
        assert abs(1000 * told.pop("latency") - latency_ns) <= 1000 + 5
        assert told == costs.to_dict()
    for cost, values in found.items():
        low, high = table.log_range(cost)
        # Bounds are logarithms: a rounding or two of 1e-16 of at most 10.
        assert low - 1e-12 <= np.log10(values.min()) <= np.log10(values.max()) <= high + 1e-12


def test_costs_of_a_whole_space_are_computed_once_for_each_network(monkeypatch: pytest.MonkeyPatch) -> None:
    table = CostTable(PAPER, N_OUTPUTS)
    everything = np.unravel_index(np.arange(len(PAPER)), [len(group) for group in PAPER.groups])
    expected = np.log10(table.costs("macs", everything))
    computed: list[int] = []

    def costs(self: CostTable, name: str, digits: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        found = of_each(self, name, digits)
        computed.append(len(found))
        return found

    of_each = CostTable.costs
    monkeypatch.setattr(CostTable, "costs", costs)
    assert np.array_equal(table.log10("macs", everything), expected)
    assert sum(computed) < len(PAPER) / 5
