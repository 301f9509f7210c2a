"""Checks of requests in front of optuna-dashboard, which has no access control of its own.

optuna-dashboard has no passwords, and any web page can make the browser of its visitor send requests to a
server on the visitor's machine. Two checks of every request stop such pages:

* Host. A page can point its own host name at 127.0.0.1 (DNS rebinding), so that the browser treats the
  dashboard as part of that page. The request still carries the page's host name; only IP addresses and names
  of this machine are accepted.
* Origin. For requests that could change something (cross-site request forgery), or whose response another
  page reads, the browser sends the origin of the page. It must be the dashboard itself.

In read-only mode every request with another method than GET, HEAD or OPTIONS is refused as well.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

READING = frozenset({"GET", "HEAD", "OPTIONS"})
ARTIFACTS = "/artifacts/"

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_HEADERS = (
    ("X-Frame-Options", "SAMEORIGIN"),  # no page may lay itself over the buttons
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
)
_ARTIFACT_HEADERS = (("Content-Security-Policy", "sandbox allow-scripts allow-downloads"),)
"""An artifact may be a page, from whomever; its scripts get an origin of their own, which is refused."""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Guard:
    """WSGI middleware that passes permitted requests to an application.

    Args:
        application: application behind the checks.
        names: permitted host names, in lower case, besides any IP address.
        read_only: whether to refuse requests that could change something.
    """

    def __init__(self, application: Application, *, names: Collection[str], read_only: bool) -> None:
        self._application = application
        self._names = frozenset(names)
        self._read_only = read_only

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, with 403 or 405 and the reason in one line if it may not pass."""
        refusal = self._refusal(environ)
        if refusal is not None:
            status, reason = refusal
            text = f"{reason}\n".encode()
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
            if status.startswith("405"):
                headers.append(("Allow", ", ".join(sorted(READING))))
            start_response(status, headers)
            return [text]
        added = list(_HEADERS)
        if environ.get("PATH_INFO", "").startswith(ARTIFACTS):
            added += _ARTIFACT_HEADERS

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            # optuna-dashboard lets every page on the web read artifacts.
            kept = [pair for pair in headers if not pair[0].lower().startswith("access-control-")]
            return start_response(status, kept + added, *rest)

        return self._application(environ, start)

    def _refusal(self, environ: Environ) -> tuple[str, str] | None:
        """Status and reason, None for a request that may pass."""
        host = environ.get("HTTP_HOST", "")
        if not self._is_ours(host):
            return "403 Forbidden", "asked for under a name that is not this machine's"
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin.lower() not in {f"http://{host}".lower(), f"https://{host}".lower()}:
            return "403 Forbidden", "asked for by another page"
        if self._read_only and environ["REQUEST_METHOD"] not in READING:
            return "405 Method Not Allowed", "this dashboard is read-only"
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether the Host of a request is an address or one of our names, with or without a port."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower()
        return name in self._names or _is_address(name.strip("[]"))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
