"""Published systems as architectures."""

from __future__ import annotations

from dataclasses import dataclass, replace

from space.architecture import Architecture, Gate, RecurrentLayer, SpaceError
from space.axes import SEED_SMOOTHING, Space

_LSTM = RecurrentLayer(cell="lstm")
_BILSTM = RecurrentLayer(cell="lstm", bidirectional=True)
_GRU = RecurrentLayer(cell="gru")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A published system."""

    source: str
    summary: str
    architecture: Architecture
    queued: bool = True
    """Whether a search that contains it begins with it."""


def _hybrid(stack: tuple[RecurrentLayer, ...], gate: Gate) -> Architecture:
    return Architecture(recurrent=stack, gate=gate, label_smoothing=SEED_SMOOTHING)


_HYBRIDS: dict[str, tuple[str, tuple[RecurrentLayer, ...]]] = {
    "cnn": ("convolutions only, the morphology baseline", ()),
    "cnn-lstm": ("one LSTM", (_LSTM,)),
    "cnn-bilstm": ("one BiLSTM, the seed's recommendation", (_BILSTM,)),
    "cnn-gru": ("one GRU", (_GRU,)),
    "cnn-lstm-bilstm": ("LSTM then BiLSTM, the order of Table 2", (_LSTM, _BILSTM)),
    "cnn-bilstm-lstm": ("BiLSTM then LSTM, the order of section 2.9", (_BILSTM, _LSTM)),
    "cnn-gru-bilstm-lstm": ("GRU, BiLSTM and LSTM", (_GRU, _BILSTM, _LSTM)),
}


def _benchmark(backbone: str) -> Architecture:
    """A front end with the head and the recipe of Strodthoff et al. 2021."""
    return Architecture(
        backbone=backbone,
        pooling="mean-max",
        head="bottleneck",
        head_width=128,
        augmentation="none",
        recipe="benchmark",
    )


PRESETS: dict[str, Preset] = {
    **{
        name: Preset(source="Jafari & Jafari", summary=summary, architecture=_hybrid(stack, 16))
        for name, (summary, stack) in _HYBRIDS.items()
    },
    **{
        f"{name}-ungated": Preset(
            source="Jafari & Jafari",
            summary=f"{summary}, no gate",
            architecture=_hybrid(stack, 0),
            queued=False,
        )
        for name, (summary, stack) in _HYBRIDS.items()
    },
    "cnn-lstm-attention": Preset(
        source="arXiv 2602.17701",
        summary="one LSTM, attention over time, focal loss",
        architecture=Architecture(recurrent=(_LSTM,), pooling="attention", head="linear", loss="focal"),
    ),
    "hc-cnn-tn": Preset(
        source="HC-CNN-TN",
        summary="convolutions, Transformer encoder and hand-crafted features",
        architecture=Architecture(
            backbone="cnn-transformer",
            features=True,
            head="bottleneck",
            head_width=128,
            dropout=0.1,
            loss="power",
            exponent=0.4,
            cap=3.0,
            filter="bandpass",
            augmentation="none",
            recipe="hc-cnn-tn",
        ),
    ),
    "resnet1d-se": Preset(
        source="Ichli 2025",
        summary="residual network of 18 layers with channel gates",
        architecture=Architecture(
            backbone="resnet1d-se", head="linear", loss="balanced", augmentation="none", recipe="resnet1d-se"
        ),
    ),
    "fcn-wang": Preset(
        source="Wang et al. 2017", summary="three convolutions", architecture=_benchmark("fcn-wang")
    ),
    "resnet1d-wang": Preset(
        source="Wang et al. 2017", summary="three residual blocks", architecture=_benchmark("resnet1d-wang")
    ),
    "inception1d": Preset(
        source="Ismail Fawaz et al. 2020",
        summary="six inception modules",
        architecture=_benchmark("inception1d"),
    ),
    "xresnet1d50": Preset(
        source="He et al. 2019", summary="16 bottleneck blocks", architecture=_benchmark("xresnet1d50")
    ),
    "xresnet1d101": Preset(
        source="He et al. 2019", summary="33 bottleneck blocks", architecture=_benchmark("xresnet1d101")
    ),
    "s4d": Preset(
        source="Mehari & Strodthoff 2023",
        summary="four state-space layers",
        architecture=Architecture(
            backbone="s4d", head="linear", dropout=0.0, augmentation="none", recipe="s4d"
        ),
    ),
    "random-encoder": Preset(
        source="arXiv 2602.17531",
        summary="a linear layer on a random residual network",
        architecture=Architecture(backbone="random-encoder", head="linear", dropout=0.0, augmentation="none"),
    ),
}
"""Published systems by name. What a paper leaves open is our choice: reduction 16 of the gates, for one."""


def preset(name: str, label_tier: str, gate: Gate | None = None) -> Architecture:
    """A published system, trained on `label_tier`; `gate` overrides its gate.

    Raises:
        SpaceError: if there is no preset of that name.
    """
    if name not in PRESETS:
        raise SpaceError(f"unknown preset {name!r}: choose from {', '.join(PRESETS)}")
    architecture = PRESETS[name].architecture
    chosen = architecture.gate if gate is None else gate
    return replace(architecture, label_tier=label_tier, gate=chosen)


def preset_name(architecture: Architecture, label_tier: str) -> str | None:
    """The preset that an architecture is when trained on `label_tier`, None if it is none."""
    return next((name for name in PRESETS if preset(name, label_tier) == architecture), None)


def queued_presets(architectures: Space, label_tier: str) -> list[str]:
    """The presets with which a search of a space begins."""
    return [
        name for name, entry in PRESETS.items() if entry.queued and preset(name, label_tier) in architectures
    ]
