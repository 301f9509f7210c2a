"""Work of each process of a race; a module of its own, since a spawned process imports its work."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from storage_samples import claim, optuna_study, start_trial, study_record

import storage

N_QUEUED = 8
"""Trials that the process which made the study puts into Optuna's queue."""


@dataclass(frozen=True, kw_only=True)
class Won:
    added: bool
    claims: list[int | None]
    """Row id per claimed architecture."""
    popped: list[int]
    """Numbers of the trials taken from Optuna's queue, or new ones when it was empty."""


def race(url: str, process: int, start_at: float, numbers: Sequence[int]) -> Won:
    """Open the database, add the study, claim architectures, take trials; return what was won.

    Args:
        url: URL of the database, which is not there yet.
        process: 0, 1, …
        start_at: when all processes begin, as `time.time` says it.
        numbers: trial numbers to claim with, one for each architecture.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    time.sleep(max(0.0, start_at - time.time()))
    store = storage.open_store(url)
    try:
        store.add_study(study_record(target=f"by process {process}"))
        added = True
    except storage.StudyExistsError:
        added = False
    if added:
        for index in range(N_QUEUED):
            optuna_study(store).enqueue_trial({"index": index})
    claims = [claim(store, number, f"{index:03d}") for index, number in enumerate(numbers)]
    while len(optuna_study(store).trials) < N_QUEUED:
        time.sleep(0.05)
    popped = [start_trial(store) for _ in range(3)]
    store.close()
    return Won(added=added, claims=claims, popped=popped)
