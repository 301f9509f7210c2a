"""A trial and a study in a few sentences, for the notes of optuna-dashboard (Markdown)."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reports.cells import markdown_text
from reports.evidence import tiers_reached
from reports.numbers import cost_phrase, cost_words, count_words, duration_words, equation_words, score_words
from reports.words import SYNTHETIC_NOTE, data_words, ending_words, state_words, target_words
from scores.costs import COSTS, DEFAULT_COST
from scores.front import Point, pareto_front, points_of
from scores.objectives import OBJECTIVES
from scores.over_folds import finite_folds, fold_mean, standard_error
from storage.records import DecisionRecord, StudyRecord, TrialRecord

N_FRONT_ROWS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Standings:
    """Members of every front, found once for all notes of a study."""

    front: Sequence[Point]
    """Front on the target, by rising cost."""
    members: Mapping[str, frozenset[int]]
    """Tier to the trials on its front."""
    successors: Mapping[int, int] = field(default_factory=dict)
    """Number of a trial to the number of the one that continues it."""

    def rival(self, cost: float) -> Point | None:
        """The member of the front with the best score at no higher cost."""
        place = bisect.bisect_right([point.cost for point in self.front], cost)
        return self.front[place - 1] if place else None


def standings(
    study: StudyRecord, trials: Sequence[TrialRecord], successors: Mapping[int, int] | None = None
) -> Standings:
    """The fronts on the target and on every other tier reached."""
    members = {}
    for tier in tiers_reached(study, trials):
        of_tier = None if tier == study.target else tier
        members[tier] = frozenset(point.trial for point in pareto_front(points_of(trials, tier=of_tier)))
    return Standings(
        front=pareto_front(points_of(trials)), members=members, successors=dict(successors or {})
    )


def trial_note(study: StudyRecord, trial: TrialRecord, known: Standings) -> str:
    """Note of a trial: outcome and reason, architecture, and scores per tier."""
    system = f" (published system `{trial.preset}`)" if trial.preset else ""
    n_folds = count_words(len(trial.fold_scores), "finished fold")
    paragraphs = [
        f"**{_fate(study, trial, known)}**",
        markdown_text(trial.description) + system,
        f"{_size(trial)}; {n_folds}, "
        f"{count_words(trial.n_epochs_trained, 'fold-epoch')} in {duration_words(trial.seconds)}.",
    ]
    why = _why(trial)
    if why:
        paragraphs.insert(1, why)
    if trial.state == "complete":
        paragraphs.append(_score_table(study, trial, known))
    if study.synthetic:
        paragraphs.append(f"*{SYNTHETIC_NOTE}.*")
    return "\n\n".join(paragraphs)


def _size(trial: TrialRecord) -> str:
    """Parameters of a trial, and any other cost that the study minimises."""
    words = f"{trial.parameters:,} trainable parameters"
    return (
        words if trial.cost_name == DEFAULT_COST else f"{cost_phrase(trial.cost_name, trial.cost)}, {words}"
    )


def successor_note(number: int) -> str:
    """A trial that another one continues; its row has moved on."""
    return f"**Continued as trial {number}**, with the folds and epochs that it had finished."


def study_note(study: StudyRecord, trials: Sequence[TrialRecord], known: Standings) -> str:
    """Question, data, counts and the front of a study."""
    by_number = {trial.number: trial for trial in trials}
    members = [by_number[point.trial] for point in known.front][-N_FRONT_ROWS:]
    objective = OBJECTIVES[study.objective]
    target, axis = markdown_text(target_words(study)), COSTS[study.cost].axis
    paragraphs = [
        f"**{objective.heading} on {target} against {axis}**",
        f"{markdown_text(data_words(study))}; {state_words(trials)}.",
    ]
    if study.synthetic:
        paragraphs.insert(0, f"*{SYNTHETIC_NOTE}.*")
    if members:
        rows = [
            f"| {trial.number} | {score_words(trial.score, standard_error(trial))} | "
            f"{cost_words(study.cost, trial.cost)} | {markdown_text(trial.description)} |"
            for trial in members
        ]
        head = [
            f"| trial | {objective.words} | {COSTS[study.cost].head} | architecture |",
            "|---:|---:|---:|---|",
        ]
        paragraphs += [
            "\n".join([*head, *rows]),
            "The Pareto front. ± is the standard error over folds, not a test of one trial against another: "
            "`python -m search report` has intervals and comparisons.",
        ]
    return "\n\n".join(paragraphs)


def _fate(study: StudyRecord, trial: TrialRecord, known: Standings) -> str:
    """Outcome of a trial, in half a line."""
    match trial.state:
        case "complete":
            return _standing(study, trial, known)
        case "pruned":
            return "Pruned by the race"
        case "failed":
            return "Failed"
        case "interrupted":
            queued = known.successors.get(trial.number)
            return "Interrupted" if queued is None else f"Interrupted; queued again as trial {queued}"
        case _:
            return trial.state.capitalize()


def _standing(study: StudyRecord, trial: TrialRecord, known: Standings) -> str:
    if trial.number in known.members.get(study.target, ()):
        return "Complete, on the front"
    rival = known.rival(trial.cost)
    if rival is None:  # its score is undefined
        return "Complete, not on the front"
    return (
        f"Complete, not on the front: trial {rival.trial} scores {score_words(rival.score)} with "
        f"{cost_phrase(study.cost, rival.cost)}"
    )


def _why(trial: TrialRecord) -> str:
    """Reason why a trial ended early, in a sentence."""
    if trial.state == "pruned" and trial.decision is not None:
        return _pruned(trial, trial.decision)
    if trial.state in {"failed", "interrupted"} and trial.failure is not None:
        place = "" if trial.failure.fold is None else f"In fold {trial.failure.fold}: "
        return place + markdown_text(ending_words(trial))
    return ""


def _pruned(trial: TrialRecord, decision: DecisionRecord) -> str:
    if decision.rival is None or decision.probability is None:
        return markdown_text(decision.reason)
    when = (
        f"After fold {decision.fold}, epoch {decision.epoch}" if decision.fold else "Before its first epoch"
    )
    mean = fold_mean(trial)
    so_far = "" if mean is None else f" Mean of its finished folds: {score_words(mean)}."
    return (
        f"{when} it was expected to end at {score_words(decision.predicted)} ± "
        f"{score_words(decision.standard_error)}. Trial {decision.rival}, with no more "
        f"{COSTS[trial.cost_name].words}, has {score_words(decision.needed)}; "
        f"{equation_words('P(beats it)', decision.probability)}.{so_far}"
    )


def _score_table(study: StudyRecord, trial: TrialRecord, known: Standings) -> str:
    """Scores on every tier reached, the target first."""
    objective = OBJECTIVES[study.objective].words
    rows = [f"| tier | classes | {objective} | on its front |", "|---|---:|---:|---|"]
    for tier in sorted(trial.tier_scores, key=lambda tier: (tier != study.target, tier)):
        is_target = tier == study.target
        score = score_words(trial.tier_scores[tier], standard_error(trial) if is_target else None)
        on_front = "yes" if trial.number in known.members.get(tier, ()) else "no"
        name = markdown_text(tier) + (" (target)" if is_target else "")
        rows.append(f"| {name} | {len(study.tier_classes.get(tier, ())) or '–'} | {score} | {on_front} |")
    n_folds = len(finite_folds(trial))
    foot = f"Out of fold on {markdown_text(data_words(study))}; ± is the standard error over {n_folds} folds."
    return "\n".join(rows) + f"\n\n{foot}"
