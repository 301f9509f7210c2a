"""What a trial leaves behind, as methods of the store."""

from collections.abc import Mapping

from storage.connection.patience import repeatable
from storage.database import Database
from storage.records import DecisionRecord, EpochRecord, FailureRecord, FoldRecord, TierScores
from storage.rows import scores, studies, trials


class Results(Database):
    """Curves, folds, scores, decisions and failures; `Store` states the rules.

    Every `add_` method raises `UnknownTrialError` for a row id that is not there, `FinishedTrialError` for a
    complete or pruned trial, and `TakenOverError` when this process claimed the trial and lost it.
    """

    @repeatable
    def add_epoch(self, trial_id: int, epoch: EpochRecord) -> None:
        """Append a point to the curve of a fold; points of an earlier attempt from there on are replaced."""
        with self._write_trial(trial_id) as (session, trial):
            scores.add_epoch(session, trial, epoch)

    def epochs(self, trial_id: int) -> list[EpochRecord]:
        """The curve of a trial, by fold and epoch."""
        with self._read() as session:
            trials.find_trial(session, trial_id)
            return scores.list_epochs(session, trial_id)

    def curves(self, study: str) -> dict[int, list[EpochRecord]]:
        """Row id to curve, for every trial of the study that has one; in one query."""
        with self._read() as session:
            return scores.list_curves(session, studies.find_study(session, study).id)

    @repeatable
    def add_fold(self, trial_id: int, fold: FoldRecord) -> None:
        """Keep a finished fold with all its scores, wholly or not at all.

        Raises:
            StorageError: a tier or the number of its classes is not that of the study.
        """
        with self._write_trial(trial_id) as (session, trial):
            scores.add_fold(session, trial, fold)

    def folds(self, trial_id: int) -> list[FoldRecord]:
        """The finished folds of a trial."""
        with self._read() as session:
            trials.find_trial(session, trial_id)
            return scores.list_folds(session, trial_id)

    @repeatable
    def add_summary(self, trial_id: int, summary: Mapping[str, TierScores]) -> None:
        """Keep the cross-validated scores of a trial by tier.

        A finished trial may get the summary it lacks, but keeps the one it has.

        Raises:
            StorageError: a tier or the number of its classes is not that of the study.
        """
        with self._write() as session:
            trial = trials.owned(session, trial_id, self._claimed.get(trial_id))
            if scores.SUMMARY in scores.read_scores(session, trial_id):
                trials.check_unfinished(session, trial)
            scores.write_scores(session, trial, scores.SUMMARY, summary)

    def summary(self, trial_id: int) -> Mapping[str, TierScores]:
        """Cross-validated scores by tier; empty when there are none."""
        with self._read() as session:
            trials.find_trial(session, trial_id)
            return scores.read_scores(session, trial_id).get(scores.SUMMARY, {})

    @repeatable
    def add_decision(self, trial_id: int, decision: DecisionRecord) -> None:
        """Append a decision of the race."""
        with self._write_trial(trial_id) as (session, trial):
            scores.add_decision(session, trial, decision)

    def decisions(self, trial_id: int) -> list[DecisionRecord]:
        """The decisions on a trial, oldest first."""
        with self._read() as session:
            trials.find_trial(session, trial_id)
            return scores.list_decisions(session, trial_id)

    @repeatable
    def add_failure(self, trial_id: int, failure: FailureRecord) -> None:
        """Append the reason why the present attempt ended early."""
        with self._write_trial(trial_id) as (session, trial):
            scores.add_failure(session, trial, failure, self._clock())

    def failures(self, trial_id: int) -> list[FailureRecord]:
        """The failures of a trial over all attempts, oldest first."""
        with self._read() as session:
            trials.find_trial(session, trial_id)
            return scores.list_failures(session, trial_id)
