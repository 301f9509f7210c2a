"""The records of a model's study, where they are at hand, and the graph's outputs for them.

Shapes: N record, L lead, T time, C class, K feature.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from rich.console import Console

import space
from scores.novelty import FeatureDistance, distance_threshold, fit_distance
from search.data.dataset import Development
from search.data.feature_table import load_features
from search.data.signals.filters import filter_named
from search.defaults import CACHE_FOLDER
from search.errors import DataError, StudyMismatchError, UsageError
from search.export.folder import Novelty, NoveltyMember
from search.export.graph import features_width, member_logits
from search.export.runtime import feeds, session, with_member_logits
from search.export.source import Exported, HeldOutPart
from search.study.data import find_development_of
from search.watch.progress import progress_bar
from storage import StudyRecord

MOST_RECORDS = 4_000
"""Records that a graph is run on; of a larger data set as many are drawn."""
CONFIDENCE = 0.99
"""Share of familiar records within the threshold of novelty."""
LEAST_HELD_OUT = 99
"""Held-out records from which that quantile is finite."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyRecords:
    """All records of a study but the sealed fold, as an architecture sees them before the graph."""

    data: Development
    x_NLT: NDArray[np.int16]
    """Microvolts after the filter."""
    f_NK: Floats | None
    """Raw hand-crafted features, NaN where missing; None where the model uses none."""

    def rows(self, n: int, *, seed: int = 0) -> NDArray[np.int64]:
        """Draw n rows at random, rising; all rows if there are no more than n."""
        if len(self.data) <= n:
            return np.arange(len(self.data))
        return np.sort(np.random.default_rng(seed).permutation(len(self.data))[:n])

    def held_out(self, part: HeldOutPart) -> NDArray[np.int64]:
        """Rows of held-out records, rising."""
        return np.flatnonzero(np.isin(self.data.ecg_id, part.predictions.ecg_id))

    def features(self, rows: NDArray[np.int64]) -> Floats | None:
        """Hand-crafted features of some rows."""
        return None if self.f_NK is None else self.f_NK[rows]


def data_at_hand(
    study: StudyRecord, choice: str | None, console: Console
) -> tuple[Development | None, str | None]:
    """The data of a study, or why they are not at hand.

    Raises:
        SearchError: data that were named are none, or those of another study.
    """
    try:
        return find_development_of(study, choice, console), None
    except (DataError, UsageError, StudyMismatchError) as error:
        if choice is not None:
            raise
        return None, (
            "the data of the study are not at hand, so checked on noise instead of records, without coarser "
            f"tiers, descriptions of classes and novelty: give --data DIR for all of them ({error})"
        )


