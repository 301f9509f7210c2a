"""Making a study, or continuing one: what must be the same for its scores to be comparable."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

import space
from scores.costs import COSTS, DEFAULT_COST
from scores.objectives import DEFAULT_OBJECTIVE
from search.data.dataset import Development
from search.data.subset import Amount
from search.data.tables import clean
from search.errors import StudyMismatchError, UsageError
from search.sampler.requests import requested
from search.study.options import flag
from storage import Store, StudyExistsError, StudyRecord, UnknownStudyError
from storage.records import NUMBERING, version_words

_FORMER_SETTINGS = {"leads": space.ALL_LEADS, "cost": DEFAULT_COST, "objective": DEFAULT_OBJECTIVE}
"""Settings that studies made before there was a choice do not name."""

TOLD_BY_NAME = ("leads", "objective", "cost")
"""Settings that are part of the default name of a study where they are not the default ones."""

DETAILS = "record_details"
"""Setting that identifies likelihoods, age, sex and origin of the records; studies made before have none."""
SEVERITY_MAP = "severity_map"
"""Setting that identifies the content of severity.toml, which determines labels as the data do."""


def default_name(
    data_name: str,
    target: str,
    space_name: str,
    records: str | None = None,
    *,
    named: Mapping[str, Any] | None = None,
) -> str:
    """Default name of a study, such as `ptb-xl-subclass-paper-10-percent-leads-I-V2`.

    Args:
        data_name: name of the data set.
        target: label tier.
        space_name: `--space`.
        records: `--records`.
        named: settings given on the command line; leads and objectives other than the defaults enter the
            name.
    """
    of_space = "" if space_name == "wide" else f"-{space_name.removesuffix('.py')}"
    amount = "" if records is None else str(Amount.parse(records))
    of_subset = f"-{amount.removesuffix('%')}-{'percent' if '%' in amount else 'records'}" if amount else ""
    others = "".join(
        f"{'-leads' if setting == 'leads' else ''}-{re.sub('[^A-Za-z0-9]+', '-', named[setting])}"
        for setting in TOLD_BY_NAME
        if named and named.get(setting, _FORMER_SETTINGS[setting]) != _FORMER_SETTINGS[setting]
    )
    return f"{data_name}-{target}{of_space}{of_subset}{others}"


def find_study(store: Store, name: str) -> StudyRecord | None:
    """The study of that name, None if there is none."""
    try:
        return store.study(name)
    except UnknownStudyError:
        return None


def as_known_to(study: StudyRecord, data: Development) -> Development:
    """The data as a study was made with them: without age and sex if they had none then.

    Models would else be given values of features that were missing in all records they were trained on.
    """
    is_without = study.settings.get(DETAILS) == data.details_without_people != data.details
    return data.without_people() if is_without else data


def check_requested(
    study: StudyRecord, data: Development, *, target: str | None = None, settings: Mapping[str, Any] = {}
) -> None:
    """Make sure that a study can be continued as asked.

    Args:
        study: the study.
        data: data read for it.
        target: `--target`; None where the command line does not name it.
        settings: settings named on the command line only.

    Raises:
        StudyMismatchError: names the first thing that differs, both values, and what to do.
    """
    asked: dict[str, Any] = {"--target": target}
    made: dict[str, Any] = {"--target": study.target}
    for setting, value in settings.items():
        if setting == "device_profile":
            continue  # a name: its limits are among the other settings
        option = flag(setting)
        asked[option], made[option] = value, study.settings.get(setting, _FORMER_SETTINGS.get(setting))
    for option, value in asked.items():
        if value is not None and value != made[option]:
            was = f"with {option} {_setting_words(made[option])}, not "
            if made[option] is None:
                was = f"without {option}, not with "
            raise StudyMismatchError(
                f"study {study.name} was made {was}{_setting_words(value)}: "
                f"leave {option} out to continue it, or choose another --study"
            )
    if data.fingerprint != study.data_fingerprint:
        found = f"{data.name}{version_words(data.version)}, {len(data):,} records at {data.rate_hz} Hz"
        kept = (
            f"{study.data_name}{version_words(study.data_version)}, {study.n_records:,} records at "
            f"{study.rate_hz} Hz, fingerprint {study.data_fingerprint[:8]}"
        )
        flags = [flag(name) for name in ("drop_unlabeled", "records") if study.settings.get(name)]
        options = " and ".join(["--data", *flags])
        raise StudyMismatchError(
            f"study {study.name} was made with other data ({kept}) than these ({found}, fingerprint "
            f"{data.fingerprint[:8]}): give {options} as then, or choose another --study"
        )
    if study.settings.get(DETAILS, data.details) != data.details:
        raise StudyMismatchError(
            f"study {study.name} was made with other likelihoods of statements, ages, sexes or origins of "
            "these records than their table has now: undo the change of the table, or choose another --study"
        )
    severity = data.hierarchy.severity
    made_with = study.settings.get(SEVERITY_MAP, "none")
    if severity is not None and severity.identity != made_with:
        raise StudyMismatchError(
            f"study {study.name} was made with the severity map {made_with}, not {severity.identity}: "
            f"undo the change of {severity.path}, or choose another --study"
        )


def _setting_words(value: Any) -> str:
    """Value as it is written in an option: `parameters=250000,macs=20000000`, `conv,gru`."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={number}" for name, number in value.items())
    return ",".join(value) if isinstance(value, list) else str(value)


