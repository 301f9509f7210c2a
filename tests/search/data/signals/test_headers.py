"""Legal headers of every kind, written at random and by hand, are read as what they say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import cases, outcome
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from ptbxl_waveforms import header_text, noise, write_record

from search.data.signals.headers import load_wfdb, read_shape, record_files
from search.data.signals.leads import LEADS
from search.data.signals.records import RecordError, RecordReader

wfdb = load_wfdb()

# Formats, by hand from signal(5) of the WFDB manual: samples frame by frame, shape (T, L)

LARGEST = {
    **{"8": 60, "80": 127, "212": 2047, "310": 511, "311": 511},
    **{"16": 32_000, "61": 32_000, "160": 32_000, "24": 2**23 - 1, "32": 2**31 - 1},
}


def encoded(fmt: str, steps_TL: NDArray[np.int64]) -> bytes:  # noqa: PLR0911
    """Samples in a format that is not compressed."""
    flat = steps_TL.reshape(-1)
    match fmt:
        case "8":
            return np.diff(steps_TL, axis=0, prepend=steps_TL[:1]).astype("i1").tobytes()
        case "16":
            return flat.astype("<i2").tobytes()
        case "61":
            return flat.astype(">i2").tobytes()
        case "160":
            return (flat + 32_768).astype("<u2").tobytes()
        case "80":
            return (flat + 128).astype("u1").tobytes()
        case "24":
            return b"".join(int(step).to_bytes(3, "little", signed=True) for step in flat)
        case "32":
            return flat.astype("<i4").tobytes()
        case "212":
            return packed(flat, 2, lambda a, b: (a & 255, a >> 8 | (b >> 8) << 4, b & 255), 4095)
        case "310":
            return packed(
                flat,
                3,
                lambda a, b, c: (
                    (a & 127) << 1,
                    a >> 7 | (c & 31) << 3,
                    (b & 127) << 1,
                    b >> 7 | c >> 5 << 3,
                ),
                1023,
            )
        case _:
            return packed(
                flat,
                3,
                lambda a, b, c: (a & 255, a >> 8 | (b & 63) << 2, b >> 6 | (c & 15) << 4, c >> 4),
                1023,
            )


def packed(flat: NDArray[np.int64], n: int, block: Any, mask: int) -> bytes:
    """Blocks of n samples; the last is filled up with zeros."""
    whole = np.concatenate([flat, np.zeros(-len(flat) % n, dtype=np.int64)]).reshape(-1, n) & mask
    return bytes(byte for samples in whole.tolist() for byte in block(*samples))


UNITS = {
    **{"mV": 1e3, "MV": 1e3, "mv": 1e3, "uV": 1.0, "µV": 1.0, "μV": 1.0, "UV": 1.0, "microvolt": 1.0},
    **{"nV": 1e-3, "V": 1e6, "volts": 1e6, "": 1e3},
}
SPELLINGS = ("{0}", "ECG {0}", "lead {0}", "ecg_{0}", "Lead-{0}", "ECG lead {0}")


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """A record: its files, its header, and the microvolts of its first ten samples."""
    n_leads = draw(st.sampled_from([1, 2, 3, 12]))
    leads = draw(st.permutations(LEADS))[:n_leads]
    fmt = draw(st.sampled_from(sorted(LARGEST)))
    n_samples = draw(st.integers(10, 31))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    largest = LARGEST[fmt]
    steps_TL = rng.integers(-largest, largest + 1, (n_samples, n_leads))
    if fmt == "8":
        steps_TL = np.cumsum(rng.integers(-60, 61, (n_samples, n_leads)), axis=0)
    file = draw(
        st.sampled_from(["r.dat", "r.mat", "my record (1).dat", "ä b.dat", "sig/r.dat", "r", "16 b.dat"])
    )
    is_split = n_leads > 1 and draw(st.booleans())
    files = [
        f"{index % 2} {file}".replace("0 ", "").replace("1 ", "second") if is_split else file
        for index in range(n_leads)
    ]
    if is_split and "/" in file:
        files = [name.replace("secondsig/", "sig/second") for name in files]
    offset = draw(st.sampled_from([0, 0, 24, 512]))
    lines, x_LT = [], []
    for index, lead in enumerate(leads):
        # Some 20 mV at most.
        # Behind a name with blanks the gain is only known by its unit.
        unit = draw(st.sampled_from([unit for unit in sorted(UNITS) if unit or " " not in file]))
        per_mv = float(rng.integers(largest // 20 + 1, largest // 10 + 2))
        gain = float(f"{per_mv * 1e-3 * UNITS[unit]:.6g}")
        gain = gain if rng.random() < 0.8 else -gain
        baseline = int(rng.integers(-largest // 9, largest // 9 + 1))
        zero = int(rng.integers(-9, 9))
        number = draw(st.sampled_from(["{:g}", "{:.6E}", "{:.10f}", "{:+.8e}"])).format(gain)
        gain = float(number) or 200.0
        units = f"/{unit}" if unit else ""
        field, baseline = draw(
            st.sampled_from(
                [
                    (f"{number}({baseline}){units}", baseline),
                    (f"{number}{units}({baseline})", baseline),
                    (f"{number}{units}", zero),
                ]
            )
        )
        stated = draw(st.sampled_from([int(steps_TL[:, index].sum()) & 0xFFFF, 0]))
        name = draw(st.sampled_from(SPELLINGS)).format(
            draw(st.sampled_from([lead, lead.upper(), lead.lower()]))
        )
        comment = draw(st.sampled_from(["", " # noisy", "\t# Größe"]))
        fmt_field = f"{fmt}{draw(st.sampled_from(['', 'x1', ':0']))}" + (f"+{offset}" if offset else "")
        blank = draw(st.sampled_from([" ", "  ", "\t"]))
        fields = [
            files[index],
            fmt_field,
            field,
            "16",
            str(zero),
            str(steps_TL[0, index]),
            str(stated),
            "0",
            name,
        ]
        lines.append(blank.join(fields) + comment)
        with np.errstate(over="ignore"):
            x_LT.append(np.rint((steps_TL[:10, index] - float(baseline)) * (UNITS[unit] / gain)))
    contents = {}
    for name in dict.fromkeys(files):
        inside = [index for index in range(n_leads) if files[index] == name]
        contents[name] = b"\7" * offset + encoded(fmt, steps_TL[:, inside])
    fs = draw(st.sampled_from(["10", "10.0", "1E+01", "1e1", "10/100", "10/100.5(0)"]))
    # What is left out of the header follows from the size of the file, but for the rest of a last block.
    can_leave_out = fmt not in ("212", "310", "311")
    length = draw(st.sampled_from([str(n_samples), f"{n_samples}.0", *(["0"] if can_leave_out else [])]))
    date = draw(
        st.sampled_from(["", " 09:49:17 05/05/2020", " 05-May-2020 09:49:17", " 2006", " 1/1/1", " ?"])
    )
    record = draw(st.sampled_from(["r", "other", "r.mat", "my record", "a/b", "é"]))
    first = f"{record} {n_leads} {fs} {length}{date}"
    comments = draw(st.lists(st.sampled_from(["#", "# Größe: 1,80", "#Age: 56", ""]), max_size=3))
    text = (
        draw(st.sampled_from(["\n", "\r\n", "\r"])).join([*comments[:1], first, *lines, *comments[1:]]) + "\n"
    )
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    return {
        "header": text.encode(encoding),
        "contents": contents,
        "leads": tuple(leads),
        "x_LT": np.array(x_LT),
        "n_samples": n_samples,
    }


@pytest.mark.slow
@given(record=records())
@cases(100)
def test_a_record_with_any_legal_header_has_the_voltages_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, record: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("legal")
    (folder / "sig").mkdir()
    (folder / "a.hea").write_bytes(record["header"])
    for name, content in record["contents"].items():
        (folder / name).write_bytes(content)
    assert record_files(folder, "a") == ("a.hea", *record["contents"])
    shape = read_shape(f"{folder}/a")
    assert (shape.rate_hz, shape.n_samples) == (10, record["n_samples"])
    reader = RecordReader(folder, rate_hz=10, n_samples=10, may_be_longer=True, leads=record["leads"])
    if not (np.abs(record["x_LT"]) <= 32_767).all():
        with pytest.raises(RecordError, match="voltages beyond"):
            reader.read("a")
        return
    np.testing.assert_array_equal(reader.read("a").x_LT, record["x_LT"])


@pytest.mark.parametrize("fmt", ["508", "516", "524"])
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_flac_files_are_read_through_wfdb(tmp_path: Path, fmt: str) -> None:
    steps_TL = noise(0).T.astype(np.int64) // 20
    wfdb.wrsamp(
        "a",
        fs=100,
        units=["mV"] * 12,
        sig_name=list(LEADS),
        d_signal=np.concatenate([steps_TL, steps_TL]),
        fmt=[fmt] * 12,
        adc_gain=[1000.0] * 12,
        baseline=[0] * 12,
        write_dir=str(tmp_path),
    )
    reader = RecordReader(tmp_path, rate_hz=100, may_be_longer=True)
    np.testing.assert_array_equal(reader.read("a").x_LT, steps_TL.T)


def reader_of(root: Path) -> RecordReader:
    return RecordReader(root, rate_hz=100, may_be_longer=True)


def long_record(root: Path) -> NDArray[np.int16]:
    """Half a minute, of which only the first ten seconds are any good."""
    steps_LT = np.concatenate([noise(0), noise(1), noise(2)], axis=1)
    steps_LT[3, 1000] = -32_768
    steps_LT[4, 2500] = 32_767
    write_record(root, "a", steps_LT, gain="200(0)/mV")
    return noise(0) * 5


def test_what_follows_the_samples_used_is_not_judged(tmp_path: Path) -> None:
    x_LT = long_record(tmp_path)
    header = (tmp_path / "a.hea").read_text()
    np.testing.assert_array_equal(reader_of(tmp_path).read("a").x_LT, x_LT)
    wrong = "\n".join(
        " ".join([*w[:6], "77", *w[7:]]) if len(w := line.split()) > 7 else line
        for line in header.split("\n")
    )
    (tmp_path / "a.hea").write_text(wrong)
    np.testing.assert_array_equal(reader_of(tmp_path).read("a").x_LT, x_LT)


def test_a_day_is_read_as_fast_as_ten_seconds(tmp_path: Path) -> None:
    """The file is longer than the memory the test may take: its end is never read."""
    n_samples = 24 * 3600 * 100
    write_record(tmp_path, "a", noise(0), n_samples=n_samples)
    with (tmp_path / "a.dat").open("r+b") as file:
        file.truncate(n_samples * 24 * 100)
    x_LT = outcome(lambda: reader_of(tmp_path).read("a").x_LT)
    np.testing.assert_array_equal(x_LT, noise(0))


def test_a_skew_moves_a_lead_and_shortens_the_record(tmp_path: Path) -> None:
    steps_LT = np.concatenate([noise(0), noise(1)], axis=1)
    write_record(tmp_path, "a", steps_LT)
    text = (
        (tmp_path / "a.hea")
        .read_text()
        .replace(".dat 16 ", ".dat 16:2 ", 1)
        .replace(".dat 16 ", ".dat 16:5 ", 1)
    )
    (tmp_path / "a.hea").write_text(text)
    expected = np.stack([steps_LT[0, 2:1002], steps_LT[1, 5:1005], *steps_LT[2:, :1000]])
    np.testing.assert_array_equal(reader_of(tmp_path).read("a").x_LT, expected)
    assert read_shape(f"{tmp_path}/a").n_samples == 1995
    with pytest.raises(RecordError, match="1,995 samples behind a skew of 5, expected 1,000"):
        RecordReader(tmp_path, rate_hz=100).read("a")


def test_several_samples_a_frame_are_a_higher_rate(tmp_path: Path) -> None:
    steps_LT = noise(0)
    write_record(tmp_path, "a", steps_LT, n_samples=500, rate_hz=50)
    text = (tmp_path / "a.hea").read_text().replace(".dat 16 ", ".dat 16x2 ")
    (tmp_path / "a.hea").write_text(text)
    frames = steps_LT.reshape(12, 500, 2).transpose(1, 0, 2)
    (tmp_path / "a.dat").write_bytes(frames.astype("<i2").tobytes())
    np.testing.assert_array_equal(RecordReader(tmp_path, rate_hz=100).read("a").x_LT, steps_LT)
    (tmp_path / "a.hea").write_text(text.replace("16x2", "16", 1))
    with pytest.raises(RecordError, match="leads sampled at several rates"):
        RecordReader(tmp_path, rate_hz=100).read("a")


def test_segments_follow_one_another(tmp_path: Path) -> None:
    parts = np.split(noise(0), [300, 900], axis=1)
    order = np.random.default_rng(0).permutation(12)
    for number, part in enumerate(parts):
        leads = [LEADS[index] for index in order] if number == 1 else LEADS
        write_record(tmp_path, f"s{number}", part[order] if number == 1 else part, leads=leads)
    (tmp_path / "a.hea").write_text("a/3 12 100 1000\ns0 300\ns1 600\ns2 100\n")
    np.testing.assert_array_equal(RecordReader(tmp_path, rate_hz=100).read("a").x_LT, noise(0))
    assert record_files(tmp_path, "a") == (
        "a.hea",
        "s0.hea",
        "s0.dat",
        "s1.hea",
        "s1.dat",
        "s2.hea",
        "s2.dat",
    )
    assert read_shape(f"{tmp_path}/a").n_samples == 1000


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("a/2 12 100 1000\ns0 300\n~ 700", "a gap between segments within the part that is used"),
        ("a/2 12 100 1000\ns0 0\ns0 1000", "variable layout"),
        ("a/1 12 100 1000\n../s0 1000", "outside the record's folder"),
        ("a/1 12 100 1000\na 1000", "segment a is made of segments itself"),
        ("a/1 12 100 900\ns0 900", "segment s0 has 300 samples, the record's header says 900"),
        ("a/2 12 100 1000\ns0 300\ns0 300", "segments of 600 samples in all, the record line says 1,000"),
    ],
)
def test_segments_that_cannot_be_joined(tmp_path: Path, lines: str, told: str) -> None:
    write_record(tmp_path, "s0", noise(0)[:, :300])
    (tmp_path / "a.hea").write_text(lines)
    with pytest.raises(RecordError, match=told):
        RecordReader(tmp_path, rate_hz=100).read("a")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "a 12 100 1000",
            "a 12",
            "sampled at 250 Hz, WFDB's default: the header states no rate, expected 100 Hz",
        ),
        ("a 12 100 1000", "a 12 0 1000", "sampling rate '0'"),
        ("a 12 100 1000", "a 12 100 -5", "number of samples '-5', expected a whole number"),
        ("a 12 100 1000", "a 11 100 1000", "header announces 11 signals and describes 12"),
        ("a.dat 16 ", "a.dat 17 ", "signal format '17', which WFDB does not have"),
        ("1000.0(0)/mV", "x(0)/mV", "header cannot be parsed: signal line 'a.dat 16 x"),
        (" 0 AVR", " 0 ECG -aVR", "missing aVR, unknown 'ECG -aVR'"),
        ("a.dat 16 ", "a.dat 16+2 ", "holds signals of several formats or offsets"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, old: str, new: str, told: str) -> None:
    write_record(tmp_path, "a", noise(0))
    text = header_text("a", noise(0))
    assert old in text
    (tmp_path / "a.hea").write_text(text.replace(old, new, 1))
    with pytest.raises(RecordError) as caught:
        RecordReader(tmp_path, rate_hz=100).read("a")
    assert told in str(caught.value)


def test_the_files_of_a_record_without_header_are_its_header(tmp_path: Path) -> None:
    assert record_files(tmp_path, "ward/a") == ("ward/a.hea",)
    (tmp_path / "a.hea").write_bytes(b"\0\1")
    assert record_files(tmp_path, "a") == ("a.hea",)
    (tmp_path / "a.hea").write_text("a/1 1 100 1000\na 1000\n")
    assert record_files(tmp_path, "a") == ("a.hea",)
