"""Candidates of a study."""

import space
from search.sampler.encoding import SpaceCandidates
from search.study.latency import latency_model
from search.study.limits import Limits
from storage.records import StudyRecord


def candidates_of(study: StudyRecord, architectures: space.Space, limits: Limits) -> SpaceCandidates:
    """Architectures of the space of a study that fit some limits, with the cost that it minimises."""
    return SpaceCandidates(
        architectures,
        study.n_classes,
        most=limits.most,
        operators=limits.operators,
        smallest=study.settings.get("smallest", 1),
        cost=study.cost,
        latency=latency_model(study),
    )
