"""A trained model as one safetensors file, to be used without the data set that it was trained on.

Besides the weights it has the preprocessing (the scaling of leads and of hand-crafted features by the
training part) and, as metadata, the architecture, the classes and the leads. It contains no code.

Shapes: N record, B batch, L lead, T time, C class, K hand-crafted feature.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import space
from search.data.features import FeatureScaling
from search.data.labels.projection import as_distribution
from search.data.signals.filters import filter_named
from search.errors import DataError
from search.models.hybrid import HybridModel, build_model
from search.training import inference
from search.training.batches import LeadStatistics
from search.training.losses import is_categorical

if TYPE_CHECKING:
    from search.data.dataset import Development

FORMAT: Final = 1
"""Version of the file; raise it when older ones would be read wrongly."""
DESCRIPTION: Final = "ecg"
"""Key of the metadata."""
_WEIGHTS = "model."
_HEADER_BYTES = 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptModel:
    """A model and all it needs."""

    architecture: space.Architecture
    classes: tuple[str, ...]
    """Classes of `architecture.label_tier`, axis C."""
    is_exclusive: bool
    """Whether a record has exactly one of them."""
    leads: tuple[str, ...]
    """Axis L."""
    rate_hz: int
    n_samples: int
    """Samples per lead that it was trained on, axis T."""
    model: HybridModel
    statistics: LeadStatistics
    scaling: FeatureScaling | None
    """Scaling of hand-crafted features, if the model has them as inputs."""

    def predict(
        self, x_NLT: NDArray[np.int16], f_NK: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Probabilities `p_NC` of records.

        Args:
            x_NLT: microvolts, int16, at `rate_hz`.
            f_NK: `search.data.features.features_of` these records, if the model uses features; NaN where
                missing.

        Raises:
            DataError: the signals have another type or other leads, or features are missing.
        """
        if x_NLT.dtype != np.int16 or x_NLT.ndim != 3 or x_NLT.shape[1] != len(self.leads):
            raise DataError(
                f"signals of type {x_NLT.dtype} and shape {x_NLT.shape}, expected int16 microvolts of shape "
                f"(records, {len(self.leads)} leads, samples) at {self.rate_hz} Hz"
            )
        if self.scaling is not None and (f_NK is None or len(f_NK) != len(x_NLT)):
            raise DataError(f"the model needs hand-crafted features of all {len(x_NLT):,} records")
        features = self._features(f_NK)
        filtered_NLT = torch.from_numpy(np.array(filter_named(self.architecture.filter)(x_NLT, self.rate_hz)))

        def batch(rows: Tensor) -> tuple[Tensor, Tensor | None]:
            f_BK = None if features is None else features[rows]
            return self.statistics.standardise(filtered_NLT[rows]), f_BK

        if not len(x_NLT):
            return np.empty((0, len(self.classes)), np.float32)
        return self.probabilities(inference.logits(self.model, torch.arange(len(x_NLT)), batch))

    def logits(self, x_BLT: Tensor, f_BK: NDArray[np.float32] | None) -> Tensor:
        """Logits `z_BC` in float32, of which gradients can be taken.

        Args:
            x_BLT: microvolts after the filter.
            f_BK: raw hand-crafted features, if the model uses some; of shape (1, K) they are the same for the
                whole batch.
        """
        features = self._features(f_BK)
        if features is not None:
            features = features.expand(len(x_BLT), -1)
        z_BC: Tensor = self.model(self.statistics.standardise(x_BLT), features)
        return z_BC.float()

    def probabilities(self, z_NC: Tensor) -> NDArray[Any]:
        """Probabilities of logits, in their precision."""
        categorical = is_categorical(self.architecture, exclusive=self.is_exclusive)
        p_NC = inference.probabilities(z_NC, categorical=categorical)
        return as_distribution(p_NC) if self.is_exclusive else p_NC

    def _features(self, f_NK: NDArray[np.float32] | None) -> Tensor | None:
        if self.scaling is None:
            return None
        assert f_NK is not None
        return torch.from_numpy(self.scaling.apply(f_NK))


