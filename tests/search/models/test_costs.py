"""Costs in closed form are those of the built model: products by hooks, memory by a simulated allocator."""

import random

import pytest
import torch
from allocator import counted, counted_bytes, empty_model
from space_points import anything
from torch import nn

import space
from search.models.costs import costs_of, count_parameters, layer_operations, operations, total
from search.models.frontends.layers import (
    Branches,
    Convolution,
    MinGruLayer,
    Recurrent,
    Relu,
    Residual,
    TransformerLayer,
)
from search.models.hybrid import n_parameters
from space import Architecture, Cell, Cost, Inputs, RecurrentLayer

INPUTS = Inputs(n_features=80, likelihoods=True)


def check(architecture: Architecture, n_outputs: int, inputs: Inputs) -> None:
    model = empty_model(architecture, n_outputs, inputs)
    costs = costs_of(architecture, n_outputs, inputs)
    told = costs.to_dict()
    assert told["parameters"] == n_parameters(model) == count_parameters(architecture, n_outputs, inputs)
    assert (told["bytes"], told["bytes-int8"]) == counted_bytes(model)
    macs, peak = counted(model, architecture, inputs)
    assert told["macs"] == macs
    assert (told["memory"], told["memory-int8"]) == (4 * peak, peak)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(n for n, p in space.PRESETS.items() if p.queued), "cnn-ungated"])
def test_costs_of_a_preset_are_those_of_the_built_model(name: str) -> None:
    check(space.preset(name, "subclass"), 23, INPUTS)


def points(n: int, seed: int) -> list[tuple[Architecture, int, Inputs]]:
    draw = random.Random(seed)
    return [
        (
            anything(draw),
            draw.randrange(1, 80),
            Inputs(
                n_leads=draw.choice([1, 2, 12]),
                # Short signals, too, so that each part of a model has the peak in some.
                n_samples=draw.choice([40, 187, 256, 1000, 2500]),
                n_features=draw.choice([3, 80]),
            ),
        )
        for _ in range(n)
    ]


@pytest.mark.parametrize("backbone", ["separable", "tcn", "mingru", "resnet1d", "mrf-cnn", "msw-transformer"])
@pytest.mark.parametrize("n_samples", [40, 999])
def test_costs_of_an_efficient_front_end_are_those_of_the_built_model(backbone: str, n_samples: int) -> None:
    """With an odd length, a stride, another kernel where there is a choice, and recurrent layers behind."""
    kernel = 5 if space.FRONT_ENDS[backbone].kernels else None
    architecture = Architecture(
        backbone=backbone,
        width=0.125,
        kernel=kernel,
        stride=2,
        recurrent=(RecurrentLayer(cell="gru", bidirectional=True),),
        hidden_size=7,
        pooling="attention",
    )
    check(architecture, 5, Inputs(n_leads=2, n_samples=n_samples))


@pytest.mark.parametrize("backbone", ["lstm", "lstm-bidir"])
@pytest.mark.parametrize("behind", [(), (RecurrentLayer(cell="gru", bidirectional=True),)])
def test_costs_of_recurrent_layers_on_the_signal_are_those_of_the_built_model(
    backbone: str, behind: tuple[RecurrentLayer, ...]
) -> None:
    """Alone and with another layer behind the front end; the last states are pooled as well."""
    architecture = Architecture(
        backbone=backbone,
        width=0.125,
        recurrent=behind,
        hidden_size=7,
        pooling="last-mean-max",
        head="bottleneck",
        head_width=8,
    )
    check(architecture, 5, Inputs(n_leads=3, n_samples=41))


def test_costs_of_a_bidirectional_layer_of_a_front_end_by_hand() -> None:
    """A layer of 6 units a direction on 5 channels and 20 time steps, alone and beside a convolution."""
    layer = Recurrent(5, 6, RecurrentLayer(cell="lstm", bidirectional=True))
    ((listed,), size) = layer_operations((layer,), (5, 20))
    assert (listed.words, listed.operator, listed.steps) == ("BiLSTM(6)", "lstm", 40)
    assert size == (listed.channels, listed.samples) == (12, 20)
    assert listed.parameters == 2 * (4 * 6 * (5 + 6) + 2 * 4 * 6)
    assert (listed.macs, listed.vectors) == (2 * 4 * 6 * (5 + 6) * 20, 2 * 2 * 4 * 6)
    # What enters and leaves; four gates and the cell state of one time step.
    assert listed.live == (5 + 12) * 20 + 5 * 6
    beside, _ = layer_operations((Residual((layer,), (Convolution(5, 12, 1),)),), (5, 20))
    assert [each.live for each in beside] == [listed.live, (12 + 5 + 12) * 20, (12 + 12) * 20]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_costs_of_200_random_points_are_those_of_the_built_models() -> None:
    for point in points(200, 18):
        check(*point)


