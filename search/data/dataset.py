"""The development part of a data set: folds 1 to 9 with signals and labels at every tier.

Fold 10 is sealed: its rows leave the table before a signal file is touched.

Shape suffixes: N record, L lead, T time, C class.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.cache import Signals, load_signals
from search.data.folds import SEALED_FOLD, check_patient_safety
from search.data.ptbxl import RecordTable, find_root, read_table
from search.data.records import Damage
from search.data.statements import read_statements
from search.data.sweep import Progress
from search.data.tiers import TIERS, Hierarchy, check_tier
from search.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Development:
    """Everything a search may see of a data set."""

    name: str
    """"demo" for generated records, "ptb-xl" otherwise."""
    version: str
    """Published version of PTB-XL, or "SYNTHETIC"."""
    synthetic: bool
    """Whether the records were generated; whatever shows a result must say so."""
    rate_hz: int
    """Sampling rate."""
    fingerprint: str
    """SHA-256 over the content, hexadecimal: equal for copies of the data anywhere, of any age."""
    ecg_id: NDArray[np.int64]
    """Record ids, shape (N,)."""
    patient_id: NDArray[np.int64]
    """Patients, shape (N,)."""
    strat_fold: NDArray[np.int64]
    """PTB-XL's folds 1 to 9, shape (N,)."""
    x_NLT: NDArray[np.int16]
    """Microvolts, memory-mapped and read-only; leads in the order of `search.data.leads.LEADS`."""
    y: Mapping[str, NDArray[np.bool_]]
    """Labels at each tier, shape (N, C)."""
    hierarchy: Hierarchy
    """Classes of each tier and how tiers project onto each other."""
    skipped: tuple[Damage, ...]
    """Damaged records left out, with reasons."""
    flat_leads: Mapping[int, tuple[str, ...]]
    """Record id and names of leads without a signal, of records that are in."""
    n_unlabeled_dropped: int
    """Records left out because they have no label at the tier asked for."""

    def __len__(self) -> int:
        return len(self.ecg_id)


def load_development(
    path: Path,
    *,
    rate_hz: int = 100,
    drop_unlabeled_tier: str | None = None,
    skip_damaged: bool = False,
    cache_dir: Path,
    progress: Progress | None = None,
) -> Development:
    """Read folds 1 to 9 of a data set in PTB-XL's layout.

    Args:
        path: The folder of PTB-XL or one above it.
        rate_hz: 100 or 500.
        drop_unlabeled_tier: Leave out records without any label at this tier, as the benchmark of Strodthoff
            et al. (2020) does; by default they stay, as rows of zeros.
        skip_damaged: Leave damaged records out instead of raising.
        cache_dir: Folder for the signal cache.
        progress: Called with records done and records in all while files are read; never on a warm start.

    Raises:
        UsageError: The tier or the rate does not exist.
        DamagedRecordsError: Records are damaged or missing, and `skip_damaged` is off.
        DataError: There is no PTB-XL, its tables are wrong, a patient is in several folds, or the cache
            cannot be written.
    """
    if drop_unlabeled_tier is not None:
        check_tier(drop_unlabeled_tier)
    root = find_root(path)
    table = read_table(root)
    hierarchy = Hierarchy(read_statements(root))
    check_patient_safety(table.patient_id, table.strat_fold)
    table = table.select(table.strat_fold != SEALED_FOLD)
    n_development = len(table)
    if drop_unlabeled_tier is not None:
        y_NC = hierarchy.labels(drop_unlabeled_tier, table.scp_codes, ecg_id=table.ecg_id)
        table = table.select(np.flatnonzero(y_NC.any(axis=1)))
    if not len(table):
        raise DataError(f"{root} has no record to train on in folds 1 to 9 ({n_development:,} before labels)")
    signals = load_signals(table, rate_hz, cache_dir=cache_dir, skip_damaged=skip_damaged, progress=progress)
    kept = table.select(signals.kept)
    return Development(
        name="demo" if table.synthetic else "ptb-xl",
        version=table.version,
        synthetic=table.synthetic,
        rate_hz=rate_hz,
        fingerprint=_fingerprint(kept, signals, hierarchy, rate_hz),
        ecg_id=kept.ecg_id,
        patient_id=kept.patient_id,
        strat_fold=kept.strat_fold,
        x_NLT=signals.x_NLT,
        y={tier: hierarchy.labels(tier, kept.scp_codes, ecg_id=kept.ecg_id) for tier in TIERS},
        hierarchy=hierarchy,
        skipped=signals.damages,
        flat_leads=signals.flat_leads,
        n_unlabeled_dropped=n_development - len(table),
    )


def _fingerprint(table: RecordTable, signals: Signals, hierarchy: Hierarchy, rate_hz: int) -> str:
    """SHA-256 over what decides a result: signals, ids, patients, folds, statements and what they mean."""
    meanings = [
        (item.code, item.diagnostic, item.form, item.rhythm, item.superclass, item.subclass)
        for item in sorted(hierarchy.statements, key=lambda item: item.code)
    ]
    y_NC = hierarchy.labels("all", table.scp_codes, ecg_id=table.ecg_id)
    digest = hashlib.sha256(f"development 1\n{rate_hz} Hz\n{signals.sha256}\n{meanings}\n".encode())
    digest.update(f"{signals.x_NLT.shape} {y_NC.shape}\n".encode())
    for column in (table.ecg_id, table.patient_id, table.strat_fold):
        digest.update(column.astype("<i8").tobytes())
    digest.update(np.packbits(y_NC).tobytes())
    return digest.hexdigest()
