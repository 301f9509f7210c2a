"""Folders of `export` with small models in PyTorch, and synthetic records whose changes have a place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch

import space
from search.data.demo.dipole import quantise
from search.data.demo.records import synthesise_record
from search.data.features import FeatureScaling
from search.data.features.names import FEATURES
from search.data.signals.leads import LEADS
from search.explain.networks import Networks, load_networks
from search.export.folder import (
    FORMAT,
    GRAPH,
    WEIGHTS,
    ClassLabel,
    Feature,
    Labels,
    Member,
    Preprocessing,
    Provenance,
    SignalFilter,
    TierLabels,
    write_document,
)
from search.export.graph import features_width, make_graph
from search.export.weights import join_members
from search.models.hybrid import HybridModel, build_model
from search.training.batches import LeadStatistics
from search.training.model_file import load_model, pack_model

CLASSES = ("AFIB", "CLBBB", "ISC_", "NORM", "WPW")
AAMI = ("F", "N", "Q", "S", "V")
SMALL = space.Architecture(width=0.125, head="linear", dropout=0.0, label_tier="all")
COARSE = {"CD": ("CLBBB", "WPW"), "NORM": ("NORM",)}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Hierarchy:
    names: tuple[str, ...] = CLASSES
    exclusive: bool = False

    def classes(self, tier: str) -> tuple[str, ...]:
        return self.names

    def is_exclusive(self, tier: str) -> bool:
        return self.exclusive


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Data:
    """Header of the file of a model."""

    leads: tuple[str, ...]
    x_NLT: np.ndarray
    hierarchy: _Hierarchy = _Hierarchy()
    rate_hz: int = 100
    name: str = "demo"
    synthetic: bool = True
    fingerprint: str = "0" * 64

    def leads_of(self, text: str) -> tuple[str, ...]:
        """All leads: these architectures choose none."""
        assert text == "all"
        return self.leads


def make_network(
    architecture: space.Architecture = SMALL, *, seed: int = 0, n_leads: int = 12, n_features: int = 0
) -> HybridModel:
    """Initial weights, with statistics of batch norm as after training."""
    inputs = space.Inputs(n_leads=n_leads, n_features=n_features)
    generator = torch.Generator().manual_seed(seed)
    model = build_model(architecture, len(CLASSES), generator=generator, inputs=inputs)
    return model.eval()


def write_networks(
    folder: Path,
    models: Sequence[HybridModel],
    architecture: space.Architecture = SMALL,
    *,
    leads: tuple[str, ...] = LEADS,
    statistics: LeadStatistics | None = None,
    n_samples: int = 1000,
    synthetic: bool = True,
    rate_hz: int = 100,
    beats: bool = False,
) -> Path:
    """Write models of one architecture as the members of an exported model, of records or of beats."""
    folder.mkdir(parents=True, exist_ok=True)
    n_leads = len(leads)
    if statistics is None:
        statistics = LeadStatistics(mean_L=torch.zeros(n_leads), deviation_L=torch.full((n_leads,), 200.0))
    scaling = None
    if architecture.features:
        n = len(FEATURES)
        scaling = FeatureScaling(median_K=np.zeros(n, np.float32), deviation_K=np.ones(n, np.float32))
    data = _Data(
        leads=leads,
        x_NLT=np.empty((0, n_leads, n_samples), np.int16),
        rate_hz=rate_hz,
        hierarchy=_Hierarchy(names=AAMI, exclusive=True) if beats else _Hierarchy(),
    )
    contents = [
        pack_model(model, architecture, data, statistics=statistics, scaling=scaling)  # type: ignore[arg-type]
        for model in models
    ]
    shares = [1 / len(contents)] * len(contents)
    onnx.save(
        make_graph([load_model(content) for content in contents], shares, name="trial 0 of demo-all"),
        folder / GRAPH,
    )
    (folder / WEIGHTS).write_bytes(join_members(contents))
    members = tuple(
        Member(
            name=f"trial 0, fold {number}",
            trial=0,
            fold=number,
            weight=share,
            n_features=features_width(model),
            lead_mean_mv=(0.0,) * n_leads,
            lead_deviation_mv=(0.2,) * n_leads,
        )
        for number, (model, share) in enumerate(zip(models, shares, strict=True), start=1)
    )
    features = tuple(Feature(name=name, words=said) for name, said in FEATURES.items())
    write_document(
        folder,
        Preprocessing(
            format=FORMAT,
            rate_hz=rate_hz,
            n_samples=n_samples,
            any_length=True,
            leads=leads,
            unit="mV",
            resolution_uv=1.0,
            filter=SignalFilter(name=architecture.filter, words=architecture.filter, parameters={}),
            features=features if architecture.features else (),
            members=members,
            row="beat" if beats else "record",
        ),
    )
    provenance = Provenance(
        name="trial 0 of demo-all",
        study="demo-all",
        trial=0,
        evaluation=None,
        description=architecture.describe(),
        parameters=1,
        data_name="demo" if synthetic else "mit-bih" if beats else "ptb-xl",
        data_version="SYNTHETIC" if synthetic else "1.0.3",
        data_fingerprint="0" * 64,
        n_records=1,
        n_patients=1,
        synthetic=synthetic,
    )
    tiers: tuple[TierLabels, ...] = (
        _tier("all", dict.fromkeys(CLASSES, ()), rule=None),
        _tier("superclass", COARSE, rule="any"),
    )
    if beats:
        tiers = (_tier("aami", dict.fromkeys(AAMI, ()), rule=None, exclusive=True),)
    write_document(folder, Labels(format=FORMAT, model=provenance, tiers=tiers, novelty=None))
    return folder


def _tier(
    name: str, classes: dict[str, tuple[str, ...]], *, rule: str | None, exclusive: bool = False
) -> TierLabels:
    return TierLabels(
        name=name,
        exclusive=exclusive,
        rule=rule,
        classes=tuple(
            ClassLabel(
                name=each,
                description=f"description of {each}",
                children=children,
                n_positive=10,
                thresholds={"f1": None if each == "NORM" else 0.5, "youden": 0.3, "sensitivity-90": 0.1},
                temperature=2.0,
                conformal=None,
            )
            for each, children in classes.items()
        ),
        n_records=100,
        calibration_error=0.1,
        calibration_error_calibrated=0.05,
        conformal=None,
    )


def networks_of(folder: Path, *models: HybridModel, **options: object) -> Networks:
    """Write models and load them as `explain` does."""
    return load_networks(write_networks(folder, models, **options))  # type: ignore[arg-type]


def synthesise(code: str, seed: int, *, severity: float = 1.0, noise: float = 0.0) -> np.ndarray:
    """Microvolts of a synthetic record with one statement, at 100 Hz."""
    rng = np.random.default_rng([seed, 1])
    person = np.random.default_rng([seed, 2])
    return quantise(synthesise_record({code}, rng, severity=severity, noise=noise, person=person))


def train_on_synthetic(
    n_per_class: int = 80, epochs: int = 12, architecture: space.Architecture = SMALL, *, seed: int = 0
) -> tuple[HybridModel, LeadStatistics]:
    """A model that separates the classes of synthetic records, trained for some seconds."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(len(CLASSES)), n_per_class)
    x_NLT = torch.from_numpy(
        np.stack([synthesise(CLASSES[code], seed, noise=1.0) for seed, code in enumerate(codes)])
    )
    y_NC = torch.eye(len(CLASSES))[torch.from_numpy(codes)]
    statistics = LeadStatistics.of(x_NLT, np.arange(len(x_NLT)))
    model = make_network(architecture, seed=seed).train()
    optimiser = torch.optim.Adam(model.parameters())
    n_steps = epochs * math.ceil(len(codes) / 30)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=n_steps)
    for _ in range(epochs):
        for rows in torch.from_numpy(rng.permutation(len(codes))).split(30):
            optimiser.zero_grad()
            z_BC = model(statistics.standardise(x_NLT[rows]))
            torch.nn.functional.binary_cross_entropy_with_logits(z_BC, y_NC[rows]).backward()
            optimiser.step()
            schedule.step()
    return model.eval(), statistics


def with_recurrence() -> space.Architecture:
    """An architecture with a gate and attention over time as well."""
    return replace(
        SMALL,
        recurrent=(space.RecurrentLayer(cell="gru", bidirectional=True),),
        hidden_size=4,
        pooling="attention",
        gate=4,
    )
