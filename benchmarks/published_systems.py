r"""What the published systems score on records at hand: a table of a study's presets, with intervals.

    python -m search run --data DIR --target superclass --epochs 8 --pruner none \
        --study presets --presets cnn,cnn-lstm,...
    python benchmarks/published_systems.py --study presets

Reads the study and its predictions; trains nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import space
from benchmarks.helpers.options import add_out
from benchmarks.helpers.results import PACKAGES, Section, dict_table, write_section
from reports.errors import ReportError
from reports.numbers import count_words
from reports.words import data_words
from scores.bootstrap import Interval, macro_interval
from storage import DEFAULT_URL, StorageError, Store, StudyRecord, TrialRecord, load_predictions, open_store

N_RESAMPLES = 2_000
EXCLUSIVE_COLUMNS = {
    "accuracy": "argmax_accuracy",
    "macro F1": "argmax_macro_f1",
    "macro F1, classes of ≥ 10": "argmax_macro_f1_min10",
}
"""Metrics of the most probable class, over the out-of-fold predictions of all folds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the section of RESULTS.md; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--storage", default=DEFAULT_URL, help=f"database (default: {DEFAULT_URL})")
    parser.add_argument("--study", required=True, help="study of the presets")
    add_out(parser)
    chosen = parser.parse_args(arguments)
    try:
        store = open_store(chosen.storage)
        study = store.study(chosen.study)
        rows = [_row(store, study, trial) for trial in _presets(store, study)]
        if not rows:
            raise ReportError(f"study {study.name} has no finished preset: run it with --presets NAME,...")
    except (StorageError, ReportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    body = dict_table(rows)
    print(body)
    write_section(_section(chosen, study, body, len(rows)), chosen.out)
    return 0


def _presets(store: Store, study: StudyRecord) -> list[TrialRecord]:
    """Finished presets, in the order of the list of presets."""
    places = {name: place for place, name in enumerate(space.PRESETS)}
    found = [trial for trial in store.trials(study.name) if trial.preset and trial.state == "complete"]
    return sorted(found, key=lambda trial: places.get(str(trial.preset), len(places)))


def _row(store: Store, study: StudyRecord, trial: TrialRecord) -> dict[str, str]:
    """Cells by their heading; more where a record has exactly one class."""
    interval = _interval(store, study, trial)
    name = str(trial.preset)
    metrics = store.summary(trial.id)[study.target].metrics
    row = {
        "system": f"`{name}`",
        "source": space.PRESETS[name].source if name in space.PRESETS else "",
        "parameters": f"{trial.parameters:,}",
        "macro-AUPRC [95 %]": f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]",
        "macro-AUROC": f"{metrics['macro_auroc']:.3f}",
    }
    for heading, metric in EXCLUSIVE_COLUMNS.items():
        if metric in metrics:
            row[heading] = f"{metrics[metric]:.3f}"
    return row


def _interval(store: Store, study: StudyRecord, trial: TrialRecord) -> Interval:
    """Bootstrap over patients of the cross-validated macro-AUPRC on the target."""
    folds, patients = [], []
    for fold in store.folds(trial.id):
        predictions = load_predictions(store, fold.predictions)
        found = predictions.on(study.target)
        if found is None:
            raise ReportError(f"predictions of trial {trial.number} are of tier {predictions.tier} only")
        folds.append((found.targets_NC, found.probabilities_NC))
        # Early versions kept no patients: each record is then drawn on its own.
        patients.append(predictions.ecg_id if predictions.patient_id is None else predictions.patient_id)
    return macro_interval(folds, rng=np.random.default_rng(0), patients=patients, n_resamples=N_RESAMPLES)


def _section(chosen: argparse.Namespace, study: StudyRecord, body: str, n_systems: int) -> Section:
    settings = study.settings
    synthetic = " (SYNTHETIC)" if study.synthetic else ""
    return Section(
        name=f"published_systems {study.name}",
        title=f"Published systems on {study.data_name}, tier {study.target}{synthetic}",
        command=f"python benchmarks/published_systems.py --study {chosen.study}",
        n=(
            f"{count_words(n_systems, 'system')} trained once on {data_words(study)}, 5 folds of "
            f"{settings['epochs']} epochs, seed {settings['seed']}; intervals: {N_RESAMPLES:,} draws of "
            "patients, so the noise of training is not in them"
        ),
        body=body,
        packages=(*PACKAGES, "torch"),
    )


if __name__ == "__main__":
    sys.exit(main())
