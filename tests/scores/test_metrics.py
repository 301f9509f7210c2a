"""Scores: equal to scikit-learn where it has them, hand-worked where it does not, and the laws they obey."""

import warnings
from functools import partial

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from scores import metrics, ranking
from scores.metrics import Scores, all_metrics, auroc, average_precision, cross_validated_auprc, macro


@st.composite
def predictions(draw, max_classes=5):
    """Targets and scores with many ties, constant columns and classes of a single kind."""
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, max_classes)))
    y_NC = draw(hnp.arrays(np.bool_, shape))
    levels = draw(st.sampled_from([1, 2, 4, 1000]))
    p_NC = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, levels))) / levels
    return y_NC, p_NC


def per_class(function, y_NC, p_NC, *, needs_negative=True):
    """scikit-learn's value for every class that can be scored, nan elsewhere."""
    values = []
    for y_N, p_N in zip(y_NC.T, p_NC.T, strict=True):
        usable = y_N.any() and not (needs_negative and y_N.all())
        values.append(function(y_N, p_N) if usable else np.nan)
    return np.array(values)


@pytest.mark.slow
@given(predictions())
def test_average_precision_and_auroc_equal_scikit_learn(case):
    y_NC, p_NC = case
    expected = per_class(reference.average_precision_score, y_NC, p_NC)
    np.testing.assert_allclose(average_precision(y_NC, p_NC), expected, atol=1e-12)
    expected = per_class(reference.roc_auc_score, y_NC, p_NC)
    np.testing.assert_allclose(auroc(y_NC, p_NC), expected, atol=1e-12)


def test_average_precision_by_hand():
    # Ranks 1, 2, 4 of five are positive: (1/1 + 2/2 + 3/4) / 3.
    y_NC = np.array([[1], [1], [0], [1], [0]])
    p_NC = np.array([[0.9], [0.8], [0.7], [0.6], [0.5]])
    assert average_precision(y_NC, p_NC) == pytest.approx([(1 + 1 + 3 / 4) / 3], abs=1e-15)
    # Of 3 × 2 pairs one is in the wrong order.
    assert auroc(y_NC, p_NC) == pytest.approx([5 / 6], abs=1e-15)


def test_constant_scores_give_prevalence_and_one_half():
    y_NC = np.array([[1], [0], [0], [0]])
    p_NC = np.full((4, 1), 0.3)
    assert average_precision(y_NC, p_NC) == pytest.approx([0.25])
    assert auroc(y_NC, p_NC) == pytest.approx([0.5])


def test_classes_of_a_single_kind_are_undefined_not_zero():
    y_NC = np.array([[0, 1, 1], [0, 1, 0]])
    p_NC = np.array([[0.2, 0.4, 0.9], [0.1, 0.3, 0.8]])
    np.testing.assert_array_equal(average_precision(y_NC, p_NC), [np.nan, np.nan, 1.0])
    np.testing.assert_array_equal(auroc(y_NC, p_NC), [np.nan, np.nan, 1.0])
    score = macro(average_precision(y_NC, p_NC), y_NC.sum(axis=0))
    assert (score.value, score.undefined, score.n_positive.tolist()) == (1.0, (0, 1), [0, 2, 1])


def test_a_class_that_every_record_has_lifts_no_macro_mean():
    # Class 0: the positive ranks second, AP 1/2 and AUROC 1/2. Class 1, which all have, would give AP 1.
    y_NC = np.array([[0, 1], [1, 1], [0, 1]])
    p_NC = np.array([[0.9, 0.9], [0.6, 0.1], [0.2, 0.8]])
    scores = all_metrics(y_NC, p_NC)
    assert scores.undefined == (1,)
    assert (scores.overall["macro_auprc"], scores.overall["macro_auroc"]) == (0.5, 0.5)
    # At 0.5: one hit and one false alarm, precision 1/2 and recall 1. Class 1 has recall 2/3 and no F1.
    assert scores.overall["macro_f1"] == pytest.approx(2 / 3)
    assert scores.per_class["recall"] == pytest.approx([1, 2 / 3])
    for name in ("auprc", "auroc", "precision", "f1", "specificity", "balanced_accuracy"):
        assert np.isnan(scores.per_class[name][1])


def test_a_fold_without_a_negative_does_not_score_its_class():
    # Fold 1 holds three positives and no negative; of fold 2 the positive ranks second of two: AP 1/2.
    folds = [
        (np.array([[1], [1], [1]]), np.array([[0.3], [0.2], [0.1]])),
        (np.array([[1], [0]]), np.array([[0.4], [0.6]])),
    ]
    score = cross_validated_auprc(folds)
    assert (score.value, score.undefined, score.n_positive.tolist()) == (0.5, (), [4])
    # Where no fold has both kinds the class has no score, although all records together have.
    only = cross_validated_auprc([folds[0], (np.array([[0], [0]]), np.array([[0.4], [0.6]]))])
    assert np.isnan(only.value)
    assert only.undefined == (0,)


