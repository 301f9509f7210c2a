"""A race for studies that maximise a score and minimise a cost known before a trial."""

from search.pruner.any_study import RacingTrial, StudyRace

__all__ = ["RacingTrial", "StudyRace"]
