"""The search space on one page: the architecture, every axis, the spaces, and published systems.

An `Architecture` is a CNN–RNN hybrid for multi-label ECG classification in the manner of Jafari & Jafari,
"How much temporal modeling is enough?" (section 2.7–2.11, Table 1), or one of the systems it is compared
with, together with the choices of supervision and preparation that the search varies. From top to bottom:

    what an axis is            Axis and the kinds of values
    what can be named          CELLS, FRONT_ENDS, POOLINGS, HEADS, LOSSES, FILTERS, AUGMENTATIONS, SAMPLINGS,
                               RECIPES
    the architecture           one field an axis, declared once: values, words, scale, when it matters
    the spaces                 `wide`, `paper`, `full`, and `extend` for one of your own
    published systems          PRESETS

Validation, spaces, Optuna's parameters, the sampler's encoding, sentences, the axes of the report and help
texts derive from the declarations of this page. An entry names its code ("package.module:name") without
importing it, so that the page needs neither torch nor Optuna. A file of your own adds entries with the same
words and is searched with `--space FILE.py`; search/spaces has some.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import pkgutil
import re
from collections import UserDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import log2
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

Choice = str | int | float | bool
"""A value of an axis, as Optuna and the database keep it."""
Code = str | Callable[..., Any]
"""A function or class: itself, or "package.module:name", which is imported when it is needed."""
Entry = TypeVar("Entry")

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The standard leads in standard order."""
N_LEADS = len(LEADS)
NO_MODEL = "none"
"""Value of `teacher` and `init` without a model."""
ALL_LEADS = "all"
"""Name of all leads that a study has."""
LEAD_SETS = {"12": LEADS, "limb": LEADS[:6]}
"""Names of some leads together."""
N_SAMPLES = 1000
"""Ten seconds at 100 Hz."""
MAX_DEPTH = 3
"""Recurrent layers of the deepest stack of Jafari & Jafari, GRU → BiLSTM → LSTM."""
SEED_SMOOTHING = 0.05
"""The seed uses label smoothing without giving its strength (section 2.12)."""
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
"""Lin et al. 2017, "Focal loss for dense object detection", section 5."""


class SpaceError(ValueError):
    """A value that no architecture of the space can have; the message names it and the choices."""


def load_code(code: Code) -> Any:
    """The function or class that an entry names."""
    return pkgutil.resolve_name(code) if isinstance(code, str) else code


# ---------------------------------------------------------------------------------------------------------
# Kinds of values


@dataclass(frozen=True, slots=True)
class Kind:
    """Values of these types with a property; `rule` words it, after the name of the axis."""

    rule: str
    types: tuple[type, ...]
    holds: Callable[[Any], object]

    def check(self, name: str, value: object, *, type_only: bool = False) -> Any:
        """The value in canonical form: 3 and 3.0 are one number, True is none.

        Raises:
            SpaceError: it is none of the axis `name`; with `type_only`, it cannot be one of any axis like it.
        """
        is_typed = isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool))
        try:
            canonical = float(cast(float, value)) if is_typed and float in self.types else value
        except OverflowError:  # a whole number beyond all floats
            is_typed = False
        _check(f"{name} {self.rule}", value, is_typed and (type_only or self.holds(canonical)))
        return canonical


def number(rule: str, holds: Callable[[float], object]) -> Kind:
    """Numbers for which `holds`, kept as floats."""
    return Kind(rule, (int, float), holds)


def whole(rule: str, holds: Callable[[int], object]) -> Kind:
    """Whole numbers for which `holds`."""
    return Kind(rule, (int,), holds)


@dataclass(frozen=True, slots=True)
class OneOf:
    """The values of a list, or the names of a registry."""

    choices: Collection[Choice]

    def check(self, name: str, value: object, *, type_only: bool = False) -> Any:
        """The value itself; 0 is not False, and 4 is not 4.0.

        Raises:
            SpaceError: it is none of them.
        """
        *others, last = self.choices
        rule = f"{name} is {', '.join(map(str, others))} or {last}" if others else f"{name} is {last}"
        _check(rule, value, any(type(value) is type(choice) and value == choice for choice in self.choices))
        return value


@dataclass(frozen=True, slots=True)
class LeadNames:
    """Leads of a study: `ALL_LEADS`, a name of `LEAD_SETS`, or names with commas between."""

    def check(self, name: str, value: object, *, type_only: bool = False) -> str:
        """The canonical text: standard leads in standard order, and by the name of their set if they are one.

        Raises:
            SpaceError: it is no text, or a lead has no name or is named twice.
        """
        is_text = isinstance(value, str) and bool(value)
        names = lead_names(cast(str, value)) if is_text else ()
        keys = [lead.upper() for lead in names]
        is_list = value == ALL_LEADS or (all(keys) and len(set(keys)) == len(keys))
        _check(f"{name} is {ALL_LEADS} or names of leads such as I,II,V2", value, is_text and is_list)
        return str(value) if value == ALL_LEADS else lead_set_name(names)


def lead_names(text: str) -> tuple[str, ...]:
    """Leads that a text means, standard ones in standard order; none for `ALL_LEADS`."""
    if text == ALL_LEADS:
        return ()
    names = LEAD_SETS.get(text) or tuple(name.strip() for name in text.split(","))
    return tuple(sorted(names, key=LEADS.index)) if set(names) <= set(LEADS) else names


def lead_set_name(names: Sequence[str]) -> str:
    """The text that means these leads: a key of `LEAD_SETS`, or the names with commas between."""
    known = {leads: name for name, leads in LEAD_SETS.items()}
    return known.get(tuple(names)) or ",".join(names)


def count_leads(leads: str, n_all: int) -> int:
    """Number of leads that a text names, of a study with `n_all`."""
    return n_all if leads == ALL_LEADS else len(lead_names(leads))


def _check(rule: str, value: object, holds: object) -> None:
    if not holds:
        raise SpaceError(f"{rule}, got {value!r}")


FLAG = Kind("is true or false", (bool,), lambda flag: True)
NAME = Kind("is a name", (str,), bool)
POSITIVE = whole("is a positive whole number", lambda n: n > 0)
COUNT = whole("is a whole number from 0 up", lambda n: n >= 0)
ODD = whole("is an odd positive whole number", lambda n: n > 0 and n % 2 == 1)
EVEN = whole("is an even positive whole number", lambda n: n > 0 and n % 2 == 0)
REDUCTION = whole("is 0 or a whole reduction from 4 to 64", lambda n: n == 0 or 4 <= n <= 64)
LAYERS = whole(f"is a whole number from 0 to {MAX_DEPTH}", lambda n: 0 <= n <= MAX_DEPTH)
FACTOR = number("is a factor from 0.01 to 8", lambda x: 0.01 <= x <= 8)
SHARE = number("lies in [0, 1)", lambda x: 0 <= x < 1)
SMOOTHING = number("lies in [0, 0.5)", lambda x: 0 <= x < 0.5)
POSITIVE_SHARE = number("lies in (0, 1]", lambda x: 0 < x <= 1)
CAP = number("is at least 1", lambda x: 1 <= x < math.inf)
WEIGHT = number("lies in (0, 1)", lambda x: 0 < x < 1)
POWER = number("lies in [0, 10]", lambda x: 0 <= x <= 10)
RATE = number("is a positive number", lambda x: 0 < x < math.inf)
TEMPERATURE = number("lies in [1, 100]", lambda x: 1 <= x <= 100)
DECAY = number("is a number from 0 up", lambda x: 0 <= x < math.inf)


