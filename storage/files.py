"""Files that appear whole or not at all."""

import contextlib
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its final place and rename it; a process killed meanwhile leaves what was there.

    Threads and processes may write the same file at once: each has a partial file of its own, and the last
    one stays.

    Raises:
        OSError: the folder cannot be made or written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
