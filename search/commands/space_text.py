"""What `python -m search space` says: axes, size and presets of a search space."""

from typing import Any

from rich.console import Group, RenderableType

import space
from reports.numbers import cost_words
from reports.stacking import StackingTable
from scores.costs import COSTS
from search.data.demo.tables import STATEMENTS_FILE
from search.data.features.names import FEATURE_NAMES
from search.data.labels.tiers import Hierarchy
from search.data.readers.statements import read_statements
from search.errors import UsageError
from search.models.costs import costs_of
from search.study.space_file import named_space

_LISTED = ("parameters", "macs", "memory")


def space_document(name: str, target: str, rate_hz: int = 100) -> dict[str, Any]:
    """Axes, number of architectures, and presets with what they cost, ready for JSON.

    Raises:
        UsageError: there is no such space or tier.
    """
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


def tiers_and_inputs(rate_hz: int) -> tuple[Hierarchy, space.Inputs]:
    """Tiers of PTB-XL's own statements, which come with the program, and what its records offer a model."""
    hierarchy = Hierarchy(read_statements(STATEMENTS_FILE.parent))
    inputs = space.Inputs(n_samples=10 * rate_hz, n_features=2 * len(FEATURE_NAMES), likelihoods=True)
    return hierarchy, inputs


def space_view(document: dict[str, Any]) -> RenderableType:
    """The document for a terminal."""
    axes = StackingTable(
        heading=f"Space {document['space']}: {document['size']:,} architectures, target {document['target']}"
    )
    axes.add_column("axis", no_wrap=True)
    axes.add_column("values")
    for axis, values in document["axes"].items():
        per_layer = " (each layer)" if space.AXES[axis].per_layer else ""
        axes.add_row(axis + per_layer, ", ".join(_value_words(axis, value) for value in values))
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
