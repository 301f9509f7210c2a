"""The race: which trials can still matter, decided at rungs of folds and epochs.

A trial matters only if its final score beats the best finished trial that costs no more, its rival on the
staircase. `search.pruner.learning_curves` predicts the final score from the folds and epochs
seen so far.

When is a chance small enough? Every trial starts with some chance to improve the front, and those chances
add up to the number of trials expected to improve it. So do the chances that pruned trials had left: they add
up to the number of trials expected to be lost. The race keeps

    sum of P(improves | seen when pruned)  ≤  alpha × sum of P(improves | nothing seen)

so that at most the share alpha of all that would have improved the front is lost, however often a trial is
looked at: given a fair prediction, its chance is a martingale. Within that budget a trial is pruned once its
chance is below twice alpha times the mean chance at the start. A fixed limit on the chance would not do:
trials that improve the front are rare, and one in twenty of the others is a lot beside them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from reports.numbers import equation_words, score_words
from scores.front import Point, rival
from search.pruner.learning_curves import CurveModel, CurveShape, Floats, Forecast, fit_curves, mean_shape
from search.training.interface import rounds
from storage import DecisionRecord

MAX_RUNGS = 6
"""Epochs of a fold after which the race decides; more decide hardly earlier."""
MIN_COMPLETE = 3
"""Complete trials before anything is predicted."""
POWERS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Powers by which scores are transformed before they are modelled, see `choose_power`."""
PRIOR_WIDENING = 1.5
"""The sampler's standard deviations are multiplied by this: it has learned from the same trials as the curves
do, and from the curves of pruned ones, so that the two are not independent."""
LIMIT_FACTOR = 2.0
"""Pruned trials have about half of the limit left when they are first seen below it."""
_SMALLEST_SCORE = 1e-6
WITHIN_NOISE_SD = 2.0
"""Standard errors by which a pruned trial may miss the front and still be worth thawing."""

Prior = tuple[float, float]
"""Mean and standard deviation of a trial's score before anything of it is seen."""


