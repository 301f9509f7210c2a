"""Folders of the PhysioNet/CinC Challenges 2020 and 2021, and whatever else is laid out like them.

    georgia/g1/E00001.hea    a WFDB header with comments "Age: 74", "Sex: Male" and "Dx: 59118001,164889003"
    georgia/g1/E00001.mat    its signals, or E00001.dat

Headers in the folder given and in all below it are the records of one data set. `Dx` holds SNOMED CT codes
(`search.data.readers.snomed`), of which the challenge scored some. A record without any keeps its row. An age
or sex that is none counts as unknown.

No header names a patient, so every record is one of its own, unless a file `patients.csv` in the folder says
otherwise, with the columns record (the header's name without folder and ending) and patient_id. A tenth of
the patients is sealed and the others are spread over five folds, every patient in one.

The first header that is not sealed sets the leads. Records may have any rate and are read at 100 or 500 Hz.
Of each record the first ten seconds count; behind one that has less, but five or more, 0 mV follow.

Shape suffixes: L lead, T time.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from reports.numbers import counted_words, first_words
from search.data.catalogue import Catalogue, numbering_of, short_name
from search.data.folds import FIVE_FOLDS
from search.data.grouping import balanced_folds, is_sealed, numbered
from search.data.labels.severity import read_severity
from search.data.labels.tiers import Hierarchy
from search.data.readers.snomed import CODES_NAME, TIERS, Finding, findings
from search.data.signals.headers import Shape, ShapeReader, load_wfdb, read_comments, record_files
from search.data.signals.leads import one_order
from search.data.signals.people import age_of, comment_fields, is_unknown, sex_of
from search.data.signals.records import RECORD_S, Damage, RecordReader, RecordSignals
from search.data.signals.resample import resample
from search.data.signals.waveforms import RecordFiles
from search.data.tables import read_csv
from search.errors import DataError, RecordError

RATES_HZ: Final = (100, 500)
"""Rates that records can be read at: PTB-XL's, the higher of which most records of the challenge have."""
SHORTEST_S: Final = 5
"""Records of the challenge have five seconds or more (Reyna et al. 2021)."""
PATIENTS_NAME: Final = "patients.csv"
N_RECORDS: Final = {"2020": 43_101, "2021": 88_253}
"""Public records of each challenge."""

