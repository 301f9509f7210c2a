"""Output of `python -m search space --show`: an architecture layer by layer, with its costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

import space
from reports.numbers import (
    cost_words,
    count_words,
    duration_words,
    integer_words,
    latency_words,
    memory_words,
)
from scores.costs import COSTS
from search.data.demo.tables import STATEMENTS_FILE
from search.data.features.names import FEATURE_NAMES
from search.data.labels.tiers import Hierarchy
from search.data.readers.statements import read_statements
from search.errors import StudyMismatchError, UsageError
from search.models.costs import costs_of, operations
from search.study.space_file import named_space, use_space_of

if TYPE_CHECKING:
    from reports.schema import Layers
    from search.export.latency import LatencyMeter
    from storage import Store, StudyRecord, TrialRecord


def tiers_and_inputs(rate_hz: int) -> tuple[Hierarchy, space.Inputs]:
    """Tiers of PTB-XL's own statements, which come with the program, and the inputs of its records."""
    hierarchy = Hierarchy(read_statements(STATEMENTS_FILE.parent))
    inputs = space.Inputs(n_samples=10 * rate_hz, n_features=2 * len(FEATURE_NAMES), likelihoods=True)
    return hierarchy, inputs


def preset_document(
    name: str, target: str, rate_hz: int, space_name: str | None, *, meter: LatencyMeter | None = None
) -> dict[str, Any]:
    """A published system on ten seconds of twelve leads, ready for JSON.

    Raises:
        UsageError: there is no such system, tier or space file.
    """
    if space_name is not None:
        named_space(space_name)  # a file may bring the system
    hierarchy, inputs = tiers_and_inputs(rate_hz)
    try:
        hierarchy.check_tier(target)
        architecture = space.preset(name, target)
    except space.SpaceError as error:
        raise UsageError(f"--show: {error}") from error
    source = space.PRESETS[name].source
    return {
        "preset": name,
        "source": source,
        **_document(architecture, target, len(hierarchy.classes(target)), inputs, meter),
    }


def trial_document(
    store: Store,
    study_name: str | None,
    number: int,
    space_name: str | None,
    *,
    meter: LatencyMeter | None = None,
) -> dict[str, Any]:
    """A trial on the records of its study, ready for JSON.

    Raises:
        SearchError: there is no such study or trial, or its space file is not given.
    """
    study = store.study_or_last(study_name)
    use_space_of(study, space_name)
    trial = next((each for each in store.trials(study.name) if each.number == number), None)
    if trial is None or not trial.architecture:
        raise UsageError(f"study {study.name} has no trial {number}: python -m search report lists all")
    architecture, n_outputs, inputs = _architecture_of(study, trial)
    return {
        "study": study.name,
        "trial": number,
        "training": _training(store, trial, study),
        **_document(architecture, architecture.label_tier, n_outputs, inputs, meter),
    }


def layers_of_trial(study: StudyRecord, trial: TrialRecord) -> Layers | None:
    """Layers of a trial on the records of its study; None where they are not known.

    They are not known of a study with a space file, which a report is made without, and of one that did not
    keep what its records offer a model.
    """
    try:
        use_space_of(study, None)
        return layers_of(*_architecture_of(study, trial))
    except (UsageError, StudyMismatchError):
        return None


def _architecture_of(study: StudyRecord, trial: TrialRecord) -> tuple[space.Architecture, int, space.Inputs]:
    """A trial's architecture, its classes, and the inputs that the records of its study offer.

    Raises:
        UsageError: the study did not keep leads and length of its records.
    """
    architecture = space.Architecture.from_dict(trial.architecture)
    n_outputs = len(study.tier_classes[architecture.label_tier])
    inputs = inputs_of(study)
    if costs_of(architecture, n_outputs, inputs).parameters != trial.parameters:
        raise UsageError(
            f"study {study.name} was made by a version that did not keep leads and length of its records, "
            "which are not ten seconds of twelve leads: make another study"
        )
    return architecture, n_outputs, inputs


def _training(store: Store, trial: TrialRecord, study: StudyRecord) -> dict[str, float | int | None]:
    """Seconds and epochs of the training of a trial."""
    summary = store.summary(trial.id).get(study.target)
    metrics = {} if summary is None else summary.metrics
    return {
        "minutes": trial.seconds / 60,
        "fold_epochs": trial.n_epochs_trained,
        "peak_memory_bytes": metrics.get("peak_memory_bytes"),
        "peak_gpu_memory_bytes": metrics.get("peak_gpu_memory_bytes"),
    }