# ---------------------------------------------------------------------------------------------------------
# By hand


def test_costs_of_a_small_network_by_hand() -> None:
    """Four channels, LSTM of 3 units on 20 samples of 2 leads, mean, no head, 5 classes."""
    architecture = Architecture(
        width=1 / 16, recurrent=(RecurrentLayer(cell="lstm"),), hidden_size=3, head="linear", dropout=0.0
    )
    costs = costs_of(architecture, 5, Inputs(n_leads=2, n_samples=20))
    # Convolutions 2 → 4 → 8 → 16 of kernels 15, 10, 5 on 20, 10 and 5 samples, halved by pools to 2.
    convolutions = 2 * 4 * 15 * 20 + 4 * 8 * 10 * 10 + 8 * 16 * 5 * 5
    lstm = 2 * 4 * 3 * (16 + 3)
    assert costs.macs == convolutions + lstm + 3 * 5
    # A bias a convolution, two vectors a batch norm; two of four gates in the LSTM; the bias of the output.
    assert costs.vectors == 3 * (4 + 8 + 16) + 2 * 4 * 3 + 5
    weights = 2 * 4 * 15 + 4 * 8 * 10 + 8 * 16 * 5 + 4 * 3 * (16 + 3) + 3 * 5
    assert costs.to_dict()["bytes"] == 4 * (weights + costs.vectors)
    assert costs.to_dict()["bytes-int8"] == weights + 4 * costs.vectors
    # The first convolution reads 2 × 20 and writes 4 × 20; its pool 4 × 20 and 4 × 10; the second convolution
    # 4 × 10 and 8 × 10.
    assert costs.live == 40 + 80
    assert costs.to_dict()["memory"] == 480
    assert costs.operators == {"conv", "pool", "lstm"}


def test_costs_of_depthwise_dilated_and_mingru_layers_by_hand() -> None:
    layers = (
        Convolution(6, 6, 5, 2, groups=6),
        Convolution(6, 8, 3, dilation=4, bias=True),
        MinGruLayer(8, 0.1),
    )
    listed, size = layer_operations(layers, (6, 20))
    assert size == (8, 10)
    assert [each.words for each in listed] == [
        "depthwise convolution kernel 5, stride 2",
        "convolution kernel 3, dilation 4",
        "minGRU layer",
    ]
    # Of a minGRU layer on w = 8 channels: W_z and W_c, 8 × 16 each, W of 16 × 8, at each of 10 time steps.
    assert [each.macs for each in listed] == [6 * 5 * 10, 6 * 3 * 8 * 10, (2 * 8 * 16 + 16 * 8) * 10]
    biases = 16 + 16 + 8 + 2 * 8  # the last ones are those of the norm
    assert [each.parameters for each in listed] == [30, 6 * 3 * 8 + 8, 2 * 8 * 16 + 16 * 8 + biases]
    assert [each.vectors for each in listed] == [0, 8, biases]
    # Its input, gates and candidates of both directions, and the positive part of these.
    assert listed[-1].live == (8 + 16 + 16 + 16) * 10


def test_costs_of_attention_in_windows_by_hand() -> None:
    """Windows of 5 among 12 time steps of 8 channels, two heads: three are needed, shifted or not."""
    layers = [TransformerLayer(8, 2, 16, 0.1, window=5, shift=shift) for shift in (0, 2)]
    assert [layer.padding(12) for layer in layers] == [(0, 3), (3, 0)]
    listed, size = layer_operations(layers, (8, 12))
    assert size == (8, 12)
    assert [each.words for each in listed] == [
        "Transformer layer window 5",
        "Transformer layer window 5, shift 2",
    ]
    # Dense layers on 12 steps; queries with keys and weights with values, of 5 steps each in 15.
    assert {each.macs for each in listed} == {12 * (4 * 8 * 8 + 2 * 8 * 16) + 2 * 15 * 5 * 8}
    # The input; queries, keys and values of 12 steps and of 15; the weights of two heads are fewer.
    assert {each.live for each in listed} == {8 * 12 + 3 * 8 * (12 + 15)}


