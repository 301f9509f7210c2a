"""Plan of the demo: statements, rhythm and severity of each record, and the label noise."""

from collections import Counter
from dataclasses import dataclass, field

from numpy.random import Generator

from search.data.demo.shares import (
    BESIDE_NORMAL,
    COMPANIONS,
    LABEL_NOISE_SHARE,
    NEEDS_SINUS_GROUPS,
    NO_DIAGNOSIS_RHYTHMS,
    NO_DIAGNOSIS_SHARE,
    PAIRS,
    RHYTHMS,
    SEVERITY,
    SINUS_RHYTHMS,
    STANDALONE,
    SUBCLASS_OF,
    SUBCLASSES,
)

FEWEST_PER_CLASS = 2


@dataclass(slots=True, kw_only=True)
class PlannedRecord:
    """Statements that the signal of one record shows (`shown`) and its labels have (`written`)."""

    subclasses: list[str] = field(default_factory=list)
    diagnoses: list[str] = field(default_factory=list)
    rhythms: list[str] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    companions: list[str] = field(default_factory=list)
    written_diagnoses: list[str] = field(default_factory=list)
    severity: float = 1.0
    patient: int = 0
    fold: int = 0

    @property
    def shown(self) -> list[str]:
        """Statements that shape the signal; companions only describe what a diagnosis already does."""
        return [*self.diagnoses, *self.rhythms, *self.forms]

    @property
    def written(self) -> list[str]:
        """Statements in the order of PTB-XL: diagnoses, form, rhythm."""
        return [*self.written_diagnoses, *self.forms, *self.companions, *self.rhythms]

    @property
    def groups(self) -> set[str]:
        """Groups of its subclasses."""
        return {SUBCLASSES[name][1] for name in self.subclasses}


def plan_records(n_records: int, rng: Generator) -> list[PlannedRecord]:
    """Plan a data set, in the order of its record numbers."""
    records = _diagnose(n_records, rng)
    _give_rhythms(records, rng)
    _give_forms(records, rng)
    for record in records:
        record.severity = rng.uniform(*SEVERITY)
        record.written_diagnoses = list(record.diagnoses)
    _mislabel(records, rng)
    return [records[int(k)] for k in rng.permutation(n_records)]


