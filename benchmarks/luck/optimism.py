"""How much too high the score of the best of many models is, before and after correction.

    python benchmarks/luck/optimism.py [--draws 200] [--models 200] [--patients 200]

Patients are drawn from a simulated population with the prevalences of PTB-XL's superclasses; every model has
a quality of its own and errors that it partly shares with the others. The best of them by cross-validated
macro-AUPRC is chosen, and its score compared with its truth: the score of the same model on 40,000 patients.
`plain` is the cross-validated score, `corrected` that of `scores.optimism`.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scores.bootstrap import Resampling, centred_interval
from scores.metrics import cross_validated_auprc
from scores.optimism import Choice
from scores.ranking import average_precision

PREVALENCE_C = np.array([0.44, 0.25, 0.24, 0.22, 0.12])
N_FOLDS = 5
N_TRUTH = 40_000
SHARED = 0.8
"""Share of the variance of a model's errors that all models have in common."""


@dataclass(frozen=True, slots=True)
class Result:
    """One draw: the estimate and whether its interval holds the truth."""

    bias: float
    held: bool
    width: float


def positives(n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(N, C) targets."""
    return rng.random((n, len(PREVALENCE_C))) < PREVALENCE_C


def truth(distance_C: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Macro-AUPRC of a model on many patients."""
    y = positives(N_TRUTH, rng)
    return float(np.mean(average_precision(y, rng.normal(size=y.shape) + distance_C * y)))


def one_draw(n_models: int, n_patients: int, spread: float, n_resamples: int, seed: int) -> dict[str, Result]:
    """Choose the best of the models on one draw of patients."""
    rng = np.random.default_rng(seed)
    distance_MC = np.linspace(1.4, 2.0, len(PREVALENCE_C)) + rng.normal(0, spread, (n_models, 1))
    targets = [positives(n_patients, rng) for _ in range(N_FOLDS)]
    shared = [rng.normal(size=y.shape) for y in targets]
    models = [
        [
            (y, np.sqrt(SHARED) * s + np.sqrt(1 - SHARED) * rng.normal(size=y.shape) + distance_C * y)
            for y, s in zip(targets, shared, strict=True)
        ]
        for distance_C in distance_MC
    ]
    best = int(np.argmax([cross_validated_auprc(folds).value for folds in models]))
    true = truth(distance_MC[best], rng)
    plain = centred_interval(*Resampling(targets, rng=rng, n_resamples=n_resamples).macro(models[best]))
    expected = Choice(models, rng=rng).expect(range(n_models), plain.samples)
    return {
        name: Result(each.value - true, each.low <= true <= each.high, each.high - each.low)
        for name, each in (("plain", plain), ("corrected", expected.interval))
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--patients", type=int, default=200, help="per fold (default: 200)")
    parser.add_argument("--resamples", type=int, default=400, help="of the intervals")
    chosen = parser.parse_args()
    for spread in (0.0, 0.05, 0.15):
        draws = [
            one_draw(chosen.models, chosen.patients, spread, chosen.resamples, seed)
            for seed in range(chosen.draws)
        ]
        print(f"qualities differ by {spread:.2f} SD; {chosen.draws} draws, best of {chosen.models}")
        for name in ("plain", "corrected"):
            bias = np.array([each[name].bias for each in draws])
            held = np.mean([each[name].held for each in draws])
            width = np.mean([each[name].width for each in draws])
            error = bias.std(ddof=1) / np.sqrt(len(bias))
            print(f"  {name:9s} bias {bias.mean():+.4f} ± {error:.4f}", end=", ")
            print(f"95 % interval holds {held:.3f} (width {width:.4f})")


if __name__ == "__main__":
    main()
