"""What a front end tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from space.layers import Layers


class MakeLayers(Protocol):
    """From leads and first width in channels to layers; `kernel` is None where a front end has no choice."""

    def __call__(self, n_leads: int, width: int, kernel: int | None) -> Layers:
        """The layers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backbone:
    """A front end of the space."""

    words: str
    """Its name in sentences and figures."""
    source: str
    """Where it comes from."""
    layers: MakeLayers
    width: int
    """Channels of its first layer as published; `Architecture.width` scales them and all that follow."""
    kernels: tuple[int, ...] = ()
    """Kernels of its blocks that can be searched, the usual one first; empty if they are fixed."""
    frozen: bool = False
    """Whether it stays as it was drawn, so that only what follows it is trained."""
