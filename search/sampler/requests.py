"""Trials that other programs put into a study with Optuna: queued ones, and results trained elsewhere.

`enqueue_trial` and `add_trial` accept any parameters. A queued trial is trained if an architecture of the
space has its parameters; missing ones are drawn by the sampler. Otherwise it alone fails, with a reason. A
result added from outside has no folds, no curve and no predictions: the sampler and the race ignore it, and
no report shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

import space
from storage import CONTINUES
from storage.optuna_side import fixed_params


def requested(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """Parameters with which a trial was queued, some or all; None if the sampler is to propose all of them.

    A trial that was queued with parameters that are no mapping was queued with none.
    """
    fixed = fixed_params(trial)
    if fixed is None and not trial.params:
        return None
    return {**(fixed if isinstance(fixed, Mapping) else {}), **trial.params}


def continued_by(trial: FrozenTrial) -> list[int]:
    """Numbers of the trials that one continues: of ours, for others may write anything there."""
    continues = trial.user_attrs.get(CONTINUES)
    return [number for number in continues if type(number) is int] if isinstance(continues, list) else []


def complaint(trial: FrozenTrial, architectures: space.Space) -> str | None:
    """Reason for which a queued trial cannot be trained in a space; None if it can."""
    fixed = fixed_params(trial)
    if fixed is None:
        fixed = {}
    if not isinstance(fixed, Mapping):
        return f"its parameters are {str(fixed)[:60]!r}, not names with values"
    if continued_by(trial) != trial.user_attrs.get(CONTINUES, []):
        return f"its attribute {CONTINUES!r} is this program's own: leave it out"
    found = architectures.complaint({**fixed, **trial.params})
    if found is not None:
        return found
    axes = architectures.parameter_axes()
    for name, distribution in trial.distributions.items():
        if name in axes and distribution != CategoricalDistribution(axes[name]):
            return (
                f"{name} was added with another distribution than this study has: queue it with enqueue_trial"
            )
    return None
