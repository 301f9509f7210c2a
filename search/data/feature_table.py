"""Features of a whole data set, computed once and kept.

Shapes: N record, L lead, T time, K feature.
"""

import hashlib
import io
import multiprocessing
import os
import signal
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from search.cores import available_cores
from search.data.features.names import FEATURE_NAMES
from search.errors import DataError

if TYPE_CHECKING:
    from search.data.dataset import Development
    from search.data.signals.sweep import Progress

FEATURE_VERSION: Final = 1
"""Raise it when a feature changes, so that kept ones are computed again."""

_ROWS: Final = 64  # records that a process takes at a time
_FEW: Final = 512  # records for which processes take longer to start than they save


def load_features(
    data: "Development", *, cache_dir: Path, progress: "Progress | None" = None
) -> NDArray[np.float32]:
    """Features of all records, from the cache if they are there. Shape (N, K), NaN where missing.

    Computed in as many processes as there are cores. In a process that may have no children, such as a worker
    of a search, and of few records, in this one.

    Args:
        data: its signals, ages and sexes.
        cache_dir: folder of the files, made if need be. A file appears whole or not at all, and one that
            cannot be read is made again.
        progress: called with records done and records in all, in this thread; never on a warm start.

    Raises:
        DataError: the folder cannot be written.
    """
    demography_N2 = _demography(data)
    path = cache_dir / "features" / f"features-{_key(data, demography_N2)[:20]}.npz"
    f_NK = _read(path, len(data))
    if f_NK is None:
        f_NK = np.concatenate(list(_compute(data, data.x_NLT, demography_N2, progress)))
        _write(path, f_NK)
    return f_NK


def features_of_signals(
    data: "Development", rows: NDArray[np.int64], x_NLT: NDArray[np.int16]
) -> NDArray[np.float32]:
    """Features of other signals of some records, such as disturbed ones; none are kept. Shape (N, K).

    Args:
        data: its rate, leads, ages and sexes.
        rows: the records.
        x_NLT: their signals in microvolts.
    """
    return np.concatenate(list(_compute(data, x_NLT, _demography(data)[rows], None)))


def _demography(data: "Development") -> NDArray[np.float32]:
    """Age and sex, NaN where unknown. Shape (N, 2)."""
    unknown_N = np.full(len(data), np.nan, np.float32)
    return np.stack([unknown_N if known is None else known for known in (data.age, data.sex)], axis=1)


def _key(data: "Development", demography_N2: NDArray[np.float32]) -> str:
    """Everything that features are made of; the fingerprint of a data set does not cover ages."""
    digest = hashlib.sha256(f"features {FEATURE_VERSION}\n{data.fingerprint}\n{data.leads}\n".encode())
    digest.update(f"{data.rate_hz} {FEATURE_NAMES}\n".encode())
    digest.update(demography_N2.astype("<f4").tobytes())
    return digest.hexdigest()


def _compute(
    data: "Development",
    x_NLT: NDArray[np.int16],
    demography_N2: NDArray[np.float32],
    progress: "Progress | None",
) -> Iterator[NDArray[np.float32]]:
    starts = range(0, len(x_NLT), _ROWS)
    compute = partial(features_of, rate_hz=data.rate_hz, leads=data.leads)
    n_done = 0
    for f_NK in _mapped(
        compute,
        [np.asarray(x_NLT[start : start + _ROWS]) for start in starts],
        [demography_N2[start : start + _ROWS] for start in starts],
    ):
        n_done += len(f_NK)
        if progress is not None:
            progress(n_done, len(x_NLT))
        yield f_NK


def _mapped(
    compute: "partial[NDArray[np.float32]]",
    signals: list[NDArray[np.int16]],
    demography: list[NDArray[np.float32]],
) -> Iterator[NDArray[np.float32]]:
    """Features part by part, in order."""
    n_done = 0
    n_processes = min(available_cores(), len(signals))
    if n_processes > 1 and len(signals) * _ROWS > _FEW and not multiprocessing.current_process().daemon:
        # Started afresh: a copy of a process with threads, and with a GPU, would hang.
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(n_processes, context, initializer=_prepare_process)
        try:
            for f_NK in executor.map(compute, signals, demography):
                n_done += 1
                yield f_NK
        except BrokenProcessPool:  # a script that new processes cannot import, or too little memory
            pass
        finally:
            executor.shutdown(cancel_futures=True)
    yield from map(compute, signals[n_done:], demography[n_done:])


def _prepare_process() -> None:
    """Leave Ctrl-C to the process that started this one, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def features_of(
    x_NLT: NDArray[np.int16], demography_N2: NDArray[np.float32], *, rate_hz: int, leads: tuple[str, ...]
) -> NDArray[np.float32]:
    """Features of some records, given their age and sex. Shape (N, K)."""
    from search.data.features.record import record_features  # with scipy.signal, most of a second

    return np.stack(
        [
            record_features(x_LT, rate_hz, leads=leads, age=float(age), sex=float(sex))
            for x_LT, (age, sex) in zip(x_NLT, demography_N2, strict=True)
        ]
    )


def _read(path: Path, n_records: int) -> NDArray[np.float32] | None:
    """Kept features; None if there are none or the file is damaged, as its checksum shows."""
    try:
        with np.load(path, allow_pickle=False) as file:
            f_NK: NDArray[np.float32] = file["f_NK"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    is_whole = f_NK.dtype == np.float32 and f_NK.shape == (n_records, len(FEATURE_NAMES))
    return f_NK if is_whole else None


def _write(path: Path, f_NK: NDArray[np.float32]) -> None:
    """Keep features.

    Raises:
        DataError: the folder cannot be written.
    """
    # Optuna, which comes with the package, takes half a second that reading records need not wait for.
    from storage.files import write_whole

    content = io.BytesIO()
    np.savez(content, f_NK=f_NK)
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            f"cannot keep features in {path.parent}: {reason}; "
            f"it needs {f_NK.nbytes / 1e6:,.0f} MB in a folder that can be written"
        ) from error
