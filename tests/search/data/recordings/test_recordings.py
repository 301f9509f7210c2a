"""Recordings of every kind against what was written, part by part, and the leads of a model among theirs."""

import csv
import warnings
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from real_records import ASSETS

from search.data.recordings.csv_file import CsvOptions, read_csv_recording
from search.data.recordings.dicom_file import read_dicom_recording
from search.data.recordings.edf_file import EdfRecording
from search.data.recordings.files import find_recordings, open_recording
from search.data.recordings.person import read_person
from search.data.recordings.recording import choose_leads
from search.data.signals.headers import load_wfdb
from search.data.signals.leads import LEADS, columns_of, usual_lead
from search.data.signals.people import Person
from search.data.signals.records import OpenRecord, RecordReader
from search.errors import RecordError, UsageError

PTBXL_500 = "records500/00000/00001_hr"
ALL = np.arange(12)
wfdb = load_wfdb()
# wfdb 4.3 under pandas 3.1 warns of its own affairs when it writes.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


def noise(n_leads: int, n_samples: int, seed: int = 0) -> np.ndarray:
    """Whole microvolts below 2 mV."""
    return np.random.default_rng(seed).integers(-2000, 2000, (n_leads, n_samples)).astype(np.int16)


# WFDB


def write_wfdb(folder: Path, name: str, x_LT: np.ndarray, fmt: str = "16", rate_hz: float = 500) -> Path:
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=["uV"] * len(x_LT),
        sig_name=list(LEADS[: len(x_LT)]),
        d_signal=x_LT.T.astype(np.int64),
        fmt=[fmt] * len(x_LT),
        adc_gain=[1.0] * len(x_LT),
        baseline=[0] * len(x_LT),
        write_dir=str(folder),
    )
    return folder / name


@pytest.mark.parametrize("fmt", ["16", "24", "32", "212", "80", "516"])
def test_any_part_of_a_record_is_that_part_of_the_whole(tmp_path: Path, fmt: str) -> None:
    x_LT = noise(3, 101) // 20 if fmt == "80" else noise(3, 101)
    record = OpenRecord(str(write_wfdb(tmp_path, "a", x_LT, fmt)))
    assert (record.rate_hz, record.leads, record.n_samples) == (500, LEADS[:3], 101)
    for start, n in ((0, 101), (0, 1), (1, 4), (2, 99), (50, 51), (100, 1)):
        read_LT, missing_T = record.read(np.array([2, 0]), start, n)
        np.testing.assert_array_equal(read_LT, x_LT[[2, 0], start : start + n])
        assert not missing_T.any()


@pytest.mark.parametrize("fmt", ["8", "61", "160", "310", "311", "212x2", "16x3", "212:5", "16+7"])
def test_formats_that_wfdb_does_not_write_have_parts_as_well(tmp_path: Path, fmt: str) -> None:
    # Of these bytes none means "no sample here" in any format.
    data = np.random.default_rng(7).integers(1, 100, 4000, dtype=np.uint8)
    (tmp_path / "a.dat").write_bytes(data.tobytes())
    lines = [f"a.dat {fmt} 2000/mV 16 0 {first} 0 0 {lead}" for lead, first in (("I", 3), ("II", -4))]
    (tmp_path / "a.hea").write_text("\n".join(["a 2 500 301", *lines, ""]), encoding="utf-8")
    record = OpenRecord(str(tmp_path / "a"))
    whole_LT = (
        RecordReader(tmp_path, rate_hz=int(record.rate_hz), n_samples=record.n_samples, leads=("I", "II"))
        .read("a")
        .x_LT
    )
    for start, n in ((0, record.n_samples), (1, 4), (2, 99), (50, 51), (record.n_samples - 1, 1)):
        read_LT, _ = record.read(np.array([0, 1]), start, n)
        np.testing.assert_array_equal(read_LT, whole_LT[:, start : start + n])


@pytest.mark.parametrize("gain", ["", " 0", " 0/mV"])
def test_signals_without_a_gain_are_named(tmp_path: Path, gain: str) -> None:
    (tmp_path / "a.dat").write_bytes(bytes(400))
    (tmp_path / "a.hea").write_text(f"a 2 500 100\na.dat 16{gain}\na.dat 16 1000/mV 16 0 0 0 0 II\n")
    record = OpenRecord(str(tmp_path / "a"))
    assert record.without_gain(np.array([0, 1])) == (record.leads[0],)
    assert record.without_gain(np.array([1])) == ()