def rung_epochs(n_epochs: int) -> tuple[int, ...]:
    """Epochs at which the race decides, the last one among them, evenly spaced."""
    n_rungs = min(MAX_RUNGS, n_epochs)
    return tuple(round(n_epochs * rung / n_rungs) for rung in range(1, n_rungs + 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """A point at which the race decides about a trial, and what has been seen by then."""

    folds: range
    """Folds in training."""
    epoch: int
    seen: frozenset[tuple[int, int]]
    """Folds and epochs."""

    @property
    def fold(self) -> int:
        """Last fold of those in training."""
        return self.folds[-1]


def rungs(n_folds: int, n_epochs: int, n_parallel: int) -> tuple[Rung, ...]:
    """The rungs of a trial in order, the end of its last folds excluded.

    Folds that train side by side reach an epoch at slightly different times. A rung is the point where all
    of them have, so that what is decided does not depend on which was faster.
    """
    epochs = rung_epochs(n_epochs)
    found = []
    for group in rounds(n_folds, n_parallel):
        before = {(fold, epoch) for fold in range(1, group[0]) for epoch in epochs}
        for epoch in epochs:
            now = {(fold, each) for fold in group for each in epochs if each <= epoch}
            found.append(Rung(folds=group, epoch=epoch, seen=frozenset(before | now)))
    return tuple(found[:-1])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FinishedTrial:
    """A complete or pruned trial, as the race uses it."""

    number: int
    cost: float
    """Second objective."""
    score: float | None
    """Final score; None if it was pruned."""
    curve_FK: Floats
    """Macro-AUPRC at the rungs, NaN where it was not trained or the fold has no score."""
    chance: float | None
    """Chance at its start, None if not computed."""
    chance_left: float = 0.0
    """Chance it had left when it was pruned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreForecast:
    """Forecast of a trial's final score, on the scale of the objective."""

    predicted: float
    """Median."""
    standard_error: float
    powered: Forecast
    """Forecast of the score raised to `power`."""
    power: float

    def chance_above(self, score: float) -> float:
        """Probability of ending above a score."""
        return self.powered.chance_above(max(score, _SMALLEST_SCORE) ** self.power)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Standing:
    """Finished trials of a study as the basis of decisions on one in training."""

    points: tuple[Point, ...]
    """Complete trials."""
    chances: tuple[float, ...]
    """Chances with which trials have started."""
    chances_left: float
    """Sum of the chances that pruned trials had left."""
    model: CurveModel | None
    """Model of powered scores; None before `MIN_COMPLETE` trials are complete."""
    power: float
    folds: NDArray[np.bool_]
    """Folds of the model: those on which every complete trial has a score."""
    excess: float
    """Mean difference between a trial's powered score and the plain mean of its powered folds."""
    excess_sd: float

    def forecast(self, seen_FK: Floats, prior: Prior | None = None) -> ScoreForecast | None:
        """Forecast of a trial's final score; None without a model."""
        if self.model is None:
            return None
        if prior is not None:
            sd = PRIOR_WIDENING * prior[1] * self._slope(prior[0])
            prior = max(prior[0], _SMALLEST_SCORE) ** self.power - self.excess, sd
        found = self.model.forecast(_raised(seen_FK[self.folds], self.power), prior)
        mean, sd = found.mean + self.excess, math.hypot(found.sd, self.excess_sd)
        predicted = self._lowered(mean)
        return ScoreForecast(
            predicted=predicted,
            standard_error=sd / self._slope(predicted),
            powered=replace(found, mean=mean, sd=sd),
            power=self.power,
        )

    def evidence(self, seen_FK: Floats) -> tuple[float, float] | None:
        """Forecast of the final score from a curve alone: value and standard error, None without one."""
        if self.model is None:
            return None
        found = self.model.evidence(_raised(seen_FK[self.folds], self.power))
        if found is None:
            return None
        value = self._lowered(found[0] + self.excess)
        return value, math.hypot(found[1], self.excess_sd) / self._slope(value)

    def _lowered(self, powered: float) -> float:
        return float(max(powered, _SMALLEST_SCORE**self.power) ** (1 / self.power))

    def _slope(self, score: float) -> float:
        """Derivative of the power; an error is carried over by it."""
        return float(self.power * max(score, _SMALLEST_SCORE) ** (self.power - 1))


def choose_power(scores: Floats) -> float:
    """The power that makes final scores most nearly normal.

    A few architectures fail badly and none is much better than the rest, so scores have a long lower tail.
    The upper tail matters, that is how likely a trial is to be the best; a normal distribution widened by the
    failures would overestimate that probability. The likelihood is that of Box & Cox (1964,
    equation 8), with a log-normal prior around 1 for the first handful of trials.
    """
    y = np.maximum(scores, _SMALLEST_SCORE)
    if len(y) < MIN_COMPLETE or np.ptp(y) == 0:
        return 1.0

    def log_posterior(power: float) -> float:
        jacobian = len(y) * math.log(power) + (power - 1) * float(np.log(y).sum())
        return jacobian - 0.5 * len(y) * math.log(float(np.var(y**power))) - 0.5 * math.log(power) ** 2

    return max(POWERS, key=log_posterior)


def _raised(scores: Floats, power: float) -> Floats:
    """Scores to a power; NaN stays NaN."""
    raised: Floats = np.maximum(scores, _SMALLEST_SCORE) ** power
    return raised


def standing(finished: Iterable[FinishedTrial], learned: Sequence[CurveShape] = ()) -> Standing:
    """Learn from the finished trials, in whatever order they come.

    Args:
        finished: trials of the study.
        learned: shapes of the curves of earlier studies, the prior of those of this one.
    """
    ordered = sorted(finished, key=lambda trial: trial.number)
    points = tuple(
        Point(trial=trial.number, score=trial.score, cost=trial.cost)
        for trial in ordered
        if trial.score is not None
    )
    nothing = Standing(
        points=points,
        chances=tuple(trial.chance for trial in ordered if trial.chance is not None),
        chances_left=math.fsum(trial.chance_left for trial in ordered),
        model=None,
        power=1.0,
        folds=np.zeros(0, np.bool_),
        excess=0.0,
        excess_sd=0.0,
    )
    if len(points) < MIN_COMPLETE:
        return nothing
    curves_NFK = np.stack([trial.curve_FK for trial in ordered])
    is_complete = np.array([trial.score is not None for trial in ordered])
    folds: NDArray[np.bool_] = np.asarray(np.isfinite(curves_NFK[is_complete, :, -1]).all(axis=0))
    if not folds.any():
        return nothing
    scores = np.array([point.score for point in points])
    power = choose_power(scores)
    curves_NFK = _raised(curves_NFK[:, folds], power)
    excesses = _raised(scores, power) - curves_NFK[is_complete][:, :, -1].mean(axis=1)
    return replace(
        nothing,
        model=fit_curves(
            curves_NFK[np.isfinite(curves_NFK).any(axis=(1, 2))], mean_shape(learned, curves_NFK.shape[2])
        ),
        power=power,
        folds=folds,
        excess=float(excesses.mean()),
        excess_sd=float(excesses.std(ddof=1)),
    )


class Race:
    """Race of one trial against the front.

    Args:
        alpha: share of the trials that would improve the front which may be lost.
        cost: of the trial.
        prior: its score as the sampler expects it, None without such a sampler.
        chance: chance at its start, if known from an earlier attempt.
    """

    def __init__(
        self, *, alpha: float, cost: float, prior: Prior | None = None, chance: float | None = None
    ) -> None:
        self._alpha = alpha
        self._cost = cost
        self._prior = prior
        self._chance = chance

    def start(self, now: Standing) -> DecisionRecord | None:
        """The chance of the trial before anything of it is seen.

        Returns:
            A record at fold 0 and epoch 0; None if it was made before, or there is no forecast yet: no
            complete trial is as cheap, or too few are complete.
        """
        if self._chance is not None:
            return None
        unseen_FK = np.full((len(now.folds), 1 if now.model is None else now.model.mean_FK.shape[1]), np.nan)
        record = self._judge(now, unseen_FK, fold=0, epoch=0)
        if record is not None:
            self._chance = record.probability
        return record

    def decide(self, now: Standing, rung: Rung, seen_FK: Floats) -> DecisionRecord | None:
        """Whether the trial goes on after a rung.

        Args:
            now: the finished trials.
            rung: where the trial is.
            seen_FK: its macro-AUPRC at the rungs, NaN where it has not come.

        Returns:
            None if it has no rival or nothing can be predicted yet.
        """
        return self._judge(now, seen_FK, fold=rung.fold, epoch=rung.epoch)

    def _judge(self, now: Standing, seen_FK: Floats, *, fold: int, epoch: int) -> DecisionRecord | None:
        held_by = rival(now.points, self._cost)
        forecast = now.forecast(seen_FK, self._prior)
        if held_by is None or forecast is None:
            return None
        chance = forecast.chance_above(held_by.score)
        granted = [*now.chances, chance if self._chance is None else self._chance]
        budget = self._alpha * math.fsum(granted) - now.chances_left
        limit = min(LIMIT_FACTOR * self._alpha * fmean(granted), budget)
        pruned = fold > 0 and chance < limit
        verdict = (
            f"{'pruned' if pruned else 'goes on'} after fold {fold}, epoch {epoch}" if fold else "starts"
        )
        return DecisionRecord(
            fold=fold,
            epoch=epoch,
            rival=held_by.trial,
            needed=held_by.score,
            predicted=forecast.predicted,
            standard_error=forecast.standard_error,
            pruned=pruned,
            probability=chance,
            reason=(
                f"{verdict}: needs {score_words(held_by.score)}, "
                f"predicted {score_words(forecast.predicted)} ± {score_words(forecast.standard_error)}, "
                f"{equation_words('P', chance)}, rival trial {held_by.trial}"
            ),
        )


def is_beyond(now: Standing, cost: float, seen_FK: Floats, *, n_sd: float) -> bool:
    """Whether a pruned trial is predicted to miss its rival by at least so many standard errors."""
    outlook = _outlook(now, cost, seen_FK)
    return outlook is not None and _misses(*outlook, n_sd)


def chance_within_noise(now: Standing, cost: float, seen_FK: Floats) -> float | None:
    """Chance of a pruned trial to improve the front after all.

    None if even `WITHIN_NOISE_SD` standard errors more than predicted would not do.
    """
    outlook = _outlook(now, cost, seen_FK)
    if outlook is None or _misses(*outlook, WITHIN_NOISE_SD):
        return None
    forecast, needed = outlook
    return forecast.chance_above(needed)


def _outlook(now: Standing, cost: float, seen_FK: Floats) -> tuple[ScoreForecast, float] | None:
    """Forecast of a pruned trial and the score of its rival; None without either."""
    held_by, forecast = rival(now.points, cost), now.forecast(seen_FK)
    return None if held_by is None or forecast is None else (forecast, held_by.score)


def _misses(forecast: ScoreForecast, needed: float, n_sd: float) -> bool:
    """Whether even so many standard errors more than predicted would not do."""
    return forecast.predicted + n_sd * forecast.standard_error <= needed
