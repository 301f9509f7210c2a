"""Results of the replays: the required figures, and tables of everything."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.efficiency.helpers.plan import (
    DEFAULT_RACE,
    LARGE,
    N_REACH_TRIALS,
    N_TRIALS,
    Measured,
    Plan,
)
from benchmarks.efficiency.helpers.replay import Search
from benchmarks.efficiency.helpers.samplers import SAMPLERS
from benchmarks.efficiency.helpers.timing import Timing
from benchmarks.helpers.intervals import Interval, median_interval
from benchmarks.helpers.results import markdown_table

REACH = 0.97
"""Share of the achievable hypervolume that is to be reached."""
Results = Mapping[Search, Measured]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """Fold-epochs of ours over those of Optuna's default, on the same world."""

    value: float
    """Infinite if ours never got there, whether Optuna did or not."""
    is_bound: bool
    """Whether Optuna never got there, so that the ratio is smaller yet."""


def pick(
    results: Results, searches: Iterable[Search], value: Callable[[Measured], float], **where: object
) -> list[float]:
    """A value of those searches whose fields are as given."""
    return [
        value(results[search])
        for search in searches
        if all(getattr(search, field) == wanted for field, wanted in where.items())
    ]


def ratios(results: Results, plan: Plan) -> list[Ratio]:
    """One for every world of the plan's last part."""
    ours = {(search.source, search.seed): search for search in plan.reach if search.sampler == "front"}
    theirs = {(search.source, search.seed): search for search in plan.reach if search.sampler != "front"}
    found = []
    for world, search in ours.items():
        other = results[theirs[world]]
        needed, allowed = results[search].fold_epochs_to(REACH), other.fold_epochs_to(REACH)
        spent = float(other.fold_epochs_T[-1]) if math.isinf(allowed) else allowed
        found.append(Ratio(value=needed / spent, is_bound=math.isinf(allowed)))
    return found


def headline(results: Results, plan: Plan) -> dict[str, Interval]:
    """The required medians, by name."""
    race = {"pruner": DEFAULT_RACE, "n_parallel": 1}
    return {
        "front_hv_at_60": median_interval(
            pick(results, plan.samplers, lambda one: one.share_after(60), sampler="front")
        ),
        "tpe_multivariate_hv_at_200": median_interval(
            pick(results, plan.samplers, lambda one: one.share_after(200), sampler="tpe-multivariate")
        ),
        "unique_of_200": median_interval(
            pick(results, plan.samplers, lambda one: one.n_unique, sampler="front")
        ),
        "race_fold_epochs": median_interval(
            pick(results, plan.race, lambda one: one.fold_epoch_share, **race)
        ),
        "race_front_kept": median_interval(pick(results, plan.race, lambda one: one.front_kept, **race)),
        "compute_ratio_to_97": median_interval([ratio.value for ratio in ratios(results, plan)]),
    }


def body(results: Results, plan: Plan, timings: Sequence[Timing]) -> str:
    """All tables, as Markdown."""
    sections = [
        ("What was asked for", asked_for(results, plan, timings)),
        (f"Hypervolume without pruning, spaces {', '.join(LARGE)}", _samplers_table(results, plan)),
        ("A space of 234: members of the true front found in 200 trials", _found_table(results, plan)),
        ("The race, in the order of the grid", _race_table(results, plan)),
        (f"Fold-epochs to {REACH:.0%} of the achievable hypervolume", _reach_table(results, plan)),
        ("Every sampler with every pruner, simulated worlds", _pairs_table(results, plan.pairs)),
    ]
    for source in dict.fromkeys(search.source for search in plan.pairs_on_tables):
        searches = [search for search in plan.pairs_on_tables if search.source == source]
        title = f"Every sampler with every pruner, recorded {display_name(source)}"
        sections.append((title, _pairs_table(results, searches)))
    sections.append(("Seconds", _times_table(timings)))
    note = (
        "Hypervolume is the share of the achievable one. Intervals are those of a median, between order "
        "statistics, 95 % or more; with fewer than six values, the range. ∞: never reached."
    )
    return note + "\n\n" + "\n\n".join(f"### {title}\n\n{table}" for title, table in sections if table)