def test_parts_of_real_records_are_those_of_the_other_reader(ptbxl: Path) -> None:
    whole_LT = RecordReader(ptbxl, rate_hz=500).read(PTBXL_500).x_LT
    record = OpenRecord(f"{ptbxl}/{PTBXL_500}")
    assert (record.rate_hz, record.n_samples, len(record.leads)) == (500, 5000, 12)
    np.testing.assert_array_equal(record.read(ALL, 1234, 777)[0], whole_LT[:, 1234:2011])
    beats = OpenRecord(str(ASSETS / "mit-bih/114"))  # format 212, a file of two leads
    assert (beats.rate_hz, beats.n_samples) == (360, 64_800)
    expected = wfdb.rdrecord(str(ASSETS / "mit-bih/114"), sampfrom=1001, sampto=1100).p_signal.T * 1000
    # Half a microvolt of rounding.
    np.testing.assert_allclose(beats.read(np.array([0, 1]), 1001, 99)[0], expected, atol=0.5)


def test_a_signal_that_is_no_voltage_does_no_harm_unless_it_is_read(tmp_path: Path) -> None:
    x_LT = noise(2, 50)
    wfdb.wrsamp(
        "a",
        fs=250,
        units=["mV", "mmHg"],
        sig_name=["II", "ART"],
        p_signal=x_LT.T / 1000,
        fmt=["16", "16"],
        adc_gain=[1000.0, 1.0],
        baseline=[0, 0],
        write_dir=str(tmp_path),
    )
    record = OpenRecord(str(tmp_path / "a"))
    np.testing.assert_array_equal(record.read(np.array([0]), 10, 20)[0], x_LT[:1, 10:30])
    with pytest.raises(RecordError, match="unit 'mmHg', expected mV"):
        record.read(np.array([1]), 10, 20)


def test_missing_samples_are_told_and_zero(tmp_path: Path) -> None:
    x_LT = noise(2, 40)
    x_LT[1, 5:8] = -32_768
    record = OpenRecord(str(write_wfdb(tmp_path, "a", x_LT)))
    read_LT, missing_T = record.read(np.array([0, 1]), 4, 10)
    assert np.flatnonzero(missing_T).tolist() == [1, 2, 3]
    assert read_LT[1, 1:4].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(read_LT[0], x_LT[0, 4:14])
    assert not record.read(np.array([0]), 4, 10)[1].any()  # only the other lead lacks them


def test_segments_are_joined_and_gaps_are_missing(tmp_path: Path) -> None:
    first, second = noise(2, 30, 1), noise(2, 20, 2)
    write_wfdb(tmp_path, "s1", first)
    write_wfdb(tmp_path, "s2", second)
    (tmp_path / "all.hea").write_text("all/3 2 500 60\ns1 30\n~ 10\ns2 20\n", encoding="utf-8")
    record = OpenRecord(str(tmp_path / "all"))
    assert (record.n_samples, record.leads) == (60, LEADS[:2])
    read_LT, missing_T = record.read(np.array([1, 0]), 25, 20)
    np.testing.assert_array_equal(read_LT[:, :5], first[::-1, 25:])
    np.testing.assert_array_equal(read_LT[:, 15:], second[::-1, :5])
    assert np.flatnonzero(missing_T).tolist() == list(range(5, 15))
    found = find_recordings([tmp_path], with_csv=False)
    assert found.names == ("all",)  # its segments are no recordings of their own


def test_a_changed_sample_breaks_the_checksum(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, "a", noise(2, 40))
    data = bytearray((tmp_path / "a.dat").read_bytes())
    data[0] ^= 1
    (tmp_path / "a.dat").write_bytes(data)
    record = OpenRecord(str(path))
    with pytest.raises(RecordError, match="signal 1 do not match the header's checksum"):
        record.read(np.array([0, 1]), 0, 40)


def test_a_record_without_a_rate_is_refused(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "a", noise(1, 40))
    header = (tmp_path / "a.hea").read_text(encoding="utf-8").replace("a 1 500 40", "a 1")
    (tmp_path / "a.hea").write_text(header, encoding="utf-8")
    with pytest.raises(RecordError, match="states no sampling rate"):
        OpenRecord(str(tmp_path / "a"))


