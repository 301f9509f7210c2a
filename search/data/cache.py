"""Signals of a data set as one memory-mapped array, so that only the first start reads the records.

A cache entry is a folder: `signals.npy`, int16 µV of shape (N, L, T), and `about.json`. Its name holds the
rate and a key over the names, sizes and modification times of the records' files, wherever they lie: other
records, or a changed file, make another entry. An entry is written beside its final place and renamed, so a
reader sees all of it or nothing, and of two processes that build the same one the first wins.

Beside the entries, `files-….json` lists the files of each record, so that a warm start reads sizes and times
of files and opens none. A list is valid until one of its headers changes.

Shape suffixes: N row (a record or a beat), L lead, T time.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from search.data.signals.records import Damage
from search.data.signals.sweep import Progress, Survey, Surveyor, describe_damages, no_files, sweep
from search.data.signals.waveforms import Waveforms
from search.errors import DamagedRecordsError, DataError

FORMAT: Final = 4
"""Version of the entries; raise it when they, or what the reader makes of a record, change."""

_LISTS_FORMAT: Final = 1
"""Version of the lists of files; raise it when they, or what `Waveforms.files` finds, change."""

_SIGNALS: Final = "signals.npy"
_ABOUT: Final = "about.json"
_UNFINISHED: Final = ".unfinished-"
_STALE_S: Final = 86_400  # nothing takes a day to write: its process was killed

_Status = list[int]
"""Size and modification time in ns; empty for a file that is missing."""
_List = dict[str, _Status | None]
"""The files that make a record; the status of headers, None for the others."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Signals:
    """Signals of the rows whose record can be read."""

    x_NLT: NDArray[np.int16]
    """Microvolts, memory-mapped and read-only."""
    kept: NDArray[np.bool_]
    """Positions of these rows among the requested ones."""
    survey: Survey
    """Records that cannot be read, and what is odd about others."""
    sha256: str
    """SHA-256 of the array's bytes (little-endian, C order), hexadecimal."""


