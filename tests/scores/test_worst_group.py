"""The score of the group of patients that is served worst, by hand and against scikit-learn."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from scores.bootstrap import Resampling
from scores.groups import AGES, LEAST_RECORDS, SEXES, People
from scores.metrics import cross_validated_auprc
from scores.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from scores.optimism import Choice
from scores.scorers import MACRO_AUPRC, WorstGroupScorer, scorer_of

Fold = tuple[NDArray[np.bool_], NDArray[np.float64]]
FEMALE, MALE = 1.0, 0.0


def cell(positives: list[float], n: int = 15) -> tuple[list[bool], list[float]]:
    """Records of one sex in one fold: positives with these probabilities, negatives with .5."""
    rest = n - len(positives)
    return [True] * len(positives) + [False] * rest, [*positives, *[0.5] * rest]


def by_hand() -> tuple[list[Fold], list[People]]:
    """Two folds of 15 women and 15 men, and one record of unknown sex that is ranked as badly as can be.

    Women: of 3 positives 2 lie above all negatives and 1 below (AUROC 2/3), then 2 of 2 above (1).
    Men: 2 positives are tied with all negatives (1/2), then 2 of 3 above (2/3).
    """
    folds, people = [], []
    for women, men in (([0.9, 0.9, 0.1], [0.5, 0.5]), ([0.9, 0.9], [0.9, 0.9, 0.1])):
        (y_women, p_women), (y_men, p_men) = cell(women), cell(men)
        y, p = [*y_women, *y_men, True], [*p_women, *p_men, 0.0]
        folds.append((np.array(y)[:, None], np.array(p)[:, None]))
        sex_N = np.array([FEMALE] * 15 + [MALE] * 15 + [np.nan])
        people.append(People(sex_N=sex_N, age_N=None))
    return folds, people


def scorer_by_hand() -> tuple[WorstGroupScorer, list[Fold]]:
    folds, people = by_hand()
    return WorstGroupScorer(metric="auroc", targets=[y for y, _ in folds], people=people), folds


def test_the_lowest_of_both_sexes_counts() -> None:
    """Women (3 · 2/3 + 2 · 1) / 5 = .8, men (2 · 1/2 + 3 · 2/3) / 5 = .6."""
    scorer, folds = scorer_by_hand()
    assert scorer.folds(folds) == pytest.approx(0.6)
    assert scorer.worst(folds) == "sex male"


def test_a_fold_has_the_lowest_score_in_that_fold() -> None:
    """Men 1/2 against women 2/3, then men 2/3 against women 1."""
    scorer, folds = scorer_by_hand()
    assert scorer.fold(0, *folds[0]) == pytest.approx(1 / 2)
    assert scorer.fold(1, *folds[1]) == pytest.approx(2 / 3)
    assert scorer.folds(folds[1:], [1]) == scorer.fold(1, *folds[1])


def test_records_of_unknown_sex_are_counted_and_score_nothing() -> None:
    scorer, folds = scorer_by_hand()
    (attribute,) = scorer.attributes
    assert (attribute.name, attribute.n_unknown) == ("sex", 2)
    better = [(y, np.where(np.arange(len(p))[:, None] == 30, 1.0, p)) for y, p in folds]
    assert scorer.folds(better) == scorer.folds(folds)


def test_a_class_that_one_group_cannot_score_counts_for_none() -> None:
    """The second class, which all rank the wrong way round, has four positive men."""
    folds, people = by_hand()
    wrong = []
    for y_N1, p_N1 in folds:
        second = np.zeros_like(y_N1)
        second[[0, 1, 2, 15, 16]] = True
        wrong.append((np.hstack([y_N1, second]), np.hstack([p_N1, 1.0 - second])))
    scorer = WorstGroupScorer(metric="auroc", targets=[y for y, _ in wrong], people=people)
    assert scorer.attributes[0].used_C.tolist() == [True, False]
    assert scorer.folds(wrong) == pytest.approx(0.6)


def test_a_fold_without_a_positive_in_one_group_has_no_score() -> None:
    """Five men with the class, all in the first fold; the second says nothing of men, and so of nobody."""
    folds, people = [], []
    for men in ([0.9, 0.9, 0.9, 0.9, 0.1], []):
        (y_women, p_women), (y_men, p_men) = cell([0.9, 0.9, 0.1]), cell(men)
        folds.append((np.array([*y_women, *y_men])[:, None], np.array([*p_women, *p_men])[:, None]))
        people.append(People(sex_N=np.array([FEMALE] * 15 + [MALE] * 15), age_N=None))
    scorer = WorstGroupScorer(metric="auroc", targets=[y for y, _ in folds], people=people)
    assert np.isnan(scorer.fold(1, *folds[1]))
    assert scorer.folds(folds) == pytest.approx(2 / 3)  # women 2/3, men 4/5


def test_a_fold_without_a_record_of_a_group_has_no_score() -> None:
    """Thirty men, all in the first fold, and two classes, of which the second is scored as the first."""
    (y_women, p_women), (y_men, p_men) = cell([0.9, 0.9, 0.1]), cell([0.9, 0.9, 0.9, 0.9, 0.1], n=30)
    columns = [
        (np.array([*y_women, *y_men]), np.array([*p_women, *p_men])),
        (np.array(y_women), np.array(p_women)),
    ]
    folds = [(np.column_stack([y, y]), np.column_stack([p, p])) for y, p in columns]
    people = [People(sex_N=np.array([FEMALE] * 15 + [MALE] * n_men), age_N=None) for n_men in (30, 0)]
    scorer = WorstGroupScorer(metric="auroc", targets=[y for y, _ in folds], people=people)
    assert scorer.attributes[0].used_C.tolist() == [True, True]
    assert np.isnan(scorer.fold(1, *folds[1]))
    assert scorer.folds(folds) == pytest.approx(2 / 3)
    draws = Resampling(
        [y for y, _ in folds], rng=np.random.default_rng(0), patients=[np.arange(45), np.arange(45, 60)]
    )
    value, sample_R = scorer.resampled(draws, folds)
    assert value == pytest.approx(2 / 3)
    assert np.isfinite(sample_R).any()


@pytest.mark.parametrize("people", [People(sex_N=None, age_N=None), People(sex_N=np.zeros(40), age_N=None)])
def test_one_group_cannot_be_the_worst(people: People) -> None:
    y, p = np.arange(40)[:, None] % 2 == 0, np.linspace(0, 1, 40)[:, None]
    scorer = WorstGroupScorer(metric="auroc", targets=[y], people=[people])
    assert scorer.attributes == []
    assert np.isnan(scorer.folds([(y, p)]))
    assert scorer.worst([(y, p)]) == ""
    draws = Resampling([y], rng=np.random.default_rng(0), n_resamples=3)
    assert np.isnan(scorer.resampled(draws, [(y, p)])[1]).all()


def made_up(seed: int = 0) -> tuple[list[Fold], list[People]]:
    """Three folds of 160 records with two classes, sexes and ages of which some are unknown."""
    rng = np.random.default_rng(seed)
    folds, people = [], []
    for _ in range(3):
        y_NC = rng.random((160, 2)) < 0.4
        folds.append((y_NC, np.round(0.2 * y_NC + rng.random((160, 2)), 2)))
        sex_N, age_N = rng.integers(0, 2, 160).astype(float), rng.uniform(20, 95, 160)
        sex_N[:3], age_N[-5:] = np.nan, np.nan
        people.append(People(sex_N=sex_N, age_N=age_N))
    return folds, people


def groups_of(people: People) -> dict[str, NDArray[np.bool_]]:
    sex_N, age_N = np.asarray(people.sex_N), np.asarray(people.age_N)
    found = {f"sex {name}": sex_N == code for name, code in SEXES}
    return found | {f"age {name}": (age_N >= first) & (age_N < end) for name, first, end in AGES}


def reference(
    folds: list[Fold], people: list[People], weights: list[NDArray[np.float32]] | None = None
) -> dict[str, float]:
    """Score of every group with scikit-learn, of resamples where there are weights."""
    of_folds = [groups_of(each) for each in people]
    found = {}
    for name in of_folds[0]:
        means = []
        for index in range(2):
            scores, n_positive = [], []
            for place, ((y_NC, p_NC), groups) in enumerate(zip(folds, of_folds, strict=True)):
                rows = groups[name]
                w_N = np.ones(len(y_NC)) if weights is None else weights[place].astype(np.float64)
                y_N = y_NC[rows, index]
                scores.append(roc_auc_score(y_N, p_NC[rows, index], sample_weight=w_N[rows]))
                n_positive.append(w_N[rows][y_N].sum())
            means.append(np.average(scores, weights=n_positive))
        found[name] = float(np.mean(means))
    return found


def test_scores_are_those_of_scikit_learn() -> None:
    folds, people = made_up()
    expected = reference(folds, people)
    scorer = scorer_of(OBJECTIVES["worst-group"], [y for y, _ in folds], people)
    assert scorer.folds(folds) == pytest.approx(min(expected.values()), abs=1e-12)
    assert scorer.worst(folds) == min(expected, key=lambda name: expected[name])


def test_resamples_are_scored_as_the_records_are() -> None:
    """Weights are kept in single precision: sums of 160 of them are right to some 1e-6."""
    folds, people = made_up()
    targets = [y for y, _ in folds]
    scorer = scorer_of(OBJECTIVES["worst-group"], targets, people)
    draws = Resampling(targets, rng=np.random.default_rng(0), n_resamples=2)
    value, sample_R = scorer.resampled(draws, folds)
    assert value == scorer.folds(folds)
    # Private: the weights of a resample are nobody's business but this reference's.
    for index in range(2):
        expected = reference(folds, people, [w_NR[:, index] for w_NR in draws._weights])
        assert sample_R[index] == pytest.approx(min(expected.values()), abs=1e-5)


def test_groups_below_the_least_number_of_records_are_told_and_not_compared() -> None:
    rng = np.random.default_rng(0)
    age_N = np.array([30.0] * 60 + [50.0] * 60 + [85.0] * (LEAST_RECORDS - 1))
    y = rng.random((len(age_N), 1)) < 0.5
    scorer = WorstGroupScorer(metric="auroc", targets=[y], people=[People(sex_N=None, age_N=age_N)])
    (attribute,) = scorer.attributes
    assert list(attribute.groups) == ["under 40", "40 to 59"]
    assert attribute.too_small == {"80 and over": LEAST_RECORDS - 1}


def test_the_usual_objective_is_macro_auprc() -> None:
    folds, people = made_up()
    scorer = scorer_of(OBJECTIVES[DEFAULT_OBJECTIVE], [y for y, _ in folds], people)
    assert scorer == MACRO_AUPRC
    assert scorer.folds(folds) == cross_validated_auprc(folds).value
    assert scorer.fold(1, *folds[1]) == pytest.approx(cross_validated_auprc(folds[1:2]).value, abs=1e-12)
    assert scorer.worst(folds) == ""


def test_the_best_for_the_worst_group_is_chosen_where_that_is_the_objective() -> None:
    """The first model ranks women perfectly and men at random, the second both rather well."""
    folds, people = made_up()
    targets = [y for y, _ in folds]
    rng = np.random.default_rng(1)
    uneven, even = [], []
    for y_NC, of_fold in zip(targets, people, strict=True):
        noise_NC = rng.random(y_NC.shape)
        is_woman_N1 = groups_of(of_fold)["sex female"][:, None]
        uneven.append((y_NC, np.where(is_woman_N1, y_NC + noise_NC, noise_NC)))
        even.append((y_NC, 0.5 * y_NC + noise_NC))
    of_all, of_worst = (
        Choice(
            [[uneven], [even]],
            rng=np.random.default_rng(0),
            n_resamples=20,
            scorer=scorer_of(each, targets, people),
        ).expect([0, 1], np.zeros(3))
        for each in OBJECTIVES.values()
    )
    assert of_worst.chosen == 1
    assert of_worst.plain == of_worst.on_other_folds > 0.75
    assert 0.5 < of_worst.interval.value < 1
    assert of_all.plain != of_worst.plain


def test_every_objective_names_itself() -> None:
    assert {name: each.key for name, each in OBJECTIVES.items()} == {
        "macro-auprc": "macro_auprc",
        "worst-group": "worst_group",
    }
    assert [each.heading for each in OBJECTIVES.values()] == ["Macro-AUPRC", "Worst-group AUROC"]
    assert [each.least for each in OBJECTIVES.values()] == [0.0, 0.5]
