"""Architectures, data sets and states in the words of a report."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import space
from reports.numbers import (
    NOTHING,
    cost_phrases,
    count_words,
    first_words,
    interval_words,
    score_words,
    whole_percent_words,
)
from reports.schema import Data, Estimate, SkippedRecords
from scores.costs import COSTS
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from storage.records import EARLIER_STUDIES, STATES, StudyRecord, TrialRecord, TrialState, version_words

Direction = Literal["none", "forward", "bidirectional", "mixed"]
N_NAMES_SHOWN = 10
SYNTHETIC_NOTE = "SYNTHETIC demo data: no result here says anything about patients"
METRIC_WORDS: Mapping[str, str] = {
    "macro_auprc": "macro AUPRC",
    "macro_auprc_min10": "macro AUPRC, ≥ 10 positives",
    "macro_auroc": "macro AUROC",
    "micro_auprc": "micro AUPRC",
    "micro_auroc": "micro AUROC",
    "accuracy": "accuracy",
    "hamming_loss": "Hamming loss",
    "kappa": "kappa",
    "quadratic_kappa": "quadratic kappa",
    "subset_accuracy": "all classes right",
} | {
    f"{mean}_{name}": f"{mean} {words}"
    for mean in ("macro", "micro", "weighted")
    for name, words in (
        *(("f1", "F1"), ("precision", "precision"), ("recall", "recall"), ("specificity", "specificity")),
        ("balanced_accuracy", "balanced accuracy"),
    )
}
"""Metric to its name on pages and in figures."""


_learnt: dict[tuple[str, str], str] = {}
"""Words of entries of space files, by registry and name."""


def slug(name: str) -> str:
    """A name as part of the name of a file or figure: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def sentence(text: str) -> str:
    """A text with a capital letter, as at the beginning of a sentence or a label."""
    return text[:1].upper() + text[1:]


def learn_words(study: StudyRecord) -> None:
    """Register the words that a study keeps from its space file, which need not be there any more."""
    for registry, name, words in study.settings.get("space_words", ()):
        _learnt[registry, name] = words


def _entry_words(registry: str, name: str, otherwise: str) -> str:
    entries = getattr(space, registry)
    return str(entries[name].words) if name in entries else _learnt.get((registry, name), otherwise)


def axis_words(name: str) -> str:
    """An axis in words; one that no declaration names by its key."""
    return _entry_words("AXES", name, name.replace("_", " "))


def recurrent_layers(architecture: Mapping[str, Any]) -> tuple[tuple[str, bool], ...]:
    """(cell, bidirectional) of every recurrent layer, first to last."""
    layers: Sequence[Mapping[str, Any]] = architecture.get("recurrent") or ()
    return tuple((str(layer["cell"]), bool(layer.get("bidirectional", False))) for layer in layers)


def recurrent_kind(architecture: Mapping[str, Any]) -> str:
    """`none`, the one cell used in words (`GRU`, `LSTM`), or `mixed`."""
    cells = {cell for cell, _ in recurrent_layers(architecture)}
    if not cells:
        return "none"
    return _cell_words(cells.pop()) if len(cells) == 1 else "mixed"


def _cell_words(cell: str) -> str:
    return _entry_words("CELLS", cell, cell.upper())


def direction(architecture: Mapping[str, Any]) -> Direction:
    """`none` (no recurrent layer), `forward`, `bidirectional`, or `mixed`."""
    directions = {bidirectional for _, bidirectional in recurrent_layers(architecture)}
    if not directions:
        return "none"
    if len(directions) > 1:
        return "mixed"
    return "bidirectional" if directions.pop() else "forward"


def stack_words(architecture: Mapping[str, Any]) -> str:
    """The temporal part in short, for a label in a figure: `CNN`, `BiLSTM(128)`, `GRU→BiLSTM(64)`.

    A front end other than the CNN is named before it: `FCN`, `S4D→LSTM(128)`.
    """
    front_end = str(architecture.get("backbone", "cnn"))
    front_words = _entry_words("FRONT_ENDS", front_end, front_end)
    layers = recurrent_layers(architecture)
    if not layers:
        return front_words
    if front_end != "cnn":
        return front_words + "→" + stack_words({**architecture, "backbone": "cnn"})
    names = "→".join(("Bi" if bidirectional else "") + _cell_words(cell) for cell, bidirectional in layers)
    hidden_size = architecture.get("hidden_size")
    return names if hidden_size is None else f"{names}({hidden_size})"


