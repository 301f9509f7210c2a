"""Files that a test opens outside the checkout, which other machines do not have.

`watch` installs an audit hook (PEP 578), which sees what Python itself opens, lists or starts in this
process; processes that a test starts are judged by their arguments and working folder. What they and C
libraries open is not seen: `.ci/run` therefore runs the suite where nothing stands beside the checkout.
"""

# Path objects take ten times as long, and the hook sees every file.
# ruff: noqa: PTH100, PTH110, PTH112, PTH114, PTH117, PTH120

import os
import site
import sys
import sysconfig
import tempfile
from functools import lru_cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
"""Never allowed, even where the checkout itself lies in a folder that is."""


def _allowed() -> tuple[str, ...]:
    """Folders of any machine: checkout, temporary files, Python with its packages, system, caches."""
    home = Path("~").expanduser() if "HOME" in os.environ else Path("/nonexistent")
    folders = {REPOSITORY, Path(tempfile.gettempdir()), Path(sys.prefix), Path(sys.base_prefix)}
    folders |= {Path(folder) for folder in sysconfig.get_paths().values()}
    folders |= {Path(folder) for folder in [*sys.path, *site.getsitepackages(), site.getusersitepackages()]}
    folders |= {home / ".cache", home / ".config", home / ".matplotlib", home / ".local/share/fonts"}
    folders |= {Path(name) for name in os.environ.get("PATH", "").split(os.pathsep)}
    folders |= {
        Path("/", name) for name in ("bin", "dev", "etc", "lib", "lib64", "opt", "proc", "run", "sbin")
    }
    folders |= {Path("/", name) for name in ("sys", "usr", "var", "System", "Library")}
    both = {str(path) for folder in folders if folder.is_absolute() for path in (folder, folder.resolve())}
    return tuple(sorted(path.rstrip("/") + "/" for path in both if path not in ("/", str(home))))


class Watch:
    """Paths opened outside while `on`; `found` holds each path once, in order."""

    def __init__(self) -> None:
        self.on = False
        self.found: dict[str, None] = {}
        self.allowed = _allowed()
        self.is_inside = lru_cache(maxsize=10_000)(self._is_inside_uncached)

    def _is_inside_uncached(self, folder: str) -> bool:
        real = f"{os.path.realpath(folder)}/"
        return real.startswith(self.allowed) and not real.startswith(f"{SHARED}/")

    def _look_at(self, name: object, *, creates: bool = False) -> None:
        if isinstance(name, os.PathLike):
            name = os.fspath(name)
        if isinstance(name, bytes):
            name = os.fsdecode(name)
        if not isinstance(name, str) or "\0" in name or name in ("", ":memory:"):
            return
        path = os.path.abspath(name)
        if os.path.islink(path):
            path = os.path.realpath(path)
        if self.is_inside(os.path.dirname(path)) and path != str(SHARED):
            return
        if os.path.isdir(path) and self.is_inside(path):
            return
        # Nothing is read from a file that is not there.
        if creates or os.path.exists(path):
            self.found[path] = None

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        """Audit hook."""
        if not self.on:
            return
        if event == "open":
            name, _, flags = arguments
            if not isinstance(name, int):
                self._look_at(name, creates=isinstance(flags, int) and bool(flags & os.O_CREAT))
        elif event in ("os.listdir", "os.scandir", "os.chdir"):
            if not isinstance(arguments[0], int):
                self._look_at(arguments[0] or ".")
        elif event == "sqlite3.connect":
            self._look_at(str(arguments[0]).removeprefix("file:").partition("?")[0])
        elif event == "subprocess.Popen":
            _, words, folder, _ = arguments
            self._look_at(folder or ".")
            for word in words if isinstance(words, list | tuple) else ():
                if isinstance(word, str) and os.path.isabs(word):
                    self._look_at(word)

    def take(self) -> list[str]:
        """Paths found since the last call."""
        found, self.found = list(self.found), {}
        return found


def watch() -> Watch:
    """Install the hook; it stays for the life of the process."""
    watching = Watch()
    sys.addaudithook(watching.hook)
    return watching
