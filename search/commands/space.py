"""`python -m search space`: axes, size and presets of a search space."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import space
from search.commands.parser import add_command, add_json, print_json
from search.defaults import DEFAULT_SPACE
from search.errors import UsageError
from search.study.options import SPACES_HELP, TIERS

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def add_space(commands: Any) -> None:
    """Add `space`."""
    parser = add_command(
        commands, "space", "list axes, size and presets of a search space", "space --space paper"
    )
    parser.set_defaults(command=_space)
    parser.add_argument(
        "--space",
        metavar="NAME|FILE.py",
        default=DEFAULT_SPACE,
        help=f"{SPACES_HELP}; FILE.py: your own, which is checked",
    )
    parser.add_argument("--target", metavar="TIER", default="subclass", help=f"{TIERS} (default: subclass)")
    add_json(parser)


def _space(chosen: argparse.Namespace, console: Console) -> int:
    document = space_document(chosen.space, chosen.target)
    if chosen.json:
        print_json(document)
    else:
        console.print(space_view(document))
    return 0


def space_document(name: str, target: str) -> dict[str, Any]:
    """Axes, number of architectures, and presets with their parameter counts, ready for JSON.

    The sizes of the tiers are those of PTB-XL's own statements, which come with the program.

    Raises:
        UsageError: there is no such space or tier.
    """
    from search.data.demo.tables import STATEMENTS_FILE
    from search.data.features.names import FEATURE_NAMES
    from search.data.labels.tiers import Hierarchy
    from search.data.readers.statements import read_statements
    from search.models.parameters import count_parameters
    from search.study.space_file import named_space

    hierarchy = Hierarchy(read_statements(STATEMENTS_FILE.parent))
    inputs = space.Inputs(n_features=2 * len(FEATURE_NAMES), likelihoods=True)
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
                "parameters": count_parameters(described, n_outputs, inputs),
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

    from reports.stacking import StackingTable

    axes = StackingTable(
        heading=f"Space {document['space']}: {document['size']:,} architectures, target {document['target']}"
    )
    axes.add_column("axis", no_wrap=True)
    axes.add_column("values")
    for axis, values in document["axes"].items():
        per_layer = " (each layer)" if space.AXES[axis].per_layer else ""
        axes.add_row(axis + per_layer, ", ".join(_value_words(axis, value) for value in values))
    presets = StackingTable(
        heading=f"Presets: parameters on {document['n_classes']} classes, and whether this space has them"
    )
    for heading in ("preset", "source"):
        presets.add_column(heading, no_wrap=True)
    presets.add_column("parameters", justify="right")
    presets.add_column("here")
    for preset in document["presets"]:
        presets.add_row(
            preset["name"],
            preset["source"],
            f"{preset['parameters']:,}",
            "yes" if preset["in_space"] else "no",
        )
    return Group(axes, "", presets)


def _value_words(axis: str, value: space.Choice) -> str:
    if axis == "gate":
        return f"/{value}" if value else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
