"""The race in any Optuna study that maximises a score and minimises a cost known beforehand.

Optuna does not prune studies with two objectives. Here curves and the race's account of forfeited chances are
user attributes of the trials, in whatever storage the study has: workers share one race, and a continued
study keeps its account.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from search.pruner.learning_curves import Floats
from search.pruner.race import FinishedTrial, Prior, Race, Rung, rung_epochs, rungs, standing

CURVE, CHANCE, CHANCE_LEFT = "race: curve", "race: chance", "race: chance forgone"
"""User attributes: scores at the rungs, fold by fold; chance to improve the front at the start, and left when
pruned."""
DEFAULT_ALPHA = 0.05


class StudyRace:
    """Race of the trials of a study.

    Args:
        n_epochs: that a trial is trained for, at least 2.
        n_folds: parts of a trial that are trained and scored on their own, such as folds of cross-validation;
            the score of a complete trial is about the mean of their last ones.
        alpha: share of the trials that would improve the front which may be lost.
        n_parallel: folds trained side by side.
        prior: what a sampler expects of parameters, as mean and standard deviation of the score; None where
            it has no opinion.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        *,
        n_epochs: int,
        n_folds: int = 1,
        alpha: float = DEFAULT_ALPHA,
        n_parallel: int = 1,
        prior: Callable[[Mapping[str, Any]], Prior | None] | None = None,
    ) -> None:
        if n_epochs < 2 or n_folds < 1 or not 1 <= n_parallel <= n_folds:
            raise ValueError(
                "a race takes at least 2 epochs and 1 fold, and from 1 to all folds in parallel, got "
                f"{n_epochs}, {n_folds} and {n_parallel}"
            )
        if not 0 < alpha < 1:
            raise ValueError(f"alpha is a share between 0 and 1, got {alpha}")
        self.n_epochs = n_epochs
        self.n_folds = n_folds
        self.alpha = alpha
        self.rungs = rungs(n_folds, n_epochs, n_parallel)
        self.prior = prior

    def begin(self, trial: optuna.Trial, cost: float) -> RacingTrial:
        """A trial at its start.

        Args:
            trial: with all its parameters suggested.
            cost: its second objective, a count from 1 up, such as parameters or bytes.

        Raises:
            ValueError: the cost is less.
        """
        if not cost >= 1:
            raise ValueError(f"the cost of a trial is a count from 1 up, got {cost}")
        return RacingTrial(self, trial, round(cost))

    def finished(self, study: optuna.Study) -> Iterator[FinishedTrial]:
        """The complete and pruned trials of a study that have raced."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            curve_FK = self._curve(trial)
            if curve_FK is None:
                continue
            is_complete = trial.state is TrialState.COMPLETE
            yield FinishedTrial(
                number=trial.number,
                cost=round(trial.values[1]) if is_complete else 0,
                score=trial.values[0] if is_complete else None,
                curve_FK=curve_FK,
                chance=trial.user_attrs.get(CHANCE),
                chance_left=0.0 if is_complete else trial.user_attrs.get(CHANCE_LEFT, 0.0),
            )

    def estimates(self, study: optuna.Study) -> list[tuple[Mapping[str, Any], float, float]]:
        """Extrapolated scores of pruned trials: parameters, final score and its standard error."""
        now = standing(self.finished(study))
        found: list[tuple[Mapping[str, Any], float, float]] = []
        for trial in study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)):
            curve_FK = self._curve(trial)
            evidence = None if curve_FK is None else now.evidence(curve_FK)
            if evidence is not None:
                found.append((trial.params, *evidence))
        return found

    def _curve(self, trial: FrozenTrial) -> Floats | None:
        """The curve of a trial at the rungs; None for one that has not raced, or in another race."""
        kept = trial.user_attrs.get(CURVE)
        shape = (self.n_folds, len(rung_epochs(self.n_epochs)))
        if kept is None:
            return None
        curve_FK: Floats = np.array(kept, dtype=np.float64)
        return curve_FK if curve_FK.shape == shape else None


class RacingTrial:
    """A trial in training; see `StudyRace.begin`."""

    def __init__(self, race: StudyRace, trial: optuna.Trial, cost: int) -> None:
        self._race, self._trial = race, trial
        prior = None if race.prior is None else race.prior(trial.params)
        self._own = Race(alpha=race.alpha, cost=cost, prior=prior)
        self._epochs = rung_epochs(race.n_epochs)
        self._curve_FK = np.full((race.n_folds, len(self._epochs)), np.nan)
        self._rung: Rung | None = None
        self.reason = ""
        """The latest decision in words."""
        started = self._own.start(standing(race.finished(trial.study)))
        if started is not None:
            trial.set_user_attr(CHANCE, started.probability)

    def report(self, score: float, *, epoch: int, fold: int = 1) -> None:
        """Take in the score after an epoch of a fold, both counted from 1."""
        if not (1 <= epoch <= self._race.n_epochs and 1 <= fold <= self._race.n_folds):
            raise ValueError(f"there is no epoch {epoch} of fold {fold}")
        self._rung = None
        if epoch not in self._epochs:
            return
        self._curve_FK[fold - 1, self._epochs.index(epoch)] = score
        values = [[None if math.isnan(each) else each for each in row] for row in self._curve_FK.tolist()]
        self._trial.set_user_attr(CURVE, values)
        seen = {(n + 1, self._epochs[k]) for n, k in np.argwhere(np.isfinite(self._curve_FK)).tolist()}
        self._rung = next((rung for rung in self._race.rungs if rung.seen == seen), None)

    def should_prune(self) -> bool:
        """Whether the trial can no longer matter; asked after every report, and answered at rungs."""
        if self._rung is None:
            return False
        now = standing(self._race.finished(self._trial.study))
        decision = self._own.decide(now, self._rung, self._curve_FK)
        if decision is None:
            return False
        self.reason = decision.reason
        if decision.pruned:
            self._trial.set_user_attr(CHANCE_LEFT, decision.probability)
        return decision.pruned