def check_new_name(name: str) -> None:
    """Refuse a name that other names can look like, or that an option with several studies would tear.

    Raises:
        UsageError: the message says how to write it.
    """
    plain = "".join(sign for sign in clean(name) if sign.isprintable()).replace(",", "-")
    if name != plain:
        advice = f"write {plain!r}" if plain else "choose another one"
        raise UsageError(
            f"--study {name!r}: a new name has no commas, invisible signs or blanks at its ends: {advice}"
        )


def make_record(
    name: str, target: str, space_name: str, settings: Mapping[str, Any], data: Development
) -> StudyRecord:
    """The record of a new study."""
    return StudyRecord(
        name=name,
        target=target,
        space=space_name,
        data_name=data.name,
        data_version=data.version,
        data_fingerprint=data.fingerprint,
        synthetic=data.synthetic,
        rate_hz=data.rate_hz,
        n_records=len(data),
        n_patients=len(set(data.patient_id.tolist())),
        settings={
            **settings,
            "unit": data.unit,
            "inputs": {
                "n_leads": data.inputs.n_leads,
                "n_samples": data.inputs.n_samples,
                "n_features": data.inputs.n_features,
            },
            **({"contains": list(data.contains)} if data.contains else {}),
            **({NUMBERING: data.numbering} if data.numbering else {}),
            **({DETAILS: data.details} if data.details else {}),
            **_severity_setting(data),
            **_left_out(data),
        },
        tier_classes={tier: data.hierarchy.classes(tier) for tier in data.hierarchy.tiers},
        skipped_records=tuple(
            {"ecg_id": damage.ecg_id, "filename": damage.filename, "reason": damage.reason}
            for damage in data.skipped
        ),
    )


def _left_out(data: Development) -> dict[str, Any]:
    """Setting on parts of the data left out besides damaged records, where there are any."""
    found = {
        "n_unlabeled_dropped": data.n_unlabeled_dropped,
        "n_outside_subset": data.n_outside_subset,
    }
    counts = {name: count for name, count in found.items() if count}
    return {**counts, **({"data_notes": list(data.notes)} if data.notes else {})}


def _severity_setting(data: Development) -> dict[str, str]:
    """Setting on the content of severity.toml, where the data set has tiers that follow it."""
    severity = data.hierarchy.severity
    return {} if severity is None else {SEVERITY_MAP: severity.identity}


def make_study(store: Store, study: StudyRecord) -> StudyRecord:
    """Add a study to the store.

    Of two processes that make the same study at once, one succeeds and the other uses its study.

    Raises:
        StudyExistsError: the name belongs to an Optuna study that this program did not make.
    """
    try:
        store.add_study(study, cost_name=COSTS[study.cost].metric)
    except StudyExistsError:
        if find_study(store, study.name) is None:
            raise
    return store.study(study.name)


def queue_presets(
    store: Store, study: StudyRecord, architectures: space.Space, names: Sequence[str] | None = None
) -> None:
    """Queue the published systems of these names, or those of the space, that are not in the study yet.

    Every process does so before its first trial, under the start lock: presets come first even where several
    processes begin at once, and if one is killed in the middle, the next one queues the rest.
    """
    with store.start_lock(study.name), store.explained():
        made = store.optuna_study(study.name)
        known = [requested(trial) for trial in made.get_trials(deepcopy=False)]
        for name in space.queued_presets(architectures, study.target) if names is None else names:
            params = architectures.to_params(space.preset(name, study.target))
            if params not in known:
                made.enqueue_trial(params, user_attrs={"preset": name})
                known.append(params)


def quiet_optuna() -> None:
    """Keep Optuna's log lines off the terminal: the live view shows the same events, failures included."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
