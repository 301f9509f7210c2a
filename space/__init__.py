"""What can be searched: the architecture, its axes, and published systems as named presets.

An `Architecture` is a CNN–RNN hybrid for multi-label ECG classification in the manner of Jafari & Jafari,
"How much temporal modeling is enough?" (section 2.7–2.11, Table 1), or one of the systems it is compared
with, together with the choices of supervision and preparation that the search varies.

The number of trainable parameters is known in closed form (`count_parameters`), so that the search knows
the second objective of every architecture before training it. This package needs neither torch nor, until
a trial is asked for, Optuna.
"""

from space.architecture import (
    FOCAL_ALPHA,
    FOCAL_GAMMA,
    MAX_DEPTH,
    Architecture,
    Gate,
    RecurrentLayer,
    SpaceError,
)
from space.axes import PUBLISHED, SPACES, Choice, Group, Setting, Space
from space.backbones import BACKBONES, Backbone
from space.parameters import N_LEADS, Inputs, count_parameters
from space.presets import PRESETS, Preset, preset, preset_name, queued_presets
from space.recipes import RECIPES, Recipe

__all__ = [
    "BACKBONES",
    "FOCAL_ALPHA",
    "FOCAL_GAMMA",
    "MAX_DEPTH",
    "N_LEADS",
    "PRESETS",
    "PUBLISHED",
    "RECIPES",
    "SPACES",
    "Architecture",
    "Backbone",
    "Choice",
    "Gate",
    "Group",
    "Inputs",
    "Preset",
    "Recipe",
    "RecurrentLayer",
    "Setting",
    "Space",
    "SpaceError",
    "count_parameters",
    "preset",
    "preset_name",
    "queued_presets",
]
