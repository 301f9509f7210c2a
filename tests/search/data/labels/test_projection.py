"""The three rules of projection: hand-worked numbers, exhaustive enumeration, and the laws they obey."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from training_samples import HIERARCHY

from search.data.labels.projection import Projection, any_of, as_distribution, sum_of, worst_of

TREE = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=bool)
"""A class with three children, one with one, one with none."""
LEVEL_OF = (0, 2, 1, 2, 0)
"""Levels of five statements; nothing is on the fourth of the levels 0 to 3."""
LEVELS = np.eye(4, dtype=bool)[list(LEVEL_OF)]
PAIRS = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=bool)
"""Four disjoint classes, of which the middle two are one on the coarser tier."""


def any_of_tree(p_NC: np.ndarray) -> np.ndarray:
    return Projection(children=TREE, rule=any_of)(p_NC)


def worst_of_levels(p_NC: np.ndarray) -> np.ndarray:
    return Projection(children=LEVELS, rule=worst_of)(p_NC)


def sum_of_pairs(p_NC: np.ndarray) -> np.ndarray:
    return Projection(children=PAIRS, rule=sum_of)(p_NC)


def probabilities(n_classes: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, (3, n_classes), elements=st.floats(0, 1))


# ---------------------------------------------------------------------------------------------------------
# Any of the children


@given(probabilities(4))
def test_any_of_is_noisy_or(p_NC: np.ndarray) -> None:
    projected = any_of_tree(p_NC)
    expected = 1 - (1 - p_NC[:, [0, 1, 3]]).prod(axis=1)
    np.testing.assert_allclose(projected[:, 0], expected, atol=1e-15)
    np.testing.assert_array_equal(projected[:, 1], p_NC[:, 2])
    np.testing.assert_array_equal(projected[:, 2], 0)
    assert (projected[:, 0] >= p_NC[:, [0, 1, 3]].max(axis=1) - 1e-15).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_of_keeps_type_small_values_certainty_and_nan(dtype: type) -> None:
    p_NC = np.array([[1, 0.5, 0.25, 0], [1e-7, 0, 1, 1e-7], [np.nan, 0, 0.25, 0]], dtype=dtype)
    projected = any_of_tree(p_NC)
    assert projected.dtype == dtype
    assert projected[0].tolist() == [1, 0.25, 0]
    assert projected[1, 0] == pytest.approx(2 * float(p_NC[1, 0]), rel=1e-3)
    assert np.isnan(projected[2, 0])
    assert projected[2, 1] == 0.25
    np.testing.assert_array_equal(any_of_tree(p_NC[np.newaxis])[0], projected)


# ---------------------------------------------------------------------------------------------------------
# The worst of the children


def test_worst_of_by_hand() -> None:
    # Statements: .9 on level 0, .5 and .2 on level 2, .25 on level 1; level 3 has none.
    p_NC = np.array([[0.9, 0.5, 0.25, 0.2, 0.0]])
    at_most_1 = 0.5 * 0.8
    at_most_0 = at_most_1 * 0.75
    expected = [[at_most_0, at_most_1 - at_most_0, 1 - at_most_1, 0]]
    np.testing.assert_allclose(worst_of_levels(p_NC), expected, atol=1e-15)


@given(probabilities(len(LEVEL_OF)))
def test_worst_of_equals_counting_all_outcomes(p_NC: np.ndarray) -> None:
    """Sum over every set of statements of its probability, at the worst level in it."""
    expected = np.zeros((len(p_NC), LEVELS.shape[1]))
    for occurs in itertools.product((False, True), repeat=len(LEVEL_OF)):
        worst = max((level for level, there in zip(LEVEL_OF, occurs, strict=True) if there), default=0)
        expected[:, worst] += np.where(occurs, p_NC, 1 - p_NC).prod(axis=1)
    np.testing.assert_allclose(worst_of_levels(p_NC), expected, atol=1e-12)


@given(probabilities(len(LEVEL_OF)))
def test_worst_of_is_a_distribution(p_NC: np.ndarray) -> None:
    worst_NC = worst_of_levels(p_NC)
    assert ((worst_NC >= 0) & (worst_NC <= 1)).all()
    np.testing.assert_allclose(worst_NC.sum(axis=1), 1, atol=1e-12)


@given(probabilities(len(LEVEL_OF)), st.integers(0, len(LEVEL_OF) - 1), st.floats(0, 1))
def test_a_likelier_statement_never_makes_a_record_less_severe(
    p_NC: np.ndarray, statement: int, share: float
) -> None:
    likelier_NC = p_NC.copy()
    likelier_NC[:, statement] += share * (1 - p_NC[:, statement])
    at_most = worst_of_levels(p_NC).cumsum(axis=1)
    assert (worst_of_levels(likelier_NC.clip(0, 1)).cumsum(axis=1) <= at_most + 1e-12).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_worst_of_keeps_type_small_values_certainty_and_nan(dtype: type) -> None:
    p_NC = np.array(
        [[0, 1, 1, 1, 1], [0, 0, 1, 1e-7, 0], [0, 0, 0, 0, 0], [0.5, 0, np.nan, 0.25, 0]], dtype=dtype
    )
    worst_NC = worst_of_levels(p_NC)
    assert worst_NC.dtype == dtype
    assert worst_NC[0].tolist() == [0, 0, 1, 0]
    assert worst_NC[1, 2] == pytest.approx(float(p_NC[1, 3]), rel=1e-3)
    assert worst_NC[2].tolist() == [1, 0, 0, 0]
    # What is not known at level 1 decides the levels 0 and 1 only.
    np.testing.assert_allclose(worst_NC[3], [np.nan, np.nan, 0.25, 0], rtol=1e-15)
    np.testing.assert_array_equal(worst_of_levels(p_NC[np.newaxis])[0], worst_NC)


# ---------------------------------------------------------------------------------------------------------
# The sum of disjoint children


def test_sum_of_by_hand() -> None:
    p_NC = np.array([[0.1, 0.2, 0.3, 0.4], [0, 1, 0, 0]], dtype=np.float32)
    np.testing.assert_allclose(sum_of_pairs(p_NC), [[0.1, 0.5, 0.4], [0, 1, 0]], rtol=1e-6)
    assert sum_of_pairs(p_NC).dtype == np.float32


@given(probabilities(len(LEVEL_OF)))
def test_worst_of_in_two_steps_is_worst_of_at_once(p_NC: np.ndarray) -> None:
    at_once = Projection(children=(LEVELS @ PAIRS), rule=worst_of)(p_NC)
    np.testing.assert_allclose(sum_of_pairs(worst_of_levels(p_NC)), at_once, atol=1e-12)


def test_sum_of_needs_disjoint_classes() -> None:
    with pytest.raises(ValueError, match="exactly one occurs must sum to 1"):
        sum_of_pairs(np.array([[0.5, 0.5, 0.5, 0.0]]))


@given(arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)))
def test_as_distribution_sums_to_one_and_keeps_odds(p_NC: np.ndarray) -> None:
    shared_NC = as_distribution(p_NC)
    assert shared_NC.dtype == np.float32
    assert ((shared_NC >= 0) & (shared_NC <= 1)).all()
    np.testing.assert_allclose(shared_NC.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        shared_NC * p_NC.sum(axis=1, keepdims=True, dtype=np.float64), p_NC, rtol=1e-5, atol=1e-30
    )
    sum_of_pairs(shared_NC)


def test_as_distribution_leaves_what_sums_to_one_and_divides_nothing_evenly() -> None:
    p_NC = np.array([[0.5, 0.25, 0.125, 0.125], [0, 0, 0, 0], [1, 1, 0, 0]], dtype=np.float32)
    expected = [[0.5, 0.25, 0.125, 0.125], [0.25] * 4, [0.5, 0.5, 0, 0]]
    np.testing.assert_array_equal(as_distribution(p_NC), expected)


# ---------------------------------------------------------------------------------------------------------
# All of them


@given(arrays(np.float64, (3, 6), elements=st.floats(0, 1)))
def test_projecting_in_two_steps_is_projecting_at_once(p_NC: np.ndarray) -> None:
    for middle, coarse in (("subclass", "superclass"), ("severity-4", "severity-3")):
        halfway_NC = HIERARCHY.projection("all", middle)(p_NC)
        np.testing.assert_allclose(
            HIERARCHY.projection(middle, coarse)(halfway_NC),
            HIERARCHY.projection("all", coarse)(p_NC),
            atol=1e-12,
        )


@pytest.mark.parametrize(("rule", "children"), [(any_of, TREE), (worst_of, TREE), (sum_of, PAIRS)])
def test_what_is_no_probability_is_refused(rule, children) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Projection(children=children, rule=rule)(np.array([[0.5, 1.5, -1.0, 0]]))
