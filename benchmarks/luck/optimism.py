"""Optimism of the score of the best of many models, before and after correction.

    python benchmarks/luck/optimism.py [--draws 120] [--models 200] [--patients 200] [--out FILE]

Patients are drawn from a simulated population with the prevalences of PTB-XL's superclasses; every model has
a quality of its own and errors that it partly shares with the others. The best of them by cross-validated
macro-AUPRC is chosen, and its score compared with its truth: the mean score of the same model over draws of
as many patients, since average precision depends on how many positives there are. `plain` is the
cross-validated score, `corrected` that of `scores.optimism`, among as many of the best models as a report
looks at, `α = 1` the same as bootstrap bias corrected cross-validation has it, and `four folds` that of the
model chosen on four folds and scored on the fifth.

Some draws of patients are easier for all models. The error of the mean over all models has mean
zero and is taken off every bias (a control variate), which makes their standard errors several times smaller;
coverage is of the intervals as they are.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.helpers.options import add_out, positive
from benchmarks.helpers.results import Section, markdown_table, tell_and_write, took_words
from reports.evidence import N_CONTENDERS
from scores.bootstrap import Folds, Resampling, centred_interval
from scores.metrics import cross_validated_auprc
from scores.optimism import Choice

PREVALENCE_C = np.array([0.44, 0.25, 0.24, 0.22, 0.12])
DISTANCE_C = np.linspace(1.4, 2.0, len(PREVALENCE_C))
"""Distance between the scores of positives and negatives, in standard deviations."""
SPREADS = (0.0, 0.05, 0.15)
"""Standard deviation of that distance between models."""
N_FOLDS = 5
N_TRUTH = 600
"""Draws of patients over which the truth is a mean; its standard error is that of a score by 24."""
SHARED = 0.8
"""Share of the variance of a model's errors that all models have in common."""
N_OF_INTERVALS = 400
"""Resamples of an interval."""
BIAS_GOAL = 0.002
COVERAGE_GOAL = (0.93, 0.97)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Result:
    """One draw: error of the estimate, the same without the ease of the draw, and its interval."""

    error: float
    own_error: float
    held: bool
    width: float


