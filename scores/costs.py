"""Costs of a model: names, words and units, the same for the search, the reports and the command line.

A cost is a positive whole number that is known before training. One of them is the second objective of a
study; any of them can be limited.
"""

from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_COST = "parameters"


@dataclass(frozen=True, kw_only=True, slots=True)
class CostKind:
    """A kind of cost."""

    words: str
    """In sentences, behind a number: `12,345 parameters`."""
    head: str
    """At the head of a column."""
    axis: str
    """At an axis of a figure."""
    is_bytes: bool = False
    """Whether it counts bytes, which are limited with units such as KiB."""


COSTS: Mapping[str, CostKind] = {
    "parameters": CostKind(words="parameters", head="parameters", axis="trainable parameters"),
    "macs": CostKind(words="MACs", head="MACs", axis="multiply–accumulates of one record"),
    "bytes": CostKind(
        words="bytes of weights", head="weights", axis="bytes of weights in fp32", is_bytes=True
    ),
    "bytes-int8": CostKind(
        words="bytes of int8 weights", head="weights (int8)", axis="bytes of weights in int8", is_bytes=True
    ),
    "memory": CostKind(
        words="bytes of memory", head="memory", axis="peak activation memory in fp32, bytes", is_bytes=True
    ),
    "memory-int8": CostKind(
        words="bytes of int8 memory",
        head="memory (int8)",
        axis="peak activation memory in int8, bytes",
        is_bytes=True,
    ),
}
"""Kinds of costs by name. Memory is that of the activations of one record."""

OBJECTIVES = ("parameters", "macs", "bytes", "memory")
"""Costs that a study can minimise."""
