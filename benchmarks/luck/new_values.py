"""Gain by the new values of `wide` and by a teacher, paired over seeds of the training.

    python benchmarks/luck/new_values.py --data DIR [--at-most PARAMETERS] [--seeds N] [--hours H]

In every contest, some architectures of the former `wide` (dropout .5 before the output, mean pooling, no
sampling, as every architecture had) and the same shapes with new values of the present one are trained once
with seed 0; the best of each side by that score is trained again with seeds 1, 2, …, and only these score it:
the best of several with seed 0 is partly the luckiest. Both sides get as many fold-epochs. The best with new
values of the first contest also learns from a teacher, the average of all its candidates trained with seed 0,
with the usual weight and temperature, and is compared with the same architecture without a teacher. The
teacher of a fold is the average of the models of that fold, which have seen its training part alone.

Every training is kept under `--keep`, the section of RESULTS.md is written after each pair, and the same
command continues; contests come in the order of their cost. Each limit of the parameters has a section of its
own, and `--at-most` measures one of them alone. Two intervals are given: t over seeds, which
covers other trainings on these patients, and a bootstrap over patients of the mean over seeds, which covers
other patients.

Shapes: N record, C class.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from search.training.environment import set_environment

set_environment()

import numpy as np
import torch
from numpy.typing import NDArray

import space
from benchmarks.helpers.intervals import t_interval
from benchmarks.helpers.options import add_out, positive
from benchmarks.helpers.results import Section, dict_table, write_section
from scores.bootstrap import DIFFERENCE, Interval, Resampling, centred_interval
from search.data.dataset import Development, load_development
from search.data.folds import cv_folds
from search.defaults import CACHE_FOLDER
from search.errors import SearchError
from search.models.costs import count_parameters
from search.study.data import locate_data
from search.training.model_file import load_model
from search.training.settings import TrainingSettings
from search.training.soft_targets import SoftTargets
from search.training.trainer import CrossValidation
from space import Architecture, RecurrentLayer
from storage import Predictions

TIER = "superclass"
BATCH_SIZE = 32
N_RESAMPLES = 2_000
TEACHER = "candidates"
"""Name of the teacher, the average of the candidates of a contest."""


def _candidate(**values: Any) -> Architecture:
    return Architecture(**{"width": 0.25, "label_tier": TIER, **values})


_GRU = (RecurrentLayer(cell="gru"),)
_PLAIN: dict[str, Any] = {"head_width": 256}
_GATED: dict[str, Any] = {"head_width": 256, "gate": 4, "label_smoothing": 0.1}
_GRU_SMALL: dict[str, Any] = {"head_width": 256, "recurrent": _GRU, "hidden_size": 32}
_RECORDED: dict[str, Any] = {"recurrent": _GRU, "hidden_size": 64, "gate": 4, "label_smoothing": 0.1}
"""The best of 48 architectures of the former `wide` in `tables/ptb-xl-sample-superclass.json`."""
_WITHOUT_GRU: dict[str, Any] = {"gate": 4, "label_smoothing": 0.1}
_GRU_LARGE: dict[str, Any] = {**_RECORDED, "hidden_size": 128}
_TWO_GRU: dict[str, Any] = {**_RECORDED, "recurrent": 2 * _GRU}
_LESS: dict[str, Any] = {"dropout": 0.25}
_LEAST: dict[str, Any] = {"dropout": 0.1, "pooling": "attention"}
_SAMPLED: dict[str, Any] = {"dropout": 0.25, "sampling": "square-root"}
_EFFICIENT: dict[str, Any] = {"dropout": 0.25, "backbone": "separable", "width": 0.5}


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """Shapes that the former and the present `wide` have in common, with values of both."""

    words: str
    most: int
    """Limit of the parameters."""
    shapes: tuple[dict[str, Any], ...]
    new: tuple[dict[str, Any], ...]
    """New values for each shape."""
    with_teacher: bool = False
    """Whether the best with new values learns from a teacher, too."""

    @property
    def former(self) -> tuple[Architecture, ...]:
        """Candidates with the fixed values."""
        return tuple(_candidate(**shape) for shape in self.shapes)

    @property
    def present(self) -> tuple[Architecture, ...]:
        """Candidates with new values."""
        return tuple(_candidate(**{**shape, **new}) for shape, new in zip(self.shapes, self.new, strict=True))


CONTESTS = (
    Contest(
        words="≤ 100,000 parameters, no recurrent layer",
        most=100_000,
        shapes=(_PLAIN, _GATED),
        new=(_LESS, _LEAST),
        with_teacher=True,
    ),
    Contest(
        words="≤ 100,000 parameters, one recurrent layer", most=100_000, shapes=(_GRU_SMALL,), new=(_SAMPLED,)
    ),
    Contest(
        words="≤ 600,000 parameters",
        most=600_000,
        shapes=(_RECORDED, _WITHOUT_GRU, _GRU_LARGE, _TWO_GRU),
        new=(_LESS, _LEAST, _SAMPLED, _EFFICIENT),
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trained:
    """One cross-validated training."""

    score: float
    """Macro-AUPRC on the tier."""
    seconds: float
    p_NC: tuple[NDArray[np.float32], ...]
    """Out-of-fold probabilities by fold."""
    soft_NC: tuple[NDArray[np.float32], ...]
    """Probabilities of the training part by fold; empty unless the training was for a choice."""


@dataclass(kw_only=True, slots=True, eq=False)
class Trainings:
    """Trainings on one data set, each made once and kept in a file.

    Args:
        data: records.
        epochs: of every fold.
        keep: folder.
        end_s: monotonic clock after which none begins; None for no limit.
    """

    data: Development
    epochs: int
    keep: Path
    end_s: float | None
    teacher: SoftTargets | None = None
    taught_by: list[str] = field(default_factory=list)
    """Digests of the members of the teacher."""

    def get(self, architecture: Architecture, seed: int) -> Trained:
        """A training, from its file or made now.

        Raises:
            TimeoutError: it would have to be made, and time is over.
        """
        path = self.keep / f"{self._key(architecture, seed)}.npz"
        if not path.exists():
            if self.end_s is not None and time.monotonic() >= self.end_s:
                raise TimeoutError
            found = self._train(architecture, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            arrays = {f"p{i}": p for i, p in enumerate(found.p_NC)}
            arrays |= {f"s{i}": s for i, s in enumerate(found.soft_NC)}
            part = path.with_suffix(".part.npz")
            np.savez_compressed(part, score=found.score, seconds=found.seconds, **arrays)  # type: ignore[arg-type]
            part.replace(path)
            print(
                f"seed {seed}: {found.score:.4f} in {found.seconds:.0f} s, {architecture.describe()}",
                flush=True,
            )
        with np.load(path, allow_pickle=False) as kept:
            return Trained(
                score=float(kept["score"]),
                seconds=float(kept["seconds"]),
                p_NC=tuple(kept[name] for name in sorted(kept.files) if name[0] == "p"),
                soft_NC=tuple(
                    kept[name] for name in sorted(kept.files) if name[0] == "s" and name[1:].isdecimal()
                ),
            )

    def _key(self, architecture: Architecture, seed: int) -> str:
        is_taught = architecture.teacher != space.NO_MODEL
        told = [self.data.fingerprint, self._settings(seed).to_dict(), architecture.to_dict()]
        text = json.dumps([*told, self.taught_by if is_taught else []], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _settings(self, seed: int) -> TrainingSettings:
        return TrainingSettings(epochs=self.epochs, batch_size=BATCH_SIZE, seed=seed)

    def _train(self, architecture: Architecture, seed: int) -> Trained:
        began_s = time.perf_counter()
        trainer = CrossValidation(
            self.data,
            TIER,
            self._settings(seed),
            device=torch.device("cpu"),
            n_threads=1,
            cache_dir=CACHE_FOLDER,
            teachers={} if self.teacher is None else {TEACHER: self.teacher},
        )
        predictions: dict[int, Predictions] = {}
        soft = []
        for fold in cv_folds(self.data.strat_fold, self.data.fold_plan):
            run = trainer.start(architecture, fold.number)
            group = trainer.group([run])
            for _ in range(self.epochs):
                (ended,) = group.run_epoch()
                if isinstance(ended, Exception):
                    raise ended
            outcome = run.outcome()
            predictions[fold.number] = outcome.predictions
            if seed == 0:
                soft.append(load_model(outcome.model).predict(np.asarray(self.data.x_NLT[fold.train]), None))
        scores = trainer.summarise(TIER, predictions)
        return Trained(
            score=scores[TIER].metrics["macro_auprc"],
            seconds=time.perf_counter() - began_s,
            p_NC=tuple(predictions[number].probabilities_NC for number in sorted(predictions)),
            soft_NC=tuple(soft),
        )

    def teach(self, members: Sequence[Architecture]) -> None:
        """Take the average of some architectures, trained with seed 0, as the teacher from here on."""
        trained = [self.get(each, 0) for each in members]
        folds = cv_folds(self.data.strat_fold, self.data.fold_plan)
        self.taught_by = [each.digest for each in members]
        self.teacher = SoftTargets(
            name=TEACHER,
            ecg_id={fold.number: self.data.ecg_id[fold.train] for fold in folds},
            probabilities={
                fold.number: {TIER: np.stack([each.soft_NC[place] for each in trained]).mean(axis=0)}
                for place, fold in enumerate(folds)
            },
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparison:
    """Two architectures by their trainings with the same seeds."""

    words: str
    first: Architecture
    second: Architecture
    pairs: tuple[tuple[Trained, Trained], ...]

    @property
    def gains(self) -> tuple[float, ...]:
        """Second less first, seed by seed."""
        return tuple(second.score - first.score for first, second in self.pairs)


def over_patients(data: Development, comparison: Comparison) -> Interval:
    """Bootstrap over patients of the mean gain over seeds."""
    folds = cv_folds(data.strat_fold, data.fold_plan)
    targets = [data.y[TIER][fold.validation] for fold in folds]
    draws = Resampling(
        targets,
        rng=np.random.default_rng(0),
        patients=[data.patient_id[fold.validation] for fold in folds],
        n_resamples=N_RESAMPLES,
    )
    found = []
    for first, second in comparison.pairs:
        (a, a_R), (b, b_R) = (
            draws.macro(list(zip(targets, each.p_NC, strict=True))) for each in (first, second)
        )
        found.append((b - a, b_R - a_R))
    return centred_interval(
        float(np.mean([value for value, _ in found])),
        np.mean([sample_R for _, sample_R in found], axis=0),
        bounds=DIFFERENCE,
    )


def verdict(low: float, high: float) -> str:
    """Position of an interval of a gain, in words."""
    if not math.isfinite(low + high):
        return "one pair, no interval"
    return "contains 0" if low <= 0 <= high else "above 0" if low > 0 else "below 0"


def measure(
    contests: Sequence[Contest],
    trainings: Trainings,
    n_seeds: int,
    write: Callable[[Sequence[Comparison], Mapping[str, str]], None],
) -> None:
    """Choose with seed 0, score with others, and write after every pair.

    Raises:
        TimeoutError: time is over.
    """
    done: dict[str, Comparison] = {}
    chosen: dict[str, str] = {}

    def best(words: str, among: Sequence[Architecture]) -> Architecture:
        found = [trainings.get(each, 0) for each in among]
        order = np.argsort([-each.score for each in found], kind="stable")
        chosen[words] = "; ".join(
            f"{among[index].describe().removesuffix(f', trained on {TIER}')} {found[index].score:.3f}"
            for index in order
        )
        return among[int(order[0])]

    for contest in contests:
        former = best(f"{contest.words}: fixed values", contest.former)
        present = best(f"{contest.words}: new values", contest.present)
        write(list(done.values()), chosen)
        compared = {f"new values, {contest.words}": (former, present)}
        if contest.with_teacher:
            trainings.teach([*contest.former, *contest.present])
            compared[f"a teacher, {contest.words}"] = (present, replace(present, teacher=TEACHER))
        for words, (first, second) in compared.items():
            for seed in range(1, n_seeds + 1):
                pair = (trainings.get(first, seed), trainings.get(second, seed))
                before = done[words].pairs if words in done else ()
                done[words] = Comparison(words=words, first=first, second=second, pairs=(*before, pair))
                write(list(done.values()), chosen)


def body(data: Development, comparisons: Sequence[Comparison], chosen: Mapping[str, str]) -> str:
    """Tables of the gains and of the choices, as Markdown."""
    rows = []
    for each in comparisons:
        mean, low, high = t_interval(each.gains)
        patients = over_patients(data, each)
        n_outputs = data.y[TIER].shape[1]
        rows.append(
            {
                "gain by": each.words,
                "parameters": " → ".join(
                    f"{count_parameters(one, n_outputs):,}" for one in (each.first, each.second)
                ),
                "macro-AUPRC": " → ".join(
                    f"{np.mean([pair[side].score for pair in each.pairs]):.4f}" for side in (0, 1)
                ),
                "gain [95 %, t over seeds]": f"{mean:+.4f}"
                + (f" [{low:+.4f}, {high:+.4f}]" if math.isfinite(low) else ""),
                "that interval": verdict(low, high),
                "[95 % over patients]": f"[{patients.low:+.4f}, {patients.high:+.4f}]",
                "n seeds": str(len(each.pairs)),
            }
        )
    pairs = [
        {
            "gain by": each.words,
            "from": each.first.describe(),
            "to": each.second.describe(),
            "seed by seed": ", ".join(f"{gain:+.4f}" for gain in each.gains),
        }
        for each in comparisons
    ]
    choices = [
        {"side": words, "candidates with seed 0, best first": found} for words, found in chosen.items()
    ]
    tables = [dict_table(each) for each in (rows, pairs, choices) if each]
    return (
        "The interval over seeds covers other trainings on these patients, that over patients other patients "
        "with these trainings; a gain is sure where both lie above 0. The best of each side was chosen by a "
        "training that does not score it.\n\n" + "\n\n".join(tables)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the section of RESULTS.md; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", metavar="DIR|demo", help="data set (default: as for run)")
    limits = sorted({contest.most for contest in CONTESTS})
    parser.add_argument(
        "--at-most",
        type=int,
        choices=limits,
        metavar="PARAMETERS",
        help="contests of one limit (default: all)",
    )
    parser.add_argument("--seeds", type=positive, default=5, metavar="N", help="that score (default: 5)")
    parser.add_argument("--epochs", type=positive, default=8, help="of every fold (default: 8)")
    parser.add_argument("--hours", type=float, help="begin no training after so many")
    parser.add_argument(
        "--keep", type=Path, default=Path("runs/new-values"), metavar="DIR", help="trainings that are done"
    )
    add_out(parser)
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    try:
        data = load_development(locate_data(options.data).path, cache_dir=CACHE_FOLDER)
        data.hierarchy.check_tier(TIER)
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    trainings = Trainings(
        data=data,
        epochs=options.epochs,
        keep=options.keep,
        end_s=None if options.hours is None else time.monotonic() + 3600 * options.hours,
    )

    def write(most: int, comparisons: Sequence[Comparison], chosen: Mapping[str, str]) -> None:
        synthetic = " (SYNTHETIC)" if data.synthetic else ""
        n_patients = len(np.unique(data.patient_id))
        section = Section(
            name=f"new_values {data.name} {most}",
            title=f"New values of `wide` at ≤ {most:,} parameters on {data.name}, tier {TIER}{synthetic}",
            command=f"python benchmarks/luck/new_values.py --data DIR --at-most {most} "
            f"--seeds {options.seeds} --epochs {options.epochs}",
            n=f"{' and '.join(str(len(each.pairs)) for each in comparisons) or 'none'} of {options.seeds} "
            f"seeds beside seed 0, which chose; {len(data):,} {data.unit}s of {n_patients:,} patients at "
            f"{data.rate_hz} Hz, 5 folds of {options.epochs} epochs, batches of {BATCH_SIZE}; "
            f"{N_RESAMPLES:,} draws of patients",
            body=body(data, comparisons, chosen),
        )
        write_section(section, options.out)

    try:
        for most in limits if options.at_most is None else (options.at_most,):
            measure(
                [contest for contest in CONTESTS if contest.most == most],
                trainings,
                options.seeds,
                functools.partial(write, most),
            )
    except TimeoutError:
        print("Time is over: the same command continues.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
