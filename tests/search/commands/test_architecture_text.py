"""`search space --show`: an architecture layer by layer, and what it costs."""

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import call
from matplotlib.font_manager import findfont
from PIL import ImageFont

from search.models.costs import costs_of
from space import Inputs, preset


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_preset_layer_by_layer() -> None:
    document = call("space", "--show", "cnn-gru", "--json").document()
    assert document["costs"] == costs_of(preset("cnn-gru", "subclass"), 23).to_dict()
    for column in ("parameters", "macs"):
        assert sum(layer[column] for layer in document["layers"]) == document["costs"][column]
    assert max(layer["live_values"] for layer in document["layers"]) * 4 == document["costs"]["memory"]
    assert document["operators"] == ["conv", "gru", "pool"]
    words = call("space", "--show", "cnn-gru").out
    assert "GRU(128)" in words
    assert "128 × 125" in words
    assert "Operators: conv, gru, pool" in words


def test_another_rate_and_target() -> None:
    document = call("space", "--show", "cnn", "--rate", "500", "--target", "superclass", "--json").document()
    assert (document["n_samples"], document["n_classes"]) == (5000, 5)
    assert document["costs"] == costs_of(preset("cnn", "superclass"), 5, Inputs(n_samples=5000)).to_dict()


def test_the_drawing_has_every_layer_with_its_shape_and_all_parameters(tmp_path: Path) -> None:
    file = tmp_path / "cnn-gru.svg"
    document = call("space", "--show", "cnn-gru", "--json", "--svg", str(file)).document()
    drawing = ElementTree.fromstring(file.read_text(encoding="utf-8"))
    words = [each.text or "" for each in drawing.iter("{http://www.w3.org/2000/svg}text")]
    shown = [each for each in words if " parameters" in each and " · " in each]
    total = sum(int(each.split(" · ")[1].split(" ")[0].replace(",", "")) for each in shown)
    assert total == document["costs"]["parameters"]
    assert f"{total:,} parameters in all" in words
    assert "GRU(128)" in words
    assert any(each.startswith("128 × 125 · ") for each in words)
    assert all(any(layer["layer"] in each for each in words) for layer in document["layers"])


@pytest.mark.parametrize("preset_name", ["cnn-gru", "separable", "msw-transformer", "lstm-bidir"])
def test_no_words_of_a_drawing_lie_over_each_other(preset_name: str, tmp_path: Path) -> None:
    """In DejaVu Sans, whose characters are the widest of the fonts that browsers take for sans-serif."""
    file = tmp_path / "drawing.svg"
    call("space", "--show", preset_name, "--json", "--svg", str(file))
    drawing = ElementTree.fromstring(file.read_text(encoding="utf-8"))
    rows: dict[str, list[tuple[float, float]]] = {}
    for text in drawing.iter("{http://www.w3.org/2000/svg}text"):
        font = ImageFont.truetype(findfont("DejaVu Sans"), int(text.attrib["font-size"]))
        x, length = float(text.attrib["x"]), font.getlength(text.text or "")
        left = x - length if text.attrib["text-anchor"] == "end" else x
        assert 0 <= left < left + length <= float(drawing.attrib["width"])
        if text.attrib.get("font-weight") != "bold":
            rows.setdefault(text.attrib["y"], []).append((left, left + length))
    for spans in rows.values():
        spans.sort()
        assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(spans)), spans


@pytest.mark.slow
def test_latency_is_measured_if_asked_for() -> None:
    document = call("space", "--show", "cnn", "--rate", "20", "--latency", "--json").document()
    speed = document["speed"]
    assert 0 < speed["median_ms"] <= speed["p99_ms"]
    assert speed["records_per_second"] > 0
    assert "onnxruntime" in speed["machine"]
    assert call("space", "--show", "cnn", "--rate", "20", "--json").document()["speed"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--show", "cnn-lstn"), "--show: unknown preset 'cnn-lstn': choose from cnn, cnn-lstm"),
        (("--show", "cnn", "--target", "sub"), "unknown tier 'sub'"),
        (("--show", "cnn", "--trial", "3"), "not allowed with argument --show"),
        (("--study", "x"), "--study goes with --trial N"),
        (("--latency",), "--latency goes with --show PRESET or --trial N"),
        (("--svg", "a.svg"), "--svg goes with --show PRESET or --trial N"),
        (("--show", "cnn", "--svg", "nowhere/a.svg"), "--svg nowhere/a.svg: No such file or directory"),
        (("--trial", "0"), "no database"),
        (("--trial", "0", "--rate", "500"), "--rate of a trial is that of its study"),
        (("--show", "cnn", "--rate", "-5"), "--rate is a positive number of Hz, got -5"),
        (("--show", "cnn", "--rate", "x"), "'x' is not a whole number"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    ended = call("space", *arguments)
    assert ended.status in (1, 2)
    assert message in ended.err
    assert ended.err.count("\n") == 1
