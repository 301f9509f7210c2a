"""Attributions: which parts of a signal a logit rests on, by Grad-CAM and by integrated gradients.

Shapes: B batch, L lead, T time, S time step behind some layers, C class or channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from search.errors import UsageError
from search.explain.networks import Networks
from search.models import modules, sequence, state_space
from search.training.model_file import KeptModel

Floats = NDArray[np.float64]
Method = Literal["gradcam", "ig"]

FIRST_STEPS: Final = 32
"""Points on the path of integrated gradients at first, doubled until the sum is complete."""
MOST_STEPS: Final = 512
RELATIVE_TOLERANCE: Final = 0.01
ABSOLUTE_TOLERANCE: Final = 0.01
"""Tolerance in logits: it changes a probability by at most .0025, far above the rounding of float32."""
PATH_BATCH: Final = 16
"""Points of the path that a member sees at once, which bounds the memory of the gradients."""

_CONVOLUTIONS: Final = (modules.Convolution, state_space.StateSpaceLayer)
"""A state-space layer is a convolution with a kernel as long as the signal."""
_ELEMENTWISE: Final = (nn.BatchNorm2d, nn.ReLU, nn.Identity, modules.Dropout, modules.Pool)
"""Operations merged with the convolution before them: Grad-CAM takes feature maps behind the activation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completeness:
    """Whether integrated gradients sum to what they explain (Sundararajan et al. 2017, proposition 1)."""

    total: float
    """Sum of the attributions over leads and time."""
    difference: float
    """Logit of the record minus logit of the baseline."""
    n_steps: int
    """Points on the path."""

    @property
    def error(self) -> float:
        """Absolute difference of the two."""
        return abs(self.total - self.difference)

    @property
    def is_complete(self) -> bool:
        """Whether the error is within one percent of the difference, or a hundredth of a logit."""
        return self.error <= max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * abs(self.difference))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Attribution:
    """The map of one class."""

    method: Method
    values_LT: Floats
    """Map at the model's rate: of Grad-CAM one row for all leads, not negative; of integrated gradients a
    row for each lead, in logits, with sign."""
    completeness: Completeness | None
    """None of Grad-CAM, which has no such property."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AttentionWeights:
    """Attention weight of each sample."""

    name: str
    """Attending part of the model, in words."""
    weights_T: Floats
    """Mean over the members, of sum 1."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Internals:
    """Weights that the model itself computes: attention and gates."""

    attention: tuple[AttentionWeights, ...]
    """Empty where it does not attend to anything."""
    gate_MC: tuple[Floats, ...]
    """Weight in (0, 1) of each feature, for each member with a gate. A gate stands behind the pooling: it
    weighs features and has no axis of time."""


def attribute(networks: Networks, x_LT: NDArray[np.int16], column: int, method: Method) -> Attribution:
    """The map of one class for one record.

    Args:
        networks: The model.
        x_LT: Microvolts before the filter, at the rate of the model; of all functions here.
        column: The class.
        method: How.

    Raises:
        UsageError: captum is not installed, or a model without a convolution has no Grad-CAM.
    """
    if method == "gradcam":
        map_1T = grad_cam(networks, x_LT[None], column)
        return Attribution(method=method, values_LT=map_1T, completeness=None)
    values_LT, completeness = integrated_gradients(networks, x_LT, column)
    return Attribution(method=method, values_LT=values_LT, completeness=completeness)


def captum_attr() -> Any:
    """The module `captum.attr`.

    Raises:
        UsageError: It is not installed.
    """
    try:
        from captum import attr
    except ImportError:
        raise UsageError("explain needs captum: pip install '.[explain]'") from None
    return attr


def attribute_each(networks: Networks, x_NLT: NDArray[np.int16], column: int, method: Method) -> Floats:
    """The maps of one class for several records, shape (N, 1, T), or (N, L, T) of integrated gradients.

    Raises:
        UsageError: As `attribute`.
    """
    if method == "gradcam":
        return grad_cam(networks, x_NLT, column)[:, None]
    return np.stack([integrated_gradients(networks, x_LT, column)[0] for x_LT in x_NLT])


# ---------------------------------------------------------------------------------------------------------
# Grad-CAM


