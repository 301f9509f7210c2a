"""Modules of layers, from their description."""

from functools import singledispatch

from torch import nn

import search.models.frontends.layers as described
from search.models import mingru, modules, sequence, state_space


def sequential(described_layers: described.Layers) -> nn.Module:
    """Layers one after another; the identity if there are none."""
    parts = [module_of(layer) for layer in described_layers]
    return nn.Sequential(*parts) if parts else nn.Identity()


@singledispatch
def module_of(layer: object) -> nn.Module:
    """The module of a layer, without initial weights; a layer of another type makes it itself, by `module()`.

    Raises:
        TypeError: it cannot.
    """
    if not hasattr(layer, "module"):
        kind = type(layer).__name__
        raise TypeError(f"no module for a layer of type {kind}; give it a method module() that returns one")
    module: nn.Module = layer.module()
    return module


module_of.register(described.Convolution)(modules.Convolution)
module_of.register(described.Pool)(modules.Pool)
module_of.register(described.SqueezeExcitation)(modules.SqueezeExcitation)
module_of.register(described.Recurrent)(sequence.Recurrent)
module_of.register(described.TransformerLayer)(sequence.TransformerLayer)
module_of.register(described.StateSpaceLayer)(state_space.StateSpaceLayer)
module_of.register(described.MinGruLayer)(mingru.MinGruLayer)


@module_of.register
def _(layer: described.BatchNorm) -> nn.Module:
    return nn.BatchNorm2d(layer.width)


@module_of.register
def _(layer: described.Relu) -> nn.Module:
    return nn.ReLU()


@module_of.register
def _(layer: described.SpatialDropout) -> nn.Module:
    return modules.Dropout(layer.rate, spatial=True)


@module_of.register
def _(layer: described.Residual) -> nn.Module:
    return modules.Residual(sequential(layer.path), sequential(layer.shortcut))


@module_of.register
def _(layer: described.Branches) -> nn.Module:
    return modules.Branches([sequential(path) for path in layer.paths])


@module_of.register
def _(layer: described.Positions) -> nn.Module:
    return sequence.Positions()