def test_a_record_of_the_challenge_is_read_from_its_mat_file(tmp_path: Path) -> None:
    """As PhysioNet/CinC 2020 and 2021 hand them out: MATLAB v4 with 24 bytes before the samples."""
    x_LT = noise(12, 5000)
    header = np.array([30, 12, 5000, 0, 4], "<i4").tobytes() + b"val\0"
    (tmp_path / "JS00001.mat").write_bytes(header + x_LT.T.astype("<i2").tobytes())
    lines = [f"JS00001.mat 16+24 1000/mV 16 0 {x[0]} 0 0 {lead}" for x, lead in zip(x_LT, LEADS, strict=True)]
    text = "\n".join(["JS00001 12 500 5000", *lines, "#Age: 85", "#Sex: Male", "#Dx: 164889003,59118001"])
    (tmp_path / "JS00001.hea").write_text(f"{text}\n", encoding="utf-8")
    for given in ("JS00001", "JS00001.mat", "JS00001.hea"):
        found = find_recordings([tmp_path / given], with_csv=False)
        record = open_recording(found.paths[0], LEADS, CsvOptions())
        np.testing.assert_array_equal(record.read(ALL, 0, 5000)[0], x_LT)


# Leads


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("AVR", "aVR"),
        ("ECG avl", "aVL"),
        ("Lead I (Einthoven)", "I"),
        ("MDC_ECG_LEAD_V3", "V3"),
        ("DII", "II"),
        ("d1", "I"),
        ("C4", "V4"),
        ("V 6", "V6"),
        ("MLII", None),
        ("VR", None),
        ("-aVR", None),
        ("V7", None),
        ("", None),
    ],
)
def test_usual_names_of_leads(name: str, lead: str | None) -> None:
    assert usual_lead(name) == lead


def test_leads_in_any_order_and_case_come_in_that_of_the_model() -> None:
    names = [lead.upper() for lead in reversed(LEADS)] + ["RESP"]
    chosen = choose_leads(names, LEADS)
    x_ST = noise(13, 5)[chosen.columns]
    np.testing.assert_array_equal(chosen(x_ST), noise(13, 5)[11::-1])
    assert chosen.derived == ()
    assert chosen.unused == ("RESP",)


