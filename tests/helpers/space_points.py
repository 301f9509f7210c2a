"""Properties of presets and random points of the space, kept in `tests/assets/space_points.json.gz`.

A database keeps digests and parameter names for years, and a study that is continued must get the proposals
it would have got: the file was written before `space` became one file, and is not written anew. A new preset
or axis is no reason to: the points of the file are only looked up.
"""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

import space
from search.models.costs import count_parameters
from search.sampler.encoding import SpaceCandidates
from space import Architecture, Inputs, RecurrentLayer, Space

FILE = Path(__file__).parents[1] / "assets" / "space_points.json.gz"
TIERS = {"superclass": 5, "subclass": 23, "diagnostic": 44, "all": 71}
INPUTS = {"bare": Inputs(), "rich": Inputs(n_features=80, likelihoods=True)}
N_POINTS = 300
LATER_AXES = (
    "stride",
    "sampling",
    "leads",
    "lead_dropout",
    "teacher",
    "teacher_weight",
    "temperature",
    "init",
    "frozen",
)
"""Axes that came after the file: where they have their defaults, nothing else may depend on them."""


def point(architecture: Architecture, inputs: Inputs) -> dict[str, Any]:
    """Everything that must not change about an architecture, whatever space it is in."""
    return {
        "architecture": _without_later_axes(architecture),
        "digest": architecture.digest,
        "sentence": architecture.describe(),
        "parameters": count_parameters(architecture, TIERS.get(architecture.label_tier, 9), inputs),
    }


def _without_later_axes(architecture: Architecture) -> dict[str, Any]:
    usual = Architecture(backbone=architecture.backbone)
    for name in LATER_AXES:
        assert architecture.value(name) == usual.value(name)
    return {name: value for name, value in architecture.to_dict().items() if name not in LATER_AXES}


def member(listed: Space, candidates: SpaceCandidates, index: int) -> dict[str, Any]:
    """The same with Optuna's parameters, in order, and what the sampler sees."""
    architecture = listed[index]
    (features,) = candidates.encode(np.array([index]))
    return {
        "index": index,
        "params": list(listed.to_params(architecture).items()),
        "features": features.tolist(),
        "n_neighbours": len(candidates.neighbours(index)),
        **point(architecture, listed.inputs),
    }


def anything(draw: random.Random) -> Architecture:
    """An architecture, also with widths and weights that no space lists."""
    layers = [
        RecurrentLayer(cell=cell, bidirectional=two) for cell in ("lstm", "gru") for two in (False, True)
    ]
    return Architecture(
        backbone=draw.choice(sorted(KNOWN_FRONT_ENDS)),
        width=draw.choice([0.25, 1, 1.5]),
        kernel=draw.choice([None, 3, 9]),
        recurrent=tuple(draw.choices(layers, k=draw.randrange(4))),
        hidden_size=draw.randrange(1, 200),
        pooling=draw.choice(["mean", "attention", "mean-max"]),
        gate=draw.choice([0, 4, 16]),
        features=draw.choice([False, True]),
        head=draw.choice(["dense", "bottleneck", "linear"]),
        head_width=2 * draw.randrange(1, 300),
        dropout=draw.choice([0, 0.125, 0.5]),
        loss=draw.choice(["bce", "power", "focal", "balanced"]),
        exponent=draw.choice([0.3, 1]),
        cap=draw.choice([1, 2.5]),
        alpha=draw.choice([None, 0.6]),
        gamma=draw.choice([None, 0, 5]),
        label_smoothing=draw.choice([0, 0.2]),
        soft_labels=draw.choice([False, True]),
        filter=draw.choice(["none", "bandpass", "median"]),
        augmentation=draw.choice(["none", "noise", "rich", "mixup"]),
        synthetic=draw.choice([0.0, 0.3]),
        recipe=draw.choice(["study", "resnet1d-se", "hc-cnn-tn", "s4d", "benchmark"]),
        label_tier=draw.choice([*TIERS, "form"]),
    )


KNOWN_FRONT_ENDS = (
    *("cnn", "resnet1d-se", "cnn-transformer", "fcn-wang", "resnet1d-wang", "inception1d"),
    *("xresnet1d50", "xresnet1d101", "s4d", "random-encoder"),
)


def collect() -> dict[str, Any]:
    """All points."""
    draw = random.Random(16)
    found: dict[str, Any] = {"presets": {}, "spaces": [], "anything": []}
    for name in space.PRESETS:
        found["presets"][name] = point(space.preset(name, "subclass"), INPUTS["rich"])
    for name in ("paper", "wide", "full"):
        for offer, inputs in INPUTS.items():
            listed = Space(name, tuple(TIERS), inputs=inputs)
            candidates = SpaceCandidates(listed, TIERS)
            found["spaces"].append(
                {
                    "space": name,
                    "inputs": offer,
                    "size": len(listed),
                    "axes": [[axis, list(values)] for axis, values in listed.axes.items()],
                    "choices": [[axis, list(values)] for axis, values in listed.parameter_axes().items()],
                    "queued": space.queued_presets(listed, "subclass"),
                    "points": [
                        member(listed, candidates, draw.randrange(len(listed))) for _ in range(N_POINTS // 2)
                    ],
                }
            )
    found["anything"] = [point(anything(draw), INPUTS["rich"]) for _ in range(N_POINTS)]
    return found


def load() -> dict[str, Any]:
    """Content of the file."""
    with gzip.open(FILE, "rt", encoding="utf-8") as stream:
        found: dict[str, Any] = json.load(stream)
    return found


if __name__ == "__main__":
    FILE.write_bytes(gzip.compress(json.dumps(collect()).encode(), mtime=0))
