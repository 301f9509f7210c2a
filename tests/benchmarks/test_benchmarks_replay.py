"""Replays, what is measured of them, and how it is told."""

import json
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.efficiency import (
    large_noise,
    limits,
    other_samplers,
    search_efficiency,
    stop_rule,
    warm_start,
)
from benchmarks.efficiency.helpers.domination import better_first, rank_of_front
from benchmarks.efficiency.helpers.measures import Yardstick, n_unique, wrongly_pruned
from benchmarks.efficiency.helpers.plan import DEFAULT_RACE, Measured, Seeds, make_plan, measure
from benchmarks.efficiency.helpers.pruners import PRUNERS, HubRule, MedianRule, RacePruner, make_pruner
from benchmarks.efficiency.helpers.replay import Search, Trace, everything_about, replay
from benchmarks.efficiency.helpers.samplers import SAMPLERS
from benchmarks.efficiency.helpers.summary import ratios
from benchmarks.efficiency.helpers.timing import Timing
from benchmarks.efficiency.helpers.worlds import World, simulate, simulate_related
from benchmarks.efficiency.large_noise import Front
from benchmarks.helpers.intervals import median_interval
from benchmarks.helpers.results import Section, write_section
from search.sampler.listed import ListedCandidates

A, B, C, D, E = range(5)
PARAMETERS = (10, 100, 1_000, 10_000, 100)
TRUTH = (0.50, 0.60, 0.55, 0.80, 0.58)
MEASURED = (0.50, 0.60, 0.62, 0.80, 0.58)
"""C is lucky: by what is measured it is on the front, in truth B dominates it."""


def by_hand() -> World:
    """Five architectures, two folds, two epochs."""
    listing = [{"kind": name} for name in "abcde"]
    score_N = np.array(MEASURED)
    offset_FE = np.array([[-0.30, -0.02], [-0.20, 0.02]])
    return World(
        name="by hand",
        candidates=ListedCandidates(
            listing,
            encode=lambda params: ["abcde".index(params["kind"])],
            cost_of=lambda params: PARAMETERS["abcde".index(params["kind"])],
        ),
        axes={"kind": tuple("abcde")},
        suggest=lambda trial: {"kind": trial.suggest_categorical("kind", tuple("abcde"))},
        log_cost_N=np.log10(PARAMETERS),
        curves_NFE=score_N[:, None, None] + offset_FE,
        score_N=score_N,
        truth_N=np.array(TRUTH),
    )


def trace(*rows: tuple[int, bool, int, bool]) -> Trace:
    """Architecture, whether complete, fold-epochs, whether it would have improved the front."""
    architecture, complete, fold_epochs, improves = zip(*rows, strict=True)
    return Trace(
        architecture_T=np.array(architecture),
        fold_epochs_T=np.array(fold_epochs),
        complete_T=np.array(complete),
        improves_T=np.array(improves),
        at_most_T=np.full(len(rows), np.nan),
        ask_s_T=np.zeros(len(rows)),
        decision_s=np.zeros(0),
    )


def test_measures_worked_by_hand() -> None:
    world = by_hand()
    yardstick = Yardstick(world)
    searched = trace(
        (B, True, 4, True), (C, True, 4, True), (D, False, 2, True), (E, False, 1, False), (B, True, 4, False)
    )
    # From .5 and 10^4.15: A adds nothing, B .1 × (4 − 2), D .3 × .15.
    assert yardstick.hypervolume(range(5)) == pytest.approx(0.245)
    assert yardstick.front(range(5), world.truth_N) == {A, B, D}
    # B alone: .1 × 2.15. C joins the front that is reported, and its true score adds nothing.
    np.testing.assert_allclose(yardstick.share_T(searched), [0.215 / 0.245] * 5)
    assert yardstick.front_kept(searched, world.score_N) == pytest.approx(2 / 3)  # B and C of B, C, D
    assert yardstick.front_kept(searched, world.truth_N) == pytest.approx(1 / 2)  # B of B, D
    assert yardstick.found(searched) == (1, 3)
    assert yardstick.fold_epoch_share(searched) == pytest.approx(15 / (5 * 4))
    assert n_unique(searched) == 4
    assert wrongly_pruned(searched) == (1, 3)


def test_a_front_that_is_reported_by_luck_costs_hypervolume() -> None:
    yardstick = Yardstick(by_hand())
    shares = yardstick.share_T(trace((C, True, 4, True), (D, True, 4, True)))
    # C in truth .05 × 1.15, then .05 × 1 and D .3 × .15.
    np.testing.assert_allclose(shares, [0.0575 / 0.245, 0.095 / 0.245])


