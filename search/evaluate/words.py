"""Terminal output and JSON of `python -m search evaluate`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from reports.evaluation.evidence import KNOWN, TEST, UNSEEN, VALIDATION
from reports.evaluation.overview import evaluation_summary
from reports.evaluation.side_by_side import RANKED, EvaluatedScores, paired
from reports.findings.estimates import estimate
from reports.numbers import (
    NOTHING,
    count_words,
    first_words,
    interval_words,
    p_words,
    score_words,
)
from reports.parts import opening_words, sealed_fold_words
from reports.published import TABLE_2, Anchor, anchors_of
from reports.schema import finite
from reports.terminal import simple_table
from reports.words import SYNTHETIC_NOTE, data_words
from scores.bootstrap import Sampled
from scores.side_by_side import Difference
from search.data.folds import INTRA_PATIENT
from search.evaluate.evaluate import Evaluated
from search.evaluate.other_data import Unmapped

N_SHOWN = 12
"""Classes of a list before it is cut."""
N_SIDE_BY_SIDE = 3
"""Models in a table of 80 columns; further ones follow in another."""
N_OPENINGS = 5

METRIC_WORDS = {
    "hamming_loss": "Hamming loss ↓",
    "macro_auroc": "macro-AUROC",
    "macro_auprc": "macro-AUPRC",
    "macro_f1": "macro-F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_balanced_accuracy": "balanced accuracy",
    "micro_f1": "micro-F1",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "subset_accuracy": "subset accuracy",
    "argmax_accuracy": "accuracy",
    "quadratic_kappa": "quadratic kappa",
    "argmax_macro_f1": "macro-F1 (argmax)",
    "argmax_weighted_f1": "weighted F1 (argmax)",
}
"""Metrics of table 2 of Jafari & Jafari, then metrics of the most probable class for exclusive tiers."""
PUBLISHED_WORDS = {
    "CNN": "CNN",
    "CNN-GRU": "GRU",
    "CNN-LSTM": "LSTM",
    "CNN-BiLSTM": "BiLSTM",
    "CNN-LSTM-BiLSTM": "LSTM\n+BiLSTM",
    "CNN-GRU-BiLSTM-LSTM": "GRU+BiL.\n+LSTM",
}
PART_WORDS = {KNOWN: "known", UNSEEN: "unseen"}


def evaluation_document(found: Evaluated) -> dict[str, Any]:
    """One JSON-ready document."""
    tiers = _tiers(found)
    scores = [each for tier in tiers for part in _parts(found) for each in found.scores(part, tier)]
    return {
        "study": found.study.name,
        "synthetic": found.is_synthetic,
        "tier": found.tier,
        "evaluations": [
            evaluation_summary(each.evaluation)
            | {
                "architectures": [dict(model.architecture) for model in each.evaluation.models],
                "epochs_trained": [model.epochs_trained for model in each.evaluation.models],
                "model_files": [str(path) for path in found.files.get(each.evaluation.id or 0, ())],
                "results": [_result(found, score) for score in scores if score.evaluation is each.evaluation],
            }
            for each in found.evidence
        ],
        "differences": [_difference(found, each) for each in paired(found.scores(TEST, found.tier))],
        "published": [
            {"name": anchor.name, "external": True, "source": anchor.source, "metrics": dict(anchor.metrics)}
            for anchor in _published(found)
        ],
        "openings": len(found.openings) or None,
        "opened": [
            {
                "at": None if each.at is None else each.at.isoformat(),
                "model": opening_words(each, found.study.name),
            }
            for each in found.openings
        ],
        "unreadable": len(found.tested_on.skipped),
        "unlabeled_dropped": found.tested_on.n_unlabeled_dropped,
        "unmapped": [
            {
                "tier": each.tier,
                "here": dict(each.here),
                "there": dict(each.there),
                "records_without_shared_class": each.n_without,
            }
            for each in found.unmapped
        ],
        "cohorts": None
        if found.cohorts is None
        else {
            "tier": found.cohorts.tier,
            "known": int(found.cohorts.known_N.sum()),
            "unseen": int(found.cohorts.unseen_N.sum()),
            "without_statement": found.cohorts.n_unlabeled,
        },
        "notes": [*found.notes, *found.tested_on.notes],
    }


def _result(found: Evaluated, score: EvaluatedScores) -> dict[str, Any]:
    return {
        "part": score.part,
        "records": _records(found, score.part, score.evaluation.records),
        "tier": score.tier,
        "n_records": score.n_records,
        "n_patients": score.n_patients,
        "classes": list(score.classes),
        "degenerate": dict(score.degenerate),
        "metrics": {name: _ends(each) for name, each in score.half.items()},
        "metrics_at_chosen_thresholds": {name: _ends(each) for name, each in score.chosen.items()},
        "seed_deviation": finite(score.seed_deviation),
    }


def _difference(found: Evaluated, each: Difference) -> dict[str, Any]:
    evaluations = [score.evaluation for score in found.scores(TEST, found.tier)]
    return {
        "first": evaluations[each.first].model,
        "second": evaluations[each.second].model,
        "metric": each.metric,
        "difference": _ends(each.sampled),
        "p": finite(each.p),
        "p_adjusted": finite(each.p_adjusted),
    }


def _ends(sampled: Sampled) -> list[float | None]:
    found = estimate(sampled)
    return [found.value, found.low, found.high]


def evaluation_view(found: Evaluated) -> RenderableType:
    """The document for a terminal of 80 columns or more."""
    shown = found.scores(TEST, found.tier)
    first = found.evidence[0].evaluation
    parts: list[RenderableType] = [Text(_heading(found), style="bold"), Text(data_words(found.study))]
    if found.is_synthetic:
        parts.append(Text(SYNTHETIC_NOTE, style="bold red"))
    parts += [Text(line) for line in found.notes]
    parts += [
        Text(""),
        *_metric_tables(shown, "half", f"{first.records}, {found.tier}, at a threshold of .5"),
    ]
    with_chosen = [each for each in shown if each.chosen]
    if with_chosen:
        where = with_chosen[0].evaluation.thresholds_from
        heading = f"{first.records}, {found.tier}, at thresholds chosen on {where}"
        parts += [Text(""), *_metric_tables(with_chosen, "chosen", heading)]
    parts.append(Text(_notes(shown), style="dim"))
    if anchors := _published(found):
        parts += [Text(""), *_published_table(anchors)]
    parts += [Text(""), *_tier_table(found)]
    if len(shown) > 1:
        parts += [Text(""), *_difference_table(shown)]
    if first.external:
        parts += [Text(""), *_granularity(found)]
        parts += [Text(line) for line in _external_lines(found)]
    parts += _degenerate_lines(shown)
    parts += [Text(line) for line in _left_out(found)]
    if found.openings:
        parts += _opening_lines(found)
    parts += [Text(line, no_wrap=True, overflow="ignore") for line in _kept_lines(found)]
    return Group(*parts)


def _heading(found: Evaluated) -> str:
    first = found.evidence[0].evaluation
    models = ", ".join(each.evaluation.model for each in found.evidence)
    seeds = (
        f"seed {first.seeds[0]}" if len(first.seeds) == 1 else f"seeds {first.seeds[0]} to {first.seeds[-1]}"
    )
    return f"{models} of study {found.study.name}, trained on folds {first.fit}, {seeds}"


def _tiers(found: Evaluated) -> list[str]:
    """Tiers of any model, the one shown in full first."""
    reached = dict.fromkeys(tier for each in found.evidence for tier in each.tiers)
    return [found.tier, *(tier for tier in reached if tier != found.tier)]


def _parts(found: Evaluated) -> list[str]:
    return [part for part in (VALIDATION, TEST, KNOWN, UNSEEN) if part in found.evidence[0].parts]


def _records(found: Evaluated, part: str, tested_on: str) -> str:
    if part == VALIDATION:
        return found.validation_name
    return tested_on if part == TEST else f"{tested_on}, {PART_WORDS[part]} statements"


def _published(found: Evaluated) -> list[Anchor]:
    """Published results on the tested records and tier; none for the demo and other data."""
    is_target = found.tier == found.study.target and not found.evidence[0].evaluation.external
    return [anchor for anchor in anchors_of(found.study) if is_target]


def _metric_tables(shown: Sequence[EvaluatedScores], at: str, heading: str) -> Iterator[RenderableType]:
    """Metrics down, models across."""
    for start in range(0, len(shown), N_SIDE_BY_SIDE):
        some = shown[start : start + N_SIDE_BY_SIDE]
        table = simple_table(heading=heading, padding=_PADDING)
        table.add_column("", no_wrap=True)
        for each in some:
            table.add_column(each.evaluation.model.replace(" ", "\n", 1), no_wrap=True)
        columns: list[Mapping[str, Sampled]] = [getattr(each, at) for each in some]
        for name, words in METRIC_WORDS.items():
            is_told = any(name in column for column in columns) and not (at == "chosen" and name in RANKED)
            if is_told:
                cells = [_words(column.get(name)) for column in columns]
                table.add_row(words, *cells)
        yield table
        heading = ""


def _published_table(anchors: Sequence[Anchor]) -> Iterator[RenderableType]:
    """Table 2 of Jafari & Jafari, and the other published results, all marked as external."""
    table_2 = [anchor for anchor in anchors if anchor.metrics]
    if table_2:
        table = simple_table(heading="Published, external: not trained or scored here", padding=_PADDING)
        table.add_column("", no_wrap=True)
        for anchor in table_2:
            table.add_column(PUBLISHED_WORDS.get(anchor.name, anchor.name), justify="right", no_wrap=True)
        for name in TABLE_2:
            table.add_row(METRIC_WORDS[name], *(score_words(anchor.metrics[name]) for anchor in table_2))
        yield table
        yield Text(table_2[0].source, style="dim")
    for source in dict.fromkeys(anchor.source for anchor in anchors if not anchor.metrics):
        listed = ", ".join(
            f"{anchor.name} AUROC {score_words(anchor.macro_auroc)}"
            + ("" if anchor.macro_auprc is None else f" AUPRC {score_words(anchor.macro_auprc)}")
            for anchor in anchors
            if anchor.source == source and not anchor.metrics
        )
        yield Text(f"external: {listed} ({source})", style="dim")


def _tier_table(found: Evaluated) -> Iterator[RenderableType]:
    """Every model at every tier; of another data set each cohort as well."""
    first = found.evidence[0].evaluation
    table = simple_table(heading=f"{first.records} at every tier", padding=_PADDING)
    parts = [part for part in _parts(found) if part != VALIDATION]
    has_cohorts = len(parts) > 1
    headings = ["model", "tier", "records" if has_cohorts else "n", "AUPRC"]
    for heading in (*headings, "AUROC", "F1", "acc.", "κ"):
        is_number = heading in {"n", "AUROC", "F1", "acc.", "κ"}
        table.add_column(
            heading,
            justify="right" if is_number else "left",
            no_wrap=heading not in {"model", "tier"},
        )
    for tier in _tiers(found):
        for part in parts:
            for each in found.scores(part, tier):
                if not each.classes and "argmax_accuracy" not in each.half:
                    continue  # no statement of these records is known
                table.add_row(
                    each.evaluation.model,
                    tier,
                    PART_WORDS.get(part, "all") if has_cohorts else f"{each.n_records:,}",
                    _words(each.half.get("macro_auprc"), "\n"),
                    _value_words(each, "macro_auroc"),
                    _f1_words(each),
                    *(_value_words(each, name) for name in ("argmax_accuracy", "quadratic_kappa")),
                )
    yield table
    yield Text(
        "Macro averages; F1 at the chosen thresholds; of a tier of which a record has exactly one class F1, "
        "accuracy and quadratic κ of the most probable one.",
        style="dim",
    )
    if found.validation_name:
        listed = ", ".join(
            f"{each.evaluation.model} {_words(each.half.get('macro_auprc'))}"
            for each in found.scores(VALIDATION, found.tier)
        )
        yield Text(f"{found.validation_name}, {found.tier}, macro-AUPRC: {listed}.", style="dim")


def _value_words(each: EvaluatedScores, name: str) -> str:
    return score_words(float(each.half[name].value)) if name in each.half else ""


def _f1_words(each: EvaluatedScores) -> str:
    """Macro-F1 of the most probable class on exclusive tiers, else at the chosen thresholds."""
    shown = each.half.get("argmax_macro_f1") or each.chosen.get("macro_f1")
    return "" if shown is None else score_words(float(shown.value))


def _difference_table(shown: Sequence[EvaluatedScores]) -> Iterator[RenderableType]:
    is_exclusive = "argmax_accuracy" in shown[0].half
    metrics = ("macro_auprc", "argmax_accuracy") if is_exclusive else ("macro_auprc", "micro_f1")
    differences = paired(shown)
    for metric in metrics:
        # With the metric as a column the rows of presets would be wider than 80 columns.
        table = simple_table(heading=f"Paired differences, {METRIC_WORDS[metric]}", padding=_PADDING)
        for heading in ("model", "less", "difference", "p", "p adj."):
            table.add_column(heading, no_wrap=heading not in {"model", "less"})
        for each in differences:
            if each.metric == metric:
                table.add_row(
                    shown[each.first].evaluation.model,
                    shown[each.second].evaluation.model,
                    _words(each.sampled, signed=True),
                    p_words(each.p),
                    p_words(each.p_adjusted),
                )
        yield table
    yield Text(
        "On the same draws of patients; p adjusted over the pairs of a metric (Benjamini & Hochberg). All "
        "metrics: --json.",
        style="dim",
    )


def _granularity(found: Evaluated) -> Iterator[RenderableType]:
    """The same tier scored for models trained on different ones, inside and outside: what generalises?"""
    by_part = {
        part: {each.evaluation.id: each for each in found.scores(part, found.tier)} for part in _parts(found)
    }
    some = next(iter(by_part[TEST].values()))
    metrics = (
        ("argmax_accuracy", "quadratic_kappa", "argmax_macro_f1")
        if "argmax_accuracy" in some.half
        else ("macro_auprc", "macro_auroc")
    )
    columns = {VALIDATION: "inside", TEST: "outside", KNOWN: "known", UNSEEN: "unseen"}
    shown = [
        part
        for part in columns
        if any(each.classes or "argmax_accuracy" in each.half for each in by_part.get(part, {}).values())
    ]
    ordered = sorted(
        (each.evaluation for each in found.evidence), key=lambda evaluation: evaluation.models[0].label_tier
    )
    for name in metrics:
        words = METRIC_WORDS[name].replace("(argmax)", "of the most probable class")
        table = simple_table(heading=f"Label tiers trained on: {words} on {found.tier}", padding=_PADDING)
        table.add_column("trained on")
        for part in shown:
            table.add_column(columns[part], no_wrap=True)
        for evaluation in ordered:
            trained_on = ", ".join(dict.fromkeys(model.label_tier for model in evaluation.models))
            cells = [by_part[part].get(evaluation.id) for part in shown]
            table.add_row(
                f"{trained_on} ({evaluation.model})",
                *(_words(None if each is None else each.half.get(name), "\n") for each in cells),
            )
        yield table
    yield Text(
        f"Inside is the validation part{_validation_words(found)}, which no weight has seen; where a recipe "
        f"stops early it was watched. Outside are all records of {some.evaluation.records}: known those with "
        "a statement that was trained on, unseen those with none.",
        style="dim",
    )


def _validation_words(found: Evaluated) -> str:
    return f" ({found.validation_name})" if found.validation_name else ""


def _external_lines(found: Evaluated) -> Iterator[str]:
    for each in found.unmapped:
        yield from _unmapped_lines(each)
    if found.cohorts is not None:
        known, unseen = int(found.cohorts.known_N.sum()), int(found.cohorts.unseen_N.sum())
        yield (
            f"By {found.cohorts.tier}, {count_words(known, 'record')} with a statement trained on, "
            f"{unseen:,} with unseen ones only, {found.cohorts.n_unlabeled:,} without any."
        )
        if not any(tier in each.evaluation.exclusive_tiers for each in found.evidence for tier in each.tiers):
            yield "Records with unseen statements only need a tier of severity, which no model here reaches."


def _unmapped_lines(unmapped: Unmapped) -> Iterator[str]:
    if unmapped.here:
        yield f"Only where it was trained ({unmapped.tier}): {_listed(unmapped.here)}"
    if unmapped.there:
        yield f"Only where it was tested ({unmapped.tier}): {_listed(unmapped.there)}"
    if unmapped.n_without:
        yield (
            f"{count_words(unmapped.n_without, 'record')} tested with classes of {unmapped.tier} "
            "have none of those shared."
        )


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return _named([f"{name} ({n:,})" for name, n in ordered])


def _notes(shown: Sequence[EvaluatedScores]) -> str:
    first = shown[0]
    notes = (
        f"95 % intervals by drawing patients ({first.n_patients:,}; {first.n_records:,} records, "
        f"{len(first.classes)} classes with a positive and a negative)."
    )
    spread = [
        f"{each.evaluation.model} ± {score_words(each.seed_deviation)}"
        for each in shown
        if math.isfinite(each.seed_deviation)
    ]
    if spread:
        notes += f" Means over seeds, whose macro-AUPRC spreads by {', '.join(spread)} (SD)."
    return notes


def _degenerate_lines(shown: Sequence[EvaluatedScores]) -> Iterator[Text]:
    """Classes left out of the means, with the reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in shown[0].degenerate.items():
        by_reason.setdefault(reason, []).append(name)
    if by_reason:
        listed = "; ".join(f"{_named(names)} ({reason})" for reason, names in by_reason.items())
        left_out = count_words(len(shown[0].degenerate), "class", "classes")
        yield Text(f"{shown[0].evaluation.records}: {left_out} left out of the means: {listed}.")


