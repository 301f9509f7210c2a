"""Write the demo to a folder in PTB-XL's layout."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from search.data.demo.dipole import LEADS, quantise
from search.data.demo.patients import assign_folds, group_patients
from search.data.demo.plan import PlannedRecord, plan_records
from search.data.demo.records import synthesise_record
from search.data.demo.tables import STATEMENTS_FILE, database_csv, record_name
from search.errors import DataError, UsageError

RATES_HZ = (100, 500)
MOST_RECORDS = 99_999
"""Five digits in a file name."""

PLAN, TABLE, PERSON, RECORD = range(4)
"""Independent streams of random numbers; changing what one draws leaves the others as they are."""

_TABLE = "ptbxl_database.csv"
_WRITTEN = ("README.txt", _TABLE, STATEMENTS_FILE.name, *(f"records{rate_hz}" for rate_hz in RATES_HZ))
"""Files and folders of a demo."""

README = """\
SYNTHETIC DATA - NOT RECORDINGS OF PEOPLE
=========================================

Every ECG in this folder was computed from a model of a moving dipole. None was recorded from a person, and no
result obtained on them says anything about patients. They exist so that software made for PTB-XL can be tried
and tested without downloading PTB-XL. Rows of ptbxl_database.csv carry the device "SYNTH"; headers carry a
comment.

Layout and column names follow PTB-XL 1.0.3. scp_statements.csv is PTB-XL's own, unchanged:
Wagner, P., Strodthoff, N., Bousseljot, R., Samek, W., & Schaeffter, T. (2022). PTB-XL, a large publicly
available electrocardiography dataset (version 1.0.3). PhysioNet. https://doi.org/10.13026/kfzx-aw45
Licence: Creative Commons Attribution 4.0 International (CC BY 4.0).

{n_records} records, seed {seed}, {rates} Hz.
"""


def write_demo(
    folder: Path,
    *,
    n_records: int = 1200,
    seed: int = 0,
    rates_hz: Sequence[int] = (100,),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write synthetic twelve-lead ECGs in the exact layout of PTB-XL.

    The same arguments give the same bytes on every machine. ptbxl_database.csv is written last, so that an
    interrupted folder is not taken for a data set.

    Args:
        folder: Created if need be; files of an earlier demo are overwritten.
        n_records: From about 50 on, every subclass occurs; from 1,000 on, at least 20 times.
        seed: Not negative.
        rates_hz: Some of 100 and 500; record k at both rates shows the same heart.
        progress: Called with (records written, records in all).

    Raises:
        UsageError: A number or rate that cannot be used.
        DataError: The folder cannot be written, or holds another data set.
    """
    _check(n_records, seed, rates_hz)
    _refuse_other_data(folder)
    planning = _stream(seed, PLAN)
    records = plan_records(n_records, planning)
    group_patients(records, planning)
    assign_folds(records)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rates = " and ".join(str(rate) for rate in rates_hz)
        _write_text(folder / "README.txt", README.format(n_records=n_records, seed=seed, rates=rates))
        (folder / STATEMENTS_FILE.name).write_bytes(STATEMENTS_FILE.read_bytes())
        for ecg_id, record in enumerate(records, start=1):
            for rate_hz in rates_hz:
                _write_record(
                    folder / record_name(ecg_id, rate_hz), _signals(ecg_id, record, seed, rate_hz), rate_hz
                )
            if progress is not None:
                progress(ecg_id, n_records)
        _write_text(folder / _TABLE, database_csv(records, _stream(seed, TABLE)))
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"cannot write the demo to {folder}: {reason}; give a folder that can be written"
        ) from error


def _check(n_records: int, seed: int, rates_hz: Sequence[int]) -> None:
    if not 1 <= n_records <= MOST_RECORDS:
        raise UsageError(f"demo of {n_records} records: ask for 1 to {MOST_RECORDS}")
    if seed < 0:
        raise UsageError(f"demo seed {seed}: ask for 0 or more")
    if not rates_hz or not set(rates_hz) <= set(RATES_HZ):
        raise UsageError(f"demo at {', '.join(map(str, rates_hz)) or 'no'} Hz: ask for 100, 500 or both")


def _refuse_other_data(folder: Path) -> None:
    """Make sure that the demo takes nobody's place: its tables have the names of PTB-XL's.

    An earlier demo is recognised by its README, which is written first, so that one that was interrupted is
    recognised as well.
    """
    try:
        if (folder / "README.txt").read_text(encoding="utf-8", errors="replace").startswith(README[:40]):
            return
    except OSError:
        pass
    there = next((path.name for path in map(folder.joinpath, _WRITTEN) if path.exists()), None)
    if there is not None:
        raise DataError(
            f"{folder} holds {there}, which no demo wrote and this one would replace; give another folder"
        )


def _stream(seed: int, *path: int) -> Generator:
    return Generator(PCG64(SeedSequence([seed, *path])))


def _signals(ecg_id: int, record: PlannedRecord, seed: int, rate_hz: int) -> NDArray[np.int16]:
    signals_mv = synthesise_record(
        record.shown,
        _stream(seed, RECORD, ecg_id),
        rate_hz,
        severity=record.severity,
        person=_stream(seed, PERSON, record.patient),
    )
    return quantise(signals_mv)


def _write_record(path: Path, x_LT: NDArray[np.int16], rate_hz: int) -> None:
    """Header and signals in WFDB format 16, about ten times as fast as wfdb.wrsamp."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{path.name} {len(LEADS)} {rate_hz} {x_LT.shape[1]}"]
    first = [int(value) for value in x_LT[:, 0]]
    checksums = [int(row.sum(dtype=np.int64)) % 65536 for row in x_LT]
    for lead, initial, checksum in zip(LEADS, first, checksums, strict=True):
        lines.append(f"{path.name}.dat 16 1000.0(0)/mV 16 0 {initial} {checksum} 0 {lead}")
    lines.append("# SYNTHETIC: computed, not recorded from a person")
    path.with_name(path.name + ".dat").write_bytes(x_LT.T.astype("<i2").tobytes())
    _write_text(path.with_name(path.name + ".hea"), "\n".join(lines) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.write_bytes(text.encode("ascii"))
