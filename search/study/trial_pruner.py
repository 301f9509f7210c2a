"""Takes a trial past its rungs: asks the race at each that has been reached, and keeps every decision."""

from __future__ import annotations

import math
from collections import deque

from search.pruner.race import Prior, Race, rungs
from search.study.attempt import Attempt
from search.study.finished_trials import Ledger
from search.training.interface import Trainer
from storage import DecisionRecord


class Referee:
    """Of one attempt at a trial.

    Args:
        attempt: what is known of the trial; rungs that an earlier attempt has passed are not asked again.
        ledger: the finished trials, refreshed at the start of the trial.
        trainer: trains the folds.
        alpha: of the race.
        prior: the score that the sampler expects, if it can say.
    """

    def __init__(
        self, attempt: Attempt, ledger: Ledger, trainer: Trainer, *, alpha: float, prior: Prior | None
    ) -> None:
        self._attempt = attempt
        self._ledger = ledger
        self._n_epochs = trainer.n_epochs
        starts = [decision.probability for decision in attempt.decisions if decision.fold == 0]
        self._race = Race(
            alpha=alpha,
            parameters=attempt.parameters,
            prior=prior,
            chance=starts[0] if starts else None,
        )
        passed = {(decision.fold, decision.epoch) for decision in attempt.decisions if not decision.pruned}
        course = rungs(trainer.n_folds, trainer.n_epochs, trainer.n_parallel)
        self._ahead = deque(rung for rung in course if (rung.fold, rung.epoch) not in passed)

    def start(self) -> None:
        """Keep the chance of the trial before anything of it is seen."""
        record = self._race.start(self._ledger.standing)
        if record is not None:
            self._attempt.keep_decision(record)

    def decide(self) -> DecisionRecord | None:
        """Pass the rungs that have been reached; the decision that prunes the trial, if one does.

        One that was taken before the process died stands, whatever has been learned since.
        """
        for taken in self._attempt.decisions:
            if taken.pruned:
                return taken
        while self._ahead and self._is_reached():
            rung = self._ahead.popleft()
            if rung.epoch == self._n_epochs:  # others have had time to finish something
                self._ledger.refresh()
                self.start()
            # A kill between a checkpoint and its epoch's row leaves a gap in the curve.
            seen = {point: self._attempt.curve.get(point, math.nan) for point in rung.seen}
            decision = self._race.decide(self._ledger.standing, rung, self._ledger.curve_at_rungs(seen))
            if decision is None:
                continue
            self._attempt.keep_decision(decision)
            if decision.pruned:
                return decision
        return None

    def may_train_to(self, fold: int) -> int:
        """Epoch up to which a fold may train: the rung after the next that is to be decided.

        One rung ahead of the decision, so that folds side by side need not wait for one another, and no
        further, so that little is trained in vain.
        """
        own = [rung.epoch for rung in self._ahead if fold in rung.folds]
        n_allowed = 2 if self._ahead and fold in self._ahead[0].folds else 1
        return own[n_allowed - 1] if len(own) >= n_allowed else self._n_epochs

    def is_past(self, fold: int) -> bool:
        """Whether every rung before the end of a fold has been decided."""
        return not any(fold in rung.folds and rung.epoch < self._n_epochs for rung in self._ahead)

    def _is_reached(self) -> bool:
        """Whether all folds in training have come to the next rung, finished ones with their predictions."""
        rung = self._ahead[0]
        epochs_done = dict(sorted(self._attempt.curve))
        ended = {fold for fold, epoch in rung.seen if epoch == self._n_epochs}
        return ended <= self._attempt.fold_scores.keys() and all(
            epochs_done.get(fold, 0) >= epoch for fold, epoch in rung.seen
        )
