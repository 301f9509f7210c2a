"""Fetch PTB-XL from PhysioNet: resumable, and every file checked against the published SHA-256.

A file is fetched under another name and takes its place when its checksum is right, so whatever lies in the
folder under its own name is good or was there before; running the same command again fetches what is missing
or wrong. Of 43,000 files wfdb checks none, and pooch fetches one after another.
"""

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reports.numbers import first_words
from search.data.readers.ptbxl import TABLE_NAME
from search.data.readers.statements import STATEMENTS_NAME
from search.errors import DataError, UsageError

if TYPE_CHECKING:
    from requests import Session

Progress = Callable[[int, int], None]
"""Called with the number of files done and the number of all."""

N_CONNECTIONS: Final = 4
"""wfdb opens two, out of courtesy to PhysioNet; 43,000 small files need a few more."""

_SUMS: Final = "SHA256SUMS.txt"
_SUM_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*)")
_PART: Final = ".part"
_TIMEOUT_S: Final = 60
_PIECE_BYTES: Final = 2**20
_RETRY_AFTER_S: Final = (1.0, 5.0)  # a server under load recovers, a wrong file does not


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A data set that can be fetched."""

    url: str
    """Folder that holds SHA256SUMS.txt, with a slash at the end."""
    always: frozenset[str]
    """Files that are fetched whatever the rates."""
    folders: dict[int, str]
    """Folder of the records of each sampling rate in Hz."""


SOURCES: Final = {
    "ptb-xl": Source(
        url="https://physionet.org/files/ptb-xl/1.0.3/",
        always=frozenset({TABLE_NAME, STATEMENTS_NAME, "LICENSE.txt", "RECORDS"}),
        folders={100: "records100/", 500: "records500/"},
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloaded:
    """The result of a download."""

    folder: Path
    n_files: int
    """Files that are now there and verified."""
    n_fetched: int
    """Files among them that were not there before or were wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    url: str
    path: Path
    sha256: str


class _FileError(Exception):
    """One file is not there or is not the published one; others may be fine."""


def download(
    name: str,
    folder: Path,
    *,
    rates_hz: Collection[int] = (100,),
    progress: Progress | None = None,
    base_url: str | None = None,
    retry_after_s: tuple[float, ...] = _RETRY_AFTER_S,
) -> Downloaded:
    """Fetch a data set, or what is missing of it.

    Args:
        name: "ptb-xl" (version 1.0.3).
        folder: Where to put it; made if need be.
        rates_hz: Sampling rates to fetch.
        progress: Called after each file, first with those that were there already.
        base_url: Another place with the same files, such as a mirror.
        retry_after_s: Pauses before the second, third … attempt at a file.

    Raises:
        UsageError: There is no data set of this name, or not at this rate.
        DataError: No network, a file that does not match its checksum, or the folder cannot be written.
    """
    from requests import Session

    source = _source(name, rates_hz)
    url = base_url or source.url
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Session() as session:
            fetch = _Fetcher(session, url, retry_after_s)
            sums = _read_sums(fetch, url, folder)
            return _run(fetch, _jobs(source, sums, url, folder, rates_hz), folder, progress)
    except OSError as error:
        raise DataError(
            f"cannot use {folder}: {error.strerror or type(error).__name__}; "
            "free space or give another folder, then run the same command again"
        ) from error


def _source(name: str, rates_hz: Collection[int]) -> Source:
    if name not in SOURCES:
        raise UsageError(f"cannot download {name!r}; data sets to download: {', '.join(SOURCES)}")
    for rate_hz in rates_hz:
        if rate_hz not in SOURCES[name].folders:
            rates = " and ".join(map(str, SOURCES[name].folders))
            raise UsageError(f"--rate {rate_hz}: {name} is published at {rates} Hz")
    return SOURCES[name]


