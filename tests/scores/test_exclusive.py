"""Scores of the most probable class: equal to scikit-learn, by hand, and the laws of weighted kappa."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from scores.exclusive import EXCLUSIVE_METRICS, ORDINAL_METRICS, exclusive_metrics
from scores.weighted_decisions import weighted_kappa


@st.composite
def predictions(draw, max_classes=5):
    """One class per record and probabilities with ties; classes may be absent or never predicted."""
    n_records, n_classes = draw(st.integers(1, 40)), draw(st.integers(2, max_classes))
    true_N = draw(hnp.arrays(np.int64, n_records, elements=st.integers(0, n_classes - 1)))
    p_NC = draw(hnp.arrays(np.int64, (n_records, n_classes), elements=st.integers(0, 9))) / 9
    return np.eye(n_classes, dtype=bool)[true_N], p_NC


def quadratic_kappa(confusion_CC):
    return weighted_kappa(np.asarray(confusion_CC)[None], quadratic=True)[0]


confusions = hnp.arrays(
    np.int64, st.integers(2, 5).map(lambda n: (n, n)), elements=st.integers(0, 30)
).filter(lambda table: (table.sum(axis=0) > 0).sum() > 1)


@pytest.mark.slow
@given(predictions())
def test_scores_equal_scikit_learn(case):
    y_NC, p_NC = case
    classes = range(y_NC.shape[1])
    true_N, predicted_N = y_NC.argmax(axis=1), p_NC.argmax(axis=1)
    scores = exclusive_metrics(y_NC, p_NC, ordinal=True)
    assert tuple(scores.overall) == ORDINAL_METRICS
    assert all(type(value) is float for value in scores.overall.values())
    np.testing.assert_array_equal(
        scores.confusion, reference.confusion_matrix(true_N, predicted_N, labels=classes)
    )
    assert scores.overall["argmax_accuracy"] == pytest.approx(reference.accuracy_score(true_N, predicted_N))
    occurring = np.unique(true_N)
    if len(occurring) == 1:  # no class has both positives and negatives
        names = ("argmax_weighted_f1", "argmax_macro_f1", "argmax_macro_f1_min10")
        assert all(np.isnan(scores.overall[name]) for name in names)
        return
    assert scores.overall["argmax_weighted_f1"] == pytest.approx(
        reference.f1_score(true_N, predicted_N, average="weighted", labels=classes, zero_division=0)
    )
    frequent = [number for number in classes if y_NC[:, number].sum() >= 10]
    if frequent:
        assert scores.overall["argmax_macro_f1_min10"] == pytest.approx(
            reference.f1_score(true_N, predicted_N, average="macro", labels=frequent, zero_division=0)
        )
    else:
        assert np.isnan(scores.overall["argmax_macro_f1_min10"])
    assert scores.overall["argmax_macro_f1"] == pytest.approx(
        reference.f1_score(true_N, predicted_N, average="macro", labels=occurring, zero_division=0)
    )
    if len({*true_N, *predicted_N}) == 1:
        assert np.isnan(scores.overall["quadratic_kappa"])
    else:
        expected = reference.cohen_kappa_score(true_N, predicted_N, weights="quadratic", labels=classes)
        assert scores.overall["quadratic_kappa"] == pytest.approx(expected, abs=1e-12)


def test_scores_by_hand():
    # Predicted 0, 1, 2, 0, 2 for true 0, 0, 2, 1, 0: two of five right, errors of 1, 1 and 2 classes.
    y_NC = np.eye(3, dtype=bool)[[0, 0, 2, 1, 0]]
    p_NC = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0, 0, 1], [0.4, 0.3, 0.3], [0.1, 0.2, 0.7]])
    scores = exclusive_metrics(y_NC, p_NC, ordinal=True)
    assert scores.confusion.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 1]]
    assert scores.overall["argmax_accuracy"] == pytest.approx(2 / 5)
    # F1: class 0 has 1 hit of 3 true and 2 predicted, class 1 none, class 2 one of 1 true and 2 predicted.
    assert scores.overall["argmax_weighted_f1"] == pytest.approx((3 * 2 / 5 + 0 + 1 * 2 / 3) / 5)
    # Squared distances: observed 1 + 1 + 4. Rows 3, 1, 1 and columns 2, 1, 2: expected
    # (3·1·1 + 3·2·4 + 1·2·1 + 1·2·1 + 1·2·4 + 1·1·1) / 5 = 8.
    assert scores.overall["quadratic_kappa"] == pytest.approx(1 - 6 / 8)


def test_equally_probable_classes_count_as_the_first():
    scores = exclusive_metrics([[0, 1, 0]], [[0.2, 0.4, 0.4]], ordinal=False)
    assert tuple(scores.overall) == EXCLUSIVE_METRICS
    assert scores.confusion.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.slow
@given(confusions)
def test_kappa_does_not_depend_on_direction_or_side(confusion_CC):
    kappa = quadratic_kappa(confusion_CC)
    assert kappa <= 1
    assert quadratic_kappa(confusion_CC[::-1, ::-1]) == pytest.approx(kappa)
    assert quadratic_kappa(confusion_CC.T) == pytest.approx(kappa)
    assert quadratic_kappa(3 * confusion_CC) == pytest.approx(kappa)


def test_kappa_of_agreement_chance_and_distance():
    assert quadratic_kappa(np.diag([5, 3, 2])) == 1
    assert quadratic_kappa(np.outer([5, 3, 2], [1, 4, 5])) == pytest.approx(0)
    near, far = np.diag([9, 9, 9]), np.diag([9, 9, 9])
    near[0, 1], far[0, 2] = 1, 1
    assert quadratic_kappa(far) < quadratic_kappa(near) < 1
    assert np.isnan(quadratic_kappa([[4, 0], [0, 0]]))


@pytest.mark.parametrize(
    ("y_NC", "p_NC", "message"),
    [
        ([[1, 0], [1, 1]], [[0.5, 0.5]] * 2, "row 1 has 2 classes; a record needs exactly one"),
        ([[0, 0]], [[0.5, 0.5]], "row 0 has 0 classes"),
        ([[1, 0]], [[0.5, np.nan]], r"classes \[1\] are not finite"),
        ([[1, 0]], [[0.5]], "must both be"),
    ],
)
def test_what_has_not_one_class_per_record_is_refused(y_NC, p_NC, message):
    with pytest.raises(ValueError, match=message):
        exclusive_metrics(y_NC, p_NC, ordinal=True)
