"""The models of several folds as one: the fold axis F leads every shape, `x_FBLT`, `x_FBC1T`, `x_FBC`.

A convolution of F folds is one grouped convolution over F · C channels, a batch norm one over F · C channels,
a dense layer a batched matrix product; dropout draws for every fold from the fold's own generator. Modules
that only combine others run unchanged. Any other module is run fold by fold, on a GPU side by side in
streams; recurrent layers are among them, since cuDNN needs the weights of each in one piece.

The folds keep their parameters. Parameters and gradients of fused layers become views of tensors of shape
(F, …), so that nothing is copied when the folds are trained at once, and a fold can be trained, written or
used alone at any moment. No value of one fold enters another.

Shapes: F fold, B batch, L lead, C channel or class, T time, K hand-crafted feature.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.models.hybrid import HybridModel
from search.models.mingru import MinGruLayer
from search.models.modules import (
    AttentionPooling,
    Branches,
    Convolution,
    DenseBlock,
    Dropout,
    FeatureGate,
    LastMeanMaxPooling,
    MeanMaxPooling,
    MeanPooling,
    Output,
    Pool,
    Residual,
    SqueezeExcitation,
    without_autocast,
)
from search.models.sequence import Positions, Recurrent, TransformerLayer


def fold_models(models: Sequence[HybridModel]) -> HybridModel:
    """One model for several of the same architecture on the same device.

    From signals `x_FBLT`, and features `f_FBK` where they are wanted, to logits `z_FBC`. It is in training,
    has no parameters of its own, and holds as long as no model is moved, converted or folded again.
    """
    return cast(HybridModel, _folded(models).train())


def side_by_side(calls: Sequence[Callable[[], Tensor]], device: torch.device) -> list[Tensor]:
    """Results of independent calls; on a GPU each runs in a stream of its own."""
    if len(calls) == 1 or device.type != "cuda":
        return [call() for call in calls]
    current, results = torch.cuda.current_stream(device), []
    # None of them waits for later work of the present stream, such as its waiting for another fold.
    ready = current.record_event()
    streams = [stream_of(device, number) for number in range(1, len(calls) + 1)]
    for call, stream in zip(calls, streams, strict=True):
        stream.wait_event(ready)
        with torch.cuda.stream(stream):
            results.append(call())
    for stream in streams:
        current.wait_stream(stream)
    return results


@cache
def stream_of(device: torch.device, number: int) -> torch.cuda.Stream:
    """Always the same ones: number 0 is that of the steps, the others are those of single folds.

    Memory that was used in one stream is kept for it, and PyTorch has 32 of them to give in turn: with new
    ones for every trial some would soon be the same.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _folded(modules: Sequence[nn.Module]) -> nn.Module:
    """One module that does for all folds what each of `modules` does for its own.

    By exact type: a subclass may compute something else.
    """
    kind = type(modules[0])
    if kind in _SAME_CODE:
        return _with_folded_parts(modules)
    return _FUSED.get(kind, _EachItsOwn)(modules)


def _with_folded_parts(modules: Sequence[nn.Module]) -> nn.Module:
    """The code of a module without parameters of its own, on folded parts."""
    module = copy.copy(modules[0])
    module._modules = {
        name: part if part is None else _folded([cast(nn.Module, each._modules[name]) for each in modules])
        for name, part in module._modules.items()
    }
    return module


class _Joint:
    """A tensor of every fold in one of shape (F, …), of which each becomes a view.

    Args:
        tensors: parameters or buffers, dense and laid out in memory alike.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        first = tensors[0]
        assert all(tensor.stride() == first.stride() for tensor in tensors)
        self._tensors = tuple(tensors)
        # The memory order of a parameter stays: an optimiser has moments in it.
        shape, stride = (len(tensors), *first.shape), (first.numel(), *first.stride())
        self.values = torch.empty_strided(shape, stride, dtype=first.dtype, device=first.device)
        for own, shared in zip(tensors, self.values, strict=True):
            own.data = shared.copy_(own.detach())

    def __call__(self) -> Tensor:
        """Values of all folds; gradients are passed to each fold's own tensor."""
        return cast(Tensor, _Join.apply(self.values, *self._tensors))  # type: ignore[no-untyped-call]


