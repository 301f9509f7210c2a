"""Folds of one architecture trained at once, step by step: the only place where weights change.

A fold keeps its own model, optimiser, generator and schedule. Steps in which the batches of all folds have
the same size are done at once, by one model with a leading fold axis; in the others every fold trains alone.
What comes out is the same but for rounding, and a group of one runs the same code.

On a GPU a step becomes a CUDA graph: one launch instead of hundreds.

Shapes: F fold, B batch, C class.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from search.errors import TrainingError
from search.models.folded import fold_models, side_by_side

if TYPE_CHECKING:
    from search.training.batches import Batch
    from search.training.fold import FoldTraining

N_BEFORE_CAPTURE = 8
"""Steps before one is captured. In the first, libraries choose their kernels and optimisers make their
moments; what is done less often is not worth capturing."""

Rate = float | Tensor
"""A learning rate; on a GPU a tensor, so that a captured step reads another one every time."""
Stepping = Callable[[Sequence[Tensor], Sequence[Rate]], Tensor]
"""From the rows and the learning rate of every fold to the losses `l_F`; changes the weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """How the folds of a trial are trained."""

    lockstep: bool
    """At once, by one thread; else each by a thread of its own."""
    fused: bool = True
    """In lock-step by one model for all folds; else by the model of each in a stream of its own."""
    graphs: bool = True
    """With CUDA graphs."""

    @classmethod
    def on(cls, device: torch.device) -> Together:
        """What suits a device: a CPU has no launches to save, and a core for every fold."""
        return cls(lockstep=device.type == "cuda")


class Lockstep:
    """Some folds of one architecture on one device, trained epoch by epoch.

    Args:
        folds: in training; one that must be restored from a checkpoint is restored before.
        together: how.
    """

    def __init__(self, folds: Sequence[FoldTraining], together: Together) -> None:
        self._folds = tuple(folds)
        self._together = together
        self._device = folds[0].device
        self._stream = (
            torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            if self._device.type == "cuda"
            else None
        )
        self._training: tuple[FoldTraining, ...] = ()
        self._joint: Stepping | None = None
        self._alone: dict[FoldTraining, Stepping] = {}
        self._capturing = Capturing(
            is_wanted=together.graphs and self._device.type == "cuda", batch_size=folds[0].batch_size
        )

    def run_epoch(self) -> list[tuple[float, float] | TrainingError]:
        """Train one epoch of every fold; one whose training is over stays as it is.

        Returns:
            For every fold its mean training loss and the seconds that are its share, or why it cannot go on:
            its loss is not finite (`diverged`) or memory ran out (`out-of-memory`).
        """
        began_s = time.perf_counter()
        training = tuple(fold for fold in self._folds if not fold.is_over)
        losses: dict[FoldTraining, float] = {}
        try:
            with self._in_stream():
                if training:
                    losses = dict(zip(training, self._train(training), strict=True))
        except torch.OutOfMemoryError as error:
            failure = TrainingError("out-of-memory", first_line(error))
            failure.__cause__ = error
            return [failure for _ in self._folds]
        share_s = (time.perf_counter() - began_s) / max(1, len(training))
        return [_end(fold, losses.get(fold), share_s if fold in losses else 0.0) for fold in self._folds]

    def _train(self, training: tuple[FoldTraining, ...]) -> list[float]:
        """Mean losses of an epoch."""
        if training != self._training:
            self._regroup(training)
        batches = [fold.begin_epoch() for fold in training]
        rates = [self._on_device(fold.rates(len(each))) for fold, each in zip(training, batches, strict=True)]
        totals_F = torch.zeros(len(training), device=self._device)
        for number in range(max(map(len, batches))):
            present = [index for index, each in enumerate(batches) if number < len(each)]
            is_joint = len({len(batches[index][number]) for index in present}) == 1
            if len(present) == len(training) and is_joint and self._joint is not None:
                groups = [(present, self._joint)]
            else:
                groups = [([index], self._alone[training[index]]) for index in present]
            for group, step in groups:
                rows = [batches[index][number] for index in group]
                losses_F = step(rows, [rates[index][number] for index in group])
                if len(group) == len(training):
                    totals_F += losses_F * len(rows[0])
                else:
                    totals_F[group[0]] += losses_F[0] * len(rows[0])
        return [total / sum(map(len, each)) for total, each in zip(totals_F.tolist(), batches, strict=True)]

    def _regroup(self, training: tuple[FoldTraining, ...]) -> None:
        """Make the steps of these folds; some have ended, or this is the first epoch."""
        self._training, self._joint = training, None
        self._alone.clear()  # before others are made: what was captured holds memory
        single = [Step([fold]) for fold in training]
        if len(training) > 1:
            joint = Step(training) if self._together.fused else partial(_beside, single, self._device)
            self._joint = partial(self._first_joint, Repeated(joint, training, self._capturing))
        self._alone = {
            fold: Repeated(step, [fold], self._capturing) for fold, step in zip(training, single, strict=True)
        }

    def _first_joint(self, step: Stepping, rows: Sequence[Tensor], rates: Sequence[Rate]) -> Tensor:
        """The first joint step tells whether there is room for all folds; else they are trained in turn."""
        folds = self._training
        before = [fold.snapshot() for fold in folds]
        # The error is gone when the folds are tried alone, for its traceback holds the memory.
        with suppress(torch.OutOfMemoryError):
            losses_F = step(rows, rates)
            self._joint = step
            return losses_F
        for fold, state in zip(folds, before, strict=True):
            fold.go_back_to(state)
        self._joint = None
        warnings.warn(
            f"no memory for {len(folds)} folds at once: they are trained in turn",
            RuntimeWarning,
            stacklevel=2,
        )
        single = zip(folds, rows, rates, strict=True)
        return torch.cat([self._alone[fold]([row], [rate]) for fold, row, rate in single])

    def _on_device(self, rates: Sequence[float]) -> Sequence[Rate]:
        if self._device.type != "cuda":
            return rates
        return torch.tensor(rates, device=self._device).unbind()

    def _in_stream(self) -> AbstractContextManager[object]:
        """A stream of our own: what is to be captured must never have run in the default one."""
        if self._stream is None:
            return nullcontext()
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        return torch.cuda.stream(self._stream)


