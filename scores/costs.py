"""Costs of a model: names, words and units, the same for the search, the reports and the command line.

A cost is a positive whole number that is known before training. One of them is the second objective of a
study; any of them can be limited.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DEFAULT_COST = "parameters"

Unit = Literal["", "bytes", "microseconds"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CostKind:
    """A kind of cost."""

    words: str
    """Noun in sentences: behind a count, `12,345 parameters`; behind a unit and "of", `256 KiB of memory`."""
    head: str
    """Head of a column."""
    axis: str
    """Label of an axis of a figure."""
    order: str
    """Direction from best to worst: `from few parameters to many`."""
    small: str = "small"
    """Adjective of a model with low cost; its comparative and superlative end in -er and -est."""
    unit: Unit = ""
    """Unit of the value, where it is not in the words."""
    adds: bool = True
    """Whether that of several models, one after the other, is the sum; else the largest counts."""

    @property
    def metric(self) -> str:
        """Name of the objective for Optuna, with the unit of its numbers."""
        unit = {"": "", "bytes": " (bytes)", "microseconds": " (µs)"}[self.unit]
        return f"{self.words}{unit}"


COSTS: Mapping[str, CostKind] = {
    "parameters": CostKind(
        words="parameters",
        head="parameters",
        axis="trainable parameters",
        order="from few parameters to many",
    ),
    "macs": CostKind(
        words="MACs",
        head="MACs",
        axis="multiply–accumulates of one record",
        order="from few MACs to many",
    ),
    "bytes": CostKind(
        words="weights",
        head="weights",
        axis="bytes of weights in fp32",
        order="from small weights to large",
        unit="bytes",
    ),
    "bytes-int8": CostKind(
        words="weights (int8)",
        head="weights (int8)",
        axis="bytes of weights in int8",
        order="from small weights to large",
        unit="bytes",
    ),
    "memory": CostKind(
        words="memory",
        head="memory",
        axis="peak activation memory in fp32, bytes",
        order="from little memory to much",
        unit="bytes",
        adds=False,
    ),
    "memory-int8": CostKind(
        words="memory (int8)",
        head="memory (int8)",
        axis="peak activation memory in int8, bytes",
        order="from little memory to much",
        unit="bytes",
        adds=False,
    ),
    "latency": CostKind(
        words="latency",
        head="latency",
        axis="latency of one record on one CPU thread",
        order="from low latency to high",
        small="fast",
        unit="microseconds",
    ),
}
"""Kinds of costs by name. Memory is that of the activations of one record."""

MINIMISED = ("parameters", "macs", "bytes", "memory", "latency")
"""Costs that a study can minimise."""
LATENCY = "latency"
"""The one that is measured: it depends on the machine."""
LATENCY_P99 = "latency-p99"
"""99th percentile of the latency, kept beside the costs of a trial."""
THROUGHPUT = "throughput"
"""Records a second on one CPU thread in batches, kept beside the costs of a trial."""
