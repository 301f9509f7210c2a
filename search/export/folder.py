"""The files of an exported model as dataclasses: what `export` writes and `predict` reads. Free of torch.

    model.onnx            the graph: `ecg` → `probabilities`, `logits`, `features`
    model.int8.onnx       the same with weights and activations of eight bits, with `--int8`
    model.safetensors     weights and statistics of every member, see `search.export.weights`
    preprocessing.json    `Preprocessing` of a signal before the graph
    labels.json           `Labels`: classes, thresholds, calibration, coarser tiers
    novelty.safetensors   `scores.novelty.FeatureDistance` of every member, where it could be found
    README.md, example.py

The graph, of float32 arrays:

    ecg            [batch, leads, samples]   mV at the training rate after the filter, in the order of `leads`
    features_in    [batch, features]         only where `Preprocessing.features` names some; NaN where missing
    probabilities  [batch, classes]          mean over the members
    logits         [batch, classes]          sigmoid(logits) = probabilities, or softmax(logits) where
                                             `TierLabels.exclusive`; temperatures divide the logits
    features       [batch, all widths]       input of the head of each member, one member behind the other

A docstring of a field is its meaning in the file. Numbers that are undefined are null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np

from scores.novelty import FeatureDistance
from search.errors import DataError, UsageError

FORMAT: Final = 1
"""Version of the files; raised when an older reader would read them wrongly. A field may be added, with a
default, without a new number."""
GRAPH, GRAPH_INT8 = "model.onnx", "model.int8.onnx"
WEIGHTS = "model.safetensors"
PREPROCESSING, LABELS, NOVELTY = "preprocessing.json", "labels.json", "novelty.safetensors"
CARD, EXAMPLE = "README.md", "example.py"
ECG_INPUT, FEATURES_INPUT = "ecg", "features_in"
CLASSES_KEY, LEADS_KEY = "classes", "leads"
"""Metadata of the graph: JSON lists of the names along the axes of `probabilities` and `ecg`. The name of the
graph is `Provenance.name`. A graph beside the documents of another model is known by them."""
OUTPUTS = ("probabilities", "logits", "features")
Policy = Literal["f1", "youden", "sensitivity-90"]
"""Policy of a threshold: the largest F1; the largest sensitivity + specificity − 1; the highest with a
sensitivity of at least .9."""
POLICIES: Final[tuple[Policy, ...]] = ("f1", "youden", "sensitivity-90")
Rule = Literal["any", "worst", "sum"]
"""Rule by which probabilities of a coarser tier follow from those of the tier trained on, with the names
of `search.data.labels.projection`: `any_of`, `worst_of`, `sum_of`."""
Document = TypeVar("Document")


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalFilter:
    """Filter of the signals before the graph, as in training."""

    name: str
    """A key of `space.FILTERS`: `none`, `bandpass`, `median`, or one of a space file."""
    words: str
    """The same in words."""
    parameters: Mapping[str, float | str | tuple[float, ...]]
    """Parameters of the filter, named with their units; empty for no filter and for one of a space file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """A hand-crafted feature of a record."""

    name: str
    """A name of `search.data.features.FEATURES`."""
    words: str
    """Name of the feature with its unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One of the models that the graph averages."""

    name: str
    """Name such as `trial 12, fold 3`."""
    trial: int | None
    """Trial of the study; None for a preset."""
    fold: int | None
    """The CV fold that it was not trained on; None for a model trained on all."""
    weight: float
    """Share of the average; the weights of all members sum to 1."""
    n_features: int
    """Width of its part of the output `features`."""
    lead_mean_mv: tuple[float, ...]
    """Mean of every lead in its training part, which the graph subtracts."""
    lead_deviation_mv: tuple[float, ...]
    """Standard deviation of every lead there, by which the graph divides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """Preprocessing of a signal before the graph, and the first operations of the graph."""

    format: int
    """`FORMAT` of the program that wrote it."""
    rate_hz: int
    """Sampling rate."""
    n_samples: int
    """Samples of every lead in training."""
    any_length: bool
    """Whether the graph takes signals of other lengths than `n_samples`."""
    leads: tuple[str, ...]
    """Names of the leads in the order of the axis."""
    unit: Literal["mV"]
    """Unit of `ecg`."""
    resolution_uv: float
    """Signals were whole multiples of it in training, after the filter as well."""
    filter: SignalFilter
    features: tuple[Feature, ...]
    """Columns of the input `features_in`; empty if the graph has no such input."""
    members: tuple[Member, ...]
    row: Literal["record", "beat"] = "record"
    """Unit of training: whole records, or single beats around annotated R peaks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassLabel:
    """A class of a tier, with what was found for it on the out-of-fold predictions."""

    name: str
    description: str | None
    """Description in words; None where the data set has none, or was not at hand."""
    children: tuple[str, ...]
    """Classes of the tier trained on that make up this one; empty at that tier itself."""
    n_positive: int
    """Records of the out-of-fold predictions that have it."""
    thresholds: Mapping[Policy, float | None]
    """Policy to threshold: a record has the class from this probability on. None without a positive."""
    temperature: float | None
    """Calibrated probability: sigmoid(logit / temperature), or of an exclusive tier softmax(logits /
    temperature) with the one temperature of the tier. None where there are too few positives."""
    conformal: ClassConformal | None
    """None where `TierLabels.conformal` is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassConformal:
    """Quantiles of 1 − probability of the true label of a class, see `scores.conformal`.

    One for every coverage of `Conformal.coverages`; None stands for infinity, with which every set holds the
    label.
    """

    marginal: tuple[float | None, ...] | None
    """Quantiles over all records: `ClassQuantiles.marginal_QC`, or of an exclusive tier
    `ExclusiveQuantiles.marginal_Q`, which all its classes share."""
    present: tuple[float | None, ...] | None
    """Quantiles over records with the class: `ClassQuantiles.present_QC` or
    `ExclusiveQuantiles.conditional_QC`; None where they are fewer than `scores.conformal.ENOUGH`."""
    absent: tuple[float | None, ...] | None
    """Quantiles over the others: `ClassQuantiles.absent_QC`; None likewise and for exclusive tiers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conformal:
    """Label sets with a coverage chosen by the user, on `probabilities` of the tier."""

    coverages: tuple[float, ...]
    """1 − δ, rising; a coverage in between takes the next higher one."""
    n_records: int
    """Records behind the marginal quantiles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TierLabels:
    """A tier: the one trained on, or a coarser one that its classes determine."""

    name: str
    exclusive: bool
    """Whether a record has exactly one of the classes."""
    rule: Rule | None
    """Rule by which its probabilities follow from those of the tier trained on; None at that tier."""
    classes: tuple[ClassLabel, ...]
    """Classes in the order of the axis; of an ordinal tier from mild to severe."""
    n_records: int
    """Records of the out-of-fold predictions on which it was calibrated."""
    calibration_error: float | None
    """Expected calibration error of those predictions, mean over classes."""
    calibration_error_calibrated: float | None
    """The same after temperature scaling, each fold with the temperatures of the others; None of one fold."""
    conformal: Conformal | None
    """None where too few records are behind it."""
    ordinal: bool = False
    """Whether the classes have an order, from mild to severe: of a tier of severity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoveltyMember:
    """Distance of a record from the training records of a member; its arrays are in `novelty.safetensors`."""

    threshold: float
    """Distance beyond which a record counts as unlike the training records."""
    n_records: int
    """Records, none of which the member was trained on, behind the threshold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Novelty:
    """Mahalanobis distances of `features`, for each member in its own part of them."""

    quantile: float
    """Quantile of the out-of-fold distances: the share of familiar records within the threshold."""
    members: tuple[NoveltyMember, ...]
    """Members in the order of `Preprocessing.members`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Origin of a model."""

    name: str
    """Name such as `trial 12 of ptb-xl-subclass`."""
    study: str
    trial: int | None
    evaluation: int | None
    """Number of the evaluation that trained it; None for models of cross-validation."""
    description: str
    """The architecture in a sentence."""
    parameters: int
    """Weights of a member, of the largest where they differ."""
    data_name: str
    data_version: str
    data_fingerprint: str
    n_records: int
    """Records of the study, without the sealed fold."""
    n_patients: int
    synthetic: bool
    """Whether it was trained on generated records; every output must then be marked SYNTHETIC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """Meaning of the outputs of the graph."""

    format: int
    """`FORMAT` of the program that wrote it."""
    model: Provenance
    tiers: tuple[TierLabels, ...]
    """The tier trained on, whose classes are those of `probabilities`, then the coarser ones."""
    novelty: Novelty | None
    """None where the data were not at hand."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelFolder:
    """All that a prediction needs of a folder besides the graphs."""

    path: Path
    preprocessing: Preprocessing
    labels: Labels
    novelty: tuple[FeatureDistance, ...]
    """Thresholds of every member; empty where `Labels.novelty` is None."""


def write_document(folder: Path, document: Preprocessing | Labels) -> None:
    """Write a document under the name that it has in a folder."""
    name = PREPROCESSING if isinstance(document, Preprocessing) else LABELS
    from pydantic import TypeAdapter

    values = TypeAdapter(type(document)).dump_python(document)
    text = json.dumps(_without_nan(values), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / name).write_text(text + "\n", encoding="utf-8")


def write_novelty(folder: Path, distances: tuple[FeatureDistance, ...]) -> None:
    """Write the arrays of the distance of every member."""
    from safetensors.numpy import save

    tensors = {}
    for number, each in enumerate(distances):
        tensors[f"{number}.mean"] = np.ascontiguousarray(each.mean_K, dtype=np.float64)
        tensors[f"{number}.cholesky"] = np.ascontiguousarray(each.cholesky_KK, dtype=np.float64)
    (folder / NOVELTY).write_bytes(save(tensors))


def read_folder(path: Path) -> ModelFolder:
    """Read a folder that `export` wrote.

    Raises:
        UsageError: there is no such folder, or it is none of a model.
        DataError: a file of it is missing or damaged, or it is of a newer version.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is no folder: give one that `python -m search export` wrote")
    if not (path / GRAPH).is_file():
        raise UsageError(f"{path} has no {GRAPH}: give a folder that `python -m search export` wrote")
    preprocessing = _read(path / PREPROCESSING, Preprocessing)
    labels = _read(path / LABELS, Labels)
    if not labels.tiers or not labels.tiers[0].classes or not preprocessing.members:
        raise DataError(f"{path} is damaged: no class or no member; export the model again")
    if min(preprocessing.rate_hz, preprocessing.n_samples, len(preprocessing.leads)) < 1:
        raise DataError(
            f"{path / PREPROCESSING} is damaged: no rate, length or leads; export the model again"
        )
    if labels.novelty is not None and len(labels.novelty.members) != len(preprocessing.members):
        raise DataError(f"{path / LABELS} is of another model than {PREPROCESSING}; export the model again")
    novelty = () if labels.novelty is None else _read_novelty(path / NOVELTY, preprocessing.members)
    return ModelFolder(path=path, preprocessing=preprocessing, labels=labels, novelty=novelty)


