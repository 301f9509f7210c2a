"""Ground truth of a record from the tables of the data set that holds it."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from search.data.catalogue import Catalogue
from search.data.sources import MITBIH, SOURCES, DataFolder
from search.errors import SearchError
from search.export.folder import Labels

MOST_FOLDERS_UP: Final = 4
"""Number of folders between a record and its data set: two for records500/21000 of PTB-XL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """The labels of a record by the tables of its data set."""

    classes: frozenset[str] | None
    """Classes that it has of the tier that the model was trained on; None where the data set has no such
    tier, or one with other classes."""
    statements: tuple[str, ...]
    """Statements of the cardiologist."""
    fold_words: str | None
    """Warning that the record was trained on, so that its picture may not hold for new ones; else None."""


def find_truth(record: Path, labels: Labels) -> Truth | None:
    """The labels of a record, if it is one of a data set whose folder it lies in.

    Args:
        record: Header of a WFDB record.
        labels: Of the model.
    """
    folder = _data_folder(record)
    if folder is None or folder.source is MITBIH:  # whose labels are of beats
        return None
    try:
        return _truth(record, _catalogue(folder.source.name, folder.root), labels)
    except SearchError:
        return None  # a record can be explained without its tables


@functools.lru_cache(maxsize=1)
def _catalogue(source_name: str, root: Path) -> Catalogue:
    """The tables of a data set, read once for all its records."""
    source = next(source for source in SOURCES if source.name == source_name)
    return DataFolder(source=source, root=root, path=root).read()


def _data_folder(record: Path) -> DataFolder | None:
    absolute = record.expanduser().absolute()
    for folder in list(absolute.parents)[: MOST_FOLDERS_UP + 1]:
        try:
            names = {entry.name for entry in os.scandir(folder) if entry.is_file()}
        except OSError:
            continue
        for source in SOURCES:
            if source.markers(folder, names):
                return DataFolder(source=source, root=folder, path=folder)
    return None


def _truth(record: Path, catalogue: Catalogue, labels: Labels) -> Truth | None:
    row = _row(record, catalogue)
    if row is None:
        return None
    only, trained, has = catalogue.select(np.array([row])), labels.tiers[0], None
    names = tuple(each.name for each in trained.classes)
    hierarchy = catalogue.hierarchy
    if trained.name in hierarchy.tiers and hierarchy.classes(trained.name) == names:
        (y_C,) = only.labels(trained.name)
        has = frozenset(name for name, is_there in zip(names, y_C.tolist(), strict=True) if is_there)
    plan, fold, fold_words = catalogue.fold_plan, int(only.strat_fold[0]), None
    if catalogue.name == labels.model.data_name and fold != plan.sealed:
        fold_words = f"{plan.column} {fold}: the model may have been trained on this record"
    return Truth(
        classes=has,
        statements=tuple(only.statements[0]),
        fold_words=fold_words,
    )


def _row(record: Path, catalogue: Catalogue) -> int | None:
    wanted = record.expanduser().resolve().with_suffix("")
    for waveforms in catalogue.waveforms.values():
        for row, name in enumerate(waveforms.names):
            if name.endswith(wanted.name) and (waveforms.root / name).resolve() == wanted:
                return row
    return None
