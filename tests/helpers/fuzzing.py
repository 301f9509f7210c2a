"""Files gone wrong, and the one rule for every reader of them: a right answer, or one clear line.

`make fuzz` sets FUZZ to try so many times more cases than the default suite does, and other ones each time.
"""

import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from reports.errors import ReportError
from search.errors import SearchError
from storage import StorageError

FACTOR = int(os.environ.get("FUZZ", "1"))
"""How many times more cases than usual."""
MEMORY_BYTES = 1 << 29
"""Memory that a reader may take beyond that of the process: files of a few kilobytes need no more."""
TIME_S = 10.0
"""Limit in seconds of the processor, not of the clock: other tests run beside this one."""
LONGEST_LINE = 1_000

Case = TypeVar("Case")
Test = TypeVar("Test", bound=Callable[..., None])

TOKENS: Sequence[bytes] = (
    *(b"", b"0", b"-1", b"1", b"1e999", b"nan", b"inf", b"-inf", b"0x10", b"1_000", b"1.5", b"3.0"),
    *(b"1000000000", b"4294967296", b"99999999999999999999", b"9" * 400, b"9" * 5000, b"-2147483649"),
    *(b"..", b"../a", b"/etc/passwd", b"/dev/zero", b"C:\\a", b"a/../../a", b"~", b"http://x/a", b"a.dat"),
    *(b"\0", b"\xff\xfe", b"\xc3\x28", "µV".encode(), "١".encode(), "½".encode(), b"\r", b"\n", b"\n\n"),
    *(b'"', b"'", b",", b";", b"+", b"/", b"{", b"}", b"[", b"\\", b"\\d", b"#", b" ", b"\t", b"=", b"(1)"),
    *(b"(" * 300, b"-" * 3000, b"[" * 900, b"None", b"True", b"{'A': 1}", b"{'A': 1e999}", b"lambda: 0"),
    *(b"__import__('os')", b"212", b"16x2", b"16:1", b"16+3", b"508", b"MLII", b"aVR", b"uV", b"test"),
    *(b"A" * 70_000, b"\xef\xbb\xbf", b"'\\ud800'", b"1if 2", b"<script>", b"00001_lr"),
)


def cases(n: int) -> Callable[[Test], Test]:
    """Settings of a property over `n` broken inputs; the same ones each time unless FUZZ asks for more."""
    return settings(
        max_examples=n * FACTOR,
        derandomize=FACTOR == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def damaged(draw: st.DrawFn, content: bytes, n_edits: int = 4) -> bytes:
    """The content after one to four edits: cut, overwritten, with a token in a word's place, doubled."""
    for _ in range(draw(st.integers(1, n_edits))):
        content = _edited(draw, content)
    return content


def _edited(draw: st.DrawFn, content: bytes) -> bytes:
    where = draw(st.integers(0, max(0, len(content) - 1)))
    token = draw(st.sampled_from(TOKENS))
    match draw(st.integers(0, 7)):
        case 0:
            return content[:where]
        case 1:
            noise = draw(st.binary(min_size=1, max_size=8))
            return content[:where] + noise + content[where + len(noise) :]
        case 2:
            return content[:where] + token + content[where:]
        case 3:
            return content[:where] + content[where + draw(st.integers(1, 40)) :]
        case 4:
            part = content[where : where + draw(st.integers(1, 200))]
            return content[:where] + part + content[where:]
        case _:  # a whole word or number gives way: the likeliest way past the first check
            start, stop = where, where
            while start > 0 and content[start - 1 : start].isalnum():
                start -= 1
            while stop < len(content) and content[stop : stop + 1].isalnum():
                stop += 1
            return content[:start] + token + content[stop:]


def outcome(read: Callable[[], Case]) -> Case | None:
    """Result of `read`, or None if it refuses in one clear line; anything else fails the test."""
    allowed, everything = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    began = time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_BYTES, everything))
    try:
        return read()
    except (SearchError, StorageError, ReportError) as refusal:
        check_line(str(refusal))
        return None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (allowed, everything))
        assert time.process_time() - began < TIME_S


def check_line(line: str) -> None:
    """A message is one line that can be read and printed."""
    assert line.strip()
    assert "\n" not in line
    assert len(line) < LONGEST_LINE, line
    assert "Traceback" not in line


def write(path: Path, content: bytes) -> Path:
    """The file with this content, its folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