def width_words(architecture: Mapping[str, Any]) -> str:
    """Widths in short, for the second line of a label: `width ×0.5, dense 512, gate/16`."""
    width, head_width = architecture.get("width"), architecture.get("head_width")
    parts = [] if width in (None, 1) else [f"width ×{width:g}"]
    if head_width is not None:
        parts.append(f"dense {head_width}")
    if architecture.get("gate"):
        parts.append(f"gate/{architecture['gate']}")
    return ", ".join(parts)


def state_words(trials: Sequence[TrialRecord]) -> str:
    """Number of trials in each state, without empty states: `17 trials: 12 complete, 5 pruned`."""
    return counts_words(Counter(trial.state for trial in trials))


def counts_words(counts: Mapping[TrialState, int]) -> str:
    """`state_words` from the number of trials in each state."""
    parts = [f"{counts[state]:,} {state}" for state in STATES if counts.get(state)]
    return f"{count_words(sum(counts.values()), 'trial')}: {', '.join(parts)}" if parts else "no trials"


def data_words(study: StudyRecord) -> str:
    """Data set of the study in one phrase: name, version, records or beats, patients, rate."""
    return _data_phrase(
        name=study.data_name,
        version=study.data_version,
        records=records_words(study),
        n_patients=study.n_patients,
        rate_hz=study.rate_hz,
        n_skipped_records=len(study.skipped_records),
    )


def reported_data_words(data: Data) -> str:
    """`data_words` from the data set as a report has it."""
    return _data_phrase(
        name=data.name,
        version=data.version,
        records=_records_phrase(data.unit, data.n_records, data.n_outside_subset, data.subset),
        n_patients=data.n_patients,
        rate_hz=data.rate_hz,
        n_skipped_records=data.n_skipped_records,
    )


def _data_phrase(
    *,
    name: str,
    version: str,
    records: str,
    n_patients: int,
    rate_hz: int,
    n_skipped_records: int,
) -> str:
    """A data set in one phrase; see `data_words`."""
    known = "" if version == "SYNTHETIC" else version_words(version)
    patients = count_words(n_patients, "patient")
    damaged = count_words(n_skipped_records, "damaged record")
    left_out = f"; {damaged} left out" if n_skipped_records else ""
    return f"{name}{known}, {records} of {patients} at {rate_hz} Hz{left_out}"


def records_words(study: StudyRecord) -> str:
    """Records of a study: `859 records`, or `10 % of the records (subset, n = 86 of 859)`."""
    settings = study.settings
    return _records_phrase(
        str(settings.get("unit", "record")),
        study.n_records,
        int(settings.get("n_outside_subset", 0)),
        settings.get("records"),
    )


def _records_phrase(unit: str, n_records: int, n_outside_subset: int, subset: str | None) -> str:
    """Records in words; see `records_words`."""
    if subset is None:
        return count_words(n_records, unit)
    amount = f"{subset.removesuffix('%')} % of the {unit}s" if subset.endswith("%") else f"{unit}s"
    return f"{amount} (subset, n = {n_records:,} of {n_records + n_outside_subset:,})"


def left_out_words(study: StudyRecord) -> list[str]:
    """Parts of the data that a study leaves out, with the reason: one line for each reason, or none."""
    lines = []
    for each in skipped_by_reason(study.skipped_records):
        names = first_words(each.records, N_NAMES_SHOWN)
        records = count_words(len(each.records), "damaged record")
        lines.append(f"{records} left out: {each.reason} ({names})")
    n_unlabeled = int(study.settings.get("n_unlabeled_dropped", 0))
    if n_unlabeled:
        rows = count_words(n_unlabeled, str(study.settings.get("unit", "record")))
        lines.append(f"{rows} left out: no label at tier {study.target}")
    n_outside = int(study.settings.get("n_outside_subset", 0))
    if n_outside:
        rows = count_words(n_outside, str(study.settings.get("unit", "record")))
        lines.append(f"{rows} left out: outside the subset (--records {study.settings['records']})")
    return lines + [str(note) for note in study.settings.get("data_notes", ())]


