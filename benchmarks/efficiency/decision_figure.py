"""Draw the README's figure of how the search decides, on a recorded table.

    python benchmarks/efficiency/decision_figure.py

Left: the sampler's predictions when half of the table has been trained, and the architecture it would train
next. Right: the race at the same moment: its forecast of a further trial at every rung, until it was pruned.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Runs from a clone that is not installed.
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from benchmarks.efficiency.helpers.samplers import make_study
from benchmarks.efficiency.helpers.worlds import World, read_table
from search.pruner.race import FinishedTrial, Race, Standing, rung_epochs, rungs, standing
from search.sampler.front import FrontSampler
from storage import DecisionRecord

TABLE = ROOT / "benchmarks" / "tables" / "ptb-xl-sample-superclass.json"
OUT = ROOT / "docs" / "figures"
NAME = "how_the_search_decides"
ALPHA = 0.05
KNOWN, ORANGE, BLUE, GREY = "#000000", "#D55E00", "#0072B2", "#999999"
PNG_DPI = 150
N_SHOWN = 10
"""Decisions: enough to see a forecast narrow, few enough to read."""


def main() -> int:
    """Write the figure as PNG and SVG, and print the decision that it ends with."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    world = read_table(chosen.table)
    trained = np.arange(0, len(world), 2)
    chosen.out.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc("font", size=8.0)
        mpl.rc("axes", **{"linewidth": 0.6, "spines.top": False, "spines.right": False})
        mpl.rc("svg", hashsalt="ecg-architecture-search", fonttype="path")
        figure = Figure(figsize=(9.0, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        draw_proposal(left, world, trained)
        print(draw_race(right, world, trained))
        figure.savefig(chosen.out / f"{NAME}.png", dpi=PNG_DPI, metadata={"Software": None})
        figure.savefig(chosen.out / f"{NAME}.svg", metadata={"Date": None, "Creator": None})
    return 0


def draw_proposal(axes: Axes, world: World, trained: NDArray[np.int64]) -> None:
    """Finished trials, their staircase, predictions of the others, and the next one."""
    distributions = {axis: CategoricalDistribution(choices) for axis, choices in world.axes.items()}
    sampler = FrontSampler(world.candidates, distributions)
    study = make_study(sampler)
    for index in trained:
        params = dict(world.candidates[index])
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                values=[float(world.score_N[index]), float(world.parameters_N[index])],
                params=params,
                distributions={axis: distributions[axis] for axis in params},
            )
        )
    proposal = sampler.propose(study)
    others = np.setdiff1d(np.arange(len(world)), trained)
    expected = [sampler.posterior(world.candidates[index]) for index in others]
    means = np.array([found[0] for found in expected if found])
    sds = np.array([found[1] for found in expected if found])
    axes.errorbar(
        world.parameters_N[others], means, yerr=sds, fmt="o", color=GREY, markersize=3, elinewidth=0.6,
        label="untried: expected ± SD",
    )  # fmt: skip
    axes.plot(
        world.parameters_N[trained], world.score_N[trained], "o", color=KNOWN, markersize=3.5, label="trained"
    )
    order = trained[np.lexsort((-world.score_N[trained], world.log_cost_N[trained]))]
    best = np.maximum.accumulate(world.score_N[order])
    axes.step(world.parameters_N[order], best, where="post", color=KNOWN, linewidth=0.9, label="staircase")
    chosen = world.candidates.index(proposal.params)
    mean = float(means[others == chosen][0])
    axes.plot(world.parameters_N[chosen], mean, "*", color=ORANGE, markersize=12, zorder=5, label="next")
    axes.set_xscale("log")
    axes.set_xlabel("trainable parameters")
    axes.set_ylabel("CV macro-AUPRC")
    axes.set_title(f"Which next? {proposal.reason.split(', about')[0]}", loc="left", fontsize=8)
    axes.legend(frameon=False, loc="lower right", fontsize=7)


def draw_race(axes: Axes, world: World, trained: NDArray[np.int64]) -> str:
    """The forecasts for a trial that was pruned after about `N_SHOWN` decisions; the last one in words."""
    epochs = [epoch - 1 for epoch in rung_epochs(world.curves_NFE.shape[2])]
    curves_NFK = world.curves_NFE[:, :, epochs]
    before = standing(
        FinishedTrial(
            number=int(index),
            cost=int(world.parameters_N[index]),
            score=float(world.score_N[index]),
            curve_FK=curves_NFK[index],
            chance=None,
        )
        for index in trained
    )
    courses = {
        int(index): decisions(world, before, int(index), curves_NFK[index])
        for index in range(len(world))
        if index not in trained
    }
    pruned = {index: course for index, course in courses.items() if course and course[-1].pruned}
    index = min(pruned, key=lambda each: abs(len(pruned[each]) - N_SHOWN))
    course = pruned[index]
    steps = np.arange(len(course))
    predicted = np.array([decision.predicted for decision in course])
    error = 2 * np.array([decision.standard_error for decision in course])
    axes.fill_between(steps, predicted - error, predicted + error, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(steps, predicted, color=BLUE, marker="o", markersize=3)
    end = float(world.score_N[index])
    axes.axhline(course[0].needed, color=KNOWN, linewidth=0.9)
    axes.axhline(end, color=ORANGE, linewidth=0.9, linestyle="--")
    axes.text(steps[-1], course[0].needed, "to be beaten: its rival's score", ha="right", va="bottom")
    axes.text(steps[-1], end, "where it would have ended", color=ORANGE, ha="right", va="bottom")
    for step, decision in zip(steps, course, strict=True):
        chance = decision.probability or 0.0
        text = f"{chance:.0%}" if chance >= 0.005 else f"{chance:.1%}"
        lower = (step, decision.predicted)
        axes.annotate(text, lower, (0, -5), textcoords="offset points", ha="center", va="top", color=BLUE)
    labels = ["start", *(str(decision.epoch) for decision in course[1:])]
    axes.set_xticks(steps, labels)
    firsts = [step for step in steps[1:] if course[step].fold != course[step - 1].fold]
    for step in firsts:
        axes.axvline(step - 0.5, color=GREY, linewidth=0.6, linestyle=":")
        axes.text(step - 0.4, axes.get_ylim()[0], f"fold {course[step].fold}", color=GREY, va="bottom")
    axes.margins(x=0.08)
    axes.set_xlabel("epoch")
    axes.set_ylabel("forecast of the final score ± 2 SE")
    axes.set_title("Worth going on? Chance to improve the front, until pruned", loc="left", fontsize=8)
    return course[-1].reason


def decisions(
    world: World, before: Standing, index: int, curve_FK: NDArray[np.float64]
) -> list[DecisionRecord]:
    """Decisions of the race on one architecture, from its start until it is pruned."""
    race = Race(alpha=ALPHA, cost=int(world.parameters_N[index]))
    started = race.start(before)
    if started is None:
        return []
    found = [started]
    epochs = rung_epochs(world.curves_NFE.shape[2])
    for rung in rungs(len(curve_FK), world.curves_NFE.shape[2], 1):
        seen_FK = np.full_like(curve_FK, np.nan)
        for fold, epoch in rung.seen:
            seen_FK[fold - 1, epochs.index(epoch)] = curve_FK[fold - 1, epochs.index(epoch)]
        decision = race.decide(before, rung, seen_FK)
        if decision is not None:
            found.append(decision)
            if decision.pruned:
                break
    return found


if __name__ == "__main__":
    raise SystemExit(main())
