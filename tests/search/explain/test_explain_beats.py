"""`python -m search explain` with a model of single beats: one of them, and normal against abnormal ones."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from explained_model import AAMI, SMALL, make_network, write_networks
from real_records import ASSETS

from search.data.readers import mitbih
from search.data.signals.records import RecordReader
from search.explain.attribution import grad_cam
from search.explain.networks import load_networks

RECORD = ASSETS / "mit-bih" / "223"
REVERSED = ASSETS / "mit-bih" / "114"
"""Has its precordial lead first."""
ARCHITECTURE = replace(SMALL, label_tier="aami")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = [make_network(ARCHITECTURE, seed=seed, n_leads=2) for seed in range(2)]
    return write_networks(
        tmp_path_factory.mktemp("beats"),
        models,
        ARCHITECTURE,
        leads=mitbih.LEADS,
        n_samples=mitbih.N_SAMPLES,
        rate_hz=mitbih.RATE_HZ,
        synthetic=False,
        beats=True,
    )


def beats_of(record: Path) -> list[tuple[int, str]]:
    """Samples and symbols of the beats with 180 samples on both sides."""
    n_samples = int((record.with_suffix(".hea")).read_text(encoding="utf-8").split()[3])
    samples, symbols = mitbih.read_beats(record)
    return [
        (sample, symbol)
        for sample, symbol in zip(samples.tolist(), symbols, strict=True)
        if 180 <= sample <= n_samples - 180
    ]


def windows_of(record: Path, samples: list[int]) -> list[np.ndarray]:
    """MLII and the precordial lead around some R peaks, by the reader of the data set."""
    n_samples = int((record.with_suffix(".hea")).read_text(encoding="utf-8").split()[3])
    reader = RecordReader(
        record.parent,
        rate_hz=360,
        n_samples=n_samples,
        leads=mitbih.LEADS,
        columns=mitbih.beat_columns,
    )
    x_LT = reader.read(record.name).x_LT
    return [x_LT[:, sample - 180 : sample + 180] for sample in samples]


def class_of(symbol: str) -> str:
    return next(beat.aami for beat in mitbih.BEATS if beat.code == symbol)


@pytest.mark.parametrize("record", [RECORD, REVERSED])
def test_a_beat_asked_for_is_the_annotated_one_with_its_label(model: Path, record: Path) -> None:
    beats = beats_of(record)
    sample, symbol = beats[4]
    (found,) = call("explain", str(model), str(record), "--window", "5", "--class", "V", "--json").document()
    assert (found["window"]["number"], found["window"]["of"]) == (5, len(beats))
    assert found["window"]["start_s"] == pytest.approx((sample - 180) / 360)
    assert found["window"]["end_s"] == pytest.approx((sample + 180) / 360)
    assert found["statements"] == [symbol]
    assert found["true"] == (class_of(symbol) == "V")
    assert "may have been trained on this beat" in found["notes"][-1]  # both records are in DS1
    (x_LT,) = windows_of(record, [sample])
    networks = load_networks(model)
    assert found["attributions"]["all"] == pytest.approx(
        grad_cam(networks, x_LT[None], AAMI.index("V"))[0].tolist(), rel=1e-4, abs=1e-6
    )
    assert found["probability"] == pytest.approx(networks.probabilities(x_LT[None])[0, AAMI.index("V")])


def test_without_a_number_it_is_the_beat_of_highest_probability(model: Path) -> None:
    beats = beats_of(RECORD)
    (found,) = call("explain", str(model), str(RECORD), "--class", "S", "--json").document()
    p_NC = load_networks(model).probabilities(np.stack(windows_of(RECORD, [sample for sample, _ in beats])))
    assert found["window"]["number"] == p_NC[:, AAMI.index("S")].argmax() + 1
    assert found["probability"] == pytest.approx(p_NC[:, AAMI.index("S")].max(), abs=1e-6)


@pytest.fixture(scope="module")
def compared(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    out = tmp_path_factory.mktemp("out")
    ended = call(
        "explain", str(model), str(RECORD), "--compare", "--json", "--out", str(out), "--format", "html"
    )
    assert (ended.status, ended.err) == (0, "")
    (document,) = json.loads(ended.out)
    return document, out


def test_a_comparison_has_the_mean_beat_and_the_mean_map_of_every_class(
    model: Path, compared: tuple[dict, Path]
) -> None:
    document, _ = compared
    beats = beats_of(RECORD)
    networks = load_networks(model)
    by_class = {name: [sample for sample, symbol in beats if class_of(symbol) == name] for name in AAMI}
    normal_first = ["N", *(name for name in AAMI if name != "N")]
    assert [each["class"] for each in document["classes"]] == [
        name for name in normal_first if by_class[name]
    ]
    assert document["absent"] == [name for name in AAMI if not by_class[name]]
    assert len(document["classes"]) > 1
    for each in document["classes"]:
        samples = by_class[each["class"]]
        assert each["beats"] == len(samples)
        assert each["averaged"] == min(len(samples), 40)
        if each["averaged"] < each["beats"]:
            continue
        windows, column = windows_of(RECORD, samples), AAMI.index(each["class"])
        map_T = grad_cam(networks, np.stack(windows), column).mean(axis=0)
        assert each["map"]["all"] == pytest.approx(map_T.tolist(), rel=1e-4, abs=1e-6)
        # 60 ms are 21.6 samples on both sides of the R peak.
        near = map_T[180 - 21 : 180 + 22].sum() / map_T.sum() if map_T.any() else None
        assert each["qrs_share_of_map"] == (None if near is None else pytest.approx(near, abs=1e-4))
        mean_mv = np.mean([x - np.median(x, axis=1, keepdims=True) for x in windows], axis=0) / 1000
        assert each["mean_mv"]["MLII"] == pytest.approx(mean_mv[0].tolist(), rel=1e-4, abs=1e-5)
        right = networks.probabilities(np.stack(windows)).argmax(axis=1) == column
        assert each["called"] == right.sum()
    assert document["qrs_share_of_time"] == pytest.approx(0.12)


def test_the_page_of_a_comparison_says_what_is_drawn(compared: tuple[dict, Path]) -> None:
    document, out = compared
    (page,) = out.iterdir()
    assert page.name == "223-beats-gradcam.html"
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 1
    assert "Normal against abnormal beats" in text
    for each in document["classes"]:
        assert f"{each['called']:,} called {each['class']}" in text


@pytest.mark.slow
def test_a_comparison_is_a_picture_of_one_page(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "beats.png"
    ended = call("explain", str(model), str(RECORD), "--compare", "--method", "ig", "--out", str(out))
    assert (ended.status, ended.err) == (0, "")
    assert "mean of" in ended.out
    width, height = (int.from_bytes(out.read_bytes()[at : at + 4], "big") for at in (16, 20))
    assert width / height == pytest.approx(297 / 210, rel=1e-3)


def copied(folder: Path, *, atr: bytes | None) -> Path:
    for suffix in (".hea", ".dat"):
        shutil.copy(RECORD.with_suffix(suffix), folder)
    if atr is not None:
        (folder / "223.atr").write_bytes(atr)
    return folder / "223"


@pytest.mark.parametrize(
    ("atr", "words"),
    [
        (None, "223: has no 223.atr beside it, and the model takes beats around annotated R peaks"),
        (b"\x00\x00", "223.atr marks no beat"),
        (b"\x01", "annotations are truncated"),
        (b"\x0a\x04\x00\x00", "none of 1 beats has 1 s of signal around it"),  # a beat at sample 10
    ],
)
@pytest.mark.parametrize("option", ["--compare", "--json"])
def test_a_record_without_beats_is_told_in_one_line(
    model: Path, tmp_path: Path, atr: bytes | None, words: str, option: str
) -> None:
    ended = call("explain", str(model), str(copied(tmp_path, atr=atr)), option)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert words in ended.err


def test_wrong_options_of_a_comparison_are_told_in_one_line(model: Path, tmp_path: Path) -> None:
    of_records = write_networks(tmp_path / "records", [make_network()])
    ptbxl = ASSETS / "ptb-xl" / "records100" / "00000" / "00001_lr"
    for arguments, status, words in (
        ((model, RECORD, "--compare", "--class", "V"), 2, "leave --class and --window out"),
        ((of_records, ptbxl, "--compare"), 2, "is a model of records"),
        ((model, ptbxl), 1, "expected MLII and a precordial one"),
        ((model, RECORD, "--window", "9999"), 2, "223 has beats 1 to"),
    ):
        ended = call("explain", *map(str, arguments))
        assert (ended.status, ended.out) == (status, "")
        assert ended.err.count("\n") == 1
        assert words in ended.err
