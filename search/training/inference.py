"""What a model says of records, batch by batch.

Shapes: N record, B batch, L lead, T time, C class, K hand-crafted feature.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.models.hybrid import HybridModel
from search.training.device import autocast

BATCH = 256
BATCH_GPU = 2048


@torch.inference_mode()
def probabilities(
    model: HybridModel,
    rows_N: Tensor,
    batch: Callable[[Tensor], tuple[Tensor, Tensor | None]],
    *,
    categorical: bool,
) -> NDArray[np.float32]:
    """Probabilities `p_NC`; the model is left in evaluation mode.

    Args:
        model: on the device of `rows_N`.
        rows_N: records, one or more.
        batch: from some of the rows to standardised signals `x_BLT` and, if the model wants them, features.
        categorical: whether classes share one softmax.
    """
    model.eval()
    parts = []
    for rows in torch.split(rows_N, BATCH if rows_N.is_cpu else BATCH_GPU):
        x_BLT, f_BK = batch(rows)
        with autocast(rows_N.device):
            z_BC = model(x_BLT, f_BK).float()
        parts.append(torch.softmax(z_BC, dim=1) if categorical else torch.sigmoid(z_BC))
    return torch.cat(parts).cpu().numpy()
