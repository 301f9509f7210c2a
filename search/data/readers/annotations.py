"""Annotation files of WFDB records in MIT format: what was marked, and where."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from search.data.other_files import other_file
from search.data.signals.headers import file_size
from search.errors import RecordError

_MAX_BYTES: Final = 1_000_000  # the longest of MIT-BIH has 9,000
_SKIP: Final = 59
_AUX: Final = 63
_OF_THE_ANNOTATION_BEFORE: Final = (60, 61, 62)
"""Codes that are no annotations: a long interval, a text, and three kinds of remarks."""


def read_annotations(path: Path) -> list[tuple[int, int]]:
    """Sample and code of every annotation of a record, in file order.

    Not left to wfdb, which takes whatever stands last for the end mark: a truncated file would lose a beat
    unnoticed.

    Args:
        path: The record without extension.

    Raises:
        RecordError: The file is missing, cannot be read, or does not end where its end mark is.
    """
    file = path.with_name(f"{path.name}.atr")
    try:
        n_bytes = file_size(file)
        if n_bytes > _MAX_BYTES:
            raise RecordError(f"{file.name} has {n_bytes:,} bytes, too many for annotations")
        content = file.read_bytes()
    except OSError as error:
        raise RecordError(f"annotations cannot be read: {error.strerror}") from error
    try:
        return list(_decode(content))
    except RecordError:
        # Not before: the first bytes of annotations may be those of an archive.
        if (other := other_file(content)) is None:
            raise
        raise RecordError(f"{file.name} {other}") from None


def _decode(content: bytes) -> Iterator[tuple[int, int]]:
    """MIT format: words of a six-bit code above ten bits with the distance in samples (annot(5), WFDB)."""
    words = iter(np.frombuffer(content[: len(content) // 2 * 2], "<u2").tolist())
    sample = 0
    try:
        while word := next(words):
            code, number = divmod(word, 1024)
            if code == _SKIP:
                sample += _signed(next(words) << 16 | next(words))
            elif code == _AUX:
                for _ in range((number + 1) // 2):
                    next(words)
            elif code not in _OF_THE_ANNOTATION_BEFORE:
                sample += number
                yield sample, code
    except StopIteration:
        raise RecordError("annotations are truncated: there is no end mark") from None
    if len(content) % 2 or next(words, None) is not None:
        raise RecordError("annotations go on behind their end mark")


def _signed(number: int) -> int:
    """32 bits as a two's complement."""
    return number - 2**32 if number >= 2**31 else number