def records_for(exported: Exported, data: Development) -> StudyRecords:
    """The records of a data set with the leads, filter and features of a model."""
    name = exported.architecture.filter
    data = data.of_leads(exported.architecture.leads)
    return StudyRecords(
        data=data,
        x_NLT=filter_named(name)(np.asarray(data.x_NLT), data.rate_hz),
        f_NK=load_features(data, cache_dir=CACHE_FOLDER) if exported.has_features else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers:
    """Outputs of every member of a graph for some records."""

    rows: NDArray[np.int64]
    """Rows of the data set, rising."""
    features: tuple[Floats, ...]
    """(N, K) for each member."""
    probabilities: tuple[NDArray[np.float64], ...]
    """(N, C) for each member."""

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places, among the records answered, of those that are also in `rows`."""
        return np.flatnonzero(np.isin(self.rows, rows))


def ask(
    model: onnx.ModelProto,
    exported: Exported,
    records: StudyRecords,
    rows: NDArray[np.int64],
    console: Console,
    *,
    label: str,
) -> Answers:
    """Run a graph on some records.

    Args:
        model: of `search.export.graph.make_graph`, or the same in eight bits.
        exported: its members.
        records: all of them.
        rows: to run it on, rising.
        console: for a progress bar.
        label: before the bar.
    """
    running = session(with_member_logits(model, exported.kept))
    names = ["features", *(member_logits(number + 1) for number in range(len(exported.members)))]
    parts: list[list[Floats]] = []
    n_done = 0
    with progress_bar(console, label, len(rows)) as advance:
        for fed in feeds(records.x_NLT[rows], records.features(rows)):
            parts.append(running.run(names, fed))
            n_done += len(parts[-1][0])
            advance(n_done, len(rows))
    features, *logits = (np.concatenate(each) for each in zip(*parts, strict=True))
    ends = np.cumsum([features_width(kept.model) for kept in exported.kept])[:-1]
    return Answers(
        rows=rows,
        features=tuple(np.split(features, ends, axis=1)),
        probabilities=tuple(
            kept.probabilities(torch.from_numpy(z_NC).double())
            for kept, z_NC in zip(exported.kept, logits, strict=True)
        ),
    )


def largest_difference(exported: Exported, records: StudyRecords, answers: Answers) -> float:
    """The largest difference from the held-out predictions that were kept.

    Models may have been scored in bfloat16 then; a graph computes in float32.
    """
    largest = 0.0
    for part in exported.held_out:
        p_NC = part.mean(answers.probabilities, exported.weights)
        place = {ecg_id: row for row, ecg_id in enumerate(part.predictions.ecg_id.tolist())}
        for number, ecg_id in enumerate(records.data.ecg_id[answers.rows].tolist()):
            if ecg_id in place:
                kept_C = part.predictions.probabilities_NC[place[ecg_id]]
                largest = max(largest, float(np.abs(p_NC[number] - kept_C).max()))
    return largest


def find_novelty(
    exported: Exported, records: StudyRecords, answers: Answers
) -> tuple[Novelty, tuple[FeatureDistance, ...]] | str:
    """Distances of every member from its training part, and the threshold; or why there is none.

    The threshold is one for all members of an architecture: the quantile of the distances of held-out
    records, each in the features and to the training part of a member that was not trained on it. Distances
    in features of another number or kind are not comparable.
    """
    distances, held_out = [], []
    everything = np.arange(len(records.data))
    for number, (member, feature_NK) in enumerate(zip(exported.members, answers.features, strict=True)):
        unseen = records.held_out(next(part for part in exported.held_out if number in part.members))
        training = answers.of(np.setdiff1d(everything, unseen))
        try:
            distance = fit_distance(feature_NK[training])
        except ValueError as error:
            return f"no novelty: {member.name}: {error}"
        distances.append(distance)
        held_out.append(distance(feature_NK[answers.of(unseen)]))
    n_held_out = sum(len(answers.of(records.held_out(part))) for part in exported.held_out)
    if n_held_out < LEAST_HELD_OUT:
        return f"no novelty: {n_held_out} held-out records, {LEAST_HELD_OUT} or more are needed"
    of_architecture: dict[space.Architecture, list[NDArray[np.float64]]] = defaultdict(list)
    for kept, found in zip(exported.kept, held_out, strict=True):
        of_architecture[kept.architecture].append(found)
    thresholds = {
        architecture: distance_threshold(np.concatenate(found), CONFIDENCE)
        for architecture, found in of_architecture.items()
    }
    members = tuple(
        NoveltyMember(threshold=thresholds[kept.architecture], n_records=n_held_out) for kept in exported.kept
    )
    return Novelty(quantile=CONFIDENCE, members=members), tuple(distances)


def noise(exported: Exported, n: int, *, seed: int = 0) -> tuple[NDArray[np.int16], Floats | None]:
    """Signals that are like records in nothing but mean and deviation, and features that are all missing."""
    kept = exported.kept[0]
    rng = np.random.default_rng(seed)
    mean_L1, deviation_L1 = (
        statistic.numpy()[:, None] for statistic in (kept.statistics.mean_L, kept.statistics.deviation_L)
    )
    x_NLT = mean_L1 + deviation_L1 * rng.standard_normal((n, len(kept.leads), kept.n_samples))
    scalings = [each.scaling for each in exported.kept if each.scaling is not None]
    f_NK = np.full((n, len(scalings[0].median_K)), np.nan, dtype=np.float32) if scalings else None
    return np.rint(np.clip(x_NLT, -32768, 32767)).astype(np.int16), f_NK
