"""Another data set as a model of this one is tested on it: leads, tiers both have, and two cohorts.

As in Ichli 2025 two cohorts are scored apart: records with a statement that the model was trained on, and
records of whose statements it has seen none, which only a tier of severity can tell anything about.

Shapes: N record, L lead, T time, C class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.dataset import Development
from search.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SharedTier:
    """A tier that a model reaches and another data set has."""

    name: str
    classes: tuple[str, ...]
    """Classes that both data sets have, in the order of the model's classes."""
    here: tuple[int, ...]
    """Columns of the classes among those of the model."""
    there: tuple[int, ...]
    """Columns of the classes among those of the other data set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmapped:
    """Classes of a shared tier that only one of two data sets has, with how many records have them."""

    tier: str
    here: Mapping[str, int]
    there: Mapping[str, int]
    n_without: int
    """Records of the other data set none of whose classes is shared."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cohorts:
    """Records of another data set by whether their statements occur in the training part."""

    tier: str
    """Tier on which statements are compared."""
    known_N: NDArray[np.bool_]
    """One of its statements at least."""
    unseen_N: NDArray[np.bool_]
    """Statements, and none of them."""

    @property
    def n_unlabeled(self) -> int:
        """Records without a statement."""
        return int(np.count_nonzero(~(self.known_N | self.unseen_N)))


def check_foreign(data: Development, external: Development, path: Path) -> None:
    """Make sure that `--external` is not the data set of the study and holds no record trained on.

    Copies of sealed records under other names are not recognised: to compare them they would have to be read.

    Raises:
        UsageError: it is the data set of the study, or shares a signal with it.
    """
    trained_on = {hash(x_LT.tobytes()) for x_LT in data.x_NLT}
    n_shared = sum(hash(x_LT.tobytes()) in trained_on for x_LT in external.x_NLT)
    if n_shared or data.shares_records_with(external):
        shared = (
            f"{n_shared:,} of its signals are among those trained on" if n_shared else "the same data set"
        )
        raise UsageError(
            f"--external {path}: {shared}; give another data set, or leave --external out to open "
            f"{data.fold_plan.sealed_name}"
        )


def with_leads(external: Development, leads: tuple[str, ...], trained_on: str) -> Development:
    """The other data set with the leads of the model, in their order; others are left out and noted.

    Raises:
        UsageError: it lacks a lead, or has one twice.
    """
    if external.leads == leads:
        return external
    names = [name.casefold() for name in external.leads]
    missing = [lead for lead in leads if lead.casefold() not in names]
    if missing:
        raise UsageError(
            f"--external: {external.name} has leads {' '.join(external.leads)} and lacks "
            f"{' '.join(missing)}, which the model was trained on ({trained_on})"
        )
    twice = [lead for lead in leads if names.count(lead.casefold()) > 1]
    if twice:
        raise UsageError(f"--external: {external.name} has lead {twice[0]} twice: rename one of them")
    columns = [names.index(lead.casefold()) for lead in leads]
    left_out = [lead for column, lead in enumerate(external.leads) if column not in columns]
    note = f"leads {' '.join(left_out)} are not used: the model was not trained on them"
    return replace(
        external,
        leads=leads,
        x_NLT=np.asarray(external.x_NLT)[:, columns],
        notes=(*external.notes, *([note] if left_out else [])),
    )


def shared_tiers(
    data: Development, external: Development, label_tier: str, only: str | None
) -> tuple[SharedTier, ...]:
    """Tiers on which a model can be tested on another data set, the finest first.

    Args:
        data: data set that the model was trained on.
        external: the other data set.
        label_tier: tier trained on.
        only: the one named by the user.

    Raises:
        UsageError: there is none, or not the one named by the user.
    """
    reached = data.hierarchy.coarser_tiers(label_tier)
    found = []
    for tier in reached:
        if tier in external.hierarchy.tiers:
            ours, theirs = data.hierarchy.classes(tier), external.hierarchy.classes(tier)
            shared = tuple(name for name in ours if name in theirs)
            if shared:
                found.append(
                    SharedTier(
                        name=tier,
                        classes=shared,
                        here=tuple(ours.index(name) for name in shared),
                        there=tuple(theirs.index(name) for name in shared),
                    )
                )
    if not found:
        raise UsageError(
            f"--external: a model trained on {label_tier} reaches tiers {', '.join(reached)}; "
            f"{external.name} has {', '.join(external.hierarchy.tiers)}: {_advice(data, external)}"
        )
    if only is None:
        return tuple(found)
    if only not in {tier.name for tier in found}:
        listed = ", ".join(tier.name for tier in found)
        raise UsageError(
            f"--tier {only}: a model trained on {label_tier} and {external.name} share {listed}; give one of "
            "these"
        )
    return tuple(tier for tier in found if tier.name == only)


def _advice(data: Development, external: Development) -> str:
    """Advice where a model and another data set share no tier."""
    alike = [
        tier
        for tier in data.hierarchy.tiers
        if tier in external.hierarchy.tiers
        and set(data.hierarchy.classes(tier)) & set(external.hierarchy.classes(tier))
    ]
    if not alike:
        return f"nothing trained on {data.name} can be tested on it"
    finest = data.hierarchy.finest
    reached = ", ".join(alike)
    return f"choose a model trained on {finest}, which reaches {reached}, such as --presets NAME@{finest}"


def unmapped(data: Development, external: Development, tier: SharedTier) -> Unmapped:
    """Classes and labels that are scored on neither side."""
    y_NC = external.y[tier.name]
    return Unmapped(
        tier=tier.name,
        here=_counts(data.y[tier.name], data.hierarchy.classes(tier.name), tier.classes),
        there=_counts(y_NC, external.hierarchy.classes(tier.name), tier.classes),
        n_without=int(np.count_nonzero(y_NC.any(axis=1) & ~y_NC[:, list(tier.there)].any(axis=1))),
    )


def _counts(y_NC: NDArray[np.bool_], classes: tuple[str, ...], shared: tuple[str, ...]) -> dict[str, int]:
    counts = dict(zip(classes, y_NC.sum(axis=0).tolist(), strict=True))
    return {name: n for name, n in counts.items() if name not in shared and n}


def cohorts(data: Development, external: Development, trained_rows: NDArray[np.int64]) -> Cohorts | None:
    """Known and unseen records; None where no tier names statements alike in both data sets.

    Of several such tiers the one with the most shared classes decides, whatever tier a model is trained on.

    Args:
        data: what models are trained on.
        external: the other data set.
        trained_rows: rows of `data` in the training part: a statement of which it has none is not known.
    """
    shared = {
        tier: set(data.hierarchy.classes(tier)) & set(external.hierarchy.classes(tier))
        for tier in data.hierarchy.tiers
        if tier in external.hierarchy.tiers and not data.hierarchy.is_ordinal(tier)
    }
    compared = max(shared, key=lambda tier: len(shared[tier]), default="")
    if not shared.get(compared):
        return None
    n_trained_C = data.y[compared][trained_rows].sum(axis=0).tolist()
    known = {name for name, n in zip(data.hierarchy.classes(compared), n_trained_C, strict=True) if n}
    columns = [column for column, name in enumerate(external.hierarchy.classes(compared)) if name in known]
    known_N: NDArray[np.bool_] = np.asarray(external.y[compared][:, columns].any(axis=1))
    has_any_N: NDArray[np.bool_] = np.asarray(external.y[external.hierarchy.finest].any(axis=1))
    return Cohorts(tier=compared, known_N=known_N, unseen_N=has_any_N & ~known_N)
