"""The members of an exported model in PyTorch, as functions of a signal that gradients can be taken of.

Shapes: N record, B batch, L lead, T time, C class, K hand-crafted feature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from search.data.signals.filters import Filter
from search.data.signals.people import Person
from search.errors import DataError
from search.export.folder import ModelFolder
from search.export.weights import read_members
from search.predict.model import open_folder, record_inputs
from search.training.model_file import KeptModel, mean_probabilities


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Networks:
    """The members of an exported model, with their preprocessing."""

    folder: ModelFolder
    apply_filter: Filter
    members: tuple[KeptModel, ...]
    weights: tuple[float, ...]
    """Share of every member in the average; they sum to 1."""
    person: Person = field(default_factory=Person)
    """Age and sex of the person whose signals they are applied to."""

    def filtered(self, x_NLT: NDArray[np.int16]) -> NDArray[np.int16]:
        """Microvolts after the filter."""
        return self.apply_filter(x_NLT, self.folder.preprocessing.rate_hz)

    def features(self, x_NLT: NDArray[np.int16]) -> NDArray[np.float32] | None:
        """Hand-crafted features, shape (N, K); None where the model uses none.

        Args:
            x_NLT: Microvolts before the filter, as in training.
        """
        if not self.folder.preprocessing.features:
            return None
        return record_inputs(x_NLT, self.folder.preprocessing, [self.person] * len(x_NLT))

    def probabilities(self, x_NLT: NDArray[np.int16]) -> NDArray[np.float64]:
        """Mean probabilities of the members, shape (N, C), as the exported graph has them.

        Args:
            x_NLT: Microvolts before the filter.
        """
        signal_NLT = torch.from_numpy(np.ascontiguousarray(self.filtered(x_NLT))).float()
        return mean_probabilities(self.members, self.weights, signal_NLT, self.features(x_NLT))


def load_networks(path: Path) -> Networks:
    """Open a folder that `export` wrote.

    Raises:
        UsageError: It is no such folder.
        DataError: It is damaged, of a newer version, or its weights are of another model.
    """
    folder, apply_filter = open_folder(path)
    members = read_members(path)
    described = folder.preprocessing.members
    classes = tuple(each.name for each in folder.labels.tiers[0].classes)
    if len(members) != len(described) or any(kept.classes != classes for kept in members):
        raise DataError(f"{path}: the weights are of another model than labels.json; export the model again")
    for kept in members:
        # Gradients go through a front end whose weights are frozen, too; nothing is trained here.
        kept.model.is_frozen = False
        kept.model.requires_grad_(False)
    return Networks(
        folder=folder,
        apply_filter=apply_filter,
        members=members,
        weights=tuple(member.weight for member in described),
    )
