"""Signals gone wrong: headers, sample files, annotations and HDF5 files, thousands of times."""

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fuzzing import cases, damaged, outcome, write
from hypothesis import given
from hypothesis import strategies as st
from mitbih_folder import write_annotations
from numpy.typing import NDArray
from ptbxl_waveforms import header_text, noise, write_record
from sph_folder import millivolts, write_h5

from search.data.readers import mitbih, sph
from search.data.signals.headers import load_wfdb
from search.data.signals.records import RecordError, RecordReader

wfdb = load_wfdb()
STEPS_LT = noise(0)
SAMPLES = STEPS_LT.T.astype("<i2").tobytes()
PLAIN = header_text("a", STEPS_LT).encode()
HEADERS = (
    PLAIN,
    b"# a comment\r\n" + PLAIN.replace(b"\n", b"\r\n"),
    PLAIN.replace(b"1000.0(0)/mV", b"4880.0(7)/mV"),
    PLAIN.replace(b"a 12 100 1000", b"a 12 100/100(0) 1000 12:30:00 01/01/2020"),
    PLAIN.replace(b" 16 1000", b" 16x1:0+0 1000"),
)
"""Ways to write one header."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with record a; every case overwrites it."""
    root = tmp_path_factory.mktemp("records")
    write_record(root, "a", STEPS_LT)
    return root


def check_signals(x_LT: NDArray[np.int16], folder: Path) -> None:
    """Check that signals are those of wfdb for the same files, lead by lead, where wfdb can read them.

    It drops what is not ASCII without a word, so that µV becomes V, and refuses much that is legal.
    """
    assert x_LT.dtype == np.int16
    assert x_LT.shape == (12, 1000)
    if not (folder / "a.hea").read_bytes().isascii():
        return
    try:
        record: Any = wfdb.rdrecord(str(folder / "a"), physical=True)
        scale = np.array(
            [{"nv": 1e-3, "uv": 1.0, "mv": 1e3, "v": 1e6}[unit.casefold()] for unit in record.units]
        )
    except Exception:
        return
    names = [name.strip().upper() for name in record.sig_name]
    if not {lead.upper() for lead in sph.LEADS} <= set(names):
        return  # wfdb leaves a comment or a word such as "lead" with the name
    order = [names.index(lead.upper()) for lead in sph.LEADS]
    np.testing.assert_allclose(x_LT, (record.p_signal * scale).T[order, :1000], rtol=0, atol=0.501)


@pytest.mark.slow
@given(st.sampled_from(HEADERS).flatmap(damaged))
@cases(500)
def test_headers(folder: Path, header: bytes) -> None:
    write(folder / "a.dat", SAMPLES)
    write(folder / "a.hea", header)
    x_LT = outcome(lambda: RecordReader(folder, rate_hz=100).read("a").x_LT)
    if x_LT is not None:
        check_signals(x_LT, folder)


@pytest.mark.slow
@given(st.sampled_from(HEADERS).flatmap(damaged))
@cases(300)
def test_headers_of_records_that_may_be_longer(folder: Path, header: bytes) -> None:
    write(folder / "a.dat", SAMPLES + bytes(4096))
    write(folder / "a.hea", header)
    x_LT = outcome(lambda: RecordReader(folder, rate_hz=100, may_be_longer=True).read("a").x_LT)
    if x_LT is not None:
        check_signals(x_LT, folder)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("(0)/mV", f"({'9' * 400})/mV", "a lead whose zero no converter can reach"),
        ("/mV", f"/{'9' * 4000}", f"unit '{'9' * 40}', expected mV"),
    ],
)
def test_numbers_and_words_of_any_length(tmp_path: Path, old: str, new: str, reason: str) -> None:
    write_record(tmp_path, "a", STEPS_LT)
    header = (tmp_path / "a.hea").read_text()
    (tmp_path / "a.hea").write_text(header.replace(old, new, 1))
    with pytest.raises(RecordError, match=f"^{re.escape(reason)}$"):
        RecordReader(tmp_path, rate_hz=100).read("a")


@pytest.mark.slow
@given(damaged(SAMPLES))
@cases(200)
def test_samples(folder: Path, samples: bytes) -> None:
    write(folder / "a.hea", PLAIN)
    write(folder / "a.dat", samples)
    x_LT = outcome(lambda: RecordReader(folder, rate_hz=100).read("a").x_LT)
    if x_LT is not None:
        np.testing.assert_array_equal(x_LT, np.frombuffer(samples[: len(SAMPLES)], "<i2").reshape(-1, 12).T)


@given(
    st.text(max_size=30) | st.sampled_from(["../a", "/etc/passwd", "a/../../a", "a\0", "C:a", "~/a", "./a"])
)
@cases(200)
def test_record_names(folder: Path, name: str) -> None:
    write(folder / "a.hea", PLAIN)
    write(folder / "a.dat", SAMPLES)
    x_LT = outcome(lambda: RecordReader(folder, rate_hz=100).read(name).x_LT)
    assert x_LT is None or name == "a"


# Annotations


