"""optuna-dashboard on the database of a search, on loopback only."""

from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from optuna_dashboard import wsgi
from rich.console import Console

from search.errors import SearchError, UsageError
from storage import open_store

HOST = "127.0.0.1"
"""optuna-dashboard has no authentication: whoever reaches it may change and delete studies."""


class _QuietHandler(WSGIRequestHandler):
    """No line per request: an open page asks every few seconds."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


def serve(storage_url: str, port: int, console: Console) -> int:
    """Serve until Ctrl-C; returns the exit status.

    Raises:
        UsageError: the port is not one.
        SearchError: the port is taken.
        storage.StorageError: there is no such database.
    """
    if not 0 < port < 65_536:
        raise UsageError(f"--port lies between 1 and 65535, got {port}")
    store = open_store(storage_url, create=False)
    application = wsgi(store.optuna_storage, artifact_store=store.artifact_store)
    try:
        server = make_server(HOST, port, application, handler_class=_QuietHandler)
    except OSError as error:
        raise SearchError(f"port {port} cannot be used ({error.strerror}): choose another --port") from error
    with server:
        console.print(
            f"http://{HOST}:{port} shows {store.name}; Ctrl-C ends it", soft_wrap=True, highlight=False
        )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print()
    return 0
