"""Clinical operating points: worked by hand, against scikit-learn's ROC curve, and as properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from scores.operating_points import (
    SENSITIVITY_AT_SPECIFICITY,
    SENSITIVITY_IN_TOP,
    SPECIFICITY_AT_SENSITIVITY,
    operating_points,
)


def once(n_records: int) -> np.ndarray:
    return np.ones((n_records, 1), dtype=np.float32)


def point(y_N: np.ndarray, p_N: np.ndarray) -> dict[str, float]:
    found = operating_points(y_N[:, None], p_N[:, None], once(len(y_N)))
    return {name: float(value_RC[0, 0]) for name, value_RC in found.items()}


def test_twenty_records_by_hand() -> None:
    # Ten positives and ten negatives, ranked + + + − + + − + + + | + − + − … : with one of ten negatives
    # allowed (specificity .9) five positives are found; nine of ten need three negatives.
    ranked = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
    found = point(ranked, np.linspace(1, 0, 20))
    assert found[SENSITIVITY_AT_SPECIFICITY] == pytest.approx(0.5)
    assert found[SPECIFICITY_AT_SENSITIVITY] == pytest.approx(0.7)
    # One of twenty records can be looked at: the first, a positive of ten.
    assert found[SENSITIVITY_IN_TOP] == pytest.approx(0.1)


def test_of_equal_scores_at_the_edge_the_share_that_fits_counts() -> None:
    # Forty records, room for two; the first is positive, three of the next four of equal score as well.
    y_N = np.zeros(40, dtype=bool)
    y_N[:4] = True
    p_N = np.zeros(40)
    p_N[0], p_N[1:5] = 2.0, 1.0
    assert point(y_N, p_N)[SENSITIVITY_IN_TOP] == pytest.approx((1 + 0.75) / 4)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=60).filter(
        lambda rows: len({hit for hit, _ in rows}) == 2
    )
)
def test_they_are_points_of_the_roc_curve_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    y_N, p_N = np.array([hit for hit, _ in rows]), np.array([float(score) for _, score in rows])
    rate, sensitivity, _ = roc_curve(y_N, p_N, drop_intermediate=False)
    found = point(y_N, p_N)
    assert found[SENSITIVITY_AT_SPECIFICITY] == pytest.approx(sensitivity[rate <= 0.1 + 1e-9].max())
    assert found[SPECIFICITY_AT_SENSITIVITY] == pytest.approx(1 - rate[sensitivity >= 0.9 - 1e-9].min())


@given(st.integers(0, 2**32 - 1))
def test_a_weight_of_two_is_the_record_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y_NC, p_NC = rng.random((40, 2)) < 0.4, rng.integers(0, 8, (40, 2)).astype(float)
    times_N = rng.integers(1, 4, 40)
    weighted = operating_points(y_NC, p_NC, times_N[:, None].astype(np.float32))
    repeated = operating_points(
        np.repeat(y_NC, times_N, axis=0), np.repeat(p_NC, times_N, axis=0), once(int(times_N.sum()))
    )
    for name in (SENSITIVITY_AT_SPECIFICITY, SPECIFICITY_AT_SENSITIVITY):
        assert weighted[name] == pytest.approx(repeated[name], nan_ok=True)


def test_the_share_in_the_top_is_the_mean_over_orders_of_equal_scores() -> None:
    """As the challenge computes it: by shuffling, and sorting whole records by score."""
    rng = np.random.default_rng(0)
    y_N, p_N = rng.random(200) < 0.1, rng.integers(0, 12, 200).astype(float)
    n_shuffles = 4000
    shares = []
    for _ in range(n_shuffles):
        order = rng.permutation(200)
        first = order[np.argsort(-p_N[order], kind="stable")[:10]]
        shares.append(y_N[first].sum() / y_N.sum())
    # The mean of the shuffles is Normal around the exact value: five standard errors.
    error = np.std(shares) / np.sqrt(n_shuffles)
    assert point(y_N, p_N)[SENSITIVITY_IN_TOP] == pytest.approx(np.mean(shares), abs=5 * error)


def test_a_class_without_positives_or_negatives_has_none() -> None:
    y_NC = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)
    found = operating_points(y_NC, np.zeros((2, 3)), once(2))
    for value_RC in found.values():
        assert np.isnan(value_RC[0, :2]).all()
        assert np.isfinite(value_RC[0, 2])
