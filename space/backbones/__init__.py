"""Front ends: what turns the leads into features over time, before any recurrent layer.

A new one is a file in this folder, with its layers and its entry, and its name in `_FILES`. Its parameter
count, its model, its place in the space `full` and in the sampler follow from these.
"""

from __future__ import annotations

from importlib import import_module

from space.backbones.backbone import Backbone

__all__ = ["BACKBONES", "Backbone"]

_FILES = (
    "cnn",
    "resnet1d_se",
    "cnn_transformer",
    "fcn_wang",
    "resnet1d_wang",
    "inception1d",
    "xresnet1d",
    "s4d",
    "random_encoder",
)

BACKBONES: dict[str, Backbone] = {}
"""Front ends by name, those of each file in turn."""
for _file in _FILES:
    BACKBONES |= import_module(f"{__name__}.{_file}").BACKBONES
