"""What can be searched: the architecture, its axes, and the seeds' systems as named presets.

An `Architecture` is a CNN–RNN hybrid for multi-label ECG classification in the manner of Jafari & Jafari,
"How much temporal modeling is enough?" (section 2.7–2.11, Table 1), together with the two choices of
supervision that the search varies with it, the loss weighting and the label tier it is trained on:

    12 leads → 3 × [convolution, batch norm, ReLU, max-pool, spatial dropout]
             → up to three recurrent layers → mean over time → feature-wise gate
             → two dense layers → one output per class of the label tier

The number of trainable parameters is known in closed form (`count_parameters`), so that the search knows
the second objective of every architecture before training it. This module needs neither torch nor, until
a trial is asked for, Optuna.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    import optuna

Cell = Literal["lstm", "gru"]
Gate = Literal[0, 4, 16]
Loss = Literal["bce", "power", "focal"]

N_LEADS = 12
KERNEL_SIZES = (15, 10, 5)
"""Kernel of the three convolutions (Jafari & Jafari, Table 1)."""
WIDTH_FACTORS = (1, 2, 4)
"""Channels of the three convolutions in units of `conv_width` (64, 128, 256 in Table 1)."""
MAX_DEPTH = 3
"""Recurrent layers of the deepest stack of the seed, GRU → BiLSTM → LSTM."""


class SpaceError(ValueError):
    """A value that no architecture of the space can have; the message names it and the choices."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecurrentLayer:
    """One layer of the recurrent stack."""

    cell: Cell
    bidirectional: bool = False

    def __post_init__(self) -> None:
        if self.cell not in get_args(Cell):
            raise SpaceError(f"unknown cell {self.cell!r}: choose from {', '.join(get_args(Cell))}")
        if not isinstance(self.bidirectional, bool):
            raise SpaceError(f"bidirectional is true or false, not {self.bidirectional!r}")

    @property
    def n_directions(self) -> int:
        """Two for a bidirectional layer, else one."""
        return 2 if self.bidirectional else 1

    def __str__(self) -> str:
        return ("Bi" if self.bidirectional else "") + self.cell.upper()


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One point of the space, always in canonical form.

    Fields that change nothing are set to None on construction (`hidden_size` without recurrent layers,
    `exponent` and `cap` without a power weighting), so that two architectures are equal exactly when they
    build and train the same model.

    Raises:
        SpaceError: if a value is outside its range.
    """

    recurrent: tuple[RecurrentLayer, ...] = ()
    """Recurrent layers from input to output, at most `MAX_DEPTH`."""
    hidden_size: int | None = 128
    """Units per direction of every recurrent layer."""
    conv_width: int = 64
    """Channels of the first convolution; the second has twice, the third four times as many."""
    head_width: int = 512
    """Units of the first dense layer; the second has half as many."""
    gate: Gate = 0
    """Reduction of the feature-wise gate after pooling; 0 means no gate."""
    loss: Loss = "bce"
    """Binary cross-entropy, unweighted or with a power of the imbalance as positive weight, or focal loss."""
    exponent: float | None = None
    """Power weighting: positive weight ((N − P) / P) ** exponent for a class with P of N positive."""
    cap: float | None = None
    """Power weighting: largest positive weight."""
    label_smoothing: float = 0.0
    """Targets are moved by this share of the way from 0 and 1 to one half."""
    label_tier: str = "subclass"
    """Tier the model is trained on; its predictions are projected onto the study's target."""

    def __post_init__(self) -> None:
        stack = tuple(self.recurrent)
        _check("at most 3 recurrent layers", len(stack), len(stack) <= MAX_DEPTH)
        _check("conv_width is a positive whole number", self.conv_width, _is_count(self.conv_width))
        _check(
            "head_width is an even positive whole number",
            self.head_width,
            _is_count(self.head_width) and self.head_width % 2 == 0,
        )
        _check("gate is 0, 4 or 16", self.gate, type(self.gate) is int and self.gate in get_args(Gate))
        _check("loss is bce, power or focal", self.loss, self.loss in get_args(Loss))
        _check("label_tier is a name", self.label_tier, isinstance(self.label_tier, str) and self.label_tier)
        if stack:
            _check("hidden_size is a positive whole number", self.hidden_size, _is_count(self.hidden_size))
        smoothing = _number("label_smoothing lies in [0, 0.5)", self.label_smoothing, lambda x: 0 <= x < 0.5)
        power: dict[str, float | None] = {"exponent": None, "cap": None}
        if self.loss == "power":
            power["exponent"] = _number("exponent lies in (0, 1]", self.exponent, lambda x: 0 < x <= 1)
            power["cap"] = _number("cap is at least 1", self.cap, lambda x: 1 <= x < math.inf)
        canonical = {"recurrent": stack, "label_smoothing": smoothing, **power}
        canonical["hidden_size"] = self.hidden_size if stack else None
        for name, value in canonical.items():
            object.__setattr__(self, name, value)

    @property
    def pooled_width(self) -> int:
        """Features after the mean over time."""
        if not self.recurrent:
            return self.conv_width * WIDTH_FACTORS[-1]
        assert self.hidden_size is not None
        return self.hidden_size * self.recurrent[-1].n_directions

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name the architecture in a database."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The architecture as JSON-ready values; `from_dict` is the inverse."""
        values = asdict(self)
        values["recurrent"] = list(values["recurrent"])
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Inverse of `to_dict`.

        Raises:
            SpaceError: if a key is unknown or a value is outside its range.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise SpaceError(f"unknown architecture field {unknown[0]!r}: written by a newer version?")
        try:
            layers = tuple(RecurrentLayer(**layer) for layer in values.get("recurrent", ()))
        except TypeError as error:
            layer = values["recurrent"]
            raise SpaceError(f"recurrent layers have a cell and a direction, got {layer!r}") from error
        return cls(**{**values, "recurrent": layers})

    def describe(self) -> str:
        """The architecture in words; different architectures read differently.

        Widths are named where they differ from the seed's (convolutions 64–128–256, dense 512–256).
        """
        parts = ["CNN" if self.conv_width == 64 else f"CNN({self.conv_width})"]
        parts += [f"{layer}({self.hidden_size})" for layer in self.recurrent]
        if self.gate:
            parts.append(f"gate/{self.gate}")
        if self.head_width != 512:
            parts.append(f"dense({self.head_width})")
        words = [" → ".join(parts)]
        if self.loss == "power":
            words.append(f"positive weight ^{self.exponent:g} ≤ {self.cap:g}")
        elif self.loss == "focal":
            words.append("focal loss")
        if self.label_smoothing:
            words.append(f"smoothing {self.label_smoothing:g}")
        words.append(f"trained on {self.label_tier}")
        return ", ".join(words)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check(rule: str, value: object, holds: object) -> None:
    if not holds:
        raise SpaceError(f"{rule}, got {value!r}")


