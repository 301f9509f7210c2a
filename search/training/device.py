"""Device and precision of training."""

import contextlib
import math
import os
import platform
import re
import time
import warnings
from functools import cache
from pathlib import Path

import torch

from search.cores import available_cores
from search.errors import UsageError


def choose_device(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`.

    Raises:
        UsageError: CUDA is requested and not available.
    """
    if name == "cuda" and not _has_cuda():
        why = why_no_gpu() or "check the driver"
        raise UsageError(f"--device cuda: PyTorch sees no CUDA device; use --device cpu, or {why}")
    if name == "auto":
        name = "cuda" if _has_cuda() else "cpu"
    if name == "cuda":
        # What pays for speed with precision runs in bfloat16; what does not was kept out of it on purpose.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device(name)


_DRIVER = Path("/proc/driver/nvidia/version")
_OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""Oldest driver by major version of CUDA: https://docs.nvidia.com/deploy/cuda-compatibility/"""
_WHEELS = "https://download.pytorch.org/whl/cu126"
"""PyTorch for CUDA 12, which runs on older drivers than the one that PyPI has."""


def why_no_gpu() -> str | None:
    """Advice on a GPU that PyTorch cannot use: the cause and the remedy.

    None where there is no driver of NVIDIA's, where GPUs are hidden on purpose, or where PyTorch can.
    """
    try:
        driver = _DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in {"", "-1", "NoDevFiles"}
    if hidden or _has_cuda():
        return None
    found = re.search(r"Kernel Module.*?\s(\d+)((?:\.\d+)+)", driver)
    version = "".join(found.groups()) if found else "of unknown version"
    install = f"pip install --force-reinstall torch --index-url {_WHEELS}"
    if torch.version.cuda is None:
        return f"{install} (NVIDIA's driver {version} is there, but this PyTorch is built without CUDA)"
    oldest = _OLDEST_DRIVER.get(int(torch.version.cuda.partition(".")[0]))
    if found and oldest and int(found[1]) < oldest:
        return (
            f"{install} (this PyTorch is built for CUDA {torch.version.cuda}, which needs NVIDIA's driver "
            f"{oldest} or newer; here it is {version})"
        )
    return (
        f"find out with nvidia-smi why no GPU answers (NVIDIA's driver {version} is there, and recent enough "
        f"for the CUDA {torch.version.cuda} of this PyTorch)"
    )


def _has_cuda() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an old driver, for which `why_no_gpu` has the advice as well
        return torch.cuda.is_available()


def device_label(device: torch.device) -> str:
    """The device in words, for provenance."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{processor_name()}, {available_cores()} cores"


def processor_name() -> str:
    """The processor of this machine in words."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a virtual file, not a path of ours
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 where the device computes it natively, else full precision."""
    # PyTorch's cache of converted weights is shared by all threads and emptied by whichever ends a step:
    # with it the gradients of a GRU depend on the timing of the folds beside it. It saves no time here.
    return torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device), cache_enabled=False)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices natively.

    Claims of a processor are measured, once in a process: its instructions may be kept from the library, as
    with ONEDNN_MAX_CPU_ISA or by the host of a virtual machine, and bfloat16 is then emulated.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return claims_bfloat16() and bfloat16_pays()


def precision(device: torch.device) -> str:
    """Precision in which models compute, for provenance."""
    return "bfloat16" if has_fast_bfloat16(device) else "float32"


def why_full_precision(device: torch.device) -> str | None:
    """Reason for training in float32, in words; None where models are trained in bfloat16."""
    if has_fast_bfloat16(device):
        return None
    if device.type == "cuda":
        return "this GPU has no bfloat16"
    if not claims_bfloat16():
        return "this processor has no bfloat16 (AVX512-BF16 or AMX)"
    caps = [f"{name}={os.environ[name]}" for name in _CAPS if name in os.environ]
    return " with ".join(["bfloat16 was measured to be slower here", *caps])


_CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_N_PRODUCTS = 5
_WIDTH = 384
"""Width of the matrices multiplied: a millisecond each in float32."""


def claims_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, even where the library may not use them."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@cache
def bfloat16_pays() -> bool:
    """Whether one core multiplies matrices faster in bfloat16 than in float32.

    Native, it is about twice as fast or more; emulated, two or three times slower. The best of some products
    in turn, in some 50 milliseconds, separates the two even beside other programs.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        full = torch.ones(_WIDTH, _WIDTH)
        seconds: dict[torch.dtype, float] = {torch.float32: math.inf, torch.bfloat16: math.inf}
        for number in range(1 + _N_PRODUCTS):
            for dtype, fastest_s in seconds.items():
                x = full.to(dtype)
                began_s = time.perf_counter()
                torch.mm(x, x)
                if number:  # in the first, libraries choose their kernels
                    seconds[dtype] = min(fastest_s, time.perf_counter() - began_s)
    finally:
        torch.set_num_threads(n_threads)
    return seconds[torch.bfloat16] < seconds[torch.float32]