def asked_for(results: Results, plan: Plan, timings: Sequence[Timing]) -> str:
    """Every claim with its figure."""
    found = headline(results, plan)
    n_bounds = sum(ratio.is_bound for ratio in ratios(results, plan))
    reached = f"front + {DEFAULT_RACE} to {REACH:.0%}: fold-epochs over those of tpe without pruning"
    if n_bounds:
        reached += f" (upper bound on {n_bounds} worlds, where {N_REACH_TRIALS:,} trials were not enough)"
    members = pick(results, plan.conditional, lambda one: one.n_found / one.n_front, sampler="front")
    claims: list[tuple[str, str, Interval, int]] = [
        ("front: hypervolume after 60 trials", "≥ the next", found["front_hv_at_60"], 3),
        ("tpe-multivariate: hypervolume after 200", "", found["tpe_multivariate_hv_at_200"], 3),
        ("front: different architectures of 200", "200", found["unique_of_200"], 0),
        ("front: share of the front of 234 found in 200", "≥ .944 (17 of 18)", median_interval(members), 3),
        (f"{DEFAULT_RACE}: share of the fold-epochs", "≤ .45", found["race_fold_epochs"], 3),
        (f"{DEFAULT_RACE}: share of the front kept", "≥ .95", found["race_front_kept"], 3),
        (reached, "≤ .1", found["compute_ratio_to_97"], 3),
    ]
    rows = [[what, wanted, figure.text(digits), str(figure.n)] for what, wanted, figure, digits in claims]
    wanted_asks = {200: "≤ 0.2 s", 2000: "≤ 1 s"}
    for each in timings:
        grown = f"at {each.n_finished:,} finished trials"
        rows.append([f"one ask {grown}", wanted_asks.get(each.n_finished, ""), f"{each.ask_s:.3f} s", "1"])
        rows.append([f"one decision {grown}", "≤ 5 ms", f"{1e3 * each.decision_s:.2f} ms", "1"])
    return markdown_table(["", "wanted", "median [95 % interval]", "n"], rows)


def _samplers_table(results: Results, plan: Plan) -> str:
    rows = []
    for source in (*LARGE, None):
        where = {} if source is None else {"source": source}
        for sampler in SAMPLERS:
            cells = [
                median_interval(pick(results, plan.samplers, value, sampler=sampler, **where))
                for value in (
                    lambda one: one.share_after(60),
                    lambda one: one.share_after(100),
                    lambda one: one.share_after(N_TRIALS),
                )
            ]
            unique = median_interval(
                pick(results, plan.samplers, lambda one: one.n_unique, sampler=sampler, **where)
            )
            name = f"{source or 'all three'}: {sampler}"
            rows.append([name, *(cell.text() for cell in cells), unique.text(0), str(unique.n)])
    header = ["", "after 60 trials", "after 100", f"after {N_TRIALS}", f"different of {N_TRIALS}", "n"]
    return markdown_table(header, rows)


def _found_table(results: Results, plan: Plan) -> str:
    rows = []
    for sampler in SAMPLERS:
        where = {"sampler": sampler}
        found = median_interval(pick(results, plan.conditional, lambda one: one.n_found, **where))
        members = median_interval(pick(results, plan.conditional, lambda one: one.n_front, **where))
        share = median_interval(
            pick(results, plan.conditional, lambda one: one.n_found / one.n_front, **where)
        )
        unique = median_interval(pick(results, plan.conditional, lambda one: one.n_unique, **where))
        rows.append([sampler, found.text(1), members.text(1), share.text(), unique.text(0), str(found.n)])
    return markdown_table(["", "found", "of", "share", f"different of {N_TRIALS}", "n"], rows)


