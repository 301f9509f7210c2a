"""Duration of the first read of records, against a loop over `wfdb.rdsamp`.

Shapes: N record, L lead, T time.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from search.data.cache import load_signals
from search.data.signals.headers import load_wfdb
from search.data.signals.waveforms import RecordFiles
from search.data.sources import find_data


def measure_reading(folder: Path, n_pairs: int) -> list[float]:
    """Seconds of the loop to seconds of our first read, cache written, pair by pair.

    Every record of the data set that has files, the sealed fold left out. The files lie in the memory of the
    operating system for both; the two read in turn, with alternating order.
    """
    waveforms = development_files(folder)
    _read_with_wfdb(waveforms)  # from now on the files are in memory
    _read_ours(waveforms)
    ratios = []
    for number in range(n_pairs):
        readers = (_read_with_wfdb, _read_ours) if number % 2 else (_read_ours, _read_with_wfdb)
        seconds = {read: read(waveforms) for read in readers}
        ratios.append(seconds[_read_with_wfdb] / seconds[_read_ours])
    return ratios


def development_files(folder: Path) -> RecordFiles:
    """The records of a data set outside its sealed fold."""
    catalogue = find_data(folder).read(None)
    chosen = catalogue.select(catalogue.strat_fold != catalogue.fold_plan.sealed)
    waveforms = chosen.at_rate(None)
    assert isinstance(waveforms, RecordFiles)
    return waveforms


def _read_with_wfdb(waveforms: RecordFiles) -> float:
    wfdb = load_wfdb()
    began_s = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x_NTL = [wfdb.rdsamp(str(waveforms.root / name))[0] for name in waveforms.names]
    assert np.stack(x_NTL).shape[0] == len(waveforms)
    return time.perf_counter() - began_s


def _read_ours(waveforms: RecordFiles) -> float:
    with tempfile.TemporaryDirectory() as cache:
        began_s = time.perf_counter()
        signals = load_signals(waveforms, cache_dir=Path(cache))
        seconds = time.perf_counter() - began_s
        assert len(signals.x_NLT) == len(waveforms)
    return seconds