def learning_words(settings: Mapping[str, Any]) -> list[str]:
    """Earlier studies that a study learns from, and presets not queued because of them: a line for each."""
    kept = settings.get(EARLIER_STUDIES)
    if kept is None:
        return []
    return [f"learns from {words}" for words in kept["words"]] + [
        f"preset {name} is not queued: {reason}" for name, reason in kept["presets_not_queued"].items()
    ]


def limits_words(settings: Mapping[str, Any]) -> str:
    """Limits of a study: `at most 250 k parameters and 256 KiB of memory`; empty if there are none."""
    parts = []
    most = settings.get("max") or {}
    if most:
        parts.append(f"at most {', '.join(cost_phrases(most))}")
    minimised = f"{settings.get('cost', '')}-int8"
    if minimised in COSTS and any(cost.endswith("-int8") for cost in most):
        parts.append(f"minimised: {COSTS[settings['cost']].words} in fp32")
    if settings.get("operators") is not None:
        parts.append(f"operators {', '.join(settings['operators']) or 'none'}")
    if settings.get("device_profile"):
        parts.append(f"device {settings['device_profile']}")
    return "; ".join(parts)


def latency_model_words(kept: Mapping[str, Any]) -> str:
    """Accuracy of the predicted latencies of a study, from its settings."""
    return (
        f"latency: on one CPU thread of {kept['machine']}; measured for every trial, predicted for other "
        f"architectures by a linear model of {kept['n_measured']} measured ones, mean error "
        f"{whole_percent_words(kept['error'])}, nine of ten within {whole_percent_words(kept['error_p90'])} "
        "(cross-validated)"
    )


def skipped_by_reason(skipped: Sequence[Mapping[str, Any]]) -> list[SkippedRecords]:
    """Reasons, and the records of each, the commonest reason first.

    Reasons that differ in nothing but the record's name and numbers are one, those written as "…".
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for each in skipped:
        name = str(each["filename"]).rpartition("/")[2]
        reason = str(each["reason"]).replace(name, "…") if name else str(each["reason"])
        groups.setdefault(re.sub(r"[0-9][0-9,.]*(?<![,.])", "…", reason), []).append(each)
    return [
        SkippedRecords(
            reason=str(members[0]["reason"]) if len(members) == 1 else pattern,
            records=[str(each["filename"]) for each in members],
        )
        for pattern, members in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    ]


def target_words(study: StudyRecord) -> str:
    """Target tier with its number of classes: `subclass (23 classes)`."""
    classes = study.tier_classes.get(study.target)
    return target_phrase(study.target, None if classes is None else len(classes))


def aim_words(study: StudyRecord) -> str:
    """Target of a study, and what it maximises where that is not the usual score, for a heading."""
    other = "" if study.objective == DEFAULT_OBJECTIVE else f", {OBJECTIVES[study.objective].words}"
    return f"target {target_words(study)}{other}"


def target_phrase(target: str, n_classes: int | None) -> str:
    """A tier with its number of classes; see `target_words`."""
    return target if n_classes is None else f"{target} ({n_classes} classes)"


def ending_words(trial: TrialRecord) -> str:
    """Reason why the trial ended early, in one line; empty for one that did not."""
    if trial.state == "pruned" and trial.decision is not None:
        words = trial.decision.reason
    elif trial.state in {"failed", "interrupted"} and trial.failure is not None:
        words = f"{trial.failure.kind}: {trial.failure.message}"
    else:
        words = ""
    return " ".join(words.split())


def estimate_words(one: Estimate | None) -> str:
    """A statistic with its interval in words."""
    return score_words(None) if one is None else interval_words(one.value, one.low, one.high)


def setting_words(value: Any) -> str:
    """The value of a setting: `yes`, `0.005`, `parameters=250000`, `conv, gru`."""
    if value is None or value in ([], ()):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={setting_words(each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(setting_words(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