def test_operations_come_in_order_with_the_shapes_of_the_model() -> None:
    architecture = space.preset("cnn-gru", "subclass")
    listed = operations(architecture, 23)
    assert [each.words for each in listed if each.of != "backbone"] == [
        *("GRU(128)", "mean over time", "gate/16"),
        *("dense 512, ReLU, batch norm", "dense 256, ReLU, batch norm", "output 23"),
    ]
    convolutions = [(each.channels, each.samples) for each in listed if each.words.startswith("convolution")]
    assert convolutions == [(64, 1000), (128, 500), (256, 250)]
    assert total(listed) == costs_of(architecture, 23)


def test_a_residual_sum_keeps_what_entered_in_memory() -> None:
    """Path of two convolutions on 10 × 8 values, shortcut the input: three tensors at the second one."""
    path = (Convolution(10, 10, 3), Relu(), Convolution(10, 10, 3))
    listed, _ = layer_operations((Residual(path),), (10, 8))
    assert [each.live for each in listed] == [160, 160, 240, 160]
    # Beside one another: 30 of 8 values at the end, and both copies when they are put together.
    beside = Branches(((Convolution(10, 20, 1),), (Convolution(10, 10, 1),)))
    listed, size = layer_operations((beside,), (10, 8))
    assert size == (30, 8)
    assert [each.live for each in listed] == [80 + 160, 80 + 160 + 80, 240 + 240]


# ---------------------------------------------------------------------------------------------------------
# Of one's own


class Doubled(nn.Module):
    """Two dense layers on what enters; a cell without a cost of its own."""

    def __init__(self, n_in: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(n_in, hidden), nn.Linear(n_in, hidden)

    def forward(self, x_BTC: torch.Tensor) -> torch.Tensor:
        return self.first(x_BTC) * self.second(x_BTC)


class Undecided(Doubled):
    """Looks at numbers before it goes on."""

    def forward(self, x_BTC: torch.Tensor) -> torch.Tensor:
        return super().forward(x_BTC) if x_BTC.sum().item() >= 0 else x_BTC


@pytest.fixture
def own_cell(request: pytest.FixtureRequest):
    cell = request.param
    space.CELLS["own"] = cell
    yield Architecture(recurrent=(RecurrentLayer(cell="own"),), hidden_size=8)
    del space.CELLS["own"]


def of_own_cell(**told) -> Cell:
    return Cell(words="own", parameters=lambda n_in, hidden: 2 * (n_in + 1) * hidden, **told)


@pytest.mark.parametrize("own_cell", [of_own_cell(module=Doubled)], indirect=True)
def test_a_cell_without_a_cost_is_measured(own_cell: Architecture) -> None:
    costs = costs_of(own_cell, 5)
    (measured,) = [each for each in operations(own_cell, 5) if each.of == "recurrent"]
    assert measured.macs == 125 * 2 * 256 * 8
    assert measured.vectors == 2 * 8
    # Both factors and their product live at once; the product is what leaves.
    assert measured.live == 125 * (256 + 3 * 8)
    assert "own" in costs.operators


@pytest.mark.parametrize(
    "own_cell",
    [of_own_cell(module=Undecided, cost=lambda n_in, hidden: Cost(macs=7, vectors=16, working=5))],
    indirect=True,
)
def test_a_declared_cost_counts_as_declared(own_cell: Architecture) -> None:
    (declared,) = [each for each in operations(own_cell, 5) if each.of == "recurrent"]
    assert (declared.macs, declared.vectors, declared.live) == (7 * 125, 16, 125 * (256 + 8) + 5)


@pytest.mark.parametrize("own_cell", [of_own_cell(module=Undecided)], indirect=True)
def test_a_cell_that_cannot_be_measured_is_refused_in_one_line(own_cell: Architecture) -> None:
    with pytest.raises(
        space.SpaceError, match=r"^the cost of cell own cannot be measured .*declare it"
    ) as refused:
        costs_of(own_cell, 5)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("wrong", [{"macs": -1}, {"macs": 1.5}, {"macs": 1, "working": True}])
def test_a_cost_is_whole_numbers(wrong: dict) -> None:
    with pytest.raises(space.SpaceError, match="is a whole number from 0 up, got"):
        Cost(**wrong)
