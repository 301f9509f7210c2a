"""Spaces: finite sets of architectures in a fixed order, and the way to Optuna and back.

A space is a product of groups of axes. Every group lists the settings of axes that depend on one another,
each with the Optuna parameters that name it; groups are independent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from space.architecture import (
    FOCAL_ALPHA,
    FOCAL_GAMMA,
    Architecture,
    Augmentation,
    Cell,
    Filter,
    Head,
    Loss,
    Pooling,
    RecurrentLayer,
    SpaceError,
)
from space.backbones import BACKBONES
from space.parameters import TWELVE_LEADS, Inputs
from space.recipes import RECIPES

if TYPE_CHECKING:
    import optuna

Choice = str | int | float | bool
Axes = Mapping[str, tuple[Choice, ...]]

SEED_SMOOTHING = 0.05
"""The seed uses label smoothing without giving its strength (section 2.12)."""

PUBLISHED: dict[str, tuple[Choice, ...]] = {
    "backbone": ("cnn",),
    "width": (1.0,),
    "kernel": (),
    "depth": (0, 1, 2, 3),
    "cell": get_args(Cell),
    "direction": ("forward", "bidirectional"),
    "hidden_size": (128,),
    "pooling": ("mean",),
    "gate": (0, 16, 4),
    "features": (False,),
    "head": ("dense",),
    "head_width": (512,),
    "dropout": (0.5,),
    "loss": ("bce", "power", "focal"),
    "exponent": (0.25, 0.4, 0.5, 1.0),
    "cap": (3.0, 10.0),
    "alpha": (FOCAL_ALPHA,),
    "gamma": (FOCAL_GAMMA,),
    "label_smoothing": (SEED_SMOOTHING,),
    "soft_labels": (False,),
    "filter": ("none",),
    "augmentation": ("noise",),
    "synthetic": (0.0,),
    "recipe": ("study",),
}
"""Values of every axis but the label tier; `cell` and `direction` are chosen for each recurrent layer on its
own, `kernel` for each front end."""

_WIDE = PUBLISHED | {
    "hidden_size": (32, 64, 128),
    "width": (0.25, 0.5, 1.0),
    "head_width": (64, 256, 512),
    "label_smoothing": (0.0, 0.05, 0.1),
}

SPACES: dict[str, dict[str, tuple[Choice, ...]]] = {
    "wide": _WIDE,
    "paper": PUBLISHED,
    "full": _WIDE
    | {
        "backbone": tuple(BACKBONES),
        "kernel": tuple(sorted({kernel for entry in BACKBONES.values() for kernel in entry.kernels})),
        "pooling": get_args(Pooling),
        "features": (False, True),
        "head": get_args(Head),
        "head_width": (64, 128, 256, 512),
        "dropout": (0.0, 0.1, 0.25, 0.5),
        "loss": get_args(Loss),
        "alpha": (0.25, 0.5, 0.75),
        "gamma": (1.0, 2.0, 3.0),
        "soft_labels": (False, True),
        "filter": get_args(Filter),
        "augmentation": get_args(Augmentation),
        "synthetic": (0.0, 0.25, 0.5),
        "recipe": tuple(RECIPES),
    },
}
"""`wide` searches CNN–RNN hybrids; `paper` the seed's six axes (recurrent type, depth, direction, gate, loss
weighting, label tier) at the seed's widths; `full` every front end and everything else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One choice of a group of axes."""

    values: dict[str, Any]
    """Fields of the architecture; None for one that changes nothing here."""
    params: dict[str, Choice]
    """Optuna parameters that name it, in the order in which they are asked."""


Group = tuple[Setting, ...]