def _number(rule: str, value: object, holds: Callable[[float], bool]) -> float:
    """`value` as a float, so that 3 and 3.0 are the same architecture with the same digest."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    _check(rule, value, is_number and holds(cast(float, value)))
    return float(cast(float, value))


def count_parameters(architecture: Architecture, n_outputs: int, n_leads: int = N_LEADS) -> int:
    """Trainable parameters of the model that `architecture` builds, in closed form.

    Convolutions and dense layers have a bias; batch norm has a scale and a shift per channel; recurrent
    layers have PyTorch's two bias vectors per gate.

    Args:
        architecture: any point of the space.
        n_outputs: classes of the label tier it is trained on.
        n_leads: leads of the signal.
    """
    total, width = 0, n_leads
    for kernel, factor in zip(KERNEL_SIZES, WIDTH_FACTORS, strict=True):
        channels = architecture.conv_width * factor
        total += width * kernel * channels + channels + 2 * channels
        width = channels
    hidden = architecture.hidden_size or 0
    for position, layer in enumerate(architecture.recurrent):
        if position:
            total += 2 * width  # batch norm between recurrent layers
        n_gates = 4 if layer.cell == "lstm" else 3
        total += layer.n_directions * n_gates * (hidden * (width + hidden) + 2 * hidden)
        width = hidden * layer.n_directions
    if architecture.gate:
        squeezed = gate_width(width, architecture.gate)
        total += width * squeezed + squeezed + squeezed * width + width
    for units in (architecture.head_width, architecture.head_width // 2):
        total += width * units + units + 2 * units
        width = units
    return total + width * n_outputs + n_outputs


def gate_width(width: int, reduction: int) -> int:
    """Hidden units of a feature-wise gate on `width` features."""
    return max(1, width // reduction)


# ---------------------------------------------------------------------------------------------------------
# Axes

Choice = str | int | float

_WIDE: dict[str, tuple[Choice, ...]] = {
    "depth": (0, 1, 2, 3),
    "cell": get_args(Cell),
    "direction": ("forward", "bidirectional"),
    "hidden_size": (32, 64, 128),
    "conv_width": (16, 32, 64),
    "head_width": (64, 256, 512),
    "gate": (0, 16, 4),
    "loss": get_args(Loss),
    "exponent": (0.25, 0.4, 0.5, 1.0),
    "cap": (3.0, 10.0),
    "label_smoothing": (0.0, 0.05, 0.1),
}
"""Values of every axis; `cell` and `direction` are chosen for each recurrent layer on its own."""

_SEED_SMOOTHING = 0.05
"""The seed uses label smoothing without giving its strength (section 2.12)."""

SPACES: dict[str, dict[str, tuple[Choice, ...]]] = {
    "wide": _WIDE,
    "paper": _WIDE
    | {
        "hidden_size": (128,),
        "conv_width": (64,),
        "head_width": (512,),
        "label_smoothing": (_SEED_SMOOTHING,),
    },
}
"""`wide` searches every axis; `paper` the seed's six (recurrent type, depth, direction, gate, loss weighting,
label tier) at the seed's widths."""


