"""Signals of a data set as one memory-mapped array, so that only the first start reads the records.

A cache entry is a folder: `signals.npy`, int16 µV of shape (N, 12, T), and `about.json`. Its name holds the
rate and a key over the names, sizes and modification times of the records' files, wherever they lie: other
records, or a changed file, make another entry. An entry is written beside its final place and renamed, so a
reader sees all of it or nothing, and of two processes that build the same one the first wins.

Shape suffixes: N record, L lead, T time.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from search.data.leads import LEADS
from search.data.ptbxl import RecordTable
from search.data.records import RECORD_S, Damage
from search.data.sweep import Progress, describe_damages, no_files, record_names, sweep
from search.errors import DamagedRecordsError, DataError

FORMAT: Final = 1
"""Version of the entries; raise it when they, or what the reader makes of a record, change."""

_SIGNALS: Final = "signals.npy"
_ABOUT: Final = "about.json"
_UNFINISHED: Final = ".unfinished-"
_STALE_S: Final = 86_400  # nothing takes a day to write: its process was killed


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Signals:
    """Signals of the readable records of a table."""

    x_NLT: NDArray[np.int16]
    """Microvolts, memory-mapped and read-only, one row per kept record."""
    kept: NDArray[np.bool_]
    """Which rows of the table these are."""
    damages: tuple[Damage, ...]
    """The others."""
    flat_leads: dict[int, tuple[str, ...]]
    """Record id and names of leads that never change; only records with such leads."""
    sha256: str
    """Of the array's bytes (little-endian, C order), hexadecimal."""