def grad_cam(networks: Networks, x_NLT: NDArray[np.int16], column: int) -> Floats:
    """Grad-CAM over time at the last convolution, ReLU(Σ_c α_c A_cs) with α_c = mean_s ∂z/∂A_cs.

    Selvaraju et al. 2017, equations 1 and 2, with one axis of time in place of an image. The map of every
    member is interpolated linearly between the samples that its steps are centred on, then averaged.

    Returns:
        Numbers that are not negative, shape (N, T).

    Raises:
        UsageError: captum is not installed, or a member has no convolution.
    """
    attr = captum_attr()
    signal_NLT = _signals(networks, x_NLT).requires_grad_()
    features_NK = networks.features(x_NLT)
    n_samples = x_NLT.shape[2]
    total_NT = np.zeros((len(x_NLT), n_samples))
    for kept, weight in zip(networks.members, networks.weights, strict=True):
        place = last_convolution(kept)
        layer = kept.model.blocks[place]  # type: ignore[index]
        forward = partial(_forward, kept, features_NK)
        cam = attr.LayerGradCam(forward, layer).attribute(signal_NLT, column, relu_attributions=True)
        cam_NS = cam.detach().double().numpy().reshape(len(x_NLT), -1)
        at_S = centres(list(kept.model.blocks.children())[: place + 1], cam_NS.shape[1], n_samples)
        total_NT += weight * np.stack([np.interp(np.arange(n_samples), at_S, cam_S) for cam_S in cam_NS])
    return total_NT


def last_convolution(kept: KeptModel) -> int:
    """Place among the layers of the front end whose output Grad-CAM takes as feature maps.

    That is the last layer that convolves, or the last block with such a layer, and what stands directly
    behind it of batch norm, ReLU and pooling.

    Raises:
        UsageError: No layer convolves.
    """
    parts = list(kept.model.blocks.children())
    convolving = [
        place
        for place, part in enumerate(parts)
        if any(isinstance(module, _CONVOLUTIONS) for module in part.modules())
    ]
    if not convolving:
        raise UsageError(
            f"--method gradcam: {kept.architecture.describe()} has no convolution; take --method ig"
        )
    last = convolving[-1]
    while last + 1 < len(parts) and isinstance(parts[last + 1], _ELEMENTWISE):
        last += 1
    return last


def centres(layers: list[nn.Module], n_steps: int, n_samples: int) -> Floats:
    """Samples of the signal that the steps behind some layers are centred on, shape (S,).

    Args:
        layers: One after another.
        n_steps: Steps behind them.
        n_samples: Samples before them.
    """
    spacing, first = 1.0, 0.0
    for layer in layers:
        spacing, first = _sampling(layer, spacing, first)
    at_S: Floats = first + spacing * np.arange(n_steps, dtype=np.float64)
    if abs(at_S[-1] - (n_samples - 1)) > 2 * spacing:  # a layer of a space file that shortens the signal
        return (np.arange(n_steps) + 0.5) * n_samples / n_steps - 0.5
    return at_S


def _sampling(layer: nn.Module, spacing: float, first: float) -> tuple[float, float]:
    """Samples between the centres of two steps, and the centre of the first, behind a layer."""
    if isinstance(layer, modules.Convolution):
        kernel, stride = layer.kernel_size[1], layer.stride[1]
        before = (kernel - 1) // 2
    elif isinstance(layer, modules.Pool):
        kernel, stride, before = layer.kernel, layer.stride, layer.padding
    else:
        inside: list[nn.Module] = []
        if isinstance(layer, nn.Sequential):
            inside = list(layer)
        elif isinstance(layer, modules.Residual):
            inside = [layer.path]
        elif isinstance(layer, modules.Branches):
            inside = [layer.paths[0]]
        for part in inside:
            spacing, first = _sampling(part, spacing, first)
        return spacing, first
    return spacing * stride, first + spacing * ((kernel - 1) / 2 - before)


# ---------------------------------------------------------------------------------------------------------
# Integrated gradients


def baseline(filtered_LT: NDArray[np.int16] | NDArray[np.float32]) -> Floats:
    """The record without waves, shape (L, 1): every lead flat at its median, close to its isoelectric line.

    A baseline of zero would credit the offset of an electrode to the class.
    """
    medians_L1: Floats = np.median(filtered_LT, axis=1, keepdims=True)
    return medians_L1


def integrated_gradients(
    networks: Networks, x_LT: NDArray[np.int16], column: int
) -> tuple[Floats, Completeness]:
    """(x − x') · ∫₀¹ ∂z/∂x (x' + α (x − x')) dα by Gauss–Legendre quadrature (Sundararajan et al. 2017).

    z is the mean logit of the members and x' the `baseline`; hand-crafted features stay those of the record.
    The points on the path are doubled from `FIRST_STEPS` until the attributions sum to z(x) − z(x').

    Returns:
        Attributions in logits, shape (L, T), and how complete they are.

    Raises:
        UsageError: captum is not installed.
    """
    attr = captum_attr()
    features_1K = networks.features(x_LT[None])
    signal_1LT = _signals(networks, x_LT[None])
    flat_1LT = (
        torch.from_numpy(baseline(signal_1LT[0].numpy())).float()[None].expand_as(signal_1LT).contiguous()
    )

    def mean_logits(x_BLT: Tensor) -> Tensor:
        parts = [
            weight * kept.logits(x_BLT, features_1K)
            for kept, weight in zip(networks.members, networks.weights, strict=True)
        ]
        return torch.stack(parts).sum(dim=0)

    with torch.no_grad():
        both_2C = mean_logits(torch.cat([signal_1LT, flat_1LT])).double()
    difference = float(both_2C[0, column] - both_2C[1, column])
    method = attr.IntegratedGradients(mean_logits)
    n_steps = FIRST_STEPS
    while True:
        values = method.attribute(
            signal_1LT, flat_1LT, target=column, n_steps=n_steps, internal_batch_size=PATH_BATCH
        )
        values_LT = values[0].detach().double().numpy()
        found = Completeness(total=float(values_LT.sum()), difference=difference, n_steps=n_steps)
        if found.is_complete or n_steps >= MOST_STEPS:
            return values_LT, found
        n_steps *= 2


