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
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.torch_version import TorchVersion

from search.errors import TrainingError, first_line, is_out_of_memory
from search.models.folded import fold_models, side_by_side, stream_of
from search.training.inference import probabilities_of_folds

if TYPE_CHECKING:
    from search.models.hybrid import HybridModel
    from search.training.batches import Batch
    from search.training.fold import FoldTraining, Snapshot

N_BEFORE_CAPTURE = 8
"""Steps before one is captured. In the first, libraries choose their kernels and optimisers allocate their
moments; shapes with fewer steps are not worth a capture."""
CLEAN_AFTER_A_FAILURE = TorchVersion("2.12")
"""PyTorch from which on a capture that fails takes nothing from those after it. In earlier
versions the allocator still counts it as going on, which makes every other capture fail as well."""

Rate = float | Tensor
"""A learning rate; on a GPU a tensor, so that a captured step reads another one every time."""
Stepping = Callable[[Sequence[Tensor], Sequence[Rate]], Tensor]
"""Function from the rows and the learning rate of every fold to the losses `l_F`; updates the weights."""


Pool = tuple[int, int]
"""Id of a memory pool of graphs."""
Tell = Callable[[str], None]
"""Receiver of remarks for readers of the results, such as the reason for slow training."""


def warn(text: str) -> None:
    """Issue the text as a warning."""
    warnings.warn(text, RuntimeWarning, stacklevel=3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """Way of training the folds of a trial."""

    lockstep: bool
    """Whether one thread trains all folds at once; else each fold has a thread of its own."""
    fused: bool = True
    """Whether one model computes all folds in lock-step; else the model of each has a stream of its own."""
    graphs: bool = True
    """Whether steps are captured as CUDA graphs."""

    @classmethod
    def on(cls, device: torch.device) -> Together:
        """The way that suits a device: a CPU has no launches to save, and a core for every fold."""
        return cls(lockstep=device.type == "cuda")


class Lockstep:
    """Some folds of one architecture on one device, trained epoch by epoch.

    Args:
        folds: in training; one that must be restored from a checkpoint is restored before.
        together: how they are trained.
        tell: takes the reason where training departs from it.
    """

    def __init__(self, folds: Sequence[FoldTraining], together: Together, tell: Tell = warn) -> None:
        self._folds = tuple(folds)
        self._together = together
        self._device = folds[0].device
        self._stream = stream_of(self._device, 0) if self._device.type == "cuda" else None
        self._training: tuple[FoldTraining, ...] = ()
        self._tell = tell
        # No reference cycle, so that the memory of the graphs is freed with the group.
        self._joint: Repeated | None = None
        self._model: HybridModel | None = None
        self._alone: dict[FoldTraining, Stepping] = {}
        self._capturing = Capturing(is_wanted=together.graphs and self._device.type == "cuda", tell=tell)

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
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failure = TrainingError("out-of-memory", first_line(error, 200))
            failure.__cause__ = error
            return [failure for _ in self._folds]
        share_s = (time.perf_counter() - began_s) / max(1, len(training))
        return [_end(fold, losses.get(fold), share_s if fold in losses else 0.0) for fold in self._folds]

    def predict(self) -> list[NDArray[np.float32] | TrainingError]:
        """Probabilities of every fold's validation part, or why they are of no use.

        By one model for all folds where there is one that has just been trained, else fold by fold.
        """
        if self._model is None or self._joint is None or self._training != self._folds:
            return [_result(fold.predict) for fold in self._folds]
        found = probabilities_of_folds(
            self._model,
            [fold.validation_rows for fold in self._folds],
            [fold.fetch for fold in self._folds],
            categorical=self._folds[0].is_categorical,
        )
        return [_result(partial(fold.checked, p_NC)) for fold, p_NC in zip(self._folds, found, strict=True)]

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
                groups: list[tuple[list[int], Stepping]] = [(present, self._joint_step)]
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
        self._training, self._joint, self._model = training, None, None
        self._alone.clear()
        self._capturing.forget_graphs()  # before others are captured: they hold memory
        single = [Step([fold]) for fold in training]
        if len(training) > 1:
            joint: Stepping = partial(_beside, single, self._device)
            if self._together.fused:
                joint = fused = Step(training)
                self._model = fused.model
            self._joint = Repeated(joint, training, self._capturing)
        self._alone = {
            fold: Repeated(step, [fold], self._capturing) for fold, step in zip(training, single, strict=True)
        }

    def _joint_step(self, rows: Sequence[Tensor], rates: Sequence[Rate]) -> Tensor:
        """A step of all folds; where there is no room for it, they are trained in turn from then on."""
        step = self._joint
        assert step is not None
        if step.is_captured(rows):  # it has the memory that it needs
            return step(rows, rates)
        folds = self._training
        before = [fold.snapshot() for fold in folds]
        losses_F = _if_there_is_room(step, rows, rates, folds, before)
        if losses_F is not None:
            return losses_F
        for fold, state in zip(folds, before, strict=True):
            fold.restore_snapshot(state)
        self._joint = None
        # The folds have new generators, which no graph draws from, and the memory of graphs is needed now.
        self._capturing.forget_graphs()
        self._tell(f"no memory for {len(folds)} folds at once: they are trained in turn")
        single = zip(folds, rows, rates, strict=True)
        return torch.cat([self._alone[fold]([row], [rate]) for fold, row, rate in single])

    def _on_device(self, rates: Sequence[float]) -> Sequence[Rate]:
        if self._device.type != "cuda":
            return rates
        return torch.tensor(rates, device=self._device).unbind()

    def _in_stream(self) -> AbstractContextManager[object]:
        """A separate stream: operations to be captured must never have run in the default one."""
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
        self.model = fold_models([fold.model for fold in folds]) if len(folds) > 1 else None
        """Model of all folds, if they are several."""

    def __call__(self, rows: Sequence[Tensor], rates: Sequence[Rate]) -> Tensor:
        """Losses `l_F` before the step."""
        batches = [fold.draw(each) for fold, each in zip(self._folds, rows, strict=True)]
        with self._folds[0].precision():
            logits = self._logits(batches)
        losses = [
            fold.loss(z_BC, batch) for fold, z_BC, batch in zip(self._folds, logits, batches, strict=True)
        ]
        for fold, z_BC, batch in zip(self._folds, logits, batches, strict=True):
            fold.note(z_BC.detach(), batch.y_BC)
        for fold in self._folds:
            fold.zero_grad()
        torch.autograd.backward(losses)
        for fold, rate in zip(self._folds, rates, strict=True):
            fold.optimizer_step(rate)
        return torch.stack([loss.detach() for loss in losses])

    def _logits(self, batches: Sequence[Batch]) -> Sequence[Tensor]:
        if self.model is None:
            (fold,), (batch,) = self._folds, batches
            return [fold.model(batch.x_BLT, batch.f_BK)]
        # The batch in front: the channels of all folds then lie side by side without another copy.
        x_FBLT = torch.stack([batch.x_BLT for batch in batches], dim=1).transpose(0, 1)
        features = [batch.f_BK for batch in batches if batch.f_BK is not None]
        z_FBC: Tensor = self.model(x_FBLT, torch.stack(features) if features else None)
        return z_FBC.unbind(0)


def _beside(
    steps: Sequence[Step], device: torch.device, rows: Sequence[Tensor], rates: Sequence[Rate]
) -> Tensor:
    """The steps of single folds, on a GPU each in a stream of its own."""
    calls = [partial(step, [each], [rate]) for step, each, rate in zip(steps, rows, rates, strict=True)]
    return torch.cat(side_by_side(calls, device))


class Capturing:
    """Capture of the steps of a group as CUDA graphs: all that recur or, once one has failed, none.

    Args:
        is_wanted: whether they may.
        tell: takes the reason why they do not.
    """

    _given_up = ""
    """Reason for which no step of this process is captured any more; empty while they are."""

    def __init__(self, *, is_wanted: bool, tell: Tell) -> None:
        self.is_wanted = is_wanted and not Capturing._given_up
        self._tell = tell
        self._pool: Pool | None = None
        self.steps: WeakSet[Repeated] = WeakSet()
        """Steps of the group, which holds them."""
        if is_wanted and Capturing._given_up:
            tell(Capturing._given_up)

    @property
    def pool(self) -> Pool:
        """Memory of all graphs of the group, which are replayed one after another."""
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        return self._pool

    def fail(self, error: Exception) -> None:
        """Run all later steps without graphs, because a capture has failed."""
        reason = f"training goes on without CUDA graphs: {first_line(error, 200)}"
        if TorchVersion(torch.__version__) < CLEAN_AFTER_A_FAILURE:
            reason += f" (and none is captured in this process any more: PyTorch {torch.__version__})"
            Capturing._given_up = reason
        self.is_wanted = False
        self.forget_graphs()
        self._tell(reason)

    def forget_graphs(self) -> None:
        """Release the captured graphs; they may be captured again."""
        for step in self.steps:
            step.forget_graphs()
        self._pool = None


class Repeated:
    """A step that is captured as a CUDA graph for every size of batch with which it has been done some times.

    Where that fails, it goes on as it was. Random numbers are those of the step that is not captured: a graph
    with a registered generator draws the numbers that come next.

    Args:
        step: to be captured.
        folds: whose step it is.
        capturing: whether it is to be captured.
    """

    def __init__(self, step: Stepping, folds: Sequence[FoldTraining], capturing: Capturing) -> None:
        self._step = step
        self._folds = folds
        self._capturing = capturing
        self._n_done: Counter[int] = Counter()
        self._graphs: dict[int, Graph] = {}
        capturing.steps.add(self)

    def __call__(self, rows: Sequence[Tensor], rates: Sequence[Rate]) -> Tensor:
        """Losses `l_F` before the step; valid until the next one."""
        batch_size = len(rows[0])
        if self._capturing.is_wanted and not self.is_captured(rows):
            self._n_done[batch_size] += 1
            if self._n_done[batch_size] > N_BEFORE_CAPTURE:
                self._capture(batch_size)
        step = self._graphs.get(batch_size, self._step)
        return step(rows, rates)

    def is_captured(self, rows: Sequence[Tensor]) -> bool:
        """Whether a step with these rows is a graph."""
        return len(rows[0]) in self._graphs

    def forget_graphs(self) -> None:
        """Release the captured graphs."""
        self._graphs.clear()

    def _capture(self, batch_size: int) -> None:
        try:
            self._graphs[batch_size] = Graph(self._step, self._folds, batch_size, self._capturing.pool)
        except Exception as error:  # whatever the reason, the step itself works
            # Generators left by an aborted capture are replaced; no other graph uses the new ones.
            self._capturing.fail(error)


class Graph:
    """A captured step: kernels, and the addresses that they read and write.

    Args:
        step: has been done before.
        folds: whose step it is.
        batch_size: rows of each.
        pool: where it has its memory.

    Raises:
        Exception: it cannot be captured; the folds are as they were.
    """

    def __init__(self, step: Stepping, folds: Sequence[FoldTraining], batch_size: int, pool: Pool) -> None:
        device = folds[0].device
        self._rows_FB = torch.zeros(len(folds), batch_size, dtype=torch.int64, device=device)
        self._rates_F = torch.zeros(len(folds), device=device)
        self._graph = torch.cuda.CUDAGraph()
        before = [fold.snapshot() for fold in folds]
        try:
            for fold in folds:
                fold.zero_grad()
                self._graph.register_generator_state(fold.generator)
            with torch.cuda.graph(
                self._graph,
                pool=pool,  # type: ignore[arg-type]
                stream=torch.cuda.current_stream(device),
                capture_error_mode="thread_local",
            ):
                self._losses_F = step(self._rows_FB.unbind(), self._rates_F.unbind())
        except Exception:
            _end_allocation(device, pool)
            for fold, state in zip(folds, before, strict=True):
                fold.restore_snapshot(state)
            raise

    def __call__(self, rows: Sequence[Tensor], rates: Sequence[Rate]) -> Tensor:
        """Losses `l_F` before the step; valid until the next one."""
        torch.stack(list(rows), out=self._rows_FB)
        torch.stack([rate for rate in rates if isinstance(rate, Tensor)], out=self._rates_F)
        self._graph.replay()
        return self._losses_F


def _end_allocation(device: torch.device, pool: Pool) -> None:
    """End a capture in the allocator where PyTorch itself does not (before 2.12)."""
    index = torch.cuda.current_device() if device.index is None else device.index
    try:
        torch._C._cuda_endAllocateToPool(index, pool)
    except Exception:  # released already, or no such function
        return
    torch._C._cuda_releasePool(index, pool)


def _if_there_is_room(
    step: Stepping,
    rows: Sequence[Tensor],
    rates: Sequence[Rate],
    folds: Sequence[FoldTraining],
    before: Sequence[Snapshot],
) -> Tensor | None:
    """Losses of a step; None if memory ran out before it changed the weights of any fold.

    The error is gone then, for its traceback holds the memory.
    """
    try:
        return step(rows, rates)
    except Exception as error:
        has_descended = any(
            fold.n_updates > state.n_updates for fold, state in zip(folds, before, strict=True)
        )
        if has_descended or not is_out_of_memory(error):
            raise
    return None


def _result(predict: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32] | TrainingError:
    try:
        return predict()
    except TrainingError as error:
        return error


def _end(fold: FoldTraining, loss: float | None, seconds: float) -> tuple[float, float] | TrainingError:
    try:
        return fold.end_epoch(loss, seconds)
    except TrainingError as error:
        return error
