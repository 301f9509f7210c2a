"""Outputs in other encodings, closed, full and narrow, on a process of its own: what a terminal can show."""

import codecs
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from reports.terminal import StackingTable
from search.commands.console import make_console, working
from search.watch.output import PLAIN, plain_text

ROOT = Path(__file__).parents[3]


def command(*arguments: str, redirected: str = "", folder: Path, **variables: str) -> tuple[int, str, str]:
    """Exit status, standard output and error of a command, as bytes of latin-1, so that none is lost."""
    line = f'exec "{sys.executable}" -m search {" ".join(arguments)} {redirected}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **variables}
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_command_that_works_in_silence_says_so_in_a_terminal_alone(is_terminal: bool) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=is_terminal, width=80, _environ={"TERM": "xterm"})
    with working(console, "Reading the study") as stage:
        stage("27 figures")
    assert ("27 figures" in written.getvalue()) is is_terminal


def test_characters_are_replaced_by_what_means_the_same() -> None:
    assert plain_text("0.69 ± 0.01 · ≤ 10 – CNN → GRU …", "ascii") == "0.69 +- 0.01 - <= 10 - CNN -> GRU ..."
    assert plain_text("0.69 ± 0.01 · 3 × 4", "latin-1") == "0.69 ± 0.01 · 3 × 4"
    assert plain_text("a – b … → c", "cp1252") == "a – b … -> c"
    assert plain_text("┏━┳━┓\n┃ │\n", "ascii") == "+-+-+\n| |\n"


def test_a_longer_replacement_takes_its_room_from_the_next_gap() -> None:
    lines = "trial   macro-AUPRC       size\n    2   0.7743 ± 0.0614   69\n"
    plain = plain_text(lines, "ascii")
    assert plain == "trial   macro-AUPRC       size\n    2   0.7743 +- 0.0614  69\n"
    assert [len(line) for line in plain.splitlines()] == [len(line) for line in lines.splitlines()]


def test_names_of_another_script_stay_distinct() -> None:
    assert plain_text("Müller 心 😀 \udcff", "ascii") == r"M\u00fcller \u5fc3 \U0001f600 \udcff"
    assert plain_text("Müller \udcff", "utf-8") == r"Müller \udcff"


def test_every_replacement_is_ascii() -> None:
    assert all(text.isascii() and text for text in PLAIN.values())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_all_texts_of_this_program_can_be_written_in_any_encoding(encoding: str) -> None:
    words = {
        character
        for folder in ("search", "reports", "storage", "space")
        for file in (ROOT / folder).rglob("*.py")
        for character in file.read_text(encoding="utf-8")
    }
    text = "".join(sorted(words))
    plain_text(text, encoding).encode(encoding)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_commands_answer_in_the_encoding_of_the_terminal(encoding: str, tmp_path: Path) -> None:
    status, out, err = command("space", folder=tmp_path, PYTHONIOENCODING=encoding)
    assert (status, err) == (0, "")
    assert "cnn-bilstm" in out.encode("latin-1").decode(encoding)
    status, out, err = command("space", "--json", folder=tmp_path, PYTHONIOENCODING=encoding)
    assert (status, err) == (0, "")
    assert json.loads(out)["space"] == "wide"
    assert out.isascii()


@pytest.mark.slow
def test_the_c_locale_without_coercion(tmp_path: Path) -> None:
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    status, out, err = command("space", folder=tmp_path, **variables)
    assert (status, err) == (0, "")
    assert out.isascii()


@pytest.mark.slow
def test_files_of_the_user_are_not_taken_for_modules_of_the_program(tmp_path: Path) -> None:
    for name in ("space", "random", "numpy", "storage", "tempfile"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} of the user')")
    status, out, err = command("space", "--json", folder=tmp_path)
    assert (status, err) == (0, "")
    assert json.loads(out)["space"] == "wide"


@pytest.mark.slow
def test_a_folder_that_was_removed_is_left_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    line = f'cd gone; rmdir ../gone; exec "{sys.executable}" -m search status'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, check=False, text=True
    )
    expected = "search: the current folder is gone; change to one that is there\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


FULL = "search: standard output cannot be written: No space left on device\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "redirected", "expected"),
    [
        (("space",), ">&-", (0, "")),
        (("space",), ">/dev/full", (1, FULL)),
        (("space", "--json"), ">/dev/full", (1, FULL)),
        (("--help",), ">/dev/full", (1, FULL)),
        (("status",), "2>&-", (1, "")),
        (("status",), "2>/dev/full", (1, "")),
        (("status",), ">&- 2>&- <&-", (1, "")),
    ],
)
def test_outputs_that_cannot_be_written(
    arguments: tuple[str, ...], redirected: str, expected: tuple[int, str], tmp_path: Path
) -> None:
    status, out, err = command(*arguments, redirected=redirected, folder=tmp_path)
    assert (status, err) == expected
    assert out == ""


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    status, _, err = command("space", "--json", redirected="| true; exit ${PIPESTATUS[0]}", folder=tmp_path)
    assert status in {0, 1}  # 1 where the reader was gone first
    assert err == ""