def test_a_replay_by_hand() -> None:
    found = replay(Search(source="", seed=0, sampler="grid", pruner="none", n_trials=9), by_hand())
    assert sorted(found.architecture_T) == [A, B, C, D, E]  # the grid stops when everything was proposed
    assert found.fold_epochs_T.tolist() == [4] * 5
    assert found.complete_T.all()
    best: dict[int, float] = {}
    for architecture, improves in zip(found.architecture_T.tolist(), found.improves_T, strict=True):
        rivals = [score for parameters, score in best.items() if parameters <= PARAMETERS[architecture]]
        assert improves == (MEASURED[architecture] > max(rivals, default=0.0))
        key = PARAMETERS[architecture]
        best[key] = max(best.get(key, 0.0), MEASURED[architecture])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_replay_is_deterministic(sampler: str) -> None:
    pruner = DEFAULT_RACE if sampler in {"front", "grid"} else "hub"
    search = Search(source="conditional", seed=2, sampler=sampler, pruner=pruner, n_trials=20)
    one, two = replay(search), replay(search)
    for field in fields(Trace):
        if field.name not in {"ask_s_T", "decision_s"}:
            np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
    assert len(one.architecture_T) == len(one.ask_s_T) == 20
    if sampler in {"front", "grid"}:
        assert n_unique(one) == 20


def test_front_and_grid_stop_when_nothing_is_left() -> None:
    world = by_hand()
    for sampler in ("front", "grid"):
        found = replay(Search(source="", seed=1, sampler=sampler, pruner="none", n_trials=30), world)
        assert len(found.architecture_T) == n_unique(found) == len(world)


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_pruner_trains_a_prefix(pruner: str) -> None:
    world = simulate("small", 0)
    found = replay(Search(source="small", seed=0, sampler="grid", pruner=pruner, n_trials=25), world)
    assert (found.fold_epochs_T[found.complete_T] == 100).all()
    assert (found.fold_epochs_T[~found.complete_T] < 100).all()
    assert found.complete_T.all() == (pruner == "none")
    assert bool(len(found.decision_s)) == (pruner != "none")


@pytest.mark.parametrize(("n_parallel", "fold_epochs"), [(1, 3), (2, 6), (5, 15)])
def test_fold_epochs_of_a_race(n_parallel: int, fold_epochs: int) -> None:
    world = simulate("small", 0)
    race = RacePruner(world, alpha=1e9, n_parallel=n_parallel)
    smallest_first = np.argsort(world.log_cost_N, kind="stable")[:6].tolist()
    trained = [race.train(architecture, None) for architecture in smallest_first]
    # Three must be complete; then such an alpha prunes at the first rung, epoch 3 of 20.
    assert [one.fold_epochs for one in trained] == [100] * 3 + [fold_epochs] * 3
    assert len(race.estimates()) <= 3


def test_ranks_of_fronts() -> None:
    generator = np.random.default_rng(0)
    losses = generator.integers(0, 8, (60, 2)).astype(float)
    ranks = rank_of_front(losses)
    left, expected = list(range(60)), np.zeros(60, dtype=int)
    rank = 0
    while left:
        front = [
            i
            for i in left
            if not any((losses[j] <= losses[i]).all() and (losses[j] < losses[i]).any() for j in left)
        ]
        expected[front] = rank
        left = [i for i in left if i not in front]
        rank += 1
    np.testing.assert_array_equal(ranks, expected)


def test_the_largest_contribution_comes_first() -> None:
    # Reference 3.3: alone .69, 1.69 and .69; after the middle one .3 and .3.
    assert better_first(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])).tolist() == [1, 0, 2]
    # Reference (2.2, 3.3): .36 before .26; equal points stand side by side.
    assert better_first(np.array([[2.0, 2.0], [1.0, 3.0], [2.0, 2.0]])).tolist() == [1, 0, 2]


