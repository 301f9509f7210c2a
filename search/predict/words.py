"""Terminal output and JSON of `python -m search predict`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from reports.cells import csv_text
from reports.numbers import (
    NOTHING,
    count_words,
    digits_words,
    duration_words,
    first_words,
    interval_words,
    percent_words,
    score_words,
    whole_percent_words,
)
from reports.terminal import StackingTable, simple_table
from reports.words import SYNTHETIC_NOTE
from search.data.signals.headers import DEFAULT_GAIN
from search.export.folder import WHOLE_PTBXL, ClassLabel
from search.predict.answers import RecordAnswer, TierAnswer, urgency
from search.predict.people import person_document, person_words
from search.predict.predict import Predictions
from search.predict.summary import CONFIDENCES, alarms, confidence, confidence_distribution, episodes

N_CLASSES, MOST_CLASSES = 6, 12
"""Classes of a tier shown for one recording: the most probable ones, and more that are called or in doubt."""
N_CALLED = 4
"""Classes called of which a row of many recordings names the most probable."""
N_ALARMS = 12
"""Classes of a tier whose alarms are shown, the most frequent ones."""
N_EPISODES = 20
LONGEST_DESCRIPTION = 60
N_UNSURE = 4
CSV_COLUMNS = (
    "record",
    "tier",
    "class",
    "probability",
    "calibrated",
    "threshold",
    "called",
    "set",
    "share_of_windows",
    "abstains",
    "outside",
    "not_answered",
)
NOT_A_DEVICE = "Not a medical device."


def prediction_document(found: Predictions, *, per_day: float | None) -> dict[str, Any]:
    """One JSON-ready document."""
    labels = found.model.folder.labels
    return {
        "model": labels.model.name,
        "folder": str(found.model.folder.path),
        "synthetic": labels.model.synthetic,
        "policy": found.options.policy,
        "confidence": found.options.confidence,
        "aggregate": found.options.aggregate,
        "tiers": [
            {
                "name": tier.name,
                "exclusive": tier.exclusive,
                "classes": list(tier.names),
                "descriptions": [each.description for each in tier.labels.classes],
                "thresholds": None if tier.exclusive else _numbers(tier.threshold_C),
                "coverage": tier.coverage,
                "coverage_by_class": tier.is_conditional_C.tolist(),
            }
            for tier in found.tiers
        ],
        "asks_for": list(found.model.asks_for),
        "records": [_record_document(answer) for answer in found.answers],
        "refused": [{"record": each.name, "reason": each.reason} for each in found.refused],
        "notes": list(found.notes),
        "confidence_distribution": {
            "edges": list(CONFIDENCES),
            "records": {
                tier.name: list(confidence_distribution(found.answers, number))
                for number, tier in enumerate(found.tiers)
            },
        },
        "alarms": {
            tier.name: [
                {
                    "class": each.class_name,
                    "share": each.called.value,
                    "low": each.called.low,
                    "high": each.called.high,
                    "per_day": each.per_day,
                }
                for each in alarms(found.answers, number, tier, per_day)
            ]
            for number, tier in enumerate(found.tiers)
        },
    }


def _record_document(answer: RecordAnswer) -> dict[str, Any]:
    document: dict[str, Any] = {
        "record": answer.name,
        "rate_hz": answer.rate_hz,
        "duration_s": answer.duration_s,
        "derived_leads": list(answer.derived),
        "unused_signals": list(answer.unused),
        "signals_without_gain": list(answer.without_gain),
        **person_document(answer.person),
        "urgency": None if (urgent := urgency(answer)) is None else urgent.level,
        "abstains": answer.abstains,
        "outside": None
        if answer.outside is None
        else {"kind": answer.outside.kind, "reason": answer.outside.words},
        "windows": len(answer.windows),
        "windows_not_answered": len(answer.windows) - len(answer.answered),
        "tiers": {
            each.tier.name: {
                "called": list(each.called),
                "unsure": list(each.unsure),
                "confidence": confidence(each),
                "probability": _by_class(each, each.probability_C),
                "calibrated": _by_class(each, each.calibrated_C),
                "set": {name: each.set_of(column) for column, name in enumerate(each.tier.names)},
                "share_of_windows": _by_class(each, shares),
            }
            for each, shares in zip(answer.tiers, answer.share_called, strict=True)
        },
    }
    if len(answer.windows) > 1:
        document["timeline"] = [
            {
                "start_s": window.start_s,
                "end_s": window.end_s,
                "not_answered": window.problem,
                "outside": None if window.outside is None else window.outside.words,
                "called": {each.tier.name: list(each.called) for each in window.tiers},
            }
            for window in answer.windows
        ]
    return document


def _by_class(answer: TierAnswer, values: Any) -> dict[str, float | None]:
    return dict(zip(answer.tier.names, _numbers(values), strict=True))


def _numbers(values: Any) -> list[float | None]:
    """Numbers for JSON, None where undefined."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def prediction_csv(found: Predictions) -> str:
    """A line for every recording, tier and class, and one for every recording that is not answered."""
    rows: list[dict[str, Any]] = []
    for answer in found.answers:
        outside = None if answer.outside is None else answer.outside.words
        for each, shares in zip(answer.tiers, answer.share_called, strict=True):
            for column, name in enumerate(each.tier.names):
                rows.append(
                    {
                        "record": answer.name,
                        "tier": each.tier.name,
                        "class": name,
                        "probability": float(each.probability_C[column]),
                        "calibrated": float(each.calibrated_C[column]),
                        "threshold": None if each.tier.exclusive else float(each.tier.threshold_C[column]),
                        "called": bool(each.called_C[column]),
                        "set": each.set_of(column),
                        "share_of_windows": float(shares[column]),
                        "abstains": answer.abstains,
                        "outside": outside,
                    }
                )
    rows += [{"record": each.name, "not_answered": each.reason} for each in found.refused]
    return csv_text(rows, CSV_COLUMNS)