class _Fetcher:
    """Transfers single files; safe to share between threads."""

    def __init__(self, session: "Session", base_url: str, retry_after_s: tuple[float, ...]) -> None:
        from requests.adapters import HTTPAdapter

        self._host = urlsplit(base_url).hostname or base_url
        self._retry_after_s = retry_after_s
        self._session = session
        session.mount(base_url, HTTPAdapter(pool_maxsize=N_CONNECTIONS, pool_block=True))

    def __call__(self, url: str, path: Path, sha256: str | None = None) -> None:
        """Put a file in its place, if its SHA-256 is `sha256`.

        Raises:
            _FileError: The server does not hand it out, or each time another one.
            DataError: The server cannot be reached.
            OSError: The file cannot be written.
        """
        for pause_s in (*self._retry_after_s, None):
            try:
                return self._once(url, path, sha256)
            except (_FileError, ConnectionError) as error:
                if pause_s is not None:
                    time.sleep(pause_s)
                elif isinstance(error, _FileError):
                    raise
                else:
                    raise DataError(
                        f"cannot reach {self._host} ({error}): check the connection and run the same command "
                        "again, or download by hand and pass --data"
                    ) from error
        return None

    def _once(self, url: str, path: Path, sha256: str | None) -> None:
        from requests import RequestException

        part = path.with_name(path.name + _PART)
        digest = hashlib.sha256()
        try:
            try:
                # As it lies on the server: a file that is compressed on the way has another size.
                headers = {"Accept-Encoding": "identity"}
                with self._session.get(url, stream=True, timeout=_TIMEOUT_S, headers=headers) as answer:
                    if answer.status_code >= 500:
                        raise ConnectionError(f"status {answer.status_code}")
                    if answer.status_code != 200:
                        raise _FileError(f"{url}: refused with status {answer.status_code}")
                    with part.open("wb") as file:
                        for piece in answer.iter_content(_PIECE_BYTES):
                            digest.update(piece)
                            file.write(piece)
            except RequestException as error:  # an OSError, as is a full disk
                raise ConnectionError(type(error).__name__) from error
            if sha256 is not None and digest.hexdigest() != sha256:
                raise _FileError(f"{url}: not the published content (SHA-256 differs)")
            part.replace(path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _read_sums(fetch: _Fetcher, url: str, folder: Path) -> dict[str, str]:
    """Published checksum of each file, by its path below the folder.

    Raises:
        DataError: The list cannot be fetched, is not one, or names a path outside the folder.
    """
    path = folder / _SUMS
    try:
        fetch(url + _SUMS, path)
    except _FileError as error:
        raise DataError(f"{error}; try again later") from error
    sums: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _SUM_LINE.fullmatch(line.strip())
        if match is None:
            if line.strip():
                raise DataError(
                    f"{url}{_SUMS} is not a list of checksums (line {line[:60]!r}); try again later"
                )
            continue
        name = match[2].removeprefix("./")
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or not name.isprintable() or set(name) & set("\\:?#%"):
            raise DataError(f"{url}{_SUMS} names {name[:80]!r}, outside the folder; nothing was fetched")
        sums[name] = match[1].lower()
    return sums


def _jobs(
    source: Source, sums: dict[str, str], url: str, folder: Path, rates_hz: Collection[int]
) -> list[_Job]:
    prefixes = tuple(source.folders[rate_hz] for rate_hz in rates_hz)
    wanted = [name for name in sums if name in source.always or name.startswith(prefixes)]
    missing = [name for name in (TABLE_NAME, STATEMENTS_NAME) if name not in sums]
    missing += [prefix for prefix in prefixes if not any(name.startswith(prefix) for name in wanted)]
    if missing:
        raise DataError(f"{url}{_SUMS} does not list {', '.join(missing)}: this is not PTB-XL 1.0.3")
    return [_Job(url=url + name, path=folder / name, sha256=sums[name]) for name in wanted]


def _run(fetch: _Fetcher, jobs: list[_Job], folder: Path, progress: Progress | None) -> Downloaded:
    with ThreadPoolExecutor(N_CONNECTIONS, thread_name_prefix="download") as executor:
        good = list(executor.map(_is_good, jobs))
        todo = [job for job, is_good in zip(jobs, good, strict=True) if not is_good]
        n_done = len(jobs) - len(todo)
        if progress is not None:
            progress(n_done, len(jobs))
        for parent in {job.path.parent for job in todo}:
            parent.mkdir(parents=True, exist_ok=True)
        futures = [executor.submit(fetch, job.url, job.path, job.sha256) for job in todo]
        wrong: list[str] = []
        try:
            for future in as_completed(futures):
                try:
                    future.result()
                except _FileError as error:
                    wrong.append(str(error))
                    continue
                n_done += 1
                if progress is not None:
                    progress(n_done, len(jobs))
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    if wrong:
        raise DataError(
            f"{len(wrong):,} of {len(jobs):,} files could not be fetched: "
            f"{first_words(sorted(wrong), 3, between='; ')}; run the same command again for these"
        )
    return Downloaded(folder=folder, n_files=len(jobs), n_fetched=len(todo))


def _is_good(job: _Job) -> bool:
    return job.path.is_file() and _sha256(job.path) == job.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
