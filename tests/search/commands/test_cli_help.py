"""The help of every command, to the letter, and how little is imported to print it.

The texts are kept in tests/golden/help_*.txt, one for each command, at 80 columns. After a wanted change
write them anew and read them:

    UPDATE_GOLDEN=1 python -m pytest tests/search/commands/test_cli_help.py
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.commands.main import main

GOLDEN = Path(__file__).parents[2] / "golden"
REPOSITORY = Path(__file__).parents[3]
COMMANDS = (
    "",
    "run",
    "confirm",
    "report",
    "pick",
    "ensemble",
    "evaluate",
    "explain",
    "export",
    "predict",
    "explain",
    "stress",
    "status",
    "dashboard",
    "space",
    "data",
    "data demo",
    "data check",
    "data download",
    "storage",
    "storage copy",
)
SLOW_TO_IMPORT = ("torch", "optuna", "wfdb", "sqlalchemy", "rich", "numpy", "matplotlib")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_the_golden_text(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    golden = GOLDEN / f"help_{command.replace(' ', '_') or 'search'}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 80
    assert f"example: python -m search {command}".strip() in text


def test_every_command_is_covered() -> None:
    from search.commands.main import make_parser

    text = make_parser().format_help()
    listed = {
        line.split()[0]
        for line in text.partition("COMMAND\n    ")[2].splitlines()
        if line[:4].isspace() and line[4] != " "  # further in: the rest of a summary
    }
    listed.add(text.partition("COMMAND\n    ")[2].split()[0])
    assert listed == {command for command in COMMANDS if command and " " not in command}


@pytest.mark.parametrize("command", ["", "run", "data check"])
def test_help_imports_nothing_slow(command: str) -> None:
    program = (
        "import sys\n"
        "from search.commands.main import main\n"
        "try:\n"
        f"    main({[*command.split(), '--help']!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print('IMPORTED', *sorted(set(sys.modules) & set({SLOW_TO_IMPORT!r})))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.splitlines()[-1].split() == ["IMPORTED"]


def test_program_prints_its_help() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "search", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("usage: python -m search")
