"""Initial weights, all drawn from one generator."""

import torch
from torch import nn

from search.models.layers import FeatureGate
from search.models.sequence import TransformerLayer
from search.models.state_space import StateSpaceLayer

OUTPUT_DEVIATION = 0.01
"""Standard deviation of the output layer's initial weights (Lin et al. 2017, section 4.1)."""


def initialise(model: nn.Module, output: nn.Linear, generator: torch.Generator) -> None:
    """Draw all weights of a model.

    Args:
        model: with storage, its values of no account.
        output: its output layer, which starts from hardly any confidence.
        generator: a CPU generator.
    """
    named = dict(model.named_modules())
    done: set[nn.Module] = set()
    for module in named.values():
        if module in done:
            continue
        if isinstance(module, StateSpaceLayer):
            module.initialise(generator)
            done |= set(module.modules())
        elif isinstance(module, nn.Conv2d | nn.Linear):
            _initialise_dense(module, generator, is_output=module is output)
        elif isinstance(module, nn.LSTM | nn.GRU):
            _initialise_recurrent(module, generator)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            module.reset_parameters()
    for module in named.values():
        if isinstance(module, FeatureGate):
            _pair_units(module.squeeze)
        elif isinstance(module, TransformerLayer):
            # Without a ReLU behind it He's variance would make the sharpest attention at the start.
            for layer in (module.query_key_value, module.attended, module.narrow):
                nn.init.xavier_uniform_(layer.weight, generator=generator)


def _initialise_dense(layer: nn.Conv2d | nn.Linear, generator: torch.Generator, *, is_output: bool) -> None:
    if is_output:
        # Without a ReLU behind it He's variance would start from confident guesses.
        nn.init.normal_(layer.weight, std=OUTPUT_DEVIATION, generator=generator)
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if isinstance(layer, nn.Conv2d):
        layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)


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