def _race_table(results: Results, plan: Plan) -> str:
    kinds = dict.fromkeys((one.source, one.pruner, one.n_parallel) for one in plan.race)
    rows = []
    for source, pruner, n_parallel in kinds:
        where = {"source": source, "pruner": pruner, "n_parallel": n_parallel}
        spent, kept, true_kept = (
            pick(results, plan.race, value, **where)
            for value in (
                lambda one: one.fold_epoch_share,
                lambda one: one.front_kept,
                lambda one: one.true_front_kept,
            )
        )
        n_wrong = sum(pick(results, plan.race, lambda one: one.n_wrongly_pruned, **where))
        n_improving = sum(pick(results, plan.race, lambda one: one.n_improving, **where))
        folds = "folds in turn" if n_parallel == 1 else f"{n_parallel} folds at once"
        rows.append(
            [
                f"{display_name(source)}, {pruner}, {folds}",
                median_interval(spent).text(),
                f"{median_interval(kept).text()}; mean {np.mean(kept):.3f}",
                f"{median_interval(true_kept).text()}; mean {np.mean(true_kept):.3f}",
                f"{n_wrong:.0f} of {n_improving:.0f} = {n_wrong / max(n_improving, 1):.3f}",
                str(len(spent)),
            ]
        )
    header = ["", "fold-epochs", "front kept", "true front kept", "improving trials lost", "n"]
    return markdown_table(header, rows)


def _reach_table(results: Results, plan: Plan) -> str:
    rows = []
    for source in LARGE:
        for sampler in ("tpe", "front"):
            where = {"source": source, "sampler": sampler}
            needed = pick(results, plan.reach, lambda one: one.fold_epochs_to(REACH), **where)
            pruner = "none" if sampler == "tpe" else DEFAULT_RACE
            n_reached = sum(map(math.isfinite, needed))
            rows.append(
                [
                    f"{source}: {sampler}, {pruner}",
                    median_interval(needed).text(0),
                    f"{n_reached} of {len(needed)}",
                ]
            )
    return markdown_table(["", "fold-epochs", "worlds on which it got there"], rows)


def _pairs_table(results: Results, searches: Sequence[Search]) -> str:
    kinds = dict.fromkeys((one.sampler, one.pruner) for one in searches)
    early = min(60, max((one.n_trials for one in searches), default=0) // 2)
    values: tuple[Callable[[Measured], float], ...] = (
        lambda one: one.share_after(early),
        lambda one: one.share_after(N_TRIALS),
        lambda one: one.fold_epoch_share,
        lambda one: one.front_kept,
    )
    rows = []
    for sampler, pruner in kinds:
        where = {"sampler": sampler, "pruner": pruner}
        cells = [median_interval(pick(results, searches, value, **where)) for value in values]
        unique = median_interval(pick(results, searches, lambda one: one.n_unique, **where))
        ask_ms = median_interval(pick(results, searches, lambda one: 1e3 * one.ask_s, **where))
        decision_ms = median_interval(pick(results, searches, lambda one: 1e3 * one.decision_s, **where))
        rows.append(
            [
                f"{sampler}, {pruner}",
                *(cell.text() for cell in cells),
                unique.text(0),
                f"{ask_ms.median:.1f}",
                "–" if math.isnan(decision_ms.median) else f"{decision_ms.median:.2f}",
                str(cells[0].n),
            ]
        )
    header = ["", f"hypervolume after {early} trials", "at the end", "fold-epochs", "front kept"]
    return markdown_table([*header, "different", "ask, ms", "decision, ms", "n"], rows)


def _times_table(timings: Sequence[Timing]) -> str:
    rows = [
        [
            f"{each.n_finished:,}",
            f"{each.first_ask_s:.3f}",
            f"{each.ask_s:.3f}",
            f"{each.learn_s:.3f}",
            f"{each.decision_s:.5f}",
        ]
        for each in timings
    ]
    header = ["finished trials", "first ask, with fit", "following asks", "learning from all curves"]
    return markdown_table([*header, "one decision"], rows)


def display_name(source: str) -> str:
    """Name of a space, or of a table without its path."""
    return source.rpartition("/")[2].removesuffix(".json")
