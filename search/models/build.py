"""From the description of a layer to the module that is trained."""

from functools import singledispatch

from torch import nn

import space.layers as described
from search.models import layers, sequence, state_space


def sequential(described_layers: described.Layers) -> nn.Module:
    """Layers one after another; the identity if there are none."""
    modules = [module_of(layer) for layer in described_layers]
    return nn.Sequential(*modules) if modules else nn.Identity()


@singledispatch
def module_of(layer: object) -> nn.Module:
    """The module of a layer, without initial weights.

    Raises:
        TypeError: there is none for a layer of this type.
    """
    raise TypeError(
        f"no module for a layer of type {type(layer).__name__}; add one to search/models/build.py"
    )


module_of.register(described.Convolution)(layers.Convolution)
module_of.register(described.Pool)(layers.Pool)
module_of.register(described.SqueezeExcitation)(layers.SqueezeExcitation)
module_of.register(described.TransformerLayer)(sequence.TransformerLayer)
module_of.register(described.StateSpaceLayer)(state_space.StateSpaceLayer)


@module_of.register
def _(layer: described.BatchNorm) -> nn.Module:
    return nn.BatchNorm2d(layer.width)


@module_of.register
def _(layer: described.Relu) -> nn.Module:
    return nn.ReLU()


@module_of.register
def _(layer: described.SpatialDropout) -> nn.Module:
    return layers.Dropout(layer.rate, spatial=True)


@module_of.register
def _(layer: described.Residual) -> nn.Module:
    return layers.Residual(sequential(layer.path), sequential(layer.shortcut))


@module_of.register
def _(layer: described.Branches) -> nn.Module:
    return layers.Branches([sequential(path) for path in layer.paths])


@module_of.register
def _(layer: described.Positions) -> nn.Module:
    return sequence.Positions()
