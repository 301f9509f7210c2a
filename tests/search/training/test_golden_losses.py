"""Training losses on a CPU, as they were before anything was made faster.

Work on speed may change the order in which numbers are added, and nothing else. The curves are kept in
tests/golden/loss_cpu.txt; after a wanted change

    UPDATE_GOLDEN=1 python -m pytest tests/search/training/test_golden_losses.py

writes them anew, to be read before they are committed: what moves by more than the tolerances below is not a
matter of rounding.
"""

import contextlib
import os
import platform
from pathlib import Path

import pytest
import torch
from training_samples import CPU, case

from search.training import fold
from search.training.device import has_fast_bfloat16
from search.training.settings import TrainingSettings
from space import Architecture, RecurrentLayer

GOLDEN = Path(__file__).parents[2] / "golden" / "loss_cpu.txt"
EXPLANATION = (
    "# Mean training loss of every epoch; made by: "
    "UPDATE_GOLDEN=1 pytest tests/search/training/test_golden_losses.py"  # one line of the file
)
TOLERANCE = {"float32": 3e-5, "bfloat16": 2e-3}
"""Largest relative difference of a loss between processors, or between orders of summation.

Kernels without vector instructions (ATEN_CPU_CAPABILITY=default, ONEDNN_MAX_CPU_ISA=SSE41) move the losses
cnn and cnn-bilstm of float32 by at most 2e-7. Weights changed by one part in 1e7, the rounding of float32,
move a loss below by at most 1e-5; bfloat16 instead of float32 moves it by at most 4e-4, and 2e-3 in the
weights by at most 3e-3. Batch norm with 1e-2 instead of 1e-5 under its root, as small a mistake as there is,
moves every curve of float32 by more than 7e-5. The curves are short on purpose, and the learning rate is low:
after 24 steps at the usual rate the same rounding has become 1e-2, for Adam makes full steps of gradients
that are nothing but rounding.
"""

_GRU, _LSTM = RecurrentLayer(cell="gru"), RecurrentLayer(cell="lstm")
_BIGRU, _BILSTM = (RecurrentLayer(cell=cell, bidirectional=True) for cell in ("gru", "lstm"))


def _small(*stack: RecurrentLayer) -> Architecture:
    return Architecture(
        recurrent=stack,
        hidden_size=16,
        width=0.25,
        head_width=32,
        gate=4,
        dropout=0.1,
        label_tier="superclass",
    )


ARCHITECTURES = {
    "cnn": _small(),
    "cnn-gru": _small(_GRU),
    "cnn-bigru": _small(_BIGRU),
    "cnn-bilstm": _small(_BILSTM),
    "cnn-gru-bilstm-lstm": _small(_GRU, _BILSTM, _LSTM),
}
PRECISIONS = ("float32", "bfloat16")


def losses(architecture: Architecture, precision: str, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Losses of three epochs of three steps, on one thread."""
    if precision == "float32":
        monkeypatch.setattr(fold, "autocast", lambda device: contextlib.nullcontext())
    training = case(n_samples=200).start(
        architecture, settings=TrainingSettings(epochs=3, batch_size=24, learning_rate=1e-3)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [training.run_epoch()[0] for _ in range(3)]
    finally:
        torch.set_num_threads(threads)


def machine() -> str:
    """Everything that decides which kernels run, and so the last bits of a sum."""
    wanted = {"vendor_id", "cpu family", "model", "stepping", "cache size"}
    facts = {}
    caps = sorted(name for name in os.environ if name.startswith(("ONEDNN_", "DNNL_", "MKL_", "ATEN_")))
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in wanted:
                facts[name.strip()] = value.strip()
    processor = " ".join(facts.values()) or platform.machine()
    processor += "".join(f", {name}={os.environ[name]}" for name in caps)
    return f"# {processor}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def read_golden() -> tuple[str, dict[str, list[float]]]:
    _, where, *lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    curves = {}
    for line in lines:
        name, _, values = line.partition(": ")
        curves[name] = [float(value) for value in values.split()]
    return where, curves


def renew() -> None:
    """Write the golden file."""
    lines = [EXPLANATION, machine()]
    for precision in PRECISIONS:
        for name, architecture in ARCHITECTURES.items():
            with pytest.MonkeyPatch.context() as monkeypatch:
                curve = losses(architecture, precision, monkeypatch)
            lines.append(f"{name} {precision}: {' '.join(map(repr, curve))}")
    GOLDEN.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def _renewed() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        renew()


@pytest.mark.parametrize(
    "precision",
    [
        pytest.param(each, marks=pytest.mark.needs_bfloat16 if each == "bfloat16" else ())
        for each in PRECISIONS
    ],
)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_losses_are_those_of_the_golden_file(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if precision == "bfloat16" and not has_fast_bfloat16(CPU):
        pytest.skip("this processor has no bfloat16, so nothing is trained in it")
    where, curves = read_golden()
    found = losses(ARCHITECTURES[name], precision, monkeypatch)
    expected = curves[f"{name} {precision}"]
    assert found == pytest.approx(expected, rel=TOLERANCE[precision])
    if precision == "float32" and where == machine():
        assert found == expected  # to the last bit