def prediction_view(found: Predictions, *, per_day: float | None) -> RenderableType:
    """The document for a terminal of 80 columns or more."""
    model = found.model.folder.labels.model
    parts: list[RenderableType] = [Text(model.name, style="bold"), Text(model.description)]
    if model.synthetic:
        parts.append(Text(SYNTHETIC_NOTE, style="bold red"))
    unit = found.model.folder.preprocessing.row
    parts.append(
        Text(
            f"trained on {count_words(model.n_records, unit)} of {count_words(model.n_patients, 'patient')} "
            f"of {model.data_name}" + (f" (subset of {WHOLE_PTBXL:,} records)" if model.is_subset else "")
        )
    )
    parts += [Text(note) for note in found.notes]
    parts.append(Text(""))
    if len(found.answers) == 1:
        parts += _one_view(found.answers[0], found.model.asks_for)
    else:
        parts += _many_view(found, per_day)
    parts.append(Text(_footnote(found), style="dim"))
    return Group(*parts)


def _one_view(answer: RecordAnswer, asks_for: Sequence[str]) -> Iterator[RenderableType]:
    """A single recording: every tier with its classes."""
    yield Text(f"{answer.name}: {_length_words(answer)} at {answer.rate_hz:g} Hz", style="bold")
    yield from map(Text, (*person_words(answer.person, asks_for), *_remarks(answer)))
    for number, each in enumerate(answer.tiers):
        yield Text("")
        yield tier_table(answer, number, each)
    if len(answer.windows) > 1:
        yield Text("")
        yield from _timeline(answer)


def _length_words(answer: RecordAnswer) -> str:
    if len(answer.windows) == 1:
        return f"{digits_words(answer.duration_s, 4)} s"
    return f"{duration_words(answer.duration_s)} in {count_words(len(answer.windows), 'window')}"


def _remarks(answer: RecordAnswer) -> Iterator[str]:
    """Remarks on a recording besides its classes, one sentence each."""
    if answer.outside is not None:
        yield f"Outside what the model was trained on: {answer.outside.words}."
    n_outside = sum(window.outside is not None for window in answer.answered)
    if n_outside and len(answer.windows) > 1:
        yield f"{n_outside:,} of {len(answer.windows):,} windows are outside what it was trained on."
    problems = [window.problem for window in answer.windows if window.problem is not None]
    if problems:
        yield f"{count_words(len(problems), 'window')} not answered; the first: {problems[0]}."
    unsure = answer.tiers[0].unsure
    if unsure:
        yield f"Undecided at {answer.tiers[0].tier.name}: {_some(unsure)}."
    if answer.without_gain:
        yield without_gain_words(answer.without_gain)
    if answer.derived:
        yield f"Leads that were not there, found exactly from others: {'; '.join(answer.derived)}."
    if answer.unused:
        yield f"Other signals, not used: {_some([name or 'one without a name' for name in answer.unused])}."


