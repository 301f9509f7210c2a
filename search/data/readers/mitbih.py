"""The MIT-BIH Arrhythmia Database: one row for each annotated beat (Moody & Mark, IEEE EMB Mag 20(3), 2001).

Forty-eight half-hour records of two leads at 360 Hz. A row is one second around an annotated R peak: 180
samples before it and 180 from it on, both leads, at the database's own rate. Beats closer than that to an
end of the record are left out. The annotation's symbol is the label; fifteen symbols stand for beats, and
ANSI/AAMI EC57 puts them into five classes.

The four paced records are left out, as EC57 recommends. The others are split as in de Chazal, O'Dwyer &
Reilly (IEEE Trans Biomed Eng 51(7), 2004): DS1 to develop on, DS2 to test on, sealed. Records 201 and 202 are
of one person, and de Chazal put one into each part; here 202 follows 201 into the development part, so that
no patient is on both sides. CV folds are made by patient, or beat by beat if the intra-patient split of many
papers is asked for; DS2 is sealed either way.

Shape suffixes: N beat, L lead, T time.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from search.data.catalogue import Catalogue
from search.data.folds import FIVE_FOLDS, INTER_PATIENT
from search.data.grouping import balanced_folds, random_folds
from search.data.labels.tiers import Hierarchy, Tier
from search.data.readers.annotations import read_annotations
from search.data.signals.headers import load_wfdb, record_files
from search.data.signals.leads import lead_key
from search.data.signals.records import Damage, RecordReader, flat_leads
from search.data.signals.waveforms import Chunk, Rows
from search.errors import DataError, RecordError

# fmt: off
DS1: Final = frozenset((
    101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122,
    124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230,
))
DS2: Final = frozenset((
    100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210,
    212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234,
))
# fmt: on
PACED: Final = frozenset((102, 104, 107, 217))
RECORDS: Final = DS1 | DS2 | PACED
SAME_PATIENT: Final = {202: 201}
"""Record and the earlier record of the same person."""

RATE_HZ: Final = 360
N_RECORD_SAMPLES: Final = 650_000
N_BEFORE: Final = 180
N_SAMPLES: Final = 360
LEADS: Final = ("MLII", "V")
"""Modified limb lead II and a precordial lead: V1 in most records, V2, V4 or V5 in the others."""

_ID_OF_RECORD: Final = 1_000_000
"""Ids of beats: 101000396 is the one of record 101 at sample 396."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """A kind of beat: number and symbol of its annotation, what they mean, and its class in EC57."""

    number: int
    code: str
    description: str
    aami: str


BEATS: Final = tuple(
    Beat(number=number, code=code, description=description, aami=aami)
    for number, code, description, aami in (
        (1, "N", "normal beat", "N"),
        (2, "L", "left bundle branch block beat", "N"),
        (3, "R", "right bundle branch block beat", "N"),
        (34, "e", "atrial escape beat", "N"),
        (11, "j", "nodal (junctional) escape beat", "N"),
        (8, "A", "atrial premature beat", "S"),
        (4, "a", "aberrated atrial premature beat", "S"),
        (7, "J", "nodal (junctional) premature beat", "S"),
        (9, "S", "supraventricular premature beat", "S"),
        (5, "V", "premature ventricular contraction", "V"),
        (10, "E", "ventricular escape beat", "V"),
        (6, "F", "fusion of ventricular and normal beat", "F"),
        (12, "/", "paced beat", "Q"),
        (38, "f", "fusion of paced and normal beat", "Q"),
        (13, "Q", "unclassifiable beat", "Q"),
    )
)
"""Numbers and symbols of WFDB's annotation codes (ecgcodes.h); classes of EC57: normal and bundle branch
block, supraventricular, ventricular, fusion, unknown."""

TIERS: Final = {
    "aami": Tier(class_of=lambda beat, _: beat.aami, refined_by="symbol", exclusive=True),
    "symbol": Tier(class_of=lambda beat, _: beat.code, refined_by=None, exclusive=True),
}


def annotation_files(names: Collection[str]) -> list[str]:
    """File names that are annotations of the database."""
    return [f"{record}.atr" for record in sorted(RECORDS) if f"{record}.atr" in names]


def read_catalogue(root: Path, split: str) -> Catalogue:
    """Read the annotations of all records that are there.

    Args:
        root: The folder with the records; any subset of them will do.
        split: `INTER_PATIENT` or `INTRA_PATIENT` (`search.data.folds`).

    Raises:
        DataError: No record has a beat.
    """
    here = sorted(record for record in RECORDS if _is_there(root, record))
    found = _read_all(root, [record for record in here if record not in PACED])
    if not found.symbols:
        raise DataError(f"{root} has no annotated beat in a record without a pacemaker; add records")
    patient_id = np.array([SAME_PATIENT.get(record, record) for record in found.record_id.tolist()])
    return Catalogue(
        root=root,
        name="mit-bih" if split == INTER_PATIENT else f"mit-bih-{split}",
        version="1.0.0" if len(here) == len(RECORDS) else f"1.0.0, subset of {len(here)} records",
        unit="beat",
        ecg_id=found.record_id * _ID_OF_RECORD + found.sample,
        patient_id=patient_id,
        strat_fold=_folds(patient_id, split),
        fold_plan=FIVE_FOLDS,
        patient_safe=split == INTER_PATIENT,
        statements=tuple((symbol,) for symbol in found.symbols),
        hierarchy=Hierarchy(BEATS, tiers=TIERS, noun="symbol", listed_in="the list of beat symbols"),
        meaning=str([(beat.code, beat.aami) for beat in BEATS]),
        waveforms={RATE_HZ: BeatWaveforms(root=root, record_id=found.record_id, sample=found.sample)},
        damages=found.damages,
        notes=_notes(here, found.n_cut),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Found:
    """Record, sample and symbol of all beats with room for their window, and what else was met."""

    record_id: NDArray[np.int64]
    sample: NDArray[np.int64]
    symbols: list[str]
    damages: tuple[Damage, ...]
    n_cut: int


def _read_all(root: Path, records: Sequence[int]) -> _Found:
    ids, samples = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    symbols: list[str] = []
    damages: list[Damage] = []
    n_cut = 0
    for record in records:
        try:
            sample, of_record = read_beats(root / str(record))
        except RecordError as error:
            damages.append(Damage(ecg_id=record, filename=str(record), reason=str(error)))
            continue
        fits = (sample >= N_BEFORE) & (sample <= N_RECORD_SAMPLES - N_SAMPLES + N_BEFORE)
        n_cut += int((~fits).sum())
        ids.append(np.full(int(fits.sum()), record))
        samples.append(sample[fits])
        symbols += [symbol for symbol, inside in zip(of_record, fits, strict=True) if inside]
    return _Found(
        record_id=np.concatenate(ids),
        sample=np.concatenate(samples),
        symbols=symbols,
        damages=tuple(damages),
        n_cut=n_cut,
    )


def read_beats(path: Path) -> tuple[NDArray[np.int64], list[str]]:
    """Samples and symbols of the annotated beats of a record, other annotations left out.

    Args:
        path: The record without extension.

    Raises:
        RecordError: The annotations are missing or cannot be read.
    """
    symbol_of = {beat.number: beat.code for beat in BEATS}
    beats = [(sample, symbol_of[code]) for sample, code in read_annotations(path) if code in symbol_of]
    samples = np.array([sample for sample, _ in beats], dtype=np.int64)
    if (np.diff(samples) <= 0).any():
        raise RecordError("two beats at one sample, or one before its predecessor")
    if len(samples) and samples[-1] >= N_RECORD_SAMPLES:
        raise RecordError(
            f"a beat at sample {samples[-1]:,} of {N_RECORD_SAMPLES:,}: annotations of another record?"
        )
    return samples, [symbol for _, symbol in beats]


@dataclass(frozen=True, kw_only=True, eq=False)
class BeatWaveforms:
    """One second around each beat; `search.data.signals.waveforms.Waveforms`.

    Attributes:
        sample: Sample of the R peak in its record, shape (N,).
    """

    root: Path
    record_id: NDArray[np.int64]
    sample: NDArray[np.int64]
    rate_hz: int = RATE_HZ
    leads: tuple[str, ...] = LEADS
    n_samples: int = N_SAMPLES

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of the record of each beat."""
        return tuple(map(str, self.record_id.tolist()))

    @property
    def recipe(self) -> str:
        """Samples that are cut out."""
        digest = hashlib.sha256(self.sample.astype("<i8").tobytes()).hexdigest()
        return f"{N_BEFORE} before {digest}\n"

    def files(self, name: str) -> tuple[str, ...]:
        """The files that make the record of that name."""
        return record_files(self.root, name)

    def select(self, rows: Rows) -> Self:
        """Signals of some beats."""
        return replace(self, record_id=self.record_id[rows], sample=self.sample[rows])

    def parts(self) -> Iterable[slice]:
        """The beats of one record after the other."""
        load_wfdb()
        starts = np.flatnonzero(np.diff(self.record_id, prepend=-1)).tolist()
        return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(self)], strict=True)]

    def read(self, part: slice) -> Chunk:
        """Read a record and cut out its beats."""
        record = int(self.record_id[part.start])
        reader = RecordReader(
            self.root, rate_hz=RATE_HZ, n_samples=N_RECORD_SAMPLES, leads=LEADS, columns=beat_columns
        )
        try:
            found = reader.read(str(record))
        except RecordError as error:
            damage = Damage(ecg_id=record, filename=str(record), reason=str(error))
            nothing = np.empty((0, len(LEADS), N_SAMPLES), dtype=np.int16)
            return Chunk(x_NLT=nothing, damages=(damage,), flat_leads={}, without_gain={})
        window_NT = self.sample[part, None] + np.arange(-N_BEFORE, N_SAMPLES - N_BEFORE)
        flat = flat_leads(found.x_LT, LEADS)
        return Chunk(
            x_NLT=np.ascontiguousarray(found.x_LT[:, window_NT].transpose(1, 0, 2)),
            damages=(),
            flat_leads={record: flat} if flat else {},
            without_gain={record: found.without_gain} if found.without_gain else {},
        )


