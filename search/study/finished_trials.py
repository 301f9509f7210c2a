"""Finished trials of a study in the memory of a worker, for the race and the sampler."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

import space
from search.pruner.learning_curves import CurveShape, Floats
from search.pruner.race import FinishedTrial, Standing, chance_within_noise, is_beyond, rung_epochs, standing
from search.sampler.candidates import Params
from search.sampler.history import Estimate
from storage import FinishedRecord, RepeatRecord, Store


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Entry:
    """A finished trial in the terms of the race and of the sampler."""

    trial: FinishedTrial
    params: Params
    architecture_hash: str
    n_leads: int
    """Leads that enter its models."""
    seconds: float
    """All epochs of all folds would take, NaN if none was timed."""


class FinishedTrials:
    """Finished trials, each read from the store once.

    Args:
        store: where they are kept.
        study: its name.
        architectures: the space of the study.
        n_folds: of every trial.
        n_epochs: of every fold.
        learned: shapes of the curves of earlier studies, for the race.
    """

    def __init__(
        self,
        store: Store,
        study: str,
        architectures: space.Space,
        *,
        n_folds: int,
        n_epochs: int,
        learned: Sequence[CurveShape] = (),
    ) -> None:
        self._store = store
        self._study = study
        self._space = architectures
        self._n_folds = n_folds
        self._n_epochs = n_epochs
        self._learned = learned
        self._entries: dict[int, _Entry] = {}
        self._repeats: Mapping[int, tuple[RepeatRecord, ...]] = {}
        self._standing: Standing | None = None
        self._standing_with: dict[int, Standing] = {}
        """Standing by number of leads, as of the last `refresh` like `_standing`."""

    def refresh(self) -> None:
        """Take in what has finished since the last call, whichever worker trained it."""
        numbers = self._store.finished_numbers(self._study)
        self._repeats = self._store.repeats(self._study)
        known = {row: entry.trial.number for row, entry in self._entries.items()}
        if known == numbers:
            return
        self._standing = None
        self._standing_with.clear()
        # A thawed trial is not finished until it is complete, and then has another number.
        for row in [row for row, number in known.items() if numbers.get(row) != number]:
            del self._entries[row]
        fresh = numbers.keys() - self._entries.keys()
        for record in self._store.finished(self._study, fresh):
            self._entries[record.id] = self._entry(record)

    @property
    def standing(self) -> Standing:
        """Posterior of those trials on others, as of the last `refresh`."""
        if self._standing is None:
            self._standing = standing((entry.trial for entry in self._entries.values()), self._learned)
        return self._standing

    def standing_with(self, n_leads: int) -> Standing:
        """The same for a trial with so many leads: only those with no more are its rivals."""
        if n_leads not in self._standing_with:
            rivals = {entry.trial.number for entry in self._entries.values() if entry.n_leads <= n_leads}
            now = self.standing
            points = tuple(point for point in now.points if point.trial in rivals)
            self._standing_with[n_leads] = replace(now, points=points)
        return self._standing_with[n_leads]

    def curve_at_rungs(self, curve: Mapping[tuple[int, int], float]) -> Floats:
        """A curve by fold and epoch as an array of shape (F, K), NaN where it has no value."""
        return curve_at_rungs(curve, n_folds=self._n_folds, n_epochs=self._n_epochs)

    def estimates(self) -> list[Estimate]:
        """Final scores extrapolated from the curves of pruned trials, and the scores of repeats.

        A repeat is another observation of its architecture, with the noise of one training: together they are
        as certain as their mean.
        """
        return [*self.forecasts(), *self._repeated()]

    def _repeated(self) -> Iterable[Estimate]:
        for row, repeats in sorted(self._repeats.items()):
            for repeat in repeats:
                if repeat.score is not None and row in self._entries:
                    params = self._entries[row].params
                    yield Estimate(params=params, score=repeat.score, standard_error=0.0)

    def singles(self) -> list[Estimate]:
        """Every complete trial by its first training, and `forecasts`."""
        complete = [
            Estimate(params=entry.params, score=entry.trial.score, standard_error=0.0)
            for entry in self._entries.values()
            if entry.trial.score is not None
        ]
        return [*complete, *self.forecasts()]

    def forecasts(self) -> list[Estimate]:
        """Final scores extrapolated from the curves of pruned trials."""
        found = []
        for entry in self._pruned():
            evidence = self.standing.evidence(entry.trial.curve_FK)
            if evidence is not None:
                found.append(Estimate(params=entry.params, score=evidence[0], standard_error=evidence[1]))
        return found

    def durations(self) -> list[tuple[Params, float]]:
        """Parameters of timed trials, and the seconds that all epochs of all folds take."""
        return [
            (entry.params, entry.seconds) for entry in self._entries.values() if math.isfinite(entry.seconds)
        ]

    def costs(self) -> list[tuple[Params, float]]:
        """Parameters of trials and what their models cost."""
        return [(entry.params, entry.trial.cost) for entry in self._entries.values()]

    def is_dominated(self, cost: float, score: float, n_leads: int) -> bool:
        """Whether a finished trial with no more leads is at least as good in both objectives, and better in
        one."""
        return any(
            other >= score and own <= cost and (other, own) != (score, cost)
            for entry in self._entries.values()
            if entry.n_leads <= n_leads
            and (other := entry.trial.score) is not None
            and (own := entry.trial.cost)
        )

    def to_thaw(self) -> tuple[FinishedTrial, Params] | None:
        """The pruned trial with the best chance to improve the front after all, if any is within noise."""
        chances = []
        for entry in self._pruned():
            now = self.standing_with(entry.n_leads)
            chance = chance_within_noise(now, entry.trial.cost, entry.trial.curve_FK)
            if chance is not None:
                chances.append((chance, -entry.trial.number, entry))
        if not chances:
            return None
        _, _, best = max(chances, key=lambda found: found[:2])
        return best.trial, best.params

    def pruned_beyond(self, n_sd: float) -> list[tuple[int, str]]:
        """Pruned trials that miss the front by at least so many standard errors, by all that is known now.

        Returns:
            Number of every such trial and digest of its architecture.
        """
        return [
            (entry.trial.number, entry.architecture_hash)
            for entry in self._pruned()
            if is_beyond(self.standing_with(entry.n_leads), entry.trial.cost, entry.trial.curve_FK, n_sd=n_sd)
        ]

    def _pruned(self) -> Iterable[_Entry]:
        return (entry for entry in self._entries.values() if entry.trial.score is None)

    def _entry(self, record: FinishedRecord) -> _Entry:
        trial = remembered(record, n_folds=self._n_folds, n_epochs=self._n_epochs)
        architecture = space.Architecture.from_dict(record.architecture)
        return _Entry(
            trial=trial,
            params=self._space.to_params(architecture),
            architecture_hash=architecture.digest,
            n_leads=space.count_leads(architecture.leads, self._space.inputs.n_leads),
            seconds=record.seconds_per_epoch * self._n_folds * self._n_epochs,
        )


def remembered(record: FinishedRecord, *, n_folds: int, n_epochs: int) -> FinishedTrial:
    """A finished trial as the race remembers it."""
    starts = [decision.probability for decision in record.decisions if decision.fold == 0]
    ends = [decision.probability or 0.0 for decision in record.decisions if decision.pruned]
    return FinishedTrial(
        number=record.number,
        cost=record.cost,
        score=record.score,
        curve_FK=curve_at_rungs(_up_to_its_end(record), n_folds=n_folds, n_epochs=n_epochs),
        chance=starts[0] if starts else None,
        chance_left=ends[-1] if ends and record.score is None else 0.0,
    )


def curve_at_rungs(curve: Mapping[tuple[int, int], float], *, n_folds: int, n_epochs: int) -> Floats:
    """A curve by fold and epoch as an array of shape (F, K), NaN where it has no value."""
    values = [
        [curve.get((fold, epoch), math.nan) for epoch in rung_epochs(n_epochs)]
        for fold in range(1, n_folds + 1)
    ]
    return np.array(values, dtype=np.float64)


def _up_to_its_end(record: FinishedRecord) -> Mapping[tuple[int, int], float]:
    """The curve without what side-by-side folds had trained beyond the rung where the trial was pruned.

    How much that is depends on which fold was faster, and nothing that is decided may depend on that.
    """
    pruned = [decision for decision in record.decisions if decision.pruned]
    if record.score is not None or not pruned:
        return record.curve
    last = pruned[-1]
    return {
        (fold, epoch): score
        for (fold, epoch), score in record.curve.items()
        if fold in record.finished_folds or (fold <= last.fold and epoch <= last.epoch)
    }
