"""What others have put into a study with Optuna: trials asked for, and trials that were not trained here.

`enqueue_trial` and `add_trial` take anything. A trial that waits is trained if an architecture of the space
has its parameters, whatever is missing being drawn by the sampler; else it fails alone, with a reason. A
result that was told from outside has no folds, no curve and no predictions here: nothing is learned from it,
and no report shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

import space
from storage import CONTINUES

Known = Callable[[], Collection[int]]
"""Numbers of the trials that this program has trained, as of now."""


def requested(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """Parameters with which a trial was queued, some or all; None if the sampler is to propose all of them.

    A trial that was queued with parameters that are no mapping was queued with none.
    """
    fixed = trial.system_attrs.get("fixed_params")
    if fixed is None and not trial.params:
        return None
    return {**(fixed if isinstance(fixed, Mapping) else {}), **trial.params}


def continued_by(trial: FrozenTrial) -> list[int]:
    """Numbers of the trials that one continues: of ours, for others may write anything there."""
    continues = trial.user_attrs.get(CONTINUES)
    return [number for number in continues if type(number) is int] if isinstance(continues, list) else []


def complaint(trial: FrozenTrial, architectures: space.Space) -> str | None:
    """Why a queued trial cannot be trained in a space; None if it can."""
    fixed = trial.system_attrs.get("fixed_params", {})
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


class KnownTrials(optuna.Study):
    """A study without the results that others have put there, for a sampler.

    Args:
        study: as Optuna has it.
        known: numbers of the trials that this program has trained, asked for when they matter.
    """

    def __init__(self, study: optuna.Study, known: Known) -> None:
        self.__dict__.update(study.__dict__)  # one study, seen through this
        self._known = known

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, states, use_cache)
        known = self._known()
        return [trial for trial in trials if not trial.state.is_finished() or trial.number in known]
