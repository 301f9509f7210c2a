"""Expected gain of the next trial in hypervolume, and an upper quantile of the gain.

Neither the score of the best remaining candidate nor which candidate it is can be known. Joint draws of the
posterior give the distribution of its gain: in each draw, the largest gain of any candidate. Stopping a
search once a high quantile of that distribution is a small share of the present hypervolume bounds the loss
in probability (Wilson, "Stopping Bayesian optimization with probabilistic regret bounds", NeurIPS 2024), here
for the improvement of a front in place of a single score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.sampler.gaussian_process import Floats, Posterior
from search.sampler.improvement import Staircase, expected_improvement, improvement

N_LISTED = 128
"""Remaining candidates of the largest expected improvement among which the best one is looked for."""
N_DRAWS = 256
QUANTILE = 0.9
"""Share of the draws in which the best remaining candidate adds no more than `Gain.at_most`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """Gain expected of the best remaining candidate, as shares of the present hypervolume."""

    expected: float
    """Largest expected improvement."""
    at_most: float
    """Upper bound with probability `QUANTILE`."""


def remaining_gain(
    posterior: Posterior, x_MD: Floats, log_cost_M: Floats, steps: Staircase, generator: np.random.Generator
) -> Gain | None:
    """Expected gain of the best of some candidates.

    Args:
        posterior: of the scores.
        x_MD: encoded candidates.
        log_cost_M: log10 of their costs.
        steps: the present front.
        generator: draws.

    Returns:
        None if there is no candidate, or no hypervolume to compare with.
    """
    present = steps.hypervolume
    if not len(x_MD) or not present > 0:
        return None
    expected_M = expected_improvement(*posterior.predict(x_MD), log_cost_M, steps)
    gain_SM = improvement(posterior.draws(x_MD, N_DRAWS, generator), log_cost_M, steps)
    return Gain(
        expected=float(expected_M.max()) / present,
        at_most=float(np.quantile(gain_SM.max(axis=1), QUANTILE)) / present,
    )
