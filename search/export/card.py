"""README.md of an exported model: a model card in the layout of the Hugging Face hub.

Mitchell et al. 2019, "Model cards for model reporting", has what belongs into one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.cells import markdown_table, markdown_text
from reports.findings.operating_points import ALARM_WORDS, OPERATING_POINT_WORDS, per_thousand_words
from reports.findings.subgroups import SUBGROUP_METHOD, SUBGROUP_WORDS, served_worst
from reports.numbers import (
    NOTHING,
    count_words,
    digits_words,
    integer_words,
    interval_words,
    latency_words,
    score_words,
)
from reports.schema import Estimate, Subgroup
from reports.words import SYNTHETIC_NOTE, data_words, sentence
from scores.bootstrap import Interval
from scores.objectives import OBJECTIVES
from scores.operating_points import ALARM_RATE
from search.data.folds import INTRA_PATIENT
from search.export.folder import GRAPH_INT8, WHOLE_PTBXL, Labels, Preprocessing, Provenance, TierLabels
from search.export.int8 import Int8
from storage import SealedFoldOpeningRecord, StudyRecord


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MacroScores:
    """Scores on a tier: means over its classes, with intervals over draws of patients."""

    auprc: Interval
    auroc: Interval
    n_classes: int
    """Classes behind the means."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """Content of a model card besides the documents of its folder."""

    study: StudyRecord
    held_out: str
    """Records of the results, and the models that predicted them, in words."""
    is_cross_validated: bool
    """Whether each of them was predicted by one member alone."""
    test: str
    """Result of an evaluation on the test fold, in a sentence; empty for models of cross-validation."""
    expected: str
    """Expected score of the trial on other patients, in words; empty where that is not known."""
    trainings: str
    """Sentence on the trainings of the trial, of which the first is exported; empty where there is one."""
    folds: Sequence[str]
    """Folds of the data set held out together, in words."""
    macro: MacroScores
    """Scores on the tier trained on."""
    coarser: Mapping[str, MacroScores]
    """Scores on every coarser tier; none where the data of the study are not at hand."""
    per_class: Mapping[str, tuple[float, float]]
    """AUPRC and AUROC of every class of the tier trained on."""
    groups: Sequence[Subgroup]
    """Scores by sex, age and origin of the records; none where none of them was kept."""
    operating_points: Mapping[str, Mapping[str, Estimate]]
    """Clinical operating points of every class of the tier trained on."""
    openings: Sequence[SealedFoldOpeningRecord]
    """Openings of the sealed fold for this architecture or ensemble."""
    checked: str
    """Comparison of onnxruntime and PyTorch, in words."""
    speed: str
    """Latency of one ECG, in a sentence."""
    int8: Int8 | None
    notes: Sequence[str]
    """Parts of the folder left out, with the reason."""
    parameters: Sequence[int]
    """Different numbers of parameters that members have, rising."""


def model_card(preprocessing: Preprocessing, labels: Labels, evidence: Evidence) -> str:
    """The text of README.md."""
    parts = [
        _head(labels, evidence),
        f"# {labels.model.name}\n",
        *_warnings(labels.model),
        _model(preprocessing, labels, evidence),
        f"{evidence.speed}\n",
        _use(preprocessing),
        _data(evidence),
        _results(labels, evidence),
        _operating_points(labels, evidence),
        _groups(labels, evidence),
        _tiers(labels, evidence),
        *([_eight_bits(evidence.int8)] if evidence.int8 is not None else []),
        _limits(labels, evidence),
    ]
    return "\n".join(parts)


def _head(labels: Labels, evidence: Evidence) -> str:
    """Metadata between lines of dashes; strings as in JSON, which is YAML."""
    study, tier = evidence.study, labels.tiers[0].name
    part = "held-out parts of cross-validation" if evidence.is_cross_validated else "validation part"
    metrics = (("average_precision", evidence.macro.auprc), ("roc_auc", evidence.macro.auroc))
    lines = [
        "---",
        "library_name: onnx",
        "license: other",
        f"license_name: {json.dumps('that of the training data')}",
        "tags: [ecg, electrocardiogram, cardiology, onnx" + (", synthetic]" if study.synthetic else "]"),
        f"datasets: [{json.dumps(study.data_name)}]",
        "metrics: [average_precision, roc_auc]",
        "model-index:",
        f"- name: {json.dumps(labels.model.name)}",
        "  results:",
        "  - task: {type: other, name: "
        + json.dumps("ECG classification" if labels.tiers[0].exclusive else "multi-label ECG classification")
        + "}",
        f"    dataset: {{name: {json.dumps(study.data_name)}, type: {json.dumps(study.data_name)}, "
        f"split: {json.dumps(f'{part}, {tier}')}}}",
        "    metrics:",
    ]
    for name, found in metrics:
        lines.append(f'    - {{type: {name}, name: "macro, mean over classes", value: {found.value:.4f}}}')
    return "\n".join([*lines, "---", ""])


def _warnings(model: Provenance) -> list[str]:
    found = ["**Not a medical device.** For research only: not for diagnosis or treatment.\n"]
    if model.synthetic:
        found.append(f"**{SYNTHETIC_NOTE}.**\n")
    if model.is_subset:
        found.append(
            f"**A subset of PTB-XL:** {model.n_records:,} of the {WHOLE_PTBXL:,} records outside fold 10 of "
            "version 1.0.3.\n"
        )
    return found


def _model(preprocessing: Preprocessing, labels: Labels, evidence: Evidence) -> str:
    n = len(preprocessing.members)
    least, most = evidence.parameters[0], evidence.parameters[-1]
    count = f"{most:,} parameters" if least == most else f"{least:,} to {most:,} parameters"
    average = f"One model with {count}." if n == 1 else f"The average of {n} models with {count} each:"
    members = (
        []
        if n == 1
        else [f"* {member.name}, weight {digits_words(member.weight)}" for member in preprocessing.members]
    )
    return "\n".join(
        [
            "## Model\n",
            f"{labels.model.description}. {average}\n",
            *members,
            *([""] if members else []),
            f"It predicts the {len(labels.tiers[0].classes)} classes of the label tier "
            f"`{labels.tiers[0].name}`, "
            + ("of which a record has exactly one." if labels.tiers[0].exclusive else "any number at once.")
            + "\n",
        ]
    )


def _use(preprocessing: Preprocessing) -> str:
    length = "any length" if preprocessing.any_length else f"{preprocessing.n_samples:,} samples"
    lines = [
        "## Use\n",
        "    pip install numpy onnxruntime wfdb",
        "    python example.py RECORD\n",
        "`model.onnx` has the input `ecg`, float32 [batch, leads, samples]: "
        f"{', '.join(preprocessing.leads)}, in mV at {preprocessing.rate_hz} Hz after "
        f"{preprocessing.filter.words}, of {length} (trained on {preprocessing.n_samples:,} samples). "
        "Statistics for normalisation are in the graph; never normalise a record by itself.",
    ]
    if preprocessing.row == "beat":
        lines.append("A row is a single beat around its R peak, not a record; `example.py` cuts none.")
    if preprocessing.features:
        lines.append(
            f"`features_in` takes {len(preprocessing.features)} hand-crafted features named in "
            "`preprocessing.json`, of the signal before the filter, NaN where unknown; `example.py` has none."
        )
    lines.append(
        "Outputs: `probabilities`, `logits` (what a temperature divides) and `features` (before the last "
        "layers). `labels.json` says what they mean: thresholds, temperatures, quantiles of label sets. With "
        "`python -m search predict` of the project all of it is used.\n"
    )
    return "\n".join(lines)


def _data(evidence: Evidence) -> str:
    study = evidence.study
    is_safe = study.settings.get("split") != INTRA_PATIENT
    return "\n".join(
        [
            "## Data\n",
            f"{data_words(study)}, fingerprint `{study.data_fingerprint[:16]}`.",
            ("Cross-validation holds out " if evidence.is_cross_validated else "Groups of folds are ")
            + f"{'; '.join(evidence.folds)}; "
            + ("no patient is on both sides.\n" if is_safe else "patients ARE on both sides.\n"),
        ]
    )


def _results(labels: Labels, evidence: Evidence) -> str:
    tier = labels.tiers[0]
    lines = [
        "## Results\n",
        f"On {evidence.held_out}. 95 % intervals are over draws of patients.\n",
        *markdown_table(
            ("metric", "value [95 % interval]", "classes"),
            [
                ("macro-AUPRC", _interval(evidence.macro.auprc), f"{evidence.macro.n_classes}"),
                ("macro-AUROC", _interval(evidence.macro.auroc), f"{evidence.macro.n_classes}"),
            ],
            n_texts=1,
        ),
        "",
        *([f"{evidence.trainings}\n"] if evidence.trainings else []),
        *_expected(evidence),
        *markdown_table(
            ("class", "", "positives", "AUPRC", "AUROC", "threshold F1", "Youden", "sensitivity ≥ .9"),
            [
                (
                    label.name,
                    label.description or "",
                    f"{label.n_positive:,}",
                    *map(score_words, evidence.per_class[label.name]),
                    *map(score_words, label.thresholds.values()),
                )
                for label in tier.classes
            ],
            n_texts=2,
        ),
    ]
    lines.append("\nThresholds were chosen on the same records; a class without a positive has none.\n")
    error, calibrated = tier.calibration_error, tier.calibration_error_calibrated
    if evidence.is_cross_validated:
        lines.append(
            f"Expected calibration error {score_words(error)}, after temperature scaling "
            f"{score_words(calibrated)} (each fold with temperatures of the others). Temperatures and "
            "quantiles were found for single members; for their average, which is less confident, they are "
            "approximate.\n"
        )
    else:
        lines.append(f"Expected calibration error {score_words(error)} before temperature scaling.\n")
    lines.append(f"{evidence.test}\n" if evidence.test else _test_fold(evidence.openings))
    return "\n".join(lines)


def _operating_points(labels: Labels, evidence: Evidence) -> str:
    """Table of the clinical operating points of every class."""
    lines = [
        "## Clinical operating points\n",
        "On the same records: the best that some threshold reaches there, with the 95 % interval, and alarms "
        + (
            "of the most probable class."
            if labels.tiers[0].exclusive
            else "at the threshold of best F1, chosen on the other folds."
            if evidence.is_cross_validated
            else "at the threshold of best F1, chosen on the same records."
        )
        + "\n",
        *markdown_table(
            ("class", *(words for words, _ in OPERATING_POINT_WORDS), ALARM_WORDS),
            [
                (
                    label.name,
                    *(
                        _estimate(evidence.operating_points[label.name][score])
                        for _, score in OPERATING_POINT_WORDS
                    ),
                    per_thousand_words(evidence.operating_points[label.name][ALARM_RATE]),
                )
                for label in labels.tiers[0].classes
            ],
            n_texts=1,
        ),
    ]
    return "\n".join([*lines, ""])


def _groups(labels: Labels, evidence: Evidence) -> str:
    """Differences between groups of patients."""
    lines = ["## Groups of patients\n"]
    if not evidence.groups:
        lines.append("Neither sex, age nor origin of the held-out records was kept: no group was scored.\n")
        return "\n".join(lines)
    name = labels.model.name
    lines += [f"{line}\n" for line in served_worst(evidence.groups, name)]
    rows = []
    for group in evidence.groups:
        found = group.models.get(name)
        cells = (
            [NOTHING] * (len(SUBGROUP_WORDS) + 1)
            if found is None
            else [
                *(_estimate(found.scores[score]) for _, score in SUBGROUP_WORDS),
                _estimate(found.differences["macro_auroc"], signed=True),
            ]
        )
        rows.append(
            (
                f"{group.attribute}: {group.group}",
                integer_words(group.n_records),
                integer_words(group.n_patients),
                *cells,
            )
        )
    columns = ("group", "records", "patients", *(words for words, _ in SUBGROUP_WORDS))
    lines += markdown_table((*columns, "macro AUROC less others'"), rows, n_texts=1)
    lines.append(f"\n{SUBGROUP_METHOD}\n")
    return "\n".join(lines)


def _expected(evidence: Evidence) -> list[str]:
    """The expected score, corrected for the choice of the trial, where it is known."""
    if not evidence.expected:
        return []
    return [
        f"The trial was chosen as the best of its size by these records. {sentence(evidence.expected)}: "
        f"{OBJECTIVES[evidence.study.objective].words} on "
        f"{evidence.study.target} by bootstrap bias corrected cross-validation (Tsamardinos, Greasidou & "
        "Borboudakis 2018; as a coupled bootstrap, Oliveira, Lei & Tibshirani 2021).\n"
    ]


def _test_fold(openings: Sequence[SealedFoldOpeningRecord]) -> str:
    if not openings:
        return "The test fold has not been opened for this architecture: there is no result on it.\n"
    scores = "; ".join(
        f"{name.removesuffix('_macro_auprc')} {score_words(value)}"
        for name, value in openings[-1].metrics.items()
        if name.endswith("_macro_auprc")
    )
    return (
        f"The test fold was opened {count_words(len(openings), 'time')} for a model of this architecture "
        f"that was trained anew, not for this one; macro-AUPRC last: {scores or 'not kept'}.\n"
    )


def _tiers(labels: Labels, evidence: Evidence) -> str:
    coarser = labels.tiers[1:]
    if not coarser:
        return ""
    lines = [
        "## Coarser tiers\n",
        "Their probabilities follow from those of the model by the map in `labels.json`; scores are on the "
        "same records.\n",
        *markdown_table(
            ("tier", "classes", "rule", "macro-AUPRC", "macro-AUROC", "calibration error"),
            [_tier(each, evidence) for each in coarser],
            n_texts=1,
        ),
    ]
    return "\n".join([*lines, ""])


def _tier(tier: TierLabels, evidence: Evidence) -> tuple[str, ...]:
    rules = {"any": "any of its children", "worst": "the worst that occurs", "sum": "the sum of its children"}
    assert tier.rule is not None
    found = evidence.coarser[tier.name]
    name = f"{tier.name}, the target of the study" if tier.name == evidence.study.target else tier.name
    return (
        name,
        f"{len(tier.classes)}",
        rules[tier.rule],
        _interval(found.auprc),
        _interval(found.auroc),
        score_words(tier.calibration_error),
    )


def _eight_bits(int8: Int8) -> str:
    return "\n".join(["## Eight bits\n", *(f"{line}\n" for line in int8_lines(int8))])


def int8_lines(int8: Int8) -> list[str]:
    """Sentences on the cost of quantisation; whether it ruins the model comes first."""
    difference = interval_words(int8.difference.value, int8.difference.low, int8.difference.high, signed=True)
    lines = [
        f"`{GRAPH_INT8}`: macro-AUPRC {score_words(int8.macro_auprc)} instead of "
        f"{score_words(int8.macro_auprc_float)}, difference {difference}, paired over draws of patients, on "
        f"{int8.n_records:,} held-out records ({int8.n_classes} classes).",
        f"{len(int8.content) / 1e6:.1f} instead of {int8.n_bytes_float / 1e6:.1f} MB; one ECG on one thread "
        f"{latency_words(1000 * int8.latency.median_ms)} (99th percentile "
        f"{latency_words(1000 * int8.latency.p99_ms)}) instead of "
        f"{latency_words(1000 * int8.latency_float.median_ms)} "
        f"({latency_words(1000 * int8.latency_float.p99_ms)}).",
    ]
    if int8.is_ruined:
        lines.insert(0, f"QUANTISATION RUINS THIS MODEL: do not use `{GRAPH_INT8}`.")
    return lines


def _limits(labels: Labels, evidence: Evidence) -> str:
    rare = [markdown_text(label.name) for label in labels.tiers[0].classes if label.n_positive < 10]
    lines = [
        "## Limits\n",
        "* Records of another hospital, device or population may be classified worse than these.",
        "* A class that is not among the outputs is never reported, however clear it is in the ECG.",
    ]
    if rare:
        lines.append(f"* Fewer than ten positives, so that little is known of them: {', '.join(rare)}.")
    if labels.novelty is None:
        lines.append(
            "* There is no threshold of novelty: the model does not say when a record is unlike its data."
        )
    lines += [f"* {sentence(note)}." for note in evidence.notes]
    lines.append(f"* {evidence.checked}")
    return "\n".join([*lines, ""])


def _estimate(found: Estimate, *, signed: bool = False) -> str:
    return interval_words(found.value, found.low, found.high, signed=signed)


def _interval(found: Interval) -> str:
    return interval_words(found.value, found.low, found.high)
