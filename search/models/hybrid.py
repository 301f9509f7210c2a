"""The CNN–RNN hybrid of an architecture, initialised from one generator.

Shapes: B batch, L lead, C channel or class, T time.
"""

import torch
from torch import Tensor, nn

import space
from search.models.layers import ConvolutionBlock, DenseBlock, Dropout, FeatureGate, RecurrentStack

SPATIAL_DROPOUT = 0.1
"""After the first and second convolution block and between recurrent layers (Jafari & Jafari, Table 1)."""
DENSE_DROPOUT = 0.5
OUTPUT_DEVIATION = 0.01
"""Standard deviation of the output layer's initial weights (Lin et al. 2017, section 4.1)."""


class HybridModel(nn.Module):
    """Convolutions, recurrent layers, mean over time, gate and dense layers (Jafari & Jafari, Table 1)."""

    def __init__(self, architecture: space.Architecture, n_outputs: int, n_leads: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        width = n_leads
        for kernel, factor in zip(space.KERNEL_SIZES, space.WIDTH_FACTORS, strict=True):
            channels = architecture.conv_width * factor
            is_last = factor == space.WIDTH_FACTORS[-1]
            self.blocks.append(ConvolutionBlock(width, channels, kernel, 0.0 if is_last else SPATIAL_DROPOUT))
            width = channels
        self.recurrent: RecurrentStack | None = None
        if architecture.recurrent:
            assert architecture.hidden_size is not None
            self.recurrent = RecurrentStack(
                architecture.recurrent, width, architecture.hidden_size, SPATIAL_DROPOUT
            )
        width = architecture.pooled_width
        self.gate = FeatureGate(width, architecture.gate) if architecture.gate else None
        self.head = nn.Sequential(
            DenseBlock(width, architecture.head_width, DENSE_DROPOUT),
            DenseBlock(architecture.head_width, architecture.head_width // 2, DENSE_DROPOUT),
            nn.Linear(architecture.head_width // 2, n_outputs),
        )

    def forward(self, x_BLT: Tensor) -> Tensor:
        """Logits `z_BC` of standardised signals `x_BLT`."""
        x_BC1T = self.blocks(x_BLT.unsqueeze(2).contiguous(memory_format=torch.channels_last))
        x_BTC = x_BC1T.squeeze(2).transpose(1, 2)
        if self.recurrent is not None:
            x_BTC = self.recurrent(x_BTC)
        x_BC = x_BTC.float().mean(dim=1)
        if self.gate is not None:
            x_BC = self.gate(x_BC)
        return torch.as_tensor(self.head(x_BC))

    @torch.no_grad()
    def predict_at_first(self, p_C: Tensor) -> None:
        """Set the output bias so that an untrained model predicts about `p_C`, the prevalence of each class.

        Otherwise a short schedule is spent on learning that most classes are rare (Lin et al. 2017, 3.3).
        """
        output = self.head[-1]
        assert isinstance(output, nn.Linear)
        output.bias.copy_(torch.logit(p_C))

    def draw_dropout_from(self, generator: torch.Generator) -> None:
        """Make every dropout layer draw from `generator`."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator


def build_model(
    architecture: space.Architecture,
    n_outputs: int,
    *,
    generator: torch.Generator,
    n_leads: int = space.N_LEADS,
) -> HybridModel:
    """The model of `architecture` with `n_outputs` logits, on the CPU.

    Args:
        architecture: any point of the space.
        n_outputs: classes of the label tier.
        generator: the only source of the initial weights; a CPU generator.
        n_leads: leads of the signal.
    """
    # Built without storage first: PyTorch's own initialisation would draw from the global generator.
    with torch.device("meta"):
        model = HybridModel(architecture, n_outputs, n_leads)
    model = model.to_empty(device="cpu")
    output = model.head[-1]
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if module is output:
                # Without a ReLU behind it He's variance would start from confident guesses.
                nn.init.normal_(module.weight, std=OUTPUT_DEVIATION, generator=generator)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        elif isinstance(module, nn.LSTM | nn.GRU):
            _initialise_recurrent(module, generator)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
    if model.gate is not None:
        _pair_units(model.gate.squeeze)
    return model


def _pair_units(layer: nn.Linear) -> None:
    """Make every second unit the opposite of the one before it; each keeps He's distribution.

    Pooled features differ little between records at first, so that a unit is on or off for all of them. Of
    two independent units, the narrowest gate of the wide space, both were off in one model of twenty, and a
    gate that is off gets no gradient; of two opposite units one is always on.
    """
    with torch.no_grad():
        n_pairs = layer.out_features // 2
        layer.weight[1::2] = -layer.weight[0 : 2 * n_pairs : 2]


def _initialise_recurrent(layer: nn.LSTM | nn.GRU, generator: torch.Generator) -> None:
    """Keras' defaults, which the seed used: Glorot inputs, orthogonal states, forget bias one."""
    size = layer.hidden_size
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter, generator=generator)
        elif name.startswith("weight_hh"):
            for gate in torch.split(parameter.detach(), size):
                nn.init.orthogonal_(gate, generator=generator)
        else:
            nn.init.zeros_(parameter)
            if isinstance(layer, nn.LSTM) and name.startswith("bias_ih"):
                # PyTorch orders the gates input, forget, cell, output.
                nn.init.ones_(parameter.detach()[size : 2 * size])


def n_trainable_parameters(model: nn.Module) -> int:
    """Number of trainable parameters of a built model."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