@pytest.mark.parametrize(("columns", "width"), [("0", 80), ("5", 80), ("many", 80), ("", 80), ("40", 40)])
def test_a_width_that_cannot_be_is_not_believed(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert make_console().width == width


def table() -> StackingTable:
    made = StackingTable(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("trial", "macro-AUPRC", "parameters"):
        made.add_column(name, no_wrap=True)
    made.add_column("architecture", overflow="fold", ratio=1)
    made.add_row("2", "0.7743\n[0.7, 0.8]", "69,718", Text("CNN(16), dense(256), trained on all statements"))
    return made


def shown(width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(table())
    return out.getvalue()


def test_a_table_that_fits_is_one() -> None:
    # 5 + 11 + 10 columns, three gaps of 2 and 16 for what folds.
    assert shown(48).startswith("trial  macro-AUPRC  parameters  architecture")
    assert shown(47).startswith("trial: 2\n")


@pytest.mark.parametrize("width", [20, 32, 40])
def test_a_narrow_terminal_gets_a_line_for_each_cell(width: int) -> None:
    lines = shown(width).splitlines()
    assert lines[0] == "trial: 2"
    words = " ".join(" ".join(lines).split())
    assert words == (
        "trial: 2 macro-AUPRC: 0.7743 [0.7, 0.8] parameters: 69,718 "
        "architecture: CNN(16), dense(256), trained on all statements"
    )
    assert all(len(line) <= width for line in lines)
    assert not any(re.fullmatch(r"\s*\w\s*", line) for line in lines)


def test_what_does_not_fit_on_a_line_goes_on_indented_and_intervals_stay_whole() -> None:
    made = StackingTable(heading="Weights of the members", box=None)
    for name in ("trial", "minus trial 0", "top2-\nweighted", "architecture"):
        made.add_column(name, no_wrap=True)
    made.add_row("2", "-0.0197\n[-0.0596, +0.0225]", "0.150", "CNN(4) -> GRU(4) -> LSTM(4) -> gate/4")
    out = io.StringIO()
    Console(file=out, width=28).print(made)
    assert out.getvalue().splitlines() == [
        "Weights of the members",
        "trial: 2",
        "  minus trial 0: -0.0197",
        "    [-0.0596, +0.0225]",
        "  top2-weighted: 0.150",
        "  architecture: CNN(4) ->",
        "    GRU(4) -> LSTM(4) ->",
        "    gate/4",
    ]


def test_a_heading_is_as_wide_as_the_terminal() -> None:
    made = StackingTable(heading="Ones by strat_fold", box=None)
    made.add_column("n")
    made.add_row("1")
    out = io.StringIO()
    Console(file=out, width=40).print(made)
    assert out.getvalue().splitlines()[0].rstrip() == "Ones by strat_fold"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGTERM", "SIGXCPU", "SIGINT"])
def test_a_request_ends_any_command_in_one_line(name: str, tmp_path: Path) -> None:
    code = (
        "import os, runpy, signal, sys, search.commands.space as text\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # the tests themselves may be run with nohup
        f"text.space_document = lambda *_: os.kill(os.getpid(), {int(signal.Signals[name])})\n"
        "sys.argv = ['search', 'space']\n"
        "runpy.run_module('search', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = "Ctrl-C" if name == "SIGINT" else name
    assert (done.returncode, done.stderr) == (130, f"search: stopped by {said}\n")


@pytest.mark.slow
def test_what_nohup_ignores_is_ignored(tmp_path: Path) -> None:
    code = (
        "import signal, search.workers.interrupt as interrupt\n"
        "interrupt.requests_raise()\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "with interrupt.Interrupt().listening(lambda: None):\n"
        "    signal.raise_signal(signal.SIGHUP)\n"
        "    assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_IGN, signal.SIG_DFL)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        ["nohup", sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_handler_of_the_streams_is_the_same_as_of_texts() -> None:
    from search.watch import output

    # Private: the handler of encoding errors, which only streams use.
    codecs.register_error("test.plain", output._plain_rest)
    text = "a ± b   c\nd → e\n"
    assert text.encode("ascii", "test.plain").decode() == plain_text(text, "ascii")
