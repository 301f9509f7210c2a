"""A study of any size in PostgreSQL, made from one trial that went through the loop of a real worker.

The server multiplies its rows: what stands in them repeats, while their number, their sizes and the indices
are those of a study in which every trial was trained to its end.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, distribution_to_json
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy import Table as AnyTable

import space
from storage import Store, optuna_side
from storage.rows import schema

Rows = Iterator[tuple[str, dict[str, Any]]]
"""Names of tables, and a row for each."""

_TABLES = {table.name: table for table in [*optuna_side.all_tables(), *schema.Table.metadata.sorted_tables]}
_OF_A_TRIAL = ("ecg_epochs", "ecg_folds", "ecg_scores", "ecg_class_scores", "ecg_decisions")


def multiply(store: Store, study: str, architectures: space.Space, n_trials: int) -> None:
    """Let a study that has one complete trial have so many, each with an architecture of its own."""
    template = next(trial.id for trial in store.trials(study) if trial.state == "complete")
    engine = store.optuna_storage.engine
    with engine.begin() as connection:
        last = connection.scalar(select(func.max(schema.Trial.id)))
        rows = defaultdict(list)
        for table, row in _new_trials(connection, study, template, architectures, n_trials):
            rows[table].append(row)
        for table, new in rows.items():
            connection.execute(insert(_TABLES[table]), new)
        connection.execute(text("SELECT setval('trials_trial_id_seq', max(trial_id)) FROM trials"))
        for table in _OF_A_TRIAL:
            _repeat(connection, _TABLES[table], template, after=last or 0)
        # With equal scores none is better than the smallest.
        vary = "UPDATE ecg_scores SET value = value + 0.05 * sin(trial_id) WHERE metric = 'macro_auprc'"
        connection.execute(text(f"{vary} AND trial_id > :after"), {"after": last or 0})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


@contextmanager
def running(store: Store, study: str, n_trials: int) -> Iterator[None]:
    """Context in which the last trials of a study run, with recent heartbeats."""
    last = {"study": study, "n": n_trials}
    chosen = (
        "SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name = :study "
        "ORDER BY trial_id DESC LIMIT :n"
    )
    engine = store.optuna_storage.engine
    with engine.begin() as connection:
        ids = list(connection.scalars(text(chosen), last))
        _set_state(connection, ids, "RUNNING")
        beat = (
            "INSERT INTO trial_heartbeats (trial_id, heartbeat) SELECT unnest(:ids), now() + interval '1 day'"
        )
        connection.execute(text(beat), {"ids": ids})
    try:
        yield
    finally:
        with engine.begin() as connection:
            _set_state(connection, ids, "COMPLETE")
            connection.execute(text("DELETE FROM trial_heartbeats WHERE trial_id = ANY(:ids)"), {"ids": ids})


def _set_state(connection: Connection, ids: list[int], state: str) -> None:
    connection.execute(
        text("UPDATE trials SET state = :state WHERE trial_id = ANY(:ids)"), {"state": state, "ids": ids}
    )


def _new_trials(
    connection: Connection, study: str, template: int, architectures: space.Space, n_trials: int
) -> Rows:
    """Further untried architectures, until there are enough."""
    ours, trials = _TABLES["ecg_trials"], _TABLES["trials"]
    known = dict(connection.execute(select(ours).where(ours.c.id == template)).one()._mapping)
    del known["id"]
    taken = set(connection.scalars(select(ours.c.architecture_hash)))
    number, last = connection.execute(select(func.count(), func.max(trials.c.trial_id))).one()
    of_optuna = {
        "study_id": connection.scalar(
            text("SELECT study_id FROM studies WHERE study_name = :name"), {"name": study}
        )
    }
    random = np.random.default_rng(number)
    while number < n_trials:
        architecture = architectures[int(random.integers(len(architectures)))]
        if architecture.digest in taken:
            continue
        taken.add(architecture.digest)
        last += 1
        parameters = int(random.integers(30_000, 1_000_000))
        own = {"number": number, "parameters": parameters, "preset": None, **_described(architecture)}
        yield "ecg_trials", known | own
        yield "trials", {"trial_id": last, "number": number, **of_optuna, **_complete()}
        yield from _params(last, architecture, architectures)
        for objective, value in enumerate((float(random.normal(0.5, 0.03)), float(parameters))):
            found = {"objective": objective, "value": value, "value_type": "FINITE"}
            yield "trial_values", {"trial_id": last, **found}
        number += 1


def _described(architecture: space.Architecture) -> dict[str, Any]:
    return {
        "architecture_hash": architecture.digest,
        "architecture": architecture.to_dict(),
        "description": architecture.describe(),
        "label_tier": architecture.label_tier,
    }


def _complete() -> dict[str, Any]:
    now = datetime.now(UTC).replace(tzinfo=None)
    return {"state": "COMPLETE", "datetime_start": now, "datetime_complete": now}


def _params(trial_id: int, architecture: space.Architecture, architectures: space.Space) -> Rows:
    choices = architectures.parameter_axes()
    for name, value in architectures.to_params(architecture).items():
        axis = CategoricalDistribution(choices[name])
        yield (
            "trial_params",
            {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": axis.to_internal_repr(value),
                "distribution_json": distribution_to_json(axis),
            },
        )
    words = {"key": "architecture", "value_json": json.dumps(architecture.describe())}
    yield "trial_user_attributes", {"trial_id": trial_id, **words}


def _repeat(connection: Connection, table: AnyTable, template: int, after: int) -> None:
    """Give the rows of one trial to all trials after another one, on the server."""
    others = [column.name for column in table.columns if column.name not in ("id", "trial_id")]
    values = ", ".join(f"old.{name}" for name in others)
    connection.execute(
        text(
            f"INSERT INTO {table.name} (trial_id, {', '.join(others)}) "  # noqa: S608
            f"SELECT fresh.id, {values} FROM {table.name} AS old, ecg_trials AS fresh "
            "WHERE old.trial_id = :template AND fresh.id > :after"
        ),
        {"template": template, "after": after},
    )
