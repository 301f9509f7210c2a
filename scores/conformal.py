"""Sets of labels that hold the truth in a chosen share of records: split conformal prediction.

Vovk et al. 2005; Angelopoulos and Bates 2023, "Conformal prediction: a gentle introduction". On records that
a model has not seen, the nonconformity score of a true label is 1 − its probability. A set holds every
label whose score is at most the ⌈(n + 1)(1 − δ)⌉-th smallest of the n scores. Whatever the model, a new
record of the same population has its true label in its set with a probability of at least 1 − δ.

**Marginal** quantiles guarantee that over all records together: of a rare class, nearly all true labels are
"absent", and all of its patients may be among the δ. **Class-conditional** (Mondrian) quantiles, from the
records with one true label alone (Sadinle et al. 2019), guarantee it for patients with the class and for
patients without it. They need enough of either (`ENOUGH`). Of a tier with exactly one class per record, the
set is one for all classes, so that they are used where every class has enough records, or for none.

The guarantee is on average over calibration sets and new records. It requires exchangeable records: those of
another hospital, or several of one patient, are not. Out-of-fold predictions of cross-validation in place of
a held-out set make it an approximation (Barber et al. 2021 guarantee 1 − 2δ for sets made from all folds).

Shapes: N record, C class, Q confidence.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scores.ranking import Floats, checked, checked_exclusive

ENOUGH: Final = 30
"""Records with one label from which class-conditional quantiles are taken. The coverage that a calibration
set of n records gives is distributed as Beta(n + 1 − l, l), l = ⌊(n + 1) δ⌋ (Vovk 2012); its deviation is .05
for 30 records and δ = .1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A share of records and its interval."""

    value: float
    low: float
    """95 % Clopper–Pearson interval."""
    high: float
    n: int
    """Records."""


def share(hit_N: ArrayLike) -> Share:
    """Share of records for which something holds; nan without a record."""
    hit = np.asarray(hit_N, dtype=np.bool_)
    if not hit.size:
        return Share(value=math.nan, low=0.0, high=1.0, n=0)
    from scipy.special import betaincinv  # scipy.stats takes most of a second longer to import

    n_hits, n = int(np.count_nonzero(hit)), hit.size
    low = float(betaincinv(n_hits, n - n_hits + 1, 0.025)) if n_hits else 0.0
    high = float(betaincinv(n_hits + 1, n - n_hits, 0.975)) if n_hits < n else 1.0
    return Share(value=n_hits / n, low=low, high=high, n=n)


def quantile(score_N: ArrayLike, confidence: ArrayLike) -> Floats:
    """The ⌈(n + 1)(1 − δ)⌉-th smallest of n scores; infinite where there are too few scores for that.

    Args:
        score_N: scores of calibration records.
        confidence: 1 − δ, one or several, each above 0 and below 1.

    Returns:
        In the shape of `confidence`.

    Raises:
        ValueError: a confidence is out of range.
    """
    level = np.asarray(confidence, dtype=np.float64)
    if not ((level > 0) & (level < 1)).all():
        raise ValueError(f"confidence {level} must be above 0 and below 1")
    rising = np.append(np.sort(np.asarray(score_N, dtype=np.float64)), np.inf)
    # .9 · 10 is 9.000000000000002 in some orders of multiplication; a rank is no finer than 1e-9.
    rank = np.ceil(len(rising) * level - 1e-9).astype(np.int64)
    found: Floats = rising[np.minimum(rank, len(rising)) - 1]
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassQuantiles:
    """Quantiles of the scores of each class of a multi-label model, at each of Q confidences."""

    marginal_QC: Floats
    """Quantiles over all records."""
    present_QC: Floats
    """Quantiles over records with the class; nan where these or the others are fewer than `ENOUGH`."""
    absent_QC: Floats
    """Quantiles over records without the class; nan likewise."""
    n_present_C: NDArray[np.int64]
    """Records that have the class."""
    n_absent_C: NDArray[np.int64]

    @property
    def is_conditional_C(self) -> NDArray[np.bool_]:
        """Whether there are enough records of either kind."""
        is_conditional: NDArray[np.bool_] = np.minimum(self.n_present_C, self.n_absent_C) >= ENOUGH
        return is_conditional


def class_quantiles(y_NC: ArrayLike, p_NC: ArrayLike, confidence_Q: ArrayLike) -> ClassQuantiles:
    """Quantiles for the sets {present}, {absent}, both or neither of every class of a multi-label model.

    Args:
        y_NC: targets, boolean or 0/1.
        p_NC: probabilities of records that the model was not trained on.
        confidence_Q: 1 − δ.

    Raises:
        ValueError: see `quantile` and `ranking.checked`.
    """
    y, p = checked(y_NC, p_NC)
    score_NC = np.where(y, 1 - p, p)
    level_Q = np.asarray(confidence_Q, dtype=np.float64)
    n_present_C = y.sum(axis=0)
    marginal_QC = np.stack([quantile(score_N, level_Q) for score_N in score_NC.T], axis=1)
    present_QC, absent_QC = np.full_like(marginal_QC, np.nan), np.full_like(marginal_QC, np.nan)
    for index in np.flatnonzero(np.minimum(n_present_C, len(y) - n_present_C) >= ENOUGH):
        present_QC[:, index] = quantile(score_NC[y[:, index], index], level_Q)
        absent_QC[:, index] = quantile(score_NC[~y[:, index], index], level_Q)
    return ClassQuantiles(
        marginal_QC=marginal_QC,
        present_QC=present_QC,
        absent_QC=absent_QC,
        n_present_C=n_present_C,
        n_absent_C=len(y) - n_present_C,
    )


def class_sets(
    p_NC: ArrayLike, present_C: ArrayLike, absent_C: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the set of each class of a multi-label model holds "present", and whether it holds "absent".

    Both: undecided. Neither: the record fits no label as well as calibration records do.

    Args:
        p_NC: probabilities.
        present_C: quantile of records that have the class, or the marginal one.
        absent_C: quantile of records that do not, or the marginal one.
    """
    p = np.asarray(p_NC, dtype=np.float64)
    return 1 - p <= np.asarray(present_C), p <= np.asarray(absent_C)


