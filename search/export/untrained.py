"""Architectures before they are trained, as graphs with random weights: how long one takes.

Shapes: B batch, L lead, T time, K feature.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

import space
from search.data.features import FeatureScaling
from search.export.folder import ECG_INPUT, FEATURES_INPUT
from search.export.graph import make_graph
from search.export.runtime import BATCH, Latency, latency
from search.models.hybrid import build_model
from search.training.batches import LeadStatistics
from search.training.model_file import KeptModel

LEAST_CALLS, WITHIN_S = 5, 0.5
"""Bounds of a run of calls; see `search.export.runtime.latency`."""
N_RUNS = 2
"""The quickest of so many runs counts: what else a machine does only ever takes time."""
_ECG_SD_MV = 0.2

Feeds = dict[str, NDArray[np.float32]]


def untrained_graph(
    architecture: space.Architecture, n_outputs: int, inputs: space.Inputs
) -> tuple[bytes, Feeds]:
    """The graph of a model with random weights, and noise as the inputs of a batch of records.

    Raises:
        UsageError: a module has no operators of ONNX; the message names it.
    """
    model = build_model(architecture, n_outputs, generator=torch.Generator().manual_seed(0), inputs=inputs)
    n_leads = space.count_leads(architecture.leads, inputs.n_leads)
    n_features = inputs.n_features // 2 if architecture.features else 0  # the other half are flags
    kept = KeptModel(
        architecture=architecture,
        classes=tuple(f"class {number}" for number in range(n_outputs)),
        is_exclusive=False,
        leads=tuple(f"lead {number}" for number in range(n_leads)),
        rate_hz=100,
        n_samples=inputs.n_samples,
        model=model.eval(),
        statistics=LeadStatistics(
            mean_L=torch.zeros(n_leads), deviation_L=torch.full((n_leads,), 1000 * _ECG_SD_MV)
        ),
        scaling=FeatureScaling(
            median_K=np.zeros(n_features, np.float32), deviation_K=np.ones(n_features, np.float32)
        )
        if n_features
        else None,
    )
    random = np.random.default_rng(0)
    fed = {ECG_INPUT: random.normal(0, _ECG_SD_MV, (BATCH, n_leads, inputs.n_samples)).astype(np.float32)}
    if n_features:
        fed[FEATURES_INPUT] = random.normal(size=(BATCH, n_features)).astype(np.float32)
    return make_graph([kept], [1.0], name="untrained").SerializeToString(), fed


def time_graph(content: bytes, fed: Feeds) -> Latency:
    """The latency of one record, the quickest of several runs.

    Args:
        content: a graph.
        fed: its inputs, of at least one record.
    """
    one = {name: values[:1] for name, values in fed.items()}
    runs = [latency(content, one, least=LEAST_CALLS, within_s=WITHIN_S) for _ in range(N_RUNS)]
    best = min(runs, key=lambda run: run.median_ms)
    return replace(best, n_calls=sum(run.n_calls for run in runs))


def throughput(content: bytes, fed: Feeds, single: Latency) -> float:
    """Records a second on one CPU thread, in batches of at most `BATCH`, and of about a second at most.

    Args:
        content: a graph.
        fed: its inputs, of `BATCH` records.
        single: latency of one record.
    """
    n = max(1, min(BATCH, int(1000 / single.median_ms)))
    some = {name: values[:n] for name, values in fed.items()}
    found = latency(content, some, least=LEAST_CALLS, within_s=WITHIN_S)
    return 1000 * n / found.median_ms