@torch.inference_mode()
def mean_probabilities(
    members: Sequence[KeptModel], weights: Sequence[float], x_NLT: Tensor, f_NK: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    """Weighted mean of the probabilities of several models, from logits in float32.

    Args:
        members: the models.
        weights: share of each; they sum to 1.
        x_NLT: microvolts after the filter.
        f_NK: raw hand-crafted features, if the models use some.
    """
    total_NC: NDArray[np.float64] = np.zeros((len(x_NLT), len(members[0].classes)))
    for kept, weight in zip(members, weights, strict=True):
        total_NC += weight * kept.probabilities(kept.logits(x_NLT, f_NK).double())
    return total_NC


def pack_model(
    model: HybridModel,
    architecture: space.Architecture,
    data: Development,
    *,
    statistics: LeadStatistics,
    scaling: FeatureScaling | None,
) -> bytes:
    """The file of a model trained on `data`."""
    description = {
        "format": FORMAT,
        "architecture": architecture.to_dict(),
        "classes": data.hierarchy.classes(architecture.label_tier),
        "is_exclusive": data.hierarchy.is_exclusive(architecture.label_tier),
        "leads": data.leads_of(architecture.leads),
        "rate_hz": data.rate_hz,
        "n_samples": data.x_NLT.shape[2],
        "data": data.name,
        "synthetic": data.synthetic,
        "fingerprint": data.fingerprint,
    }
    tensors = {f"{_WEIGHTS}{name}": value for name, value in model.state_dict().items()}
    tensors |= {"lead_mean_uV": statistics.mean_L, "lead_deviation_uV": statistics.deviation_L}
    if scaling is not None:
        tensors["feature_median"] = torch.from_numpy(scaling.median_K)
        tensors["feature_deviation"] = torch.from_numpy(scaling.deviation_K)
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return save(contiguous, metadata={DESCRIPTION: json.dumps(description)})


def load_model(content: bytes) -> KeptModel:
    """The model of a file that `pack_model` made, on the CPU.

    Raises:
        DataError: it is no such file, damaged, or of a newer version.
    """
    try:
        description = model_description(content)
        if description["format"] != FORMAT:
            raise DataError(
                f"the model is of format {description['format']}, this version reads {FORMAT}: update it"
            )
        architecture = space.Architecture.from_dict(description["architecture"])
        return _restored(architecture, description, load(content))
    except space.SpaceError as error:
        raise DataError(
            f"not the file of a trained model, or damaged: {error}; a model of a study with --space FILE.py "
            "needs that file first: search.study.space_file.named_space('FILE.py')"
        ) from error
    except (SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"not the file of a trained model, or damaged: {error}".splitlines()[0]) from error


def model_description(content: bytes) -> Any:
    """The description in the metadata, which safetensors reads from files alone: JSON behind its length."""
    n_bytes = int.from_bytes(content[:_HEADER_BYTES], "little")
    header = json.loads(content[_HEADER_BYTES : _HEADER_BYTES + n_bytes])
    return json.loads(header["__metadata__"][DESCRIPTION])


def _restored(architecture: space.Architecture, description: Any, tensors: dict[str, Tensor]) -> KeptModel:
    scaling = None
    if "feature_median" in tensors:
        scaling = FeatureScaling(
            median_K=tensors["feature_median"].numpy(), deviation_K=tensors["feature_deviation"].numpy()
        )
    classes, leads = tuple(description["classes"]), tuple(description["leads"])
    model = build_model(
        architecture,
        len(classes),
        generator=torch.Generator(),
        inputs=space.Inputs(
            n_leads=len(leads),
            n_samples=int(description["n_samples"]),
            n_features=2 * len(scaling.median_K) if scaling is not None else 0,
        ),
    )
    model.load_state_dict(
        {name.removeprefix(_WEIGHTS): value for name, value in tensors.items() if name.startswith(_WEIGHTS)}
    )
    return KeptModel(
        architecture=architecture,
        classes=classes,
        is_exclusive=bool(description["is_exclusive"]),
        leads=leads,
        rate_hz=int(description["rate_hz"]),
        n_samples=int(description["n_samples"]),
        model=model.eval(),
        statistics=LeadStatistics(mean_L=tensors["lead_mean_uV"], deviation_L=tensors["lead_deviation_uV"]),
        scaling=scaling,
    )
