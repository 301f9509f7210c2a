"""Latency as a cost of a study: measured on some architectures when it is made, and on each that is trained.

A study keeps the model of latencies that its first measurements gave, so that every worker expects the same
of every candidate, and the machine, since latencies of two machines cannot be compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

import space
from reports.words import latency_model_words
from scores.costs import LATENCY
from search.errors import StudyMismatchError
from search.models.costs import Costs, costs_of, network_values, operations
from search.models.latency import LatencyModel, Timed, fit_latency
from search.sampler.encoding import SpaceCandidates
from storage.records import StudyRecord

N_MEASURED = 40
"""Networks that are measured when a study is made."""
LATENCY_MODEL = "latency_model"
"""Setting of a study: `search.models.latency.LatencyModel`."""
_LEAST_WITH_OPERATOR = 4
_LISTED = 1_000_000
_DRAWN = 20
"""Times as many are looked at, to find enough with every operator."""


class MeasuredLatency(Protocol):
    """Result of a meter; `search.export.runtime.Latency` is one."""

    @property
    def median_ms(self) -> float:
        """Milliseconds of one record."""

    @property
    def p99_ms(self) -> float:
        """99th percentile."""


class Meter(Protocol):
    """Meter of latencies on this machine; `search.export.latency.LatencyMeter` is one."""

    @property
    def machine(self) -> str:
        """Machine in words."""

    def measure(
        self, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs
    ) -> MeasuredLatency:
        """Latency of one record on one CPU thread, of an untrained model.

        Raises:
            SearchError: it cannot be measured.
        """

    def throughput(self, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> float:
        """Records a second on one CPU thread, in batches.

        Raises:
            SearchError: it cannot be measured.
        """


def knows_latency(study: StudyRecord) -> bool:
    """Whether latency is the second objective of a study, or limited."""
    return study.cost == LATENCY or LATENCY in (study.settings.get("max") or {})


def latency_model(study: StudyRecord) -> LatencyModel | None:
    """The model that a study keeps; None where latency does not matter, and while it is being made."""
    kept = study.settings.get(LATENCY_MODEL)
    return None if kept is None else LatencyModel(**kept)


def latency_settings(
    study: StudyRecord, candidates: SpaceCandidates, meter: Meter, advance: Callable[[int, int], None]
) -> dict[str, Any]:
    """Settings of a new study on the latency of its candidates.

    Raises:
        SearchError: a candidate cannot be measured, such as one with a layer that ONNX has no operators for.
    """
    inputs = space.Inputs(**study.settings["inputs"])
    n_outputs = study.n_classes
    chosen = networks_to_measure(candidates, n_outputs, inputs)
    measured: list[Timed] = []
    for architecture in chosen:
        n = n_outputs[architecture.label_tier]
        found_ns = 1e6 * meter.measure(architecture, n, inputs).median_ms
        measured.append((operations(architecture, n, inputs), found_ns))
        advance(len(measured), len(chosen))
    return {LATENCY_MODEL: fit_latency(measured, meter.machine).to_dict()}


def networks_to_measure(
    candidates: SpaceCandidates, n_outputs: Mapping[str, int], inputs: space.Inputs
) -> list[space.Architecture]:
    """Candidates with different networks, drawn at random, a few at least with every operator.

    All of them where there are fewer than `N_MEASURED`; the same ones each time.
    """
    random = np.random.default_rng(0)
    n_drawn = min(len(candidates), _DRAWN * N_MEASURED)
    drawn = (  # of more than memory holds, one may be drawn twice
        random.choice(len(candidates), n_drawn, replace=False)
        if len(candidates) <= _LISTED
        else random.integers(len(candidates), size=n_drawn)
    )
    networks: dict[str, tuple[space.Architecture, frozenset[str]]] = {}
    for index in drawn:
        architecture = candidates.architecture(int(index))
        n = n_outputs[architecture.label_tier]
        key = repr((sorted(network_values(architecture).items(), key=lambda item: item[0]), n))
        if key not in networks:
            networks[key] = architecture, costs_of(architecture, n, inputs).operators
    counts: Counter[str] = Counter()
    first, rest = [], []
    for architecture, needed in networks.values():
        if any(counts[operator] < _LEAST_WITH_OPERATOR for operator in needed):
            counts.update(needed)
            first.append(architecture)
        else:
            rest.append(architecture)
    return [*first, *rest[: max(0, N_MEASURED - len(first))]]


def check_machine(study: StudyRecord, meter: Meter | None) -> None:
    """Refuse to continue a study whose latencies were measured elsewhere.

    Raises:
        StudyMismatchError: names both machines.
    """
    model = latency_model(study)
    if model is None or meter is None or model.machine == meter.machine:
        return
    raise StudyMismatchError(
        f"study {study.name} has latencies of {model.machine}, this is {meter.machine}: continue it there, "
        "or choose another --study"
    )


def with_latency(
    costs: Costs, meter: Meter, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs
) -> tuple[Costs, int]:
    """Costs of a model with its latency as measured, and the 99th percentile in whole microseconds.

    Raises:
        SearchError: it cannot be measured.
    """
    found = meter.measure(architecture, n_outputs, inputs)
    return replace(costs, nanoseconds=round(1e6 * found.median_ms)), max(1, round(1000 * found.p99_ms))


def latency_note(study: StudyRecord) -> str | None:
    """Sentence on the source of the latencies; None where they do not matter."""
    kept = study.settings.get(LATENCY_MODEL)
    return None if kept is None else latency_model_words(kept)