def _signals(networks: Networks, x_NLT: NDArray[np.int16]) -> Tensor:
    """Microvolts after the filter, shape (N, L, T)."""
    return torch.from_numpy(np.ascontiguousarray(networks.filtered(x_NLT))).float()


def _forward(kept: KeptModel, features_BK: NDArray[np.float32] | None, x_BLT: Tensor) -> Tensor:
    return kept.logits(x_BLT, features_BK)


# ---------------------------------------------------------------------------------------------------------
# Gates and attention


@torch.no_grad()
def internals(networks: Networks, x_LT: NDArray[np.int16]) -> Internals:
    """Attention over time and gate weights of a model for one record."""
    signal_1LT, n_samples = _signals(networks, x_LT[None]), x_LT.shape[1]
    features_1K = networks.features(x_LT[None])
    attention: dict[str, Floats] = {}
    gates: list[Floats] = []
    for kept, weight in zip(networks.members, networks.weights, strict=True):
        model = kept.model
        found: dict[str, Tensor] = {}
        with _watching(model, found):
            kept.logits(signal_1LT, features_1K)
        for name, weights_1S in found.items():
            weights_S = weights_1S[0].double().numpy()
            if name == "gate":
                gates.append(weights_S)
                continue
            at_S = centres(list(model.blocks.children()), len(weights_S), n_samples)
            weights_T = np.interp(np.arange(n_samples), at_S, weights_S)
            attention[name] = attention.get(name, np.zeros(n_samples)) + weight * weights_T / weights_T.sum()
    return Internals(
        attention=tuple(
            AttentionWeights(name=name, weights_T=weights_T / weights_T.sum())
            for name, weights_T in attention.items()
        ),
        gate_MC=tuple(gates),
    )


@contextmanager
def _watching(model: nn.Module, found: dict[str, Tensor]) -> Iterator[None]:
    """Note the weights of gate, attention pooling and the last self-attention while a model runs."""

    def pooling(module: Any, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        found["attention pooling"] = module.weights(inputs[0])

    def gate(module: Any, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        found["gate"] = module.weights(inputs[0])

    def projected(layer: sequence.TransformerLayer, _: nn.Module, __: object, output: Tensor) -> None:
        padding = layer.padding(output.shape[-2])
        found["self-attention of the last layer"] = received_attention(
            output, layer.n_heads, layer.window, padding
        )

    hooks = []
    for module in model.modules():
        if isinstance(module, modules.AttentionPooling):
            hooks.append(module.register_forward_hook(pooling))
        elif isinstance(module, sequence.TransformerLayer):
            hooks.append(module.query_key_value.register_forward_hook(partial(projected, module)))
    own_gate = getattr(model, "gate", None)
    if own_gate is not None:
        hooks.append(own_gate.register_forward_hook(gate))
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def received_attention(
    projected_BSC: Tensor, n_heads: int, window: int = 0, padding: tuple[int, int] = (0, 0)
) -> Tensor:
    """Attention that every step receives, mean over heads and queries, shape (B, S), of sum 1.

    Args:
        projected_BSC: Queries, keys and values side by side, each of all heads.
        n_heads: Heads.
        window: Steps of a window of a layer that attends in windows; 0 for one that sees all.
        padding: Steps of zeros that fill the first and the last window.
    """
    n_batch, n_steps, width = projected_BSC.shape
    padded = functional.pad(projected_BSC.float(), (0, 0, *padding))
    parts = padded.view(-1, window or n_steps, 3, n_heads, width // 3 // n_heads)
    query, key, _ = parts.permute(2, 0, 3, 1, 4)
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    # Steps that only fill a window are no queries.
    asks_BS = functional.pad(torch.ones(n_batch, n_steps, device=padded.device), padding)
    asks = asks_BS.view(len(parts), 1, -1, 1)
    received_BS = (torch.softmax(scores, dim=-1) * asks).sum(dim=(1, 2)).view(n_batch, -1)
    received_BS = received_BS[:, padding[0] : padding[0] + n_steps]
    return received_BS / received_BS.sum(dim=1, keepdim=True)
