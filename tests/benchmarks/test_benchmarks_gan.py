"""The GAN benchmark: arms that differ in the records added only, and a report that says what was measured."""

import json
import math
from pathlib import Path

import pytest
import torch
from ptbxl_waveforms import write_data_set

from benchmarks.gan import gan
from benchmarks.gan.gan_trial import Outcome, Trial, run
from search.training.gan.settings import GanSettings

TINY = GanSettings(n_steps=2, batch_size=4, width=8, n_noise=4, n_records=20)
ARMS = ("none", "gan .5", "repeat .5")


def outcome(gain: float, rare_gain: float = 0.1) -> Outcome:
    return Outcome(
        macro={"none": 0.3, "gan .5": 0.3 + gain},
        rare={"none": 0.2, "gan .5": 0.2 + rare_gain},
        seconds={"none": 2.0, "gan .5": 3.0},
        rare_classes=("V",),
        gan_s=4.0,
        real_auroc=0.8,
        generated_auroc=0.6,
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of 200 records every ninth has CD, every fourth of the others MI."""
    codes = {
        n: "{'1AVB': 100.0}" if n % 9 == 0 else "{'IMI': 100.0}" if n % 4 == 0 else "{'NORM': 100.0}"
        for n in range(1, 201)
    }
    return write_data_set(tmp_path / "data", n_records=200, scp_codes=codes)


def trial(data: Path, **changes: object) -> Trial:
    facts: dict[str, object] = {
        "data": data,
        "tier": "superclass",
        "seed": 0,
        "fold": 1,
        "arms": ARMS,
        "n_epochs": 1,
        "n_training": 3_000,
        "settings": TINY,
        "cache": data.parent / "cache",
    }
    return Trial(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_fold_is_scored_with_every_arm(data: Path) -> None:
    threads = torch.get_num_threads()
    try:
        first, again = run(trial(data)), run(trial(data))
        small = run(trial(data, n_training=125))
    finally:
        torch.set_num_threads(threads)
    assert first is not None
    assert again is not None
    assert small is not None
    assert first.rare_classes == ("CD",)
    assert tuple(first.macro) == ARMS
    assert all(math.isfinite(score) for score in first.macro.values())
    assert first.macro == again.macro
    assert first.gan_s == again.gan_s  # what it cost when it was trained, not what reading it costs
    assert len({*first.macro.values()}) == 3
    assert small.macro != first.macro


def test_a_tier_without_rare_classes_measures_nothing(data: Path) -> None:
    assert run(trial(data, tier="rhythm")) is None


def test_report_says_what_was_measured() -> None:
    measured = {"mit-bih aami": [outcome(gain) for gain in (-0.02, 0.01, 0.04)], "demo form": []}
    text = gan.body(measured)
    assert "| mit-bih aami: gan .5 | 0.010 [-0.020, 0.040] | 0.100 [0.100, 0.100] | 1.50 | 3 |" in text
    assert "| mit-bih aami: V | 0.600 [0.600, 0.600] | 0.800 [0.800, 0.800] | 4.0 s | 3 |" in text
    assert gan.headline(measured) == {"mit-bih aami: gan .5": 0.01}


def test_folds_without_a_rare_positive_are_counted_out() -> None:
    text = gan.body({"x": [outcome(0.1), outcome(0.1, math.nan)]})
    assert "0.100 [0.100, 0.100] (n 1)" in text


@pytest.mark.slow
def test_a_data_set_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(tmp_path / "nowhere"), "aami", "--quick", "--workers", "1"]
    assert gan.main(arguments) == 1
    written = capsys.readouterr()
    assert written.err.startswith("error: ")
    assert len(written.err.splitlines()) == 1


def test_headline_is_json() -> None:
    assert json.loads(json.dumps(gan.headline({"x": [outcome(math.nan)]}))) == {"x: gan .5": None}
