"""A graph with weights and activations of eight bits, and what that costs.

Static quantisation of onnxruntime: weights per output channel, activations by ranges of calibration records,
as pairs of QuantizeLinear and DequantizeLinear around convolutions and dense layers (QDQ). Recurrent layers
have no form of eight bits in it and stay in float32. So do the first convolution, which sees the signal, and
the output layer of each member.

Shapes: N record, C class, K feature.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from rich.console import Console

from scores.bootstrap import DIFFERENCE, Interval, Resampling, centred_interval
from scores.ranking import has_both
from search.errors import UsageError
from search.export.records import Answers, StudyRecords, ask
from search.export.runtime import Latency, feeds, latency, with_member_logits
from search.export.source import Exported

N_CALIBRATION = 128
"""Records whose ranges determine the quantisation of activations; they are left out of the scores."""
N_RESAMPLES = 1_000
QUANTISED = ("Conv", "Gemm", "MatMul")
RUINED = 0.05
"""Loss in macro-AUPRC from which on a model counts as ruined."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Int8:
    """A quantised graph and its loss in score."""

    content: bytes
    n_bytes_float: int
    """Size of the graph in float32."""
    latency: Latency
    latency_float: Latency
    macro_auprc: float
    """Macro-AUPRC of the quantised members on their held-out records."""
    macro_auprc_float: float
    difference: Interval
    """Quantised minus float32, paired, over draws of patients."""
    n_records: int
    n_classes: int
    """Classes behind the mean: those with a positive and a negative among the records of a fold."""

    @property
    def is_ruined(self) -> bool:
        """Whether the loss by quantisation is unacceptable."""
        return not self.difference.value > -RUINED


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration records, a batch at a time."""

    def __init__(self, batches: Iterator[dict[str, NDArray[np.float32]]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch."""
        return next(self._batches, None)


def quantised(
    model: onnx.ModelProto, exported: Exported, batches: Iterator[dict[str, NDArray[np.float32]]]
) -> onnx.ModelProto:
    """The graph in eight bits, in which the logits of every member keep their names.

    Args:
        model: in float32.
        exported: its members.
        batches: inputs of calibration records.
    """
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # onnxruntime advises on the root logger what is done here already
    try:
        with tempfile.TemporaryDirectory() as folder:
            names = ("plain", "prepared", "done")
            plain, prepared, done = (str(Path(folder) / f"{name}.onnx") for name in names)
            onnx.save(with_member_logits(model, exported.kept), plain)
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                done,
                _Reader(batches),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(QUANTISED),
                nodes_to_exclude=_in_float(onnx.load(prepared)),
            )
            found = onnx.load(done)
            del found.graph.output[len(model.graph.output) :]
            return found
    finally:
        root.setLevel(level)


def _in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the first convolution and the output layer of every member."""
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    for node in model.graph.node:
        member = node.name.partition("/")[0]
        if node.op_type == "Conv":
            first.setdefault(member, node.name)
        if node.op_type == "Gemm" and "/head/" in node.name:
            last[member] = node.name
    return [*first.values(), *last.values()]


def check_measurable(folds: Sequence[NDArray[np.bool_]], n_records: int) -> None:
    """Refuse to quantise a model whose loss no record can measure.

    Args:
        folds: labels of the remaining records of every fold, each of shape (N, C).
        n_records: remaining records.

    Raises:
        UsageError: no fold has a class with a positive and a negative record.
    """
    if not any(has_both(y_NC).any() for y_NC in folds):
        raise UsageError(
            f"--int8 needs records to measure the loss on: among the {n_records:,} that do not determine "
            "ranges, no fold has both a positive and a negative record of any class; leave out --int8"
        )


def quantise(
    model: onnx.ModelProto, exported: Exported, records: StudyRecords, answers: Answers, console: Console
) -> Int8:
    """Quantise a graph, and measure it on the records that its members were not trained on.

    Args:
        model: in float32.
        exported: its members.
        records: of the study.
        answers: outputs of the graph in float32.
        console: for a progress bar.

    Raises:
        UsageError: too few records are left to measure the loss on.
    """
    calibration = records.rows(min(N_CALIBRATION, len(records.data) // 4), seed=1)
    batches = feeds(records.x_NLT[calibration], records.features(calibration))
    int8 = quantised(model, exported, batches)
    content = int8.SerializeToString()
    rows = np.setdiff1d(answers.rows, calibration)
    both = answers, ask(int8, exported, records, rows, console, label="Measuring int8")
    folds: list[list[tuple[NDArray[np.bool_], NDArray[np.float64]]]] = [[], []]
    patients = []
    for part in exported.held_out:
        validation = np.intersect1d(rows, records.held_out(part))
        if not len(validation):  # all of them determined ranges
            continue
        y_NC = records.data.y[exported.tier][validation]
        patients.append(records.data.patient_id[validation])
        for each, found in zip(both, folds, strict=True):
            p_NC = part.mean(each.probabilities, exported.weights)
            found.append((y_NC, p_NC[each.of(validation)]))
    check_measurable([y_NC for y_NC, _ in folds[0]], len(rows))
    draws = Resampling(
        [y_NC for y_NC, _ in folds[0]],
        rng=np.random.default_rng(0),
        patients=patients,
        n_resamples=N_RESAMPLES,
    )
    (value, sample_R), (value_int8, sample_int8_R) = (draws.macro(each) for each in folds)
    value_C, _ = draws.classes(folds[0])
    one = next(feeds(records.x_NLT[rows[:1]], records.features(rows[:1])))
    return Int8(
        content=content,
        n_bytes_float=model.ByteSize(),
        latency=latency(content, one),
        latency_float=latency(model.SerializeToString(), one),
        macro_auprc=value_int8,
        macro_auprc_float=value,
        difference=centred_interval(value_int8 - value, sample_int8_R - sample_R, bounds=DIFFERENCE),
        n_records=sum(map(len, patients)),
        n_classes=int(np.count_nonzero(~np.isnan(value_C))),
    )
