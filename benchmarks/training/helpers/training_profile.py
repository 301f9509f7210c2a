"""Profile of one core that trains a fold, and the share of peak that its convolutions reach.

Everything is counted in seconds of one thread (user and system), so that other programs hardly disturb it.

Shapes: B batch, C channel, T time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import space
from search.data.dataset import Development
from search.data.folds import cv_folds
from search.training.device import has_fast_bfloat16
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.settings import TrainingSettings

MATRIX = 2048
N_PRODUCTS = 5

KINDS = {
    "convolutions": r"conv",
    "batch norm": r"batch_norm",
    "pooling": r"pool",
    "recurrent layers": r"rnn|lstm|gru",
    "dense layers": r"\b(addmm|mm|linear|bmm|matmul)\b",
    "random numbers": r"normal_|bernoulli|uniform_|rand",
    "optimiser and gradient norm": r"adam|foreach|linalg|optimizer|norm\b",
    "copies and conversions": r"copy_|_to_copy|contiguous|clone|index|cat\b|fill_|zero_",
}
"""Parts of a step and the operations of PyTorch that they consist of; the rest is element by element."""
REST = "element by element"


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """Floating-point operations per second of one core in a product of large matrices."""

    float32: float
    bfloat16: float | None
    """None where bfloat16 is emulated, and a product takes minutes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Profile of one epoch of one fold on one core."""

    seconds: float
    """Seconds of the thread."""
    shares: dict[str, float]
    """Shares of the time, by kind of operation; the kinds of `KINDS`, then `REST`."""
    convolution_flops: float
    """Floating-point operations per second within convolutions, forwards and backwards."""


def measure_peak() -> Peak:
    """Multiply large matrices on one core; the best of several products counts."""

    def flops(dtype: torch.dtype) -> float:
        left = torch.randn(MATRIX, MATRIX).to(dtype)
        seconds = [_thread_seconds(lambda: left @ left) for _ in range(1 + N_PRODUCTS)]
        return float(2 * MATRIX**3 / min(seconds[1:]))

    with _one_thread():
        native = has_fast_bfloat16(torch.device("cpu"))
        return Peak(float32=flops(torch.float32), bfloat16=flops(torch.bfloat16) if native else None)


def measure_profile(
    data: Development, architecture: space.Architecture, settings: TrainingSettings
) -> Profile:
    """Profile the second epoch of the first fold."""
    fold = cv_folds(data.strat_fold, data.fold_plan)[0]
    with _one_thread():
        on_device = DeviceData(data, torch.device("cpu"), cache_dir=Path())
        training = FoldTraining(architecture, fold, on_device, settings)
        training.run_epoch()
        counted: list[float] = []
        hooks = [
            module.register_forward_hook(_counter(counted))
            for module in training.model.modules()
            if isinstance(module, nn.Conv2d)
        ]
        training.run_epoch()
        for hook in hooks:
            hook.remove()
        # Twice, with and without the profiler: it makes small operations slower.
        seconds = _thread_seconds(training.run_epoch)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            training.run_epoch()
    by_kind = dict.fromkeys([*KINDS, REST], 0.0)
    for operation in profiler.key_averages():
        by_kind[_kind(operation.key)] += operation.self_cpu_time_total
    total = sum(by_kind.values())
    shares = {kind: each / total for kind, each in by_kind.items()}
    return Profile(
        seconds=seconds,
        shares=shares,
        convolution_flops=sum(counted) / (shares["convolutions"] * seconds),
    )


def _kind(operation: str) -> str:
    name = operation.lower()
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), REST)


def _counter(counted: list[float]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """A hook that counts the operations of a convolution.

    Two for every product forwards, as many for the gradient of the weights, and as many for that of the input
    where one is needed.
    """

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        if not output.requires_grad:
            return
        forwards = 2.0 * output.numel() * module.weight[0].numel()
        counted.append(forwards * (3 if inputs[0].requires_grad else 2))

    return count


def _thread_seconds(work: Callable[[], Any]) -> float:
    began_s = time.thread_time()
    work()
    return time.thread_time() - began_s


class _one_thread:  # noqa: N801 - reads as a statement
    """All of PyTorch's work in the calling thread."""

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *failure: object) -> None:
        torch.set_num_threads(self._before)
