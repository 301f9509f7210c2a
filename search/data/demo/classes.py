"""Changes of the beat by each SCP statement: one table, in the order in which the changes are applied.

Criteria: AHA/ACCF/HRS 2009 recommendations for conduction, ST-T and hypertrophy; textbook thresholds for
voltage, infarction and the atria. Statements that concern rhythm only are in `rhythm`. Later entries win
where two touch the same quantity, so form comes first and ischaemia and infarction last.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from search.data.demo.beats import Beat, Floats, jitter
from search.data.demo.dipole import Vector, frontal_vector

Range = tuple[float, float]
"""Drawn uniformly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change of the normal beat; what is None stays as it is. Times in s, vectors and amplitudes in mV."""

    p_s: Range | None = None
    p_split_s: Range | None = None
    p_right: Vector | None = None
    p_left: Vector | None = None
    pr_s: Range | None = None
    qrs_s: Range | None = None
    """QRS duration; the ordinary part is stretched along unless `late` or `delta` fills the time."""
    axis_deg: Range | None = None
    limb_mv: Range | None = None
    z_mv: Range | None = None
    initial: Vector | None = None
    initial_width_s: float | None = None
    terminal: Vector | None = None
    late: Vector | None = None
    late_width_s: float | None = None
    delta: Vector | None = None
    notch: float | None = None
    st: Vector | None = None
    t: Vector | None = None
    t_gain: Range | None = None
    t_width: float | None = None
    t_probability: float = 1.0
    """Share of records in which the ST and T part of the change shows (strain is not always there)."""
    qtc_s: Range | None = None


NARROW_WITH_Q_S = 0.0125
"""Standard deviation of an initial force that makes a Q wave of at least 30 ms."""

CHANGES: dict[str, Change] = {
    # form
    "LOWT": Change(t_gain=(0.10, 0.28)),
    "NT_": Change(t_gain=(0.25, 0.50)),
    "TAB_": Change(t_gain=(-0.35, 0.10)),
    "INVT": Change(t_gain=(-0.85, -0.50)),
    "STD_": Change(st=(-0.08, -0.06, 0.06)),
    "STE_": Change(st=(0.06, 0.05, -0.12)),
    "LVOLT": Change(
        limb_mv=(0.26, 0.36), z_mv=(0.00, 0.06), initial=(-0.07, -0.02, -0.12),
        terminal=(-0.04, -0.07, 0.20), t_gain=(0.4, 0.7),
    ),
    "HVOLT": Change(limb_mv=(1.35, 1.60)),
    "VCLVH": Change(limb_mv=(1.50, 1.75), terminal=(-0.15, -0.25, 0.85)),
    "QWAVE": Change(initial=(-0.38, -0.34, -0.20), initial_width_s=0.011),
    # hypertrophy
    "LVH": Change(
        axis_deg=(-15.0, 45.0), limb_mv=(1.45, 1.95), z_mv=(0.15, 0.40), terminal=(-0.20, -0.30, 1.05),
        st=(-0.08, -0.04, -0.03), t=(-0.22, -0.06, -0.22), t_probability=0.6,
    ),
    "RVH": Change(
        axis_deg=(98.0, 124.0), limb_mv=(0.85, 1.10), z_mv=(-0.90, -0.70), initial=(-0.06, -0.05, -0.20),
        terminal=(-0.45, -0.10, 0.15), t=(0.10, -0.06, 0.20),
    ),
    "SEHYP": Change(initial=(-0.75, -0.42, -0.75), limb_mv=(1.00, 1.30)),
    # conduction
    "LAFB": Change(axis_deg=(-70.0, -50.0), initial=(-0.20, 0.30, -0.22), qrs_s=(0.090, 0.108)),
    "LPFB": Change(axis_deg=(98.0, 122.0), initial=(0.26, -0.30, -0.22), qrs_s=(0.090, 0.108)),
    "IVCD": Change(qrs_s=(0.116, 0.145)),
    "IRBBB": Change(qrs_s=(0.107, 0.112), late=(-0.36, -0.05, -0.42), late_width_s=0.011),
    "CRBBB": Change(qrs_s=(0.130, 0.156), late=(-0.78, 0.05, -0.72), late_width_s=0.017, t_gain=(0.8, 1.0)),
    "ILBBB": Change(
        qrs_s=(0.118, 0.122), axis_deg=(-25.0, 50.0), z_mv=(0.35, 0.55), initial=(0.0, 0.0, 0.0),
        terminal=(0.0, -0.03, 0.10), notch=0.6,
    ),
    "CLBBB": Change(
        qrs_s=(0.126, 0.152), axis_deg=(-30.0, 45.0), limb_mv=(0.95, 1.25), z_mv=(0.50, 0.80),
        initial=(0.0, 0.0, 0.0), terminal=(0.0, -0.04, 0.15), notch=1.0, st=(-0.10, -0.02, -0.15),
        t=(-0.40, -0.13, -0.42),
    ),
    "WPW": Change(
        pr_s=(0.072, 0.094), qrs_s=(0.140, 0.160), initial=(0.0, 0.0, 0.0), delta=(0.55, 0.19, 0.05),
        t_gain=(-0.7, -0.2),
    ),
    "1AVB": Change(pr_s=(0.222, 0.310)),
    "3AVB": Change(qrs_s=(0.124, 0.150), t_gain=(0.5, 1.0)),
    "LAO/LAE": Change(
        pr_s=(0.168, 0.192), p_s=(0.144, 0.160), p_split_s=(0.062, 0.072), p_left=(0.10, 0.07, 0.135),
    ),
    "RAO/RAE": Change(p_right=(0.05, 0.30, -0.16), p_left=(0.05, 0.11, 0.00)),
    # infarction
    "IMI": Change(
        initial=(-0.02, -0.58, -0.20), initial_width_s=NARROW_WITH_Q_S, axis_deg=(-25.0, 35.0),
        t=(0.22, -0.12, -0.08),
    ),
    "ILMI": Change(
        initial=(-0.62, -0.54, -0.12), initial_width_s=NARROW_WITH_Q_S, axis_deg=(-15.0, 45.0),
        t=(-0.12, -0.14, -0.10),
    ),
    "IPMI": Change(
        initial=(-0.02, -0.55, -0.20), initial_width_s=NARROW_WITH_Q_S, axis_deg=(-25.0, 35.0),
        terminal=(0.05, -0.05, -1.45), t=(0.20, -0.12, -0.25),
    ),
    "IPLMI": Change(
        initial=(-0.62, -0.52, -0.12), initial_width_s=NARROW_WITH_Q_S, axis_deg=(-15.0, 45.0),
        terminal=(0.05, -0.05, -1.45), t=(-0.12, -0.14, -0.25),
    ),
    "AMI": Change(
        initial=(-0.05, 0.00, 0.70), initial_width_s=NARROW_WITH_Q_S, z_mv=(0.55, 0.75),
        st=(0.02, 0.00, -0.07), t=(0.05, 0.05, 0.24),
    ),
    "ASMI": Change(
        initial=(0.05, 0.00, 0.55), initial_width_s=NARROW_WITH_Q_S, z_mv=(0.40, 0.60), t=(0.20, 0.10, 0.14),
    ),
    "ALMI": Change(
        initial=(-0.55, 0.02, 0.52), initial_width_s=NARROW_WITH_Q_S, z_mv=(0.35, 0.55),
        t=(-0.20, 0.05, 0.20),
    ),
    "LMI": Change(initial=(-0.66, 0.10, -0.10), initial_width_s=NARROW_WITH_Q_S, t=(-0.16, 0.12, -0.08)),
    "PMI": Change(terminal=(0.05, -0.05, -1.30), limb_mv=(0.75, 1.05), t=(0.20, 0.10, -0.26)),
    # ST and T
    "ISC_": Change(st=(-0.09, -0.08, 0.05), t=(-0.13, -0.09, 0.02)),
    "ISCAL": Change(st=(-0.11, 0.00, 0.08), t=(-0.17, 0.05, 0.10)),
    "ISCAS": Change(st=(0.00, 0.00, 0.10), t=(0.06, 0.07, 0.22)),
    "ISCAN": Change(st=(-0.05, 0.01, 0.11), t=(-0.05, 0.06, 0.23)),
    "ISCLA": Change(st=(-0.13, 0.03, -0.02), t=(-0.21, 0.08, -0.06)),
    "ISCIN": Change(st=(0.01, -0.13, 0.00), t=(0.12, -0.24, -0.08)),
    "ISCIL": Change(st=(-0.10, -0.10, 0.00), t=(-0.15, -0.17, -0.06)),
    "INJAS": Change(st=(0.00, 0.00, 0.17), t_gain=(0.5, 0.9)),
    "INJAL": Change(st=(-0.13, 0.00, 0.12), t_gain=(0.5, 0.9)),
    "INJLA": Change(st=(-0.19, 0.02, 0.00), t_gain=(0.5, 0.9)),
    "INJIN": Change(st=(0.00, -0.19, 0.00), t_gain=(0.5, 0.9)),
    "INJIL": Change(st=(-0.13, -0.16, 0.00), t_gain=(0.5, 0.9)),
    "NST_": Change(st=(-0.06, -0.055, 0.03), t_gain=(0.4, 0.7)),
    "NDT": Change(t_gain=(-0.10, 0.22)),
    "LNGQT": Change(qtc_s=(0.490, 0.560)),
    "DIG": Change(st=(-0.10, -0.06, 0.06), t_gain=(0.2, 0.5), qtc_s=(0.335, 0.365)),
    "ANEUR": Change(
        st=(0.06, 0.00, -0.20), z_mv=(0.35, 0.50), initial=(-0.02, 0.00, 0.25), t=(0.10, 0.08, 0.10),
    ),
    "EL": Change(t_gain=(2.0, 2.6), t_width=0.72),
}  # fmt: skip


def apply_changes(beat: Beat, statements: Collection[str], rng: Generator) -> Beat:
    """The beat with all `statements` at full severity; codes that are not in the table change nothing."""
    for code, change in CHANGES.items():
        if code in statements:
            beat = _repolarise(_depolarise(beat, change, rng), change, rng)
    return beat


def _draw(limits: Range | None, otherwise: float, rng: Generator) -> float:
    return otherwise if limits is None else rng.uniform(*limits)


def _vector(value: Vector | None, otherwise: Floats, rng: Generator) -> Floats:
    return otherwise if value is None else jitter(np.array(value), 0.10, rng)


def _depolarise(beat: Beat, change: Change, rng: Generator) -> Beat:
    """P wave and QRS."""
    qrs_s = _draw(change.qrs_s, beat.qrs_s, rng)
    core_s, delta_s = beat.core_s, beat.delta_s
    if change.delta is not None:
        delta_s = qrs_s - core_s
    elif change.qrs_s is not None and change.late is None:
        core_s = qrs_s
    stretch = core_s / beat.core_s
    return dataclasses.replace(
        beat,
        p_s=_draw(change.p_s, beat.p_s, rng),
        p_split_s=_draw(change.p_split_s, beat.p_split_s, rng),
        p_right=_vector(change.p_right, beat.p_right, rng),
        p_left=_vector(change.p_left, beat.p_left, rng),
        pr_s=_draw(change.pr_s, beat.pr_s, rng),
        qrs_s=qrs_s,
        core_s=core_s,
        axis_deg=_draw(change.axis_deg, beat.axis_deg, rng),
        limb_mv=_draw(change.limb_mv, beat.limb_mv, rng),
        z_mv=_draw(change.z_mv, beat.z_mv, rng),
        initial=_vector(change.initial, beat.initial, rng),
        initial_width_s=change.initial_width_s or beat.initial_width_s * stretch,
        terminal=_vector(change.terminal, beat.terminal, rng),
        late=_vector(change.late, beat.late, rng),
        late_width_s=change.late_width_s or beat.late_width_s,
        delta=_vector(change.delta, beat.delta, rng),
        delta_s=delta_s,
        notch=beat.notch if change.notch is None else change.notch,
    )


def _repolarise(beat: Beat, change: Change, rng: Generator) -> Beat:
    """ST segment, T wave and QT."""
    shows = rng.random() < change.t_probability
    st = _vector(change.st, beat.st, rng) if shows else beat.st
    t = _vector(change.t, beat.t, rng) if shows else beat.t
    return dataclasses.replace(
        beat,
        st=st,
        t=t * _draw(change.t_gain, 1.0, rng),
        t_width=change.t_width or beat.t_width,
        qtc_s=_draw(change.qtc_s, beat.qtc_s, rng),
    )


def ventricular_beat(beat: Beat, rng: Generator, *, paced: bool = False) -> Beat:
    """A beat that starts in a ventricle: wide, large, with a discordant T wave and no P of its own.

    A paced one comes from the tip of the right ventricle (left-bundle pattern, superior axis); an ectopic one
    from either side.
    """
    from_right = paced or rng.random() < 0.5
    qrs_s = rng.uniform(0.142, 0.175)
    axis_deg = rng.uniform(-80.0, -50.0) if paced else rng.uniform(-100.0, 110.0)
    limb_mv = rng.uniform(1.0, 1.4) if paced else rng.uniform(1.5, 2.2)
    z_mv = rng.uniform(0.8, 1.2) if from_right else rng.uniform(-1.2, -0.8)
    main = frontal_vector(axis_deg, limb_mv, z_mv)
    return dataclasses.replace(
        beat,
        qrs_s=qrs_s,
        core_s=qrs_s,
        axis_deg=axis_deg,
        limb_mv=limb_mv,
        z_mv=z_mv,
        initial=np.zeros(3),
        initial_width_s=0.09 * qrs_s,
        terminal=jitter(0.08 * main, 0.3, rng),
        late=np.zeros(3),
        delta=np.zeros(3),
        delta_s=0.0,
        notch=1.0,
        st=-0.05 * main,
        t=jitter(-0.20 * main, 0.15, rng),
    )
