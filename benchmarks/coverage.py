"""Coverage of the bootstrap intervals of a report.

    python benchmarks/coverage.py [--draws 400] [--resamples 300]

Patients, of whom a sixth have two records, are drawn from a simulated population with the prevalences of
PTB-XL's subclasses; scores are normal with a class-wise distance between positives and negatives, so that the
macro-AUPRC is near .45 as in Jafari & Jafari. The truth is the mean score over draws of that size, for a
single model, and the mean difference for two models of correlated scores. A 95 % interval should hold it
in 95 of 100 draws.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scores.bootstrap import Interval, Resampling, centred_interval
from scores.metrics import cross_validated_auprc

COUNTS = (9514, 3271, 3078, 2239, 2132, 1797, 1272, 1118, 941, 823, 787, 767)
RARE_COUNTS = (541, 536, 426, 397, 201, 126, 99, 79, 77, 29, 17)
PREVALENCE_C = np.array([*COUNTS, *RARE_COUNTS]) / 21_799
N_FOLDS = 5
Draw = tuple[list[NDArray[np.bool_]], list[NDArray[np.int64]], list[list[NDArray[np.float64]]]]


def draw(n_patients: int, rng: np.random.Generator) -> Draw:
    """Targets and patients of every fold, and the scores of two models."""
    targets, patients, scores = [], [], []
    for _ in range(N_FOLDS):
        patient_N = np.repeat(np.arange(n_patients), 1 + (rng.random(n_patients) < 1 / 6))
        shape = (len(patient_N), len(PREVALENCE_C))
        y_NC = (rng.random((n_patients, shape[1])) < PREVALENCE_C)[patient_N]
        of_patient_NC = rng.normal(size=(n_patients, shape[1]))[patient_N]
        shared_NC = np.sqrt(0.5) * of_patient_NC + np.sqrt(0.5) * rng.normal(size=shape)
        distance_C = np.linspace(1.6, 2.2, shape[1])
        models = [
            np.sqrt(0.8) * shared_NC + np.sqrt(0.2) * rng.normal(size=shape) + (distance_C + extra) * y_NC
            for extra in (0.0, 0.05)
        ]
        targets.append(y_NC)
        patients.append(patient_N)
        scores.append(models)
    return targets, patients, scores


def uncentred(value: float, sample_R: NDArray[np.float64]) -> Interval:
    """Plain percentiles, for comparison."""
    low, high = np.nanquantile(sample_R, [0.025, 0.975])
    return Interval(value=value, low=float(low), high=float(high), level=0.95, samples=sample_R)


METHODS: dict[str, tuple[bool, bool, Callable[[float, NDArray[np.float64]], Interval]]] = {
    "patients weighted, centred (used)": (True, True, centred_interval),
    "patients drawn, centred": (True, False, centred_interval),
    "patients drawn, percentiles": (True, False, uncentred),
    "records weighted, centred": (False, True, centred_interval),
}
"""Name to: whether patients are drawn, whether they are weighted, how samples become an interval."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--patients", type=int, default=800, help="per fold (default: 800)")
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    single, difference = [], []
    for _ in range(4 * chosen.draws):
        targets, _, scores = draw(chosen.patients, rng)
        first, second = (
            cross_validated_auprc([(y, models[m]) for y, models in zip(targets, scores, strict=True)]).value
            for m in (0, 1)
        )
        single.append(first)
        difference.append(second - first)
    truth = (float(np.mean(single)), float(np.mean(difference)))
    print(f"truth: macro-AUPRC {truth[0]:.4f} (SD {np.std(single):.4f}), difference {truth[1]:.4f}", end="")
    print(
        f" (SD {np.std(difference):.4f}); {N_FOLDS} folds of {chosen.patients} patients, {chosen.draws} draws"
    )
    held: dict[str, list[tuple[bool, bool, float, float]]] = {name: [] for name in METHODS}
    for _ in range(chosen.draws):
        targets, patients, scores = draw(chosen.patients, rng)
        for name, (by_patient, smooth, interval_of) in METHODS.items():
            resampling = Resampling(
                targets,
                rng=rng,
                patients=patients if by_patient else None,
                n_resamples=chosen.resamples,
                smooth=smooth,
            )
            results = [
                resampling.macro([(y, models[m]) for y, models in zip(targets, scores, strict=True)])
                for m in (0, 1)
            ]
            one = interval_of(*results[0])
            two = interval_of(results[1][0] - results[0][0], results[1][1] - results[0][1])
            held[name].append(
                (
                    one.low <= truth[0] <= one.high,
                    two.low <= truth[1] <= two.high,
                    one.high - one.low,
                    two.high - two.low,
                )
            )
    for name, rows in held.items():
        one_held, two_held, width, difference_width = np.mean(np.array(rows, dtype=float), axis=0)
        print(f"{name:38s} score {one_held:.3f} (width {width:.4f})", end="   ")
        print(f"difference {two_held:.3f} (width {difference_width:.4f})")


if __name__ == "__main__":
    main()
