"""Cross-validation folds: fixed, complete, patient-safe, fold 10 sealed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_records import ptbxl_folders

from search.data.folds import (
    CV_GROUPS,
    PTBXL_FOLDS,
    SEALED_FOLD,
    check_patient_safety,
    cv_folds,
    shared_patients,
)
from search.data.readers.ptbxl import read_table
from search.errors import DataError

GROUP_OF = {fold: number for number, folds in enumerate(CV_GROUPS, start=1) for fold in folds}
DEVELOPMENT = st.lists(st.integers(1, 9), max_size=60).map(lambda folds: np.array([1, 3, 5, 7, 9, *folds]))


def test_the_groups_are_those_of_the_design() -> None:
    assert CV_GROUPS == ((1, 2), (3, 4), (5, 6), (7, 8), (9,))
    assert SEALED_FOLD == 10


@given(DEVELOPMENT)
def test_every_row_is_scored_once_and_never_where_it_is_trained_on(strat_fold: np.ndarray) -> None:
    folds = cv_folds(strat_fold, PTBXL_FOLDS)
    assert [fold.number for fold in folds] == [1, 2, 3, 4, 5]
    scored = np.concatenate([fold.validation for fold in folds])
    assert sorted(scored.tolist()) == list(range(len(strat_fold)))
    for fold in folds:
        assert fold.train.dtype == fold.validation.dtype == np.int64
        both = np.concatenate([fold.train, fold.validation])
        assert sorted(both.tolist()) == list(range(len(strat_fold)))
        assert {GROUP_OF[f] for f in strat_fold[fold.validation].tolist()} == {fold.number}


@given(DEVELOPMENT, st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_rows(
    strat_fold: np.ndarray, random: "np.random.Generator"
) -> None:
    order = np.array(random.sample(range(len(strat_fold)), len(strat_fold)))
    for fold, shuffled in zip(
        cv_folds(strat_fold, PTBXL_FOLDS), cv_folds(strat_fold[order], PTBXL_FOLDS), strict=True
    ):
        assert set(order[shuffled.train].tolist()) == set(fold.train.tolist())
        assert set(order[shuffled.validation].tolist()) == set(fold.validation.tolist())


@pytest.mark.slow
@given(DEVELOPMENT, st.integers(0, 60))
def test_a_row_of_the_sealed_fold_is_refused(strat_fold: np.ndarray, position: int) -> None:
    with_sealed = np.insert(strat_fold, min(position, len(strat_fold)), SEALED_FOLD)
    with pytest.raises(DataError, match="1 rows of strat_fold 10 were handed to cross-validation"):
        cv_folds(with_sealed, PTBXL_FOLDS)


@pytest.mark.parametrize("bad", [0, 11, -1])
def test_folds_that_do_not_exist_are_refused(bad: int) -> None:
    with pytest.raises(DataError, match=f"strat_fold {bad} does not exist"):
        cv_folds(np.array([1, 3, 5, 7, 9, bad]), PTBXL_FOLDS)


@pytest.mark.parametrize("group", range(5))
def test_an_empty_group_is_named(group: int) -> None:
    others = np.array([fold for folds in CV_GROUPS for fold in folds if fold not in CV_GROUPS[group]])
    with pytest.raises(DataError, match=f"so CV fold {group + 1} is empty"):
        cv_folds(others, PTBXL_FOLDS)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 10)), min_size=1, max_size=40))
def test_shared_patients_are_those_in_two_groups(records: list[tuple[int, int]]) -> None:
    groups: dict[int, set[int | None]] = {}
    for patient, fold in records:
        groups.setdefault(patient, set()).add(GROUP_OF.get(fold))
    expected = sorted(patient for patient, of_patient in groups.items() if len(of_patient) > 1)
    patient_id, strat_fold = np.array(records).T
    assert shared_patients(patient_id, strat_fold, PTBXL_FOLDS).tolist() == expected
    if expected:
        with pytest.raises(DataError, match=f"patient {expected[0]} "):
            check_patient_safety(patient_id, strat_fold, PTBXL_FOLDS)
    else:
        check_patient_safety(patient_id, strat_fold, PTBXL_FOLDS)


def test_a_patient_in_folds_of_one_group_is_safe_and_one_in_fold_10_is_not() -> None:
    check_patient_safety(np.array([7, 7]), np.array([1, 2]), PTBXL_FOLDS)
    with pytest.raises(DataError) as error:
        check_patient_safety(np.array([7, 7, 8]), np.array([10, 4, 4]), PTBXL_FOLDS)
    assert str(error.value) == (
        "patient 7 (folds 4, 10) would be trained on and scored at once; "
        "put all records of a patient into one strat_fold"
    )


def test_many_shared_patients_are_counted_and_not_listed() -> None:
    patients = np.repeat(np.arange(2_000), 2)
    with pytest.raises(DataError, match="and 1,995 more would be") as error:
        check_patient_safety(patients, np.tile([1, 10], 2_000), PTBXL_FOLDS)
    assert len(str(error.value)) < 300


@ptbxl_folders
def test_no_patient_of_ptbxl_is_in_two_groups(ptbxl: Path) -> None:
    table = read_table(ptbxl)
    check_patient_safety(table.patient_id, table.strat_fold, PTBXL_FOLDS)
    is_sealed = table.strat_fold == SEALED_FOLD
    patient_id = table.patient_id[~is_sealed]
    assert set(table.patient_id[is_sealed].tolist()).isdisjoint(patient_id.tolist())
    for fold in cv_folds(table.strat_fold[~is_sealed], PTBXL_FOLDS):
        trained, scored = patient_id[fold.train], patient_id[fold.validation]
        assert not np.intersect1d(trained, scored).size
