"""A loss of one's own, with parameters that are searched: the asymmetric loss (Ridnik et al. 2021).

Shapes: N record, B batch, C class.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import space
from space import AXES, LOSSES, PRESETS, Architecture, Axis, Loss, Preset, number


def asymmetric(
    y_NC: Tensor, *, exclusive: bool, gamma_pos: float, gamma_neg: float, margin: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """−y (1 − p)^γ⁺ log p − (1 − y) p_m^γ⁻ log(1 − p_m), p_m = max(p − m, 0) (equations 4 to 7).

    Negatives with a probability below the margin m cost nothing.
    """

    def loss(z_BC: Tensor, y_BC: Tensor) -> Tensor:
        p_BC = torch.sigmoid(z_BC)
        shifted_BC = F.relu(p_BC - margin)
        positive_BC = (1 - p_BC) ** gamma_pos * F.logsigmoid(z_BC)
        # p − m stays below 1 unless m is 0: there the logarithm comes from the logit.
        log_q_BC = F.logsigmoid(-z_BC) if margin == 0 else torch.log1p(-shifted_BC)
        negative_BC = shifted_BC**gamma_neg * log_q_BC
        return -(y_BC * positive_BC + (1 - y_BC) * negative_BC).mean()

    return loss


# A power below 1 has an infinite slope where a probability is 0.
GAMMA = number("is 0, or lies in [1, 10]", lambda x: x == 0 or 1 <= x <= 10)
AXES["gamma_pos"] = Axis(kind=GAMMA, words="γ⁺ of the asymmetric loss", paper=(0.0, 1.0), of="loss")
AXES["gamma_neg"] = Axis(kind=GAMMA, words="γ⁻ of the asymmetric loss", paper=(2.0, 4.0), of="loss")
AXES["margin"] = Axis(
    kind=number("lies in [0, 0.5]", lambda x: 0 <= x <= 0.5),
    words="margin of the asymmetric loss",
    paper=(0.0, 0.05),
    of="loss",
)

LOSSES["asymmetric"] = Loss(
    words="asymmetric loss γ⁺ {gamma_pos:g} γ⁻ {gamma_neg:g} m {margin:g}",
    make=asymmetric,
    parameters=("gamma_pos", "gamma_neg", "margin"),
)

PRESETS["cnn-asymmetric"] = Preset(
    source="Ridnik et al. 2021",
    summary="convolutions, asymmetric loss",
    architecture=Architecture(loss="asymmetric", own={"gamma_pos": 0.0, "gamma_neg": 4.0, "margin": 0.05}),
)

SPACE = space.extend("wide", loss=("bce", "focal", "asymmetric"), depth=(0, 1), label_smoothing=(0.0, 0.05))