def beats_by_hand(content: bytes) -> list[tuple[int, int]]:
    """Sample and code of every annotation, decoded from the description of MIT format (WFDB, annot(5)).

    A word has six bits of code above ten of interval; SKIP (59) is followed by a long interval, AUX (63) by
    as many bytes as its interval says, NUM, SUB and CHN (60 to 62) belong to the annotation before.
    """
    words = np.frombuffer(content[: len(content) // 2 * 2], "<u2").tolist()
    sample, position = 0, 0
    found: list[tuple[int, int]] = []
    while position < len(words) and words[position]:
        code, interval = words[position] >> 10, words[position] & 1023
        position += 1
        if code == 59:
            high, low = words[position], words[position + 1]
            sample += int(np.int32(np.uint32(high << 16 | low)))
            position += 2
        elif code == 63:
            position += (interval + 1) // 2
        elif code in (60, 61, 62):
            pass
        else:
            sample += interval
            found.append((sample, code))
    return found


@pytest.mark.slow
@given(data=st.data())
@cases(400)
def test_annotations(folder: Path, data: st.DataObject) -> None:
    symbols = data.draw(st.lists(st.sampled_from("NLRaVFJASEj/Q~+ef"), min_size=3, max_size=12))
    gaps = data.draw(st.lists(st.integers(1, 5000), min_size=len(symbols), max_size=len(symbols)))
    write_annotations(folder, 100, list(zip(np.cumsum(gaps).tolist(), symbols, strict=True)))
    content = data.draw(damaged((folder / "100.atr").read_bytes()) | st.binary(max_size=400))
    write(folder / "100.atr", content)
    found = outcome(lambda: mitbih.read_beats(folder / "100"))
    if found is not None:
        samples, codes = found
        symbol_of = {beat.number: beat.code for beat in mitbih.BEATS}
        expected = [(sample, symbol_of[code]) for sample, code in beats_by_hand(content) if code in symbol_of]
        assert list(zip(samples.tolist(), codes, strict=True)) == expected


def test_a_megabyte_of_annotations_takes_seconds(folder: Path) -> None:
    write(folder / "100.atr", (b"\x01\x04" * 499_999) + b"\0\0")
    found = outcome(lambda: mitbih.read_beats(folder / "100"))
    assert found is not None
    assert len(found[0]) == 499_999


# HDF5


@pytest.fixture(scope="module")
def hdf5(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    root = tmp_path_factory.mktemp("sph")
    return root, write_h5(root, "A00001", millivolts(1)).read_bytes()


@pytest.mark.slow
@given(data=st.data())
@cases(200)
def test_hdf5_files(hdf5: tuple[Path, bytes], data: st.DataObject) -> None:
    root, content = hdf5
    # The structure is in the first kilobytes; what follows are samples.
    head = data.draw(damaged(content[:2500]))
    write(root / "records/A00001.h5", head + content[2500:])
    x_LT = outcome(lambda: sph.read_record(root, "records/A00001").x_LT)
    assert x_LT is None or (x_LT.shape, x_LT.dtype) == ((12, 5000), np.dtype(np.int16))


def test_an_hdf5_file_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    with h5py.File(tmp_path / "records/A00001.h5", "w") as file:
        block = (12, 100_000_000)
        file.create_dataset("ecg", shape=block, chunks=block, dtype="f2", compression="gzip")
    with pytest.raises(RecordError, match="packed in blocks of 1,200,000,000 numbers"):
        sph.read_record(tmp_path, "records/A00001")


# What is promised but not there


@pytest.mark.parametrize("fmt", ["16", "212", "24", "8", "80", "310", "508", "516", "524"])
@pytest.mark.parametrize("may_be_longer", [False, True])
def test_a_header_that_promises_a_billion_samples(tmp_path: Path, fmt: str, may_be_longer: bool) -> None:
    write_record(tmp_path, "a", STEPS_LT, n_samples=1_000_000_000)
    header = (tmp_path / "a.hea").read_text().replace(".dat 16 ", f".dat {fmt} ")
    (tmp_path / "a.hea").write_text(header)
    reader = RecordReader(tmp_path, rate_hz=100, may_be_longer=may_be_longer)
    assert outcome(lambda: reader.read("a").x_LT) is None


@pytest.mark.parametrize("fmt", ["16", "212", "508"])
def test_a_sparse_file_of_a_billion_samples(tmp_path: Path, fmt: str) -> None:
    write_record(tmp_path, "a", STEPS_LT, n_samples=1_000_000_000)
    header = (tmp_path / "a.hea").read_text().replace(".dat 16 ", f".dat {fmt} ")
    (tmp_path / "a.hea").write_text(header)
    with (tmp_path / "a.dat").open("r+b") as file:
        file.truncate(24_000_000_000)
    reader = RecordReader(tmp_path, rate_hz=100, may_be_longer=True)
    x_LT = outcome(lambda: reader.read("a").x_LT)  # without what is not used
    assert x_LT is None or x_LT.shape == (12, 1000)
    if fmt == "16":
        np.testing.assert_array_equal(x_LT, STEPS_LT)