@pytest.mark.parametrize("kept", [("I", "II"), ("II", "III"), ("aVR", "aVL"), ("I", "aVF"), ("III", "aVR")])
def test_limb_leads_follow_from_any_two_of_them(kept: tuple[str, str]) -> None:
    # Even numbers, so that halves are whole microvolts.
    i, ii = 2 * noise(2, 20).astype(int)
    limb = {"I": i, "II": ii, "III": ii - i, "aVR": -(i + ii) // 2, "aVL": i - ii // 2, "aVF": ii - i // 2}
    names = [*kept, *LEADS[6:]]
    signals = np.array([*(limb[lead] for lead in kept), *noise(6, 20, 1)]).astype(np.int16)
    chosen = choose_leads(names, LEADS)
    found = dict(zip(LEADS, chosen(signals[chosen.columns]), strict=True))
    for lead, expected in limb.items():
        np.testing.assert_array_equal(found[lead], expected, err_msg=lead)
    assert len(chosen.derived) == 4


def test_derived_leads_are_told_as_equations() -> None:
    chosen = choose_leads(["I", "II", *LEADS[6:]], LEADS)
    assert chosen.derived == (
        "III = −I + II",
        "aVR = −0.5 I − 0.5 II",
        "aVL = I − 0.5 II",
        "aVF = −0.5 I + II",
    )


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["MLII", "V1"], "lacks leads I, II, III, aVR, aVL, aVF, V2, V3, V4, V5, V6; it has MLII, V1"),
        ([lead for lead in LEADS if lead != "V4"], "lacks lead V4; it has I, II"),
        (["I", *LEADS[6:]], "lacks leads II, III, aVR, aVL, aVF"),
        ([*LEADS, "ecg v1"], "two signals for lead V1: 'V1' and 'ecg v1'"),
        ([], "it has none"),
    ],
)
def test_leads_that_are_missing_or_there_twice_are_named(names: list[str], reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        choose_leads(names, LEADS)
    assert reason in str(caught.value)


def test_leads_of_another_model_are_found_by_their_own_names() -> None:
    assert choose_leads(["V1", "mlii"], ("MLII",)).columns.tolist() == [1]


# CSV


def write_csv(path: Path, names: list[str], rows: object, separator: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(names)
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_file_has_its_rate_from_its_time_and_its_unit_as_given(tmp_path: Path, separator: str) -> None:
    x_LT = noise(2, 60)
    rows = [[f"{t / 360:.3f}", *(x / 1000)] for t, x in enumerate(x_LT.T)]
    path = write_csv(tmp_path / "a.csv", ["time", "II", "V1"], rows, separator)
    record = read_csv_recording(path, CsvOptions(unit="mV"))
    assert (record.rate_hz, record.leads, record.n_samples) == (360, ("II", "V1"), 60)
    np.testing.assert_array_equal(record.read(np.array([1, 0]), 5, 30)[0], x_LT[::-1, 5:35])


def test_a_csv_file_without_time_takes_the_rate_given_and_nan_is_missing(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ["I"], [[1], ["nan"], [-3.4]])
    record = read_csv_recording(path, CsvOptions(unit="uV", rate_hz=250))
    x_LT, missing_T = record.read(np.array([0]), 0, 3)
    assert (record.rate_hz, x_LT.tolist(), missing_T.tolist()) == (250, [[1, 0, -3]], [False, True, False])


EVEN = [[0.000, 1], [0.002, 2], [0.004, 3]]


@pytest.mark.parametrize(
    ("names", "rows", "options", "reason"),
    [
        (["I"], [[1]], {}, "give --unit"),
        (["I"], [[1]], {"unit": "mV"}, "add a column time in seconds or give --rate"),
        (["time", "I"], EVEN, {"unit": "mV", "rate_hz": 100}, "column time makes 500 Hz, --rate says 100"),
        (
            ["time", "I"],
            [[0, 1], [0.002, 2], [0.008, 3]],
            {"unit": "mV"},
            "line 3: time is not evenly spaced",
        ),
        (["time", "I"], [[1, 1], [1, 2]], {"unit": "mV"}, "column time does not rise"),
        (["time", "t", "I"], [[0, 0, 1]], {"unit": "mV"}, "two columns of time, 'time' and 't'"),
        (["I", "II"], [[1, 2], [3]], {"unit": "mV", "rate_hz": 9}, "line 3 has 1 cells, its header 2"),
        (["I", "II"], [[1, 2], ["", 3]], {"unit": "mV", "rate_hz": 9}, "line 3: I is blank"),
        (["I"], [["0,5"]], {"unit": "mV", "rate_hz": 9}, "line 2: I is '0,5', expected a number like -0.115"),
        (["I"], [[1], ["inf"]], {"unit": "mV", "rate_hz": 9}, "line 3: I is infinite"),
        (["1", "2"], [[1, 2]], {"unit": "mV", "rate_hz": 9}, "expected a header row of lead names"),
        (["I", ""], [[1, 2]], {"unit": "mV", "rate_hz": 9}, "column 2 of line 1 has no name"),
        (["I"], [], {"unit": "mV", "rate_hz": 9}, "has no row below its header"),
        (["I", "II", "III"], [[1, 2]], {"unit": "mV", "rate_hz": 9}, "line 2 has 2 cells, its header 3"),
    ],
)
def test_a_mistake_in_a_csv_file_is_one_line(
    tmp_path: Path, names: list[str], rows: list[list[object]], options: dict[str, object], reason: str
) -> None:
    path = write_csv(tmp_path / "a.csv", names, rows)
    with pytest.raises(RecordError) as caught:
        read_csv_recording(path, CsvOptions(**options))
    assert reason in str(caught.value)


def test_a_unit_or_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--unit is mV, uV or V, got 'volts per metre'"):
        CsvOptions(unit="volts per metre")
    with pytest.raises(UsageError, match="--rate is a number of Hz above 0, got 0"):
        CsvOptions(rate_hz=0)


def test_a_csv_file_in_volts_that_says_millivolts_is_still_what_it_says(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ["I"], [[40_000], [1]])
    with pytest.raises(RecordError, match=r"voltages beyond ±32.8 mV"):
        read_csv_recording(path, CsvOptions(unit="mV", rate_hz=100)).read(np.array([0]), 0, 2)


# EDF


def write_edf(
    path: Path, x_LT: np.ndarray, names: list[str], unit: str = "uV", rates: list[int] | None = None
) -> Path:
    import pyedflib

    rates = rates or [500] * len(x_LT)
    scale = {"uV": 1.0, "mV": 1000.0, "mmHg": 1.0}[unit]
    with pyedflib.EdfWriter(str(path), len(x_LT), file_type=pyedflib.FILETYPE_EDFPLUS) as file:
        file.setStartdatetime(datetime(2020, 1, 1))
        for column, (name, rate) in enumerate(zip(names, rates, strict=True)):
            file.setSignalHeader(
                column,
                {
                    "label": name,
                    "dimension": unit,
                    "sample_frequency": rate,
                    "physical_min": -32768 / scale,
                    "physical_max": 32767 / scale,
                    "digital_min": -32768,
                    "digital_max": 32767,
                    "transducer": "",
                    "prefilter": "",
                },
            )
        file.writeSamples([x[:rate].astype(float) / scale for x, rate in zip(x_LT, rates, strict=True)])
    return path


@pytest.mark.parametrize("unit", ["uV", "mV"])
def test_an_edf_file_is_read_part_by_part(tmp_path: Path, unit: str) -> None:
    x_LT = noise(2, 500)
    record = EdfRecording(write_edf(tmp_path / "a.edf", x_LT, ["ECG II", "V1"], unit), ("II", "V1"))
    assert (record.rate_hz, record.leads, record.n_samples) == (500, ("ECG II", "V1"), 500)
    # Microvolts are the steps of the file; in mV they come back through decimals of 8 characters.
    np.testing.assert_allclose(record.read(np.array([1, 0]), 100, 50)[0], x_LT[::-1, 100:150], atol=1)


def test_signals_of_an_edf_file_that_are_not_read_may_have_other_rates(tmp_path: Path) -> None:
    x_LT = noise(3, 500)
    record = EdfRecording(
        write_edf(tmp_path / "a.edf", x_LT, ["I", "II", "Resp"], rates=[500, 500, 25]), LEADS[:6]
    )
    assert (record.rate_hz, record.n_samples) == (500, 500)
    path = write_edf(tmp_path / "b.edf", x_LT, ["I", "II", "V1"], rates=[500, 500, 250])
    with pytest.raises(RecordError, match=r"several rates \(250, 500 Hz\)"):
        EdfRecording(path, ("I", "V1"))
    record = EdfRecording(path, ("I", "aVF"))  # which follows from I and II
    assert (record.rate_hz, record.n_samples) == (500, 500)
    record = EdfRecording(path, ("V1",))
    assert (record.rate_hz, record.n_samples) == (250, 250)
    with pytest.raises(RecordError, match="lacks lead V2"):
        EdfRecording(path, ("V2",))


def test_a_truncated_edf_file_is_refused_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_edf(tmp_path / "a.edf", noise(2, 1000), ["I", "II"])
    content = path.read_bytes()
    for cut, problem in ((content[:-700], "is truncated: "), (content + b"\0", "is too long: ")):
        path.write_bytes(cut)
        with pytest.raises(
            RecordError, match=f"{problem}{len(cut):,} bytes, its header says {len(content):,}"
        ):
            EdfRecording(path, LEADS)
    assert capfd.readouterr().out == ""


def test_what_is_no_edf_file_is_refused_in_one_line(tmp_path: Path) -> None:
    for content, reason in (
        (b"no", "cannot be read as EDF"),
        (b"", "is empty"),
        (b"<!DOCTYPE html>\n", "is a web page"),
    ):
        (tmp_path / "a.edf").write_bytes(content)
        with pytest.raises(RecordError, match=reason) as caught:
            EdfRecording(tmp_path / "a.edf", LEADS)
        assert "\n" not in str(caught.value)


# DICOM


def write_dicom(path: Path, groups: list[tuple[np.ndarray, list[str]]], *, unit: str | None = "uV") -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = TwelveLeadECGWaveformStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "ECG"
    sequence = []
    for x_LT, names in groups:
        group = Dataset()
        group.MultiplexGroupTimeOffset = "0"
        group.WaveformOriginality = "ORIGINAL"
        group.NumberOfWaveformChannels = len(x_LT)
        group.NumberOfWaveformSamples = x_LT.shape[1]
        group.SamplingFrequency = "500"
        channels = []
        for name in names:
            channel, source, units = Dataset(), Dataset(), Dataset()
            code, _, meaning = name.rpartition("|")
            source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = code or "0", "MDC", meaning
            units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit or "", "UCUM", "unit"
            channel.ChannelSourceSequence = [source]
            if unit is not None:
                channel.ChannelSensitivity = "2.5"
                channel.ChannelSensitivityUnitsSequence = [units]
                channel.ChannelSensitivityCorrectionFactor = "1"
                channel.ChannelBaseline = "0"
            channel.WaveformBitsStored = 16
            channels.append(channel)
        group.ChannelDefinitionSequence = channels
        group.WaveformBitsAllocated = 16
        group.WaveformSampleInterpretation = "SS"
        group.WaveformData = np.ascontiguousarray(x_LT.T.astype("<i2")).tobytes()
        sequence.append(group)
    if sequence:
        dataset.WaveformSequence = sequence
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_dicom_waveform_is_read_with_its_sensitivity_and_the_longest_group_is_taken(tmp_path: Path) -> None:
    x_LT = noise(12, 100)
    beats = (noise(12, 60, 1), list(LEADS))
    names = [f"5.6.3-9-{number}|any words" for number in (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)]
    path = write_dicom(tmp_path / "IM0001", [beats, (x_LT, names)])
    record = open_recording(path, LEADS, CsvOptions())
    assert (record.rate_hz, record.n_samples) == (500, 100)
    chosen = choose_leads(record.leads, LEADS)
    # 2.5 µV a step, rounded half to even.
    np.testing.assert_array_equal(chosen(record.read(chosen.columns, 0, 100)[0]), np.rint(2.5 * x_LT))
    assert chosen.unused == ("group 1",)


def test_leads_of_a_dicom_file_may_go_by_words(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", [(noise(2, 10), ["Lead II", "2:3|whatever"])])
    assert [usual_lead(name) for name in read_dicom_recording(path, LEADS).leads] == ["II", "V1"]


@pytest.mark.parametrize(
    ("groups", "unit", "reason"),
    [
        ([], "uV", "without a waveform"),
        ([(noise(1, 10), ["Lead I"])], None, "'Lead I' has no sensitivity"),
        ([(noise(1, 10), ["Lead I"])], "mm[Hg]", "unit 'mm[Hg]', expected mV"),
    ],
)
def test_a_dicom_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, groups: list[tuple[np.ndarray, list[str]]], unit: str | None, reason: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", groups, unit=unit)
    with pytest.raises(RecordError) as caught:
        read_dicom_recording(path, LEADS)
    assert reason in str(caught.value)


def changed(path: Path, **changes: object) -> Path:
    """A DICOM file of a group with other values of its fields; None removes one."""
    import pydicom

    dataset = pydicom.dcmread(path)
    for name, value in changes.items():
        if value is None:
            delattr(dataset.WaveformSequence[0], name)
        else:
            setattr(dataset.WaveformSequence[0], name, value)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SamplingFrequency": None}, "lacks SamplingFrequency, or states several"),
        ({"SamplingFrequency": ["500", "250"]}, "lacks SamplingFrequency, or states several"),
        ({"WaveformData": b"\0" * 10}, "has 10 bytes of samples, its header says 40"),
        ({"NumberOfWaveformChannels": 1}, "states 1 channels and describes 2"),
        ({"WaveformSampleInterpretation": "MB"}, "samples of kind MB (A-law or µ-law) are not supported"),
        ({"ChannelDefinitionSequence": None}, "states 2 channels and describes 0"),
    ],
)
def test_a_field_of_a_dicom_file_that_is_wrong_is_named(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    path = changed(write_dicom(tmp_path / "a.dcm", [(noise(2, 10), ["I", "II"])]), **changes)
    with pytest.raises(RecordError) as caught:
        read_dicom_recording(path, LEADS)
    assert str(caught.value) == reason


def test_samples_of_a_big_endian_dicom_file_are_not_taken_for_little_endian(tmp_path: Path) -> None:
    from pydicom import dcmread
    from pydicom.dataset import Dataset
    from pydicom.uid import ExplicitVRBigEndian

    x_LT = noise(2, 10) // 10
    read = dcmread(write_dicom(tmp_path / "a.dcm", [(x_LT, ["I", "II"])]))
    read.WaveformSequence[0].WaveformData = np.ascontiguousarray(x_LT.T.astype(">i2")).tobytes()
    read.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    big = Dataset()
    big.update(read)
    big.file_meta = read.file_meta
    big.save_as(tmp_path / "b.dcm", implicit_vr=False, little_endian=False, enforce_file_format=True)
    record = read_dicom_recording(tmp_path / "b.dcm", LEADS)
    np.testing.assert_array_equal(record.uv_ST, 2.5 * x_LT)


def test_padding_of_a_dicom_file_is_no_signal(tmp_path: Path) -> None:
    from pydicom import dcmread

    x_LT = noise(2, 10)
    x_LT[1, 3] = -8000
    dataset = dcmread(write_dicom(tmp_path / "a.dcm", [(x_LT, ["I", "II"])]))
    dataset.WaveformSequence[0].add_new((0x5400, 0x100A), "OW", np.int16(-8000).tobytes())
    dataset.save_as(tmp_path / "a.dcm")
    record = read_dicom_recording(tmp_path / "a.dcm", LEADS)
    assert np.argwhere(np.isnan(record.uv_ST)).tolist() == [[1, 3]]


def test_a_channel_of_a_dicom_file_that_is_no_lead_needs_no_unit(tmp_path: Path) -> None:
    from pydicom import dcmread

    x_LT = noise(3, 10)
    dataset = dcmread(write_dicom(tmp_path / "a.dcm", [(x_LT, ["I", "II", "Pressure"])]))
    units = dataset.WaveformSequence[0].ChannelDefinitionSequence[2].ChannelSensitivityUnitsSequence
    units[0].CodeValue = "mm[Hg]"
    dataset.save_as(tmp_path / "a.dcm")
    record = read_dicom_recording(tmp_path / "a.dcm", ("I", "II"))
    np.testing.assert_array_equal(record.uv_ST[:2], 2.5 * x_LT[:2])


def test_leads_in_several_groups_of_a_dicom_file_are_not_said_to_be_missing(tmp_path: Path) -> None:
    groups = [(noise(3, 10), list(LEADS[start : start + 3])) for start in range(0, 12, 3)]
    with pytest.raises(
        RecordError, match=r"its leads lie in several groups of channels, .*: I, II, III; aVR"
    ):
        read_dicom_recording(write_dicom(tmp_path / "a.dcm", groups), LEADS)


def test_a_date_that_is_none_in_a_dicom_file_makes_no_warning(tmp_path: Path) -> None:
    from pydicom import dcmread

    path = write_dicom(tmp_path / "a.dcm", [(noise(1, 10), ["I"])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(path)
        dataset.PatientBirthDate, dataset.StudyDate, dataset.PatientAge = "00000000", "2020.01.01", "45"
        dataset.save_as(path)
    person = read_person(path)  # warnings are errors here
    assert np.isnan([person.age, person.sex]).all()


def test_what_is_no_dicom_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"no")
    with pytest.raises(RecordError, match="no DICOM file"):
        read_dicom_recording(tmp_path / "a.dcm", LEADS)


# Files


def test_recordings_of_a_folder_come_in_the_order_of_their_names_and_tables_are_told(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2.hea", "b/10.hea", "a.edf", "table.csv", "notes.txt"):
        (tmp_path / name).touch()
    found = find_recordings([tmp_path], with_csv=False)
    assert found.names == ("a.edf", "b/10", "b/2")
    assert found.notes == (f"{tmp_path}: 1 .csv files are not read; give --unit if they are recordings",)
    assert find_recordings([tmp_path], with_csv=True).names == ("a.edf", "table.csv", "b/10", "b/2")


def test_files_of_a_folder_that_are_not_read_are_named_and_dicom_needs_no_extension(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "a", noise(1, 10))
    write_dicom(tmp_path / "IM0001", [(noise(1, 10), ["I"])])
    for name in ("a.atr", "b.dat", "DICOMDIR", ".hidden"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM")
    for name in ("README.txt", "c.xml", "d.bdf"):
        (tmp_path / name).touch()
    found = find_recordings([tmp_path], with_csv=False)
    assert found.names == ("IM0001", "a", "d.bdf")
    kinds = "WFDB, .csv, .edf, .bdf, .dcm"
    assert found.notes == (
        f"{tmp_path}: files that are no recordings of {kinds}, not read: 2 (b.dat, c.xml)",
    )


def test_a_recording_given_twice_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.hea").touch()
    assert find_recordings([tmp_path / "a", tmp_path / "a.dat", tmp_path], with_csv=False).paths == (
        tmp_path / "a.hea",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nobody", "does not exist, nor nobody.hea beside it: a WFDB record needs its header"),
        ("nobody.edf", "nobody.edf does not exist"),
        (".", "has no recording that this program reads: WFDB, .csv, .edf, .bdf, .dcm; .csv needs --unit"),
    ],
)
def test_paths_without_a_recording_are_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_recordings([tmp_path / name], with_csv=False)
    assert reason in str(caught.value)


# People


def test_the_person_of_an_edf_file_is_that_of_its_header(tmp_path: Path) -> None:
    import pyedflib

    path = write_edf(tmp_path / "a.edf", noise(1, 500), ["II"])
    assert np.isnan([read_person(path).age, read_person(path).sex]).all()
    with pyedflib.EdfWriter(str(path), 1, file_type=pyedflib.FILETYPE_EDFPLUS) as file:
        file.setStartdatetime(datetime(2020, 3, 1))
        file.setBirthdate(date(1950, 3, 2))
        file.setSex(0)
        file.writeSamples([np.zeros(100)])
    assert read_person(path) == Person(age=69, sex=1)


@pytest.mark.parametrize(
    ("fields", "age", "sex"),
    [
        ({"PatientAge": "056Y", "PatientSex": "F", "PatientBirthDate": "19000101"}, 56, 1),
        ({"PatientAge": "018M", "PatientSex": "M"}, 1.5, 0),
        ({"PatientBirthDate": "19500302", "StudyDate": "20200301", "PatientSex": "O"}, 69, np.nan),
        ({"PatientBirthDate": "19200101", "AcquisitionDateTime": "20200301120000"}, 90, np.nan),
        ({"PatientBirthDate": "20500101", "StudyDate": "20200301"}, np.nan, np.nan),
        ({}, np.nan, np.nan),
    ],
)
def test_the_person_of_a_dicom_file_has_the_age_stated_or_that_of_its_dates(
    fields: dict[str, str], age: float, sex: float, tmp_path: Path
) -> None:
    import pydicom

    path = write_dicom(tmp_path / "a.dcm", [])
    dataset = pydicom.dcmread(path)
    for name, value in fields.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    found = read_person(path)
    np.testing.assert_allclose([found.age, found.sex], [age, sex], rtol=1e-5)  # of %g


def test_times_in_another_unit_make_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for name, step in (("time", 2), ("t", 1), ("seconds", 2000)):
        rows = "".join(f"{step * row},0.1\n" for row in range(40))
        path.write_text(f"{name},I\n{rows}", encoding="utf-8")
        with pytest.raises(
            RecordError, match=f"column {name} makes .* Hz, at least 50 are needed; if it counts"
        ):
            read_csv_recording(path, CsvOptions(unit="mV"))
    path.write_text("time_ms,I\n" + "".join(f"{2 * row},0.1\n" for row in range(40)), encoding="utf-8")
    assert read_csv_recording(path, CsvOptions(unit="mV")).rate_hz == 500


def test_hidden_files_are_no_recordings_and_other_capitals_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.hea").write_text("a 1 100 1000\na.dat 16 1000/mV 16 0 0 0 0 I\n")
    (tmp_path / "._a.hea").write_bytes(b"\0\5\x16\7Mac OS X")
    assert find_recordings([tmp_path], with_csv=False).names == ("a",)
    (tmp_path / "a.hea").rename(tmp_path / "a.HEA")
    with pytest.raises(UsageError, match=r"a WFDB record needs its header; a\.HEA is there: rename it$"):
        find_recordings([tmp_path / "a"], with_csv=False)


def test_a_signal_without_a_name_is_named_so() -> None:
    with pytest.raises(RecordError, match=r"^12 leads, missing aVF, unknown 'one without a name'$"):
        columns_of([*LEADS[:5], " ", *LEADS[6:]])