def beat_columns(names: Sequence[str]) -> NDArray[np.intp]:
    """Places of `LEADS` among the signals of a record: MLII, then the other one, which 114 has first.

    Raises:
        RecordError: There are not two signals, or none is MLII.
    """
    keys = [lead_key(name) for name in names]
    if len(names) != len(LEADS) or "MLII" not in keys:
        raise RecordError(f"leads {', '.join(names)[:60]}, expected MLII and a precordial one")
    first = keys.index("MLII")
    return np.array([first, 1 - first], dtype=np.intp)


def _is_there(root: Path, record: int) -> bool:
    return any((root / f"{record}.{extension}").exists() for extension in ("atr", "hea", "dat"))


def _folds(patient_id: NDArray[np.int64], split: str) -> NDArray[np.int64]:
    """CV fold of each beat; the sealed fold for DS2, but for patients that DS1 has too."""
    is_sealed = np.isin(patient_id, sorted(DS2))
    fold = np.full(len(patient_id), FIVE_FOLDS.sealed, dtype=np.int64)
    developed = patient_id[~is_sealed]
    fold[~is_sealed] = balanced_folds(developed) if split == INTER_PATIENT else random_folds(len(developed))
    return fold


def _notes(here: Sequence[int], n_cut: int) -> tuple[str, ...]:
    notes = []
    paced = [str(record) for record in here if record in PACED]
    if paced:
        notes.append(f"paced records left out: {', '.join(paced)}")
    if n_cut:
        notes.append(f"beats too close to an end of their record, left out: {n_cut:,}")
    if 202 in here:
        notes.append("record 202 is in the development part: its patient is that of record 201")
    return tuple(notes)
