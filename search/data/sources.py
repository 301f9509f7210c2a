"""The kinds of data sets there are. A new kind is one new entry here."""

import itertools
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from search.data.catalogue import Catalogue
from search.data.folds import INTER_PATIENT, INTRA_PATIENT
from search.data.labels.tiers import PTBXL_TIERS, Tiers, check_tier
from search.data.other_files import archives_in
from search.data.readers import cinc, mitbih, own, ptbxl, snomed, sph
from search.errors import DataError, UsageError

MAX_DEPTH: Final = 4  # `wget -r` makes physionet.org/files/ptb-xl/1.0.3
MAX_FOLDERS: Final = 5_000


class Read(Protocol):
    """Reader of the tables of a data set."""

    def __call__(self, root: Path, split: str) -> Catalogue:
        """The catalogue of the data set in `root`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A kind of data set.

    Attributes:
        name: What it is called in messages.
        marker: The files that a folder of this kind is known by, in words.
        markers: Those of the files in a folder that make it one of this kind; none if it is not.
        spread: Whether a data set may lie in several folders.
        tiers: Its tiers.
        default_target: Tier that a study scores on if none is given.
        rates_hz: Sampling rates that its records can be read at; None where the records decide.
        splits: Names of the ways to make folds, the default first.
        read: Reads the tables of a folder of this kind, with one of `splits`.
    """

    name: str
    marker: str
    markers: Callable[[Path, Collection[str]], Sequence[str]]
    spread: bool = False
    tiers: Tiers
    default_target: str
    rates_hz: tuple[int, ...] | None
    splits: tuple[str, ...] = (INTER_PATIENT,)
    read: Read


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFolder:
    """A data set on disk.

    Attributes:
        source: Kind of data set.
        root: Folder.
        path: Argument by which `find_data` finds it: the folder, or the file that identifies its kind.
    """

    source: Source
    root: Path
    path: Path

    def check(
        self, *, target: str | None = None, rate_hz: int | None = None, split: str | None = None
    ) -> None:
        """Make sure that a data set of this kind has the requested properties, before anything is read.

        Raises:
            UsageError: It has no such tier, sampling rate or split.
        """
        source = self.source
        if target is not None:
            check_tier(target, source.tiers)
        if rate_hz is not None and source.rates_hz is not None and rate_hz not in source.rates_hz:
            rates = " or ".join(map(str, source.rates_hz))
            raise UsageError(f"--rate {rate_hz}: records of {source.name} can be read at {rates} Hz")
        if split is not None and split not in source.splits:
            raise UsageError(f"--split {split}: {source.name} has {' and '.join(source.splits)}")

    def read(self, split: str | None = None) -> Catalogue:
        """Read its tables, with the default split if none is named.

        Raises:
            UsageError: There is no such split for this kind of data set.
            DataError: A table is missing or wrong.
        """
        self.check(split=split)
        return self.source.read(self.root, split or self.source.splits[0])


def _all_of(wanted: Sequence[str], folder: Path, names: Collection[str]) -> Sequence[str]:
    """The wanted files if all of them are there."""
    return wanted if set(wanted) <= set(names) else ()


PTBXL: Final = Source(
    name="PTB-XL",
    marker=ptbxl.TABLE_NAME,
    markers=partial(_all_of, (ptbxl.TABLE_NAME,)),
    tiers=PTBXL_TIERS,
    default_target="subclass",
    rates_hz=tuple(ptbxl.FILENAME_COLUMNS),
    read=lambda root, split: ptbxl.read_catalogue(root),
)

MITBIH: Final = Source(
    name="MIT-BIH",
    marker="101.atr and the like",
    markers=lambda folder, names: mitbih.annotation_files(names),
    tiers=mitbih.TIERS,
    default_target="aami",
    rates_hz=(mitbih.RATE_HZ,),
    splits=(INTER_PATIENT, INTRA_PATIENT),
    read=mitbih.read_catalogue,
)

OWN: Final = Source(
    name="own records",
    marker=own.TABLE_NAME,
    markers=partial(_all_of, (own.TABLE_NAME,)),
    tiers=own.TIERS,
    default_target="label",
    rates_hz=None,
    read=lambda root, split: own.read_catalogue(root),
)

SPH: Final = Source(
    name="SPH",
    marker=f"{sph.TABLE_NAME} and {sph.CODES_NAME}",
    markers=partial(_all_of, (sph.TABLE_NAME, sph.CODES_NAME)),
    tiers=sph.TIERS,
    default_target="aha",
    rates_hz=(sph.LOW_RATE_HZ, sph.RATE_HZ),
    read=lambda root, split: sph.read_catalogue(root),
)

CINC: Final = Source(
    name="CinC 2020/2021",
    marker="headers with a line #Dx",
    markers=cinc.described_headers,
    spread=True,
    tiers=snomed.TIERS,
    default_target="challenge",
    rates_hz=cinc.RATES_HZ,
    read=lambda root, split: cinc.read_catalogue(root),
)

SOURCES: Final = (PTBXL, MITBIH, SPH, CINC, OWN)
_TABLES: Final = (ptbxl.TABLE_NAME, own.TABLE_NAME, sph.TABLE_NAME)