def without_gain_words(names: Sequence[str]) -> str:
    """A sentence on signals whose voltage is a guess."""
    return (
        f"The header states no gain for {_some(names)}: {DEFAULT_GAIN:g} steps per mV are assumed, WFDB's "
        "default; add the gain to the header."
    )


def _some(names: Sequence[str]) -> str:
    return first_words(names, N_UNSURE)


def _table() -> StackingTable:
    return simple_table(padding=(0, 1, 0, 0))


def tier_table(answer: RecordAnswer, number: int, each: TierAnswer) -> RenderableType:
    """The classes of a recording at the tier of that number: the most probable, those called and in doubt."""
    table = _table()
    table.add_column(each.tier.name)
    for heading in ("probability", "calibrated", "threshold", "called"):
        table.add_column(heading, justify="right" if heading != "called" else "left", no_wrap=True)
    table.add_column("set", no_wrap=True)
    is_long = len(answer.windows) > 1
    if is_long:
        table.add_column("windows", justify="right", no_wrap=True)
    order = np.argsort(-each.probability_C, kind="stable").tolist()
    unsure = set(each.unsure)
    wanted = [
        column
        for place, column in enumerate(order)
        if place < N_CLASSES or each.called_C[column] or each.tier.names[column] in unsure
    ]
    shown, left = wanted[:MOST_CLASSES], set(order) - set(wanted[:MOST_CLASSES])
    for column in shown if not each.tier.ordinal else sorted(shown):
        label = each.tier.labels.classes[column]
        threshold = each.tier.threshold_C[column]
        cells = [
            _class_words(label),
            score_words(float(each.probability_C[column])),
            score_words(float(each.calibrated_C[column])),
            "largest" if each.tier.exclusive else score_words(float(threshold)),
            "yes"
            if each.called_C[column]
            else "no"
            if each.tier.exclusive or np.isfinite(threshold)
            else NOTHING,
            each.set_of(column) or NOTHING,
        ]
        if is_long:
            cells.append(whole_percent_words(float(answer.share_called[number][column])))
        table.add_row(*cells)
    if not left:
        return table
    n_called = sum(bool(each.called_C[column]) for column in left)
    called = f", {n_called:,} of them called" if n_called else ""
    words = f"{count_words(len(left), 'class', 'classes')} less probable{called}: --json lists all."
    return Group(table, Text(words))


def _class_words(label: ClassLabel) -> str:
    """A class with its description, unless that is a list of statements."""
    if label.description is None or len(label.description) > LONGEST_DESCRIPTION:
        return label.name
    return f"{label.name} {label.description}"


