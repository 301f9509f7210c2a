"""One heartbeat: its intervals and dipole vectors, the normal draw, and its waves.

Every quantity of a beat is a number or a vector, so that two beats can be interpolated: a record of severity
s shows normal + s x (diseased - normal). Normal ranges follow the standards (PR 120-200 ms, QRS < 110 ms,
axis -30 to 90 degrees, QTc by Fridericia 375-445 ms).
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from search.data.demo.dipole import frontal_vector

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """Intervals in s, vectors (x, y, z) in mV."""

    p_s: float
    """P duration."""
    p_split_s: float
    """Distance between the right and the left atrial lobe; a large one gives a notch."""
    p_right: Floats
    p_left: Floats
    pr_s: float
    """Start of P to start of QRS."""
    qrs_s: float
    core_s: float
    """Duration of the ordinary part of the QRS, without delta wave and late right-ventricular forces."""
    axis_deg: float
    limb_mv: float
    z_mv: float
    """Axis, limb amplitude and posterior part of the main QRS vector."""
    initial: Floats
    initial_width_s: float
    """Standard deviation of the initial (septal) force."""
    terminal: Floats
    late: Floats
    late_width_s: float
    delta: Floats
    delta_s: float
    """Time by which a delta wave precedes the core."""
    notch: float
    """0: one main lobe; 1: two lobes, as in left bundle branch block."""
    st: Floats
    t: Floats
    t_width: float
    """Relative width of the T wave."""
    qtc_s: float


def blend(normal: Beat, diseased: Beat, severity: float) -> Beat:
    """The beat that lies `severity` of the way from `normal` (0) to `diseased` (1)."""
    mixed = {
        field.name: getattr(normal, field.name)
        + severity * (getattr(diseased, field.name) - getattr(normal, field.name))
        for field in fields(Beat)
    }
    return Beat(**mixed)


def jitter(vector: Floats, relative: float, rng: Generator) -> Floats:
    """Vector with each component scaled by its own normal factor of the given relative spread."""
    return vector * (1.0 + relative * rng.standard_normal(3))


def normal_beat(rng: Generator) -> Beat:
    """Draw a healthy person's beat."""
    axis_deg = float(np.clip(rng.normal(42.0, 22.0), -18.0, 84.0))
    core_s = rng.uniform(0.080, 0.100)
    p_mv = rng.uniform(0.07, 0.12)
    p_s = rng.uniform(0.085, 0.105)
    t_mv = rng.uniform(0.22, 0.36)
    t_axis_deg = 0.8 * axis_deg + rng.normal(0.0, 8.0)
    return Beat(
        p_s=p_s,
        p_split_s=0.27 * p_s,
        p_right=jitter(p_mv * np.array((0.20, 0.75, -0.35)), 0.15, rng),
        p_left=jitter(p_mv * np.array((0.60, 0.45, 0.35)), 0.15, rng),
        pr_s=rng.uniform(0.135, 0.185),
        qrs_s=core_s,
        core_s=core_s,
        axis_deg=axis_deg,
        limb_mv=0.95 * float(np.clip(rng.normal(1.0, 0.17), 0.65, 1.35)),
        z_mv=rng.normal(0.10, 0.08),
        initial=jitter(np.array((-0.18, -0.05, -0.30)), 0.25, rng),
        initial_width_s=0.09 * core_s,
        terminal=jitter(np.array((-0.10, -0.18, 0.50)), 0.20, rng),
        late=np.zeros(3),
        late_width_s=0.010,
        delta=np.zeros(3),
        delta_s=0.0,
        notch=0.0,
        st=rng.normal(0.0, 0.010, 3),
        t=t_mv * frontal_vector(t_axis_deg, 0.75, -0.30 + rng.normal(0.0, 0.08)),
        t_width=1.0,
        qtc_s=float(np.clip(rng.normal(0.410, 0.016), 0.378, 0.442)),
    )


def atrial_waves(beat: Beat) -> Floats:
    """The two lobes of a P wave that starts at 0, shape (2, 5)."""
    width_s = (beat.p_s - beat.p_split_s) / 4.3  # both lobes end about 2.15 deviations from their centre
    middle_s = beat.p_s / 2
    return np.array(
        [
            (middle_s - beat.p_split_s / 2, width_s, *beat.p_right),
            (middle_s + beat.p_split_s / 2, width_s, *beat.p_left),
        ]
    )


def ventricular_waves(beat: Beat, rr_s: float) -> Floats:
    """QRS, ST and T of a beat whose QRS starts at 0, shape (9, 5); QT is scaled to `rr_s` by Fridericia."""
    core_s, start_s, notch = beat.core_s, beat.delta_s, beat.notch
    main = frontal_vector(beat.axis_deg, beat.limb_mv, beat.z_mv)
    qt_s = beat.qtc_s * float(np.cbrt(rr_s))
    recovery_s = max(qt_s - beat.qrs_s, 0.12)
    unit_s = beat.t_width * recovery_s / 0.31  # 1 for a QT of 400 ms
    t_end_s = beat.qrs_s + recovery_s
    return np.array(
        [
            (start_s + 2.1 * beat.initial_width_s, beat.initial_width_s, *beat.initial),
            (start_s + (0.48 - 0.17 * notch) * core_s, 0.13 * core_s, *main * (1 - 0.25 * notch)),
            (start_s + 0.64 * core_s, 0.13 * core_s, *main * (0.75 * notch)),
            (start_s + 0.79 * core_s, 0.09 * core_s, *beat.terminal),
            (beat.qrs_s - 2.0 * beat.late_width_s, beat.late_width_s, *beat.late),
            (start_s + 0.018, (start_s + 0.018) / 2.4, *beat.delta),
            (beat.qrs_s + 0.22 * recovery_s, 0.13 * recovery_s, *beat.st),
            (t_end_s - 0.125 * unit_s, 0.042 * unit_s, *0.55 * beat.t),
            (t_end_s - 0.075 * unit_s, 0.032 * unit_s, *0.75 * beat.t),
        ]
    )
