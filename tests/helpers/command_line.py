"""A command run in this process, and what it printed."""

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

from search.commands.main import main


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    def document(self) -> Any:
        """The one JSON document on standard output."""
        assert (self.status, self.err) == (0, "")
        return json.loads(self.out)


def call(*arguments: str) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return Ended(status, out.getvalue(), err.getvalue())
