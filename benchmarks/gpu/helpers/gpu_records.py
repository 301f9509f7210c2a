"""As many records as PTB-XL has, made in seconds: the demo's repeated, with noise added.

Labels keep their meaning, so that a race has something to decide; scores mean nothing, for copies of a record
are on both sides of a split.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from search.data.dataset import Development, load_development
from search.data.demo import write_demo

N_DEMO_RECORDS = 500
NOISE_MICROVOLTS = 50


def many_records(n_records: int) -> Development:
    """SYNTHETIC records in memory, without hand-crafted features and likelihoods; the same every time."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_demo(root / "demo", n_records=N_DEMO_RECORDS)
        demo = load_development(root / "demo", cache_dir=root / "cache")
        x_NLT = np.array(demo.x_NLT)
    random = np.random.default_rng(0)
    rows = np.arange(n_records) % len(demo)
    signals_NLT = np.empty((n_records, *x_NLT.shape[1:]), np.int16)
    for start in range(0, n_records, len(demo)):
        part = rows[start : start + len(demo)]
        noise = random.integers(-NOISE_MICROVOLTS, NOISE_MICROVOLTS, (len(part), *x_NLT.shape[1:]), np.int16)
        signals_NLT[start : start + len(part)] = x_NLT[part] + noise
    return replace(
        demo,
        ecg_id=np.arange(1, n_records + 1),
        patient_id=np.arange(1, n_records + 1),
        strat_fold=np.arange(n_records) % 9 + 1,
        x_NLT=signals_NLT,
        y={tier: y_NC[rows] for tier, y_NC in demo.y.items()},
        soft_labels=None,
        age=None,
        sex=None,
    )