class Space:
    """A finite set of architectures, listed in a fixed order.

    Axes with a single value are not asked of Optuna.

    Args:
        name: one of `SPACES`, or any name if `axes` are given.
        label_tiers: the tiers a model may be trained on, the study's target first.
        axes: values of axes, the published one where an axis is missing; by default those of the space of
            that name.
        inputs: what the data set offers; axes that need more have a single value.

    Raises:
        SpaceError: if there is no space of that name or no label tier.
    """

    def __init__(
        self,
        name: str,
        label_tiers: tuple[str, ...],
        axes: Axes | None = None,
        inputs: Inputs = TWELVE_LEADS,
    ) -> None:
        if axes is None and name not in SPACES:
            raise SpaceError(f"unknown space {name!r}: choose from {', '.join(SPACES)}")
        if not label_tiers:
            raise SpaceError("a space needs at least one label tier")
        self.name = name
        self.inputs = inputs
        values = PUBLISHED | dict(SPACES[name] if axes is None else axes)
        self.axes: dict[str, tuple[Choice, ...]] = {**values, "label_tier": label_tiers}
        if not inputs.n_features:
            self.axes["features"] = (False,)
        if not inputs.likelihoods:
            self.axes["soft_labels"] = (False,)
        # The last group varies fastest.
        self.groups: tuple[Group, ...] = (
            self._stacks(),
            self._conditional(_LOSS_AXES, _is_of_loss),
            self._conditional(("backbone", "width", "kernel"), self._is_of_backbone),
            self._conditional(("head", "head_width"), _is_of_head),
            *(self._conditional((axis,)) for axis in _SINGLE_AXES),
        )
        self._positions = [
            {tuple(setting.values.values()): k for k, setting in enumerate(group)} for group in self.groups
        ]
        self._names = [
            tuple(dict.fromkeys(name for setting in group for name in setting.params))
            for group in self.groups
        ]
        self._by_params = [
            {tuple(setting.params.get(name) for name in names): k for k, setting in enumerate(group)}
            for names, group in zip(self._names, self.groups, strict=True)
        ]

    def __len__(self) -> int:
        return math.prod(len(group) for group in self.groups)

    def __getitem__(self, index: int) -> Architecture:
        """The architecture at `index` (0 … len − 1) of the fixed order."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside the {len(self)} architectures of space {self.name!r}")
        values: dict[str, Any] = {}
        for group in reversed(self.groups):
            index, position = divmod(index, len(group))
            values |= group[position].values
        return Architecture(**values)

    def __iter__(self) -> Iterator[Architecture]:
        return (self[index] for index in range(len(self)))

    def __contains__(self, architecture: object) -> bool:
        return isinstance(architecture, Architecture) and self._settings(architecture) is not None

    def suggest(self, trial: optuna.trial.BaseTrial) -> Architecture:
        """Ask an Optuna trial for every axis that matters given the earlier ones."""
        values: dict[str, Any] = {}
        for group in self.groups:
            left: Sequence[Setting] = group
            asked = 0
            # What is left agrees on all that was asked, and so on what to ask next.
            while asked < len(left[0].params):
                name = list(left[0].params)[asked]
                value = trial.suggest_categorical(name, self._choices(name))
                left = [setting for setting in left if setting.params[name] == value]
                asked += 1
            values |= left[0].values
        return Architecture(**values)

    def to_params(self, architecture: Architecture) -> dict[str, Choice]:
        """The Optuna parameters with which `suggest` returns `architecture`.

        Raises:
            SpaceError: if the architecture is not in the space.
        """
        settings = self._settings(architecture)
        if settings is None:
            raise SpaceError(f"space {self.name!r} does not contain {architecture.describe()!r}")
        return {name: value for setting in settings for name, value in setting.params.items()}

    def index(self, params: Mapping[str, Any]) -> int:
        """Position of the architecture that has these Optuna parameters.

        Raises:
            KeyError: an axis is missing or has a value that is not in the space.
        """
        index = 0
        for names, positions in zip(self._names, self._by_params, strict=True):
            index = index * len(positions) + positions[tuple(params.get(name) for name in names)]
        return index

    def complaint(self, params: Mapping[str, Any]) -> str | None:
        """Why no architecture has these Optuna parameters, of which some may be missing; None if one has."""
        asked = self.parameter_axes()
        for name, value in params.items():
            choices = asked.get(name) or self.axes.get(name, ())
            if name not in asked and len(choices) != 1:
                return f"space {self.name} has no parameter {_shortened(name)}: it has {', '.join(asked)}"
            if not any(_is_same(value, choice) for choice in choices):
                listed = ("one of " if len(choices) > 1 else "") + ", ".join(map(repr, choices))
                return f"{name} is {listed}, got {_shortened(repr(value))}"
        for names, group in zip(self._names, self.groups, strict=True):
            given = {name: params[name] for name in names if name in params}
            if given and not any(_agrees(setting, given) for setting in group):
                together = ", ".join(f"{name}={value!r}" for name, value in given.items())
                return f"no architecture of space {self.name} has {together} together"
        return None

    def values(self, name: str, params: Mapping[str, Any]) -> tuple[Choice, ...]:
        """Values of a parameter with which an architecture has these others, too.

        Args:
            name: a key of `parameter_axes`.
            params: of one architecture, some of them; see `complaint`.
        """
        for names, group in zip(self._names, self.groups, strict=True):
            if name in names:
                given = {other: params[other] for other in names if other in params and other != name}
                fitting = (setting.params for setting in group if _agrees(setting, given))
                return tuple(dict.fromkeys(found[name] for found in fitting if name in found))
        raise KeyError(name)

    def parameter_axes(self) -> dict[str, tuple[Choice, ...]]:
        """Every Optuna parameter that `suggest` may ask for, with its choices."""
        return {name: self._choices(name) for names in self._names for name in names}

    def _choices(self, name: str) -> tuple[Choice, ...]:
        axis = name.rpartition("_")[0] if name.rpartition("_")[2].isdigit() else name
        return self.axes[axis]

    def _settings(self, architecture: Architecture) -> list[Setting] | None:
        found = []
        for group, positions in zip(self.groups, self._positions, strict=True):
            position = positions.get(tuple(getattr(architecture, name) for name in group[0].values))
            if position is None:
                return None
            found.append(group[position])
        return found

    def _asked(self, params: Mapping[str, Choice]) -> dict[str, Choice]:
        return {name: value for name, value in params.items() if len(self._choices(name)) > 1}

    def _stacks(self) -> Group:
        """Every recurrent stack with every size."""
        layers = [
            RecurrentLayer(cell=cast(Cell, cell), bidirectional=direction == "bidirectional")
            for cell, direction in itertools.product(self.axes["cell"], self.axes["direction"])
        ]
        group = []
        for depth in self.axes["depth"]:
            for stack in itertools.product(layers, repeat=int(depth)):
                params: dict[str, Choice] = {"depth": depth}
                for position, layer in enumerate(stack, start=1):
                    params[f"cell_{position}"] = layer.cell
                    params[f"direction_{position}"] = "bidirectional" if layer.bidirectional else "forward"
                for size in self.axes["hidden_size"] if stack else (None,):
                    named = params if size is None else {**params, "hidden_size": size}
                    values = {"recurrent": stack, "hidden_size": size}
                    group.append(Setting(values=values, params=self._asked(named)))
        return tuple(group)

    def _conditional(
        self, names: tuple[str, ...], matters: Callable[[str, str], bool] = lambda first, axis: True
    ) -> Group:
        """Every setting of the first axis with those of the other axes that matter to it.

        An axis that does not matter is None. Of `kernel`, only what the front end offers counts.
        """
        group = []
        for first in self.axes[names[0]]:
            lists = [
                self._offered(str(first), axis) if matters(str(first), axis) else (None,)
                for axis in names[1:]
            ]
            for rest in itertools.product(*lists):
                values = dict(zip(names, (first, *rest), strict=True))
                named = {name: value for name, value in values.items() if value is not None}
                group.append(Setting(values=values, params=self._asked(named)))
        return tuple(group)

    def _offered(self, backbone: str, axis: str) -> tuple[Choice, ...]:
        if axis != "kernel":
            return self.axes[axis]
        return self.axes["kernel"] or BACKBONES[backbone].kernels[:1]

    @staticmethod
    def _is_of_backbone(backbone: str, axis: str) -> bool:
        return axis != "kernel" or bool(BACKBONES[backbone].kernels)


def _is_same(value: Any, choice: Choice) -> bool:
    """Equal, and a truth value only where one is meant: True is 1 in Python."""
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _agrees(setting: Setting, params: Mapping[str, Any]) -> bool:
    return all(name in setting.params and setting.params[name] == value for name, value in params.items())


def _shortened(text: str) -> str:
    """A stranger's text as a message can take it."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"


_LONGEST_SHOWN = 60
_LOSS_AXES = ("loss", "exponent", "cap", "alpha", "gamma")
_SINGLE_AXES = (
    "gate",
    "label_smoothing",
    "pooling",
    "features",
    "dropout",
    "soft_labels",
    "filter",
    "augmentation",
    "synthetic",
    "recipe",
    "label_tier",
)


def _is_of_loss(loss: str, axis: str) -> bool:
    return axis in {"power": ("exponent", "cap"), "focal": ("alpha", "gamma")}.get(loss, ())


def _is_of_head(head: str, axis: str) -> bool:
    return head != "linear"