def load_signals(
    waveforms: Waveforms,
    *,
    cache_dir: Path,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> Signals:
    """Signals of all rows, from the cache if they are there.

    Args:
        waveforms: What to read; no other record's files are touched.
        cache_dir: Folder of cache entries, made if need be.
        skip_damaged: Leave damaged records out instead of raising.
        progress: Called with rows done and rows in all while files are read; never on a warm start.

    Raises:
        DamagedRecordsError: Records are damaged or missing, and `skip_damaged` is off.
        DataError: There is no file at all, nothing readable, or the cache cannot be written.
    """
    key = files_key(waveforms, cache_dir)
    entry = cache_dir / f"signals-{waveforms.rate_hz}hz-{key[:20]}"
    signals = _open(entry, key, waveforms)
    if signals is None:
        _build(entry, key, waveforms, progress)
        signals = _open(entry, key, waveforms)
        if signals is None:
            raise DataError(f"the cache {entry} disappeared or cannot be read back; run the command again")
    if signals.survey.damages and not skip_damaged:
        raise _damaged(signals.survey.damages, len(np.unique(waveforms.record_id)))
    return signals


def files_key(waveforms: Waveforms, cache_dir: Path) -> str:
    """Fingerprint of the records' files: names, sizes and modification times, not where they lie.

    The files of a record are those its header names (`Waveforms.files`): no change goes unnoticed.

    Args:
        waveforms: The records.
        cache_dir: Folder in which the lists of files are kept, made if need be.

    Raises:
        DataError: Not a single file is there.
    """
    # Each record once: beats share theirs.
    records = dict.fromkeys(zip(waveforms.record_id.tolist(), waveforms.names, strict=True))
    lists_path = _lists_path(cache_dir, waveforms.root, (name for _, name in records))
    known = _read_lists(lists_path)
    news: dict[str, _List] = {}
    digest = hashlib.sha256(f"signals {FORMAT} {waveforms.rate_hz} Hz\n{waveforms.recipe}".encode())
    n_found = 0
    for record_id, name in records:
        files = known.get(name, {})
        statuses = _statuses(waveforms.root, files)
        if not files or any(kept is not None and statuses[file] != kept for file, kept in files.items()):
            statuses = _statuses(waveforms.root, waveforms.files(name))
            news[name] = {file: st if file.endswith(".hea") else None for file, st in statuses.items()}
        facts = [f"{record_id} {name}"]
        for file, status in statuses.items():
            facts.append(f"{file} {status[0]} {status[1]}" if status else f"{file} -")
            n_found += bool(status)
        digest.update(f"{facts!r}\n".encode(errors="surrogateescape"))
    if not n_found:
        raise no_files(waveforms)
    if news:
        _write_lists(lists_path, known | news)
    return digest.hexdigest()


def _statuses(root: Path, files: Iterable[str]) -> dict[str, _Status]:
    statuses: dict[str, _Status] = {}
    for file in files:
        try:
            status = os.stat(f"{root}/{file}")  # noqa: PTH116 - 43,000 of them
        except (OSError, ValueError):  # missing, or a name that cannot be one: reported when it is read
            statuses[file] = []
        else:
            statuses[file] = [status.st_size, status.st_mtime_ns]
    return statuses


def _lists_path(cache_dir: Path, root: Path, names: Iterable[str]) -> Path:
    """File of the lists of these records: one for each folder and choice of records."""
    digest = hashlib.sha256("\n".join([str(root.absolute()), *names]).encode(errors="surrogateescape"))
    return cache_dir / f"files-{digest.hexdigest()[:20]}.json"


def _read_lists(path: Path) -> dict[str, _List]:
    """The lists that are kept; none where they cannot be read, as headers tell them as well."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        lists = kept["lists"] if kept["format"] == _LISTS_FORMAT else {}
        return lists if all(isinstance(files, dict) for files in lists.values()) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_lists(path: Path, lists: dict[str, _List]) -> None:
    unfinished = path.with_name(f"{_UNFINISHED}{path.name}-{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):  # time is lost, nothing else
        try:
            unfinished.mkdir(parents=True)
            text = json.dumps({"format": _LISTS_FORMAT, "lists": lists}, separators=(",", ":"))
            (unfinished / path.name).write_text(text, encoding="utf-8")
            (unfinished / path.name).replace(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _damaged(damages: tuple[Damage, ...], n_records: int) -> DamagedRecordsError:
    return DamagedRecordsError(
        f"{len(damages):,} of {n_records:,} records cannot be used: {describe_damages(damages)}; "
        "repair them or give --skip-damaged to go on without them"
    )


def _open(entry: Path, key: str, waveforms: Waveforms) -> Signals | None:
    """The entry, or None if there is none that is whole and of this format."""
    try:
        about = json.loads((entry / _ABOUT).read_text(encoding="utf-8"))
        if about["format"] != FORMAT or about["key"] != key:
            return None
        found = _survey(about["survey"])
        x_NLT = np.load(entry / _SIGNALS, mmap_mode="r", allow_pickle=False)
        kept = ~np.isin(waveforms.record_id, [damage.ecg_id for damage in found.damages])
        if x_NLT.dtype != np.int16 or list(x_NLT.shape) != about["shape"] or len(x_NLT) != kept.sum():
            return None
        return Signals(
            x_NLT=x_NLT,
            kept=kept,
            survey=found,
            sha256=str(about["signals_sha256"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _survey(kept: dict[str, Any]) -> Survey:
    """The survey that `_write_signals` has kept."""
    return Survey(
        damages=tuple(Damage(**damage) for damage in kept["damages"]),
        flat_leads={int(ecg_id): tuple(leads) for ecg_id, leads in kept["flat_leads"].items()},
        without_gain={int(ecg_id): tuple(leads) for ecg_id, leads in kept["without_gain"].items()},
        twins=tuple(map(tuple, kept["twins"])),
        spans_mv={int(ecg_id): float(span) for ecg_id, span in kept["spans_mv"].items()},
        typical_mv=float(kept["typical_mv"]),
    )


def _build(entry: Path, key: str, waveforms: Waveforms, progress: Progress | None) -> None:
    n_bytes = len(waveforms) * len(waveforms.leads) * waveforms.n_samples * 2
    unfinished = entry.with_name(f"{_UNFINISHED}{entry.name}-{secrets.token_hex(4)}")
    try:
        unfinished.mkdir(parents=True)
        _remove_stale(entry.parent)
        about = _write_signals(unfinished / _SIGNALS, waveforms, progress)
        text = json.dumps({"format": FORMAT, "key": key, "rate_hz": waveforms.rate_hz, **about}, indent=1)
        (unfinished / _ABOUT).write_text(text + "\n", encoding="utf-8")
        _publish(unfinished, entry, lambda: _open(entry, key, waveforms) is not None)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            f"cannot write the cache in {entry.parent}: {reason}; "
            f"it needs {n_bytes / 1e6:,.0f} MB in a folder that can be written"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_signals(path: Path, waveforms: Waveforms, progress: Progress | None) -> dict[str, Any]:
    """Write the array chunk by chunk and return the content of `about.json`.

    Written, not memory-mapped: a disk that fills up under a mapped file kills the process with SIGBUS.
    """
    digest = hashlib.sha256()
    surveyor = Surveyor()
    n_kept = 0
    shape = (len(waveforms), len(waveforms.leads), waveforms.n_samples)
    with path.open("wb") as file, contextlib.closing(sweep(waveforms, progress)) as chunks:
        _write_array_header(file, shape)
        start = file.tell()
        for chunk in chunks:
            raw = np.ascontiguousarray(chunk.x_NLT, dtype="<i2").data.cast("B") if len(chunk.x_NLT) else b""
            file.write(raw)
            digest.update(raw)
            n_kept += len(chunk.x_NLT)
            surveyor.add(chunk)
        found = surveyor.survey(waveforms.record_id)
        if not n_kept:
            raise DamagedRecordsError(
                f"none of {len(found.damages):,} records can be read: {describe_damages(found.damages)}"
            )
        shape = (n_kept, *shape[1:])
        file.seek(0)
        _write_array_header(file, shape)
        assert file.tell() == start  # numpy pads the header for a first axis that changes
        file.flush()
        os.fsync(file.fileno())
    return {"shape": list(shape), "signals_sha256": digest.hexdigest(), "survey": asdict(found)}


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