# ---------------------------------------------------------------------------------------------------------
# Axes


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One choice of an architecture, declared once for all parts of the program."""

    kind: Kind | OneOf | LeadNames
    words: str
    """Name of the axis in sentences, tables and figures."""
    paper: tuple[Choice, ...] = ()
    """Values in the space `paper`: those of Jafari & Jafari. None at all: the usual one."""
    wide: tuple[Choice, ...] | None = None
    """Values in the space `wide`; None for those of `paper`."""
    full: tuple[Choice, ...] | None = None
    """Values in the space `full`; None for those of `wide`."""
    of: str = ""
    """The axis on which it depends, and next to which it is chosen; empty for one that always matters."""
    when: Callable[[Any], object] | None = None
    """Whether it matters, given a value of the axis it depends on; None for always. A parameter of a loss
    matters to the losses that list it."""
    usual: Choice | Callable[[Any], Choice] | None = None
    """The value that None stands for where it matters, or a function to it from the axis it depends on."""
    scale: Callable[[float], float] = float
    """Transformation of a number for the sampler: equal steps are likely to change the score equally."""
    span: tuple[float, float] | None = None
    """Ends of that scale; None for the smallest and largest value of the space."""
    reference: Choice | None = None
    """Level that others are compared with in the report; None: numbers with the next smaller one."""
    says: str | Callable[[Architecture], str] = ""
    """Words of the axis in the sentence on an architecture: a text with a place for a value other than the
    default, or a function that also describes the axes that depend on it; nothing if empty."""
    per_layer: bool = False
    """Whether every recurrent layer has a value of its own."""

    def usual_value(self, parent: Any) -> Choice | None:
        """The value that None stands for, if any, given a value of the axis it depends on."""
        return self.usual(parent) if callable(self.usual) else self.usual

    def values(self, space: str) -> tuple[Choice, ...]:
        """Values of the axis in `paper`, `wide` or `full`."""
        wide = self.paper if self.wide is None else self.wide
        full = wide if self.full is None else self.full
        return {"paper": self.paper, "wide": wide, "full": full}[space]


class Registry(UserDict[str, Entry], Generic[Entry]):
    """Entries of one kind by name. A name that is taken stays what it is: digests and databases rely on it.

    Args:
        kind: class of the entries.
        noun: what an entry is, for messages.
        entries: the first ones.
    """

    def __init__(self, kind: type[Entry], noun: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self.noun = noun
        super().__init__(entries)

    def __setitem__(self, name: str, entry: Entry) -> None:
        pattern = r"[a-z][a-z0-9]*(_[a-z]+)*" if self.kind is Axis else r"[a-z0-9]+(-[a-z0-9]+)*"
        if not isinstance(name, str) or not re.fullmatch(pattern, name):
            example = "gamma_neg" if self.kind is Axis else "my-net"
            raise SpaceError(f"{self.noun} names are lower case, such as {example}, got {name!r}")
        if not isinstance(entry, self.kind):
            raise SpaceError(f"{self.noun} {name} is a {self.kind.__name__}(…), got {entry!r}")
        if name in self.data:
            raise SpaceError(f"{self.noun} {name} exists already: choose another name")
        super().__setitem__(name, entry)


def _check_entry(noun: str, entry: Any, **codes: Code) -> None:
    """Raise SpaceError unless an entry has words, and each of its codes is callable or named."""
    _check(f"{noun}: its words are a text", entry.words, isinstance(entry.words, str) and entry.words)
    for name, code in codes.items():
        is_named = isinstance(code, str) and re.fullmatch(r"[\w.]+:[\w.]+", code)
        _check(f"{noun}: {name} is callable, or 'package.module:name'", code, is_named or callable(code))


# ---------------------------------------------------------------------------------------------------------
# What can be named: each entry brings its words and where its code is


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Cost of running a layer, its parameters aside.

    Raises:
        SpaceError: a number is none from 0 up.
    """

    macs: int
    """Multiply–accumulates of one record; of a cell, those of one time step in one direction."""
    vectors: int = 0
    """Parameters in vectors (biases, norms), which keep four bytes at int8."""
    working: int = 0
    """Largest number of values in memory while it runs, its input and its output aside."""
    in_place: bool = False
    """Whether its output can overwrite its input."""
    operator: str = ""
    """The operator a device needs for it; empty for what every runtime has."""

    def __post_init__(self) -> None:
        for name in ("macs", "vectors", "working"):
            COUNT.check(f"cost: {name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A recurrent cell."""

    words: str
    """Name of the cell in sentences and figures; a layer that runs both ways is named `Bi` + words."""
    parameters: Callable[[int, int], int]
    """Trainable parameters of one direction, from the features that enter it and its hidden units."""
    module: Code
    """A torch module made from (features that enter, hidden units), from `x_BTC` to hidden states `h_BTH`;
    its method `initialise(generator)` draws its weights. For the second direction it gets time reversed."""
    runs_both_ways: bool = False
    """Whether `module` also takes `bidirectional` and returns both directions side by side itself."""
    cost: Callable[[int, int], Cost] | None = None
    """Cost of one direction, from input features and hidden units; None: measured on `module`."""

    def __post_init__(self) -> None:
        _check_entry("cell", self, module=self.module, parameters=self.parameters)


def _gated(n_gates: int, n_working: int) -> Callable[[int, int], Cost]:
    """Cost of a cell whose gates each see input and state, with so many hidden vectors in memory at once."""
    return lambda n_in, hidden: Cost(
        macs=n_gates * hidden * (n_in + hidden), vectors=2 * n_gates * hidden, working=n_working * hidden
    )


CELLS = Registry(
    Cell,
    "cell",
    {
        # PyTorch's layers have two bias vectors per gate.
        "lstm": Cell(
            words="LSTM",
            parameters=lambda n_in, hidden: 4 * (hidden * (n_in + hidden) + 2 * hidden),
            module="search.models.cells:Lstm",
            runs_both_ways=True,
            cost=_gated(4, 5),  # four gates and the cell state
        ),
        "gru": Cell(
            words="GRU",
            parameters=lambda n_in, hidden: 3 * (hidden * (n_in + hidden) + 2 * hidden),
            module="search.models.cells:Gru",
            runs_both_ways=True,
            cost=_gated(3, 4),  # three gates, and what the state adds to the new one
        ),
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontEnd:
    """A network from leads to features over time, before any recurrent layer."""

    words: str
    """Name of the front end in sentences and figures."""
    source: str
    """Source of the front end."""
    layers: Code
    """From leads, channels of the first layer and kernel (None where it is fixed) to layers, described as in
    `search.models.frontends.layers`; parameter count and module follow from these. With `strides` it also
    takes `stride`, by name."""
    width: int
    """Channels of its first layer as published; `Architecture.width` scales them and all that follow."""
    kernels: tuple[int, ...] = ()
    """Kernels of its blocks that can be searched, the usual one first; empty if they are fixed."""
    strides: tuple[int, ...] = ()
    """Strides of its first convolution that can be searched, 1 first; empty if it is fixed."""
    frozen: bool = False
    """Whether it stays as it was drawn, so that only what follows it is trained."""

    def __post_init__(self) -> None:
        _check_entry("front end", self, layers=self.layers)
        POSITIVE.check("front end: width", self.width)
        for kernel in self.kernels:
            ODD.check("front end: kernel", kernel)
        for stride in self.strides:
            POSITIVE.check("front end: stride", stride)
        _check("front end: strides begin with 1", self.strides, self.strides[:1] in ((), (1,)))


def _front_end(words: str, width: int, source: str, layers: str, **more: Any) -> FrontEnd:
    layers = f"search.models.frontends.{layers}"
    return FrontEnd(words=words, width=width, source=source, layers=layers, **more)


FRONT_ENDS = Registry(
    FrontEnd,
    "front end",
    {
        "cnn": _front_end("CNN", 64, "Jafari & Jafari, Table 1", "cnn:layers", strides=(1, 2)),
        "resnet1d-se": _front_end(
            "ResNet1D-SE", 64, "Ichli 2025, section 3.3", "resnet1d_se:layers", kernels=(3, 5, 7, 15)
        ),
        "cnn-transformer": _front_end(
            "CNN-Transformer", 64, "HC-CNN-TN, section 3.2", "cnn_transformer:layers"
        ),
        "fcn-wang": _front_end("FCN", 128, "Wang et al. 2017", "fcn_wang:layers"),
        "resnet1d-wang": _front_end("ResNet1D-Wang", 128, "Wang et al. 2017", "resnet1d_wang:layers"),
        "inception1d": _front_end("InceptionTime", 32, "Ismail Fawaz et al. 2020", "inception1d:layers"),
        "xresnet1d50": _front_end("xResNet1D-50", 64, "He et al. 2019", "xresnet1d:layers_of_50"),
        "xresnet1d101": _front_end("xResNet1D-101", 64, "He et al. 2019", "xresnet1d:layers_of_101"),
        "s4d": _front_end("S4D", 512, "Gu et al. 2022; Mehari & Strodthoff 2023", "s4d:layers"),
        "separable": _front_end(
            "MobileNet1D",
            32,
            "Howard et al. 2017; Hu et al. 2018",
            "separable:layers",
            kernels=(7, 3, 5, 15),
            strides=(1, 2),
        ),
        "tcn": _front_end("TCN", 32, "Bai et al. 2018", "tcn:layers", kernels=(7, 3, 5, 15), strides=(1, 2)),
        "mingru": _front_end("minGRU", 64, "Feng et al. 2024", "mingru:layers", strides=(1, 2)),
        "lstm": _front_end("raw LSTM", 256, "Strodthoff et al. 2021", "lstm:layers_forwards"),
        "lstm-bidir": _front_end("raw BiLSTM", 256, "Strodthoff et al. 2021", "lstm:layers_both_ways"),
        "resnet1d": _front_end("ResNet1D-18", 64, "He et al. 2016", "resnet1d:layers", kernels=(3, 5, 7, 15)),
        "mrf-cnn": _front_end(
            "MRF-CNN",
            16,
            "after Feyisa et al. 2022; sizes chosen by us",
            "mrf_cnn:layers",
            kernels=(5, 3, 7, 15),
        ),
        "msw-transformer": _front_end(
            "MSW-Transformer", 64, "after Cheng et al. 2023; sizes chosen by us", "msw_transformer:layers"
        ),
        "random-encoder": _front_end(
            "random ResNet1D-18", 64, "arXiv 2602.17531", "random_encoder:layers", frozen=True
        ),
    },
)

POOLINGS = {
    "mean": "mean",
    "attention": "attention",
    "mean-max": "mean and maximum",
    "last-mean-max": "last state, mean and maximum",
}
"""Poolings over time: the mean, a mean weighted by softmax attention, mean and maximum side by side, or these
beside the last state of each direction."""

HEADS = {"dense": 2, "bottleneck": 1, "linear": 0}
"""Dense layers before the output: two (Jafari & Jafari), one (Strodthoff et al. 2021), or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """A loss with its weighting."""

    words: str
    """Phrase with the parameters in braces: `focal loss γ {gamma:g}`; parameters left out are appended."""
    make: Code
    """From targets of the training part `y_NC`, `exclusive` (whether a record has exactly one class) and its
    parameters, by name, to a function of logits `z_BC` and targets `y_BC` that returns the mean loss."""
    parameters: tuple[str, ...] = ()
    """Axes that matter to it."""
    usual_words: str = ""
    """Phrase where every parameter has its usual value; empty for `words`."""
    softmax: bool = False
    """Whether classes share one softmax where a record has exactly one of them."""

    def __post_init__(self) -> None:
        _check_entry("loss", self, make=self.make)
        is_tuple = isinstance(self.parameters, tuple) and all(
            isinstance(name, str) for name in self.parameters
        )
        _check("loss: parameters are a tuple of names of axes", self.parameters, is_tuple)


LOSSES = Registry(
    Loss,
    "loss",
    {
        "bce": Loss(words="binary cross-entropy", make="search.training.losses:cross_entropy"),
        "power": Loss(
            words="positive weight ^{exponent:g} ≤ {cap:g}",
            make="search.training.losses:power_weighted",
            parameters=("exponent", "cap"),
        ),
        "focal": Loss(
            words="focal loss α {alpha:g} γ {gamma:g}",
            usual_words="focal loss",
            make="search.training.losses:focal",
            parameters=("alpha", "gamma"),
        ),
        "balanced": Loss(words="balanced classes", make="search.training.losses:balanced", softmax=True),
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """A filter, applied once to the signals of a data set."""

    words: str
    apply: Code
    """From signals `x_NLT` in int16 microvolts and their rate in Hz to signals of the same shape and type."""

    def __post_init__(self) -> None:
        _check_entry("filter", self, apply=self.apply)


FILTERS = Registry(
    Filter,
    "filter",
    {
        "none": Filter(words="no filter", apply="search.data.signals.filters:unfiltered"),
        "bandpass": Filter(words="bandpass filter", apply="search.data.signals.filters:bandpass"),
        "median": Filter(words="median filter", apply="search.data.signals.filters:without_baseline"),
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """An augmentation of the signals of every batch in training."""

    words: str
    apply: Code
    """From a `search.training.batches.Batch`, a generator on its device and the rate in Hz to a batch."""

    def __post_init__(self) -> None:
        _check_entry("augmentation", self, apply=self.apply)


AUGMENTATIONS = Registry(
    Augmentation,
    "augmentation",
    {
        "none": Augmentation(words="no augmentation", apply="search.training.augmentation:unchanged"),
        "noise": Augmentation(words="noise augmentation", apply="search.training.augmentation:noise"),
        "rich": Augmentation(words="rich augmentation", apply="search.training.augmentation:rich"),
        "mixup": Augmentation(words="mixup augmentation", apply="search.training.augmentation:mixup"),
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Frequency with which records of the training part are drawn in an epoch of unchanged length."""

    words: str
    weights: Code
    """From targets of the training part `y_NC` to weights `w_N`, to which the expected number of times that a
    record is drawn is proportional. With equal weights every record is drawn once."""

    def __post_init__(self) -> None:
        _check_entry("sampling", self, weights=self.weights)


SAMPLINGS = Registry(
    Sampling,
    "sampling",
    {
        "none": Sampling(words="every record once", weights="search.training.sampling:equal"),
        # Mahajan et al. 2018; Gupta et al. 2019, "LVIS", section 5 (repeat-factor sampling).
        "square-root": Sampling(
            words="square-root oversampling", weights="search.training.sampling:square_root"
        ),
        # Shen et al. 2016, "Relay backpropagation", section 3.3 (class-aware sampling).
        "balanced": Sampling(
            words="class-balanced oversampling", weights="search.training.sampling:class_balanced"
        ),
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Recipe by which a published system fits its weights; None takes the study's setting."""

    words: str
    optimiser: Literal["adamw", "adam"] = "adamw"
    learning_rate: float | None = None
    """Peak of the schedule."""
    weight_decay: float | None = None
    gradient_clip: float | None = None
    """Largest norm of the gradient."""
    schedule: Literal["one-cycle", "cosine", "plateau"] = "one-cycle"
    """`plateau`: constant, and lowered when the loss of the records watched has stopped falling."""
    batch_size: int | None = None
    epochs: int | None = None
    """Epochs after which training ends, if the study has more."""
    patience: int | None = None
    """Epochs without a better score of the records watched after which training ends. In a search these are
    a slice of the training part, in `evaluate` the validation part."""
    watches: Literal["auprc", "auroc"] = "auprc"
    """The score of early stopping, macro-averaged over the classes trained on."""

    def __post_init__(self) -> None:
        _check_entry("recipe", self)
        OneOf(("adamw", "adam")).check("optimiser", self.optimiser)
        OneOf(("one-cycle", "cosine", "plateau")).check("schedule", self.schedule)
        OneOf(("auprc", "auroc")).check("watches", self.watches)
        kinds = {"learning_rate": RATE, "weight_decay": DECAY, "gradient_clip": RATE}
        for name in (*kinds, "batch_size", "epochs", "patience"):
            if getattr(self, name) is not None:
                kinds.get(name, POSITIVE).check(name, getattr(self, name))


RECIPES = Registry(
    Recipe,
    "recipe",
    {
        "study": Recipe(words="the study's AdamW and one-cycle schedule"),
        # Ichli 2025, section 3.3.
        "resnet1d-se": Recipe(
            words="AdamW, weight decay 1e-5, one cycle to 1e-3, stops after 10 epochs without a better score",
            learning_rate=1e-3,
            weight_decay=1e-5,
            patience=10,
        ),
        # HC-CNN-TN, section 4.1.
        "hc-cnn-tn": Recipe(
            words="Adam 3e-4, cosine, 15 epochs, batches of 64",
            optimiser="adam",
            learning_rate=3e-4,
            weight_decay=0.0,
            schedule="cosine",
            batch_size=64,
            epochs=15,
        ),
        # The peak is that of Mehari & Strodthoff 2023; the schedule is this project's.
        "s4d": Recipe(
            words="AdamW, weight decay 1e-2, one cycle to 1e-3", learning_rate=1e-3, weight_decay=1e-2
        ),
        # Strodthoff et al. 2021, section II.B.
        "benchmark": Recipe(
            words="AdamW, weight decay 1e-2, one cycle to 1e-2, batches of 128",
            learning_rate=1e-2,
            weight_decay=1e-2,
            batch_size=128,
        ),
        # The same for recurrent networks: configs/fastai_configs.py and models/fastai_model.py of its code.
        "benchmark-rnn": Recipe(
            words="AdamW, weight decay 1e-2, one cycle to 1e-3, batches of 128, gradients clipped at .25",
            learning_rate=1e-3,
            weight_decay=1e-2,
            gradient_clip=0.25,
            batch_size=128,
        ),
        # Jafari & Jafari, section 2.12, which gives neither patience nor by how much the rate is reduced.
        "jafari": Recipe(
            words="Adam 1e-3, halved on a plateau of the loss, stops after 10 epochs without a better AUROC",
            optimiser="adam",
            learning_rate=1e-3,
            weight_decay=0.0,
            schedule="plateau",
            patience=10,
            watches="auroc",
        ),
    },
)


# ---------------------------------------------------------------------------------------------------------
# The architecture


@dataclass(frozen=True, kw_only=True, slots=True)
class RecurrentLayer:
    """One layer of the recurrent stack."""

    cell: str
    bidirectional: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.cell, str) or self.cell not in CELLS:
            raise SpaceError(f"unknown cell {self.cell!r}: choose from {', '.join(CELLS)}")
        if not isinstance(self.bidirectional, bool):
            raise SpaceError(f"bidirectional is true or false, not {self.bidirectional!r}")

    @property
    def n_directions(self) -> int:
        """Two for a bidirectional layer, else one."""
        return 2 if self.bidirectional else 1

    def __str__(self) -> str:
        return ("Bi" if self.bidirectional else "") + CELLS[self.cell].words


def axis(
    default: Any,
    kind: Kind | OneOf | LeadNames,
    words: str,
    *,
    paper: Iterable[Choice] | None = None,
    **declared: Any,
) -> Any:
    """A field of the architecture with its declaration.

    By default `paper` has its default, and so has the reference of an axis of names, not of numbers.
    """
    for space in ("wide", "full"):
        declared[space] = tuple(declared[space]) if space in declared else None
    if isinstance(kind, OneOf | LeadNames) or kind is FLAG:
        declared.setdefault("reference", default)
    values = (default,) if paper is None else tuple(paper)
    return field(default=default, metadata={"axis": Axis(kind=kind, words=words, paper=values, **declared)})


STACK = {
    "depth": Axis(
        kind=LAYERS,
        words="recurrent depth",
        paper=(0, 1, 2, 3),
        says=lambda a: " → ".join(f"{layer}({a.hidden_size})" for layer in a.recurrent),
    ),
    "cell": Axis(
        kind=OneOf(CELLS),
        words="recurrent type",
        paper=("lstm", "gru"),
        of="depth",
        reference="lstm",
        per_layer=True,
    ),
    "direction": Axis(
        kind=OneOf(("forward", "bidirectional")),
        words="direction",
        paper=("forward", "bidirectional"),
        of="depth",
        reference="forward",
        per_layer=True,
    ),
}
"""Axes of the recurrent stack: how many layers, and cell and direction of each."""


def _leads_words(a: Architecture) -> str:
    if a.leads == ALL_LEADS:
        return ""
    if a.leads in LEAD_SETS:
        return f"{a.leads} leads"
    return f"{'lead' if count_leads(a.leads, 0) == 1 else 'leads'} {a.leads.replace(',', ', ')}"


def _front_end_words(a: Architecture) -> str:
    details = [] if a.width == 1 else [f"{a.conv_width}"]
    if a.front_end.kernels and a.kernel != a.front_end.kernels[0]:
        details.append(f"kernel {a.kernel}")
    if a.stride not in (None, 1):
        details.append(f"stride {a.stride}")
    return a.front_end.words + (f"({', '.join(details)})" if details else "")


def _pooling_words(a: Architecture) -> str:
    return "" if a.pooling == "mean" else POOLINGS[a.pooling]


def _entry_words(axis_name: str, entries: Registry[Any], usual: str) -> Callable[[Architecture], str]:
    """Words of the entry of a registry that an axis names; empty for the usual one."""

    def words(a: Architecture) -> str:
        name = getattr(a, axis_name)
        return "" if name == usual else str(entries[name].words)

    return words


def _head_words(a: Architecture) -> str:
    if a.head == "dense" and a.head_width == 512:
        return ""
    return a.head if a.head_width is None else f"{a.head}({a.head_width})"


def _teacher_words(a: Architecture) -> str:
    if a.teacher == NO_MODEL:
        return ""
    return f"taught by {a.teacher}, weight {a.teacher_weight:g}, temperature {a.temperature:g}"


def _initial_words(a: Architecture) -> str:
    if a.init == NO_MODEL:
        return ""
    return f"begun with {a.init}, front end {'frozen' if a.frozen else 'fine-tuned'}"


def _loss_words(a: Architecture) -> str:
    loss = LOSSES[a.loss]
    if a.loss == "bce":
        return ""
    values = {name: a.value(name) for name in loss.parameters}
    if loss.usual_words and all(AXES[name].usual_value(a.loss) == values[name] for name in values):
        return loss.usual_words
    left_out = [name for name in values if f"{{{name}" not in loss.words]
    return " ".join(
        [loss.words.format(**values), *(f"{AXES[name].words} {values[name]}" for name in left_out)]
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One point of the space, always in canonical form.

        leads → front end → recurrent layers → pooling over time → gate
              → beside hand-crafted features → head → one output per class of the label tier

    Fields that change nothing are set to None on construction (`hidden_size` without recurrent layers,
    `exponent` and `cap` without a power weighting, …), so that two architectures are equal exactly when they
    build and train the same model. Every field is one axis; `recurrent` is three, those of `STACK`.

    Raises:
        SpaceError: if a value is outside its range, or has the wrong type, whether or not it matters here.
    """

    leads: str = axis(ALL_LEADS, LeadNames(), "leads", says=_leads_words)
    """Leads that enter, of those that the study has."""
    backbone: str = axis(
        "cnn",
        OneOf(FRONT_ENDS),
        "front end",
        wide=("cnn", "separable", "tcn", "mingru"),
        full=FRONT_ENDS,
        says=_front_end_words,
    )
    """One of `FRONT_ENDS`."""
    width: float = axis(1.0, FACTOR, "width", wide=(0.125, 0.25, 0.5, 1.0, 1.5), of="backbone", scale=log2)
    """Factor on all channels of the front end as published."""
    kernel: int | None = axis(
        None,
        ODD,
        "block kernel",
        paper=(),
        full=sorted({kernel for entry in FRONT_ENDS.values() for kernel in entry.kernels}),
        of="backbone",
        when=lambda backbone: FRONT_ENDS[backbone].kernels,
        usual=lambda backbone: FRONT_ENDS[backbone].kernels[0],
        scale=log2,
    )
    """Kernel of the blocks of a front end that leaves a choice; None takes the usual one."""
    stride: int | None = axis(
        1,
        POSITIVE,
        "first stride",
        paper=(),
        wide=(1, 2),
        of="backbone",
        when=lambda backbone: FRONT_ENDS[backbone].strides,
        usual=1,
        scale=log2,
    )
    """Stride of the first convolution of a front end that leaves a choice."""
    recurrent: tuple[RecurrentLayer, ...] = field(default=(), metadata={"axes": STACK})
    """Recurrent layers from input to output, at most `MAX_DEPTH`: the axes of `STACK`."""
    hidden_size: int | None = axis(
        128, POSITIVE, "units per direction", wide=(32, 64, 128), of="depth", when=bool, scale=log2
    )
    """Units per direction of every recurrent layer."""
    pooling: str = axis(
        "mean",
        OneOf(POOLINGS),
        "pooling over time",
        wide=("mean", "attention"),
        full=POOLINGS,
        says=_pooling_words,
    )
    """One of `POOLINGS`."""
    gate: int = axis(
        0,
        REDUCTION,
        "feature-wise gate",
        paper=(0, 16, 4),
        scale=lambda reduction: 1 / math.sqrt(reduction) if reduction else 0.0,  # none, /16, /4 evenly spaced
        span=(0.0, 0.5),
        says="gate/{}",
    )
    """Reduction of the feature-wise gate after pooling; 0 means no gate."""
    features: bool = axis(False, FLAG, "hand-crafted features", full=(False, True), says="with features")
    """Whether a branch of hand-crafted features joins before the head."""
    head: str = axis("dense", OneOf(HEADS), "head", full=HEADS, says=_head_words)
    """One of `HEADS`."""
    head_width: int | None = axis(
        512,
        EVEN,
        "dense width",
        wide=(64, 256, 512),
        full=(64, 128, 256, 512),
        of="head",
        when=HEADS.get,
        scale=log2,
    )
    """Units of the first dense layer; a second has half as many."""
    dropout: float = axis(
        0.5, SHARE, "dropout", wide=(0.1, 0.25, 0.5), full=(0.0, 0.1, 0.25, 0.5), says="dropout {:g}"
    )
    """Before the output."""
    lead_dropout: float | None = axis(
        0.0,
        SHARE,
        "lead dropout",
        of="leads",
        when=lambda leads: count_leads(leads, 2) > 1,
        usual=0.0,
        says="lead dropout {:g}",
    )
    """Share of the leads of a record that are hidden at random in training, one at least left; `rich`
    augmentation hides leads, too. A single lead is never hidden."""
    loss: str = axis(
        "bce", OneOf(LOSSES), "loss weighting", paper=("bce", "power", "focal"), full=LOSSES, says=_loss_words
    )
    """Binary cross-entropy, unweighted, with a power of the imbalance as positive weight, focal, or weighted
    so that all classes count alike; one of `LOSSES`."""
    exponent: float | None = axis(
        None,
        POSITIVE_SHARE,
        "exponent of the positive weight",
        paper=(0.25, 0.4, 0.5, 1.0),
        of="loss",
        scale=log2,
    )
    """Power weighting: positive weight ((N − P) / P) ** exponent for a class with P of N positive."""
    cap: float | None = axis(
        None, CAP, "cap of the positive weight", paper=(3.0, 10.0), of="loss", scale=log2
    )
    """Power weighting: largest positive weight."""
    alpha: float | None = axis(
        None,
        WEIGHT,
        "α of the focal loss",
        paper=(FOCAL_ALPHA,),
        full=(0.25, 0.5, 0.75),
        of="loss",
        usual=FOCAL_ALPHA,
    )
    """Focal loss: weight of the positive term."""
    gamma: float | None = axis(
        None,
        POWER,
        "γ of the focal loss",
        paper=(FOCAL_GAMMA,),
        full=(1.0, 2.0, 3.0),
        of="loss",
        usual=FOCAL_GAMMA,
    )
    """Focal loss: power of the probability missed."""
    label_smoothing: float = axis(
        0.0,
        SMOOTHING,
        "label smoothing",
        paper=(SEED_SMOOTHING,),
        wide=(0.0, 0.05, 0.1),
        says="smoothing {:g}",
    )
    """Targets are moved by this share of the way from 0 and 1 to one half."""
    soft_labels: bool = axis(False, FLAG, "soft labels", full=(False, True), says="soft labels")
    """Whether a statement's likelihood is its target."""
    filter: str = axis(
        "none", OneOf(FILTERS), "filter", full=FILTERS, says=_entry_words("filter", FILTERS, "none")
    )
    """Filter of the signals, one of `FILTERS`."""
    augmentation: str = axis(
        "noise",
        OneOf(AUGMENTATIONS),
        "augmentation",
        full=AUGMENTATIONS,
        says=_entry_words("augmentation", AUGMENTATIONS, "noise"),
    )
    """Augmentation of the signals of every batch, one of `AUGMENTATIONS`."""
    sampling: str = axis(
        "none", OneOf(SAMPLINGS), "sampling", wide=SAMPLINGS, says=_entry_words("sampling", SAMPLINGS, "none")
    )
    """Sampling of records with rare classes in an epoch, one of `SAMPLINGS`."""
    synthetic: float = axis(
        0.0, SHARE, "share of synthetic records", full=(0.0, 0.25, 0.5), says="{:.0%} synthetic"
    )
    """Synthetic records of rare classes added to a batch, as a share of it."""
    recipe: str = axis(
        "study",
        OneOf(RECIPES),
        "recipe",
        full=("study", "resnet1d-se", "hc-cnn-tn", "s4d", "benchmark", "benchmark-rnn"),
        says="recipe {}",
    )
    """Recipe of the training, one of `RECIPES`."""
    teacher: str = axis(NO_MODEL, NAME, "teacher", reference=NO_MODEL, says=_teacher_words)
    """Model whose probabilities are soft targets beside the labels, as the study names it."""
    teacher_weight: float | None = axis(
        None,
        POSITIVE_SHARE,
        "weight of the teacher",
        paper=(0.5,),
        of="teacher",
        when=lambda teacher: teacher != NO_MODEL,
        usual=0.5,
    )
    """Share of the soft targets in the loss."""
    temperature: float | None = axis(
        None,
        TEMPERATURE,
        "temperature",
        paper=(1.0,),
        of="teacher",
        when=lambda teacher: teacher != NO_MODEL,
        usual=1.0,
        scale=log2,
    )
    """Divisor of the logits of teacher and student for the soft targets (Hinton et al. 2015)."""
    init: str = axis(NO_MODEL, NAME, "initial weights", reference=NO_MODEL, says=_initial_words)
    """Model whose weights this one begins with, as the study names it."""
    frozen: bool | None = axis(
        None,
        FLAG,
        "frozen front end",
        paper=(False,),
        of="init",
        when=lambda init: init != NO_MODEL,
        usual=False,
        reference=False,
    )
    """Whether weights of the front end stay what they were; its batch norms follow the data all the same."""
    label_tier: str = axis(
        "subclass", NAME, "label tier trained on", says=lambda a: f"trained on {a.label_tier}"
    )
    """Tier the model is trained on; its predictions are projected onto the study's target."""
    own: tuple[tuple[str, Choice], ...] | Mapping[str, Choice] = ()
    """Values of axes that a space file added for its own loss, by name; a mapping is taken, too."""

    def __post_init__(self) -> None:
        canonical: dict[str, Any] = {"recurrent": self._checked_stack()}
        parents: dict[str, Any] = {"depth": len(canonical["recurrent"])}
        own = self._checked_own()
        for name in (*_FIELDS, *own):
            value = own[name] if name in own else getattr(self, name)
            parents[name] = _canonical(name, value, parents.get(AXES[name].of))
        canonical |= {name: parents[name] for name in _FIELDS}
        canonical["own"] = tuple((name, parents[name]) for name in own if parents[name] is not None)
        for name, value in canonical.items():
            object.__setattr__(self, name, value)

    def _checked_stack(self) -> tuple[RecurrentLayer, ...]:
        is_stack = isinstance(self.recurrent, tuple | list)
        is_stack = is_stack and all(isinstance(layer, RecurrentLayer) for layer in self.recurrent)
        _check("recurrent is a tuple of RecurrentLayer", self.recurrent, is_stack)
        _check(f"at most {MAX_DEPTH} recurrent layers", len(self.recurrent), len(self.recurrent) <= MAX_DEPTH)
        return tuple(self.recurrent)

    def _checked_own(self) -> dict[str, Any]:
        """Values of all axes that are no fields but matter, None where the usual one is meant."""
        try:
            given = dict(self.own)
        except (TypeError, ValueError):
            raise SpaceError(f"own is a mapping from axes to values, got {self.own!r}") from None
        for name in given:
            _check(
                "own has values of axes that a space file added", name, name in AXES and name not in _FIELDS
            )
        loss = LOSSES.get(self.loss) if isinstance(self.loss, str) else None
        needed = [name for name in (loss.parameters if loss else ()) if name not in _FIELDS]
        return {name: given.get(name) for name in dict.fromkeys((*needed, *given))}

    def value(self, name: str) -> Any:
        """Value of a field, or of an axis that a space file added; None where it does not matter."""
        return getattr(self, name) if name in _FIELDS or name == "recurrent" else dict(self.own).get(name)

    @property
    def front_end(self) -> FrontEnd:
        """The entry of the front end in the registry."""
        return FRONT_ENDS[self.backbone]

    @property
    def conv_width(self) -> int:
        """Channels of the first layer of the front end."""
        return max(1, round(self.front_end.width * self.width))

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name the architecture in a database.

        Only fields that differ from their defaults enter, so that a new field leaves older digests alone.
        """
        changed = {
            name: value for name, value in self.to_dict().items() if value not in (None, _DEFAULTS.get(name))
        }
        text = json.dumps(changed, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The architecture as JSON-ready values; `from_dict` is the inverse."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["recurrent"] = [
            {"cell": layer.cell, "bidirectional": layer.bidirectional} for layer in self.recurrent
        ]
        return values | dict(values.pop("own"))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Inverse of `to_dict`.

        Raises:
            SpaceError: if a key is unknown or a value is outside its range.
        """
        _check("an architecture is a mapping", values, isinstance(values, Mapping))
        try:
            layers = tuple(RecurrentLayer(**layer) for layer in values.get("recurrent", ()))
        except TypeError as error:
            layer = values["recurrent"]
            raise SpaceError(f"recurrent layers have a cell and a direction, got {layer!r}") from error
        return cls.of({**values, "recurrent": layers})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Architecture:
        """The architecture with these values of fields and of axes that a space file added.

        Raises:
            SpaceError: if a key is unknown or a value is outside its range.
        """
        known = {name: value for name, value in values.items() if name in _FIELDS or name == "recurrent"}
        own = {name: value for name, value in values.items() if name not in known}
        for name in own:
            if name not in AXES:
                raise SpaceError(f"unknown architecture field {name!r}: written by a newer version?")
        return cls(**known, own=own)

    def describe(self) -> str:
        """Model, then training, in one sentence; different architectures read differently.

        Widths are named where they differ from the published ones (the CNN's 64–128–256, dense 512–256).
        """
        parts: dict[bool, list[str]] = {True: [], False: []}
        is_model = True
        for name, declared in AXES.items():
            is_model &= name != _FIRST_OF_TRAINING
            if callable(declared.says):
                parts[is_model].append(declared.says(self))
            elif declared.says and getattr(self, name) not in (None, _DEFAULTS[name]):
                parts[is_model].append(declared.says.format(getattr(self, name)))
        return ", ".join([" → ".join(filter(None, parts[True])), *filter(None, parts[False])])


def _declared_axes() -> dict[str, Axis]:
    found: dict[str, Axis] = {}
    for declared in fields(Architecture):
        if "axis" in declared.metadata:
            found[declared.name] = declared.metadata["axis"]
        found |= declared.metadata.get("axes", {})
    return found


AXES = Registry(Axis, "axis", _declared_axes())
"""Axes by name, in the order of the fields; a space file may add parameters of its own losses."""
_DEFAULTS = {declared.name: declared.default for declared in fields(Architecture)}
_FIRST_OF_TRAINING = "dropout"
"""Fields before it say what a model is, this one and those after it how it is trained."""
_FIELDS = tuple(declared.name for declared in fields(Architecture) if "axis" in declared.metadata)


def matters(name: str, parent: Any) -> bool:
    """Whether an axis has a value, given that of the axis it depends on."""
    declared = AXES[name]
    if declared.of == "loss":
        return name in LOSSES[parent].parameters
    return declared.when is None or bool(declared.when(parent))


def _canonical(name: str, value: Any, parent: Any) -> Any:
    """The value of a field in canonical form: None where it does not matter, the usual one for None."""
    declared = AXES[name]
    if declared.of and not matters(name, parent):
        if value is not None:
            declared.kind.check(name, value, type_only=True)
        return None
    if declared.of and value is None:
        value = declared.usual_value(parent)
    return declared.kind.check(name, value)


# ---------------------------------------------------------------------------------------------------------
# Spaces

Axes = Mapping[str, tuple[Choice, ...]]


def _values_in(space: str) -> dict[str, tuple[Choice, ...]]:
    return {name: declared.values(space) for name, declared in AXES.items() if name != "label_tier"}


PUBLISHED = _values_in("paper")
"""Values of Jafari & Jafari for every axis but the label tier, which the data set has; `cell` and `direction`
are chosen for each recurrent layer on its own, `kernel` for each front end."""
SPACES: dict[str, dict[str, tuple[Choice, ...]]] = {
    "wide": _values_in("wide"),
    "paper": PUBLISHED,
    "full": _values_in("full"),
}
FORMER_SPACES: dict[str, dict[str, tuple[Choice, ...]]] = {
    "wide": {
        **PUBLISHED,
        "width": (0.25, 0.5, 1.0),
        "hidden_size": (32, 64, 128),
        "head_width": (64, 256, 512),
        "label_smoothing": (0.0, 0.05, 0.1),
    },
    "paper": PUBLISHED,
    "full": {
        **PUBLISHED,
        "backbone": (
            *("cnn", "resnet1d-se", "cnn-transformer", "fcn-wang", "resnet1d-wang", "inception1d"),
            *("xresnet1d50", "xresnet1d101", "s4d", "random-encoder"),
        ),
        "width": (0.25, 0.5, 1.0),
        "kernel": (3, 5, 7, 15),
        "hidden_size": (32, 64, 128),
        "pooling": ("mean", "attention", "mean-max"),
        "features": (False, True),
        "head": ("dense", "bottleneck", "linear"),
        "head_width": (64, 128, 256, 512),
        "dropout": (0.0, 0.1, 0.25, 0.5),
        "loss": ("bce", "power", "focal", "balanced"),
        "alpha": (0.25, 0.5, 0.75),
        "gamma": (1.0, 2.0, 3.0),
        "label_smoothing": (0.0, 0.05, 0.1),
        "soft_labels": (False, True),
        "filter": ("none", "bandpass", "median"),
        "augmentation": ("none", "noise", "rich", "mixup"),
        "synthetic": (0.0, 0.25, 0.5),
        "recipe": ("study", "resnet1d-se", "hc-cnn-tn", "s4d", "benchmark"),
    },
}
"""The spaces of studies that do not say which values their axes have: those of every version until studies
did. A study that is continued keeps its axes, so that spaces can change."""
SPACE_WORDS = {
    "wide": "CNN-RNN hybrids and efficient front ends",
    "paper": "the axes and widths of Jafari & Jafari",
    "full": "every front end and every other axis",
}
"""`wide` searches CNN–RNN hybrids and efficient front ends, recurrent layers behind any; `paper` the
six axes of Jafari & Jafari (recurrent type, depth, direction, gate, loss weighting, label tier) at their
widths; `full` every front end and everything else."""
_SLOWEST_FIRST = ("depth", "loss", "backbone", "head", "gate", "label_smoothing")
"""Order in which groups of axes are listed and asked for, before the others in the order of their fields. A
study that is continued depends on it."""


def extend(base: str, **axes: Collection[Choice]) -> dict[str, tuple[Choice, ...]]:
    """A space like `base` with other values of some axes; a space file calls it for its `SPACE`.

    Axes of which a loss of the space lists its parameters come with their own values (those of `paper`).

    Raises:
        SpaceError: there is no such space or axis, or a value is outside its range.
    """
    if not isinstance(base, str) or base not in SPACES:
        raise SpaceError(f"unknown space {base!r}: choose from {', '.join(SPACES)}")
    values = {**SPACES[base], **checked_values(axes)}
    for loss in values["loss"]:
        for name in LOSSES[str(loss)].parameters:
            if name not in AXES or AXES[name].of != "loss":
                raise SpaceError(
                    f"loss {loss} has a parameter {name}: add AXES[{name!r}] = Axis(of='loss', …)"
                )
            values.setdefault(name, AXES[name].paper)
            _check(f"values of {name}", values[name], values[name])
    return values


def checked_values(axes: Mapping[str, Collection[Choice]]) -> dict[str, tuple[Choice, ...]]:
    """Values of axes in canonical form.

    Raises:
        SpaceError: there is no such axis, it has no or twice the same value, or one is outside its range.
    """
    found: dict[str, tuple[Choice, ...]] = {}
    for name, values in axes.items():
        if name not in AXES:
            raise SpaceError(f"unknown axis {name!r}: choose from {', '.join(AXES)}")
        _check("label_tier is the data set's: leave it out", values, name != "label_tier")
        is_listed = isinstance(values, tuple | list) and len(values)
        _check(f"values of {name} are a tuple, such as (a, b)", values, is_listed)
        found[name] = tuple(AXES[name].kind.check(name, value) for value in values)
        _check(f"values of {name} differ from one another", values, len(set(found[name])) == len(values))
    return found


def stored_values(axes: Mapping[str, Collection[Choice]]) -> dict[str, tuple[Choice, ...]]:
    """Values of axes as a study keeps them; none at all are the usual one.

    Raises:
        SpaceError: there is no such axis, or a value is outside its range.
    """
    listed = {name: tuple(values) for name, values in axes.items()}
    return checked_values({name: values for name, values in listed.items() if values}) | {
        name: values for name, values in listed.items() if not values
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Properties of a data set that models depend on."""

    n_leads: int = N_LEADS
    n_samples: int = N_SAMPLES
    """Samples of each lead; the costs of a model depend on it, the model does not."""
    n_features: int = 0
    """Hand-crafted features with their flags; 0 where the data set has none."""
    likelihoods: bool = False
    """Whether statements come with a likelihood, for soft labels."""


TWELVE_LEADS = Inputs()


class Suggests(Protocol):
    """The part of an Optuna trial that a space uses."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""


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

    A space is a product of groups of axes. Every group lists the settings of axes that depend on one another,
    each with the Optuna parameters that name it; groups are independent. Axes with a single value are not
    asked of Optuna.

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
        heads = [name for name in self.axes if not AXES[name].of]
        order = {head: place for place, head in enumerate(_SLOWEST_FIRST)}
        heads.sort(key=lambda head: order.get(head, len(order)))
        # The last group varies fastest.
        self.groups: tuple[Group, ...] = tuple(
            self._stacks() if head == "depth" else self._settings_of(head) for head in heads
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
        return Architecture.of(values)

    def __iter__(self) -> Iterator[Architecture]:
        return (self[index] for index in range(len(self)))

    def __contains__(self, architecture: object) -> bool:
        return isinstance(architecture, Architecture) and self._settings(architecture) is not None

    def suggest(self, trial: Suggests) -> Architecture:
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
        return Architecture.of(values)

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
        """Reason why no architecture has these Optuna parameters, some of which may be missing; else None."""
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
            params: some parameters of one architecture; see `complaint`.

        Raises:
            KeyError: the space has no such parameter.
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
        """Values of an Optuna parameter: `cell_2` is the axis `cell` of the second layer."""
        return self.axes[re.sub(r"_\d+$", "", name)]

    def _settings(self, architecture: Architecture) -> list[Setting] | None:
        found = []
        for group, positions in zip(self.groups, self._positions, strict=True):
            position = positions.get(tuple(architecture.value(name) for name in group[0].values))
            if position is None:
                return None
            found.append(group[position])
        if any(name not in self.axes for name in dict(architecture.own)):
            return None
        return found

    def _asked(self, named: Mapping[str, Choice | None]) -> dict[str, Choice]:
        """Parameters that Optuna suggests: axes that matter and have several values."""
        return {
            name: value for name, value in named.items() if value is not None and len(self._choices(name)) > 1
        }

    def _stacks(self) -> Group:
        """Every recurrent stack with every size."""
        layers = [
            RecurrentLayer(cell=str(cell), bidirectional=direction == "bidirectional")
            for cell, direction in itertools.product(self.axes["cell"], self.axes["direction"])
        ]
        group = []
        for depth in self.axes["depth"]:
            for stack in itertools.product(layers, repeat=int(depth)):
                named: dict[str, Choice | None] = {"depth": depth}
                for position, layer in enumerate(stack, start=1):
                    named[f"cell_{position}"] = layer.cell
                    named[f"direction_{position}"] = "bidirectional" if layer.bidirectional else "forward"
                for size in self.axes["hidden_size"] if matters("hidden_size", depth) else (None,):
                    values = {"recurrent": stack, "hidden_size": size}
                    group.append(Setting(values=values, params=self._asked({**named, "hidden_size": size})))
        return tuple(group)

    def _settings_of(self, head: str) -> Group:
        """Every value of an axis with those of the axes that depend on it, None where one does not matter."""
        names = [head, *(name for name in self.axes if AXES[name].of == head)]
        group = []
        for first in self.axes[head]:
            for rest in itertools.product(*(self._offered(name, first) for name in names[1:])):
                values = dict(zip(names, (first, *rest), strict=True))
                group.append(Setting(values=values, params=self._asked(values)))
        return tuple(group)

    def _offered(self, name: str, parent: Choice) -> Iterable[Choice | None]:
        if not matters(name, parent):
            return (None,)
        return self.axes[name] or (AXES[name].usual_value(parent),)


_LONGEST_SHOWN = 60


def _is_same(value: Any, choice: Choice) -> bool:
    """Equal, and a truth value only where one is meant: True is 1 in Python."""
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _agrees(setting: Setting, params: Mapping[str, Any]) -> bool:
    return all(name in setting.params and setting.params[name] == value for name, value in params.items())


def _shortened(text: str) -> str:
    """Any text as a message of one line can take it."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"


# ---------------------------------------------------------------------------------------------------------
# Published systems


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A published system."""

    source: str
    summary: str
    architecture: Architecture
    queued: bool = True
    """Whether a search that contains it begins with it."""

    def __post_init__(self) -> None:
        is_architecture = isinstance(self.architecture, Architecture)
        _check("preset: its architecture is an Architecture(…)", self.architecture, is_architecture)


_LSTM = RecurrentLayer(cell="lstm")
_BILSTM = RecurrentLayer(cell="lstm", bidirectional=True)
_GRU = RecurrentLayer(cell="gru")
_HYBRIDS: dict[str, tuple[str, tuple[RecurrentLayer, ...]]] = {
    "cnn": ("convolutions only, the morphology baseline", ()),
    "cnn-lstm": ("one LSTM", (_LSTM,)),
    "cnn-bilstm": ("one BiLSTM, which Jafari & Jafari recommend", (_BILSTM,)),
    "cnn-gru": ("one GRU", (_GRU,)),
    "cnn-lstm-bilstm": ("LSTM then BiLSTM, the order of Table 2", (_LSTM, _BILSTM)),
    "cnn-bilstm-lstm": ("BiLSTM then LSTM, the order of section 2.9", (_BILSTM, _LSTM)),
    "cnn-gru-bilstm-lstm": ("GRU, BiLSTM and LSTM", (_GRU, _BILSTM, _LSTM)),
}


def _hybrid(stack: tuple[RecurrentLayer, ...], gate: int, recipe: str = "study") -> Architecture:
    return Architecture(recurrent=stack, gate=gate, label_smoothing=SEED_SMOOTHING, recipe=recipe)


def _benchmark(
    backbone: str, source: str, summary: str, *, pooling: str = "mean-max", recipe: str = "benchmark"
) -> Preset:
    """A front end with the head and a recipe of Strodthoff et al. 2021."""
    architecture = Architecture(
        backbone=backbone,
        pooling=pooling,
        head="bottleneck",
        head_width=128,
        augmentation="none",
        recipe=recipe,
    )
    return Preset(source=source, summary=summary, architecture=architecture)


_WITH_OUR_HEAD = {
    "separable": "depthwise-separable convolutions with channel gates, with this project's head",
    "tcn": "six residual blocks of dilated convolutions, with this project's head",
    "mingru": "convolutions and three minGRU layers in both directions, with this project's head",
    "mrf-cnn": "convolutions of four receptive fields side by side; sizes, head and recipe chosen by us",
    "msw-transformer": "attention in windows of three sizes; sizes, head and recipe chosen by us",
}

PRESETS: Registry[Preset] = Registry(
    Preset,
    "preset",
    {
        **{
            name: Preset(source="Jafari & Jafari", summary=summary, architecture=_hybrid(stack, 16))
            for name, (summary, stack) in _HYBRIDS.items()
        },
        **{
            f"{name}-ungated": Preset(
                source="Jafari & Jafari",
                summary=f"{summary}, no gate",
                architecture=_hybrid(stack, 0),
                queued=False,
            )
            for name, (summary, stack) in _HYBRIDS.items()
        },
        **{
            f"{name}-jafari": Preset(
                source="Jafari & Jafari",
                summary=f"{summary}, trained as the paper says",
                architecture=_hybrid(stack, 16, "jafari"),
                queued=False,
            )
            for name, (summary, stack) in _HYBRIDS.items()
        },
        "cnn-lstm-attention": Preset(
            source="arXiv 2602.17701",
            summary="one LSTM, attention over time, focal loss",
            architecture=Architecture(recurrent=(_LSTM,), pooling="attention", head="linear", loss="focal"),
        ),
        "resnet1d": Preset(
            source="arXiv 2602.17701",
            summary="residual network of 18 layers, focal loss; sizes, head and recipe chosen by us",
            architecture=Architecture(backbone="resnet1d", head="linear", loss="focal"),
        ),
        "hc-cnn-tn": Preset(
            source="HC-CNN-TN",
            summary="convolutions, Transformer encoder and hand-crafted features",
            architecture=Architecture(
                backbone="cnn-transformer",
                features=True,
                head="bottleneck",
                head_width=128,
                dropout=0.1,
                loss="power",
                exponent=0.4,
                cap=3.0,
                filter="bandpass",
                augmentation="none",
                recipe="hc-cnn-tn",
            ),
        ),
        "resnet1d-se": Preset(
            source="Ichli 2025",
            summary="residual network of 18 layers with channel gates",
            architecture=Architecture(
                backbone="resnet1d-se",
                head="linear",
                loss="balanced",
                augmentation="none",
                recipe="resnet1d-se",
            ),
        ),
        "fcn-wang": _benchmark("fcn-wang", "Wang et al. 2017", "three convolutions"),
        "resnet1d-wang": _benchmark("resnet1d-wang", "Wang et al. 2017", "three residual blocks"),
        "inception1d": _benchmark("inception1d", "Ismail Fawaz et al. 2020", "six inception modules"),
        "xresnet1d50": _benchmark("xresnet1d50", "He et al. 2019", "16 bottleneck blocks"),
        "xresnet1d101": _benchmark("xresnet1d101", "He et al. 2019", "33 bottleneck blocks"),
        **{
            name: _benchmark(
                name, "Strodthoff et al. 2021", summary, pooling="last-mean-max", recipe="benchmark-rnn"
            )
            for name, summary in (
                ("lstm", "two LSTM layers on the signal"),
                ("lstm-bidir", "two BiLSTM layers on the signal"),
            )
        },
        "s4d": Preset(
            source="Mehari & Strodthoff 2023",
            summary="four state-space layers",
            architecture=Architecture(
                backbone="s4d", head="linear", dropout=0.0, augmentation="none", recipe="s4d"
            ),
        ),
        **{
            backbone: Preset(
                source=FRONT_ENDS[backbone].source,
                summary=summary,
                architecture=Architecture(
                    backbone=backbone, head_width=64, dropout=0.25, label_smoothing=SEED_SMOOTHING
                ),
            )
            for backbone, summary in _WITH_OUR_HEAD.items()
        },
        "random-encoder": Preset(
            source="arXiv 2602.17531",
            summary="a linear layer on a random residual network",
            architecture=Architecture(
                backbone="random-encoder", head="linear", dropout=0.0, augmentation="none"
            ),
        ),
    },
)
"""Published systems by name. What a paper leaves open is our choice: reduction 16 of the gates, for one."""


def preset(name: str, label_tier: str) -> Architecture:
    """A published system, trained on `label_tier`.

    Raises:
        SpaceError: if there is no preset of that name.
    """
    if name not in PRESETS:
        raise SpaceError(f"unknown preset {name!r}: choose from {', '.join(PRESETS)}")
    return replace(PRESETS[name].architecture, label_tier=label_tier)


def preset_name(architecture: Architecture, label_tier: str) -> str | None:
    """The preset that an architecture is when trained on `label_tier`, None if it is none."""
    return next((name for name in PRESETS if preset(name, label_tier) == architecture), None)


def queued_presets(architectures: Space, label_tier: str) -> list[str]:
    """The presets with which a search of a space begins."""
    return [
        name for name, entry in PRESETS.items() if entry.queued and preset(name, label_tier) in architectures
    ]
