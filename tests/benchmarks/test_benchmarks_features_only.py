"""Gradient boosting on hand-crafted features: what it may see, and what it says of a class without a case."""

import numpy as np
import pytest

from benchmarks.features_only import main, out_of_fold
from scores.ranking import average_precision
from search.data.folds import Fold

N = 240
ROWS = np.arange(N)
FOLDS = [Fold(number=k + 1, train=ROWS[k != ROWS % 3], validation=ROWS[k == ROWS % 3]) for k in range(3)]


def test_a_class_that_a_feature_tells_is_found_and_one_without_a_case_is_improbable() -> None:
    y_NC = np.stack([np.random.default_rng(0).random(N) < 0.3, np.zeros(N, dtype=bool)], axis=1)
    f_NK = np.stack([y_NC[:, 0], np.full(N, np.nan)], axis=1).astype(np.float32)
    for fold, p_NC in zip(FOLDS, out_of_fold(f_NK, y_NC, FOLDS, seed=0), strict=True):
        assert average_precision(y_NC[fold.validation], p_NC)[0] == pytest.approx(1)
        assert (p_NC[:, 1] == 0).all()


def test_no_model_has_seen_the_records_that_it_answers() -> None:
    """Labels are noise, and a feature names the record: whoever has seen it knows, others guess."""
    y_NC = np.random.default_rng(1).random((N, 1)) < 0.5
    f_NK = ROWS[:, None].astype(np.float32)
    accuracy = [
        ((p_NC > 0.5) == y_NC[fold.validation]).mean()
        for fold, p_NC in zip(FOLDS, out_of_fold(f_NK, y_NC, FOLDS, seed=0), strict=True)
    ]
    assert np.mean(accuracy) < 0.65


def test_a_tier_that_is_not_there_is_refused_in_one_line(
    ptbxl: object,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    assert main(["--data", str(ptbxl), "--target", "nix"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "nix" in line