class Step:
    """One step of every fold's optimiser, all with batches of the same size.

    The losses are backpropagated in one go. A fold's loss has no gradient in another fold's parameters.
    """

    def __init__(self, folds: Sequence[FoldTraining]) -> None:
        self._folds = folds
        self._model = fold_models([fold.model for fold in folds]) if len(folds) > 1 else None

    def __call__(self, rows: Sequence[Tensor], rates: Sequence[Rate]) -> Tensor:
        """Losses `l_F` before the step."""
        batches = [fold.draw(each) for fold, each in zip(self._folds, rows, strict=True)]
        with self._folds[0].precision():
            logits = self._logits(batches)
        losses = [
            fold.loss(z_BC, batch.y_BC)
            for fold, z_BC, batch in zip(self._folds, logits, batches, strict=True)
        ]
        for fold in self._folds:
            fold.forget_gradients()
        torch.autograd.backward(losses)
        for fold, rate in zip(self._folds, rates, strict=True):
            fold.descend(rate)
        return torch.stack([loss.detach() for loss in losses])

    def _logits(self, batches: Sequence[Batch]) -> Sequence[Tensor]:
        if self._model is None:
            (fold,), (batch,) = self._folds, batches
            return [fold.model(batch.x_BLT, batch.f_BK)]
        # The batch in front: the channels of all folds then lie side by side without another copy.
        x_FBLT = torch.stack([batch.x_BLT for batch in batches], dim=1).transpose(0, 1)
        features = [batch.f_BK for batch in batches if batch.f_BK is not None]
        z_FBC: Tensor = self._model(x_FBLT, torch.stack(features) if features else None)
        return z_FBC.unbind(0)


