"""Where and in which precision a trial is trained."""

import contextlib
import os
import platform
import re
import warnings
from pathlib import Path

import torch

from search.errors import UsageError


def choose_device(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`.

    Raises:
        UsageError: if CUDA is asked for and not available.
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
"""By major version of CUDA: https://docs.nvidia.com/deploy/cuda-compatibility/"""
_WHEELS = "https://download.pytorch.org/whl/cu126"
"""PyTorch for CUDA 12, which runs on older drivers than the one that PyPI has."""


def why_no_gpu() -> str | None:
    """What to do about a GPU that PyTorch cannot use, and why it cannot.

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
    return f"{_processor_name()}, {available_cores()} cores"


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a virtual file, not a path of ours
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def available_cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 where the processor computes it natively, else full precision.

    On processors without AVX512-BF16 or AMX, bfloat16 is emulated and slower than float32.
    """
    # PyTorch's cache of converted weights is shared by all threads and emptied by whichever ends a step:
    # with it the gradients of a GRU depend on the timing of the folds beside it. It saves no time here.
    return torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device), cache_enabled=False)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
