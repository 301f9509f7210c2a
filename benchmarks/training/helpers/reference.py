"""The plain reference: five folds as a good PyTorch user writes them today.

Signals as float32 tensors in memory, a `DataLoader`, `nn.Conv1d`, `nn.BatchNorm1d`, `nn.GRU`, `nn.LSTM`,
AdamW, the one-cycle schedule of PyTorch, scores by scikit-learn, folds one after another on all cores.
Architecture, records, folds, batch size, epochs, augmentation, loss and the distribution of the initial
weights are those of our trainer: what differs is how the work is done.

Shapes: N record, B batch, L lead, T time, C class or channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import space
from search.data.dataset import Development
from search.data.folds import Fold, cv_folds
from search.models.frontends.cnn import BLOCKS, SPATIAL_DROPOUT
from search.models.hybrid import build_model
from search.training.augmentation import AUGMENTED_SHARE, NOISE_RANGE, SCALE_RANGE
from search.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Settings of the reference."""

    data: Development
    tier: str
    settings: TrainingSettings
    device: torch.device
    bfloat16: bool = False
    """Autocast switched on."""


class PlainModel(nn.Module):
    """Table 1 of Jafari & Jafari in PyTorch's own layers."""

    def __init__(self, architecture: space.Architecture, n_leads: int, n_outputs: int) -> None:
        super().__init__()
        a = architecture
        blocks: list[nn.Module] = []
        width = n_leads
        for number, (kernel, factor) in enumerate(BLOCKS):
            n_out = a.conv_width * factor
            blocks += [nn.Conv1d(width, n_out, kernel, padding="same"), nn.BatchNorm1d(n_out), nn.ReLU()]
            blocks.append(nn.MaxPool1d(2))
            if number < len(BLOCKS) - 1:
                blocks.append(nn.Dropout1d(SPATIAL_DROPOUT))
            width = n_out
        self.blocks = nn.Sequential(*blocks)
        self.recurrent, self.norms = nn.ModuleList(), nn.ModuleList()
        for layer in a.recurrent:
            if len(self.recurrent):
                self.norms.append(nn.BatchNorm1d(width))
            cell = nn.LSTM if layer.cell == "lstm" else nn.GRU
            self.recurrent.append(
                cell(width, a.hidden_size or 0, batch_first=True, bidirectional=layer.bidirectional)
            )
            width = (a.hidden_size or 0) * layer.n_directions
        self.squeeze = nn.Linear(width, max(1, width // a.gate)) if a.gate else None
        self.excite = nn.Linear(max(1, width // a.gate), width) if a.gate else None
        head: list[nn.Module] = []
        for n_out in (a.head_width or 0, (a.head_width or 0) // 2):
            head += [nn.Linear(width, n_out), nn.ReLU(), nn.BatchNorm1d(n_out), nn.Dropout(a.dropout)]
            width = n_out
        self.head = nn.Sequential(*head, nn.Linear(width, n_outputs))

    def forward(self, x_BLT: Tensor) -> Tensor:
        """Logits `z_BC`."""
        x_BTC = self.blocks(x_BLT).transpose(1, 2)
        for position, layer in enumerate(self.recurrent):
            if position:
                x_BCT = self.norms[position - 1](x_BTC.transpose(1, 2))
                x_BTC = F.dropout1d(x_BCT, SPATIAL_DROPOUT, self.training).transpose(1, 2)
            x_BTC, _ = layer(x_BTC)
        x_BC = x_BTC.mean(dim=1)
        if self.squeeze is not None and self.excite is not None:
            x_BC = x_BC * torch.sigmoid(self.excite(F.relu(self.squeeze(x_BC))))
        return torch.as_tensor(self.head(x_BC))


def run_trial(reference: Reference, architecture: space.Architecture) -> float:
    """Train five folds one after another; the mean over folds of the macro-AUPRC at the end."""
    folds = cv_folds(reference.data.strat_fold, reference.data.fold_plan)
    return float(np.mean([list(train_fold(reference, architecture, fold))[-1] for fold in folds]))


def train_fold(reference: Reference, architecture: space.Architecture, fold: Fold) -> Iterator[float]:
    """Train a fold; yields the macro-AUPRC of its validation part after every epoch."""
    settings, device = reference.settings, reference.device
    torch.manual_seed(settings.seed * 100 + fold.number)
    training, validation = tensors(reference, fold)
    loader = DataLoader(
        training,
        batch_size=settings.batch_size,
        shuffle=True,
        # A batch of one record has no batch statistics.
        drop_last=len(training) % settings.batch_size == 1,
    )
    model = _model(reference, architecture, training.tensors[1]).to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        settings.learning_rate,
        total_steps=settings.epochs * len(loader),
        cycle_momentum=False,  # as ours: the recipes are to be the same
    )
    smoothing = architecture.label_smoothing
    for _ in range(settings.epochs):
        model.train()
        for batch in loader:
            x_BLT, y_BC = (part.to(device) for part in batch)
            with torch.autocast(device.type, torch.bfloat16, enabled=reference.bfloat16):
                z_BC = model(_augment(x_BLT))
            smooth_BC = y_BC * (1 - smoothing) + smoothing / 2
            loss = F.binary_cross_entropy_with_logits(z_BC.float(), smooth_BC)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            optimiser.step()
            schedule.step()
            loss.item()  # what a progress bar shows
        yield _score(reference, model, validation)


def tensors(reference: Reference, fold: Fold) -> tuple[TensorDataset, TensorDataset]:
    """Training and validation part, standardised per lead by the training part."""
    x_NLT = torch.from_numpy(np.array(reference.data.x_NLT)).float()
    y_NC = torch.from_numpy(reference.data.y[reference.tier].astype(np.float32))
    training = x_NLT[fold.train]
    mean_L = training.mean(dim=(0, 2), keepdim=True)
    deviation_L = training.std(dim=(0, 2), keepdim=True)
    parts = [
        TensorDataset((x_NLT[rows] - mean_L) / deviation_L, y_NC[rows])
        for rows in (fold.train, fold.validation)
    ]
    return parts[0], parts[1]


def _model(reference: Reference, architecture: space.Architecture, y_NC: Tensor) -> PlainModel:
    """With the initial weights of our trainer's distribution."""
    n_leads, n_outputs = reference.data.x_NLT.shape[1], y_NC.shape[1]
    generator = torch.Generator().manual_seed(int(torch.randint(2**31, ()).item()))
    ours = build_model(architecture, n_outputs, generator=generator, inputs=reference.data.inputs)
    ours.set_initial_output((y_NC.sum(dim=0) + 1) / (len(y_NC) + 2))
    model = PlainModel(architecture, n_leads, n_outputs)
    with torch.no_grad():
        for own, initial in zip(model.parameters(), ours.parameters(), strict=True):
            own.copy_(initial.reshape(own.shape))
    return model


def _augment(x_BLT: Tensor) -> Tensor:
    """Scale the amplitude of half the records and add noise to half (Jafari & Jafari, 2.5)."""
    shape = (len(x_BLT), 1, 1)
    scale = torch.empty(shape, device=x_BLT.device).uniform_(*SCALE_RANGE)
    scale = torch.where(torch.rand(shape, device=x_BLT.device) < AUGMENTED_SHARE, scale, 1.0)
    amplitude = torch.empty(shape, device=x_BLT.device).uniform_(*NOISE_RANGE)
    amplitude = torch.where(torch.rand(shape, device=x_BLT.device) < AUGMENTED_SHARE, amplitude, 0.0)
    return x_BLT * scale + amplitude * torch.randn_like(x_BLT)


@torch.no_grad()
def _score(reference: Reference, model: PlainModel, validation: TensorDataset) -> float:
    model.eval()
    parts = []
    for x_BLT, _ in DataLoader(validation, batch_size=256):
        with torch.autocast(reference.device.type, torch.bfloat16, enabled=reference.bfloat16):
            parts.append(torch.sigmoid(model(x_BLT.to(reference.device)).float()).cpu())
    return macro_auprc(validation.tensors[1].numpy() > 0, torch.cat(parts).numpy())


def macro_auprc(y_NC: NDArray[np.bool_], p_NC: NDArray[np.float32]) -> float:
    """Mean of scikit-learn's average precision over the classes with a positive."""
    present_C = y_NC.any(axis=0)
    return float(average_precision_score(y_NC[:, present_C], p_NC[:, present_C], average="macro"))
