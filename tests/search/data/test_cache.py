"""The signal cache: read once, never half written, never mixed up."""

import errno
import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from cinc_folder import matrix_head
from ptbxl_waveforms import noise, write_data_set, write_record

from search.data import cache
from search.data.cache import files_key, load_signals
from search.data.readers.ptbxl import RecordTable, read_table, waveforms
from search.data.signals import sweep
from search.data.signals.sweep import find_damage
from search.data.signals.waveforms import Chunk, RecordFiles
from search.errors import DamagedRecordsError, DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_data_set(tmp_path / "data")


@pytest.fixture
def table(root: Path) -> RecordTable:
    return read_table(root)


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "cache"


def entries(cache_dir: Path) -> list[str]:
    """Names of all that is in the cache but the lists of files."""
    return sorted(path.name for path in cache_dir.iterdir() if not path.name.startswith("files-"))


def no_reading(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a record was read")


def test_first_start_reads_and_second_does_not(
    table: RecordTable, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    first = load_signals(
        waveforms(table, 100), cache_dir=cache_dir, progress=lambda *done: calls.append(done)
    )
    assert calls[-1] == (20, 20)
    np.testing.assert_array_equal(first.x_NLT, np.stack([noise(ecg_id) for ecg_id in range(1, 21)]))
    assert isinstance(first.x_NLT, np.memmap)
    assert not first.x_NLT.flags.writeable
    monkeypatch.setattr(cache, "sweep", no_reading)
    second = load_signals(waveforms(table, 100), cache_dir=cache_dir, progress=no_reading)
    np.testing.assert_array_equal(second.x_NLT, first.x_NLT)
    assert second.sha256 == first.sha256
    assert second.kept.all()


def test_order_and_progress_over_many_chunks(
    table: RecordTable, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.data.signals.waveforms.N_PER_PART", 3)
    # Private: few parts in flight, so that small data takes many turns.
    monkeypatch.setattr(sweep, "_N_WAITING", 2)
    calls: list[int] = []
    signals = load_signals(
        waveforms(table, 100), cache_dir=cache_dir, progress=lambda done, _: calls.append(done)
    )
    assert calls == [3, 6, 9, 12, 15, 18, 20]
    np.testing.assert_array_equal(signals.x_NLT, np.stack([noise(ecg_id) for ecg_id in range(1, 21)]))


@pytest.mark.parametrize("disk_s", [0.0, 0.05])
def test_only_a_disk_that_is_waited_for_is_asked_by_many_threads(
    table: RecordTable, monkeypatch: pytest.MonkeyPatch, disk_s: float
) -> None:
    monkeypatch.setattr("search.data.signals.waveforms.N_PER_PART", 2)
    if not disk_s:
        # Private: where a file counts as in memory.
        monkeypatch.setattr(sweep, "_IN_MEMORY", 0.0)  # a busy machine is like a slow disk
    records = waveforms(table, 100)
    read, most, present = type(records).read, 0, 0
    counting = threading.Lock()

    def slow_read(self: RecordFiles, part: slice) -> Chunk:
        nonlocal most, present
        with counting:
            present += 1
            most = max(most, present)
        time.sleep(disk_s)
        chunk = read(self, part)
        with counting:
            present -= 1
        return chunk

    monkeypatch.setattr(type(records), "read", slow_read)
    found = np.concatenate([chunk.x_NLT for chunk in sweep.sweep(records)])
    np.testing.assert_array_equal(found, np.stack([noise(ecg_id) for ecg_id in range(1, 21)]))
    assert (most > 1) == (disk_s > 0)


def test_key_is_blind_to_the_place_and_sees_the_files(root: Path, tmp_path: Path) -> None:
    cache_dir = tmp_path / "cache"
    key = files_key(waveforms(read_table(root), 100), cache_dir)
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(root, copy)  # with modification times
    assert files_key(waveforms(read_table(copy), 100), cache_dir) == key
    os.utime(copy / "records100/00000/00003_lr.dat", (1, 1))
    assert files_key(waveforms(read_table(copy), 100), cache_dir) != key


def test_a_repaired_file_is_read_again(root: Path, table: RecordTable, cache_dir: Path) -> None:
    load_signals(waveforms(table, 100), cache_dir=cache_dir)
    write_record(root, "records100/00000/00003_lr", noise(99))
    again = load_signals(waveforms(table, 100), cache_dir=cache_dir)
    np.testing.assert_array_equal(again.x_NLT[2], noise(99))


def test_a_selection_has_an_entry_of_its_own(table: RecordTable, cache_dir: Path) -> None:
    load_signals(waveforms(table, 100), cache_dir=cache_dir)
    few = load_signals(waveforms(table, 100).select(np.array([4, 7])), cache_dir=cache_dir)
    np.testing.assert_array_equal(few.x_NLT, np.stack([noise(5), noise(8)]))
    assert len(entries(cache_dir)) == 2


def damage_some(root: Path) -> None:
    (root / "records100/00000/00002_lr.dat").write_bytes(b"short")
    (root / "records100/00000/00005_lr.hea").unlink()
    write_record(root, "records100/00000/00007_lr", np.zeros((12, 1000), dtype=np.int16))


def test_damage_is_an_error_that_lists_ids_and_reasons(
    root: Path, table: RecordTable, cache_dir: Path
) -> None:
    damage_some(root)
    with pytest.raises(DamagedRecordsError) as caught:
        load_signals(waveforms(table, 100), cache_dir=cache_dir)
    assert str(caught.value) == (
        "3 of 20 records cannot be used: "
        "2 (records100/00000/00002_lr): 00002_lr.dat is truncated: 5 of 24,000 bytes; "
        "5 (records100/00000/00005_lr): 00005_lr.hea is missing; "
        "7 (records100/00000/00007_lr): flat: every lead is constant; "
        "repair them or give --skip-damaged to go on without them"
    )


def test_skipping_damage_keeps_the_others_in_order(root: Path, table: RecordTable, cache_dir: Path) -> None:
    damage_some(root)
    for _ in range(2):  # first and second start
        signals = load_signals(waveforms(table, 100), cache_dir=cache_dir, skip_damaged=True)
        assert table.ecg_id[~signals.kept].tolist() == [2, 5, 7]
        assert [damage.ecg_id for damage in signals.survey.damages] == [2, 5, 7]
        kept = [noise(ecg_id) for ecg_id in table.ecg_id[signals.kept]]
        np.testing.assert_array_equal(signals.x_NLT, np.stack(kept))


def test_long_lists_of_damage_are_cut(root: Path, table: RecordTable, cache_dir: Path) -> None:
    for ecg_id in range(1, 15):
        (root / f"records100/00000/{ecg_id:05d}_lr.dat").unlink()
    with pytest.raises(
        DamagedRecordsError, match=r"^14 of 20 .*5 \(.*\): 00005_lr.dat is missing; and 9 more;"
    ):
        load_signals(waveforms(table, 100), cache_dir=cache_dir)


def test_nothing_readable(root: Path, table: RecordTable, cache_dir: Path) -> None:
    for path in (root / "records100/00000").glob("*.dat"):
        path.unlink()
    with pytest.raises(DamagedRecordsError, match=r"^none of 20 records can be read: 1 "):
        load_signals(waveforms(table, 100), cache_dir=cache_dir, skip_damaged=True)
    assert entries(cache_dir) == []


def test_no_files_at_all_at_a_rate(table: RecordTable, cache_dir: Path) -> None:
    with pytest.raises(DataError, match=r"no waveform files at all for --rate 500 .* another --rate$"):
        load_signals(waveforms(table, 500), cache_dir=cache_dir)


def test_flat_leads_are_noted(root: Path, table: RecordTable, cache_dir: Path) -> None:
    steps_LT = noise(4)
    steps_LT[5] = 0
    write_record(root, "records100/00000/00004_lr", steps_LT)
    for _ in range(2):
        signals = load_signals(waveforms(table, 100), cache_dir=cache_dir)
        assert signals.survey.flat_leads == {4: ("aVF",)}
        assert signals.kept.all()


@pytest.mark.parametrize("gain", ["0/mV", "0(0)", "1000.0(0)/mV"])
def test_leads_without_a_gain_are_noted(root: Path, table: RecordTable, cache_dir: Path, gain: str) -> None:
    header = root / "records100/00000/00004_lr.hea"
    lines = header.read_text().splitlines()
    for number in (2, 6):
        lines[number] = lines[number].replace("1000.0(0)/mV", gain)
    header.write_text("\n".join(lines))
    stated = gain.startswith("1000")
    for rows in (np.arange(20), np.arange(20), np.arange(3, 7)):  # read, from the cache, others
        signals = load_signals(waveforms(table, 100).select(rows), cache_dir=cache_dir)
        assert signals.survey.without_gain == ({} if stated else {4: ("II", "aVF")})
    assert find_damage(waveforms(table, 100)).without_gain == signals.survey.without_gain
    notes = list(signals.survey.notes(waveforms(table, 100), table.patient_id))
    assert [note for note in notes if "no gain" in note] == [
        "records whose header states no gain, or 0, read with WFDB's default of 200 steps per unit: 1 "
        "(records100/00000/00004_lr: II, aVF)"
    ] * (not stated)


def test_an_entry_of_a_format_before_is_read_anew(
    table: RecordTable, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(cache, "FORMAT", cache.FORMAT - 1)
        load_signals(waveforms(table, 100), cache_dir=cache_dir)
    (old,) = cache_dir.glob("signals-*/about.json")
    about = json.loads(old.read_text())
    del about["survey"]["without_gain"]
    old.write_text(json.dumps(about))
    assert load_signals(waveforms(table, 100), cache_dir=cache_dir).survey.without_gain == {}
    assert len(entries(cache_dir)) == 2


def test_survey_reads_without_a_cache(root: Path, table: RecordTable) -> None:
    assert find_damage(waveforms(table, 100)).damages == ()
    damage_some(root)
    assert [damage.ecg_id for damage in find_damage(waveforms(table, 100)).damages] == [2, 5, 7]
    assert find_damage(waveforms(table, 100)).flat_leads == {}


@pytest.mark.parametrize("breakage", ["cut", "no array", "no about", "nonsense", "list", "format", "shape"])
def test_a_broken_entry_is_made_anew(table: RecordTable, cache_dir: Path, breakage: str) -> None:
    first = np.array(load_signals(waveforms(table, 100), cache_dir=cache_dir).x_NLT)
    (entry,) = cache_dir.glob("signals-*")
    about = entry / "about.json"
    content = json.loads(about.read_text())
    if breakage == "cut":
        os.truncate(entry / "signals.npy", 5000)
    elif breakage == "no array":
        (entry / "signals.npy").unlink()
    elif breakage == "no about":
        about.unlink()
    else:
        new: Any = {
            "nonsense": "?",
            "list": [],
            "format": content | {"format": 0},
            "shape": content | {"shape": [1, 2, 3]},
        }[breakage]
        about.write_text(json.dumps(new))
    np.testing.assert_array_equal(load_signals(waveforms(table, 100), cache_dir=cache_dir).x_NLT, first)
    assert entries(cache_dir) == [entry.name]


def test_two_builders_at_once(table: RecordTable, cache_dir: Path) -> None:
    with ThreadPoolExecutor(4) as executor:
        done = list(
            executor.map(lambda _: load_signals(waveforms(table, 100), cache_dir=cache_dir), range(4))
        )
    assert len({signals.sha256 for signals in done}) == 1
    for signals in done:
        np.testing.assert_array_equal(signals.x_NLT[19], noise(20))
    assert len(entries(cache_dir)) == 1


def test_leftovers_of_killed_processes_go_after_a_day(table: RecordTable, cache_dir: Path) -> None:
    old, young = (cache_dir / f".unfinished-{name}" for name in ("old", "young"))
    old.mkdir(parents=True)
    young.mkdir()
    (old / "signals.npy").write_bytes(b"x")
    os.utime(old, (1, 1))
    load_signals(waveforms(table, 100), cache_dir=cache_dir)
    assert not old.exists()
    assert young.exists()


def test_disk_full_is_one_line_and_leaves_nothing(
    table: RecordTable, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache.os, "fsync", full)
    with pytest.raises(
        DataError, match=r"^cannot write the cache in .*: No space left on device; it needs 0 MB"
    ):
        load_signals(waveforms(table, 100), cache_dir=cache_dir)
    assert entries(cache_dir) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_device(table: RecordTable, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Private: the only file to be written to the full device.
    real = cache._write_signals
    monkeypatch.setattr(cache, "_write_signals", lambda path, *rest: real(Path("/dev/full"), *rest))
    with pytest.raises(DataError, match="No space left on device"):
        load_signals(waveforms(table, 100), cache_dir=cache_dir)
    assert entries(cache_dir) == []


def test_a_file_in_place_of_the_cache_folder(table: RecordTable, cache_dir: Path) -> None:
    cache_dir.parent.mkdir()
    cache_dir.write_text("in the way")
    with pytest.raises(DataError, match=r"^cannot write the cache in "):
        load_signals(waveforms(table, 100), cache_dir=cache_dir)


def test_read_only_folder(table: RecordTable, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        load_signals(waveforms(table, 100), cache_dir=cache_dir)


def test_a_warm_cache_needs_no_writing(
    table: RecordTable, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_signals(waveforms(table, 100), cache_dir=cache_dir)
    monkeypatch.setattr(Path, "mkdir", no_reading)
    assert load_signals(waveforms(table, 100), cache_dir=cache_dir).kept.all()


def test_an_interrupted_read_leaves_nothing(table: RecordTable, cache_dir: Path) -> None:
    def interrupt(*_: int) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_signals(waveforms(table, 100), cache_dir=cache_dir, progress=interrupt)
    assert entries(cache_dir) == []


def test_a_signal_file_of_any_name_is_read_again_when_it_changes(root: Path, cache_dir: Path) -> None:
    """As of PhysioNet's challenges: format 16+24 in .mat files."""
    folder = root / "records100/00000"
    for header in folder.glob("*.hea"):
        header.write_text(header.read_text().replace(".dat 16 ", ".mat 16+24 "))
        dat = header.with_suffix(".dat")
        header.with_suffix(".mat").write_bytes(matrix_head(12, 1000) + dat.read_bytes())
        dat.unlink()
    signals = waveforms(read_table(root), 100)
    assert signals.files(signals.names[2]) == (f"{signals.names[2]}.hea", f"{signals.names[2]}.mat")
    whole = load_signals(signals, cache_dir=cache_dir)
    file = root / f"{signals.names[2]}.mat"
    content = file.read_bytes()
    file.write_bytes(content[:5000])
    with pytest.raises(DamagedRecordsError, match="is truncated: 5,000 of 24,024 bytes"):
        load_signals(signals, cache_dir=cache_dir)
    file.write_bytes(content)
    assert load_signals(signals, cache_dir=cache_dir).sha256 == whole.sha256


def no_file_lists(*_: object) -> NoReturn:
    raise AssertionError("a header was read")


def test_a_warm_start_opens_no_header(
    table: RecordTable, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_signals(waveforms(table, 100), cache_dir=cache_dir)
    # Private: every reading of a header.
    monkeypatch.setattr("search.data.signals.headers._header_text", no_file_lists)
    assert load_signals(waveforms(table, 100), cache_dir=cache_dir).sha256 == first.sha256


@pytest.mark.parametrize("breakage", ["gone", "cut", "nonsense", "list", "format", "lists of lists"])
def test_broken_lists_of_files_are_made_anew(table: RecordTable, cache_dir: Path, breakage: str) -> None:
    key = files_key(waveforms(table, 100), cache_dir)
    (path,) = cache_dir.iterdir()
    whole = path.read_text()
    if breakage == "gone":
        path.unlink()
    else:
        path.write_text(
            {
                "cut": whole[:500],
                "nonsense": "?",
                "list": "[]",
                "format": whole.replace('"format":', '"format":9'),
                "lists of lists": json.dumps({"format": 1, "lists": {"a": [1]}}),
            }[breakage]
        )
    assert files_key(waveforms(table, 100), cache_dir) == key
    assert path.read_text() == whole


def test_a_header_that_names_another_file_is_noticed(root: Path, table: RecordTable, cache_dir: Path) -> None:
    signals = waveforms(table, 100)
    key = files_key(signals, cache_dir)
    folder = root / "records100/00000"
    header = folder / "00003_lr.hea"
    header.write_text(header.read_text().replace("00003_lr.dat", "other.dat"))
    (folder / "00003_lr.dat").rename(folder / "other.dat")
    renamed = files_key(signals, cache_dir)
    os.utime(folder / "other.dat", (1, 1))
    assert len({key, renamed, files_key(signals, cache_dir)}) == 3


def test_a_header_that_was_missing_is_noticed(root: Path, table: RecordTable, cache_dir: Path) -> None:
    signals = waveforms(table, 100)
    header = root / "records100/00000/00003_lr.hea"
    content, times = header.read_bytes(), header.stat()
    whole = files_key(signals, cache_dir)
    header.unlink()
    assert files_key(signals, cache_dir) != whole
    header.write_bytes(content)
    os.utime(header, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert files_key(signals, cache_dir) == whole


def test_a_segment_that_changes_is_noticed(root: Path, table: RecordTable, cache_dir: Path) -> None:
    """A record of segments: its own header stays, the header of a segment names another file."""
    folder = root / "records100/00000"
    (folder / "00003_lr.hea").rename(folder / "part.hea")
    (folder / "00003_lr.hea").write_text("00003_lr/1 12 100 1000\npart 1000\n")
    signals = waveforms(table, 100)
    whole = files_key(signals, cache_dir)
    segment = folder / "part.hea"
    segment.write_text(segment.read_text().replace("00003_lr.dat", "other.dat"))
    (folder / "00003_lr.dat").rename(folder / "other.dat")
    changed = files_key(signals, cache_dir)
    os.utime(folder / "other.dat", (1, 1))
    assert len({whole, changed, files_key(signals, cache_dir)}) == 3


def test_a_cache_without_write_permission_still_works(
    table: RecordTable, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_signals(waveforms(table, 100), cache_dir=cache_dir)
    for path in cache_dir.glob("files-*"):
        path.unlink()

    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert load_signals(waveforms(table, 100), cache_dir=cache_dir).sha256 == first.sha256