def _beside(
    steps: Sequence[Step], device: torch.device, rows: Sequence[Tensor], rates: Sequence[Rate]
) -> Tensor:
    """The steps of single folds, on a GPU each in a stream of its own."""
    calls = [partial(step, [each], [rate]) for step, each, rate in zip(steps, rows, rates, strict=True)]
    return torch.cat(side_by_side(calls, device))


@dataclass(kw_only=True, slots=True)
class Capturing:
    """Whether the steps of a group become CUDA graphs; all of them or, once one has failed, none."""

    is_wanted: bool
    batch_size: int
    """Of a full batch; others are too few."""


class Repeated:
    """A step that is captured as a CUDA graph when it has been done some times with a full batch.

    Where that fails, it goes on as it was. Random numbers are those of the step that is not captured: a graph
    that knows a generator draws the numbers that come next.

    Args:
        step: to be captured.
        folds: whose step it is.
        capturing: whether it is to be captured.
    """

    def __init__(self, step: Stepping, folds: Sequence[FoldTraining], capturing: Capturing) -> None:
        self._step = step
        self._folds = folds
        self._capturing = capturing
        self._n_done = 0
        self._graph: Graph | None = None

    def __call__(self, rows: Sequence[Tensor], rates: Sequence[Rate]) -> Tensor:
        """Losses `l_F` before the step; valid until the next one."""
        if self._capturing.is_wanted and len(rows[0]) == self._capturing.batch_size:
            self._n_done += 1
            if self._graph is None and self._n_done > N_BEFORE_CAPTURE:
                self._capture()
            if self._graph is not None and self._capturing.is_wanted:
                return self._graph(rows, rates)
        return self._step(rows, rates)

    def _capture(self) -> None:
        try:
            self._graph = Graph(self._step, self._folds, self._capturing.batch_size)
        except RuntimeError as error:
            # Generators that an aborted capture has left behind are replaced: no other graph knows the new.
            self._capturing.is_wanted = False
            reason = f"training goes on without CUDA graphs: {first_line(error)}"
            warnings.warn(reason, RuntimeWarning, stacklevel=2)


class Graph:
    """A captured step: kernels, and the addresses that they read and write.

    Args:
        step: has been done before.
        folds: whose step it is.
        batch_size: rows of each.

    Raises:
        RuntimeError: it cannot be captured; the folds are as they were.
    """

    def __init__(self, step: Stepping, folds: Sequence[FoldTraining], batch_size: int) -> None:
        device = folds[0].device
        self._rows_FB = torch.zeros(len(folds), batch_size, dtype=torch.int64, device=device)
        self._rates_F = torch.zeros(len(folds), device=device)
        self._graph = torch.cuda.CUDAGraph()
        before = [fold.snapshot() for fold in folds]
        for fold in folds:
            fold.forget_gradients()
            self._graph.register_generator_state(fold.generator)
        try:
            with torch.cuda.graph(
                self._graph, stream=torch.cuda.current_stream(device), capture_error_mode="thread_local"
            ):
                self._losses_F = step(self._rows_FB.unbind(), self._rates_F.unbind())
        except RuntimeError:
            for fold, state in zip(folds, before, strict=True):
                fold.go_back_to(state)
            raise

    def __call__(self, rows: Sequence[Tensor], rates: Sequence[Rate]) -> Tensor:
        """Losses `l_F` before the step; valid until the next one."""
        torch.stack(list(rows), out=self._rows_FB)
        torch.stack([rate for rate in rates if isinstance(rate, Tensor)], out=self._rates_F)
        self._graph.replay()
        return self._losses_F


def _end(fold: FoldTraining, loss: float | None, seconds: float) -> tuple[float, float] | TrainingError:
    try:
        return fold.end_epoch(loss, seconds)
    except TrainingError as error:
        return error


def first_line(error: BaseException) -> str:
    """Of the message of an error that a library raised, which may be long."""
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
