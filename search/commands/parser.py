"""Parts of the parser of the command line; imports nothing that takes time."""

import argparse
import json
import re
import sys
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from search.defaults import STORAGE_HELP, default_storage
from search.errors import UsageError

Declared = TypeVar("Declared")


class Parser(argparse.ArgumentParser):
    """Parser that reports a mistake in one line, like all others, instead of printing the usage.

    Options cannot be abbreviated, because an abbreviation in a script breaks when an option is added.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False, formatter_class=_Formatter)
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        """Raise the mistake as a UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


class _Formatter(argparse.HelpFormatter):
    """Help with room for the longest command, whose indentation argparse does not count."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = len("    dashboard")


def add_command(commands: Any, name: str, summary: str, example: str) -> Parser:
    """Add a command with its line in the list of commands and an example below its help."""
    added: Parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example: python -m search {example}",
    )
    return added


def add_study_options(parser: Parser) -> None:
    """Add `--study` and `--storage`."""
    parser.add_argument("--study", metavar="NAME", help="study (default: the one last touched)")
    add_storage_option(parser)


def add_storage_option(parser: Parser) -> None:
    """Add `--storage`."""
    parser.add_argument("--storage", metavar="URL", default=default_storage(), help=STORAGE_HELP)


def add_declared(parser: Parser, options: type) -> None:
    """Add every field of a dataclass of options; see `search.study.options.option`.

    The type of a field determines how its option is parsed: a number, a switch, names separated by commas.
    """
    hints = get_type_hints(options)
    for each in fields(options):
        kinds = [kind for kind in get_args(hints[each.name]) if kind is not NoneType] or [hints[each.name]]
        default = each.default if each.default_factory is MISSING else each.default_factory()
        reading: dict[str, Any] = {"type": _READ_AS.get(get_origin(kinds[0]) or kinds[0], str)}
        if kinds == [bool]:
            reading = {"action": argparse.BooleanOptionalAction if default else "store_true"}
        parser.add_argument(
            each.metadata["flag"] or f"--{each.name.replace('_', '-')}",
            dest=each.name,
            default=default,
            **reading,
            **each.metadata["parsed"],
        )


def chosen_options(chosen: argparse.Namespace, options: type[Declared], **others: Any) -> Declared:
    """Dataclass of the options of a command, each field from the option of its name.

    Args:
        chosen: options of the command line.
        options: the dataclass.
        others: fields that are not the value of an option.
    """
    names = [each.name for each in fields(options) if each.name not in others]  # type: ignore[arg-type]
    return options(**{name: getattr(chosen, name) for name in names}, **others)


def add_data_of_study(parser: Parser) -> None:
    """Add `--data`, for commands that read the records of a study again."""
    parser.add_argument("--data", metavar="DIR|demo", help="data of the study (default: as for run)")


def add_space_of_study(parser: Parser) -> None:
    """Add `--space`, for commands that build the architectures of a study."""
    parser.add_argument("--space", metavar="FILE.py", help="space file, if the study was made with one")


def add_device(parser: Parser) -> None:
    """Add `--device`."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train (default: auto)"
    )


def add_json(parser: Parser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def add_rate(parser: Parser, words: str = "sampling rate in Hz (default: 100)") -> None:
    """Add `--rate`, with other words where it means more."""
    parser.add_argument(
        "--rate",
        type=whole_number,
        choices=(100, 500),
        default=100,
        help=words,
    )


def print_json(document: Any) -> None:
    """Print the document, and nothing else, to standard output for `--json`."""
    print_json_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def print_json_file(path: Path) -> None:
    """Print a file that holds a JSON document."""
    print_json_text(path.read_text(encoding="utf-8").rstrip("\n"))


def print_json_text(text: str) -> None:
    """Print a JSON document that is serialised already.

    JSON is UTF-8; an output in another encoding gets ASCII, which all others contain.
    """
    if (sys.stdout.encoding or "").lower().replace("-", "") != "utf8":
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    print(text)  # noqa: T201


def parse(parser: Parser, arguments: list[str]) -> argparse.Namespace:
    """Options of a command line; `parser` among them is the parser of the command.

    Raises:
        UsageError: there is no such command or option, or a value is empty or cannot be read.
    """
    for before, text in pairwise(("", *arguments)):
        if not text.strip() or re.fullmatch(r"--[a-z0-9-]+=\s*", text):
            name = text.rstrip("= \t") or (before if before.startswith("-") else "an argument")
            raise UsageError(
                f"{name} is empty: a shell variable that is not set? Give a value, or leave it out"
            )
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown:
        # argparse would point to the help of the program instead of the command's, which lists the options.
        chosen.parser.error(f"unknown argument {' '.join(unknown)}")
    return chosen


def whole_number(text: str) -> int:
    """Type of an option: a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def number(text: str) -> float:
    """Type of an option: a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def names(text: str) -> tuple[str, ...]:
    """Type of an option: names separated by commas."""
    return tuple(text.split(","))


_READ_AS = {int: whole_number, float: number, tuple: names}


def say(problem: object) -> None:
    """Print one line to standard error, without passwords."""
    line = without_passwords(" ".join(str(problem).split()))
    print(f"search: {line}", file=sys.stderr)  # noqa: T201


def without_passwords(text: str) -> str:
    """Text with the passwords of URLs removed."""
    if "@" not in text and "password=" not in text:
        return text  # importing storage takes half a second
    from storage.connection.passwords import without_passwords as hidden

    return hidden(text)
