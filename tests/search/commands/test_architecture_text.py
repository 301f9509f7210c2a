"""`search space --show`: an architecture layer by layer, and what it costs."""

from pathlib import Path

import pytest
from command_line import call

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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--show", "cnn-lstn"), "--show: unknown preset 'cnn-lstn': choose from cnn, cnn-lstm"),
        (("--show", "cnn", "--target", "sub"), "unknown tier 'sub'"),
        (("--show", "cnn", "--trial", "3"), "not allowed with argument --show"),
        (("--study", "x"), "--study goes with --trial N"),
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
