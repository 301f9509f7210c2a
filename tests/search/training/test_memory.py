"""Peak memory of a trial: counted from its start, kept with its scores, shown beside the front."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from report_records import HeldStudy, make_study, make_trial

import search.study.provenance
from reports.document import report_document
from reports.evidence import gather
from reports.numbers import memory_words
from reports.page.page import page
from search.study.provenance import PeakMemory, with_peak_memory
from storage import TierScores

SCORES = TierScores(metrics={"macro_auprc": 0.5}, class_metrics={})
MEGABYTE = 1_000_000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone keeps the peak")
def test_an_earlier_peak_does_not_count() -> None:
    earlier = np.ones(50 * MEGABYTE)  # 400 MB
    del earlier
    memory = PeakMemory()
    before = memory.n_bytes()
    now = np.ones(20 * MEGABYTE)  # 160 MB
    del now
    after = memory.n_bytes()
    assert before is not None
    assert after is not None
    assert 140 * MEGABYTE < after - before < 300 * MEGABYTE


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone keeps the peak")
def test_memory_that_was_freed_and_kept_for_later_does_not_count() -> None:
    blocks = [np.ones(12_500) for _ in range(3000)]  # 300 MB in blocks too small to be mapped each
    last = np.ones(12_500)
    with_blocks = PeakMemory().n_bytes()
    del blocks
    without = PeakMemory().n_bytes()
    assert with_blocks is not None
    assert without is not None
    assert with_blocks - without > 200 * MEGABYTE
    assert last.all()


def test_nothing_is_said_where_it_cannot_be_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Private: /proc of another machine.
    monkeypatch.setattr(search.study.provenance, "_CLEAR", tmp_path / "no" / "such" / "file")
    assert PeakMemory().n_bytes() is None
    assert with_peak_memory(SCORES, PeakMemory()) == SCORES


def test_it_is_kept_beside_the_scores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t  2000 kB\nVmRSS:\t 1000 kB\n")
    # Private: /proc of another machine.
    monkeypatch.setattr(search.study.provenance, "_CLEAR", tmp_path / "clear")
    monkeypatch.setattr(search.study.provenance, "_STATUS", status)
    kept = with_peak_memory(SCORES, PeakMemory())
    assert kept.metrics == {"macro_auprc": 0.5, "peak_memory_bytes": 2_048_000.0}
    assert SCORES.metrics == {"macro_auprc": 0.5}


@pytest.mark.parametrize(
    ("n_bytes", "words"), [(None, "–"), (640e6, "640 MB"), (999.6e6, "1.0 GB"), (1.94e9, "1.9 GB")]
)
def test_memory_in_words(n_bytes: float | None, words: str) -> None:
    assert memory_words(n_bytes) == words


@pytest.mark.parametrize("is_known", [True, False])
def test_the_front_has_a_column_for_it_where_it_is_known(is_known: bool) -> None:
    class Measured(HeldStudy):
        def summary(self, trial_id: int) -> dict[str, TierScores]:
            found = super().summary(trial_id)
            peaks = {"peak_memory_bytes": 1.94e9, "peak_gpu_memory_bytes": 12.3e9}
            metrics = {**found["subclass"].metrics, **peaks}
            return {"subclass": replace(found["subclass"], metrics=metrics)}

    study = (Measured if is_known else HeldStudy)(make_study(), [make_trial(0, 0.5)], predicted=True)
    shown = page(report_document(gather(study, "example"), n_resamples=10), [], {})
    assert ("peak memory" in shown, "<td>1.9 GB</td>" in shown) == (is_known, is_known)
    assert ("peak GPU memory" in shown, "<td>12.3 GB</td>" in shown) == (is_known, is_known)


def test_memory_of_a_gpu_is_counted_from_the_start_of_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cuda:
        peak = 5_000_000_000

        def is_initialized(self) -> bool:
            return True

        def reset_peak_memory_stats(self) -> None:
            self.peak = 0

        def max_memory_allocated(self) -> int:
            return self.peak

    cuda = Cuda()
    monkeypatch.setattr(torch, "cuda", cuda)
    memory = PeakMemory()
    cuda.peak = 3_000_000_000
    assert with_peak_memory(SCORES, memory).metrics["peak_gpu_memory_bytes"] == 3e9


@pytest.mark.skipif(torch.cuda.is_available(), reason="only where there is no GPU")
def test_without_a_gpu_nothing_is_said_of_its_memory() -> None:
    assert "peak_gpu_memory_bytes" not in with_peak_memory(SCORES, PeakMemory()).metrics