def test_hub_never_prunes_a_member_of_the_front() -> None:
    generator, rule, n_pruned = np.random.default_rng(1), HubRule(), 0
    reported: list[list[tuple[float, int]]] = [[] for _ in range(5)]
    for _ in range(120):
        parameters, quality = int(generator.integers(1, 50)), generator.normal()
        means = (quality + generator.normal(0, 0.5, 5)).tolist()
        for n_folds in range(1, 5):
            score = means[n_folds - 1]
            dominated = any(
                other >= score and size <= parameters and (other, size) != (score, parameters)
                for other, size in reported[n_folds - 1]
            )
            prunes = rule.prunes(means[:n_folds], parameters)
            assert not (prunes and not dominated)
            if prunes:
                break
        n_pruned += prunes
        rule.finish(means[:n_folds], parameters, is_complete=not prunes)
        for fold in range(n_folds):
            reported[fold].append((means[fold], parameters))
    assert 20 < n_pruned < 100


def test_the_median_rule() -> None:
    rule = MedianRule()
    for level in (0.1, 0.2, 0.3, 0.4):
        rule.finish([level, level + 0.01], 5, is_complete=True)
    rule.finish([0.9], 5, is_complete=False)
    assert not rule.prunes([0.0], 5)  # four are complete, the fifth was pruned
    rule.finish([0.5, 0.51], 5, is_complete=True)
    assert rule.prunes([0.29], 5)
    assert not rule.prunes([0.3], 5)
    assert not rule.prunes([0.32, 0.0], 5)  # the best so far counts
    assert rule.prunes([0.30, 0.0], 5)


def test_rules_predict_nothing_of_pruned_trials() -> None:
    assert make_pruner("hub", by_hand()).estimates() == ()


@pytest.mark.parametrize(("n", "low", "high"), [(20, 6, 15), (6, 1, 6), (5, 1, 5), (1, 1, 1), (100, 40, 61)])
def test_the_interval_of_a_median(n: int, low: int, high: int) -> None:
    found = median_interval(range(n, 0, -1))
    assert (found.low, found.median, found.high, found.n) == (low, (n + 1) / 2, high, n)


def test_the_interval_of_what_was_never_reached() -> None:
    assert median_interval([1.0, float("inf"), float("inf")]).median == float("inf")
    assert median_interval([]).text() == "–"


def test_fold_epochs_to_a_share() -> None:
    found = measure(Search(source="conditional", seed=0, sampler="random", pruner="none", n_trials=15))
    assert found.fold_epochs_T.tolist() == [100.0 * n for n in range(1, 16)]
    reached = int((found.share_T >= 0.5).argmax()) + 1
    assert found.fold_epochs_to(0.5) == 100 * reached
    assert found.fold_epochs_to(1.1) == float("inf")
    assert found.share_after(900) == found.share_T[-1]