def find_data(path: Path) -> DataFolder:
    """The data set in `path` or in one folder at most four levels below it.

    A file that a kind of data set is known by stands for its folder, and for this kind where the folder could
    be of several.

    Raises:
        DataError: There is no such folder, no data set in it, or more than one.
    """
    try:
        path = path.expanduser().absolute()
        if path.is_file() and (found := _data_of_file(path)) is not None:
            return found
        if not path.is_dir():
            problem = "is a file, not a folder" if path.exists() else "does not exist"
            raise DataError(f"{path} {problem}; give the folder that a data set was unpacked into")
        next(path.iterdir(), None)  # an unreadable folder must not look like an empty one
    except (OSError, RuntimeError) as error:  # RuntimeError: the home folder of an unknown user
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be opened: {reason}; give the folder of a data set") from error
    below = _joined(_search_below(path))
    if not below:
        wanted = ", ".join(f"{source.marker} ({source.name})" for source in SOURCES)
        like = next((name for name in sorted(_entries(path)[0]) if _is_marker_in_other_letters(name)), None)
        if like is not None:
            raise DataError(
                f"no data set in {path}: {like} is not read under this name; write {like.lower()}"
            )
        around = next((folder for folder in path.parents[:MAX_DEPTH] if _has_table(folder)), None)
        if around is not None:
            raise DataError(f"no data set in {path}, which is a part of one; give {around}")
        raise DataError(
            f"no data set in {path}: neither there nor up to {MAX_DEPTH} levels below is one of {wanted}"
            f"{archives_in(path)}"
        )
    if len(below) == 1:
        return below[0]
    roots = list(dict.fromkeys(str(data.root) for data in below))
    if len(roots) == 1:
        claims = " or ".join(f"{data.path} for {data.source.name}" for data in below)
        raise DataError(f"{roots[0]} could be {len(below)} kinds of data set; give {claims}")
    listing = ", ".join(roots[:5]) + (", …" if len(roots) > 5 else "")
    raise DataError(f"{path} holds {len(roots)} data sets: {listing}; give one of them")


def _is_marker_in_other_letters(name: str) -> bool:
    """Whether a file that a data set is known by has this name but for capital letters."""
    if name.lower() == name:
        return False
    return name.lower() in (*_TABLES, sph.CODES_NAME) or bool(mitbih.annotation_files({name.lower()}))


def _has_table(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _TABLES)


def _data_of_file(path: Path) -> DataFolder | None:
    """The data set that is known by a file."""
    names, _ = _entries(path.parent)
    for source in SOURCES:
        if path.name in source.markers(path.parent, {*names, path.name}):
            return DataFolder(source=source, root=path.parent, path=path)
    return None


def _search_below(path: Path) -> list[DataFolder]:
    """Data sets, breadth first; what lies below one is part of it.

    A folder of several kinds is there once for each, by a file that only this kind is known by.
    """
    level, n_seen = [path], 0
    found: list[DataFolder] = []
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            names, subfolders = _entries(folder)
            markers = {source.name: source.markers(folder, names) for source in SOURCES}
            kinds = [source for source in SOURCES if markers[source.name]]
            if not kinds:
                below += subfolders
            for source in kinds:
                sole = folder / sorted(markers[source.name])[0] if len(kinds) > 1 else folder
                found.append(DataFolder(source=source, root=folder, path=sole))
        n_seen += len(level)
        level = list(itertools.islice(below, MAX_FOLDERS - n_seen))
    if n_seen >= MAX_FOLDERS and not found:
        raise DataError(f"{path} holds more than {MAX_FOLDERS:,} folders; give the data set's own folder")
    return found


def _joined(found: Sequence[DataFolder]) -> list[DataFolder]:
    """Data sets, those made one that lie in several folders.

    Their folder is the nearest above all of them, unless another data set lies in it: then they are one for
    each folder in that.
    """
    parts = [data for data in found if data.source.spread]
    if len(parts) <= 1:
        return list(found)
    others = [data for data in found if not data.source.spread]
    root = Path(os.path.commonpath([data.root for data in parts]))
    if not any(data.root.is_relative_to(root) for data in others):
        return [*others, DataFolder(source=parts[0].source, root=root, path=root)]
    by_folder: dict[Path, list[DataFolder]] = {}
    for data in parts:
        by_folder.setdefault(root.joinpath(*data.root.relative_to(root).parts[:1]), []).append(data)
    joined = [_joined(of_folder) for of_folder in by_folder.values()]
    return [*others, *itertools.chain.from_iterable(joined)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself hides nothing but itself
        return False


def _entries(folder: Path) -> tuple[set[str], list[Path]]:
    """Names of the files in a folder, and the folders in it."""
    files, folders = set(), []
    try:
        with os.scandir(folder) as entries:  # `is_dir` from the listing, without a call for each of 21,799
            for entry in entries:
                if not _is_folder(entry):
                    files.add(entry.name)
                elif not entry.name.startswith("."):
                    folders.append(Path(entry.path))
    except OSError:  # someone else's folder below the one given is no reason to stop
        pass
    return files, sorted(folders)
