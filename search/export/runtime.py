"""Exported graphs in onnxruntime: their outputs, agreement with PyTorch, and latency.

Shapes: N record, L lead, T time, C class, K feature.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from search.cores import available_cores
from search.errors import SearchError
from search.export.folder import ECG_INPUT, FEATURES_INPUT
from search.export.graph import MICROVOLTS, member_logits
from search.training.model_file import KeptModel, mean_probabilities

TOLERANCE = 1e-4
"""Largest difference of a probability between onnxruntime and PyTorch."""
BATCH = 32
N_WARM = 3
N_TIMED, LEAST_TIMED, TIMED_S = 200, 20, 10.0
"""Calls behind a latency: as many as fit into the seconds, within these numbers."""


class DifferentError(SearchError):
    """onnxruntime and PyTorch disagree on a model, a mistake of this program."""


def session(model: onnx.ModelProto | bytes, *, n_threads: int | None = None) -> onnxruntime.InferenceSession:
    """A session on the CPU, with all cores unless `n_threads` is given."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads or available_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def feeds(
    x_NLT: NDArray[np.int16], f_NK: NDArray[np.float32] | None, batch: int = BATCH
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Inputs of records, some at a time, from microvolts after the filter and raw features."""
    for start in range(0, len(x_NLT), batch):
        rows = slice(start, start + batch)
        fed = {ECG_INPUT: (x_NLT[rows] / MICROVOLTS).astype(np.float32)}
        if f_NK is not None:
            fed[FEATURES_INPUT] = f_NK[rows].astype(np.float32)
        yield fed


def with_member_logits(model: onnx.ModelProto, members: Sequence[KeptModel]) -> onnx.ModelProto:
    """The same graph with the logits of every member behind its other outputs."""
    more = onnx.ModelProto()
    more.CopyFrom(model)
    for number, kept in enumerate(members, start=1):
        shape = ("batch", len(kept.classes))
        value = onnx.helper.make_tensor_value_info(member_logits(number), onnx.TensorProto.FLOAT, shape)
        more.graph.output.append(value)
    return more


def check_agreement(
    model: onnx.ModelProto,
    members: Sequence[KeptModel],
    weights: Sequence[float],
    x_NLT: NDArray[np.int16],
    f_NK: NDArray[np.float32] | None,
) -> float:
    """The largest difference of a probability between onnxruntime and PyTorch, both in float32.

    Raises:
        DifferentError: it is larger than `TOLERANCE`.
    """
    running = session(model)
    largest = 0.0
    for start, fed in enumerate(feeds(x_NLT, f_NK)):
        rows = slice(start * BATCH, (start + 1) * BATCH)
        x = torch.from_numpy(np.array(x_NLT[rows]))  # a copy: data sets are read-only
        wanted_NC = mean_probabilities(members, weights, x, None if f_NK is None else f_NK[rows])
        (p_NC,) = running.run(["probabilities"], fed)
        largest = max(largest, float(np.abs(p_NC - wanted_NC).max()))
    if not largest <= TOLERANCE:
        raise DifferentError(
            f"onnxruntime and PyTorch differ by {largest:.2g} in a probability, more than {TOLERANCE:g}: "
            "nothing is written; please report the architecture"
        )
    return largest


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Milliseconds for one ECG on one thread of this processor."""

    median_ms: float
    p99_ms: float
    n_calls: int


def latency(
    content: bytes,
    fed: dict[str, NDArray[np.float32]],
    *,
    least: int = LEAST_TIMED,
    within_s: float = TIMED_S,
) -> Latency:
    """Time single calls of a graph with the inputs of one record.

    Seconds are those of the processor in this thread, which alone computes: what else the machine does
    meanwhile does not count.

    Args:
        content: the graph.
        fed: inputs of one record.
        least: calls that are timed however long they take.
        within_s: seconds after which no more than those are.
    """
    running = session(content, n_threads=1)
    for _ in range(N_WARM):
        running.run(["probabilities"], fed)
    seconds: list[float] = []
    while len(seconds) < least or (len(seconds) < N_TIMED and sum(seconds) < within_s):
        began_s = time.thread_time()
        running.run(["probabilities"], fed)
        seconds.append(time.thread_time() - began_s)
    median_s, p99_s = np.quantile(seconds, [0.5, 0.99])
    return Latency(median_ms=1000 * float(median_s), p99_ms=1000 * float(p99_s), n_calls=len(seconds))
