"""A command run in this process, and what it printed."""

import contextlib
import io
import json
import os
from dataclasses import dataclass
from typing import Any
from unittest import mock

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
    # Of a terminal of 80 columns, whatever another test or the machine says.
    eighty = mock.patch.dict(os.environ, COLUMNS="80")
    with eighty, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return Ended(status, out.getvalue(), err.getvalue())
