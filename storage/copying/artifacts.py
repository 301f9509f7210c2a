"""The files beside a database, taken along when it is copied."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from storage import optuna_side
from storage.errors import StorageError
from storage.files import write_whole
from storage.records import ARTIFACT
from storage.rows.schema import Fold, Study
from storage.store import Store


def copy_artifacts(connection: Connection, source: Store, target: Store) -> tuple[int, tuple[str, ...]]:
    """Copy the files that a database refers to, and the checkpoints of trials to be continued.

    Args:
        connection: a transaction on the source.
        source: where they are.
        target: where they go; one that shares the source's folder has them already.

    Returns:
        Number of artifacts copied, and ids of those that are not where the source keeps them.

    Raises:
        StorageError: a file with the name of an artifact is there and holds something else.
        OSError: a file cannot be read or written.
    """
    if source.artifacts_folder.resolve() == target.artifacts_folder.resolve():
        return 0, ()
    missing, n_copied = [], 0
    for name in sorted(set(_known(connection))):
        if (
            Path(name).name != name
        ):  # of a damaged database: the name of a file, and no path out of the folder
            missing.append(name)
            continue
        try:
            content = (source.artifacts_folder / name).read_bytes()
        except FileNotFoundError:
            missing.append(name)
            continue
        _place(target.artifacts_folder / name, content)
        n_copied += 1
    if source.checkpoints_folder.is_dir():
        shutil.copytree(source.checkpoints_folder, target.checkpoints_folder, dirs_exist_ok=True)
    return n_copied, tuple(missing)


def _known(connection: Connection) -> Iterator[str]:
    yield from connection.scalars(select(Fold.predictions))
    for settings in connection.scalars(select(Study.settings)):
        yield from _named(settings)
    for table in (optuna_side.trial_system_attributes, optuna_side.study_system_attributes):
        for key in connection.scalars(
            select(table.c.key).where(table.c.key.startswith(optuna_side.ARTIFACT))
        ):
            yield key.removeprefix(optuna_side.ARTIFACT)


def _named(settings: Any) -> Iterator[str]:
    """Artifacts of a study's settings (earlier studies, soft targets of teachers), at any depth."""
    if isinstance(settings, dict):
        if ARTIFACT in settings:
            yield str(settings[ARTIFACT])
        for each in settings.values():
            yield from _named(each)


def _place(path: Path, content: bytes) -> None:
    if not path.exists():
        write_whole(path, content)
    if path.read_bytes() != content:
        raise StorageError(f"{path} is there and is not what was copied: choose another place, or remove it")
