"""`python -m search space`: axes, size and presets of a search space, or one architecture layer by layer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import space
from search.commands.parser import add_command, add_json, add_study_options, print_json, whole_number
from search.defaults import DEFAULT_SPACE
from search.errors import UsageError
from search.study.options import SPACES_HELP, TIERS

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from search.export.latency import LatencyMeter

DEFAULT_TARGET, DEFAULT_RATE_HZ = "subclass", 100
_LISTED = ("parameters", "macs", "memory")
"""Costs in the table of presets."""


def add_space(commands: Any) -> None:
    """Add `space`."""
    parser = add_command(
        commands,
        "space",
        "show a search space, or the layers of one model",
        "space --show cnn-lstm",
    )
    parser.set_defaults(command=_space)
    parser.add_argument(
        "--space",
        metavar="NAME|FILE.py",
        help=f"{SPACES_HELP}; FILE.py: your own, which is checked",
    )
    parser.add_argument("--target", metavar="TIER", help=f"{TIERS} (default: {DEFAULT_TARGET})")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--show",
        metavar="PRESET",
        help="layers of a published system with output shapes, parameters and MACs, and its costs",
    )
    shown.add_argument("--trial", type=whole_number, metavar="N", help="the same for a trial of --study")
    parser.add_argument(
        "--rate",
        type=whole_number,
        metavar="HZ",
        help=f"sampling rate of the ten-second record that costs are for (default: {DEFAULT_RATE_HZ})",
    )
    parser.add_argument(
        "--latency",
        action="store_true",
        help="with --show or --trial: also measure latency and throughput on one CPU thread of this machine",
    )
    parser.add_argument(
        "--svg",
        type=Path,
        metavar="FILE",
        help="with --show or --trial: draw the layers into a file",
    )
    add_study_options(parser)
    add_json(parser)


def _space(chosen: argparse.Namespace, console: Console) -> int:
    is_of_layers = chosen.trial is not None or chosen.show is not None
    if is_of_layers:
        document = _layers_document(chosen)
    else:
        for option in ("latency", "svg"):
            if getattr(chosen, option):
                raise UsageError(f"--{option} goes with --show PRESET or --trial N: a space has no layers")
        if chosen.study is not None:
            raise UsageError("--study goes with --trial N: a space is no study's")
        document = space_document(chosen.space or DEFAULT_SPACE, *_target_and_rate(chosen))
    if chosen.svg is not None:
        from reports.figures.architecture_drawing import architecture_svg
        from reports.schema import Layer, Layers

        layers = Layers(
            n_leads=document["n_leads"],
            n_samples=document["n_samples"],
            layers=[Layer(**each) for each in document["layers"]],
        )
        try:
            chosen.svg.write_text(architecture_svg(document["description"], layers), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--svg {chosen.svg}: {error.strerror}") from error
    if chosen.json:
        print_json(document)
    elif is_of_layers:
        from search.commands.architecture_text import architecture_view

        console.print(architecture_view(document))
    else:
        console.print(space_view(document))
    return 0


def _target_and_rate(chosen: argparse.Namespace) -> tuple[str, int]:
    target, rate_hz = chosen.target or DEFAULT_TARGET, chosen.rate
    if rate_hz is None:
        rate_hz = DEFAULT_RATE_HZ
    if rate_hz < 1:
        raise UsageError(f"--rate is a positive number of Hz, got {rate_hz}")
    return target, rate_hz


def _layers_document(chosen: argparse.Namespace) -> dict[str, Any]:
    """A published system or a trial, layer by layer."""
    from search.commands.architecture_text import preset_document, trial_document

    if chosen.trial is None:
        return preset_document(chosen.show, *_target_and_rate(chosen), chosen.space, meter=_meter(chosen))
    for option in ("target", "rate"):
        if getattr(chosen, option) is not None:
            raise UsageError(f"--{option} of a trial is that of its study: leave it out with --trial")
    from storage import open_store

    with open_store(chosen.storage, create=False) as store:
        return trial_document(store, chosen.study, chosen.trial, chosen.space, meter=_meter(chosen))


def _meter(chosen: argparse.Namespace) -> LatencyMeter | None:
    if not chosen.latency:
        return None
    from search.defaults import CACHE_FOLDER
    from search.export.latency import LatencyMeter

    return LatencyMeter(cache_dir=CACHE_FOLDER)


def space_document(name: str, target: str, rate_hz: int = DEFAULT_RATE_HZ) -> dict[str, Any]:
    """Axes, number of architectures, and presets with their costs, ready for JSON.

    Raises:
        UsageError: there is no such space or tier.
    """
    from search.commands.architecture_text import tiers_and_inputs
    from search.models.costs import costs_of
    from search.study.space_file import named_space

    hierarchy, inputs = tiers_and_inputs(rate_hz)
    try:
        listed = named_space(name).name
        architectures = space.Space(listed, hierarchy.training_tiers(target), inputs=inputs)
    except space.SpaceError as error:
        raise UsageError(str(error)) from error
    n_outputs = len(hierarchy.classes(target))
    presets = []
    for name_of_preset, entry in space.PRESETS.items():
        described = space.preset(name_of_preset, target)
        presets.append(
            {
                "name": name_of_preset,
                "source": entry.source,
                "summary": entry.summary,
                "description": described.describe(),
                "in_space": described in architectures,
                **costs_of(described, n_outputs, inputs).to_dict(),
            }
        )
    return {
        "space": listed,
        "target": target,
        "n_classes": n_outputs,
        "axes": {axis: list(values) for axis, values in architectures.axes.items()},
        "size": len(architectures),
        "presets": presets,
    }


def space_view(document: dict[str, Any]) -> RenderableType:
    """The document for a terminal."""
    from rich.console import Group

    from reports.numbers import cost_words
    from reports.terminal import StackingTable
    from scores.costs import COSTS

    axes = StackingTable(
        heading=f"Space {document['space']}: {document['size']:,} architectures, target {document['target']}"
    )
    axes.add_column("axis", no_wrap=True)
    axes.add_column("values")
    for axis, values in document["axes"].items():
        per_layer = " (each layer)" if space.AXES[axis].per_layer else ""
        axes.add_row(
            axis + per_layer, ", ".join(_value_words(axis, value) for value in values) or "as published"
        )
    presets = StackingTable(
        heading=f"Presets: costs on {document['n_classes']} classes, and whether this space has them"
    )
    presets.add_column("preset", no_wrap=True)
    for cost in _LISTED:
        presets.add_column(COSTS[cost].head, justify="right", no_wrap=True)
    presets.add_column("here", no_wrap=True)
    for preset in document["presets"]:
        presets.add_row(
            preset["name"],
            *(cost_words(cost, preset[cost]) for cost in _LISTED),
            "yes" if preset["in_space"] else "no",
        )
    return Group(axes, "", presets)


def _value_words(axis: str, value: space.Choice) -> str:
    if axis == "gate":
        return f"/{value}" if value else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
