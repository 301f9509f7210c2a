"""Sentences on an explanation, shared by sheet, page and terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

from reports.numbers import score_words
from search.explain.attribution import Method
from search.explain.explain import Explanation
from search.explain.networks import Networks
from search.predict.people import asked_of_person, person_words
from search.predict.words import without_gain_words

METHOD_NAMES: dict[Method, str] = {"gradcam": "Grad-CAM", "ig": "integrated gradients"}
LONGEST_NAME, LONGEST_DESCRIPTION, LONGEST_STATEMENTS = 48, 70, 60


def title(explained: Explanation) -> str:
    """`CLBBB: complete left bundle branch block`."""
    if explained.description is None or explained.description == explained.name:
        return explained.name
    return f"{explained.name}: {shorten(explained.description, LONGEST_DESCRIPTION, placeholder=' …')}"


def probability_words(explained: Explanation) -> str:
    """`probability .871, calibrated .802`."""
    calibrated = explained.calibrated
    if calibrated is None:
        return f"probability {score_words(explained.probability)}, not calibrated"
    return f"probability {score_words(explained.probability)}, calibrated {score_words(calibrated)}"


def decision_words(explained: Explanation) -> str:
    """`present: at least the threshold .412 (f1)`."""
    if explained.tier.exclusive:
        return "the most probable class" if explained.is_called else "not the most probable class"
    if explained.threshold is None:
        return f"no decision: the model has no threshold ({explained.policy}) for this class"
    verdict = "present: at least" if explained.is_called else "absent: below"
    return f"{verdict} the threshold {score_words(explained.threshold)} ({explained.policy})"


def truth_words(explained: Explanation) -> str:
    """`true label: present (statements: CLBBB, SR)`."""
    truth = explained.truth
    if truth is None:
        return "true label: not known"
    statements = shorten(", ".join(truth.statements), LONGEST_STATEMENTS, placeholder=" …")
    verdict = {True: "present", False: "absent", None: "not known"}[explained.is_true]
    return f"true label: {verdict} (statements: {statements or 'none'})"


def record_words(name: str) -> str:
    """The name of a record; of a long path its end."""
    if len(name) <= LONGEST_NAME:
        return name
    parts = Path(name).parts
    ends = ("/".join(parts[first:]) for first in range(len(parts)))
    return "…/" + next((end for end in ends if len(end) <= LONGEST_NAME), name[-LONGEST_NAME:])


def window_words(explained: Explanation) -> str:
    """`window 3 of 180, 20 to 30 s, of highest probability`; of a model of beats `beat 3 of 1,820, …`."""
    row = "beat" if explained.networks.folder.preprocessing.row == "beat" else "window"
    n_digits = 2 if row == "beat" else 1
    seconds = f"{round(explained.start_s, n_digits):g} to {round(explained.end_s, n_digits):g} s"
    if explained.n_windows == 1:
        return seconds
    chosen = ", of highest probability" if explained.was_chosen else ""
    return f"{row} {explained.window:,} of {explained.n_windows:,}, {seconds}{chosen}"


def model_words(networks: Networks) -> str:
    """`trial 12 of ptb-xl-subclass, mean of 5 models`."""
    n = len(networks.members)
    return f"{networks.folder.labels.model.name}, {'one model' if n == 1 else f'mean of {n} models'}"


def synthetic_words(networks: Networks) -> str | None:
    """Warning on a model of generated records; None for any other."""
    if not networks.folder.labels.model.synthetic:
        return None
    return "SYNTHETIC: the model was trained on generated records, not on recordings of people"


def legend_words(explained: Explanation) -> str:
    """Meaning of the colours."""
    if explained.attribution.method == "gradcam":
        return f"Grad-CAM over time, of all leads together: weight of the moment for {explained.name}"
    return f"integrated gradients of each lead: raises or lowers the logit of {explained.name}"


def method_words(explained: Explanation) -> str:
    """Method of the map and its limits."""
    attribution = explained.attribution
    found = attribution.completeness
    if found is None:
        if not attribution.values_LT.any():
            return (
                "The map is zero everywhere: nothing at the last convolution raises this class "
                "(--method ig has signs)."
            )
        return (
            "Grad-CAM (Selvaraju et al. 2017) at the last convolution has one value for all leads at a time "
            "and shows only what raises the class; its steps are interpolated. Darkest is its own largest "
            "value, however small."
        )
    sums = (
        f"The values sum to {_logits(found.total)} of the {_logits(found.difference)} logits between this "
        "record and flat leads at their medians"
    )
    end = "" if found.is_complete else f", and not closer with {found.n_steps} steps: take it with care"
    return (
        f"Integrated gradients (Sundararajan et al. 2017). {sums}{end}. For the eye smoothed by a Gaussian "
        "of 20 ms, and darkest from the 99th percentile on."
    )


def _logits(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def limits_words() -> str:
    """Limits of attribution maps."""
    return (
        "This is a map of the model, not of the disease: it marks what this model's score rests on, which "
        "may be noise, an electrode or a habit of its data. It proves no cause, and a wave without colour "
        "may be abnormal. Not a medical device."
    )


def notes(explained: Explanation) -> Sequence[str]:
    """Everything below the picture."""
    found = [limits_words(), method_words(explained)]
    preprocessing = explained.networks.folder.preprocessing
    seen = f"Drawn as recorded ({explained.rate_hz:g} Hz), each lead about its median; the model sees "
    seen += f"{preprocessing.rate_hz} Hz"
    if preprocessing.filter.name != "none":
        seen += f" after a filter ({preprocessing.filter.words})"
    found.append(seen + ".")
    if explained.without_gain:
        found.append(without_gain_words(explained.without_gain))
    if explained.derived:
        found.append(f"Not recorded, but computed from other leads: {', '.join(explained.derived)}.")
    if preprocessing.features:
        found.append("The model also uses hand-crafted features, which no part of the map accounts for.")
    found += person_words(explained.networks.person, asked_of_person(preprocessing))
    if explained.truth is not None and explained.truth.fold_words is not None:
        found.append(f"{explained.truth.fold_words}.")
    return found


def summary(explained: Explanation) -> str:
    """Terminal summary of an explanation, in one sentence."""
    window = f" ({window_words(explained)})" if explained.n_windows > 1 else ""
    said = f"{record_words(explained.record)}{window}: {explained.name}, {probability_words(explained)}; "
    said += f"{decision_words(explained)}; {truth_words(explained)}"
    synthetic = synthetic_words(explained.networks)
    return said if synthetic is None else f"{said}; {synthetic}"