def invented(search: Search) -> Measured:
    """A search that was never made: ours gets anywhere in a tenth of the trials."""
    faster = 10 if search.sampler == "front" else 1
    share_T = np.minimum(1.0, faster * np.arange(1, search.n_trials + 1) / 1000)
    return Measured(
        share_T=share_T,
        fold_epochs_T=100.0 * np.arange(1, search.n_trials + 1),
        at_most_T=np.where(np.arange(search.n_trials) < 8, np.nan, 0.05 / np.arange(1, 1 + search.n_trials)),
        fold_epoch_share=0.4,
        front_kept=1.0,
        true_front_kept=0.9,
        n_unique=200,
        n_found=17,
        n_front=18,
        n_wrongly_pruned=1,
        n_improving=20,
        ask_s=0.01,
        decision_s=float("nan") if search.pruner == "none" else 0.001,
    )


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The command line on invented results; where it writes."""
    monkeypatch.setattr(
        search_efficiency, "run", lambda searches, n: {one: invented(one) for one in searches}
    )
    monkeypatch.setattr(
        search_efficiency,
        "measure_times",
        lambda n: Timing(n_finished=n, first_ask_s=0.2, ask_s=0.1, learn_s=0.02, decision_s=1e-4),
    )
    monkeypatch.setattr(search_efficiency, "FIGURES", tmp_path / "figures")
    return tmp_path


KEYS = [
    "front_hv_at_60",
    "tpe_multivariate_hv_at_200",
    "unique_of_200",
    "race_fold_epochs",
    "race_front_kept",
    "compute_ratio_to_97",
]


def test_the_last_line_is_json(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = program / "RESULTS.md"
    assert search_efficiency.main(["--quick", "--table", "--out", str(out)]) == 0
    last: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(last) == KEYS
    assert last["compute_ratio_to_97"] == pytest.approx(97 / 970)
    assert not out.exists()
    assert not (program / "figures").exists()


@pytest.mark.slow
def test_a_full_run_writes_its_section_and_figure(program: Path) -> None:
    out = program / "RESULTS.md"
    assert search_efficiency.main(["--seeds", "2", "--table", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert "- Command: `python benchmarks/efficiency/search_efficiency.py --seeds 2 --table --out" in text
    for sampler in SAMPLERS:
        for pruner in PRUNERS:
            assert f"| {sampler}, {pruner} |" in text
    assert (program / "figures" / "search_efficiency.png").stat().st_size > 10_000
    assert (program / "figures" / "search_efficiency.svg").stat().st_size > 10_000


def test_where_the_rule_stops_a_search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = invented(Search(source="small", seed=0, sampler="front", pruner="none", n_trials=200))
    # .05 / (trial + 1) is below .005 from trial 10 on, and below .0005 from trial 100 on; three have to be.
    assert (found.stopped_at(0.005), found.stopped_at(0.0005)) == (13, 103)
    assert found.stopped_at(0.0001) == 200
    monkeypatch.setattr(stop_rule, "run", lambda searches, n: {one: invented(one) for one in searches})
    out = tmp_path / "RESULTS.md"
    assert stop_rule.main(["--seeds", "3", "--out", str(out)]) == 0
    # After 13 of 200 trials the invented search has 13 hundredths of the hypervolume.
    text = out.read_text(encoding="utf-8")
    assert "| --until 0.50% | 13 [13, 13]; 13 to 13 | 3 of 3 | 0 of 3 | 0.130 [0.130, 0.130]; 0.130 |" in text


def test_a_warm_start_is_compared_with_a_cold_one_of_the_same_world(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Invented: cold searches need 50 and 40 trials on two worlds, related ones 20 and 30."""
    needed = {
        (None, False): (50, 40),
        (0.8, False): (20, 30),
        (0.0, False): (55, 10**6),
        (0.8, True): (10, 10),
    }

    def found(search: Search) -> Measured:
        n = needed[search.earlier, search.knows_all][search.seed]
        return replace(invented(search), share_T=np.where(np.arange(1, search.n_trials + 1) < n, 0.9, 0.97))

    monkeypatch.setattr(warm_start, "run", lambda searches, n: {one: found(one) for one in searches})
    out = tmp_path / "RESULTS.md"
    assert warm_start.main(["--seeds", "2", "--out", str(out)]) == 0
    rows = [line.split(" | ") for line in out.read_text(encoding="utf-8").splitlines() if " | " in line]
    ratios = {row[0].removeprefix("| "): (row[1], row[3], row[-1]) for row in rows[2:]}
    assert ratios["cold"] == ("45 [40, 50]", "1.00 [1.00, 1.00]", "2 of 2 |")
    assert ratios["after 100 trials of a related world (ρ 0.8)"] == (
        "25 [20, 30]",
        "0.57 [0.40, 0.75]",  # 20 / 50 and 30 / 40
        "2 of 2 |",
    )
    # The second never got there: 61 of 40.
    assert ratios["after 100 trials of an unrelated world"] == (
        "58 [55, 61]",
        "1.31 [1.10, 1.52]",
        "1 of 2 |",
    )


