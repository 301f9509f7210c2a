"""The benchmark of the luck of the choice: what it counts, and one small draw."""

import numpy as np

from benchmarks.luck.optimism import Result, body, one_draw, truths


def test_bias_is_without_the_ease_of_the_draw_and_coverage_counts_intervals() -> None:
    draws = [
        {"corrected": Result(error=0.02, own_error=0.001, held=True, width=0.04)},
        {"corrected": Result(error=-0.02, own_error=0.003, held=False, width=0.06)},
    ]
    line = next(line for line in body({0.05: draws}).splitlines() if "differ by 0.05 SD" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # Mean .002 with standard error .001; one interval of two; errors of ±.02 have an SD of .02 √2.
    assert cells[1] == "+0.0020 ± 0.0010"
    assert cells[2].startswith("0.500 [")
    assert cells[3:] == ["0.0500", "0.0283"]


def test_a_draw_measures_every_estimate_against_the_truth_of_the_chosen_model() -> None:
    rng = np.random.default_rng(0)
    beyond_M = np.array([0.0, 0.3, -0.3])
    found = one_draw(beyond_M, np.array([0.8, 0.9, 0.7]), 40, 10, rng)
    assert list(found) == ["plain", "corrected", "four folds"]
    assert found["plain"].error > found["corrected"].error
    assert all(each.width > 0 for each in found.values())
    ease = {round(each.error - each.own_error, 12) for each in found.values()}
    assert len(ease) == 1


def test_truth_rises_with_the_distance_of_positives_from_negatives(monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.luck.optimism.N_TRUTH", 2)
    beyond_K, score_K = truths(40, np.random.default_rng(0))
    assert (np.diff(beyond_K) > 0).all()
    assert (np.diff(score_K) > 0).all()