@given(predictions(), st.randoms(use_true_random=False))
def test_order_of_records_does_not_matter(case, random):
    y_NC, p_NC = case
    rows = list(range(len(y_NC)))
    random.shuffle(rows)
    for metric in (average_precision, auroc):
        np.testing.assert_allclose(metric(y_NC[rows], p_NC[rows]), metric(y_NC, p_NC), atol=1e-12)


@given(predictions())
def test_monotone_transforms_do_not_matter(case):
    y_NC, p_NC = case
    for metric in (average_precision, auroc):
        expected = metric(y_NC, p_NC)
        np.testing.assert_array_equal(metric(y_NC, np.exp(3 * p_NC) - 7), expected)
        np.testing.assert_array_equal(metric(y_NC, p_NC.astype(np.float32) / 8), expected)


@given(predictions())
def test_reversed_scores_mirror_auroc(case):
    y_NC, p_NC = case
    np.testing.assert_allclose(auroc(y_NC, -p_NC), 1 - auroc(y_NC, p_NC), atol=1e-12)


@given(predictions(max_classes=1))
def test_curves_equal_scikit_learn(case):
    y_N, p_N = case[0][:, 0], case[1][:, 0]
    if y_N.any() and not y_N.all():
        precision, recall, threshold = reference.precision_recall_curve(y_N, p_N)
        curve = metrics.precision_recall_curve(y_N, p_N)
        np.testing.assert_allclose(curve.y, precision[::-1])
        np.testing.assert_allclose(curve.x, recall[::-1])
        np.testing.assert_array_equal(curve.threshold[1:], threshold[::-1])
        false_rate, true_rate, threshold = reference.roc_curve(y_N, p_N, drop_intermediate=False)
        curve = metrics.roc_curve(y_N, p_N)
        np.testing.assert_allclose(curve.x, false_rate)
        np.testing.assert_allclose(curve.y, true_rate)
        np.testing.assert_array_equal(curve.threshold, threshold)


