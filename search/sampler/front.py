"""The default sampler: the untried candidate of which the front can expect most.

`FrontSampler` is a sampler for any Optuna study of two objectives of which the first, to be maximised, is
uncertain and the second, to be minimised, is a known positive function of the parameters, such as the size
of a model. It needs a finite list of candidates (`search.sampler.candidates`) and nothing else of this
program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from reports.numbers import duration_words, hypervolume_words, score_words
from search.sampler.candidates import Candidates, Floats, Indices, Params
from search.sampler.duration import DurationModel, fit_duration
from search.sampler.gain import N_LISTED, Gain, remaining_gain
from search.sampler.gaussian_process import MAX_OF_SOURCES, Posterior, Source, Surrogate
from search.sampler.history import Estimate, History, most_informative, read_history
from search.sampler.improvement import Staircase, expected_improvement, staircase
from search.sampler.shortlist import climb, draw_pool, list_candidates, pool_size, spread_over_costs

N_STARTUP = 8
"""Trials spread over the costs before the first proposal of the model."""
N_STARTUP_WITH_SOURCES = 2
"""The same number with related earlier studies: the cheapest candidate, and one of middle cost."""
MAX_TO_CONDITION = 2_000
"""Observations that the model is conditioned on; a proposal takes time with the cube of their number."""
_COST_MARGIN = 0.05
"""The reference lies this share of the range of log cost beyond the costliest candidate."""


class NoCandidateLeftError(RuntimeError):
    """Every candidate has been tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A candidate and why it was chosen."""

    params: Params
    reason: str
    """Reason in words: "expected improvement .0031, predicted .412 ± .012"."""
    improvement: float | None = None
    """Expected hypervolume improvement in score × log10 cost; None for a startup trial."""
    mean: float | None = None
    """Predicted score."""
    sd: float | None = None
    """Standard deviation of the prediction, training noise left out."""
    gain: Gain | None = None
    """Gain expected of the best remaining candidate; None while there is no front."""


Levels = Callable[[Indices], Indices]
"""Level of every candidate; it competes with candidates of its level and of lower ones."""


def one_level(indices: Indices) -> Indices:
    """The same level for all candidates, which therefore make one front."""
    return np.zeros_like(indices)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judge:
    """Weighs candidates against the present front of their level."""

    candidates: Candidates
    posterior: Posterior
    steps: Callable[[int], Staircase]
    """The front of the candidates of a level and of lower ones."""
    levels: Levels
    durations: DurationModel | None

    def improvement(self, indices: Indices) -> tuple[Floats, Floats, Floats]:
        """Expected improvement, mean and standard deviation of every candidate."""
        mean, sd = self.posterior.predict(self.candidates.encode(indices))
        cost, expected = self.candidates.log_cost(indices), np.empty_like(mean)
        for level, here in _by_level(self.levels(indices)):
            expected[here] = expected_improvement(mean[here], sd[here], cost[here], self.steps(level))
        return expected, mean, sd

    def value(self, indices: Indices) -> Floats:
        """Expected improvement, per second where seconds can be expected."""
        expected, _, _ = self.improvement(indices)
        return expected if self.durations is None else expected / self.seconds(indices)

    def seconds(self, indices: Indices) -> Floats:
        """Expected duration of every candidate."""
        assert self.durations is not None
        return self.durations.seconds(self.candidates.encode(indices))


class FrontSampler(BaseSampler):
    """Sampler of the untried candidate with the largest expected hypervolume improvement.

    A Gaussian process predicts the score of every candidate. The front is the staircase of its means at
    the finished trials rather than of their noisy scores, so that a lucky trial does not shadow its
    neighbours. Trials of other workers that still run count as if they had scored what is predicted for
    them, which keeps workers apart. The first `n_startup` trials are spread over the costs instead.

    Up to 20,000 candidates are all compared, as long as candidates × observations stays below 2.5 million.
    Of more, each proposal compares a seeded draw of that many, the neighbours of the front, and, climbing,
    the neighbours of the best: improvement is smooth enough for the climb to find what the draw only came
    near to. Of more than a million, the startup trials are chosen from a draw too. The same history gives
    the same proposal, in whatever order the trials finished.

    Hypervolume is in score × log10 cost: halving the cost is worth the same everywhere.

    Args:
        candidates: what can be proposed, with features and known cost.
        distributions: of every parameter, as the objective suggests it.
        seed: of the startup trials and of the draws.
        taken: names of further candidates that must not be proposed. If given, it alone decides about
            failed trials; else they count as tried.
        estimates: predicted final scores of trials that were stopped early.
        cost_aware: divide the improvement by the expected seconds once ten trials have been timed.
        seconds: parameters and duration of timed trials; by default, what Optuna has of complete ones.
        reference_score: scores below add nothing to the hypervolume; by default, the lowest predicted for
            a finished trial.
        n_startup: trials before the first proposal of the model; by default 8, or 2 with sources.
        levels: where there is a front for each level, such as a number of leads; by default one front.
        sources: results of earlier studies, encoded as `candidates` does; their correlation with this study
            is learned.
    """

    def __init__(
        self,
        candidates: Candidates,
        distributions: Mapping[str, BaseDistribution],
        *,
        seed: int = 0,
        taken: Callable[[], Collection[str]] | None = None,
        estimates: Callable[[], Iterable[Estimate]] | None = None,
        cost_aware: bool = False,
        seconds: Callable[[], Iterable[tuple[Params, float]]] | None = None,
        reference_score: float | None = None,
        n_startup: int | None = None,
        levels: Levels = one_level,
        sources: Sequence[Source] = (),
    ) -> None:
        self._candidates = candidates
        self._distributions = dict(distributions)
        self._seed = seed
        self._taken = taken
        self._estimates = estimates
        self._cost_aware = cost_aware
        self._seconds = seconds
        self._reference_score = reference_score
        self._levels = levels
        if n_startup is None:
            n_startup = N_STARTUP_WITH_SOURCES if sources else N_STARTUP
        self._n_startup = n_startup
        self._independent = RandomSampler(seed=seed)
        n_each = MAX_OF_SOURCES // max(1, len(sources))
        kept = [
            each.some(most_informative(each.score_N, each.log_cost_N, n_each, seed=seed)) for each in sources
        ]
        self._n_of_sources = sum(len(each.score_N) for each in kept)
        self._surrogate = Surrogate(candidates.n_features, seed=seed, sources=kept)
        self._posterior: Posterior | None = None
        self._n_observed = 0
        self._last: Proposal | None = None
        roster = list_candidates(candidates, seed)
        costs = candidates.log_cost(roster)
        self._by_cost = roster[np.argsort(costs, kind="stable")]
        low, high = float(costs.min()), float(costs.max())
        self._reference_cost = high + _COST_MARGIN * (high - low if high > low else 1.0)

    @property
    def last_proposal(self) -> Proposal | None:
        """The latest proposal of this sampler."""
        return self._last

    @property
    def noise_sd(self) -> float | None:
        """Standard deviation between trainings of one candidate, as far as known."""
        return None if self._posterior is None else self._posterior.noise_sd

    @property
    def correlations(self) -> tuple[float, ...]:
        """Correlation of every source with this study, as of the last proposal or `refresh`."""
        return self._surrogate.correlations

    def posterior(self, params: Params) -> tuple[float, float] | None:
        """Mean and standard deviation of a candidate's noise-free score.

        As of the last proposal or `refresh`; None before any trial has finished, even with earlier studies,
        which do not determine the level of these scores. Running trials are not in it, so it can serve as the
        prior of one of them.

        Raises:
            KeyError: no candidate has these parameters.
        """
        if self._posterior is None or not self._n_observed:
            return None
        index = np.array([self._candidates.index(params)], dtype=np.int64)
        mean, sd = self._posterior.predict(self._candidates.encode(index))
        return float(mean[0]), float(sd[0])

    def refresh(self, study: optuna.Study) -> None:
        """Take in what has finished since the last proposal, as for a trial from the queue."""
        self._condition(self._read(study, None))

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every parameter: a candidate is proposed whole."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of an untried candidate.

        Raises:
            NoCandidateLeftError: there is none.
            ValueError: the study does not maximise its first objective and minimise its second.
        """
        self._last = self.propose(study, trial.number)
        return dict(self._last.params)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter that candidates do not have: drawn at random."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Another seed, so that copies of a sampler in several threads draw other pools."""
        self._seed = int(np.random.default_rng().integers(2**31))
        self._independent.reseed_rng()

    def propose(self, study: optuna.Study, number: int | None = None) -> Proposal:
        """The next candidate to try, `number` being the trial that is to have it.

        Raises:
            NoCandidateLeftError: there is none.
            ValueError: the study does not maximise its first objective and minimise its second.
        """
        if study.directions != [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]:
            raise ValueError("FrontSampler needs a study that maximises a score and minimises a cost")
        history = self._read(study, number)
        posterior = self._condition(history)
        taken: Collection[str] = frozenset() if self._taken is None else self._taken()
        generator = np.random.default_rng([self._seed, len(history.tried)])
        if posterior is None or len(history.tried) < self._n_startup:
            order = spread_over_costs(self._candidates, self._by_cost, history.tried, generator)
            chosen = self._first_free(order, history, taken, generator)
            return Proposal(params=self._candidates[chosen], reason="one of the first, spread over all sizes")
        judge = self._judge(history, posterior)
        ranked, value = self._ranked(history, judge, generator)
        chosen = self._first_free(ranked, history, taken, generator)
        improvement = value if judge.durations is None else value * judge.seconds(ranked)
        best = ranked[np.argsort(-improvement, kind="stable")[:N_LISTED]]
        free = [each for each in best.tolist() if not taken or self._candidates.name(each) not in taken]
        return self._explain(chosen, judge, self._gain(history, posterior, free, generator))

    def _read(self, study: optuna.Study, own_number: int | None) -> History:
        return read_history(
            study,
            self._candidates,
            own_number=own_number,
            failed_count=self._taken is None,
            estimates=() if self._estimates is None else self._estimates(),
            timings=None if self._seconds is None else self._seconds(),
        )

    def _condition(self, history: History) -> Posterior | None:
        self._posterior, self._n_observed = None, len(history.observed)
        if self._n_observed or self._n_of_sources:
            costs = self._candidates.log_cost(history.observed)
            n_most = MAX_TO_CONDITION - self._n_of_sources
            informative = most_informative(history.score, costs, n_most, seed=self._seed)
            x_ND = self._candidates.encode(history.observed[informative])
            self._posterior = self._surrogate.posterior(
                x_ND, history.score[informative], history.extra_sd[informative]
            )
        return self._posterior

    def _judge(self, history: History, posterior: Posterior) -> _Judge:
        fantasied = posterior.with_fantasies(self._candidates.encode(history.pending))
        steps = self._steps(posterior, np.union1d(history.finished, history.pending))
        durations = None
        if self._cost_aware:
            durations = fit_duration(self._candidates.encode(history.timed), history.seconds.tolist())
        return _Judge(
            candidates=self._candidates,
            posterior=fantasied,
            steps=steps,
            levels=self._levels,
            durations=durations,
        )

    def _steps(self, posterior: Posterior, held: Indices) -> Callable[[int], Staircase]:
        """The front of some candidates by their predicted scores, for each level."""
        reference = self._reference_score
        if reference is None:
            # Of few trials all may be good; what earlier studies tried is among these observations.
            reference = posterior.lowest()
        score, cost = posterior.mean(self._candidates.encode(held)), self._candidates.log_cost(held)
        levels = self._levels(held)

        @functools.cache
        def of_level(level: int) -> Staircase:
            competes = levels <= level
            return staircase(
                score[competes],
                cost[competes],
                reference_score=reference,
                reference_cost=self._reference_cost,
            )

        return of_level

    def _gain(
        self,
        history: History,
        posterior: Posterior,
        free: list[int],
        generator: np.random.Generator,
    ) -> Gain | None:
        """Gain that remains, given the finished trials; running trials count as still to come.

        With several fronts, the gain of the front with most to gain.
        """
        remaining = np.union1d(np.array(free, dtype=np.int64), history.pending)
        steps = self._steps(posterior, history.finished)
        gains = [
            remaining_gain(
                posterior,
                self._candidates.encode(remaining[here]),
                self._candidates.log_cost(remaining[here]),
                steps(level),
                generator,
            )
            for level, here in _by_level(self._levels(remaining))
        ]
        if not gains or any(each is None for each in gains):
            return None
        return max((each for each in gains if each is not None), key=lambda each: each.at_most)

    def _ranked(
        self, history: History, judge: _Judge, generator: np.random.Generator
    ) -> tuple[Indices, Floats]:
        """Untried candidates and their values, the best first."""
        held = np.union1d(history.finished, history.pending)
        ends = [judge.steps(level).left for level, _ in _by_level(self._levels(held))]
        on_front = held[np.isin(self._candidates.log_cost(held), np.concatenate([*ends, [-np.inf]]))]
        size = pool_size(judge.posterior.n_observations)
        pool = draw_pool(self._candidates, history.tried, size, on_front, generator)
        value = judge.value(pool)
        if len(pool) + len(history.tried) < len(self._candidates):
            pool, value = climb(self._candidates, pool, value, history.tried, judge.value)
        order = np.lexsort((pool, -value))
        return pool[order], value[order]

    def _first_free(
        self, ranked: Indices, history: History, taken: Collection[str], generator: np.random.Generator
    ) -> int:
        """The first candidate that is not taken; any that is not, if all of these are."""
        for index in ranked.tolist():
            if not taken or self._candidates.name(index) not in taken:
                return int(index)
        rest = np.setdiff1d(self._by_cost, np.union1d(ranked, history.tried))
        for index in generator.permutation(rest).tolist():
            if self._candidates.name(index) not in taken:
                return int(index)
        raise NoCandidateLeftError(f"all {len(self._candidates):,} candidates have been tried")

    def _explain(self, chosen: int, judge: _Judge, left: Gain | None) -> Proposal:
        index = np.array([chosen], dtype=np.int64)
        if not self._n_observed:
            return Proposal(params=self._candidates[chosen], reason="the best by what earlier studies found")
        expected, mean, sd = (float(values[0]) for values in judge.improvement(index))
        reason = f"expected improvement {hypervolume_words(expected)}, predicted {score_words(mean, sd)}"
        if self.correlations:
            related = ", ".join(score_words(each) for each in self.correlations)
            reason += f", correlation with earlier studies {related}"
        if judge.durations is not None:
            reason += f", about {duration_words(float(judge.seconds(index)[0]))}"
        return Proposal(
            params=self._candidates[chosen],
            reason=reason,
            improvement=expected,
            mean=mean,
            sd=sd,
            gain=left,
        )


def _by_level(levels: Indices) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Every level with the places of its candidates, the lowest first."""
    for level in np.unique(levels).tolist():
        yield level, np.flatnonzero(levels == level)
