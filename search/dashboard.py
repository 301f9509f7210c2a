"""optuna-dashboard on the database of a search, on loopback only."""

import socket

from optuna_dashboard import run_server
from rich.console import Console

from search.errors import SearchError, UsageError
from storage import open_store

HOST = "127.0.0.1"
"""optuna-dashboard has no authentication: whoever reaches it may change and delete studies."""


def serve(storage_url: str, port: int, console: Console) -> int:
    """Serve until Ctrl-C.

    Raises:
        UsageError: the port is not one.
        SearchError: the port is taken.
        storage.StorageError: there is no such database.
    """
    if not 0 < port < 65_536:
        raise UsageError(f"--port lies between 1 and 65535, got {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SearchError(
                f"port {port} cannot be used ({error.strerror}): choose another --port"
            ) from error
    store = open_store(storage_url, create=False)
    console.print(f"http://{HOST}:{port}  (Ctrl-C ends it)", highlight=False)
    run_server(store.optuna_storage, host=HOST, port=port, artifact_store=store.artifact_store)
    return 0
