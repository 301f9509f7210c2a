"""Variance components of repeated trainings: the part of a score that is due to the seed.

The score of fold f in training s of model m is

    y_mfs = μ_m + φ_mf + τ_ms + ε_mfs

with a fold effect φ (its validation patients, and those it was not trained on), a seed effect τ common to the
folds of a training, and what is left, ε: initial weights and batches of one fold. All but μ are independent,
have mean zero and variances σ²_F, σ²_S and σ²_E, which are the same for all models. They follow from the mean
squares of the two-way layout of each model, summed over models with their degrees of freedom (analysis of
variance; Searle, Casella & McCulloch 1992, "Variance components", section 4.7). With J folds and K_m
trainings of model m

    E[MS_E] = σ²_E        E[MS_S] = σ²_E + J σ²_S        E[MS_F,m] = σ²_E + K_m σ²_F

and an estimate below zero is taken as zero (ibid., section 4.4). The mean over K trainings has, on the same
patients, the variance σ²_S / K + σ²_E / (J K). On other patients σ²_P is added, the variance over draws of
the patients validated, which the bootstrap gives; of the variance of the fold means σ²_F / J, what exceeds
σ²_P comes from training on other patients, and is added as well.

Shapes: S training, F fold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """Variances of the score of a fold."""

    seed: float
    """σ²_S: between trainings, common to their folds."""
    fold: float
    """σ²_F: between folds of a model."""
    residual: float
    """σ²_E: between trainings of one fold, beyond σ²_S."""
    n_folds: int
    """J."""
    n_models: int
    """Models trained more than once."""
    n_repeats: int
    """Trainings beyond the first of each model: degrees of freedom of MS_S."""

    def training(self, n_trainings: int) -> float:
        """Variance of the mean over so many trainings, on the same patients."""
        return self.seed / n_trainings + self.residual / (n_trainings * self.n_folds)

    def total(self, n_trainings: int, patients: float) -> float:
        """Variance of that mean on other patients.

        Args:
            n_trainings: K.
            patients: σ²_P, of the mean over folds, from the bootstrap.
        """
        return self.training(n_trainings) + max(patients, self.fold / self.n_folds)


def variance_components(models: Sequence[ArrayLike]) -> Components | None:
    """The components of some models.

    Args:
        models: scores of every model, of shape (S, F). Folds without a score in any training (nan) are left
            out, as are models trained once.

    Returns:
        None where no model has two trainings of two folds.
    """
    squares_E = squares_S = 0.0
    df_E = df_S = 0
    of_folds, n_folds = [], []
    for each in models:
        score_SF = np.asarray(each, dtype=np.float64)
        score_SF = score_SF[:, np.isfinite(score_SF).all(axis=0)]
        k, j = score_SF.shape
        if k < 2 or j < 2:
            continue
        mean, mean_S1, mean_1F = score_SF.mean(), score_SF.mean(1, keepdims=True), score_SF.mean(0)[None]
        residual = float(((score_SF - mean_S1 - mean_1F + mean) ** 2).sum())
        squares_E, df_E = squares_E + residual, df_E + (k - 1) * (j - 1)
        squares_S, df_S = squares_S + j * float(((mean_S1 - mean) ** 2).sum()), df_S + k - 1
        of_folds.append((k, k * float(((mean_1F - mean) ** 2).sum()) / (j - 1)))
        n_folds.append(j)
    if not n_folds:
        return None
    n = min(n_folds)
    mean_square_E = squares_E / df_E
    return Components(
        seed=max(0.0, (squares_S / df_S - mean_square_E) / n),
        fold=max(0.0, float(np.mean([(square - mean_square_E) / k for k, square in of_folds]))),
        residual=mean_square_E,
        n_folds=n,
        n_models=len(n_folds),
        n_repeats=df_S,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Deviation:
    """A standard deviation with its interval."""

    value: float
    low: float
    high: float
    n_models: int
    """Models that were trained more than once."""
    n_trainings: int
    """Trainings of these models."""


def training_deviation(models: Sequence[Sequence[float]], level: float = 0.95) -> Deviation | None:
    """Standard deviation of the score between two trainings of one model, pooled over models.

    s² = Σ_m Σ_s (y_ms − ȳ_m)² / d with d = Σ_m (K_m − 1) degrees of freedom. The interval is that of the
    variance of normal errors, d s² between quantiles of χ²_d (Snedecor & Cochran 1989, section 5.11).

    Args:
        models: scores of all trainings of every model; models trained once are ignored.
        level: of the interval.

    Returns:
        None where no model was trained twice.
    """
    repeated = [np.asarray(each, dtype=np.float64) for each in models if len(each) > 1]
    degrees = sum(len(each) - 1 for each in repeated)
    if not degrees:
        return None
    from scipy.special import chdtri  # scipy.stats takes most of a second longer to import

    squares = math.fsum(float(((each - each.mean()) ** 2).sum()) for each in repeated)
    tail = (1 - level) / 2
    low, high = (math.sqrt(squares / float(chdtri(degrees, above))) for above in (tail, 1 - tail))
    return Deviation(
        value=math.sqrt(squares / degrees),
        low=low,
        high=high,
        n_models=len(repeated),
        n_trainings=degrees + len(repeated),
    )
