"""Widths and trainable parameters of the parts of an architecture in closed form.

`search.models.costs` adds them up. PyTorch's conventions: recurrent layers have two bias vectors per gate,
batch norm a scale and a shift per channel.
"""

from __future__ import annotations

from search.models.frontends.layers import Layers, Recurrent, squeezed_width
from space import HEADS, Architecture, RecurrentLayer, load_code

FEATURE_WIDTH = 64
"""Units of the branch of hand-crafted features; HC-CNN-TN gives no number."""


def front_end_layers(architecture: Architecture, n_leads: int) -> Layers:
    """Layers of the front end on signals of `n_leads` leads."""
    make = load_code(architecture.front_end.layers)
    stride = {"stride": architecture.stride} if architecture.front_end.strides else {}
    layers: Layers = make(n_leads, architecture.conv_width, architecture.kernel, **stride)
    return layers


def recurrent_width(stack: tuple[RecurrentLayer, ...], hidden_size: int | None, width: int) -> int:
    """Features per time step that leave the recurrent stack on `width` of them."""
    return stack[-1].n_directions * (hidden_size or 0) if stack else width


def attention_width(width: int) -> int:
    """Hidden units of the attention over time on `width` features."""
    return max(1, width // 4)


def pooling_size(pooling: str, width: int) -> tuple[int, int]:
    """Features after pooling `width` of them over time, and its parameters."""
    if pooling == "attention":
        hidden = attention_width(width)
        return width, width * hidden + hidden + hidden
    return {"mean-max": 2, "last-mean-max": 3}.get(pooling, 1) * width, 0


def backwards_width(architecture: Architecture, layers: Layers) -> int:
    """Number of features, the last ones that enter the pooling, of a layer that runs backwards in time.

    Args:
        architecture: any point of the space.
        layers: its front end.
    """
    if architecture.recurrent:
        is_both = architecture.recurrent[-1].bidirectional
        return (architecture.hidden_size or 0) if is_both else 0
    last = layers[-1] if layers else None
    return last.hidden if isinstance(last, Recurrent) and last.layer.bidirectional else 0


def gate_parameters(width: int, reduction: int) -> int:
    """Parameters of a feature-wise gate on `width` features; none without a gate."""
    if not reduction:
        return 0
    squeezed = squeezed_width(width, reduction)
    return width * squeezed + squeezed + squeezed * width + width


def feature_size(width: int, n_features: int) -> tuple[int, int]:
    """Features after a branch of hand-crafted ones has joined `width` of them, and its parameters."""
    if not n_features:
        return width, 0
    return width + FEATURE_WIDTH, n_features * FEATURE_WIDTH + FEATURE_WIDTH + 2 * FEATURE_WIDTH


def head_widths(head: str, head_width: int | None) -> tuple[int, ...]:
    """Units of the dense layers before the output."""
    if head_width is None:
        return ()
    return tuple(head_width >> position for position in range(HEADS[head]))


def dense_parameters(n_in: int, n_out: int) -> int:
    """Parameters of a dense layer with bias and batch norm."""
    return n_in * n_out + n_out + 2 * n_out
