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
from collections.abc import Iterator, Mapping
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
_ALMOST_ONE: Final = 1 + 1e-6  # sums and probabilities are rounded
CARD, EXAMPLE = "README.md", "example.py"
WHOLE_PTBXL: Final = 19_601
"""Records of PTB-XL 1.0.3 outside fold 10."""
LEAST_OF_WHOLE: Final = 0.95
"""Share of them that a study has at least where only records without a label are left out."""
ECG_INPUT, FEATURES_INPUT = "ecg", "features_in"
CLASSES_KEY, LEADS_KEY = "classes", "leads"
"""Metadata of the graph: JSON lists of the names along the axes of `probabilities` and `ecg`. The name of the
graph is `Provenance.name`. A graph beside the documents of another model is known by them."""
OUTPUTS = ("probabilities", "logits", "features")
Policy = Literal["f1", "youden", "sensitivity-90"]
"""Policy of a threshold: the largest F1; the largest sensitivity + specificity − 1; the highest with a
sensitivity of at least .9."""
POLICIES: Final[tuple[Policy, ...]] = ("f1", "youden", "sensitivity-90")
Row = Literal["record", "beat"]
"""Unit of the input of a model."""
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
    row: Row = "record"
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

    @property
    def is_subset(self) -> bool:
        """Whether the records are a part of PTB-XL, of which alone the size of the whole is known."""
        return self.data_name == "ptb-xl" and self.n_records < LEAST_OF_WHOLE * WHOLE_PTBXL


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
    for name, problems in (
        (PREPROCESSING, _problems_of_preprocessing(preprocessing)),
        (LABELS, _problems_of_labels(labels)),
    ):
        for place, value, expected in problems:
            raise DataError(
                f"{path / name} is damaged: {place} is {str(value)[:60]}, expected {expected}; correct it "
                "or export the model again"
            )
    if labels.novelty is not None and len(labels.novelty.members) != len(preprocessing.members):
        raise DataError(f"{path / LABELS} is of another model than {PREPROCESSING}; export the model again")
    novelty = () if labels.novelty is None else _read_novelty(path / NOVELTY, preprocessing.members)
    return ModelFolder(path=path, preprocessing=preprocessing, labels=labels, novelty=novelty)


_Problem = tuple[str, object, str]
"""Place in a document, value there, and what it should be."""


def _problems_of_preprocessing(document: Preprocessing) -> Iterator[_Problem]:
    """Values that no export writes, with which answers would be wrong without a word."""
    n_leads = len(document.leads)
    if len({lead.casefold() for lead in document.leads}) < n_leads or not n_leads:
        yield "leads", document.leads, "one name or several different ones"
    for name, number in (("rate_hz", document.rate_hz), ("n_samples", document.n_samples)):
        if number < 1:
            yield name, number, "a whole number from 1 up"
    if not 0 < document.resolution_uv < math.inf:
        yield "resolution_uv", document.resolution_uv, "a number above 0"
    for place, member in enumerate(document.members):
        here = f"members.{place}"
        if not 0 <= member.weight <= _ALMOST_ONE:
            yield f"{here}.weight", member.weight, "a share from 0 to 1"
        if member.n_features < 1:
            yield f"{here}.n_features", member.n_features, "a whole number from 1 up"
        for name, values in (("mean", member.lead_mean_mv), ("deviation", member.lead_deviation_mv)):
            if len(values) != n_leads or not all(map(math.isfinite, values)):
                yield f"{here}.lead_{name}_mv", values, f"{n_leads} numbers, one for each lead"
    total = math.fsum(member.weight for member in document.members)
    if abs(total - 1) > _ALMOST_ONE - 1:
        yield "the sum of the weights of members", total, "1"


def _problems_of_labels(document: Labels) -> Iterator[_Problem]:
    """Values that no export writes, with which answers would be wrong without a word."""
    trained_on = {label.name for label in document.tiers[0].classes}
    for number, tier in enumerate(document.tiers):
        here = f"tiers.{number}"
        names = [label.name for label in tier.classes]
        if len(set(names)) < len(names) or not names:
            yield f"{here}.classes", names, "classes with names of their own"
        coverages = () if tier.conformal is None else tier.conformal.coverages
        if tier.conformal is not None and not (
            coverages
            and all(0 < coverage < 1 for coverage in coverages)
            and list(coverages) == sorted(set(coverages))
        ):
            yield f"{here}.conformal.coverages", coverages, "shares between 0 and 1, rising"
        for place, label in enumerate(tier.classes):
            yield from _problems_of_class(f"{here}.classes.{place}", label, len(coverages))
            if strays := set(label.children) - trained_on:
                yield f"{here}.classes.{place}.children", min(strays), "a class of the first tier"
    for place, member in enumerate(document.novelty.members if document.novelty is not None else ()):
        if not 0 < member.threshold < math.inf:
            yield f"novelty.members.{place}.threshold", member.threshold, "a number above 0"


def _problems_of_class(here: str, label: ClassLabel, n_coverages: int) -> Iterator[_Problem]:
    for policy, threshold in label.thresholds.items():
        if threshold is not None and not 0 <= threshold <= _ALMOST_ONE:
            yield f"{here}.thresholds.{policy}", threshold, "a probability from 0 to 1"
    if label.temperature is not None and not 0 < label.temperature < math.inf:
        yield f"{here}.temperature", label.temperature, "a number above 0"
    if label.conformal is None:
        return
    for name in ("marginal", "present", "absent"):
        quantiles = getattr(label.conformal, name)
        if quantiles is not None and not (
            len(quantiles) == n_coverages
            and all(each is None or 1 - _ALMOST_ONE <= each <= _ALMOST_ONE for each in quantiles)
        ):
            yield f"{here}.conformal.{name}", quantiles, f"{n_coverages} numbers from 0 to 1"


def _read(path: Path, kind: type[Document]) -> Document:
    from pydantic import TypeAdapter, ValidationError

    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors add a mark
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
