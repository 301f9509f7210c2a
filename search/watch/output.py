"""Standard output and error in any state: with another encoding, closed, on a full disk, or without a reader.

Characters that the encoding lacks are replaced by equivalent ones that it has, so that a command ends as
on any other terminal. An error of writing ends a command with one line.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from typing import Any, TextIO

from search.errors import SearchError

PLAIN = {
    "→": "->",
    "←": "<-",
    "…": "...",
    "·": "-",
    "•": "*",
    "–": "-",
    "—": "--",
    "−": "-",
    "≤": "<=",
    "≥": ">=",
    "×": "x",
    "±": "+-",
    "√": "sqrt ",
    "Π": "prod",
    "Σ": "sum",
    "α": "alpha",
    "κ": "kappa",
    "²": "^2",
    "⁻": "^-",
    "³": "^3",
    "µ": "u",
    "μ": "u",
    "°": " deg",
    "⊃": ">",
    "≠": "!=",
    "≈": "~",
    "∞": "inf",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "\u00a0": " ",
    "\u202f": " ",
    "█": "#",
    "✓": "yes",
    "✗": "no",
}
"""Characters of this program's texts, as ASCII writes them."""
# Lines of boxes: horizontal ones, vertical ones, and corners and crossings of every weight.
PLAIN |= dict.fromkeys("─━═╌╍┄┅┈┉╴╶╸╺╼╾", "-")
PLAIN |= dict.fromkeys("│┃║╎╏┆┇┊┋╵╷╹╻╽╿", "|")
PLAIN |= {chr(code): "+" for code in range(0x2500, 0x2580) if chr(code) not in PLAIN}

_HANDLER = "search.plain"
_STDOUT, _STDERR = 1, 2


class OutputError(SearchError):
    """Standard output cannot be written."""


class OutputClosedError(OutputError):
    """The reader of standard output has closed it."""


def plain_text(text: str, encoding: str) -> str:
    """The text in characters that an encoding has.

    A character without a replacement is escaped as in Python, so that it can still be distinguished. Where a
    replacement is longer, as many spaces of the next gap of the line are dropped: columns stay aligned.
    """
    return "".join(_plain_line(line, encoding) for line in text.splitlines(keepends=True))


def _plain_line(line: str, encoding: str) -> str:
    if _has(line, encoding):
        return line
    parts: list[str] = []
    excess = 0
    for token in re.findall(r"  +|.", line, re.DOTALL):
        if excess and token.startswith("  "):
            dropped = min(excess, len(token) - 1)
            excess -= dropped
            parts.append(token[dropped:])
            continue
        written = token if _has(token, encoding) else _replacement(token, encoding)
        excess += len(written) - len(token)
        parts.append(written)
    return "".join(parts)


def _replacement(character: str, encoding: str) -> str:
    known = PLAIN.get(character)
    if known is not None and _has(known, encoding):
        return known
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _has(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _plain_rest(error: UnicodeError) -> tuple[str, int]:
    """Handler of `codecs`: replaces what an encoding lacks to the end of the line."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    end = error.object.find("\n", error.start)
    end = len(error.object) if end < 0 else end
    return _plain_line(error.object[error.start : end], error.encoding), end


class _Raw(io.RawIOBase):
    """File descriptor whose errors are distinguished from those of other files."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.problem: OutputError | None = None
        """Error of writing; a reader that closed the pipe is none."""

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write some of the bytes.

        Raises:
            OutputClosedError: the reader closed the pipe.
            OutputError: the disk is full, or the like.
        """
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            raise
        except OSError as error:
            if self._descriptor == _STDERR:
                return len(data)  # there is no place left to report it
            # Python flushes the rest once more when it exits.
            to_nowhere(self._descriptor)
            if isinstance(error, BrokenPipeError):
                raise OutputClosedError("the reader has closed the output") from error
            self.problem = OutputError(f"standard output cannot be written: {error.strerror}")
            raise self.problem from error


def open_outputs() -> None:
    """Put streams in the place of `sys.stdout` and `sys.stderr` that can be written, come what may.

    A closed one is opened to nowhere: no file of ours must get the number of an output.
    """
    codecs.register_error(_HANDLER, _plain_rest)
    for descriptor in (0, _STDOUT, _STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            to_nowhere(descriptor)
    sys.stdout = _stream(_STDOUT, sys.stdout)
    sys.stderr = _stream(_STDERR, sys.stderr)


def _stream(descriptor: int, present: TextIO | None) -> io.TextIOWrapper:
    encoding = "utf-8" if present is None else present.encoding
    raw = _Raw(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors=_HANDLER,
        line_buffering=descriptor == _STDERR or raw.isatty(),
    )


def to_nowhere(descriptor: int) -> None:
    """Let everything written to a descriptor from now on vanish."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def flush_output() -> None:
    """Write what is left.

    Raises:
        OutputClosedError: the reader closed the pipe.
        OutputError: this or something before it could not be written, if only in a view that went on.
    """
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Raw) and raw.problem is not None:
        raise raw.problem
