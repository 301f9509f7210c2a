"""Annotated beats of a record as windows of a model of single beats, with their ground truth.

Shapes: N beat, L lead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from search.data.readers import mitbih
from search.data.recordings.recording import LeadChoice, Recording
from search.errors import RecordError
from search.explain.truth import Truth
from search.export.folder import Labels, Preprocessing
from search.predict.windows import Plan, plan_around


def plan_beats(
    header: Path, recording: Recording, preprocessing: Preprocessing
) -> tuple[Plan, tuple[str, ...]]:
    """A window around every annotated beat as in training, and the symbols of these beats.

    Args:
        header: Header of a WFDB record with an annotation file beside it.
        recording: The same, opened.
        preprocessing: Of a model of beats.

    Raises:
        RecordError: There is no annotation file, it is damaged, or it has no beat with room for its window.
    """
    record = header.with_suffix("")
    if not record.with_name(f"{record.name}.atr").is_file():
        raise RecordError(
            f"has no {record.name}.atr beside it, and the model takes beats around annotated R peaks"
        )
    samples, symbols = mitbih.read_beats(record)
    if not symbols:
        raise RecordError(f"{record.name}.atr marks no beat")
    plan, fits_N = plan_around(
        samples,
        recording.n_samples,
        recording.rate_hz,
        before_s=mitbih.N_BEFORE / mitbih.RATE_HZ,
        preprocessing=preprocessing,
    )
    return plan, tuple(symbol for symbol, fits in zip(symbols, fits_N.tolist(), strict=True) if fits)


def beat_leads(names: Sequence[str], wanted: Sequence[str]) -> LeadChoice:
    """The leads of a model of beats among the signals of a record, as the reader of MIT-BIH finds them.

    Raises:
        RecordError: The record has other leads.
    """
    columns_L = mitbih.beat_columns(names)[[mitbih.LEADS.index(lead) for lead in wanted]]
    return LeadChoice(
        columns=columns_L,
        weights_LS=np.eye(len(columns_L)),
        derived=(),
        unused=tuple(name.strip() for place, name in enumerate(names) if place not in columns_L),
    )


def beat_class(symbol: str, labels: Labels) -> str | None:
    """The class of a beat at the tier trained on; None where the model has no such class."""
    trained = labels.tiers[0]
    if trained.name not in mitbih.TIERS:
        return None
    beat = next(beat for beat in mitbih.BEATS if beat.code == symbol)
    found = mitbih.TIERS[trained.name].class_of(beat, None)
    return found if found in {each.name for each in trained.classes} else None


def beat_truth(header: Path, symbol: str, labels: Labels) -> Truth:
    """Ground truth from the annotation of a beat."""
    found = beat_class(symbol, labels)
    record = int(header.stem) if header.stem.isdecimal() else None
    is_developed = record is not None and mitbih.SAME_PATIENT.get(record, record) in mitbih.DS1
    return Truth(
        classes=None if found is None else frozenset({found}),
        statements=(symbol,),
        fold_words=f"Record {record} is in DS1: the model may have been trained on this beat"
        if is_developed and labels.model.data_name.startswith("mit-bih")
        else None,
    )