def load_signals(
    table: RecordTable,
    rate_hz: int,
    *,
    cache_dir: Path,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> Signals:
    """Signals of all records of a table, from the cache if they are there.

    Args:
        table: The records to read; no other record's files are touched.
        rate_hz: Sampling rate.
        cache_dir: Folder of cache entries, made if need be.
        skip_damaged: Leave damaged records out instead of raising.
        progress: Called with records done and records in all while files are read; never on a warm start.

    Raises:
        UsageError: The table has no files at this rate.
        DamagedRecordsError: Records are damaged or missing, and `skip_damaged` is off.
        DataError: There is no file at all, nothing readable, or the cache cannot be written.
    """
    key = files_key(table, rate_hz)
    entry = cache_dir / f"signals-{rate_hz}hz-{key[:20]}"
    signals = _open(entry, key, table)
    if signals is None:
        _build(entry, key, table, rate_hz, progress)
        signals = _open(entry, key, table)
        if signals is None:
            raise DataError(f"the cache {entry} disappeared or cannot be read back; run the command again")
    if signals.damages and not skip_damaged:
        raise _damaged(signals.damages, len(table))
    return signals


def files_key(table: RecordTable, rate_hz: int) -> str:
    """Fingerprint of the records' files: names, sizes and modification times, not where they lie.

    Raises:
        DataError: Not a single file is there.
    """
    digest = hashlib.sha256(f"signals {FORMAT} {rate_hz} Hz\n".encode())
    n_found = 0
    for ecg_id, name in zip(table.ecg_id.tolist(), record_names(table, rate_hz), strict=True):
        facts = [f"{ecg_id} {name}"]
        for extension in ("hea", "dat"):
            try:
                status = os.stat(f"{table.root}/{name}.{extension}")  # noqa: PTH116 - 43,000 of them
            except (OSError, ValueError):  # missing, or a name that cannot be one: the reader will tell
                facts.append("-")
            else:
                facts.append(f"{status.st_size} {status.st_mtime_ns}")
                n_found += 1
        digest.update(f"{facts!r}\n".encode(errors="surrogateescape"))
    if not n_found:
        raise no_files(table, rate_hz)
    return digest.hexdigest()


def _damaged(damages: tuple[Damage, ...], n_records: int) -> DamagedRecordsError:
    return DamagedRecordsError(
        f"{len(damages):,} of {n_records:,} records cannot be used: {describe_damages(damages)}; "
        "repair them or give --skip-damaged to go on without them"
    )


def _open(entry: Path, key: str, table: RecordTable) -> Signals | None:
    """The entry, or None if there is none that is whole and of this format."""
    try:
        about = json.loads((entry / _ABOUT).read_text(encoding="utf-8"))
        if about["format"] != FORMAT or about["key"] != key:
            return None
        damages = tuple(Damage(**damage) for damage in about["damages"])
        x_NLT = np.load(entry / _SIGNALS, mmap_mode="r", allow_pickle=False)
        kept = ~np.isin(table.ecg_id, [damage.ecg_id for damage in damages])
        if x_NLT.dtype != np.int16 or list(x_NLT.shape) != about["shape"] or len(x_NLT) != kept.sum():
            return None
        return Signals(
            x_NLT=x_NLT,
            kept=kept,
            damages=damages,
            flat_leads={int(ecg_id): tuple(leads) for ecg_id, leads in about["flat_leads"].items()},
            sha256=str(about["signals_sha256"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _build(entry: Path, key: str, table: RecordTable, rate_hz: int, progress: Progress | None) -> None:
    n_bytes = len(table) * len(LEADS) * RECORD_S * rate_hz * 2
    unfinished = entry.with_name(f"{_UNFINISHED}{entry.name}-{secrets.token_hex(4)}")
    try:
        unfinished.mkdir(parents=True)
        _remove_stale(entry.parent)
        about = _write_signals(unfinished / _SIGNALS, table, rate_hz, progress)
        text = json.dumps({"format": FORMAT, "key": key, "rate_hz": rate_hz, **about}, indent=1)
        (unfinished / _ABOUT).write_text(text + "\n", encoding="utf-8")
        _publish(unfinished, entry, lambda: _open(entry, key, table) is not None)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            f"cannot write the cache in {entry.parent}: {reason}; "
            f"it needs {n_bytes / 1e6:,.0f} MB in a folder that can be written"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_signals(path: Path, table: RecordTable, rate_hz: int, progress: Progress | None) -> dict[str, Any]:
    """Write the array chunk by chunk and return what `about.json` says of it.

    Written, not memory-mapped: a disk that fills up under a mapped file kills the process with SIGBUS.
    """
    digest = hashlib.sha256()
    damages: list[Damage] = []
    flat: dict[int, tuple[str, ...]] = {}
    n_kept = 0
    shape = (len(table), len(LEADS), RECORD_S * rate_hz)
    with path.open("wb") as file, contextlib.closing(sweep(table, rate_hz, progress)) as chunks:
        _write_array_header(file, shape)
        start = file.tell()
        for chunk in chunks:
            raw = np.ascontiguousarray(chunk.x_NLT, dtype="<i2").data.cast("B") if len(chunk.x_NLT) else b""
            file.write(raw)
            digest.update(raw)
            n_kept += len(chunk.x_NLT)
            damages += chunk.damages
            flat |= chunk.flat_leads
        if not n_kept:
            raise DamagedRecordsError(
                f"none of {len(table):,} records can be read: {describe_damages(tuple(damages))}"
            )
        shape = (n_kept, *shape[1:])
        file.seek(0)
        _write_array_header(file, shape)
        assert file.tell() == start  # numpy pads the header for a first axis that changes
        file.flush()
        os.fsync(file.fileno())
    return {
        "shape": list(shape),
        "signals_sha256": digest.hexdigest(),
        "damages": [asdict(damage) for damage in damages],
        "flat_leads": flat,
    }


def _write_array_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": shape})


def _publish(unfinished: Path, entry: Path, is_whole: Callable[[], bool]) -> None:
    """Rename a finished entry to its place, unless another process was faster."""
    try:
        unfinished.rename(entry)
    except OSError:
        if is_whole():
            return
        if not entry.exists():
            raise
        broken = unfinished.with_name(f"{unfinished.name}-broken")  # cut short by a crash
        entry.rename(broken)
        unfinished.rename(entry)
        shutil.rmtree(broken, ignore_errors=True)


def _remove_stale(cache_dir: Path) -> None:
    """Clear away what killed processes left."""
    for path in cache_dir.glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(OSError):  # another process is at the same work
            if time.time() - path.stat().st_mtime > _STALE_S:
                shutil.rmtree(path)