def positives(n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(N, C) targets."""
    return rng.random((n, len(PREVALENCE_C))) < PREVALENCE_C


def truths(n_patients: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Distances beyond `DISTANCE_C`, and the mean cross-validated score of a model with each of them."""
    beyond_K = np.linspace(-4, 4, 9) * max(SPREADS)
    total_K = np.zeros(len(beyond_K))
    for _ in range(N_TRUTH):
        targets = [positives(n_patients, rng) for _ in range(N_FOLDS)]
        errors = [rng.normal(size=y.shape) for y in targets]
        total_K += [
            cross_validated_auprc(
                [(y, e + (DISTANCE_C + beyond) * y) for y, e in zip(targets, errors, strict=True)]
            ).value
            for beyond in beyond_K
        ]
    return beyond_K, total_K / N_TRUTH


def one_draw(
    beyond_M: Floats, true_M: Floats, n_patients: int, n_resamples: int, rng: np.random.Generator
) -> dict[str, Result]:
    """Choose the best of the models on one draw of patients."""
    targets = [positives(n_patients, rng) for _ in range(N_FOLDS)]
    shared = [rng.normal(size=y.shape) for y in targets]
    models: list[Folds] = [
        [
            (
                y,
                np.sqrt(SHARED) * s
                + np.sqrt(1 - SHARED) * rng.normal(size=y.shape)
                + (DISTANCE_C + beyond) * y,
            )
            for y, s in zip(targets, shared, strict=True)
        ]
        for beyond in beyond_M
    ]
    plain_M = np.array([cross_validated_auprc(folds).value for folds in models])
    contenders = np.argsort(-plain_M, kind="stable")[:N_CONTENDERS]
    best, ease = int(contenders[0]), float((plain_M - true_M).mean())
    plain = centred_interval(*Resampling(targets, rng=rng, n_resamples=N_OF_INTERVALS).macro(models[best]))
    choice = Choice([[models[index]] for index in contenders], rng=rng, n_resamples=n_resamples)
    expected = choice.expect(range(len(contenders)), plain.samples)
    as_published = choice.expect(range(len(contenders)), plain.samples, alpha=1.0)
    four_folds = centred_interval(expected.on_other_folds, plain.samples)
    return {
        name: Result(
            each.value - true_M[best],
            each.value - true_M[best] - ease,
            bool(each.low <= true_M[best] <= each.high),
            each.high - each.low,
        )
        for name, each in (
            ("plain", plain),
            ("corrected", expected.interval),
            ("α = 1", as_published.interval),
            ("four folds", four_folds),
        )
    }


def body(measured: dict[float, list[dict[str, Result]]]) -> str:
    """Results as Markdown."""
    rows = []
    for spread, draws in measured.items():
        for name in draws[0]:
            own = np.array([each[name].own_error for each in draws])
            n_held = sum(each[name].held for each in draws)
            coverage = binomtest(n_held, len(draws)).proportion_ci(method="wilson")
            rows.append(
                [
                    f"qualities differ by {spread:.2f} SD: {name}",
                    f"{own.mean():+.4f} ± {own.std(ddof=1) / np.sqrt(len(own)):.4f}",
                    f"{n_held / len(draws):.3f} [{coverage.low:.3f}, {coverage.high:.3f}]",
                    f"{np.mean([each[name].width for each in draws]):.4f}",
                    f"{np.std([each[name].error for each in draws], ddof=1):.4f}",
                ]
            )
    together = [each for draws in measured.values() for each in draws]
    for name in together[0]:
        n_held = sum(each[name].held for each in together)
        coverage = binomtest(n_held, len(together)).proportion_ci(method="wilson")
        own = np.array([each[name].own_error for each in together])
        rows.append(
            [
                f"all: {name}",
                f"{own.mean():+.4f} ± {own.std(ddof=1) / np.sqrt(len(own)):.4f}",
                f"{n_held / len(together):.3f} [{coverage.low:.3f}, {coverage.high:.3f}]",
                f"{np.mean([each[name].width for each in together]):.4f}",
                f"{np.std([each[name].error for each in together], ddof=1):.4f}",
            ]
        )
    low, high = COVERAGE_GOAL
    note = (
        f"Asked for of `corrected`: bias of at most {BIAS_GOAL}, coverage of {low:.0%} to {high:.0%}. Bias "
        "with its standard error, without the ease of the draw for all models; coverage of the 95 % interval "
        "with Wilson's."
    )
    header = ["", "bias", "95 % interval holds", "its width", "SD of the error"]
    return f"{note}\n\n{markdown_table(header, rows)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write the section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=positive, default=120, help="for each spread (default: 120)")
    parser.add_argument("--models", type=positive, default=200)
    parser.add_argument("--patients", type=positive, default=200, help="per fold (default: 200)")
    parser.add_argument("--resamples", type=positive, default=60, help="in which a best is chosen")
    add_out(parser)
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(given)
    began_s = time.monotonic()
    grid_K, score_K = truths(chosen.patients, np.random.default_rng(0))
    measured: dict[float, list[dict[str, Result]]] = {}
    for place, spread in enumerate(SPREADS):
        measured[spread] = []
        for seed in range(chosen.draws):
            rng = np.random.default_rng([1, place, seed])
            beyond_M = rng.normal(0, spread, chosen.models)
            true_M = np.interp(beyond_M, grid_K, score_K)
            measured[spread].append(one_draw(beyond_M, true_M, chosen.patients, chosen.resamples, rng))
    section = Section(
        name="optimism",
        title="Optimism of the best of many",
        command=shlex.join(["python", "benchmarks/luck/optimism.py", *given]),
        n=f"{chosen.draws} draws of {N_FOLDS} folds of {chosen.patients} patients for each of {len(SPREADS)} "
        f"spreads, best of {chosen.models} models; {took_words(began_s)}",
        body=body(measured),
    )
    tell_and_write(section, chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
