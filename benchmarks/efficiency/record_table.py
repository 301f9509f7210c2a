"""Turn a study into a small table that can be replayed.

    python benchmarks/efficiency/record_table.py --storage sqlite:///runs/search.db --study NAME \\
        --out benchmarks/tables/NAME.json

Train the study with `--pruner none`: only trials with all folds and epochs are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# The benchmarks run from a clone without installing anything of ours.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sqlalchemy import select
from sqlalchemy.orm import Session

from search.data.demo.tables import STATEMENTS_FILE
from search.data.labels.tiers import Hierarchy
from search.data.readers.statements import read_statements
from storage import EpochRecord, StorageError, Store, StudyRecord, TrialRecord, load_predictions, open_store
from storage.connection.engine import make_engine, parse_url
from storage.rows.schema import Study, Worker

DECIMALS = 5
"""Of macro-AUPRC."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table; returns the exit status."""
    parser = argparse.ArgumentParser(description="Turn a study into a small table that can be replayed.")
    parser.add_argument("--storage", required=True, metavar="URL", help="database of the study")
    parser.add_argument("--study", required=True, metavar="NAME")
    parser.add_argument("--artifacts", type=Path, metavar="FOLDER", help="default: beside the database")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        store = open_store(options.storage, create=False, artifacts=options.artifacts)
        table = make_table(store, options.storage, options.study)
        store.close()
    except (StorageError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(as_text(table), encoding="utf-8")
    print(f"{len(table['trials'])} trials, {options.out.stat().st_size / 1000:.0f} kB: {options.out}")
    return 0


def make_table(store: Store, url: str, name: str) -> dict[str, Any]:
    """The table of a study.

    Args:
        store: the database.
        url: its URL, for the workers, of which a store only tells the running ones.
        name: of the study.

    Raises:
        ValueError: no trial of the study has all folds and epochs.
    """
    study, curves = store.study(name), store.curves(name)
    trials = [trial for trial in store.trials(name) if trial.state == "complete"]
    shapes = {trial.id: _shape(curves.get(trial.id, [])) for trial in trials}
    largest = max(shapes.values(), default=(0, 0))
    rows = [
        _row(trial, curves[trial.id], largest)
        for trial in trials
        if shapes[trial.id] == largest and _is_whole(curves[trial.id], largest)
    ]
    if not rows:
        raise ValueError(f"study {name} has no trial with all folds and epochs")
    tiers = Hierarchy(read_statements(STATEMENTS_FILE.parent)).training_tiers(study.target)
    first = next(trial for trial in trials if trial.number == rows[0]["number"])
    return {
        "study": {
            "name": study.name,
            "space": study.space,
            "target": study.target,
            "n_outputs": {
                tier: len(study.tier_classes[tier]) for tier in tiers if tier in study.tier_classes
            },
            "n_folds": largest[0],
            "n_epochs": largest[1],
            "settings": dict(study.settings),
        },
        "data": {**_data(study), "ecg_ids": as_ranges(_records(store, first))},
        "workers": _workers(url, name),
        "trials": rows,
    }


def as_text(table: Mapping[str, Any]) -> str:
    """JSON with one trial in a line, so that differences can be read."""
    head = {key: value for key, value in table.items() if key != "trials"}
    parts = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    rows = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in table["trials"])
    return "{\n" + ",\n".join(parts) + ',\n"trials": [\n' + rows + "\n]\n}\n"


def as_ranges(numbers: Iterable[int]) -> list[list[int]]:
    """First and last of every run of consecutive numbers."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


def without_paths(command: str) -> str:
    """A command whose paths are reduced to their last component: where things lay is nobody's business."""
    words = []
    for word in command.split(" "):
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        words.append(option + equals + value.rstrip("/").rpartition("/")[2])
    return " ".join(words)


def _row(trial: TrialRecord, curve: Sequence[EpochRecord], shape: tuple[int, int]) -> dict[str, Any]:
    n_folds, n_epochs = shape
    curves_FE = [[math.nan] * n_epochs for _ in range(n_folds)]
    for point in curve:
        curves_FE[point.fold - 1][point.epoch - 1] = round(point.macro_auprc, DECIMALS)
    assert trial.macro_auprc is not None
    return {
        "number": trial.number,
        "architecture": dict(trial.architecture),
        "description": trial.description,
        "parameters": trial.parameters,
        "macro_auprc": round(trial.macro_auprc, DECIMALS),
        "fold_scores": [round(score, DECIMALS) for _, score in sorted(trial.fold_scores.items())],
        "curves": curves_FE,
        "seconds": round(trial.seconds, 1),
    }


def _shape(curve: Sequence[EpochRecord]) -> tuple[int, int]:
    """Folds and epochs of a curve, as far as it goes."""
    return max((point.fold for point in curve), default=0), max((point.epoch for point in curve), default=0)


def _is_whole(curve: Sequence[EpochRecord], shape: tuple[int, int]) -> bool:
    """Whether every fold has every epoch with a score."""
    return len(curve) == shape[0] * shape[1] and all(math.isfinite(point.macro_auprc) for point in curve)


def _data(study: StudyRecord) -> dict[str, Any]:
    return {
        "name": study.data_name,
        "version": study.data_version,
        "synthetic": study.synthetic,
        "fingerprint": study.data_fingerprint,
        "rate_hz": study.rate_hz,
        "n_records": study.n_records,
        "n_patients": study.n_patients,
        "skipped_records": [dict(skipped) for skipped in study.skipped_records],
    }


def _records(store: Store, trial: TrialRecord) -> list[int]:
    """Records that a trial was scored on, in whichever fold."""
    found: list[int] = []
    for fold in store.folds(trial.id):
        found += load_predictions(store, fold.predictions).ecg_id.tolist()
    return found


def _workers(url: str, study: str) -> list[dict[str, Any]]:
    """Where and with what the trials were trained, each different worker once."""
    query = select(Worker).join(Study, Study.id == Worker.study_id).where(Study.name == study)
    found: list[dict[str, Any]] = []
    with Session(make_engine(parse_url(url))) as session:
        for row in session.scalars(query.order_by(Worker.id)):
            worker = {
                "command": without_paths(row.command),
                "device": row.device,
                "versions": dict(row.versions),
                "commit": row.commit,
            }
            if worker not in found:
                found.append(worker)
    return found


if __name__ == "__main__":
    sys.exit(main())
