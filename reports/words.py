"""Architectures and numbers in the words of a report."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import space
from reports.source import STATES
from storage.records import StudyRecord, TrialRecord, version_words

N_NAMES_SHOWN = 10
SYNTHETIC_NOTE = "SYNTHETIC demo data: no result here says anything about patients"


def recurrent_layers(architecture: Mapping[str, Any]) -> tuple[tuple[str, bool], ...]:
    """(cell, bidirectional) of every recurrent layer, first to last."""
    layers: Sequence[Mapping[str, Any]] = architecture.get("recurrent") or ()
    return tuple((str(layer["cell"]), bool(layer.get("bidirectional", False))) for layer in layers)


def recurrent_kind(architecture: Mapping[str, Any]) -> str:
    """`none`, the one cell used in capitals (`GRU`, `LSTM`), or `mixed`."""
    cells = {cell for cell, _ in recurrent_layers(architecture)}
    if not cells:
        return "none"
    return cells.pop().upper() if len(cells) == 1 else "mixed"


def direction(architecture: Mapping[str, Any]) -> str:
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
    front_words = space.BACKBONES[front_end].words if front_end in space.BACKBONES else front_end
    layers = recurrent_layers(architecture)
    if not layers:
        return front_words
    if front_end != "cnn":
        return front_words + "→" + stack_words({**architecture, "backbone": "cnn"})
    names = "→".join(("Bi" if bidirectional else "") + cell.upper() for cell, bidirectional in layers)
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


def parameter_words(parameters: float, _: object = None) -> str:
    """A number of parameters as on an axis: 950, 30 k, 1.5 M; matplotlib adds the place of the tick."""
    for unit, word in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if parameters >= unit:
            return f"{parameters / unit:.4g}{word}"
    return f"{parameters:.4g}"


def percent_words(share: float, _: object = None) -> str:
    """A share as on an axis: `0.3 %`."""
    return f"{100 * share:.3g} %"


def count_words(number: int, noun: str, plural: str = "") -> str:
    """`1 record`, `21,799 records`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def state_words(trials: Sequence[TrialRecord]) -> str:
    """How many trials are in which state, without empty states: `17 trials: 12 complete, 5 pruned`."""
    counts = {state: sum(trial.state == state for trial in trials) for state in STATES}
    parts = [f"{counts[state]:,} {state}" for state in STATES if counts[state]]
    return f"{count_words(len(trials), 'trial')}: {', '.join(parts)}" if parts else "no trials"


def data_words(study: StudyRecord) -> str:
    """Data set of the study in one phrase: name, version, records or beats, patients, rate."""
    version = "" if study.data_version == "SYNTHETIC" else version_words(study.data_version)
    records = count_words(study.n_records, str(study.settings.get("unit", "record")))
    patients = count_words(study.n_patients, "patient")
    skipped = study.skipped_records
    left_out = f"; {count_words(len(skipped), 'damaged record')} left out" if skipped else ""
    return f"{study.data_name}{version}, {records} of {patients} at {study.rate_hz} Hz{left_out}"


def left_out_words(study: StudyRecord) -> list[str]:
    """What of its data a study leaves out, and why: a line for each reason; empty if nothing is."""
    lines = []
    for each in skipped_by_reason(study.skipped_records):
        names = ", ".join(each["records"][:N_NAMES_SHOWN])
        more = len(each["records"]) - N_NAMES_SHOWN
        rest = f" and {more:,} more" if more > 0 else ""
        records = count_words(len(each["records"]), "damaged record")
        lines.append(f"{records} left out: {each['reason']} ({names}{rest})")
    n_unlabeled = int(study.settings.get("n_unlabeled_dropped", 0))
    if n_unlabeled:
        rows = count_words(n_unlabeled, str(study.settings.get("unit", "record")))
        lines.append(f"{rows} left out: no label at tier {study.target}")
    return lines + [str(note) for note in study.settings.get("data_notes", ())]


def skipped_by_reason(skipped: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Reasons, and the records of each, the commonest reason first.

    Reasons that differ in nothing but the record's name and numbers are one, those written as "…".
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for each in skipped:
        name = str(each["filename"]).rpartition("/")[2]
        reason = str(each["reason"]).replace(name, "…") if name else str(each["reason"])
        groups.setdefault(re.sub(r"[0-9][0-9,.]*(?<![,.])", "…", reason), []).append(each)
    return [
        {
            "reason": str(members[0]["reason"]) if len(members) == 1 else pattern,
            "records": [str(each["filename"]) for each in members],
        }
        for pattern, members in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    ]


def target_words(study: StudyRecord) -> str:
    """Target tier with its number of classes: `subclass (23 classes)`."""
    classes = study.tier_classes.get(study.target)
    return study.target if classes is None else f"{study.target} ({len(classes)} classes)"


def duration_words(seconds: float) -> str:
    """`42 s`, `13 min`, `2.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def score_words(score: float | None, error: float | None = None) -> str:
    """`0.6912 ± 0.0123`; without error when there is none; `–` when undefined."""
    if score is None or not math.isfinite(score):
        return "–"
    return f"{score:.4f}" if error is None else f"{score:.4f} ± {error:.4f}"


def ending_words(trial: TrialRecord) -> str:
    """Why the trial ended early, in one line; empty for one that did not."""
    if trial.state == "pruned" and trial.decision is not None:
        words = trial.decision.reason
    elif trial.state in {"failed", "interrupted"} and trial.failure is not None:
        words = f"{trial.failure.kind}: {trial.failure.message}"
    else:
        words = ""
    return " ".join(words.split())
