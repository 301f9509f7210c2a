"""The data of a study: the folder, the records as its settings say, and the check that they are the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from search.data.dataset import Development, load_development
from search.data.demo import write_demo
from search.data.readers.ptbxl import TABLE_NAME
from search.data.sources import PTBXL, DataFolder, find_data
from search.defaults import CACHE_FOLDER, DATA_FOLDER, DATA_VARIABLE, DEMO_FOLDER, N_DEMO_RECORDS
from search.errors import UsageError
from search.study.study import as_known_to, check_requested
from search.watch.progress import progress_bar
from storage import StudyRecord


def locate_data(choice: str | None, study: StudyRecord | None = None) -> DataFolder:
    """The data set: `--data`, $PTBXL_DIR, data/ptb-xl or, failing all, the demo.

    The demo's folder need not be there yet: `make_demo` fills it.

    Args:
        choice: `--data`.
        study: the study that the data must be of, if it is there.

    Raises:
        DataError: the folder that was named is not a data set.
        UsageError: none is named, and the study was not made with the demo.
    """
    if choice is None:
        choice = os.environ.get(DATA_VARIABLE) or (str(DATA_FOLDER) if DATA_FOLDER.is_dir() else "demo")
        if choice == "demo" and study is not None and not study.synthetic:
            raise UsageError(
                f"study {study.name} was made with {study.data_name}: give its folder with --data"
            )
    if choice == "demo":
        return DataFolder(source=PTBXL, root=DEMO_FOLDER, path=DEMO_FOLDER)
    return find_data(Path(choice))


def make_demo(console: Console) -> None:
    """Write the demo, unless it is there.

    Raises:
        DataError: its folder cannot be written.
    """
    if not (DEMO_FOLDER / TABLE_NAME).exists():
        with progress_bar(console, "Making SYNTHETIC demo records", N_DEMO_RECORDS) as advance:
            write_demo(DEMO_FOLDER, n_records=N_DEMO_RECORDS, progress=advance)


def split_of(study: StudyRecord) -> str | None:
    """Split of the data set that a study uses; None for the usual one."""
    return study.settings.get("split")


def load_development_of(
    study: StudyRecord, folder: DataFolder, progress: Callable[[int, int], None] | None = None
) -> Development:
    """Read the records that a study was made with, without the sealed fold.

    Raises:
        DataError: records cannot be read.
        StudyMismatchError: they are not the data that the study was made with.
    """
    data = load_development(
        folder.path,
        rate_hz=study.rate_hz,
        drop_unlabeled_tier=dropped_tier(study),
        split=split_of(study),
        leads=study.settings.get("leads"),
        records=study.settings.get("records"),
        skip_damaged=bool(study.skipped_records),
        cache_dir=CACHE_FOLDER,
        progress=progress,
    )
    data = as_known_to(study, data)
    check_requested(study, data)
    return data


def find_development_of(study: StudyRecord, choice: str | None, console: Console) -> Development:
    """Find the data of a study, and read them as `load_development_of` does.

    Args:
        study: the study.
        choice: `--data`.
        console: for a progress bar.

    Raises:
        DataError: no data set is there.
        StudyMismatchError: another one is there.
    """
    folder = locate_data(choice, study)
    with progress_bar(console, "Reading records", 0) as advance:
        return load_development_of(study, folder, advance)


def dropped_tier(study: StudyRecord) -> str | None:
    """Tier without a class of which records are left out; None where all are kept."""
    return study.target if study.settings["drop_unlabeled"] else None
