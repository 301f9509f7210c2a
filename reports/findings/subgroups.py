"""Scores of groups of patients, by sex, age and origin, each compared with those of all others.

Origin is given by fields of the data set, such as the device or the site. A score of a group is compared with
the same score of the other records of which sex, age or origin is known. Both are means
over the same classes, those that every compared group can score, because a group in which a rare class is
missing would otherwise be scored on easier ones. Average precision falls with the share of positives, which
differs between old and young; AUROC does not depend on it. Shapes: N record, C class, R resample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.findings.estimates import estimate
from reports.findings.record_set import Probabilities, RecordSet, Targets
from reports.numbers import count_words, equation_words, score_words
from reports.schema import ModelSubgroup, Subgroup, finite
from scores.bootstrap import Sampled, benjamini_hochberg, mean_of_seeds, p_value
from scores.groups import LEAST_POSITIVE, LEAST_RECORDS, People, common_classes
from scores.metrics import weighted_mean
from scores.ranking import auroc, average_precision
from scores.resampling import Weights, weighted_scores

UNKNOWN = "unknown"
MOST_GROUPS = 6
"""Devices or sites compared on their own, the largest; the others are one group."""
SUBGROUP_METHOD = (
    "Groups: every group is compared with the other groups together, which are other "
    f"patients, over the classes of which every compared group has {LEAST_POSITIVE} positive and "
    f"{LEAST_POSITIVE} negative records; p is adjusted by Benjamini & Hochberg (1995) over the "
    "groups of the attribute. Of devices and sites the "
    f"{MOST_GROUPS} with most records are groups if they have {LEAST_RECORDS}, all others together one more. "
    "Average precision depends on the share of positives, which differs "
    "between groups; AUROC does not. Sensitivity and specificity are means over classes, of the "
    "decisions shown."
)
SUBGROUP_SCORES = ("macro_auroc", "macro_auprc")
SUBGROUP_WORDS = (
    ("macro AUROC", "macro_auroc"),
    ("macro AUPRC", "macro_auprc"),
    ("sensitivity", "macro_recall"),
    ("specificity", "macro_specificity"),
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Group:
    attribute: str
    name: str
    is_in_N: NDArray[np.bool_]


def subgroups(
    records: RecordSet, decided: Mapping[str, Sequence[Targets]], weight_NR: Weights
) -> list[Subgroup]:
    """Scores of the records by sex, by age and by origin; records of unknown sex, age or origin come last.

    Args:
        records: with `age_N`, `sex_N` or `groups_N`; without them there is no group.
        decided: decisions of every model, for each seed.
        weight_NR: weights of the records in every resample.
    """
    found = []
    for groups in _groups(records):
        compared = [
            group for group in groups if group.name != UNKNOWN and group.is_in_N.sum() >= LEAST_RECORDS
        ]
        used_C = common_classes(records.targets_NC, [group.is_in_N for group in compared])
        models: dict[str, list[ModelSubgroup]] = {}
        if len(compared) > 1 and used_C.any():
            models = {
                name: _of_model(
                    records.targets_NC[:, used_C],
                    [p_NC[:, used_C] for p_NC in output.probabilities_NC],
                    [d_NC[:, used_C] for d_NC in decided[name]],
                    compared,
                    weight_NR,
                )
                for name, output in records.outputs.items()
            }
        for group in groups:
            place = compared.index(group) if group in compared else None
            found.append(
                Subgroup(
                    attribute=group.attribute,
                    group=group.name,
                    n_records=int(group.is_in_N.sum()),
                    n_patients=None
                    if records.patient_N is None
                    else len(np.unique(records.patient_N[group.is_in_N])),
                    classes=[records.classes[index] for index in np.flatnonzero(used_C)],
                    models={}
                    if place is None
                    else {name: of_groups[place] for name, of_groups in models.items()},
                )
            )
    return found


def _groups(records: RecordSet) -> list[list[_Group]]:
    """Groups with a record, by attribute."""
    found: list[tuple[str, list[tuple[str, NDArray[np.bool_]]], NDArray[np.bool_]]] = []
    found += People(sex_N=records.sex_N, age_N=records.age_N).attributes()
    for attribute, group_N in records.groups_N.items():
        if cells := _origins(group_N):
            found.append((attribute, cells, group_N == ""))
    return [
        [
            _Group(attribute=attribute, name=name, is_in_N=is_in_N)
            for name, is_in_N in (*cells, (UNKNOWN, unknown_N))
            if is_in_N.any()
        ]
        for attribute, cells, unknown_N in found
    ]


def _origins(group_N: NDArray[np.str_]) -> list[tuple[str, NDArray[np.bool_]]]:
    """The largest groups of records, and the others together; none where all known records are of one."""
    names, counts = np.unique(group_N[group_N != ""], return_counts=True)
    if len(names) < 2:
        return []
    order = np.argsort(-counts, kind="stable")
    large = [index for index in order[:MOST_GROUPS] if counts[index] >= LEAST_RECORDS]
    small = [index for index in order if index not in large]
    cells = [(str(names[index]), group_N == names[index]) for index in large]
    if len(small) == 1:
        cells.append((str(names[small[0]]), group_N == names[small[0]]))
    elif small:
        cells.append((f"{len(small)} others", np.isin(group_N, names[small])))
    return cells


def _of_model(
    y_NC: Targets,
    probabilities: Sequence[Probabilities],
    decided: Sequence[Targets],
    compared: Sequence[_Group],
    weight_NR: Weights,
) -> list[ModelSubgroup]:
    """Scores of every compared group, with their differences from those of the others."""
    known_N = np.any([group.is_in_N for group in compared], axis=0)
    found: list[dict[str, Sampled]] = []
    rest: list[dict[str, Sampled]] = []
    for group in compared:
        for rows, scored in ((group.is_in_N, found), (known_N & ~group.is_in_N, rest)):
            scored.append(
                mean_of_seeds(
                    [
                        _scores(y_NC[rows], p_NC[rows], d_NC[rows], weight_NR[rows])
                        for p_NC, d_NC in zip(probabilities, decided, strict=True)
                    ]
                )
            )
    differences = [
        {name: group[name].less(others[name]) for name in SUBGROUP_SCORES}
        for group, others in zip(found, rest, strict=True)
    ]
    adjusted = {
        name: benjamini_hochberg([p_value(each[name].interval()) for each in differences]).tolist()
        for name in SUBGROUP_SCORES
    }
    return [
        ModelSubgroup(
            scores={name: estimate(sampled) for name, sampled in group.items()},
            differences={name: estimate(sampled) for name, sampled in of_group.items()},
            p_adjusted={name: finite(adjusted[name][place]) for name in SUBGROUP_SCORES},
        )
        for place, (group, of_group) in enumerate(zip(found, differences, strict=True))
    ]


def _scores(y_NC: Targets, p_NC: Probabilities, d_NC: Targets, weight_NR: Weights) -> dict[str, Sampled]:
    """Means over the classes."""
    weight_RN = weight_NR.T.astype(np.float64)
    every_C = np.ones(y_NC.shape[1], dtype=np.bool_)
    found = {
        "macro_auroc": Sampled(
            auroc(y_NC, p_NC).mean(), weighted_scores(y_NC, p_NC, weight_NR, "auroc").mean(axis=1)
        ),
        "macro_auprc": Sampled(
            average_precision(y_NC, p_NC).mean(),
            weighted_scores(y_NC, p_NC, weight_NR, "auprc").mean(axis=1),
        ),
    }
    for name, of_NC in (("macro_recall", y_NC), ("macro_specificity", ~y_NC)):
        right_NC = (of_NC & (y_NC == d_NC)).astype(np.float64)
        all_NC = of_NC.astype(np.float64)
        found[name] = Sampled(
            (right_NC.sum(axis=0) / all_NC.sum(axis=0)).mean(),
            weighted_mean((weight_RN @ right_NC) / (weight_RN @ all_NC), every_C, axis=1),
        )
    return found


def served_worst(groups: Sequence[Subgroup], model: str) -> list[str]:
    """The group with the lowest score by each attribute, and whether it differs from the others."""
    lines = []
    for attribute in dict.fromkeys(group.attribute for group in groups):
        scored = [
            (found.scores["macro_auroc"].value, group, found)
            for group in groups
            if group.attribute == attribute
            and (found := group.models.get(model)) is not None
            and found.scores["macro_auroc"].value is not None
        ]
        if len(scored) < 2:
            continue
        value, group, found = min(scored, key=lambda one: one[0] or 0.0)
        p = found.p_adjusted["macro_auroc"]
        is_real = "distinguishable" if p is not None and p < 0.05 else "not distinguishable"
        difference = found.differences["macro_auroc"].value
        lines.append(
            f"By {attribute} it serves “{group.group}” worst: macro-AUROC {score_words(value)} over "
            f"{count_words(len(group.classes), 'class', 'classes')} "
            f"({count_words(group.n_records, 'record')}), {score_words(difference, signed=True)} from the "
            f"others, {is_real} from zero ({equation_words('adjusted p', p)})."
        )
    return lines


def attribute_words(groups: Sequence[Subgroup]) -> str:
    """Attributes that divide the records, such as `sex, age and device`."""
    *first, last = dict.fromkeys(group.attribute for group in groups)
    return f"{', '.join(first)} and {last}" if first else last
