"""A tiny data set in memory, whose labels can be learned from its signals."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from search.data.dataset import Development
from search.data.folds import PTBXL_FOLDS, Fold, cv_folds
from search.data.labels.tiers import PTBXL_TIERS, Hierarchy
from search.data.readers.statements import Statement
from search.data.signals.leads import LEADS
from search.errors import TrainingError
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.lockstep import Lockstep
from search.training.settings import TrainingSettings
from space import Architecture, RecurrentLayer

CPU = torch.device("cpu")
NO_CACHE = Path("/nonexistent")
"""Where nothing is kept."""
TINY = Architecture(
    recurrent=(RecurrentLayer(cell="gru", bidirectional=True), RecurrentLayer(cell="lstm")),
    hidden_size=8,
    width=0.09375,
    head_width=16,
    gate=4,
    label_tier="superclass",
)
"""Every kind of layer, trained in milliseconds."""


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of random numbers."""
    return torch.Generator().manual_seed(seed)


def statement(code: str, superclass: str | None = None, subclass: str | None = None) -> Statement:
    return Statement(
        code=code,
        description=code,
        diagnostic=superclass is not None,
        form=False,
        rhythm=superclass is None,
        superclass=superclass,
        subclass=subclass,
    )


HIERARCHY = Hierarchy(
    [
        statement("NORM", "NORM", "NORM"),
        statement("IMI", "MI", "IMI"),
        statement("ILMI", "MI", "IMI"),
        statement("ASMI", "MI", "AMI"),
        statement("LVH", "HYP", "LVH"),
        statement("SR"),
    ]
)
"""Superclasses HYP, MI, NORM; MI has the subclasses AMI and IMI, and IMI two statements."""


def development(n_records: int = 90, n_samples: int = 64, seed: int = 0) -> Development:
    """Records of strat_folds 1 to 9 in turn; each statement shows as an offset on a lead of its own."""
    rng = np.random.default_rng(seed)
    codes = HIERARCHY.classes("all")
    y_NC = rng.random((n_records, len(codes))) < 0.35
    x_NLT = rng.normal(0, 100, (n_records, 12, n_samples))
    x_NLT[:, : len(codes)] += 150 * y_NC[:, :, None]
    statements = [[code for code, is_there in zip(codes, y_C, strict=True) if is_there] for y_C in y_NC]
    return Development(
        name="demo",
        version="SYNTHETIC",
        synthetic=True,
        rate_hz=100,
        fingerprint="0" * 64,
        unit="record",
        leads=LEADS,
        ecg_id=np.arange(1, n_records + 1),
        patient_id=np.arange(1001, n_records + 1001),
        strat_fold=np.arange(n_records) % 9 + 1,
        fold_plan=PTBXL_FOLDS,
        x_NLT=x_NLT.round().astype(np.int16),
        y={tier: HIERARCHY.labels(tier, statements) for tier in PTBXL_TIERS},
        soft_labels=lambda tier: 0.9 * HIERARCHY.labels(tier, statements).astype(np.float32),
        hierarchy=HIERARCHY,
        skipped=(),
        flat_leads={},
        n_unlabeled_dropped=0,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """A data set on the device with its folds."""

    data: Development
    on_device: DeviceData
    folds: tuple[Fold, ...]

    def start(
        self, architecture: Architecture = TINY, fold: int = 1, settings: TrainingSettings | None = None
    ) -> FoldTraining:
        chosen = self.folds[fold - 1]
        return FoldTraining(
            architecture,
            chosen,
            self.on_device,
            settings or TrainingSettings(epochs=4, batch_size=16),
        )


def case(**changes: int) -> Case:
    data = development(**changes)
    return Case(
        data=data,
        on_device=DeviceData(data, CPU, cache_dir=NO_CACHE),
        folds=cv_folds(data.strat_fold, data.fold_plan),
    )


def weights(training: FoldTraining) -> dict[str, torch.Tensor]:
    """Weights and batch norm statistics as they stand."""
    return {name: value.clone() for name, value in training.model.state_dict().items()}


def in_double_precision(training: FoldTraining) -> FoldTraining:
    """The training with weights, inputs and labels of 64 bits, so that the order of a sum does not matter."""
    # Private: the program never changes the precision of a fold in training.
    material = training._material
    training.model.double()
    training._optimiser = training._plan.optimiser(training.model)
    training._material = replace(
        material,
        statistics=replace(material.statistics, mean_L=material.statistics.mean_L.double()),
        y_NC=material.y_NC.double(),
        f_NK=None if material.f_NK is None else material.f_NK.double(),
    )
    return training


def stop_early(training: FoldTraining) -> None:
    """Let early stopping end the training of a fold."""
    # Private: a score that stops improving would take many epochs.
    training._stopping.patience = 0


def graphs_of(group: Lockstep) -> dict[int, list[object]]:
    """Graphs that a group holds, by size of batch."""
    # Private: with and without graphs the results are the same.
    held: dict[int, list[object]] = {}
    for step in group._capturing.steps:
        for size, graph in step._graphs.items():
            held.setdefault(size, []).append(graph)
    return held


def run_epochs(group: Lockstep, n_epochs: int) -> list[list[float]]:
    """Mean losses by epoch and fold."""
    epochs = []
    for _ in range(n_epochs):
        ends = group.run_epoch()
        assert not any(isinstance(end, TrainingError) for end in ends)
        epochs.append([end[0] for end in ends])
    return epochs