def apportion(n: int, shares: dict[str, float]) -> dict[str, int]:
    """Split n by shares, largest remainders first; the result sums to n."""
    total = sum(shares.values())
    exact = {name: n * share / total for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(shares, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: n - sum(counts.values())]:
        counts[name] += 1
    return counts


def minimum_per_class(n_records: int) -> int:
    """Positives that every subclass keeps: 20 from 1,000 records on, at least 2 where there is room."""
    return min(20, max(FEWEST_PER_CLASS, n_records // 50))


def _diagnose(n_records: int, rng: Generator) -> list[PlannedRecord]:
    """Records with one or two subclasses, and some with none."""
    n_none = int(NO_DIAGNOSIS_SHARE * n_records)
    n_diagnosed = n_records - n_none
    labels: list[tuple[str, str]] = []
    for name, (share, _, statements) in SUBCLASSES.items():
        count = max(round(share * n_records), minimum_per_class(n_records))
        codes = [code for code, n in apportion(count, statements).items() for _ in range(n)]
        labels += [(name, code) for code in codes]
    labels = [labels[int(k)] for k in rng.permutation(len(labels))]
    # NORM stands alone, so the records that carry two labels are found among the rest.
    records: list[PlannedRecord] = []
    surplus = len(labels) - n_diagnosed
    for name, code in sorted(labels, key=lambda label: label[0] == "NORM"):
        partner = _partner(records, name) if surplus > 0 else None
        if partner is not None:
            partner.subclasses.append(name)
            partner.diagnoses.append(code)
            surplus -= 1
        else:
            records.append(PlannedRecord(subclasses=[name], diagnoses=[code]))
    records = _fit(records, n_diagnosed)
    return records + [PlannedRecord() for _ in range(n_records - len(records))]


def _partner(records: list[PlannedRecord], name: str) -> PlannedRecord | None:
    """First record with one diagnosis beside which `name` can be seen."""
    group = SUBCLASSES[name][1]
    for record in records:
        if len(record.subclasses) == 1 and frozenset((SUBCLASSES[record.subclasses[0]][1], group)) in PAIRS:
            return record
    return None


def _fit(records: list[PlannedRecord], n: int) -> list[PlannedRecord]:
    """Thin records of the most frequent subclasses to n records, so that very small sets keep variety."""
    counts = Counter(name for record in records for name in record.subclasses)
    while len(records) > n:
        spare = max(range(len(records)), key=lambda k: (min(counts[s] for s in records[k].subclasses), k))
        counts.subtract(records.pop(spare).subclasses)
    return records


def _give_rhythms(records: list[PlannedRecord], rng: Generator) -> None:
    """A rhythm for every record: fixed numbers of each, at random among the records that allow it."""
    silent = [record for record in records if not record.subclasses]
    for k, record in enumerate(silent):
        record.rhythms = [NO_DIAGNOSIS_RHYTHMS[k % len(NO_DIAGNOSIS_RHYTHMS)]]
    order = [records[int(k)] for k in rng.permutation(len(records))]
    for rhythm, share in RHYTHMS.items():
        have = sum(rhythm in record.rhythms for record in records)
        for record in order:
            if have >= max(round(share * len(records)), FEWEST_PER_CLASS):
                break
            if not record.rhythms and _allows(record, rhythm):
                record.rhythms = [rhythm]
                have += 1
    for record in records:
        if not record.rhythms:
            record.rhythms = ["SR"]
        elif record.rhythms[0] in {"BIGU", "TRIGU"} and rng.random() < 0.6:
            record.rhythms.insert(0, "SR")


def _allows(record: PlannedRecord, rhythm: str) -> bool:
    if rhythm == "PACE" or {"2AVB", "3AVB"} & set(record.diagnoses):
        return False
    return rhythm in SINUS_RHYTHMS or not record.groups & NEEDS_SINUS_GROUPS


def _give_forms(records: list[PlannedRecord], rng: Generator) -> None:
    """Form statements that describe a diagnosis, and form findings of their own."""
    for record in records:
        for code, (diagnoses, probability) in COMPANIONS.items():
            if diagnoses & set(record.diagnoses) and rng.random() < probability:
                record.companions.append(code)
        for code, probability in STANDALONE.items():
            fits = code in BESIDE_NORMAL or "NORM" not in record.diagnoses
            quiet = code not in {"PVC", "PAC", "PRC(S)"} or record.rhythms[0] in {"SR", "SBRAD", "SARRH"}
            if rng.random() < probability and fits and quiet and code not in record.companions:
                record.forms.append(code)
        if {"BIGU", "TRIGU"} & set(record.rhythms) and "PVC" not in record.forms:
            record.companions.append("PVC")


def _mislabel(records: list[PlannedRecord], rng: Generator) -> None:
    """Drop or swap one diagnosis in the labels of some records; no subclass falls below its minimum."""
    wanted = round(LABEL_NOISE_SHARE * len(records))
    counts = Counter(name for record in records for name in record.subclasses)
    floor = minimum_per_class(len(records))
    codes = list(SUBCLASS_OF)
    for k in rng.permutation(len(records)):
        record = records[int(k)]
        if wanted == 0:
            break
        if not record.subclasses or counts[record.subclasses[0]] <= floor:
            continue
        counts[record.subclasses[0]] -= 1
        wanted -= 1
        record.written_diagnoses.pop(0)
        if rng.random() < 0.5 or not record.written_diagnoses:
            code = codes[int(rng.integers(len(codes)))]
            name = SUBCLASS_OF[code]
            if name not in record.subclasses:
                record.written_diagnoses.insert(0, code)
                counts[name] += 1
