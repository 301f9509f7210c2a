r"""Luck of a front of single trainings: its scores against those of the same members with other seeds.

    python -m search run --data DIR --study luck --target superclass --pruner none --presets none --trials 16
    python -m search confirm --data DIR --study luck --seeds 3
    python benchmarks/luck/confirmed.py --study luck

Reads the study; trains nothing. The front is that of the first trainings, by which its members were chosen:
their scores with other seeds, which chose nothing, are lower by what was luck of the seed (regression to the
mean). Patients and folds are the same, so that the luck of the patients is in both. A member that another one
overtook before its turn was not trained again, and is counted apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.helpers.intervals import t_interval
from benchmarks.helpers.options import add_out
from benchmarks.helpers.results import PACKAGES, Section, dict_table, tell_and_write
from reports.errors import ReportError
from reports.numbers import count_words
from reports.words import data_words
from scores.front import front_trials
from storage import DEFAULT_URL, StorageError, StudyRecord, TrialRecord, open_store


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A member of the front of the first trainings."""

    trial: TrialRecord
    first: float
    """Score that chose it."""
    others: tuple[float, ...]
    """Scores with other seeds; at least one."""

    @property
    def fall(self) -> float:
        """First score less the mean of the others."""
        return self.first - float(np.mean(self.others))


def members_of(trials: Sequence[TrialRecord]) -> tuple[list[Member], int]:
    """Members of the front of the first trainings that were trained again, and the number of the others.

    Raises:
        ReportError: none was.
    """
    first = [
        replace(trial, score=trial.scores[0]) if trial.repeats and trial.scores else trial for trial in trials
    ]
    front = front_trials(first)
    found = [
        Member(trial=trial, first=trial.score or 0.0, others=_others(trial))
        for trial in front
        if _others(trial)
    ]
    if not found:
        raise ReportError("no member of the front has been trained again: run search confirm first")
    return found, len(front) - len(found)


def _others(trial: TrialRecord) -> tuple[float, ...]:
    return tuple(each.score for each in trial.repeats if each.score is not None)


def body(study: StudyRecord, trials: Sequence[TrialRecord]) -> str:
    """Tables as Markdown."""
    members, n_others = members_of(trials)
    confirmed = {trial.number for trial in front_trials(trials)}
    rows = [
        {
            "trial": str(each.trial.number),
            "parameters": f"{each.trial.parameters:,}",
            "score that chose it": f"{each.first:.4f}",
            "mean with other seeds": f"{np.mean(each.others):.4f}",
            "lower by": f"{each.fall:+.4f}",
            "further trainings": str(len(each.others)),
            "on the confirmed front": "yes" if each.trial.number in confirmed else "no",
        }
        for each in members
    ]
    mean, low, high = t_interval([each.fall for each in members])
    contains = "contains 0" if low <= 0 <= high else "does not contain 0"
    left = [each for each in members if each.trial.number not in confirmed]
    joined = len(confirmed - {each.trial.number for each in members})
    overtaken = f" {count_words(n_others, 'further member')} had no turn." if n_others else ""
    return (
        f"Members of the unconfirmed front score {mean:.4f} [{low:.4f}, {high:.4f}] less with other seeds "
        f"(Student's t over {count_words(len(members), 'member')}; the interval {contains}). "
        f"Of {count_words(len(members), 'member')} {len(left)} left the front, "
        f"{count_words(joined, 'other')} joined.{overtaken}\n\n"
        f"{dict_table(rows)}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the section of RESULTS.md; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--storage", default=DEFAULT_URL, help=f"database (default: {DEFAULT_URL})")
    parser.add_argument("--study", required=True, help="study that was confirmed")
    add_out(parser)
    chosen = parser.parse_args(arguments)
    try:
        with open_store(chosen.storage, create=False) as store:
            study = store.study(chosen.study)
            trials = store.trials(study.name)
        found = body(study, trials)
    except (StorageError, ReportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    settings = study.settings
    synthetic = " (SYNTHETIC)" if study.synthetic else ""
    n_complete = sum(trial.state == "complete" for trial in trials)
    tell_and_write(
        Section(
            name=f"confirmed {study.name}",
            title=f"Confirmed and unconfirmed front on {study.data_name}, tier {study.target}{synthetic}",
            command=f"python benchmarks/luck/confirmed.py --study {chosen.study}",
            n=f"{n_complete} complete trials on {data_words(study)}, 5 folds of {settings['epochs']} epochs, "
            f"seed {settings['seed']}; the front trained again with other seeds",
            body=found,
            packages=(*PACKAGES, "torch"),
        ),
        chosen.out,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
