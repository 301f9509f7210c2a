"""Tables that the pages of studies and of evaluations share; `table.html.j2` draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.findings.operating_points import ALARM_WORDS, OPERATING_POINT_WORDS, per_thousand_words
from reports.findings.subgroups import SUBGROUP_WORDS, attribute_words
from reports.numbers import NOTHING, count_words, integer_words, interval_words, p_words
from reports.schema import Estimate, Subgroup
from reports.words import estimate_words
from scores.groups import LEAST_RECORDS
from scores.operating_points import ALARM_RATE


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of the page."""

    label: str
    """Name for screen readers."""
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    """Cells; the first heads the row."""
    words: Sequence[int] = ()
    """Columns of words rather than numbers."""


def operating_point_table(name: str, n_words: str, points: Mapping[str, Mapping[str, Estimate]]) -> Table:
    """Clinical operating points, class by class.

    Args:
        name: of the model.
        n_words: the records in words.
        points: class to operating points.
    """
    return Table(
        label=f"Operating points, {name}",
        caption=f"Clinical operating points of {name} on {n_words}: the best that some threshold reaches on "
        "these records, and alarms at the threshold of its decisions.",
        headings=("class", *(words for words, _ in OPERATING_POINT_WORDS), ALARM_WORDS),
        rows=[
            [
                class_name,
                *(estimate_words(found[score]) for _, score in OPERATING_POINT_WORDS),
                per_thousand_words(found[ALARM_RATE]),
            ]
            for class_name, found in points.items()
        ],
    )


def subgroup_table(groups: Sequence[Subgroup]) -> Table | None:
    """Scores by what divides the records; None without groups."""
    if not groups:
        return None
    rows = []
    # One model is named above the table.
    names_models = len({name for group in groups for name in group.models}) > 1
    for group in groups:
        counts = [integer_words(group.n_records), integer_words(group.n_patients)]
        head = f"{group.attribute}: {group.group}"
        if not group.models:
            rows.append([head, *[""] * names_models, *counts, *[NOTHING] * 6])
        for name, found in group.models.items():
            rows.append(
                [
                    head,
                    *[name] * names_models,
                    *counts,
                    *(estimate_words(found.scores[score]) for _, score in SUBGROUP_WORDS),
                    signed_words(found.differences["macro_auroc"]),
                    p_words(found.p_adjusted["macro_auroc"]),
                ]
            )
    return Table(
        label="Scores of groups",
        caption=f"By {attribute_words(groups)}, means over {', '.join(_compared_classes(groups))}; not "
        f"compared: groups of fewer than {LEAST_RECORDS} records, and those of which it is not known.",
        headings=(
            *("group", *["model"] * names_models, "records", "patients"),
            *(words for words, _ in SUBGROUP_WORDS),
            *("macro AUROC less others'", "adjusted p"),
        ),
        rows=rows,
        words=(1,) if names_models else (),
    )


def _compared_classes(groups: Sequence[Subgroup]) -> list[str]:
    """Number of compared classes by attribute."""
    classes = {group.attribute: group.classes for group in groups}
    return [
        f"{count_words(len(names), 'class', 'classes')} ({attribute})" for attribute, names in classes.items()
    ]


def signed_words(difference: Estimate) -> str:
    """A difference with its interval and sign."""
    return interval_words(difference.value, difference.low, difference.high, signed=True)