_N_PEEKED: Final = 3
_CODE: Final = re.compile(r"[0-9]{6,18}")  # as long as SNOMED CT makes them
_CODES: Final = re.compile(rf"{_CODE.pattern}(?:[ \t]*,[ \t]*{_CODE.pattern})*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """A database of the challenge.

    Attributes:
        pattern: Pattern of the names of its records.
        short: Short name.
        words: Name in messages.
        people: How many records it has of how many people; empty where that is not published or where
            everybody has one record.
    """

    pattern: str
    short: str
    words: str
    people: str = ""


DATABASES: Final = (
    Database(pattern=r"A\d{4}", short="cpsc-2018", words="CPSC 2018"),
    Database(pattern=r"Q\d{4}", short="cpsc-extra", words="CPSC-Extra"),
    Database(
        pattern=r"I\d{4}", short="incart", words="St Petersburg INCART", people="75 records of 32 people"
    ),
    Database(pattern=r"S\d{4}", short="ptb", words="PTB", people="549 records of 290 people"),
    Database(pattern=r"HR\d{5}", short="ptb-xl", words="PTB-XL", people="21,799 records of 18,869 people"),
    Database(pattern=r"E\d{5}", short="georgia", words="Georgia"),
    Database(pattern=r"JS\d{5}", short="chapman-ningbo", words="Chapman–Shaoxing–Ningbo"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Record:
    """The content of the header of a record.

    Attributes:
        name: Path of the record below the folder, without extension.
        shape: Rate, leads and length.
        codes: SNOMED CT codes, each once.
        age: As written.
        sex: As written.
    """

    name: str
    shape: Shape
    codes: tuple[str, ...]
    age: str
    sex: str

    @property
    def file(self) -> str:
        """The name without its folder."""
        return self.name.rpartition("/")[2]

    @property
    def database(self) -> Database | None:
        """Database of the challenge that has records of such names."""
        return next((database for database in DATABASES if re.fullmatch(database.pattern, self.file)), None)

    @property
    def rate_hz(self) -> int:
        return int(self.shape.rate_hz)

    @property
    def seconds(self) -> float:
        return self.shape.n_samples / self.shape.rate_hz


def described_headers(folder: Path, names: Collection[str]) -> Sequence[str]:
    """Headers among the files of a folder, if one of the first has a line of diagnoses."""
    headers = sorted(name for name in names if name.endswith(".hea") and _is_visible(name))
    for name in headers[:_N_PEEKED]:
        try:
            if comment_fields(read_comments(str(folder / name.removesuffix(".hea"))))["dx"]:
                return headers
        except (RecordError, OSError):
            continue
    return ()


def _is_visible(name: str) -> bool:
    """Whether a file is part of the data set; macOS puts `._E00001.hea` beside `E00001.hea`."""
    return not name.startswith(".")


def read_catalogue(root: Path) -> Catalogue:
    """Read all headers below a folder.

    Raises:
        DataError: No header can be read, two are of the same name, or a table of patients is wrong.
    """
    names, listed, signals = _find_records(root)
    records, damages = _read_records(root, names)
    if not records:
        raise DataError(
            f"{root}: none of {len(names):,} headers can be used; the first is {names[0]}.hea: "
            f"{damages[0].reason}"
        )
    known, severity = findings(), read_severity()
    unknown = sorted({code for record in records for code in record.codes} - known.keys())
    of_code = {**known, **{code: Finding(code=code, number=code) for code in unknown}}
    people, patient_notes = _patients(root, records, names)
    patient_id, patient_names = numbered(people)
    fold = np.where(is_sealed(people), FIVE_FOLDS.sealed, 0)
    fold[fold == 0] = balanced_folds(patient_id[fold == 0])
    number_of = {name: number for number, name in enumerate(names, start=1)}
    record_id = np.array([number_of[record.name] for record in records], dtype=np.int64)
    n_of = Counter(record.database for record in records)
    return Catalogue(
        root=root,
        name=short_name("cinc", root),
        version=_version(n_of),
        ecg_id=record_id,
        patient_id=patient_id,
        patient_names=patient_names,
        strat_fold=fold,
        fold_plan=FIVE_FOLDS,
        statements=tuple(tuple(of_code[code].code for code in record.codes) for record in records),
        hierarchy=Hierarchy(
            list(of_code.values()),
            severity,
            tiers=TIERS,
            noun="SNOMED CT code",
            listed_in=CODES_NAME,
        ),
        meaning=str(sorted(_meaning(finding) for finding in of_code.values())),
        waveforms=_waveforms(root, records, record_id, fold),
        contains=tuple(database.short for database in DATABASES if database in n_of),
        numbering=numbering_of(record_id, [record.name for record in records], patient_id, people),
        damages=tuple(damages),
        notes=(
            *patient_notes,
            *_database_notes(n_of),
            *_signal_notes(records),
            *_label_notes(records, of_code, severity.scheme.others.name),
            *_people_notes(records),
            *_listing_notes(names, listed),
            *_signal_file_notes(root, names, signals),
        ),
        age=np.array([age_of(record.age) for record in records], dtype=np.float32),
        sex=np.array([sex_of(record.sex) for record in records], dtype=np.float32),
    )


# Finding and reading headers


def _find_records(root: Path) -> tuple[list[str], set[str], set[str]]:
    """Names of all records below a folder, sorted, those that files RECORDS list, and all signal files.

    A header that ends with `.HEA` is a record that cannot be opened under that name.

    Raises:
        DataError: Two headers have the same name, or a folder cannot be opened.
    """
    names: list[str] = []
    listed: set[str] = set()
    signals: set[str] = set()
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        subfolders[:] = [] if real in seen else sorted(name for name in subfolders if name[0] != ".")
        if real in seen:  # a link to a folder above or beside
            continue
        seen.add(real)
        below = "" if Path(folder) == root else f"{Path(folder).relative_to(root).as_posix()}/"
        shown = list(filter(_is_visible, files))
        names += [f"{below}{file[:-4]}" for file in shown if file.lower().endswith(".hea")]
        signals |= {f"{below}{file}" for file in shown if file.lower().endswith((".mat", ".dat"))}
        if "RECORDS" in files:
            listed |= {f"{below}{name}" for name in _listed(Path(folder) / "RECORDS")}
    first: dict[str, str] = {}
    for name in sorted(names):
        other = first.setdefault(name.rpartition("/")[2], name)
        if other != name:
            raise DataError(
                f"{root}: {other}.hea and {name}.hea are records of one name; if one is a copy, take it away "
                "or give a folder that holds only one of them, otherwise rename one"
            )
    return sorted(names), listed, signals


def _refuse(error: OSError) -> NoReturn:
    raise DataError(
        f"{error.filename} cannot be opened: {error.strerror}; make it readable or take it away"
    ) from error


def _listed(path: Path) -> list[str]:
    """Records that a file RECORDS lists; lines with a slash at the end are folders."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return []
    return [line.removesuffix(".hea").removesuffix(".mat") for line in lines if not line.endswith("/")]


def _read_records(root: Path, names: Sequence[str]) -> tuple[list[_Record], list[Damage]]:
    """Contents of headers, and the headers that cannot be used."""
    records, damages, shapes = [], [], ShapeReader()
    for record_id, name in enumerate(names, start=1):
        try:
            records.append(_read_record(shapes, root, name))
        except (RecordError, OSError) as error:
            damages.append(Damage(ecg_id=record_id, filename=name, reason=str(error)))
    return records, damages


def _read_record(shapes: ShapeReader, root: Path, name: str) -> _Record:
    shape, comments = shapes.read(f"{root}/{name}")
    fields = comment_fields(comments)
    if not fields["dx"]:
        raise RecordError("its header has no line #Dx")
    if fields["dx"][0].endswith(",") and any(map(_CODES.fullmatch, comments)):
        raise RecordError("its header has diagnoses in a line of their own, behind #Dx")
    if several := [field for field, values in fields.items() if len(values) > 1]:
        raise RecordError(f"its header has {len(fields[several[0]])} lines #{several[0].capitalize()}")
    if shape.rate_hz != int(shape.rate_hz) or shape.rate_hz < min(RATES_HZ):
        raise RecordError(
            f"sampled at {shape.rate_hz:g} Hz, expected a whole number of {min(RATES_HZ)} or more"
        )
    return _Record(
        name=name,
        shape=shape,
        codes=_codes(fields["dx"][0]),
        age=next(iter(fields["age"]), ""),
        sex=next(iter(fields["sex"]), ""),
    )


def _codes(text: str) -> tuple[str, ...]:
    codes = []
    for word in map(str.strip, text.split(",")):
        if is_unknown(word):
            continue
        if not _CODE.fullmatch(word):
            raise RecordError(f"Dx holds {word[:40]!r}, which is no SNOMED CT code")
        codes.append(word)
    return tuple(dict.fromkeys(codes))


# People


def _patients(
    root: Path, records: Sequence[_Record], names: Sequence[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Patient of each record: as in the table, or the record's own name.

    Raises:
        DataError: The table is wrong, names a record twice, or names none that is here.
    """
    own = [record.file for record in records]
    if not (root / PATIENTS_NAME).is_file():
        if other := next((path.name for path in root.iterdir() if path.name.lower() == PATIENTS_NAME), None):
            raise DataError(f"{root / other} is not read under this name; rename it {PATIENTS_NAME}")
        return own, (
            "no header names a patient: every record counts as a patient of its own, and folds may share "
            f"people with several records; to keep them apart, add {PATIENTS_NAME} (record, patient_id)",
        )
    table = read_csv(root / PATIENTS_NAME, ("record", "patient_id"), remedy="correct the file")
    people = table.identifiers("patient_id", "patient")
    patient_of: dict[str, str] = {}
    files = [name.rpartition("/")[2] for name in table.record_names("record", root)]
    for row, (name, patient) in enumerate(zip(files, people, strict=True)):
        if patient_of.setdefault(name, patient) != patient:
            raise table.bad_cell("record", row, f"once; it is of patient {patient_of[name][:40]} as well")
    # What stands in front keeps a patient of the table apart from a record that is its own patient.
    found = [f"patient {patient_of[name]}" if name in patient_of else name for name in own]
    here = {name.rpartition("/")[2] for name in names}
    elsewhere = [name for name in patient_of if name not in here]
    if len(elsewhere) == len(patient_of):
        raise DataError(
            f"{table.path}: none of its records has a header here, the first is {elsewhere[0][:60]!r}; name "
            f"headers without folder and ending, such as {own[0]}, or take the file away"
        )
    n_without = sum(name not in patient_of for name in own)
    rest = f"; the other {n_without:,} records count as patients of their own" if n_without else ""
    notes = [f"patients of {len(own) - n_without:,} records are those of {PATIENTS_NAME}{rest}"]
    if elsewhere:
        notes.append(
            f"records of {PATIENTS_NAME} without a header here: {len(elsewhere):,} ({elsewhere[0][:60]}"
            f"{', …' if len(elsewhere) > 1 else ''})"
        )
    return found, tuple(notes)


def _version(n_of: Mapping[Database | None, int]) -> str:
    n_records = sum(n_of.values())
    if None in n_of:
        return f"{n_records:,} records"
    years = [year for year, n_published in N_RECORDS.items() if n_published == n_records]
    words = " and ".join(database.words for database in DATABASES if database in n_of)
    return years[0] if years else f"{n_records:,} records with names of {words}"


# Signals


def _waveforms(
    root: Path, records: Sequence[_Record], record_id: NDArray[np.int64], fold: NDArray[np.int64]
) -> dict[int, RecordFiles]:
    """Signals at each rate; the leads are those of the first record that is not sealed."""
    first = records[int(np.argmax(fold != FIVE_FOLDS.sealed))]
    try:
        leads = one_order(first.shape.leads)
    except RecordError as error:
        raise DataError(f"{root / first.name}.hea: {error}") from error
    readers = {
        rate_hz: RecordReader(
            root, rate_hz=rate_hz, may_be_longer=True, n_least=SHORTEST_S * rate_hz, leads=leads
        )
        for rate_hz in {record.rate_hz for record in records}
    }
    reader_of = {record.name: readers[record.rate_hz] for record in records}
    return {
        rate_hz: RecordFiles(
            root=root,
            rate_hz=rate_hz,
            leads=leads,
            n_samples=RECORD_S * rate_hz,
            record_id=record_id,
            names=tuple(record.name for record in records),
            recipe=f"first {RECORD_S} s at {rate_hz} Hz, 0 behind shorter ones, {leads}\n",
            prepare=load_wfdb,
            read_one=partial(_read_at, reader_of, rate_hz),
            files_of=partial(record_files, root),
        )
        for rate_hz in RATES_HZ
    }


def _read_at(reader_of: Mapping[str, RecordReader], rate_hz: int, name: str) -> RecordSignals:
    """The first ten seconds of a record at a rate, shape (L, 10 · rate_hz)."""
    reader = reader_of[name]
    record = reader.read(name)
    x_LT = record.x_LT
    if reader.rate_hz != rate_hz:
        x_LT = resample(x_LT, reader.rate_hz, rate_hz)
    n_missing = RECORD_S * rate_hz - x_LT.shape[1]
    return replace(record, x_LT=np.pad(x_LT, ((0, 0), (0, n_missing))) if n_missing else x_LT)


# Labels


def _meaning(finding: Finding) -> tuple[object, ...]:
    scp = finding.scp
    place = (scp.code, scp.diagnostic, scp.form, scp.rhythm, scp.subclass) if scp else ()
    return (
        finding.code,
        finding.number,
        finding.challenge or "",
        place,
        finding.superclass or "",
        finding.aha or "",
    )


# Messages


def _records(n: int) -> str:
    return f"{n:,} record{'s' * (n != 1)}"


def _database_notes(n_of: Mapping[Database | None, int]) -> Iterable[str]:
    people = [f"{base.words} has {base.people}" for base in DATABASES if base.people and base in n_of]
    if people:
        yield f"several records of one person are known to be in databases of such names: {'; '.join(people)}"
    for database in DATABASES:
        if database.short == "ptb-xl" and database in n_of:
            yield (
                f"{n_of[database]:,} records have the names of PTB-XL's in the challenge, HR00001 for ecg_id "
                "1: never test on one of the two what was trained on the other"
            )


def _signal_notes(records: Sequence[_Record]) -> Iterable[str]:
    rates = Counter(record.rate_hz for record in records)
    if len(rates) > 1 or not rates.keys() <= set(RATES_HZ):
        shown = ", ".join(f"{rate_hz} Hz ({_records(n)})" for rate_hz, n in sorted(rates.items()))
        yield f"sampled at {shown}, read at {' or '.join(map(str, RATES_HZ))} Hz"
    n_short = sum(SHORTEST_S <= record.seconds < RECORD_S for record in records)
    if n_short:
        yield f"records shorter than {RECORD_S} s, behind which 0 mV follow: {n_short:,}"
    long = [record.seconds for record in records if record.seconds > RECORD_S]
    if long:
        yield (
            f"records longer than {RECORD_S} s, of up to {max(long):,.0f} s: {len(long):,}; their first "
            f"{RECORD_S} s count, whatever part their codes are of"
        )


def _label_notes(records: Sequence[_Record], of_code: Mapping[str, Finding], others: str) -> Iterable[str]:
    n_of = Counter(code for record in records for code in record.codes)
    found = [(of_code[code], n) for code, n in n_of.most_common()]
    if n := sum(not record.codes for record in records):
        yield f"records whose Dx is empty or unknown, which count as records without a label: {n:,}"
    if unknown := [f"{finding.number} ({n:,})" for finding, n in found if not finding.description]:
        yield (
            f"codes that {CODES_NAME} lack, classes of the tier snomed all the same (records): "
            f"{', '.join(unknown)}"
        )
    if without := [f"{finding.code} ({n:,})" for finding, n in found if finding.scp is None]:
        yield f"codes without a PTB-XL statement (records): {', '.join(without)}"
    if nowhere := [f"{finding.code} ({n:,})" for finding, n in found if finding.maps_nowhere]:
        yield (
            "of these, without a superclass and an AHA statement as well, so that their severity is that of "
            f"all others, {others}: {', '.join(nowhere)}"
        )
    for tier, has_class in _HAS_CLASS.items():
        n = sum(
            bool(record.codes) and not any(has_class(of_code[code]) for code in record.codes)
            for record in records
        )
        if n:
            yield f"records with codes, but none that has a class at tier {tier}: {n:,}"


_HAS_CLASS: Final[Mapping[str, Callable[[Finding], bool]]] = {
    "challenge": lambda finding: finding.challenge is not None,
    "superclass": lambda finding: finding.superclass is not None,
    "all": lambda finding: finding.scp is not None,
    "aha": lambda finding: finding.aha is not None,
}


def _people_notes(records: Sequence[_Record]) -> Iterable[str]:
    for field, texts, value in (
        ("ages", [record.age for record in records], age_of),
        ("sexes", [record.sex for record in records], sex_of),
    ):
        odd = Counter(text for text in texts if not is_unknown(text) and math.isnan(value(text)))
        if odd:
            shown = first_words([f"{text[:20]!r} ({_records(n)})" for text, n in odd.most_common()], 5)
            yield f"{field} that are none and count as unknown: {shown}"


def _signal_file_notes(root: Path, names: Sequence[str], signals: Collection[str]) -> Iterable[str]:
    headers = set(names)
    alone = {file for file in signals if file[:-4] not in headers}
    if alone:  # some headers name files that are not called like them
        alone.difference_update(*(record_files(root, name) for name in names))
    if alone:
        yield f"signal files without a header: {counted_words(sorted(alone))}"


def _listing_notes(names: Sequence[str], listed: Collection[str]) -> Iterable[str]:
    if missing := sorted(set(listed).difference(names)):
        more = ", …" if len(missing) > 5 else ""
        yield (
            f"records that a file RECORDS lists without a header here: {len(missing):,} "
            f"({', '.join(missing[:5])}{more})"
        )
