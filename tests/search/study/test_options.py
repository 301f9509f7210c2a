"""Options of `run`: declared once, read as their types say, and which of them belong to the study."""

from dataclasses import fields

import pytest

from search.commands.main import make_parser
from search.commands.parser import Parser, add_declared, chosen_options, parse
from search.errors import UsageError
from search.study.options import RunOptions, flag
from search.workers.share import Share

STORAGE = "sqlite:///runs/search.db"


def read(line: str) -> RunOptions:
    return chosen_options(parse(make_parser(), ["run", *line.split()]), RunOptions)


def test_a_command_line_says_as_much_as_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEARCH_STORAGE", raising=False)
    assert read("--trials 3") == RunOptions(trials=3, storage=STORAGE)


def test_until_is_a_share_and_makes_a_search() -> None:
    chosen = read("--until 0.5%")
    assert chosen.until_share == 0.005
    assert chosen.is_search
    assert read("--presets cnn").until_share is None
    assert not read("--presets cnn").is_search


def test_every_option_is_read_as_its_type_says() -> None:
    line = (
        "--trials 3 --data demo --target all --study s --storage sqlite:///a.db --space paper "
        "--presets cnn,cnn-gru --epochs 4 --batch-size 8 --lr 0.01 --rate 500 --split intra-patient "
        "--leads I,II --hours 2 "
        "--drop-unlabeled --skip-damaged --sampler tpe --pruner none --alpha 0.1 --thaw --no-cost-aware "
        "--workers 2 --ray local --cpus-per-worker 1.5 --gpus-per-worker 0.25 --device cpu --seed 7"
    )
    chosen = RunOptions(
        trials=3,
        data="demo",
        target="all",
        study="s",
        storage="sqlite:///a.db",
        space="paper",
        presets=("cnn", "cnn-gru"),
        epochs=4,
        batch_size=8,
        learning_rate=0.01,
        rate_hz=500,
        split="intra-patient",
        leads="I,II",
        hours=2.0,
        drop_unlabeled=True,
        skip_damaged=True,
        sampler="tpe",
        pruner="none",
        alpha=0.1,
        thaw=True,
        cost_aware=False,
        workers=2,
        ray="local",
        cpus_per_worker=1.5,
        gpus_per_worker=0.25,
        device="cpu",
        seed=7,
    )
    assert read(line) == chosen
    assert chosen.share == Share(address="local", cpus=1.5, gpus=0.25)
    assert chosen.n_threads == 1


def test_an_option_is_called_by_its_name_on_the_command_line() -> None:
    parser = Parser()
    add_declared(parser, RunOptions)
    said = parser.format_usage()
    assert [each.name for each in fields(RunOptions) if f"[{flag(each.name)}" not in said] == []


def test_settings_of_the_study_are_those_that_were_named() -> None:
    assert RunOptions(trials=1).settings == {}
    assert RunOptions(trials=1, seed=0, drop_unlabeled=True, rate_hz=500).settings == {
        "seed": 0,
        "drop_unlabeled": True,
    }


def test_the_unit_of_smallest_is_that_of_the_study_where_no_cost_is_named() -> None:
    chosen = RunOptions(trials=1, smallest="3ms")  # a study of latency may be there
    assert chosen.limits("latency") == {"smallest": 3000}
    with pytest.raises(UsageError, match=r"^--smallest: parameters is a number such as"):
        chosen.limits("parameters")
    with pytest.raises(UsageError, match=r"^--smallest: parameters is"):
        RunOptions(trials=1, smallest="3ms", cost="parameters")
    with pytest.raises(UsageError, match=r"^--smallest: parameters is .* got '3 apples'"):
        RunOptions(trials=1, smallest="3 apples")