def _read(path: Path, kind: type[Document]) -> Document:
    from pydantic import TypeAdapter, ValidationError

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.get("format") if isinstance(values, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise DataError(f"{path} is of format {version}, this version reads {FORMAT}: update it")
        document: Document = TypeAdapter(kind).validate_python(values)
        return document
    except FileNotFoundError:
        raise DataError(f"{path} is missing: export the model again") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise DataError(f"{path} is damaged: {place}: {first['msg']}; export the model again") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}; export the model again") from None


def _read_novelty(path: Path, members: tuple[Member, ...]) -> tuple[FeatureDistance, ...]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        found = tuple(
            FeatureDistance(mean_K=tensors[f"{number}.mean"], cholesky_KK=tensors[f"{number}.cholesky"])
            for number in range(len(members))
        )
    except FileNotFoundError:
        raise DataError(f"{path} is missing: export the model again") from None
    except (SafetensorError, KeyError, OSError) as error:
        raise DataError(f"{path} is damaged: {error}; export the model again") from None
    for member, distance in zip(members, found, strict=True):
        square = (member.n_features, member.n_features)
        if distance.mean_K.shape != square[:1] or distance.cholesky_KK.shape != square:
            raise DataError(f"{path} is damaged: not {member.n_features} features; export the model again")
    return found


def _without_nan(value: Any) -> Any:
    """The same with None for numbers that JSON cannot represent."""
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
