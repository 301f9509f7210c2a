"""Method and n for every kind of number in a report, in words."""

import math
from collections.abc import Mapping, Sequence

from reports.evidence import Evidence
from reports.findings.axes import Axis
from reports.findings.comparisons import N_RESAMPLES, Intervals
from reports.findings.effects import N_PAIRS, Effect
from reports.findings.training_noise import training_noise_words
from reports.numbers import count_words, score_words
from reports.words import latency_model_words, sentence
from scores.costs import COSTS
from scores.metrics import N_FREQUENT
from scores.objectives import OBJECTIVES
from scores.optimism import N_RESAMPLES as N_CHOICES
from scores.optimism import Expected
from storage.records import StudyRecord


def methods(
    evidence: Evidence,
    scored: Intervals,
    effects: Sequence[tuple[Axis, Sequence[Effect]]],
    expected: Mapping[int, Expected],
) -> dict[str, str]:
    """Methods by kind of number, without kinds that the report does not contain."""
    n_forecasts = max((effect.n_forecasts for _, found in effects for effect in found), default=0)
    n_tests = sum(not math.isnan(effect.p) for _, found in effects for effect in found)
    n_comparisons = count_words(len(scored.comparisons), "comparison")
    return {
        "score": _score(evidence.study, scored),
        "intervals": _intervals(evidence, scored),
        **({"trainings": _trainings(evidence, scored)} if scored.components is not None else {}),
        "frequent": f"Classes with at least {N_FREQUENT} positives over all folds.",
        "comparisons": (
            "Differences are paired: both models under the same weights of patients. p is two-sided, from "
            "the centred resamples, and adjusted by Benjamini & Hochberg (1995) over all "
            f"{n_comparisons}; distinguishable means an adjusted p below .05."
        ),
        "front_share": (
            "Share of the resamples in which the trial is on the front of the trials examined closely"
            + (", including the variation between trainings." if scored.components is not None else ".")
        ),
        **({"teachers": _teachers(evidence.study)} if "teachers" in evidence.study.settings else {}),
        **({"expected": _expected(expected, evidence.study.cost)} if expected else {}),
        "axis_effects": (
            f"Paired where at least {N_PAIRS} sets of trials differ in the axis alone, with Student's "
            "interval over sets; otherwise from an additive ridge model of all trials (terms and noise "
            "normal, their spreads by maximal marginal likelihood), with its posterior interval. "
            "Pruned trials count with the race's last forecast and its standard error "
            f"(up to {count_words(n_forecasts, 'trial')} per effect). "
            f"Adjusted by Benjamini & Hochberg (1995) over {count_words(n_tests, 'effect')}. Architectures "
            "were chosen by the sampler, not at random; effects are averages over those tried."
        ),
        "costs": (
            "Costs of one inference of one record, in closed form. MACs are the multiply–accumulates of "
            "convolutions, dense and recurrent layers, attention and Fourier transforms; weights have 4 "
            "bytes each, in int8 1 and vectors 4; activations are the peak of the values that live at once, "
            "of 4 bytes or in int8 of 1, weights aside." + _latency(evidence.study)
        ),
        "caveat": (
            "Intervals cover the variation between draws of patients, not that between random seeds. The "
            "best of many trials is partly the luckiest; only the expected score corrects for that."
            if scored.components is None
            else "The best of many trials is partly the luckiest; only the expected score corrects for the "
            "choice of patients, and only trials that were trained again for the random seed of the first "
            "training, which chose them and is one of those in the mean."
        ),
    }


def _score(study: StudyRecord, scored: Intervals) -> str:
    groups = "".join(f" {sentence(line)}." for line in scored.groups)
    return f"{OBJECTIVES[study.objective].method}{groups}"


def _teachers(study: StudyRecord) -> str:
    """Sentence on the teacher and its cost, counted once whatever the number of students."""
    teachers = "; ".join(each["words"] for each in study.settings["teachers"].values())
    return (
        "Some trials were taught by kept models (Hinton et al. 2015): their loss is that of the labels and, "
        "with a weight, the cross-entropy to the teacher's probabilities at a temperature. The teacher of a "
        "fold was not trained on a record or patient of the validation part of that fold. Its cost is in "
        f"none of the trials: {teachers}."
    )


def _latency(study: StudyRecord) -> str:
    """Method behind the latencies, if the study has any."""
    kept = study.settings.get("latency_model")
    words = "" if kept is None else latency_model_words(kept)
    return f" {sentence(words)}." if words else ""


def _expected(expected: Mapping[int, Expected], cost: str) -> str:
    most = max(each.n_models for each in expected.values())
    return (
        "Expected on other patients: bootstrap bias corrected cross-validation (Tsamardinos, Greasidou & "
        "Borboudakis 2018) in the form of a coupled bootstrap (Oliveira, Lei & Tibshirani 2021). With "
        f"the deviations of the scores in each of {N_CHOICES} resamples of patients the best trial with at "
        f"most the member's {COSTS[cost].words} (for the best member, of any) is chosen again, and scored "
        "with deviations that are uncorrelated with those of the choice; "
        f"among at most {count_words(most, 'trial')}, the best by score that have predictions. "
        "Variation between random seeds remains, except for trials that were trained again."
        + _on_other_folds(expected)
    )


def _on_other_folds(expected: Mapping[int, Expected]) -> str:
    """The check that needs no resampling, of the member that scores best."""
    best = max(expected.values(), key=lambda each: each.plain)
    if not math.isfinite(best.on_other_folds):
        return ""
    return (
        " As a check without resampling: chosen on all folds but one and scored on that one, the best has "
        f"{score_words(best.on_other_folds)}, where its own score is {score_words(best.plain)} and "
        f"{score_words(best.interval.value)} is expected."
    )


def _trainings(evidence: Evidence, scored: Intervals) -> str:
    components = scored.components
    assert components is not None
    seed, fold, residual = (
        score_words(math.sqrt(each)) for each in (components.seed, components.fold, components.residual)
    )
    return (
        "Scores of trials that were trained again are means over their trainings. Variance components of the "
        "scores of folds (analysis of variance; Searle, Casella & McCulloch 1992), as standard deviations: "
        f"seed {seed}, fold {fold}, training of one fold {residual}, from "
        f"{count_words(components.n_models, 'trial')} with "
        f"{count_words(components.n_repeats, 'further training')}. Intervals on the target cover "
        "the variation between trainings as well as patients; ± in all is the standard error over seeds, "
        "folds and patients. " + " ".join(training_noise_words(evidence.trials))
    )


def _intervals(evidence: Evidence, scored: Intervals) -> str:
    if not scored.n_records:
        reasons = {close.problem for close in evidence.close.values()} - {""}
        why = f": {min(reasons)}" if reasons else ""
        return f"There are no intervals, because there are no out-of-fold predictions on the target{why}."
    drawn = (
        f"{count_words(scored.n_patients, 'patient')} (with {count_words(scored.n_records, 'record')})"
        if scored.by_patient
        else f"{count_words(scored.n_records, 'record')}, because patients were not kept"
    )
    return (
        f"95 % bootstrap intervals from the out-of-fold predictions: {N_RESAMPLES:,} resamples of {drawn} "
        "within folds by gamma weights, which keep rare classes in every resample; centred on the score."
    )
