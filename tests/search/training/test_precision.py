"""In which precision models compute: asked of the processor, and measured where it claims bfloat16."""

from collections.abc import Iterator

import pytest
import torch
from training_samples import CPU

from search.training import device
from search.training.device import (
    autocast,
    bfloat16_pays,
    claims_bfloat16,
    has_fast_bfloat16,
    precision,
    why_full_precision,
)


@pytest.fixture(autouse=True)
def _no_caps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Private: variables that may be set on the machine of the test.
    for name in device._CAPS:
        monkeypatch.delenv(name, raising=False)
    bfloat16_pays.cache_clear()
    yield
    bfloat16_pays.cache_clear()


def processor(monkeypatch: pytest.MonkeyPatch, *, claims: tuple[str, ...], pays: bool) -> list[str]:
    """A processor with these instructions; what is measured is noted in the list returned."""
    measured: list[str] = []
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(claims, True))
    monkeypatch.setattr(device, "bfloat16_pays", lambda: bool(measured.append("measured")) or pays)
    return measured


@pytest.mark.parametrize("claims", [("avx512_bf16",), ("amx_bf16",), ("avx512_bf16", "amx_bf16")], ids=str)
@pytest.mark.parametrize("pays", [True, False])
def test_bfloat16_that_is_claimed_is_taken_where_it_pays(
    claims: tuple[str, ...], pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, claims=claims, pays=pays)
    assert has_fast_bfloat16(CPU) == pays
    assert precision(CPU) == ("bfloat16" if pays else "float32")
    with autocast(CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if pays else torch.float32)


@pytest.mark.parametrize("claims", [(), ("avx2",), ("avx512_f", "avx512_vnni"), ("amx_int8",)], ids=str)
def test_a_processor_without_bfloat16_is_not_measured(
    claims: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = processor(monkeypatch, claims=claims, pays=True)
    assert precision(CPU) == "float32"
    assert why_full_precision(CPU) == "this processor has no bfloat16 (AVX512-BF16 or AMX)"
    assert measured == []


def test_what_is_measured_is_said_with_what_may_be_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, claims=("avx512_bf16",), pays=False)
    assert why_full_precision(CPU) == "bfloat16 was measured to be slower here"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert why_full_precision(CPU) == "bfloat16 was measured to be slower here with ONEDNN_MAX_CPU_ISA=AVX2"


def test_nothing_is_said_where_bfloat16_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, claims=("amx_bf16",), pays=True)
    assert why_full_precision(CPU) is None


def test_what_is_measured_is_what_the_processor_has() -> None:
    """Without instructions for it bfloat16 is emulated, which never pays."""
    assert bfloat16_pays() <= claims_bfloat16()


def test_the_measurement_leaves_the_threads_of_others_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        bfloat16_pays()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
