"""optuna-dashboard on the database of a search, guarded."""

import errno
import ipaddress
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import optuna
from optuna_dashboard import wsgi
from rich.console import Console

from search.errors import SearchError, UsageError
from search.watch.dashboard_guard import Guard
from storage import open_store

HOST: Final = "127.0.0.1"
"""Loopback only: optuna-dashboard has no authentication, and any client may change and delete studies."""
SILENCE_S: Final = 60
"""Seconds without data after which a connection is closed."""


class _QuietHandler(WSGIRequestHandler):
    """Handler without a log line per request: an open page sends one every few seconds."""

    timeout = SILENCE_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per connection: browsers open some in advance, and others would wait behind these."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, family: socket.AddressFamily, address: str, port: int) -> None:
        self.address_family = family
        super().__init__((address, port), _QuietHandler)


def serve(storage_url: str, console: Console, *, host: str = HOST, port: int, read_only: bool = False) -> int:
    """Serve until Ctrl-C; returns the exit status.

    Args:
        storage_url: URL of the database.
        console: takes the address to open, and a warning where it can be reached from elsewhere.
        host: name or address to listen on.
        port: port to listen on.
        read_only: refuse everything but reading.

    Raises:
        UsageError: host or port is not one.
        SearchError: the port is taken, or the address is not one of this machine.
        storage.StorageError: there is no such database.
    """
    if not 0 < port < 65_536:
        raise UsageError(f"--port lies between 1 and 65535, got {port}")
    family, address = _resolve(host, port)
    with open_store(storage_url, create=False) as store:
        application = wsgi(store.optuna_storage, artifact_store=store.artifact_store)
        is_loopback = ipaddress.ip_address(address).is_loopback
        names = {"localhost", host.lower(), *(() if is_loopback else (socket.gethostname().lower(),))}
        with _listen(family, address, port) as server:
            server.set_app(Guard(application, names=names, read_only=read_only))
            shown = f"[{address}]" if family == socket.AF_INET6 else address
            only = ", read-only" if read_only else ""
            _say(console, f"http://{shown}:{port} shows {store.name}{only}; Ctrl-C ends it")
            if not is_loopback:
                _say(console, _warning(host, read_only))
            with _optuna_quiet(), suppress(KeyboardInterrupt):
                server.serve_forever()
            if console.is_terminal:
                console.print()  # the line after ^C
    return 0


@contextmanager
def _optuna_quiet() -> Iterator[None]:
    """Optuna without warnings, Python's and those of its log; errors are still written.

    An open page sends a request every few seconds, and Optuna warns of the same parameters each time.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"optuna(_dashboard)?(\.|$)")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False)


def _warning(host: str, read_only: bool) -> str:
    if read_only:
        return f"Warning: everyone who reaches --host {host} can read all studies and artifacts"
    return (
        f"Warning: everyone who reaches --host {host} can change and delete studies, without a password; "
        "--read-only lets them look, and without --host only this machine is answered"
    )


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """Family and address of a host, without looking further than the first."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a name"
        raise UsageError(
            f"--host {host[:100]!r} cannot be found ({reason}): give an address of this machine"
        ) from error
    family, _, _, _, address = found[0]
    return family, str(address[0]).partition("%")[0]


def _listen(family: socket.AddressFamily, address: str, port: int) -> _Server:
    try:
        return _Server(family, address, port)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"--host: {address} is no address of this machine") from error
        raise SearchError(f"port {port} cannot be used ({error.strerror}): choose another --port") from error
