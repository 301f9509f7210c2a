"""Training data, prepared once and shared: signals, targets and features on the device.

Shapes: N record, B batch, L lead, T time, C class, K hand-crafted feature.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import space
from search.data.feature_table import load_features
from search.data.features import FeatureScaling
from search.data.signals.filters import filter_named
from search.models.costs import network_values
from search.training.batches import Batch, LeadStatistics
from search.training.gan.records import SyntheticRecords, cached
from search.training.gan.settings import GanSettings, cache_key
from search.training.gan.wgan import synthesise

if TYPE_CHECKING:
    from search.data.dataset import Development
    from search.data.folds import Fold
    from search.models.hybrid import HybridModel
    from search.training.initial_weights import InitialWeights
    from search.training.soft_targets import SoftTargets

Value = TypeVar("Value")

N_SIGNALS = 3
"""Most copies of the signals on a device, of as many choices of leads and filter; 2.6 GB each of PTB-XL at
500 Hz."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldMaterial:
    """One fold of a data set, as an architecture needs it."""

    x_NLT: Tensor
    """Signals of the whole data set, int16 microvolts."""
    statistics: LeadStatistics
    """Statistics of the training part."""
    y_NC: Tensor
    """Targets on the tier trained on, float32 in [0, 1]."""
    f_NK: Tensor | None
    """Features scaled by the training part, then flags of missing ones; None if not wanted."""
    scaling: FeatureScaling | None
    """Statistics by which the features were scaled."""
    rate_hz: int
    teacher_NC: Tensor | None = None
    """Probabilities of the teacher on that tier, NaN for records of the validation part; None without one."""
    synthetic: SyntheticRecords | None = None
    """Records of rare classes that join every batch."""
    synthetic_share: float = 0.0
    """Share of synthetic records in a batch."""

    @property
    def seconds(self) -> float:
        """Time that went into synthetic records."""
        return self.synthetic.seconds if self.synthetic else 0.0

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Standardised signals of some rows, and their features if they are wanted."""
        f_BK = None if self.f_NK is None else self.f_NK[rows]
        return self.statistics.standardise(self.x_NLT[rows]), f_BK

    def training_batch(self, rows: Tensor, generator: torch.Generator) -> Batch:
        """Batch of a training step, with synthetic records behind the real ones.

        No feature of a synthetic record is known.
        """
        x_BLT, y_BC = self.x_NLT[rows], self.y_NC[rows]
        if self.synthetic is not None:
            x_BLT, y_BC = self.synthetic.mix_into(x_BLT, y_BC, self.synthetic_share, generator)
        f_BK = None
        if self.f_NK is not None:
            unknown_BK = self.f_NK.new_zeros(len(x_BLT) - len(rows), self.f_NK.shape[1])
            unknown_BK[:, self.f_NK.shape[1] // 2 :] = 1
            f_BK = torch.cat([self.f_NK[rows], unknown_BK])
        teacher_BC = None
        if self.teacher_NC is not None:
            # The teacher has no predictions for synthetic records: their labels take the place of these.
            teacher_BC = torch.cat([self.teacher_NC[rows], y_BC[len(rows) :]])
        return Batch(x_BLT=self.statistics.standardise(x_BLT), y_BC=y_BC, f_BK=f_BK, teacher_BC=teacher_BC)


class DeviceData:
    """A data set without its sealed fold on a device.

    Inputs of only some architectures (filtered signals, soft targets, features) are made when first needed,
    by the thread of any fold.

    Args:
        data: all but the sealed fold.
        device: where everything is kept.
        cache_dir: folder for synthetic records and features, which take long to make.
        teachers: soft targets by the value of the axis `teacher`.
        initial: models to begin with by the value of the axis `init`.
    """

    def __init__(
        self,
        data: Development,
        device: torch.device,
        *,
        cache_dir: Path,
        teachers: Mapping[str, SoftTargets] | None = None,
        initial: Mapping[str, InitialWeights] | None = None,
    ) -> None:
        self.device = device
        self.inputs = data.inputs
        self.patient_id = data.patient_id
        self._data = data
        self._cache_dir = cache_dir
        self._teachers = teachers or {}
        self._initial = initial or {}
        self._made: dict[Hashable, object] = {}
        self._signals_of: dict[tuple[str, str], Tensor] = {}
        """Signals by leads and filter, those used last at the end."""
        self._making = threading.RLock()

    def material(
        self, architecture: space.Architecture, fold: Fold, rows: NDArray[np.int64], *, seed: int
    ) -> FoldMaterial:
        """The training data of a fold for an architecture.

        Args:
            architecture: determines leads, filter, labels, features and synthetic records.
            fold: statistics are those of its training part.
            rows: rows of the training part that the weights will see.
            seed: seed of the study, for synthetic records.

        Raises:
            TrainingError: synthetic records cannot be made.
            DataError: features cannot be kept, or soft targets are damaged.
        """
        synthetic = self._synthetic(architecture, fold, rows, seed) if architecture.synthetic else None
        scaling, f_NK = self._features(architecture, fold) if architecture.features else (None, None)
        return FoldMaterial(
            x_NLT=self._signals(architecture),
            statistics=self._statistics(architecture, fold),
            y_NC=self._targets(architecture.label_tier, soft=architecture.soft_labels),
            f_NK=f_NK,
            scaling=scaling,
            rate_hz=self._data.rate_hz,
            teacher_NC=self._taught(architecture, fold),
            synthetic=synthetic,
            synthetic_share=architecture.synthetic,
        )

    def _taught(self, architecture: space.Architecture, fold: Fold) -> Tensor | None:
        """Soft labels by the teacher of an architecture for the training part of a fold."""
        name, tier = architecture.teacher, architecture.label_tier
        if name == space.NO_MODEL:
            return None

        def make() -> Tensor:
            p_NC = self._teachers[name].for_fold(fold, self._data.ecg_id, tier)
            return torch.from_numpy(p_NC).to(self.device)

        return self._once(("teacher", name, tier, fold.number), make)

    def begin(self, model: HybridModel, architecture: space.Architecture, fold: Fold) -> None:
        """Load the initial weights of an architecture, if any, into a model and freeze the front end if asked
        to.

        Raises:
            DataError: they are damaged, or of a model that has seen records that validate the fold.
        """
        if architecture.init == space.NO_MODEL:
            return
        name = architecture.init
        kept = self._once(
            ("initial", name, fold.number),
            lambda: self._initial[name].for_fold(fold, self._data.ecg_id),
        )
        classes = self._data.hierarchy.classes(architecture.label_tier)
        whole = kept.classes == classes and network_values(kept.architecture) == network_values(architecture)
        model.begin_with(kept.model.state_dict(), whole=whole)
        if architecture.frozen:
            model.freeze_front_end()

    def other(self, architecture: space.Architecture, fold: Fold, data: Development) -> FoldMaterial:
        """Other records as a model of this fold sees them: filtered alike, scaled by this training part.

        Args:
            architecture: architecture of the model.
            fold: in whose training part it was trained.
            data: records with the leads of the study, at the same rate.
        """
        data = data.of_leads(architecture.leads)
        x_NLT = filter_named(architecture.filter)(np.asarray(data.x_NLT), data.rate_hz)
        scaling, f_NK = None, None
        if architecture.features:
            scaling, _ = self._features(architecture, fold)
            scaled_NK = scaling.apply(load_features(data, cache_dir=self._cache_dir))
            f_NK = torch.from_numpy(scaled_NK).to(self.device)
        return FoldMaterial(
            x_NLT=torch.from_numpy(np.array(x_NLT)).to(self.device),
            statistics=self._statistics(architecture, fold),
            y_NC=torch.empty(0, device=self.device),  # labels are for scoring
            f_NK=f_NK,
            scaling=scaling,
            rate_hz=data.rate_hz,
        )

    def is_exclusive(self, tier: str) -> bool:
        """Whether a record has exactly one class of a tier."""
        return self._data.hierarchy.is_exclusive(tier)

    def _signals(self, architecture: space.Architecture) -> Tensor:
        """Filtered signals of the leads that enter; those not used for longest make room for others.

        A fold holds its own, so that what is let go here stays in memory until the fold has ended.
        """
        key = (architecture.leads, architecture.filter)
        with self._making:
            x_NLT = self._signals_of.pop(key, None)
            if x_NLT is None:
                while len(self._signals_of) >= N_SIGNALS:
                    del self._signals_of[next(iter(self._signals_of))]
                data = self._data.of_leads(architecture.leads)
                filtered_NLT = filter_named(architecture.filter)(np.asarray(data.x_NLT), data.rate_hz)
                x_NLT = torch.from_numpy(np.array(filtered_NLT)).to(self.device)
            self._signals_of[key] = x_NLT
            return x_NLT

    def _statistics(self, architecture: space.Architecture, fold: Fold) -> LeadStatistics:
        def make() -> LeadStatistics:
            return LeadStatistics.of(self._signals(architecture), fold.train)

        return self._once(("statistics", architecture.leads, architecture.filter, fold.number), make)

    def _targets(self, tier: str, *, soft: bool = False) -> Tensor:
        def make() -> Tensor:
            if not soft:
                return torch.from_numpy(self._data.y[tier].astype(np.float32)).to(self.device)
            assert self._data.soft_labels is not None  # else the space has no such axis
            return torch.from_numpy(self._data.soft_labels(tier)).to(self.device)

        return self._once(("targets", tier, soft), make)

    def _features(self, architecture: space.Architecture, fold: Fold) -> tuple[FeatureScaling, Tensor]:
        """Features of all records as a fold sees them, of the leads that enter, and how they were scaled."""
        leads = architecture.leads

        def make() -> tuple[FeatureScaling, Tensor]:
            f_NK = self._once(
                ("features", leads),
                lambda: load_features(self._data.of_leads(leads), cache_dir=self._cache_dir),
            )
            scaling = FeatureScaling.of(f_NK, fold.train)
            return scaling, torch.from_numpy(scaling.apply(f_NK)).to(self.device)

        return self._once(("features", leads, fold.number), make)

    def _synthetic(
        self, architecture: space.Architecture, fold: Fold, rows: NDArray[np.int64], seed: int
    ) -> SyntheticRecords:
        """Records drawn by a GAN once for each fold, leads, tier and filter, shared by all trials."""
        leads = architecture.leads
        key = cache_key(
            fingerprint=self._data.fingerprint + ("" if leads == space.ALL_LEADS else f" {leads}"),
            tier=architecture.label_tier,
            fold=fold.number,
            n_training=len(rows),
            seed=seed,
            signal_filter=architecture.filter,
            device=self.device.type,
            settings=GanSettings(),
        )
        made = cached(
            self._cache_dir / "gan",
            key,
            lambda: synthesise(
                self._signals(architecture),
                self._targets(architecture.label_tier),
                torch.from_numpy(rows).to(self.device),
                self._statistics(architecture, fold),
                leads=self._data.leads_of(leads),
                rate_hz=self._data.rate_hz,
                seed=seed,
                fold=fold.number,
            ),
        )
        return made.to(self.device)

    def _once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        with self._making:
            if key not in self._made:
                self._made[key] = make()
            return cast(Value, self._made[key])