class _Join(torch.autograd.Function):
    """Tensors as the one that they are views of."""

    @staticmethod
    def forward(ctx: Any, joint: Tensor, *tensors: Tensor) -> Tensor:
        ctx.joint = joint
        return joint.data  # an alias, and for autograd no view

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        if gradient.stride() != ctx.joint.stride():
            # Else autograd would copy it for every parameter, so that it lies in memory as that does.
            gradient = torch.empty_like(ctx.joint).copy_(gradient)
        return (None, *gradient.unbind(0))


class _EachItsOwn(nn.Module):
    """Every fold's own module in turn."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.own = nn.ModuleList(modules)

    def forward(self, x_FB: Tensor) -> Tensor:
        return torch.stack(
            side_by_side(
                [partial(module, x_B) for module, x_B in zip(self.own, x_FB, strict=True)], x_FB.device
            )
        )


class _Convolution(nn.Module):
    """A convolution in the groups of channels of each fold, usually one."""

    def __init__(self, modules: Sequence[Convolution]) -> None:
        super().__init__()
        self.one = (modules[0],)  # a tuple, so that its parameters are not taken for ours
        self.weight = _Joint([module.weight for module in modules])
        self.bias = None if modules[0].bias is None else _Joint([cast(Tensor, m.bias) for m in modules])

    def forward(self, x_FBC1T: Tensor) -> Tensor:
        (one,) = self.one
        weight_FOI1K = self.weight()
        bias = None if self.bias is None else self.bias().flatten()
        n_missing = -weight_FOI1K.shape[2] % _CHANNELS_IN_A_GROUP.get(x_FBC1T.device.type, 1)
        if n_missing and one.groups == 1:
            x_FBC1T = _with_zero_channels(x_FBC1T, n_missing)
            weight_FOI1K = F.pad(weight_FOI1K, (0, 0, 0, 0, 0, n_missing))
        x = _merged(x_FBC1T)
        x = F.pad(x, one.uneven) if one.uneven else x
        n_folds = len(x_FBC1T)
        padding = cast(tuple[int, int], one.padding)
        dilation = cast(tuple[int, int], one.dilation)
        weight, groups = weight_FOI1K.flatten(0, 1), n_folds * one.groups
        y = F.conv2d(x, weight, bias, one.stride, padding, dilation, groups=groups)
        return _split(y, n_folds)


class _BatchNorm(nn.Module):
    """Batch norm of the channels of all folds: the statistics of each are its own."""

    def __init__(self, modules: Sequence[nn.BatchNorm1d | nn.BatchNorm2d]) -> None:
        super().__init__()
        first = modules[0]
        assert first.momentum is not None
        self.momentum, self.epsilon = first.momentum, first.eps
        self.weight, self.bias = (_Joint([getattr(m, name) for m in modules]) for name in ("weight", "bias"))
        self.mean, self.variance, self.count = (
            _Joint([cast(Tensor, getattr(module, name)) for module in modules])
            for name in ("running_mean", "running_var", "num_batches_tracked")
        )

    def forward(self, x_FBC: Tensor) -> Tensor:
        if self.training:
            self.count.values.add_(1)
        y = F.batch_norm(
            _merged(x_FBC),
            self.mean.values.view(-1),
            self.variance.values.view(-1),
            self.weight().flatten(),
            self.bias().flatten(),
            self.training,
            self.momentum,
            self.epsilon,
        )
        return _split(y, len(x_FBC))


class _Pool(nn.Module):
    """Pooling, which looks at every channel alone."""

    def __init__(self, modules: Sequence[Pool]) -> None:
        super().__init__()
        self.pool = modules[0]

    def forward(self, x_FBC1T: Tensor) -> Tensor:
        return _split(self.pool(_merged(x_FBC1T)), len(x_FBC1T))


class _Dropout(nn.Module):
    """Dropout with the masks that the folds draw when they are alone."""

    def __init__(self, modules: Sequence[Dropout]) -> None:
        super().__init__()
        self.own = tuple(modules)
        self.rate = modules[0].rate

    def forward(self, x_FB: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x_FB
        kept_FB = x_FB.new_empty(len(x_FB), *self.own[0].mask_shape(x_FB[0]))
        for dropout, kept_B in zip(self.own, kept_FB, strict=True):
            kept_B.bernoulli_(1 - self.rate, generator=dropout.generator)
        return x_FB * kept_FB.div_(1 - self.rate)


class _Linear(nn.Module):
    """A dense layer as a batched matrix product."""

    def __init__(self, modules: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _Joint([module.weight for module in modules])
        self.bias = None if modules[0].bias is None else _Joint([module.bias for module in modules])

    def forward(self, x_FBC: Tensor) -> Tensor:
        weight_FCO = self.weight().transpose(1, 2)
        x_FMC = x_FBC.flatten(1, -2)
        if self.bias is None:
            y_FMO = torch.bmm(x_FMC, weight_FCO)
        else:
            y_FMO = torch.baddbmm(self.bias()[:, None], x_FMC, weight_FCO)
        return y_FMO.view(*x_FBC.shape[:-1], -1)


class _Output(_Linear):
    """The last dense layer, as `Output` is."""

    def forward(self, x_FBC: Tensor) -> Tensor:
        return without_autocast(super().forward, x_FBC)


class _LayerNorm(nn.Module):
    """Layer norm with a scale and a shift of every fold's own."""

    def __init__(self, modules: Sequence[nn.LayerNorm]) -> None:
        super().__init__()
        self.shape, self.epsilon = modules[0].normalized_shape, modules[0].eps
        self.weight, self.bias = (_Joint([getattr(m, name) for m in modules]) for name in ("weight", "bias"))

    def forward(self, x_FBTC: Tensor) -> Tensor:
        normal_FBTC = F.layer_norm(x_FBTC, self.shape, eps=self.epsilon)
        return torch.addcmul(self.bias()[:, None, None], normal_FBTC, self.weight()[:, None, None])


