r"""What hand-crafted features reach without a network: gradient boosting on the folds of a search.

    python benchmarks/features_only.py --data DIR --target superclass

A model for each class (scikit-learn's HistGradientBoostingClassifier, to which missing features are values)
on the features of HC-CNN-TN's table 1, RR intervals, QRS, T and P waves, entropies, age and sex, and on age
and sex alone. As in a search: five folds without patients on both sides, the sealed fold untouched,
macro-AUPRC by fold and class with an interval over patients.

Shapes: N record, K feature, C class.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.helpers.options import add_out
from benchmarks.helpers.results import Section, dict_table, write_section
from scores.bootstrap import Resampling, centred_interval
from scores.ranking import Metric
from search.data.dataset import Development, load_development
from search.data.feature_table import load_features
from search.data.features.names import FEATURE_NAMES
from search.data.folds import Fold, cv_folds
from search.defaults import CACHE_FOLDER
from search.errors import SearchError
from search.study.data import locate_data

N_RESAMPLES = 2_000
OF_A_PERSON = ("age_years", "sex")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the section of RESULTS.md; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR|demo", help="data set (default: as for run)")
    parser.add_argument("--target", metavar="TIER", help="label tier (default: that of the data set)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the boosting (default: 0)")
    add_out(parser)
    chosen = parser.parse_args(arguments)
    try:
        folder = locate_data(chosen.data)
        data = load_development(folder.path, cache_dir=CACHE_FOLDER)
        target = chosen.target or folder.source.default_target
        data.hierarchy.check_tier(target)
        f_NK = load_features(data, cache_dir=CACHE_FOLDER)
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    person = [FEATURE_NAMES.index(name) for name in OF_A_PERSON]
    rows = [
        _row(words, data, target, f_NK[:, columns], seed=chosen.seed)
        for words, columns in (
            (f"all {len(FEATURE_NAMES)} features", list(range(len(FEATURE_NAMES)))),
            ("all but age and sex", [k for k in range(len(FEATURE_NAMES)) if k not in person]),
            ("age and sex alone", person),
        )
    ]
    body = dict_table(rows)
    print(body)
    write_section(_section(chosen, data, target, body), chosen.out)
    return 0


def out_of_fold(
    f_NK: NDArray[np.float32], y_NC: NDArray[np.bool_], folds: Sequence[Fold], *, seed: int
) -> list[NDArray[np.float64]]:
    """Probabilities `p_NC` of the validation part of each fold, from models of its training part.

    Args:
        f_NK: features, NaN where missing.
        y_NC: labels.
        folds: rows of both parts.
        seed: of the boosting.
    """
    found = []
    for fold in folds:
        p_NC = np.zeros((len(fold.validation), y_NC.shape[1]))
        # scikit-learn cannot sort a feature without a value into bins.
        known_K = ~np.isnan(f_NK[fold.train]).all(axis=0)
        for index, y_N in enumerate(y_NC[fold.train].T):
            if y_N.all() or not y_N.any() or not known_K.any():  # nothing to learn
                p_NC[:, index] = y_N.mean()
                continue
            model = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
            model.fit(f_NK[fold.train][:, known_K], y_N)
            p_NC[:, index] = model.predict_proba(f_NK[fold.validation][:, known_K])[:, 1]
        found.append(p_NC)
    return found


def _row(
    words: str, data: Development, target: str, f_NK: NDArray[np.float32], *, seed: int
) -> dict[str, str]:
    """Cells by their heading."""
    folds = cv_folds(data.strat_fold, data.fold_plan)
    y_NC = data.y[target]
    pairs = [
        (y_NC[fold.validation], p_NC)
        for fold, p_NC in zip(folds, out_of_fold(f_NK, y_NC, folds, seed=seed), strict=True)
    ]
    draws = Resampling(
        [y for y, _ in pairs],
        rng=np.random.default_rng(0),
        patients=[data.patient_id[fold.validation] for fold in folds],
        n_resamples=N_RESAMPLES,
    )
    row = {"features": words}
    scored: dict[str, Metric] = {"macro-AUPRC [95 %]": "auprc", "macro-AUROC [95 %]": "auroc"}
    for heading, metric in scored.items():
        interval = centred_interval(*draws.mean(*draws.classes(pairs, metric)))
        row[heading] = f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    return row


def _section(chosen: argparse.Namespace, data: Development, target: str, body: str) -> Section:
    synthetic = " (SYNTHETIC)" if data.synthetic else ""
    return Section(
        name=f"features_only {data.name} {target}",
        title=f"Features without a network on {data.name}, tier {target}{synthetic}",
        command=f"python benchmarks/features_only.py --data DIR --target {target}",
        n=(
            f"{len(data):,} {data.unit}s of {len(np.unique(data.patient_id)):,} patients ({data.name} "
            f"{data.version}) at {data.rate_hz} Hz, 5 folds, {data.y[target].shape[1]} classes, one training "
            f"with seed {chosen.seed}; boosting of 100 trees at its usual settings; intervals: "
            f"{N_RESAMPLES:,} draws of patients"
        ),
        body=body,
    )


if __name__ == "__main__":
    sys.exit(main())