class Space:
    """A finite set of architectures, listed in a fixed order.

    Args:
        name: `wide` or `paper`, or any name if `axes` are given.
        label_tiers: the tiers a model may be trained on, the study's target first.
        axes: values of every axis but the label tier; by default those of the space of that name.
        n_leads: leads of the signals, on which the number of parameters depends.

    Raises:
        SpaceError: if there is no space of that name or no label tier.
    """

    def __init__(
        self,
        name: str,
        label_tiers: tuple[str, ...],
        axes: Mapping[str, tuple[Choice, ...]] | None = None,
        *,
        n_leads: int = N_LEADS,
    ) -> None:
        if axes is None and name not in SPACES:
            raise SpaceError(f"unknown space {name!r}: choose from {', '.join(SPACES)}")
        if not label_tiers:
            raise SpaceError("a space needs at least one label tier")
        self.name = name
        self.n_leads = n_leads
        values = SPACES[name] if axes is None else axes
        self.axes: dict[str, tuple[Choice, ...]] = {**values, "label_tier": label_tiers}
        layers = [
            RecurrentLayer(cell=_cell(cell), bidirectional=direction == "bidirectional")
            for cell, direction in itertools.product(self.axes["cell"], self.axes["direction"])
        ]
        stacks = [
            stack for depth in self.axes["depth"] for stack in itertools.product(layers, repeat=int(depth))
        ]
        # Every group lists the settings of axes that depend on one another; groups are independent, and the
        # space is their product in this order, the last one varying fastest.
        self.groups: tuple[list[dict[str, Any]], ...] = (
            [
                {"recurrent": stack, "hidden_size": size}
                for stack in stacks
                for size in (self.axes["hidden_size"] if stack else (None,))
            ],
            [
                {"loss": loss, "exponent": exponent, "cap": cap}
                for loss in self.axes["loss"]
                for exponent, cap in (
                    itertools.product(self.axes["exponent"], self.axes["cap"])
                    if loss == "power"
                    else [(None, None)]
                )
            ],
            *(
                [{axis: value} for value in self.axes[axis]]
                for axis in ("conv_width", "head_width", "gate", "label_smoothing", "label_tier")
            ),
        )

    def __len__(self) -> int:
        size = 1
        for group in self.groups:
            size *= len(group)
        return size

    def __getitem__(self, index: int) -> Architecture:
        """The architecture at `index` (0 … len − 1) of the fixed order."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside the {len(self)} architectures of space {self.name!r}")
        settings: dict[str, Any] = {}
        for group in reversed(self.groups):
            index, position = divmod(index, len(group))
            settings |= group[position]
        return Architecture(**settings)

    def __iter__(self) -> Iterator[Architecture]:
        return (self[index] for index in range(len(self)))

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Architecture):
            return False
        values = architecture.to_dict()
        layers_listed = all(
            layer.cell in self.axes["cell"] and _direction(layer) in self.axes["direction"]
            for layer in architecture.recurrent
        )
        return (
            layers_listed
            and len(architecture.recurrent) in self.axes["depth"]
            and all(
                values[axis] is None or values[axis] in self.axes[axis]
                for axis in self.axes
                if axis in values
            )
        )

    def suggest(self, trial: optuna.trial.BaseTrial) -> Architecture:
        """Ask an Optuna trial for every axis that matters given the earlier ones."""

        def choose(name: str, axis: str | None = None) -> Any:
            return trial.suggest_categorical(name, self.axes[axis or name])

        layers = []
        for position in range(1, choose("depth") + 1):
            cell = choose(f"cell_{position}", "cell")
            direction = choose(f"direction_{position}", "direction")
            layers.append(RecurrentLayer(cell=cell, bidirectional=direction == "bidirectional"))
        loss = choose("loss")
        return Architecture(
            recurrent=tuple(layers),
            hidden_size=choose("hidden_size") if layers else None,
            conv_width=choose("conv_width"),
            head_width=choose("head_width"),
            gate=choose("gate"),
            loss=loss,
            exponent=choose("exponent") if loss == "power" else None,
            cap=choose("cap") if loss == "power" else None,
            label_smoothing=choose("label_smoothing"),
            label_tier=choose("label_tier"),
        )

    def to_params(self, architecture: Architecture) -> dict[str, Choice]:
        """The Optuna parameters with which `suggest` returns `architecture`.

        Raises:
            SpaceError: if the architecture is not in the space.
        """
        if architecture not in self:
            raise SpaceError(f"space {self.name!r} does not contain {architecture.describe()!r}")
        params: dict[str, Choice] = {"depth": len(architecture.recurrent)}
        for position, layer in enumerate(architecture.recurrent, start=1):
            params[f"cell_{position}"] = layer.cell
            params[f"direction_{position}"] = _direction(layer)
        values = architecture.to_dict()
        return params | {
            axis: values[axis] for axis in self.axes if axis in values and values[axis] is not None
        }

    def parameter_axes(self) -> dict[str, tuple[Choice, ...]]:
        """Every Optuna parameter that `suggest` may ask for, with its choices."""
        per_layer = ("cell", "direction")
        layered = {
            f"{axis}_{position}": self.axes[axis]
            for position in range(1, max(int(depth) for depth in self.axes["depth"]) + 1)
            for axis in per_layer
        }
        return {axis: choices for axis, choices in self.axes.items() if axis not in per_layer} | layered


def _cell(value: Choice) -> Cell:
    return "lstm" if value == "lstm" else "gru"


def _direction(layer: RecurrentLayer) -> str:
    return "bidirectional" if layer.bidirectional else "forward"


# ---------------------------------------------------------------------------------------------------------
# Presets

_LSTM = RecurrentLayer(cell="lstm")
_BILSTM = RecurrentLayer(cell="lstm", bidirectional=True)
_GRU = RecurrentLayer(cell="gru")

PRESETS: dict[str, tuple[str, Architecture]] = {
    name: (
        f"Jafari & Jafari: {summary}",
        Architecture(recurrent=stack, gate=16, label_smoothing=_SEED_SMOOTHING),
    )
    for name, summary, stack in (
        ("cnn", "convolutions only, the morphology baseline", ()),
        ("cnn-lstm", "one LSTM", (_LSTM,)),
        ("cnn-bilstm", "one BiLSTM, the seed's recommendation", (_BILSTM,)),
        ("cnn-gru", "one GRU", (_GRU,)),
        ("cnn-lstm-bilstm", "LSTM then BiLSTM, the order of Table 2", (_LSTM, _BILSTM)),
        ("cnn-bilstm-lstm", "BiLSTM then LSTM, the order of section 2.9", (_BILSTM, _LSTM)),
        ("cnn-gru-bilstm-lstm", "GRU, BiLSTM and LSTM", (_GRU, _BILSTM, _LSTM)),
    )
}
"""Published systems: name to summary and architecture, gated as published (reduction 16 is our choice)."""


def preset(name: str, label_tier: str, gate: Gate | None = None) -> Architecture:
    """A published system, trained on `label_tier`; `gate` overrides its gate.

    Raises:
        SpaceError: if there is no preset of that name.
    """
    if name not in PRESETS:
        raise SpaceError(f"unknown preset {name!r}: choose from {', '.join(PRESETS)}")
    architecture = PRESETS[name][1]
    chosen = architecture.gate if gate is None else gate
    return replace(architecture, label_tier=label_tier, gate=chosen)