def test_a_limited_search_is_compared_with_one_of_the_same_tenth_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def found(search: Search) -> Measured:
        share = 0.9 + 0.01 * search.seed if search.source.endswith("limited") else 0.88
        return replace(invented(search), share_T=np.full(search.n_trials, share))

    monkeypatch.setattr(limits, "run", lambda searches, n: {one: found(one) for one in searches})
    out = tmp_path / "RESULTS.md"
    assert limits.main(["--seeds", "3", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert f"| the whole space under the limit |{' 0.910 [0.900, 0.920] |' * 3}" in text
    assert f"| difference on the same world |{' 0.030 [0.020, 0.040] |' * 3}" in text


def test_other_samplers_are_named_and_a_missing_registry_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(other_samplers, "run", lambda searches, n: {one: invented(one) for one in searches})
    out = tmp_path / "RESULTS.md"
    assert other_samplers.main(["--seeds", "2", "--trials", "40", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert "| Optuna's GPSampler, none | 0.020 [0.020, 0.020] | 0.040 [0.040, 0.040] |" in text
    assert "AutoSampler is not among them" in text
    with pytest.raises(SystemExit):
        other_samplers.main(["--registry", str(tmp_path)])
    assert f"--registry {tmp_path}: no package/samplers/auto_sampler in it" in capsys.readouterr().err


def test_fronts_of_a_noisy_world_are_shown_by_how_they_were_chosen() -> None:
    fronts = [
        [
            Front(tried=0.9 + n / 100, measured=0.8, predicted=0.85, explained=0.87, noise_sd=0.006)
            for n in range(3)
        ]
    ] * 3
    text = large_noise.body(fronts)
    chosen = "0.800 [0.800, 0.800] | 0.850 [0.850, 0.850] | 0.870 [0.870, 0.870] | 0.0060"
    assert f"| 60 trials | 0.900 [0.900, 0.900] | {chosen}" in text
    assert "| 200 trials | 0.920 [0.920, 0.920] |" in text


@pytest.mark.slow
def test_optuna_s_process_searches_too() -> None:
    # Its first ten proposals are random.
    found = replay(Search(source="small", seed=0, sampler="gp", pruner="none", n_trials=11))
    assert len(found.architecture_T) == 11


def test_an_oracle_knows_every_score_of_the_related_world() -> None:
    world = simulate_related("small", 1, 0.8)
    rows = np.array([5, 300, 17])
    oracle = everything_about("small", 1, 0.8)
    scaled_M, lower_SM, variance_M = oracle.scaled(world.candidates.encode(rows))
    np.testing.assert_allclose(oracle.offset + oracle.scale * scaled_M, world.truth_N[rows])
    assert (lower_SM.shape, variance_M.tolist()) == ((0, 3), [0.0] * 3)
    posterior = oracle.surrogate(0).posterior(world.candidates.encode(rows), world.truth_N[rows])
    # The same world again: far from the three, what the oracle says is half or more of the prediction.
    assert np.corrcoef(posterior.mean(oracle.x_ND), world.truth_N)[0, 1] > 0.8


@pytest.mark.slow
def test_a_replay_ends_where_the_rule_says() -> None:
    search = Search(source="small", seed=0, sampler="front", pruner="none", n_trials=60, until=0.2)
    found = measure(search)
    n_trials = len(found.at_most_T)
    assert n_trials < 60
    assert measure(replace(search, until=None)).stopped_at(0.2) == n_trials


def test_what_is_left_to_gain_is_kept_of_every_proposal_of_ours() -> None:
    search = Search(source="small", seed=0, sampler="front", pruner="none", n_trials=12)
    found = replay(search)
    assert np.isnan(found.at_most_T[:8]).all()
    assert (found.at_most_T[8:] > 0).all()
    assert np.isnan(replay(replace(search, sampler="grid")).at_most_T).all()


def test_a_missing_table_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        search_efficiency.main(["--table", "nowhere.json"])
    assert "--table nowhere.json: no such file" in capsys.readouterr().err


def test_a_ratio_is_a_bound_where_optuna_never_gets_there() -> None:
    plan = make_plan([], Seeds.all_of(3))
    results = {one: invented(one) for one in plan.searches()}
    assert not any(ratio.is_bound for ratio in ratios(results, plan))
    for one in plan.reach:
        if one.sampler == "tpe":
            results[one].share_T[:] = 0.9
    assert [(ratio.value, ratio.is_bound) for ratio in ratios(results, plan)] == [(0.097, True)] * 3


def test_a_plan_runs_nothing_twice_and_the_longest_first() -> None:
    plan = make_plan([], Seeds.all_of(4))
    searches = plan.searches()
    assert len(set(searches)) == len(searches)
    assert all(one.n_trials >= two.n_trials for one, two in pairwise(searches))
    assert len(plan.pairs) == 4 * len(SAMPLERS) * len(PRUNERS)
    assert {one.source for one in plan.pairs} == {"small", "medium", "widths", "paper"}


def section(name: str, body: str) -> Section:
    return Section(name=name, title=f"About {name}", command=f"python {name}.py", n="3 seeds", body=body)


def test_a_section_replaces_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    for name, body in (("one", "first"), ("two", "second"), ("three", "third")):
        write_section(section(name, body), path)
    before = path.read_text(encoding="utf-8")
    write_section(section("two", "changed"), path)
    after = path.read_text(encoding="utf-8")
    assert before.replace("second", "changed") == after
    assert after.startswith("# Benchmark results\n")
    assert after.count("## About") == 3
    assert "- Command: `python two.py`" in after
    path.write_text(after.replace("<!-- two: end -->", ""), encoding="utf-8")
    with pytest.raises(ValueError, match="<!-- two: end -->"):
        write_section(section("two", "again"), path)
