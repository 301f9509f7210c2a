"""The model of an architecture.

Shapes: B batch, L lead, C channel or class, T time, K hand-crafted feature.
"""

import contextlib
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

import space
from search.models.build import sequential
from search.models.costs import count_parameters
from search.models.frontends.layers import width_after
from search.models.initial import initialise
from search.models.modules import (
    AttentionPooling,
    DenseBlock,
    Dropout,
    FeatureGate,
    LastMeanMaxPooling,
    MeanMaxPooling,
    MeanPooling,
    Output,
    channels_last,
    full_precision,
)
from search.models.parameters import (
    FEATURE_WIDTH,
    backwards_width,
    feature_size,
    front_end_layers,
    head_widths,
    pooling_size,
    recurrent_width,
)
from search.models.sequence import RecurrentStack
from space import TWELVE_LEADS

SPATIAL_DROPOUT = 0.1
"""Dropout between recurrent layers (Jafari & Jafari, Table 1)."""


class HybridModel(nn.Module):
    """Front end, recurrent layers, pooling over time, gate, hand-crafted features and head."""

    def __init__(self, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> None:
        super().__init__()
        a = architecture
        n_leads = space.count_leads(a.leads, inputs.n_leads)
        layers = front_end_layers(a, n_leads)
        self.blocks = sequential(layers)
        self.is_frozen = a.front_end.frozen
        width = width_after(layers, n_leads)
        self.recurrent: RecurrentStack | None = None
        if a.recurrent:
            assert a.hidden_size is not None
            self.recurrent = RecurrentStack(a.recurrent, width, a.hidden_size, SPATIAL_DROPOUT)
        width = recurrent_width(a.recurrent, a.hidden_size, width)
        makers: dict[str, Callable[[], nn.Module]] = {
            "mean": MeanPooling,
            "mean-max": MeanMaxPooling,
            "last-mean-max": lambda: LastMeanMaxPooling(backwards_width(a, layers)),
            "attention": lambda: AttentionPooling(width),
        }
        self.pooling = makers[a.pooling]()
        width, _ = pooling_size(a.pooling, width)
        self.gate = FeatureGate(width, a.gate) if a.gate else None
        self.features: nn.Sequential | None = None
        if a.features:
            self.features = nn.Sequential(
                nn.Linear(inputs.n_features, FEATURE_WIDTH), nn.BatchNorm1d(FEATURE_WIDTH), nn.ReLU()
            )
            width, _ = feature_size(width, inputs.n_features)
        self.head = _head(a, width, n_outputs)
        if a.front_end.frozen:
            self.freeze_front_end()

    def forward(self, x_BLT: Tensor, f_BK: Tensor | None = None) -> Tensor:
        """Logits `z_BC` of standardised signals `x_BLT` and, where the model uses them, features."""
        with torch.no_grad() if self.is_frozen else contextlib.nullcontext():
            x_BC1T = self.blocks(channels_last(x_BLT.unsqueeze(-2)))
        x_BTC = x_BC1T.squeeze(-2).transpose(-2, -1)
        if self.recurrent is not None:
            x_BTC = self.recurrent(x_BTC)
        x_BC = self.pooling(full_precision(x_BTC))
        if self.gate is not None:
            x_BC = self.gate(x_BC)
        if self.features is not None:
            assert f_BK is not None
            x_BC = torch.cat([x_BC, self.features(f_BK)], dim=-1)
        return torch.as_tensor(self.head(x_BC))

    @torch.no_grad()
    def set_initial_output(self, p_C: Tensor) -> None:
        """Set the output bias so that an untrained model predicts about `p_C`, the prevalence of each class.

        Otherwise a short schedule is spent on learning that most classes are rare (Lin et al. 2017, 3.3).
        """
        output = self.head[-1]
        assert isinstance(output, nn.Linear)
        output.bias.copy_(torch.logit(p_C))

    def begin_with(self, weights: Mapping[str, Tensor], *, whole: bool) -> None:
        """Take over the weights of another model.

        Args:
            weights: its state, in which the front end is as here.
            whole: all of them, of the same network; else those of the front end alone.
        """
        taken = {name: each for name, each in weights.items() if whole or name.startswith("blocks.")}
        self.load_state_dict(self.state_dict() | taken)

    def freeze_front_end(self) -> None:
        """Keep the weights of the front end as they are; batch norms still follow the data."""
        self.is_frozen = True
        self.blocks.requires_grad_(False)

    def draw_dropout_from(self, generator: torch.Generator) -> None:
        """Make every dropout layer draw from `generator`."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator


def _head(architecture: space.Architecture, width: int, n_outputs: int) -> nn.Sequential:
    """Dense layers and the output, in the order of Jafari & Jafari or of Strodthoff et al. 2021."""
    widths = (width, *head_widths(architecture.head, architecture.head_width))
    dropout = architecture.dropout
    blocks: list[nn.Module] = []
    if architecture.head == "bottleneck":
        blocks += [nn.BatchNorm1d(width), Dropout(dropout / 2)]
    blocks += [DenseBlock(n_in, n_out, dropout) for n_in, n_out in pairwise(widths)]
    if architecture.head == "linear":
        blocks.append(Dropout(dropout))
    return nn.Sequential(*blocks, Output(widths[-1], n_outputs))


def build_model(
    architecture: space.Architecture,
    n_outputs: int,
    *,
    generator: torch.Generator,
    inputs: space.Inputs = TWELVE_LEADS,
) -> HybridModel:
    """The model of `architecture` with `n_outputs` logits, on the CPU.

    Args:
        architecture: any point of the space.
        n_outputs: classes of the label tier.
        generator: the only source of the initial weights; a CPU generator.
        inputs: inputs that the data set offers.

    Raises:
        ValueError: the closed form counts other parameters than the model has.
        UninitialisedError: a module leaves weights unset.
    """
    # Built without storage first: PyTorch's own initialisation would draw from the global generator.
    with torch.device("meta"):
        model = HybridModel(architecture, n_outputs, inputs)
    counted = count_parameters(architecture, n_outputs, inputs)
    if n_parameters(model) != counted:
        raise ValueError(
            f"{architecture.describe()} has {n_parameters(model):,} parameters, {counted:,} by the closed "
            "form: correct `parameters` of its cell, or `n_parameters` of a layer of its front end"
        )
    model = model.to_empty(device="cpu")
    output = model.head[-1]
    assert isinstance(output, nn.Linear)
    initialise(model, output, generator)
    return model


def n_parameters(model: nn.Module) -> int:
    """Weights of a built model, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())
