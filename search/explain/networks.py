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
    """The members of an exported model, and what a signal goes through before them."""

    folder: ModelFolder
    apply_filter: Filter
    members: tuple[KeptModel, ...]
    weights: tuple[float, ...]
    """Share of every member in the average; they sum to 1."""

    def filtered(self, x_LT: NDArray[np.int16]) -> NDArray[np.int16]:
        """Microvolts of one record after the filter."""
        filtered_NLT = self.apply_filter(x_LT[None], self.folder.preprocessing.rate_hz)
        filtered_LT: NDArray[np.int16] = filtered_NLT[0]
        return filtered_LT

    def features(self, filtered_LT: NDArray[np.int16]) -> NDArray[np.float32] | None:
        """Hand-crafted features of one record, shape (K,); None where the model wants none."""
        if not self.folder.preprocessing.features:
            return None
        features_K: NDArray[np.float32] = record_inputs(filtered_LT[None], self.folder.preprocessing)[0]
        return features_K

    def probabilities(self, filtered_LT: NDArray[np.int16]) -> NDArray[np.float64]:
        """Mean probabilities of the members for one record, shape (C,), as the exported graph has them."""
        signal_1LT = torch.from_numpy(np.ascontiguousarray(filtered_LT)).float()[None]
        features_K = self.features(filtered_LT)
        total_C = np.zeros(len(self.members[0].classes))
        for kept, weight in zip(self.members, self.weights, strict=True):
            with torch.inference_mode():
                z_1C = member_logits(kept, signal_1LT, features_K).double()
                categorical = is_categorical(kept.architecture, exclusive=kept.is_exclusive)
                p_1C = (torch.softmax(z_1C, dim=1) if categorical else torch.sigmoid(z_1C)).numpy()
            total_C += weight * (as_distribution(p_1C) if kept.is_exclusive else p_1C)[0]
        return total_C


def member_logits(kept: KeptModel, x_BLT: Tensor, features_K: NDArray[np.float32] | None) -> Tensor:
    """Logits `z_BC` of one member in float32.

    Args:
        kept: The member.
        x_BLT: Microvolts after the filter, as floating point numbers.
        features_K: Raw hand-crafted features of the record, the same for the whole batch.
    """
    f_BK: Tensor | None = None
    if kept.scaling is not None:
        assert features_K is not None
        f_BK = torch.from_numpy(kept.scaling.apply(features_K[None])).expand(len(x_BLT), -1)
    z_BC: Tensor = kept.model(kept.statistics.standardise(x_BLT), f_BK)
    return z_BC.float()


def load_networks(path: Path) -> Networks:
    """Open a folder that `export` wrote.

    Raises:
        DataError: It is no such folder, damaged, of a newer version, or its weights are of another model.
        UsageError: The model is one of beats.
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