def test_curves_of_impossible_classes_are_refused():
    with pytest.raises(ValueError, match="at least one positive"):
        metrics.precision_recall_curve([0, 0], [0.1, 0.2])
    with pytest.raises(ValueError, match="one negative"):
        metrics.precision_recall_curve([1, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="one negative"):
        metrics.roc_curve([1, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="one class at a time"):
        metrics.roc_curve([[1, 0]], [[0.1, 0.2]])


@pytest.mark.parametrize(
    ("y_NC", "p_NC", "message"),
    [
        ([[1, 0]], [[0.5]], "must both be"),
        ([1, 0], [0.5, 0.4], "must both be"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "not empty"),
        ([[1, 2]], [[0.5, 0.5]], "0 or 1"),
        ([[1, 0]], [[0.5, np.nan]], r"classes \[1\] are not finite"),
    ],
)
def test_input_that_cannot_be_scored_is_refused(y_NC, p_NC, message):
    with pytest.raises(ValueError, match=message):
        average_precision(y_NC, p_NC)


@pytest.mark.slow
@given(predictions())
def test_decision_metrics_equal_scikit_learn(case):
    y_NC, p_NC = case
    decision_NC = p_NC >= 0.5
    found = metrics.decision_metrics(y_NC, decision_NC)
    names = {
        "precision": reference.precision_score,
        "recall": reference.recall_score,
        "f1": reference.f1_score,
    }
    for name, function in names.items():
        score = partial(function, zero_division=0)
        expected = per_class(score, y_NC, decision_NC, needs_negative=name != "recall")
        np.testing.assert_allclose(found[name], expected, atol=1e-12)
    expected = per_class(reference.balanced_accuracy_score, y_NC, decision_NC)
    np.testing.assert_allclose(found["balanced_accuracy"], expected, atol=1e-12)
    np.testing.assert_allclose(found["accuracy"], (y_NC == decision_NC).mean(axis=0))
    np.testing.assert_array_equal(
        metrics.binary_confusion(y_NC, decision_NC),
        reference.multilabel_confusion_matrix(y_NC.astype(int), decision_NC.astype(int))
        if y_NC.shape[1] > 1
        else [reference.confusion_matrix(y_NC[:, 0], decision_NC[:, 0], labels=[False, True])],
    )


def _has_both_kinds(case):
    y_NC, _ = case
    return y_NC.shape[1] > 1 and y_NC.any(axis=0).all() and not y_NC.all(axis=0).any()


@pytest.mark.slow
@given(predictions().filter(_has_both_kinds))
def test_averages_equal_scikit_learn_when_every_class_has_positives_and_negatives(case):
    y_NC, p_NC = case
    found = all_metrics(y_NC, p_NC).overall
    y, d = y_NC.astype(int), (p_NC >= 0.5).astype(int)
    for kind in ("macro", "micro", "weighted"):
        expected = reference.precision_recall_fscore_support(y, d, average=kind, zero_division=0)[:3]
        names = [f"{kind}_{name}" for name in ("precision", "recall", "f1")]
        assert [found[name] for name in names] == pytest.approx(expected, abs=1e-12)
    assert found["macro_auprc"] == pytest.approx(reference.average_precision_score(y, p_NC))
    assert found["hamming_loss"] == pytest.approx(reference.hamming_loss(y, d))
    assert found["subset_accuracy"] == pytest.approx(reference.accuracy_score(y, d))


@given(predictions())
def test_all_metrics_keep_names_types_and_ranges(case):
    y_NC, p_NC = case
    scores = all_metrics(y_NC, p_NC)
    assert isinstance(scores, Scores)
    assert tuple(scores.overall) == metrics.OVERALL_METRICS
    assert tuple(scores.per_class) == metrics.PER_CLASS_METRICS
    assert scores.undefined == tuple(np.flatnonzero(~y_NC.any(axis=0) | y_NC.all(axis=0)).tolist())
    for name, value in scores.overall.items():
        assert type(value) is float
        low = -1 if name.startswith("spearman") else 0
        assert np.isnan(value) or low - 1e-12 <= value <= 1 + 1e-12
    for values in scores.per_class.values():
        assert values.shape == (y_NC.shape[1],)
        assert values.dtype == np.float64


def test_all_metrics_by_hand():
    y_NC = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    p_NC = np.array([[0.9, 0.2, 0.1], [0.4, 0.7, 0.6], [0.8, 0.6, 0.1], [0.1, 0.3, 0.2]])
    scores = all_metrics(y_NC, p_NC)
    # Class 0: 1 hit, 1 miss, 1 false alarm; class 1: 2 hits; class 2: one false alarm, no positive.
    np.testing.assert_allclose(scores.per_class["f1"], [0.5, 1.0, np.nan])
    np.testing.assert_allclose(scores.per_class["specificity"], [0.5, 1.0, 0.75])
    overall = scores.overall
    assert overall["macro_f1"] == 0.75
    assert overall["micro_precision"] == pytest.approx(3 / 5)
    assert overall["micro_recall"] == pytest.approx(3 / 4)
    assert overall["hamming_loss"] == pytest.approx(3 / 12)
    assert overall["label_accuracy"] == pytest.approx(9 / 12)
    assert overall["subset_accuracy"] == pytest.approx(2 / 4)
    assert np.isnan(overall["macro_auprc_min10"])
    assert scores.undefined == (2,)


def test_class_without_positive_changes_no_macro_mean(rng):
    y_NC = rng.random((50, 3)) < 0.4
    p_NC = rng.random((50, 3))
    alone = all_metrics(y_NC, p_NC).overall
    y_more, p_more = np.pad(y_NC, ((0, 0), (0, 1))), np.pad(p_NC, ((0, 0), (0, 1)))
    more = all_metrics(y_more, p_more).overall
    for name in metrics.OVERALL_METRICS:
        if name.startswith(("macro", "weighted", "spearman")) and name != "macro_specificity":
            np.testing.assert_allclose(more[name], alone[name])


def test_nothing_to_find_is_nan_not_zero():
    overall = all_metrics(np.zeros((3, 2)), np.full((3, 2), 0.1)).overall
    for name in ("macro_auprc", "macro_f1", "micro_f1", "weighted_f1", "f_max"):
        assert np.isnan(overall[name])
    assert overall["hamming_loss"] == 0.0


def test_objective_by_hand():
    # Class 0: its only positive ranks first, AP 1. Class 1 has no positive here.
    first = ([[1, 0], [0, 0]], [[0.9, 0.5], [0.1, 0.4]])
    # Class 0: positives at ranks 2 and 3, AP (1/2 + 2/3)/2. Class 1: positive at rank 3, AP 1/3.
    second = ([[0, 0], [1, 0], [1, 1]], [[0.9, 0.5], [0.8, 0.4], [0.7, 0.3]])
    score = cross_validated_auprc([first, second])
    class_0 = (1 * 1.0 + 2 * (1 / 2 + 2 / 3) / 2) / 3
    np.testing.assert_allclose(score.per_class, [class_0, 1 / 3])
    assert score.value == pytest.approx((class_0 + 1 / 3) / 2)
    assert score.n_positive.tolist() == [3, 1]
    assert score.undefined == ()


@pytest.mark.slow
@given(st.lists(predictions(max_classes=1), min_size=1, max_size=5))
def test_objective_does_not_depend_on_the_order_of_folds(folds):
    forward, backward = cross_validated_auprc(folds), cross_validated_auprc(folds[::-1])
    np.testing.assert_allclose(forward.value, backward.value)
    assert forward.undefined == backward.undefined


def test_objective_of_one_fold_is_macro_auprc_and_names_missing_classes(rng):
    y_NC, p_NC = rng.random((60, 4)) < [0.5, 0.2, 0.0, 0.1], rng.random((60, 4))
    score = cross_validated_auprc([(y_NC, p_NC)])
    assert score.value == pytest.approx(all_metrics(y_NC, p_NC).overall["macro_auprc"])
    assert 2 in score.undefined


@pytest.mark.parametrize("folds", [[], [([[1]], [[0.5]]), ([[1, 0]], [[0.5, 0.5]])]])
def test_objective_refuses_folds_that_do_not_match(folds):
    with pytest.raises(ValueError, match="at least one fold"):
        cross_validated_auprc(folds)


# Hamming loss, micro precision and micro recall of the six models in the table of Jafari & Jafari, which fit
# together on fold 10 only with all 2,198 records and all 3,034 subclass labels.
SEED_TABLE = {
    "GRU+BiLSTM+LSTM": (0.0354, 0.7498, 0.6144),
    "GRU": (0.0348, 0.7466, 0.6351),
    "LSTM+BiLSTM": (0.0344, 0.7491, 0.6417),
    "BiLSTM": (0.0338, 0.7535, 0.6500),
    "LSTM": (0.0347, 0.7473, 0.6384),
    "CNN": (0.0340, 0.7543, 0.6434),
}


def hamming_from_micro(precision, recall, *, n_positive, n_records, n_classes):
    """Wrong cells are FN + FP = P·(1 − recall) + P·recall·(1/precision − 1)."""
    wrong = n_positive * (1 - recall) + n_positive * recall * (1 / precision - 1)
    return wrong / (n_records * n_classes)


@pytest.mark.parametrize("model", SEED_TABLE)
def test_published_table_was_computed_on_every_record_of_fold_10(model):
    hamming, precision, recall = SEED_TABLE[model]
    implied = hamming_from_micro(precision, recall, n_positive=3034, n_records=2198, n_classes=23)
    assert round(implied, 4) == hamming
    without_unlabelled = hamming_from_micro(precision, recall, n_positive=3034, n_records=2158, n_classes=23)
    assert round(without_unlabelled, 4) != hamming


def test_hamming_formula_agrees_with_counting(rng):
    y_NC, p_NC = rng.random((80, 6)) < 0.3, rng.random((80, 6))
    overall = all_metrics(y_NC, p_NC).overall
    implied = hamming_from_micro(
        overall["micro_precision"],
        overall["micro_recall"],
        n_positive=int(y_NC.sum()),
        n_records=80,
        n_classes=6,
    )
    assert implied == pytest.approx(overall["hamming_loss"])


@pytest.mark.slow
@settings(max_examples=50)
@given(hnp.arrays(np.int64, st.tuples(st.just(2), st.integers(0, 12)), elements=st.integers(0, 5)))
def test_spearman_equals_scipy_with_ties(pair):
    stats = pytest.importorskip("scipy.stats")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        constant = pair.shape[1] < 2 or (np.ptp(pair, axis=1) == 0).any()
        expected = (np.nan, np.nan) if constant else stats.spearmanr(*pair)
    np.testing.assert_allclose(metrics.spearman(*pair), expected, atol=1e-12)


def test_spearman_leaves_out_undefined_classes():
    assert metrics.spearman([0.1, 0.2, 0.3, 0.4], [0.2, np.nan, 0.3, 0.9])[0] == pytest.approx(1.0)


def test_macro_can_demand_ten_positives():
    score = macro([0.9, 0.1, np.nan], [10, 9, 0], min_positive=10)
    assert (score.value, score.undefined) == (0.9, (1, 2))


def test_ranking_counts_stop_at_groups_of_equal_scores():
    at = ranking.count_thresholds([[1], [0], [1]], [[0.5], [0.5], [0.2]])
    assert (at.threshold.tolist(), at.true_positives.tolist(), at.false_positives.tolist()) == (
        [0.5, 0.2],
        [1, 2],
        [1, 1],
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_classes_are_unseen_where_one_fold_alone_has_and_lacks_them() -> None:
    """Of the columns A is in both folds, B in one, C in no record, D in all records of one fold, E in all."""
    first = np.array([[1, 1, 0, 1, 1], [0, 0, 0, 1, 1]])
    second = np.array([[1, 0, 0, 0, 1], [0, 0, 0, 0, 1]])
    n_positive_FC = np.stack([first.sum(axis=0), second.sum(axis=0)])
    assert metrics.unseen_classes("ABCDE", n_positive_FC, [2, 2]) == ["B"]
    assert set(metrics.degenerate_classes("ABCDE", [first, second])) == {"C", "D", "E"}
