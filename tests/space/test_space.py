"""The space: canonical architectures, a fixed listing, the way to Optuna and back, and its texts."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import optuna
import pytest
from architectures import BILSTM, GRU, LSTM, STACKS, TIERS, arbitrary, indices, members
from hypothesis import given
from hypothesis import strategies as st

import space
from search.models.costs import count_parameters
from search.models.frontends.layers import n_parameters, width_after
from search.models.parameters import (
    front_end_layers,
    head_widths,
    pooling_size,
    recurrent_width,
)
from space import Architecture, Inputs, RecurrentLayer, Space, SpaceError

WIDE = Space("wide", TIERS)
PAPER = Space("paper", TIERS)
ALL_INPUTS = Inputs(n_features=80, likelihoods=True)
FULL = Space("full", TIERS, inputs=ALL_INPUTS)
SPACES = pytest.mark.parametrize("listed", [WIDE, PAPER, FULL], ids=lambda listed: listed.name)
BACKBONE_NAMES = (
    "cnn, resnet1d-se, cnn-transformer, fcn-wang, resnet1d-wang, inception1d, xresnet1d50, xresnet1d101, "
    "s4d, separable, tcn, mingru, lstm, lstm-bidir, resnet1d, mrf-cnn, msw-transformer or random-encoder"
)
RECIPE_NAMES = "study, resnet1d-se, hc-cnn-tn, s4d, benchmark, benchmark-rnn or jafari"
HYBRIDS = [name for name, entry in space.PRESETS.items() if entry.source == "Jafari & Jafari"]


# ---------------------------------------------------------------------------------------------------------
# Architectures


@given(arbitrary() | members(WIDE) | members(FULL))
def test_an_architecture_survives_json(architecture: Architecture) -> None:
    text = json.dumps(architecture.to_dict(), allow_nan=False)
    assert Architecture.from_dict(json.loads(text)) == architecture


@pytest.mark.slow
@given(arbitrary() | members(PAPER) | members(FULL), arbitrary() | members(PAPER))
def test_digests_are_equal_exactly_when_architectures_are(first: Architecture, second: Architecture) -> None:
    assert (first.digest == second.digest) == (first == second)
    assert Architecture.from_dict(first.to_dict()).digest == first.digest


@given(members(PAPER), st.data())
def test_digests_tell_neighbours_apart(architecture: Architecture, data: st.DataObject) -> None:
    field, value = data.draw(
        st.sampled_from([("gate", 4), ("gate", 0), ("label_tier", "all"), ("width", 0.5), ("loss", "bce")])
    )
    changed = replace(architecture, **{field: value})
    assert (changed.digest == architecture.digest) == (getattr(architecture, field) == value)


@given(st.integers(1, 300) | st.none(), st.floats(0.01, 1) | st.none(), st.floats(1, 100) | st.none())
def test_fields_that_change_nothing_do_not_distinguish(
    hidden_size: int | None, exponent: float | None, cap: float | None
) -> None:
    for loss in ("bce", "focal", "balanced"):
        plain = Architecture(loss=loss, hidden_size=hidden_size, exponent=exponent, cap=cap, kernel=7)
        assert plain == Architecture(loss=loss)
        assert plain.digest == Architecture(loss=loss).digest
        assert (plain.hidden_size, plain.exponent, plain.cap, plain.kernel) == (None, None, None, None)
    assert Architecture(head="linear", head_width=64) == Architecture(head="linear")
    assert Architecture(alpha=0.5, gamma=1.0) == Architecture()
    assert Architecture(loss="focal") == Architecture(loss="focal", alpha=0.25, gamma=2)
    assert Architecture(backbone="resnet1d-se") == Architecture(backbone="resnet1d-se", kernel=3)


@given(arbitrary())
def test_canonical_form_is_a_fixed_point(architecture: Architecture) -> None:
    assert replace(architecture) == architecture
    assert (architecture.hidden_size is None) == (not architecture.recurrent)
    assert (architecture.exponent is None) == (architecture.cap is None) == (architecture.loss != "power")


def test_whole_and_decimal_numbers_name_the_same_architecture() -> None:
    whole = Architecture(loss="power", exponent=1, cap=3, label_smoothing=0)
    decimal = Architecture(loss="power", exponent=1.0, cap=3.0, label_smoothing=0.0)
    assert whole == decimal
    assert whole.digest == decimal.digest
    assert Architecture(recurrent=[GRU]) == Architecture(recurrent=(GRU,))
    assert hash(Architecture(recurrent=[GRU])) == hash(Architecture(recurrent=(GRU,)))


def test_digests_do_not_change_between_versions() -> None:
    """A database keeps digests for years: a new default or a renamed field must not change them."""
    assert Architecture().digest == "e8fd38d012e374c3"
    assert space.preset("cnn-gru-bilstm-lstm", "subclass").digest == "5709e3ef3fba367c"
    assert space.preset("hc-cnn-tn", "subclass").digest == "9f69145b9c86b5ae"


def test_an_architecture_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Architecture().gate = 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recurrent": (GRU,) * 4}, "at most 3 recurrent layers, got 4"),
        ({"recurrent": (GRU,), "hidden_size": None}, "hidden_size is a positive whole number, got None"),
        ({"recurrent": (GRU,), "hidden_size": 0}, "hidden_size is a positive whole number, got 0"),
        ({"recurrent": (GRU,), "hidden_size": 64.0}, "hidden_size is a positive whole number, got 64.0"),
        ({"width": -1}, "width is a factor from 0.01 to 8, got -1"),
        ({"width": True}, "width is a factor from 0.01 to 8, got True"),
        ({"width": "1"}, "width is a factor from 0.01 to 8, got '1'"),
        ({"head_width": 63}, "head_width is an even positive whole number, got 63"),
        ({"head_width": 0}, "head_width is an even positive whole number, got 0"),
        ({"gate": 3}, "gate is 0 or a whole reduction from 4 to 64, got 3"),
        ({"gate": False}, "gate is 0 or a whole reduction from 4 to 64, got False"),
        ({"loss": "hinge"}, "loss is bce, power, focal or balanced, got 'hinge'"),
        (
            {"backbone": "vgg"},
            f"backbone is {BACKBONE_NAMES}, got 'vgg'",
        ),
        ({"backbone": "resnet1d-se", "kernel": 4}, "kernel is an odd positive whole number, got 4"),
        ({"pooling": "last"}, "pooling is mean, attention, mean-max or last-mean-max, got 'last'"),
        ({"head": None}, "head is dense, bottleneck or linear, got None"),
        ({"features": 1}, "features is true or false, got 1"),
        ({"dropout": 1.0}, "dropout lies in [0, 1), got 1.0"),
        ({"loss": "focal", "alpha": 1}, "alpha lies in (0, 1), got 1"),
        ({"loss": "focal", "gamma": -1}, "gamma lies in [0, 10], got -1"),
        ({"synthetic": 1.5}, "synthetic lies in [0, 1), got 1.5"),
        ({"filter": "notch"}, "filter is none, bandpass or median, got 'notch'"),
        ({"augmentation": "cutmix"}, "augmentation is none, noise, rich or mixup, got 'cutmix'"),
        ({"recipe": "sgd"}, f"recipe is {RECIPE_NAMES}, got 'sgd'"),
        ({"loss": "power", "cap": 3.0}, "exponent lies in (0, 1], got None"),
        ({"loss": "power", "exponent": 0.0, "cap": 3.0}, "exponent lies in (0, 1], got 0.0"),
        ({"loss": "power", "exponent": 1.5, "cap": 3.0}, "exponent lies in (0, 1], got 1.5"),
        ({"loss": "power", "exponent": "1", "cap": 3.0}, "exponent lies in (0, 1], got '1'"),
        ({"loss": "power", "exponent": 0.5}, "cap is at least 1, got None"),
        ({"loss": "power", "exponent": 0.5, "cap": 0.9}, "cap is at least 1, got 0.9"),
        ({"loss": "power", "exponent": 0.5, "cap": float("inf")}, "cap is at least 1, got inf"),
        ({"label_smoothing": 0.5}, "label_smoothing lies in [0, 0.5), got 0.5"),
        ({"label_smoothing": -0.1}, "label_smoothing lies in [0, 0.5), got -0.1"),
        ({"label_smoothing": float("nan")}, "label_smoothing lies in [0, 0.5), got nan"),
        ({"label_smoothing": None}, "label_smoothing lies in [0, 0.5), got None"),
        ({"loss": "power", "exponent": 0.5, "cap": 10**400}, f"cap is at least 1, got {10**400}"),
        ({"dropout": "0.5"}, "dropout lies in [0, 1), got '0.5'"),
        ({"dropout": float("nan")}, "dropout lies in [0, 1), got nan"),
        ({"dropout": [0.5]}, "dropout lies in [0, 1), got [0.5]"),
        ({"backbone": ["cnn"]}, f"backbone is {BACKBONE_NAMES}, got ['cnn']"),
        ({"backbone": 3}, f"backbone is {BACKBONE_NAMES}, got 3"),
        ({"soft_labels": "no"}, "soft_labels is true or false, got 'no'"),
        ({"recipe": None}, f"recipe is {RECIPE_NAMES}, got None"),
        ({"recurrent": "()"}, "recurrent is a tuple of RecurrentLayer, got '()'"),
        ({"recurrent": "lstm"}, "recurrent is a tuple of RecurrentLayer, got 'lstm'"),
        ({"recurrent": ("lstm",)}, "recurrent is a tuple of RecurrentLayer, got ('lstm',)"),
        ({"recurrent": 2}, "recurrent is a tuple of RecurrentLayer, got 2"),
        ({"recurrent": None}, "recurrent is a tuple of RecurrentLayer, got None"),
        # Where it does not matter, too.
        ({"kernel": "7"}, "kernel is an odd positive whole number, got '7'"),
        ({"hidden_size": "128"}, "hidden_size is a positive whole number, got '128'"),
        ({"exponent": "2"}, "exponent lies in (0, 1], got '2'"),
        ({"gamma": True}, "gamma lies in [0, 10], got True"),
        ({"head": "linear", "head_width": 64.0}, "head_width is an even positive whole number, got 64.0"),
        ({"own": {"gamma_neg": 4.0}}, "own has values of axes that a space file added, got 'gamma_neg'"),
        ({"own": 4}, "own is a mapping from axes to values, got 4"),
        ({"label_tier": ""}, "label_tier is a name, got ''"),
        ({"label_tier": None}, "label_tier is a name, got None"),
    ],
)
def test_values_outside_their_range_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        Architecture(**changes)
    assert str(caught.value) == message


def test_recurrent_layers_are_checked() -> None:
    with pytest.raises(SpaceError, match=r"^unknown cell \['lstm'\]: choose from lstm, gru$"):
        RecurrentLayer(cell=["lstm"])
    with pytest.raises(SpaceError, match=r"^unknown cell 'rnn': choose from lstm, gru$"):
        RecurrentLayer(cell="rnn")
    with pytest.raises(SpaceError, match=r"^bidirectional is true or false, not 1$"):
        RecurrentLayer(cell="gru", bidirectional=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attention": 8}, "unknown architecture field 'attention': written by a newer version?"),
        ({"recurrent": [{"cell": "rnn"}]}, "unknown cell 'rnn': choose from lstm, gru"),
        (
            {"recurrent": [{"cell": "gru", "peephole": True}]},
            "recurrent layers have a cell and a direction, got [{'cell': 'gru', 'peephole': True}]",
        ),
        ({"recurrent": ["gru"]}, "recurrent layers have a cell and a direction, got ['gru']"),
        ({"recurrent": 2}, "recurrent layers have a cell and a direction, got 2"),
        ({"gate": 4.0}, "gate is 0 or a whole reduction from 4 to 64, got 4.0"),
        (None, "an architecture is a mapping, got None"),
        (["cnn"], "an architecture is a mapping, got ['cnn']"),
    ],
)
def test_stored_values_that_cannot_be_read_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        Architecture.from_dict(values)
    assert str(caught.value) == message


# ---------------------------------------------------------------------------------------------------------
# Words


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        (Architecture(), "CNN, trained on subclass"),
        (
            Architecture(recurrent=(BILSTM,), gate=16, loss="power", exponent=0.4, cap=3),
            "CNN → BiLSTM(128) → gate/16, positive weight ^0.4 ≤ 3, trained on subclass",
        ),
        (
            Architecture(recurrent=(GRU, BILSTM, LSTM), hidden_size=32, width=0.25, head_width=64, gate=4),
            "CNN(16) → GRU(32) → BiLSTM(32) → LSTM(32) → gate/4 → dense(64), trained on subclass",
        ),
        (
            Architecture(loss="focal", label_smoothing=0.05, label_tier="all"),
            "CNN, focal loss, smoothing 0.05, trained on all",
        ),
        (
            Architecture(backbone="resnet1d-se", width=0.5, kernel=7, pooling="mean-max", head="linear"),
            "ResNet1D-SE(32, kernel 7) → mean and maximum → linear, trained on subclass",
        ),
        (
            Architecture(
                recurrent=(GRU,),
                pooling="attention",
                features=True,
                head="bottleneck",
                head_width=128,
                dropout=0.25,
                loss="focal",
                alpha=0.5,
                soft_labels=True,
                filter="median",
                augmentation="none",
                synthetic=0.25,
                recipe="s4d",
            ),
            "CNN → GRU(128) → attention → with features → bottleneck(128), dropout 0.25, "
            "focal loss α 0.5 γ 2, soft labels, median filter, no augmentation, 25% synthetic, "
            "recipe s4d, trained on subclass",
        ),
    ],
)
def test_architectures_in_words(architecture: Architecture, words: str) -> None:
    assert architecture.describe() == words


@SPACES
@given(data=st.data())
def test_different_architectures_read_differently(listed: Space, data: st.DataObject) -> None:
    first, second = data.draw(indices(listed)), data.draw(indices(listed))
    assert (listed[first].describe() == listed[second].describe()) == (first == second)


@pytest.mark.slow
def test_all_architectures_of_the_paper_read_differently() -> None:
    assert len({architecture.describe() for architecture in PAPER}) == len(PAPER)


# ---------------------------------------------------------------------------------------------------------
# Spaces


def test_sizes_of_the_spaces_by_hand() -> None:
    # Stacks of up to three of four layers; one hidden size; no gate, /16 or /4; plain, focal or one of
    # 4 exponents × 2 caps; four tiers.
    n_stacks = 1 + 4 + 4**2 + 4**3
    assert len(PAPER) == n_stacks * 3 * (2 + 4 * 2) * 4
    # Three hidden sizes (none without recurrent layers), head widths, smoothings, dropouts and samplings;
    # four front ends of five widths and two strides; mean or attention.
    n_sized = 1 + 3 * (n_stacks - 1)
    assert len(WIDE) == n_sized * 3 * (2 + 4 * 2) * 4 * 3 * 3 * 3 * 3 * (4 * 5 * 2) * 2
    # Eighteen front ends of five widths, three with four kernels, two with two strides, two with both.
    # Balanced loss and 3 × 3 focal ones besides. Two heads of four widths and one without. Gate, smoothing;
    # pooling, features; dropout, soft labels, filter; augmentation, sampling, synthetic share, recipe; tier.
    n_models = n_sized * (11 + 3 * 4 + 2 * 2 + 2 * 4 * 2) * 5 * (2 * 4 + 1) * 3 * 4 * 2
    assert len(FULL) == n_models * (2 + 4 * 2 + 3 * 3) * 3 * 4 * 2 * 3 * 4 * 3 * 3 * 6 * 4


@pytest.mark.slow
def test_the_paper_space_lists_every_architecture_once() -> None:
    listing = list(PAPER)
    assert len(listing) == len(PAPER)
    assert len({architecture.digest for architecture in listing}) == len(listing)
    assert all(architecture in PAPER for architecture in listing)


@SPACES
@given(data=st.data())
def test_listed_architectures_are_distinct_members(listed: Space, data: st.DataObject) -> None:
    first, second = data.draw(indices(listed)), data.draw(indices(listed))
    assert listed[first] in listed
    assert (listed[first] == listed[second]) == (first == second)


@given(members(PAPER))
def test_the_wide_space_holds_the_paper_space(architecture: Architecture) -> None:
    assert architecture in WIDE


@given(members(WIDE))
def test_the_full_space_holds_the_wide_space(architecture: Architecture) -> None:
    assert architecture in FULL


def test_axes_that_a_data_set_cannot_serve_have_one_value() -> None:
    bare = Space("full", TIERS)
    assert (bare.axes["features"], bare.axes["soft_labels"]) == ((False,), (False,))
    assert len(FULL) == 4 * len(bare)
    assert Architecture(features=True) not in bare


@SPACES
@pytest.mark.parametrize("outside", [-1, None])
def test_an_index_outside_the_listing_is_an_error(listed: Space, outside: int | None) -> None:
    index = len(listed) if outside is None else outside
    with pytest.raises(IndexError, match=f"index {index} is outside the {len(listed)} architectures"):
        listed[index]


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(label_tier="rhythm"),
        Architecture(width=1.01562),
        Architecture(recurrent=(GRU,), hidden_size=100),
        Architecture(head_width=128),
        Architecture(loss="power", exponent=0.3, cap=3),
        Architecture(loss="power", exponent=0.5, cap=4),
        Architecture(label_smoothing=0.2),
    ],
)
def test_architectures_outside_are_refused(architecture: Architecture) -> None:
    assert architecture not in WIDE
    with pytest.raises(SpaceError) as caught:
        WIDE.to_params(architecture)
    assert str(caught.value) == f"space 'wide' does not contain {architecture.describe()!r}"


def test_other_things_are_not_in_a_space() -> None:
    assert "cnn" not in WIDE
    assert Architecture(width=0.5, label_smoothing=0.05) not in PAPER
    assert Architecture(width=0.5, label_smoothing=0.05) in WIDE


def test_a_space_needs_a_known_name_and_a_tier() -> None:
    with pytest.raises(SpaceError, match=r"^unknown space 'huge': choose from wide, paper, full$"):
        Space("huge", TIERS)
    with pytest.raises(SpaceError, match=r"^a space needs at least one label tier$"):
        Space("wide", ())


@SPACES
@given(data=st.data())
def test_optuna_suggests_what_its_parameters_say(listed: Space, data: st.DataObject) -> None:
    architecture = data.draw(members(listed))
    params = listed.to_params(architecture)
    trial = optuna.trial.FixedTrial(params)
    assert listed.suggest(trial) == architecture
    # No parameter is asked for that changes nothing, and none is left over.
    assert trial.params == params
    axes = listed.parameter_axes()
    assert all(value in axes[name] for name, value in params.items())
    assert listed[listed.index(params)] == architecture


def test_every_optuna_parameter_is_listed_with_its_choices() -> None:
    assert WIDE.parameter_axes() == {
        "depth": (0, 1, 2, 3),
        "hidden_size": (32, 64, 128),
        "backbone": ("cnn", "separable", "tcn", "mingru"),
        "width": (0.125, 0.25, 0.5, 1.0, 1.5),
        "stride": (1, 2),
        "pooling": ("mean", "attention"),
        "head_width": (64, 256, 512),
        "gate": (0, 16, 4),
        "dropout": (0.1, 0.25, 0.5),
        "sampling": ("none", "square-root", "balanced"),
        "loss": ("bce", "power", "focal"),
        "exponent": (0.25, 0.4, 0.5, 1.0),
        "cap": (3.0, 10.0),
        "label_smoothing": (0.0, 0.05, 0.1),
        "label_tier": TIERS,
        "cell_1": ("lstm", "gru"),
        "direction_1": ("forward", "bidirectional"),
        "cell_2": ("lstm", "gru"),
        "direction_2": ("forward", "bidirectional"),
        "cell_3": ("lstm", "gru"),
        "direction_3": ("forward", "bidirectional"),
    }


# ---------------------------------------------------------------------------------------------------------
# Presets


def test_presets_begin_with_the_seed_papers_systems() -> None:
    stacks = {name: space.PRESETS[name].architecture.recurrent for name in HYBRIDS[:7]}
    assert stacks == {
        "cnn": (),
        "cnn-lstm": (LSTM,),
        "cnn-bilstm": (BILSTM,),
        "cnn-gru": (GRU,),
        "cnn-lstm-bilstm": (LSTM, BILSTM),
        "cnn-bilstm-lstm": (BILSTM, LSTM),
        "cnn-gru-bilstm-lstm": (GRU, BILSTM, LSTM),
    }


@pytest.mark.parametrize("name", HYBRIDS[:7])
@pytest.mark.parametrize("tier", TIERS)
def test_the_seeds_systems_lie_in_every_space_with_and_without_gate(name: str, tier: str) -> None:
    gates = {gate: replace(space.preset(name, tier), gate=gate) for gate in (0, 4, 16)}
    for gate, architecture in gates.items():
        assert (architecture.gate, architecture.label_tier) == (gate, tier)
        assert architecture in PAPER
        assert architecture in WIDE
    assert space.preset(name, tier) == gates[16]
    assert space.preset(f"{name}-ungated", tier) == gates[0]


@pytest.mark.parametrize("name", space.PRESETS)
def test_every_preset_lies_in_the_full_space_under_its_name(name: str) -> None:
    architecture = space.preset(name, "all")
    # `full` stays what it was for studies that are continued, without recipes that came later.
    listed = FULL
    if name.endswith("-jafari"):
        assert architecture not in FULL
        axes = space.extend("full", recipe=("study", "jafari"))
        listed = Space("full with the recipe of the paper", ("all",), axes, ALL_INPUTS)
    assert architecture in listed
    assert space.preset_name(architecture, "all") == name
    assert space.preset_name(replace(architecture, label_smoothing=0.1), "all") is None


def test_a_search_begins_with_the_presets_of_its_space() -> None:
    assert space.queued_presets(PAPER, "subclass") == HYBRIDS[:7]
    assert space.queued_presets(WIDE, "subclass") == [*HYBRIDS[:7], "separable", "tcn", "mingru"]
    others = [name for name, entry in space.PRESETS.items() if entry.queued and name not in HYBRIDS]
    assert space.queued_presets(FULL, "subclass") == [*HYBRIDS[:7], *others]
    assert "hc-cnn-tn" not in space.queued_presets(Space("full", TIERS), "subclass")


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(SpaceError, match=r"^unknown preset 'resnet': choose from cnn, cnn-lstm, "):
        space.preset("resnet", "subclass")


# ---------------------------------------------------------------------------------------------------------
# Parameters; that they equal the built model's is in test_models.py


@pytest.mark.parametrize("name", STACKS)
def test_parameter_counts_of_the_seed(name: str) -> None:
    counted = tuple(
        count_parameters(replace(space.preset(name, "subclass"), gate=gate), n_outputs=23)
        for gate in (0, 16, 4)
    )
    assert counted == STACKS[name]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fcn-wang", 312_087),
        ("resnet1d-wang", 475_671),
        ("inception1d", 509_975),
        ("xresnet1d50", 956_311),
        ("xresnet1d101", 1_874_583),
        ("lstm", 906_007),
        ("lstm-bidir", 2_332_951),
    ],
)
def test_parameter_counts_of_the_benchmark(name: str, parameters: int) -> None:
    """Counted on the models that Strodthoff et al. 2021 publish, with 23 classes."""
    assert count_parameters(space.preset(name, "subclass"), 23) == parameters


@pytest.mark.parametrize(("kernel", "millions"), [(3, 3.97), (5, 6.41), (7, 8.85), (15, 18.6)])
def test_parameter_counts_of_the_residual_network_with_channel_gates(kernel: int, millions: float) -> None:
    architecture = replace(space.preset("resnet1d-se", "subclass"), kernel=kernel)
    assert count_parameters(architecture, 44) / 1e6 == pytest.approx(millions, abs=0.05 * kernel / 15 + 0.005)


def test_parameter_count_of_the_state_space_model() -> None:
    """Four layers of 512 channels and eight states in two directions: about 2.2 million."""
    assert count_parameters(space.preset("s4d", "subclass"), 23) == pytest.approx(2.2e6, rel=0.02)


def test_parameter_count_of_the_cnn_by_hand() -> None:
    convolutions = (12 * 15 * 64 + 64) + (64 * 10 * 128 + 128) + (128 * 5 * 256 + 256)
    norms = 2 * (64 + 128 + 256 + 512 + 256)
    dense = (256 * 512 + 512) + (512 * 256 + 256) + (256 * 23 + 23)
    assert count_parameters(Architecture(), 23) == convolutions + norms + dense == 528_983


@pytest.mark.parametrize(("name", "n_directions"), [("lstm", 1), ("lstm-bidir", 2)])
def test_parameter_counts_of_recurrent_networks_on_the_signal_by_hand(name: str, n_directions: int) -> None:
    """Four gates of 256 units see 12 leads, then the states of one or both directions; two biases a gate."""
    width = 256 * n_directions
    layers = n_directions * (4 * 256 * (12 + 256 + 2) + 4 * 256 * (width + 256 + 2))
    # Last state, mean and maximum; batch norm, 128 units with batch norm, 23 classes.
    head = 2 * 3 * width + (3 * width * 128 + 128) + 2 * 128 + (128 * 23 + 23)
    assert count_parameters(space.preset(name, "subclass"), 23) == layers + head


def front_end(backbone: str) -> tuple[int, int]:
    """Channels that leave a front end on 12 leads, and its parameters."""
    layers = front_end_layers(Architecture(backbone=backbone), 12)
    return width_after(layers, 12), n_parameters(layers)


def test_parameter_counts_of_networks_after_papers_that_give_no_sizes_by_hand() -> None:
    """Front ends alone, on 12 leads."""
    convolutions = 4 * 16 * 5 * (12 + 64 + 64)  # four receptive fields of 16 channels in three blocks
    assert front_end("mrf-cnn") == (64, convolutions + 3 * 2 * 64)
    attention, feedforward, norms = 4 * (64 * 64 + 64), 2 * 64 * 128 + 128 + 64, 2 * 2 * 64
    layers = 6 * (attention + feedforward + norms)  # two for each of three windows
    assert front_end("msw-transformer") == (
        64,
        (12 * 5 * 64 + 64) + layers + 3 * 64 * 64 + 2 * 64,
    )


def test_parameter_count_of_the_residual_network_by_hand() -> None:
    """ResNet-18 with kernels of 3 in place of 3 × 3, and a stem of 15."""
    stem = 12 * 15 * 64 + 2 * 64
    first = 4 * (64 * 3 * 64 + 2 * 64)
    others = [
        (n // 2 * 3 * n) + 3 * (n * 3 * n) + (n // 2 * n) + 5 * 2 * n  # the first block has a projection
        for n in (128, 256, 512)
    ]
    found = front_end("resnet1d")
    assert found == (512, stem + first + sum(others))
    assert found == front_end("random-encoder")


@given(arbitrary(), st.integers(1, 100))
def test_an_output_costs_its_weights_and_a_bias(architecture: Architecture, n_outputs: int) -> None:
    one_more = count_parameters(architecture, n_outputs + 1)
    difference = one_more - count_parameters(architecture, n_outputs)
    width = width_after(front_end_layers(architecture, 12), 12)
    width = recurrent_width(architecture.recurrent, architecture.hidden_size, width)
    width, _ = pooling_size(architecture.pooling, width)
    width = (width, *head_widths(architecture.head, architecture.head_width))[-1]
    assert difference == width + 1


@given(arbitrary(), st.sampled_from(["bce", "focal"]), st.floats(0, 0.4))
def test_supervision_costs_no_parameter(architecture: Architecture, loss: str, smoothing: float) -> None:
    other = replace(architecture, loss=loss, label_smoothing=smoothing, label_tier="form")
    assert count_parameters(other, 5) == count_parameters(architecture, 5)


def test_the_space_needs_neither_torch_nor_optuna() -> None:
    """`python -m search space` and the report must start fast."""
    program = (
        "import sys, space; from search.models.costs import count_parameters; "
        "s = space.Space('wide', ('all',)); count_parameters(s[5], 71); "
        "sys.exit(bool({'torch', 'optuna', 'numpy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