def _named(names: Sequence[str]) -> str:
    return first_words(names, N_SHOWN, note=" (--json lists all)")


def _left_out(found: Evaluated) -> Iterator[str]:
    if found.tested_on.skipped:
        yield f"{count_words(len(found.tested_on.skipped), 'record')} could not be read and are left out."
    if found.tested_on.n_unlabeled_dropped:
        dropped = count_words(found.tested_on.n_unlabeled_dropped, "record")
        yield f"{dropped} without a label are left out, as in CV."
    if found.study.settings.get("split") == INTRA_PATIENT:
        yield f"The split is {INTRA_PATIENT}: validation beats are of patients trained on."
    yield from found.tested_on.notes
    if not found.validation_name and not found.evidence[0].evaluation.thresholds_from:
        yield "No thresholds: nothing validates, and no complete trial has this architecture."


def _opening_lines(found: Evaluated) -> Iterator[Text]:
    openings, n_now = found.openings, len(found.evidence)
    this = "this time" if n_now == 1 else f"these {n_now}"
    yield Text(sealed_fold_words(openings, found.study.name, included=f"{this} included"))
    earlier = openings[:-n_now]
    if len(earlier) > N_OPENINGS:
        yield Text(f"  {len(earlier) - N_OPENINGS} earlier ones: --json lists all")
    for each in earlier[-N_OPENINGS:]:
        when = "" if each.at is None else f"{each.at:%Y-%m-%d %H:%M} UTC: "
        yield Text(f"  {when}{opening_words(each, found.study.name)}")
    if earlier:
        yield Text("A model that was chosen by results of an earlier opening must be reported as such.")


def _kept_lines(found: Evaluated) -> Iterator[str]:
    for each in found.evidence:
        evaluation = each.evaluation
        epochs = ", ".join(dict.fromkeys(str(model.epochs_trained) for model in evaluation.models))
        yield f"Evaluation {evaluation.id}: {evaluation.model}, {epochs} epochs trained"
        for path in found.files.get(evaluation.id or 0, ()):
            yield f"  {_near(path)}"


def _near(path: Path) -> Path:
    """The path from here, if it lies below, so that it is short."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _words(sampled: Sampled | None, between: str = " ", *, signed: bool = False) -> str:
    if sampled is None:
        return NOTHING
    found = estimate(sampled)
    return interval_words(found.value, found.low, found.high, signed=signed, between=between)


_PADDING = (0, 1, 0, 0)
"""Less than usual beside the cells: the tables are wide."""
