"""Probabilities of records, batch by batch.

Shapes: F fold, N record, B batch, L lead, T time, C class, K hand-crafted feature.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from search.errors import is_out_of_memory
from search.models.hybrid import HybridModel
from search.training.device import autocast

BATCH = 256
BATCH_GPU = 2048
LARGEST_TENSOR = {"cuda": 2**27}
"""Numbers in the largest tensor between two layers, by type of device: half a gigabyte in float32. A layer
may need some ten times as much, such as one with complex spectra. Batches of a CPU are small as they are."""

Fetch = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Function from rows to standardised signals `x_BLT` and, if the model has them as inputs, features."""

_room: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""Records that a model takes at once, where that was found out."""


@torch.inference_mode()
def logits(model: HybridModel, rows_N: Tensor, batch: Fetch) -> Tensor:
    """Logits `z_NC` in float32; the model is left in evaluation mode.

    Args:
        model: on the device of `rows_N`.
        rows_N: records, one or more.
        batch: fetches records.

    Raises:
        torch.OutOfMemoryError: there is no room for a single record.
    """
    model.eval()

    def of_some(first: int, last: int) -> Tensor:
        x_BLT, f_BK = batch(rows_N[first:last])
        with autocast(rows_N.device):
            z_BC: Tensor = model(x_BLT, f_BK).float()
        return z_BC

    return _in_batches(model, of_some, len(rows_N), rows_N.device)


@torch.inference_mode()
def probabilities_of_folds(
    model: HybridModel, rows_FN: Sequence[Tensor], batches: Sequence[Fetch], *, categorical: bool
) -> list[NDArray[np.float32]]:
    """Probabilities `p_NC` of every fold's own records; the model is left in training, as it was.

    Args:
        model: that of all folds, made by `search.models.folded.fold_models`.
        rows_FN: records of every fold, one or more; as many as it has.
        batches: fetches records, as each fold sees them.
        categorical: whether classes share one softmax.

    Raises:
        torch.OutOfMemoryError: there is no room for a single record of every fold.
    """
    device, longest = rows_FN[0].device, max(map(len, rows_FN))
    # The last record of a fold that has fewer again and again: its probabilities do not change.
    numbers = torch.arange(longest, device=device)
    padded_FN = [rows[numbers.clamp(max=len(rows) - 1)] for rows in rows_FN]

    def of_some(first: int, last: int) -> Tensor:
        fetched = [batch(rows[first:last]) for batch, rows in zip(batches, padded_FN, strict=True)]
        x_FBLT = torch.stack([x_BLT for x_BLT, _ in fetched], dim=1).transpose(0, 1)
        features = [f_BK for _, f_BK in fetched if f_BK is not None]
        with autocast(device):
            z_FBC: Tensor = model(x_FBLT, torch.stack(features) if features else None).float()
        return z_FBC

    model.eval()
    try:
        z_FNC = _in_batches(model, of_some, longest, device, n_folds=len(rows_FN))
    finally:
        model.train()
    p_FNC = probabilities(z_FNC, categorical=categorical)
    return [p_NC[: len(rows)] for p_NC, rows in zip(p_FNC, rows_FN, strict=True)]


@torch.inference_mode()
def probabilities(z_NC: Tensor, *, categorical: bool) -> NDArray[Any]:
    """Probabilities of logits, in their precision.

    Args:
        z_NC: logits.
        categorical: whether classes share one softmax.
    """
    return (torch.softmax(z_NC, dim=-1) if categorical else torch.sigmoid(z_NC)).cpu().numpy()


def _in_batches(
    model: nn.Module,
    logits: Callable[[int, int], Tensor],
    n_records: int,
    device: torch.device,
    n_folds: int = 1,
) -> Tensor:
    """Logits of all records, in batches for which there is room.

    Args:
        model: what computes them.
        logits: from the first record and the one behind the last to `z_BC` or `z_FBC`.
        n_records: records of every fold.
        device: that of the model.
        n_folds: folds of the model.
    """
    if device.type in LARGEST_TENSOR and model not in _room:
        _room[model] = max(1, LARGEST_TENSOR[device.type] // _largest_tensor(model, partial(logits, 0, 1)))
    usual = BATCH if device.type == "cpu" else max(1, BATCH_GPU // n_folds)
    parts, done = [], 0
    while done < n_records:
        size = min(usual, _room.get(model, usual))
        part = _if_there_is_room(partial(logits, done, min(n_records, done + size)), or_raise=size == 1)
        if part is None:
            _room[model] = size // 2
        else:
            parts.append(part)
            done += part.shape[-2]
    return torch.cat(parts, dim=-2)


def _if_there_is_room(call: Callable[[], Tensor], *, or_raise: bool) -> Tensor | None:
    """Result of a call; None if memory ran out. The error and the frames of its traceback are freed."""
    try:
        return call()
    except Exception as error:
        if or_raise or not is_out_of_memory(error):
            raise
    return None


def _largest_tensor(model: nn.Module, call: Callable[[], Tensor]) -> int:
    """Numbers in the largest tensor between two layers while `call` uses the model."""
    largest = 1

    def note(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return largest