def _with_zero_channels(x_FBC1T: Tensor, n: int) -> Tensor:
    """Append n channels of zeros in every fold; channels of all folds lie side by side in memory."""
    return F.pad(x_FBC1T.permute(1, 3, 4, 0, 2), (0, n)).permute(3, 0, 4, 1, 2)


def _merged(x_FBC: Tensor) -> Tensor:
    """`x_BC` with the channels of all folds side by side; an image in channels-last layout."""
    x_BC = x_FBC.transpose(0, 1).flatten(1, 2)
    return x_BC.contiguous(memory_format=torch.channels_last) if x_BC.dim() == 4 else x_BC


def _split(x_BC: Tensor, n_folds: int) -> Tensor:
    """Undoes `_merged`."""
    return x_BC.view(len(x_BC), n_folds, -1, *x_BC.shape[2:]).transpose(0, 1)


_CHANNELS_IN_A_GROUP = {"cuda": 8}
"""A multiple of it is the number of input channels of every group. cuDNN's kernels for tensor cores read 16
bytes at a time; where the channels of a group do not fill them, it takes kernels many times as slow."""

_SAME_CODE: frozenset[type[nn.Module]] = frozenset(
    {
        HybridModel,
        nn.Sequential,
        nn.Identity,
        nn.ReLU,
        AttentionPooling,
        Branches,
        DenseBlock,
        FeatureGate,
        LastMeanMaxPooling,
        MeanMaxPooling,
        MeanPooling,
        MinGruLayer,
        Positions,
        Recurrent,
        Residual,
        SqueezeExcitation,
        TransformerLayer,
        nn.ModuleList,
    }
)
"""Modules without parameters of their own whose code works with a leading fold axis."""

_FUSED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    Convolution: _Convolution,
    nn.BatchNorm1d: _BatchNorm,
    nn.BatchNorm2d: _BatchNorm,
    Pool: _Pool,
    Dropout: _Dropout,
    nn.Linear: _Linear,
    Output: _Output,
    nn.LayerNorm: _LayerNorm,
}
"""Modules that are computed at once for all folds."""