def _timeline(answer: RecordAnswer) -> Iterator[RenderableType]:
    """Episodes of the coarsest tier and of the one trained on."""
    for number in sorted({0, len(answer.tiers) - 1}):
        found = episodes(answer, number)
        tier = answer.tiers[number].tier.name
        if not found:
            yield Text(f"Timeline at {tier}: nothing is called in any window.")
            continue
        table = _table()
        for heading in ("from", "to"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column(tier)
        table.add_column("largest probability", justify="right", no_wrap=True)
        for each in found[:N_EPISODES]:
            table.add_row(
                _clock(each.start_s), _clock(each.end_s), each.class_name, score_words(each.highest)
            )
        yield table
        if len(found) > N_EPISODES:
            yield Text(f"{len(found) - N_EPISODES:,} more episodes: --json has the timeline.")


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


def _many_view(found: Predictions, per_day: float | None) -> Iterator[RenderableType]:
    """Many recordings: one row each, and all of them together."""
    numbers = sorted({0, len(found.tiers) - 1} | _triage_tier(found))
    table = _table()
    table.add_column("recording", overflow="fold")
    table.add_column("called, with calibrated probability", overflow="fold", ratio=2)
    table.add_column("doubt", overflow="fold", ratio=1)
    for answer in found.answers:
        lines = [f"{found.tiers[n].name}: {called_words(answer.tiers[n])}" for n in numbers]
        if found.options.triage and (urgent := urgency(answer)) is not None:
            lines.insert(0, f"urgency {urgent.level:.2f} of {urgent.highest}")
        table.add_row(answer.name, "\n".join(lines), _doubt(answer))
    yield table
    for number in numbers:
        yield Text("")
        yield from _together(found, number, per_day)
    yield Text("")
    n_abstains = sum(answer.abstains for answer in found.answers)
    n_outside = sum(answer.outside is not None for answer in found.answers)
    for name in found.model.asks_for:
        n_unknown = sum(person_document(answer.person)[name] is None for answer in found.answers)
        if n_unknown:
            of = count_words(n_unknown, "recording")
            yield Text(f"The model uses {name}, which is unknown for {of}.")
    yield Text(
        f"{count_words(len(found.answers), 'recording')}, {n_abstains:,} undecided, of which {n_outside:,} "
        "are outside what the model was trained on."
    )


def _triage_tier(found: Predictions) -> set[int]:
    ordinal = [number for number, tier in enumerate(found.tiers) if tier.ordinal]
    return set(ordinal[-1:]) if found.options.triage else set()


def called_words(each: TierAnswer) -> str:
    """`AFIB .912, CLBBB .640 and 31 more`, calibrated where a class is."""
    calibrated = dict(zip(each.tier.names, each.calibrated_C.tolist(), strict=True))
    plain = dict(zip(each.tier.names, each.probability_C.tolist(), strict=True))
    words = [
        f"{name} {score_words(calibrated[name] if math.isfinite(calibrated[name]) else plain[name])}"
        for name in each.called
    ]
    return first_words(words, N_CALLED) or "nothing"


def _doubt(answer: RecordAnswer) -> str:
    doubts = [f"no gain stated: {_some(answer.without_gain)}"] if answer.without_gain else []
    if answer.outside is not None:
        doubts.append(f"outside: {answer.outside.words}")
    elif unsure := answer.tiers[0].unsure:
        doubts.append(f"unsure: {_some(unsure)}")
    return "\n".join(doubts)


def _together(found: Predictions, number: int, per_day: float | None) -> Iterator[RenderableType]:
    """Distribution of confidence at one tier, and how often each class is called."""
    tier = found.tiers[number]
    counts = confidence_distribution(found.answers, number)
    edges = [f"{edge:g}".removeprefix("0") for edge in CONFIDENCES]
    names = [f"below {edges[1]}", *(f"{low} to {high}" for low, high in itertools.pairwise(edges[1:]))]
    listed = ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True) if count)
    yield Text(f"Recordings by confidence at {tier.name} ({listed})")
    of_class = [each for each in alarms(found.answers, number, tier, per_day) if each.called.value]
    if len(of_class) > N_ALARMS:  # else in the order of the tier, from mild to severe if it has one
        of_class.sort(key=lambda each: each.called.value, reverse=True)
    if not of_class:
        yield Text(f"No class of {tier.name} is called.")
        return
    table = _table()
    table.add_column(tier.name)
    table.add_column("called", justify="right", no_wrap=True)
    table.add_column("share [95 %]", no_wrap=True)
    is_counted = any(each.per_day is not None for each in of_class)
    if is_counted:
        table.add_column("alarms a day", justify="right", no_wrap=True)
    for each in of_class[:N_ALARMS]:
        cells = [
            each.class_name,
            f"{round(each.called.value * each.called.n):,}",
            interval_words(each.called.value, each.called.low, each.called.high),
        ]
        if is_counted:
            cells.append(NOTHING if each.per_day is None else digits_words(each.per_day))
        table.add_row(*cells)
    yield table
    if len(of_class) > N_ALARMS:
        yield Text(
            f"{count_words(len(of_class) - N_ALARMS, 'class', 'classes')} less often: --json lists all."
        )


def _footnote(found: Predictions) -> str:
    options = found.options
    notes = [f"Thresholds: {options.policy}."]
    if any(tier.coverage is not None for tier in found.tiers):
        notes.append(
            f"Sets contain the true label in at least {percent_words(options.confidence)} of records like "
            "those of training, by class if enough of it were known: present, absent, either (undecided), "
            "neither."
        )
    if any(len(answer.windows) > 1 for answer in found.answers):
        notes.append(
            f"Long recordings: the {options.aggregate} over windows; sets promise that of windows alone."
        )
    notes.append(NOT_A_DEVICE)
    return " ".join(notes)