def sets_hold(y_NC: ArrayLike, present_NC: ArrayLike, absent_NC: ArrayLike) -> NDArray[np.bool_]:
    """Whether the set of each record and class holds the truth, shape (N, C)."""
    held: NDArray[np.bool_] = np.where(np.asarray(y_NC, dtype=np.bool_), present_NC, absent_NC)
    return held


@dataclass(frozen=True, kw_only=True, slots=True)
class ExclusiveQuantiles:
    """Quantiles of the scores of a tier of which a record has exactly one class, at each of Q confidences."""

    marginal_Q: Floats
    """Quantiles over all records."""
    conditional_QC: Floats
    """Quantiles over the records of each class; nan where these are fewer than `ENOUGH`."""


def exclusive_quantiles(y_NC: ArrayLike, p_NC: ArrayLike, confidence_Q: ArrayLike) -> ExclusiveQuantiles:
    """Quantiles of 1 − the probability of the true class (Sadinle et al. 2019).

    Args:
        y_NC: targets, one class per record.
        p_NC: probabilities of records that the model was not trained on; they sum to 1.
        confidence_Q: 1 − δ.

    Raises:
        ValueError: see `quantile` and `ranking.checked_exclusive`.
    """
    y, p = checked_exclusive(y_NC, p_NC)
    level_Q = np.asarray(confidence_Q, dtype=np.float64)
    score_N, n_C = 1 - p[y], y.sum(axis=0)
    conditional_QC = np.full((len(level_Q), y.shape[1]), np.nan)
    for index in np.flatnonzero(n_C >= ENOUGH):
        conditional_QC[:, index] = quantile(score_N[y[:, index]], level_Q)
    return ExclusiveQuantiles(marginal_Q=quantile(score_N, level_Q), conditional_QC=conditional_QC)


def exclusive_sets(p_NC: ArrayLike, quantile_C: ArrayLike) -> NDArray[np.bool_]:
    """Whether the set of each record holds each class, shape (N, C).

    Args:
        p_NC: probabilities.
        quantile_C: one of each class, or one for all.
    """
    held: NDArray[np.bool_] = 1 - np.asarray(p_NC, dtype=np.float64) <= np.asarray(quantile_C)
    return held