def inputs_of(study: StudyRecord) -> space.Inputs:
    """Inputs that the records of a study offer a model; ten seconds of twelve leads for an older study."""
    kept = study.settings.get("inputs")
    if kept is not None:
        return space.Inputs(**kept)
    _, inputs = tiers_and_inputs(study.rate_hz)
    return inputs


def layers_of(architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> Layers:
    """An architecture layer by layer.

    Args:
        architecture: any point of the space.
        n_outputs: classes of the label tier it is trained on.
        inputs: inputs that the data set offers.
    """
    from reports.schema import Layer, Layers  # with storage, a second that a list of the space does without

    return Layers(
        n_leads=space.count_leads(architecture.leads, inputs.n_leads),
        n_samples=inputs.n_samples,
        layers=[
            Layer(
                part=operation.of,
                layer=operation.words,
                channels=operation.channels,
                samples=operation.samples,
                parameters=operation.parameters,
                macs=operation.macs,
                live_values=operation.live,
            )
            for operation in operations(architecture, n_outputs, inputs)
        ],
    )


def _document(
    architecture: space.Architecture,
    tier: str,
    n_outputs: int,
    inputs: space.Inputs,
    meter: LatencyMeter | None,
) -> dict[str, Any]:
    costs = costs_of(architecture, n_outputs, inputs)
    return {
        "description": architecture.describe(),
        "digest": architecture.digest,
        "tier": tier,
        "n_classes": n_outputs,
        **asdict(layers_of(architecture, n_outputs, inputs)),
        "costs": costs.to_dict(),
        "operators": sorted(costs.operators),
        "speed": None if meter is None else meter.speed(architecture, n_outputs, inputs),
    }


def architecture_view(document: dict[str, Any]) -> RenderableType:
    """The document for a terminal."""
    from reports.terminal import StackingTable  # with storage, most of a second that JSON does without

    name = document.get("preset") or f"trial {document['trial']} of {document['study']}"
    source = f" ({document['source']})" if "source" in document else ""
    title = (
        f"{name}{source}: {document['description']}; {document['n_leads']} × {document['n_samples']} "
        f"samples, {document['n_classes']} classes ({document['tier']})"
    )
    layers = StackingTable(heading="Layers, with the shape that leaves each")
    layers.add_column("layer")
    for heading in ("shape", "parameters", "MACs", "live values"):
        layers.add_column(heading, justify="right", no_wrap=True)
    for layer in document["layers"]:
        is_series = layer["samples"] > 1
        layers.add_row(
            layer["layer"],
            f"{layer['channels']} × {layer['samples']}" if is_series else str(layer["channels"]),
            integer_words(layer["parameters"]) if layer["parameters"] else "",
            cost_words("macs", layer["macs"]) if layer["macs"] else "",
            integer_words(layer["live_values"]),
        )
    costs = StackingTable(heading="Costs of one record")
    costs.add_column("cost", no_wrap=True)
    costs.add_column("", justify="right", no_wrap=True)
    costs.add_column("what it is")
    for cost, value in document["costs"].items():
        costs.add_row(cost, cost_words(cost, value), COSTS[cost].axis)
    notes = [f"Operators: {', '.join(document['operators']) or 'none but dense layers'}"]
    if document["speed"] is not None:
        notes.append(_speed_words(document["speed"]))
    if "training" in document:
        notes.append(_training_words(document["training"]))
    return Group(Text(title), "", layers, "", costs, "", *map(Text, notes))


def _speed_words(speed: dict[str, Any]) -> str:
    median, p99 = (latency_words(1000 * speed[name]) for name in ("median_ms", "p99_ms"))
    return (
        f"One record: {median}, 99th percentile {p99}; {speed['records_per_second']:,.0f} records/s in "
        f"batches; on one CPU thread of {speed['machine']}"
    )


def _training_words(training: dict[str, Any]) -> str:
    parts = [
        f"Training: {duration_words(60 * training['minutes'])}, "
        f"{count_words(training['fold_epochs'], 'fold-epoch')}"
    ]
    for key, words in (("peak_memory_bytes", "of memory"), ("peak_gpu_memory_bytes", "of GPU memory")):
        if training[key] is not None:
            parts.append(f"at most {memory_words(training[key])} {words}")
    return ", ".join(parts)
