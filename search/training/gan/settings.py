"""Size of the GAN, and the identity of its records; free of torch."""

from dataclasses import asdict, dataclass
from typing import Any, Final

VERSION: Final = 2
"""Version of generated records; raise it when the same seed would give other records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GanSettings:
    """Size and length of the training; with them its cost is fixed."""

    n_steps: int = 300
    """Updates of the generator."""
    n_critic: int = 2
    """Updates of the critic for each of the generator's; the paper has five, and time for them."""
    batch_size: int = 32
    width: int = 32
    """Channels of the innermost layers."""
    n_noise: int = 32
    learning_rate: float = 2e-3
    """Rate of Adam with β = (0, .9), falling to nothing; the paper's is 1e-4 with far more steps."""
    penalty: float = 10.0
    """λ of the gradient penalty, the paper's."""
    class_weight: float = 1.0
    """Weight of the cross-entropy of the classes, beside the distance that the critic measures."""
    average: float = 0.98
    """Decay of the running mean of the generator's weights, which draws the records."""
    n_records: int = 1_024
    """Records that are generated; batches draw from them."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def cache_key(
    *,
    fingerprint: str,
    tier: str,
    fold: int,
    n_training: int,
    seed: int,
    signal_filter: str,
    device: str,
    settings: GanSettings,
) -> dict[str, object]:
    """Identity of generated records: everything that decides them, for `search.training.gan.records.cached`.

    Args:
        fingerprint: fingerprint of the data set, its folds included.
        tier: tier of the labels.
        fold: whose training part the GAN learns from.
        n_training: rows of it; early stopping keeps some apart.
        seed: seed of the study.
        signal_filter: name of the filter that the signals have gone through.
        device: kind of device on which the GAN is trained: each has random numbers and kernels of its own.
        settings: settings of the GAN.
    """
    return {
        "version": VERSION,
        "fingerprint": fingerprint,
        "tier": tier,
        "fold": fold,
        "n_training": n_training,
        "seed": seed,
        "signal_filter": signal_filter,
        "device": device,
        "settings": settings.to_dict(),
    }
