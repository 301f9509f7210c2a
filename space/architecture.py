"""An architecture: everything in which two trials of a study can differ, in canonical form."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast, get_args

from space.backbones import BACKBONES, Backbone
from space.layers import Layers
from space.recipes import RECIPES
from space.words import describe

Cell = Literal["lstm", "gru"]
Pooling = Literal["mean", "attention", "mean-max"]
Gate = Literal[0, 4, 16]
Head = Literal["dense", "bottleneck", "linear"]
Loss = Literal["bce", "power", "focal", "balanced"]
Augmentation = Literal["none", "noise", "rich", "mixup"]
Filter = Literal["none", "bandpass", "median"]

MAX_DEPTH = 3
"""Recurrent layers of the deepest stack of the seed, GRU → BiLSTM → LSTM."""
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
"""Lin et al. 2017, "Focal loss for dense object detection", section 5."""


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

        leads → front end → recurrent layers → pooling over time → gate
              → beside hand-crafted features → head → one output per class of the label tier

    Fields that change nothing are set to None on construction (`hidden_size` without recurrent layers,
    `exponent` and `cap` without a power weighting, …), so that two architectures are equal exactly when they
    build and train the same model.

    Raises:
        SpaceError: if a value is outside its range.
    """

    backbone: str = "cnn"
    """Front end, one of `BACKBONES`."""
    width: float = 1.0
    """Factor on all channels of the front end as published."""
    kernel: int | None = None
    """Kernel of the blocks of a front end that leaves a choice; None takes the usual one."""
    recurrent: tuple[RecurrentLayer, ...] = ()
    """Recurrent layers from input to output, at most `MAX_DEPTH`."""
    hidden_size: int | None = 128
    """Units per direction of every recurrent layer."""
    pooling: Pooling = "mean"
    """Over time: the mean, a mean weighted by softmax attention, or mean and maximum side by side."""
    gate: Gate = 0
    """Reduction of the feature-wise gate after pooling; 0 means no gate."""
    features: bool = False
    """Whether a branch of hand-crafted features joins before the head."""
    head: Head = "dense"
    """Two dense layers (Jafari & Jafari), one (Strodthoff et al. 2021), or the output layer alone."""
    head_width: int | None = 512
    """Units of the first dense layer; a second has half as many."""
    dropout: float = 0.5
    """Before the output."""
    loss: Loss = "bce"
    """Binary cross-entropy, unweighted, with a power of the imbalance as positive weight, focal, or weighted
    so that all classes count alike."""
    exponent: float | None = None
    """Power weighting: positive weight ((N − P) / P) ** exponent for a class with P of N positive."""
    cap: float | None = None
    """Power weighting: largest positive weight."""
    alpha: float | None = None
    """Focal loss: weight of the positive term."""
    gamma: float | None = None
    """Focal loss: power of the probability missed."""
    label_smoothing: float = 0.0
    """Targets are moved by this share of the way from 0 and 1 to one half."""
    soft_labels: bool = False
    """Whether a statement's likelihood is its target."""
    filter: Filter = "none"
    """What is done to the signals beforehand."""
    augmentation: Augmentation = "noise"
    """What is done to the signals of every batch."""
    synthetic: float = 0.0
    """Synthetic records of rare classes added to a batch, as a share of it."""
    recipe: str = "study"
    """How the weights are fitted, one of `RECIPES`."""
    label_tier: str = "subclass"
    """Tier the model is trained on; its predictions are projected onto the study's target."""

    def __post_init__(self) -> None:
        stack = tuple(self.recurrent)
        _one_of("backbone", self.backbone, BACKBONES)
        _check("at most 3 recurrent layers", len(stack), len(stack) <= MAX_DEPTH)
        for name, names in (("pooling", Pooling), ("head", Head), ("loss", Loss)):
            _one_of(name, getattr(self, name), get_args(names))
        for name, names in (("filter", Filter), ("augmentation", Augmentation)):
            _one_of(name, getattr(self, name), get_args(names))
        _one_of("recipe", self.recipe, RECIPES)
        _check("gate is 0, 4 or 16", self.gate, type(self.gate) is int and self.gate in get_args(Gate))
        for name in ("features", "soft_labels"):
            _check(f"{name} is true or false", getattr(self, name), isinstance(getattr(self, name), bool))
        _check("label_tier is a name", self.label_tier, isinstance(self.label_tier, str) and self.label_tier)
        canonical: dict[str, Any] = {"recurrent": stack, **self._numbers()}
        canonical["kernel"] = self._canonical_kernel()
        if stack:
            _check("hidden_size is a positive whole number", self.hidden_size, _is_count(self.hidden_size))
        else:
            canonical["hidden_size"] = None
        if self.head == "linear":
            canonical["head_width"] = None
        else:
            is_width = _is_count(self.head_width) and cast(int, self.head_width) % 2 == 0
            _check("head_width is an even positive whole number", self.head_width, is_width)
        for name, value in canonical.items():
            object.__setattr__(self, name, value)

    def _numbers(self) -> dict[str, float | None]:
        """The numbers as floats, those of other losses left out."""
        found: dict[str, float | None] = dict.fromkeys(("exponent", "cap", "alpha", "gamma"))
        found["width"] = _number("width is a factor from 0.01 to 8", self.width, lambda x: 0.01 <= x <= 8)
        found["dropout"] = _number("dropout lies in [0, 1)", self.dropout, lambda x: 0 <= x < 1)
        found["label_smoothing"] = _number(
            "label_smoothing lies in [0, 0.5)", self.label_smoothing, lambda x: 0 <= x < 0.5
        )
        found["synthetic"] = _number("synthetic lies in [0, 1)", self.synthetic, lambda x: 0 <= x < 1)
        if self.loss == "power":
            found["exponent"] = _number("exponent lies in (0, 1]", self.exponent, lambda x: 0 < x <= 1)
            found["cap"] = _number("cap is at least 1", self.cap, lambda x: 1 <= x < math.inf)
        if self.loss == "focal":
            alpha = FOCAL_ALPHA if self.alpha is None else self.alpha
            gamma = FOCAL_GAMMA if self.gamma is None else self.gamma
            found["alpha"] = _number("alpha lies in (0, 1)", alpha, lambda x: 0 < x < 1)
            found["gamma"] = _number("gamma lies in [0, 10]", gamma, lambda x: 0 <= x <= 10)
        return found

    def _canonical_kernel(self) -> int | None:
        kernels = self.front_end.kernels
        if not kernels:
            return None
        kernel = kernels[0] if self.kernel is None else self.kernel
        _check("kernel is an odd positive whole number", kernel, _is_count(kernel) and kernel % 2 == 1)
        return kernel

    @property
    def front_end(self) -> Backbone:
        """The entry of the front end in the registry."""
        return BACKBONES[self.backbone]

    @property
    def conv_width(self) -> int:
        """Channels of the first layer of the front end."""
        return max(1, round(self.front_end.width * self.width))

    def layers(self, n_leads: int) -> Layers:
        """Layers of the front end on signals of `n_leads` leads."""
        return self.front_end.layers(n_leads, self.conv_width, self.kernel)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name the architecture in a database.

        Only fields that differ from their defaults enter, so that a new field leaves older digests alone.
        """
        defaults = {field.name: field.default for field in fields(self)}
        told = {name: value for name, value in self.to_dict().items() if value not in (None, defaults[name])}
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
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
        """The architecture in words; different architectures read differently."""
        return describe(self)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check(rule: str, value: object, holds: object) -> None:
    if not holds:
        raise SpaceError(f"{rule}, got {value!r}")


def _one_of(name: str, value: object, choices: Collection[str]) -> None:
    listed = list(choices)
    _check(
        f"{name} is {', '.join(listed[:-1])} or {listed[-1]}",
        value,
        isinstance(value, str) and value in listed,
    )


def _number(rule: str, value: object, holds: Callable[[float], bool]) -> float:
    """`value` as a float, so that 3 and 3.0 are the same architecture with the same digest."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    _check(rule, value, is_number and holds(cast(float, value)))
    return float(cast(float, value))
