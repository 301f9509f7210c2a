"""Patients and the ten folds of the demo."""

from collections import Counter

from numpy.random import Generator

from search.data.demo.plan import PlannedRecord
from search.data.demo.shares import SUBCLASS_OF

N_FOLDS = 10


def group_patients(records: list[PlannedRecord], rng: Generator) -> None:
    """Patients of one, two or three records, 1.17 on average."""
    patient = 0
    k = 0
    while k < len(records):
        size = 1 + int(rng.random() < 0.13) + int(rng.random() < 0.04)
        for record in records[k : k + size]:
            record.patient = patient
        patient += 1
        k += size


def assign_folds(records: list[PlannedRecord]) -> None:
    """Spread the labels over ten folds, rarest first, a patient always as a whole.

    Iterative stratification after Sechidis, Tsoumakas & Vlahavas 2011, with patients in place of samples.
    """
    patients: dict[int, list[PlannedRecord]] = {}
    labels: dict[int, Counter[str]] = {}
    for record in records:
        patients.setdefault(record.patient, []).append(record)
        names = [SUBCLASS_OF[code] for code in record.written_diagnoses] + record.rhythms
        labels.setdefault(record.patient, Counter()).update(names)
    totals: Counter[str] = sum(labels.values(), Counter())
    held = [Counter[str]() for _ in range(N_FOLDS)]
    sizes = [0] * N_FOLDS
    free = list(patients)
    for name in [*sorted(totals, key=lambda label: (totals[label], label)), ""]:
        chosen = [patient for patient in free if not name or name in labels[patient]]
        free = [patient for patient in free if patient not in set(chosen)]
        for patient in chosen:
            fold = min(range(N_FOLDS), key=lambda f: (held[f][name] if name else 0, sizes[f], f))
            held[fold].update(labels[patient])
            sizes[fold] += len(patients[patient])
            for record in patients[patient]:
                record.fold = fold + 1
