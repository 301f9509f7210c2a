"""The members of an exported model in PyTorch, as functions of a signal that gradients can be taken of.

Shapes: N record, B batch, L lead, T time, C class, K hand-crafted feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.data.labels.projection import as_distribution
from search.data.signals.filters import Filter
from search.errors import DataError
from search.export.folder import ModelFolder
from search.export.weights import read_members
from search.predict.model import open_folder, record_inputs
from search.training.losses import is_categorical
from search.training.model_file import KeptModel


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Networks:
    """The members of an exported model, with their preprocessing."""

    folder: ModelFolder
    apply_filter: Filter
    members: tuple[KeptModel, ...]
    weights: tuple[float, ...]
    """Share of every member in the average; they sum to 1."""

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
        return record_inputs(x_NLT, self.folder.preprocessing)

    def probabilities(self, x_NLT: NDArray[np.int16]) -> NDArray[np.float64]:
        """Mean probabilities of the members, shape (N, C), as the exported graph has them.

        Args:
            x_NLT: Microvolts before the filter.
        """
        signal_NLT = torch.from_numpy(np.ascontiguousarray(self.filtered(x_NLT))).float()
        features_NK = self.features(x_NLT)
        total_NC = np.zeros((len(x_NLT), len(self.members[0].classes)))
        for kept, weight in zip(self.members, self.weights, strict=True):
            with torch.inference_mode():
                z_NC = member_logits(kept, signal_NLT, features_NK).double()
                categorical = is_categorical(kept.architecture, exclusive=kept.is_exclusive)
                p_NC = (torch.softmax(z_NC, dim=1) if categorical else torch.sigmoid(z_NC)).numpy()
            total_NC += weight * (as_distribution(p_NC) if kept.is_exclusive else p_NC)
        return total_NC


def member_logits(kept: KeptModel, x_BLT: Tensor, features_BK: NDArray[np.float32] | None) -> Tensor:
    """Logits `z_BC` of one member in float32.

    Args:
        kept: The member.
        x_BLT: Microvolts after the filter, as floating point numbers.
        features_BK: Raw hand-crafted features; of shape (1, K) they are the same for the whole batch.
    """
    f_BK: Tensor | None = None
    if kept.scaling is not None:
        assert features_BK is not None
        f_BK = torch.from_numpy(kept.scaling.apply(features_BK)).expand(len(x_BLT), -1)
    z_BC: Tensor = kept.model(kept.statistics.standardise(x_BLT), f_BK)
    return z_BC.float()


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
