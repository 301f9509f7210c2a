"""Contract of a `Store` for every database (see `Store`); subclasses name the database."""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event
from storage_samples import (
    CLASSES,
    NAN,
    ask,
    claim,
    claimed_trial,
    decision_record,
    end_trial,
    epoch_record,
    evaluation_record,
    fold_record,
    optuna_study,
    start_trial,
    study_record,
    tier_scores,
    worker_record,
)

import storage

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


def same(a: Any, b: Any) -> bool:
    """Equality of records in which NaN equals NaN."""
    if dataclasses.is_dataclass(a) and type(a) is type(b):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return bool(a == b)


class Clock:
    """One second passes whenever someone looks."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@st.composite
def scores_by_tier(draw: st.DrawFn) -> dict[str, storage.TierScores]:
    def of_tier(tier: str) -> storage.TierScores:
        n_classes = len(CLASSES[tier])
        column = st.lists(NUMBERS, min_size=n_classes, max_size=n_classes).map(tuple)
        return storage.TierScores(
            metrics=draw(st.dictionaries(TEXTS, NUMBERS, min_size=1)),
            class_metrics=draw(st.dictionaries(TEXTS, column, max_size=3)),
        )

    return {tier: of_tier(tier) for tier in draw(st.sets(st.sampled_from(sorted(CLASSES))))}


def keep_and_compare(store: storage.Store, trial_id: int, data: st.DataObject) -> None:
    """Any curve point, fold, decision and summary comes back as it was."""
    point = epoch_record(
        data.draw(st.integers(1, 5)),
        training_loss=data.draw(NUMBERS),
        score=data.draw(NUMBERS),
        seconds=data.draw(st.floats(0, 1e9)),
        validation_loss=data.draw(NUMBERS),
        validation_f1=data.draw(NUMBERS),
    )
    fold = fold_record(
        point.fold,
        scores=data.draw(scores_by_tier()),
        predictions=data.draw(TEXTS),
        seconds=data.draw(st.floats(0, 1e9)),
    )
    decision = decision_record(
        rival=data.draw(st.none() | st.integers(0, 10**6)),
        needed=data.draw(NUMBERS),
        predicted=data.draw(NUMBERS),
        probability=data.draw(st.none() | st.floats(0, 1)),
        reason=data.draw(TEXTS),
        pruned=data.draw(st.booleans()),
    )
    store.add_epoch(trial_id, point)
    store.add_fold(trial_id, fold)
    store.add_decision(trial_id, decision)
    store.add_summary(trial_id, fold.scores)
    assert same([p for p in store.epochs(trial_id) if p.fold == point.fold], [point])
    assert same([f for f in store.folds(trial_id) if f.fold == fold.fold], [fold])
    assert same(store.decisions(trial_id)[-1], decision)
    assert same(dict(store.summary(trial_id)), fold.scores)


class StorageContract:
    """Subclass, and give `database_url` and `folder`."""

    @pytest.fixture
    def database_url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def open_another(self, database_url: str, tmp_path: Path) -> Iterator[Callable[[], storage.Store]]:
        """Opens the same database again, as another process does."""
        stores = []

        def open_one() -> storage.Store:
            stores.append(storage.open_store(database_url, artifacts=tmp_path / "artifacts", clock=Clock()))
            return stores[-1]

        yield open_one
        for store in stores:
            store.close()

    @pytest.fixture
    def empty_store(self, open_another: Callable[[], storage.Store]) -> storage.Store:
        return open_another()

    @pytest.fixture
    def store(self, empty_store: storage.Store) -> storage.Store:
        empty_store.add_study(study_record())
        return empty_store

    # Studies

    def test_study_comes_back_as_it_was(self, store: storage.Store) -> None:
        found = store.study("first")
        assert found.created_at == found.touched_at
        assert found.created_at is not None
        assert found.created_at.tzinfo is not None
        assert dataclasses.replace(found, created_at=None, touched_at=None) == study_record()

    def test_study_is_a_named_two_objective_study_of_optuna(self, store: storage.Store) -> None:
        study = optuna_study(store)
        assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
        assert study.metric_names == ["macro_auprc", "parameters"]
        assert study.user_attrs == {"target": "superclass", "data": "demo SYNTHETIC", "synthetic": True}

    def test_the_version_of_a_study_s_data_is_worded_for_the_dashboard(self, store: storage.Store) -> None:
        record = dataclasses.replace(study_record("other"), data_name="ptb-xl", data_version="unknown")
        store.add_study(record)
        attributes = optuna.load_study(study_name="other", storage=store.optuna_storage).user_attrs
        assert attributes["data"] == "ptb-xl of unknown version"

    def test_last_touched_study_comes_first(self, store: storage.Store) -> None:
        store.add_study(study_record("second"))
        assert [study.name for study in store.studies()] == ["second", "first"]
        store.touch("first")
        assert [study.name for study in store.studies()] == ["first", "second"]
        assert store.last_study().name == store.study_or_last(None).name == "first"
        assert store.study_or_last("second").name == "second"

    def test_unknown_study_is_answered_with_the_known_ones(self, store: storage.Store) -> None:
        for method in (store.study, store.touch, store.trials, store.counts, store.curves, store.tried):
            with pytest.raises(storage.UnknownStudyError, match=r"^no study other: known are first$"):
                method("other")

    def test_no_study_at_all_says_what_to_do(self, empty_store: storage.Store) -> None:
        with pytest.raises(
            storage.UnknownStudyError, match="holds no study: run `python -m search run` first"
        ):
            empty_store.last_study()
        with pytest.raises(storage.UnknownStudyError, match="run `python -m search run` first"):
            empty_store.study("first")

    def test_second_study_of_a_name_is_refused_and_changes_nothing(self, store: storage.Store) -> None:
        with pytest.raises(
            storage.StudyExistsError, match="study first exists: continue it, or choose another"
        ):
            store.add_study(study_record(target="subclass"))
        assert store.study("first").target == "superclass"
        assert optuna_study(store).user_attrs["target"] == "superclass"

    def test_study_added_by_four_at_once_is_made_once(
        self, open_another: Callable[[], storage.Store]
    ) -> None:
        def add(_: int) -> bool:
            store = open_another()  # which makes the tables, at once as well
            try:
                store.add_study(study_record())
            except storage.StudyExistsError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(add, range(4))) == [False, False, False, True]
        assert [study.name for study in open_another().studies()] == ["first"]

    def test_study_whose_maker_was_killed_half_way_is_made_anew(self, empty_store: storage.Store) -> None:
        optuna.create_study(
            study_name="first", storage=empty_store.optuna_storage, directions=["maximize", "minimize"]
        )
        assert empty_store.studies() == []
        empty_store.add_study(study_record())
        assert optuna_study(empty_store).metric_names == ["macro_auprc", "parameters"]

    def test_optuna_study_of_another_kind_is_left_alone(self, empty_store: storage.Store) -> None:
        optuna.create_study(study_name="first", storage=empty_store.optuna_storage)
        with pytest.raises(storage.StudyExistsError, match="not made by this program"):
            empty_store.add_study(study_record())
        assert empty_store.studies() == []

    def test_study_deleted_in_the_dashboard_is_gone_and_its_name_is_free(self, store: storage.Store) -> None:
        claimed_trial(store)
        optuna.delete_study(study_name="first", storage=store.optuna_storage)
        assert store.studies() == []
        with pytest.raises(storage.UnknownStudyError):
            store.study("first")
        store.add_study(study_record(target="subclass"))
        assert store.study("first").target == "subclass"
        assert store.tried("first") == {}

    def test_openings_of_the_sealed_fold(self, store: storage.Store) -> None:
        first = storage.SealedFoldOpeningRecord(
            study="first", trial=3, preset=None, data_fingerprint="ab", metrics={"auprc": 0.5, "f1": NAN}
        )
        second = dataclasses.replace(first, study=None, trial=None, preset="cnn")
        store.add_sealed_fold_opening(first)
        store.add_sealed_fold_opening(second)
        assert [opening.preset for opening in store.sealed_fold_openings()] == [None, "cnn"]
        (found,) = store.sealed_fold_openings("first")
        assert found.at is not None
        assert same(dataclasses.replace(found, at=None), first)

    def test_an_evaluation_comes_back_as_it_was(self, store: storage.Store) -> None:
        store.add_study(study_record("second"))
        kept = [
            evaluation_record(),
            evaluation_record("second"),
            evaluation_record(model="preset cnn", models=()),
        ]
        ids = [store.add_evaluation(each) for each in kept]
        assert len(set(ids)) == 3
        for number, record in zip(ids, kept, strict=True):
            found = store.evaluation(number)
            assert found.at is not None
            assert same(dataclasses.replace(found, id=None, at=None), record)
        assert [each.id for each in store.evaluations("first")] == [ids[0], ids[2]]
        assert [each.model for each in store.evaluations("first")] == ["trial 3", "preset cnn"]

    def test_an_unknown_evaluation_is_told_from_those_there_are(self, store: storage.Store) -> None:
        with pytest.raises(storage.UnknownEvaluationError, match="has no evaluation 7: run `python -m"):
            store.evaluation(7)
        number = store.add_evaluation(evaluation_record())
        with pytest.raises(
            storage.UnknownEvaluationError, match=f"has no evaluation 7777: known are {number}"
        ):
            store.evaluation(7777)
        with pytest.raises(storage.UnknownStudyError):
            store.add_evaluation(evaluation_record("nowhere"))

    # Reserving architectures

    def test_architecture_belongs_to_one_trial(self, store: storage.Store) -> None:
        first, second = start_trial(store), start_trial(store)
        trial_id = claim(store, first)
        assert trial_id is not None
        assert claim(store, second) is None
        assert claim(store, first) == trial_id
        assert claim(store, second, "b") not in (None, trial_id)
        assert store.tried("first") == {"a" * 8: first, "b" * 8: second}

    def test_same_architecture_in_another_study_is_free(self, store: storage.Store) -> None:
        store.add_study(study_record("second"))
        assert claim(store, start_trial(store)) is not None
        assert claim(store, start_trial(store, "second"), name="second") is not None

    def test_trial_cannot_reserve_two_architectures(self, store: storage.Store) -> None:
        _, number = claimed_trial(store, "a")
        with pytest.raises(
            storage.StorageError, match="trial 0 has reserved another architecture: CNN → BiLSTM"
        ):
            claim(store, number, "b")

    def test_row_is_taken_over_with_all_that_is_in_it(self, store: storage.Store) -> None:
        trial_id, dead = claimed_trial(store, preset="cnn-bilstm")
        store.add_epoch(trial_id, epoch_record())
        store.add_fold(trial_id, fold_record())
        end_trial(store, dead, "FAIL")
        number = start_trial(store)
        assert claim(store, number) is None
        assert claim(store, number, previous=[dead]) == trial_id
        (trial,) = store.trials("first")
        assert (trial.number, trial.state, trial.preset) == (number, "running", "cnn-bilstm")
        assert len(store.epochs(trial_id)) == len(store.folds(trial_id)) == 1

    @pytest.mark.parametrize(("state", "values"), [("COMPLETE", [0.5, 10.0]), ("PRUNED", None)])
    def test_finished_row_is_not_taken_over(
        self, store: storage.Store, state: str, values: list[float] | None
    ) -> None:
        _, number = claimed_trial(store)
        end_trial(store, number, state, values)
        assert claim(store, start_trial(store), previous=[number]) is None

    def test_former_owner_cannot_write_any_more(
        self, store: storage.Store, open_another: Callable[[], storage.Store]
    ) -> None:
        trial_id, dead = claimed_trial(store)
        end_trial(store, dead, "FAIL")
        other = open_another()
        number = start_trial(other)
        claim(other, number, previous=[dead])
        with pytest.raises(
            storage.TakenOverError, match="trial 0 was taken for dead and is continued as trial 1"
        ):
            store.add_epoch(trial_id, epoch_record())
        with pytest.raises(storage.TakenOverError):
            store.add_summary(trial_id, {})
        other.add_epoch(trial_id, epoch_record())

    def test_threads_that_race_for_architectures_get_each_once(
        self, store: storage.Store, open_another: Callable[[], storage.Store]
    ) -> None:
        numbers = [start_trial(store) for _ in range(24)]
        stores = [open_another() for _ in range(4)]

        def claims(worker: int) -> list[int | None]:
            return [claim(stores[worker], n, chr(ord("a") + n // 4)) for n in numbers[worker::4]]

        with ThreadPoolExecutor(4) as pool:
            trial_ids = [trial_id for ids in pool.map(claims, range(4)) for trial_id in ids if trial_id]
        assert len(trial_ids) == len(set(trial_ids)) == 6

    def test_one_worker_at_a_time_chooses_what_to_train(
        self, store: storage.Store, open_another: Callable[[], storage.Store]
    ) -> None:
        others = [open_another() for _ in range(3)]
        inside: list[int] = []

        def choose(worker: int) -> int:
            with others[worker].start_lock("first"):
                inside.append(worker)
                time.sleep(0.05)
                n_inside = len(inside)
                inside.remove(worker)
            return n_inside

        with ThreadPoolExecutor(3) as pool, store.start_lock("first"):
            futures = [pool.submit(choose, worker) for worker in range(3)]
            time.sleep(0.1)
            assert not any(future.done() for future in futures)
            store.touch("first")  # the lock keeps nobody from writing
            others[0].touch("first")
        assert [future.result() for future in futures] == [1, 1, 1]

    def test_unfinished_trials(self, store: storage.Store) -> None:
        worker = store.add_worker("first", worker_record(commit="abc"))
        running, first = claimed_trial(store, "a", worker_id=worker)
        nameless, _ = claimed_trial(store, "b")
        pruned, diverged, silent, stopped = (
            claimed_trial(store, letter, worker_id=worker) for letter in "cdef"
        )
        store.add_failure(diverged[0], storage.FailureRecord(kind="diverged", message="NaN"))
        store.add_failure(stopped[0], storage.FailureRecord(kind="interrupted", message="Ctrl-C"))
        end_trial(store, pruned[1], "PRUNED")
        for _, number in (diverged, silent, stopped):
            end_trial(store, number, "FAIL")
        unnamed = start_trial(store)
        end_trial(store, start_trial(store), "FAIL")
        found = store.unfinished("first")
        assert [(trial.id, trial.is_running, trial.is_explained) for trial in found] == [
            (running, True, False),
            (nameless, True, False),
            (silent[0], False, False),
            (stopped[0], False, True),
            (None, True, False),
        ]
        assert (found[0].number, found[-1].number) == (first, unnamed)
        assert [trial.worker for trial in found] == [
            worker_record(commit="abc"),
            None,
            *[worker_record(commit="abc")] * 2,
            None,
        ]

    def test_workers_of_a_study(self, store: storage.Store) -> None:
        for commit in ("abc", None):
            store.add_worker("first", worker_record(commit=commit))
        assert store.workers("first") == [worker_record(commit="abc"), worker_record(commit=None)]
        told = worker_record(process_namespace="b6dd2e4d pid:[1]", precision="bfloat16")
        store.add_worker("first", told)
        assert store.workers("first")[-1] == told

    # What others put into a study

    def test_a_refused_trial_counts_as_failed_and_has_its_reason(self, store: storage.Store) -> None:
        claimed_trial(store)
        trial = ask(optuna_study(store))
        trial.set_user_attr(storage.REFUSED, "depth is one of 0, 1, got 7")
        assert store.refusals("first") == {}  # it runs
        end_trial(store, trial.number, "FAIL")
        end_trial(store, start_trial(store), "FAIL")  # died before it had an architecture
        assert store.refusals("first") == {trial.number: "depth is one of 0, 1, got 7"}
        counts = store.counts("first")
        assert (counts["failed"], counts["running"]) == (1, 1)

    def test_an_attribute_of_that_name_refuses_no_trial_that_was_trained(self, store: storage.Store) -> None:
        trial_id, number = claimed_trial(store)
        study = optuna_study(store)
        # Private: a trial that has ended takes attributes from its storage only, by its row id.
        study._storage.set_trial_user_attr(study.trials[number]._trial_id, storage.REFUSED, "no")
        store.add_failure(trial_id, storage.FailureRecord(kind="diverged", message="NaN"))
        end_trial(store, number, "FAIL")
        assert store.refusals("first") == {}
        assert store.counts("first")["failed"] == 1

    def test_what_others_have_finished_is_told_apart(self, store: storage.Store) -> None:
        _, ours = claimed_trial(store, "a")
        end_trial(store, ours, "COMPLETE", [0.5, 10.0])
        _, pruned = claimed_trial(store, "b")
        end_trial(store, pruned, "PRUNED")
        others = [start_trial(store) for _ in range(3)]
        end_trial(store, others[0], "COMPLETE", [0.9, 1.0])
        end_trial(store, others[1], "PRUNED")
        end_trial(store, others[2], "FAIL")
        assert store.not_trained_here("first") == others[:2]
        # A thawed trial goes on under another number, and is no less ours.
        optuna_study(store).enqueue_trial({}, user_attrs={storage.CONTINUES: [pruned]})
        assert claim(store, start_trial(store), "b", previous=[pruned], thaw=True) is not None
        assert store.not_trained_here("first") == others[:2]

    @pytest.mark.parametrize("odd", [5, "abc", [None], {"a": 1}], ids=str)
    def test_odd_attributes_of_a_queued_trial_hide_nothing(self, odd: object, store: storage.Store) -> None:
        _, ours = claimed_trial(store)
        end_trial(store, ours, "COMPLETE", [0.5, 10.0])
        optuna_study(store).enqueue_trial({}, user_attrs={storage.CONTINUES: odd})
        others = start_trial(store)
        end_trial(store, others, "COMPLETE", [0.9, 1.0])
        assert store.not_trained_here("first") == [others]
        assert [trial.number for trial in store.trials("first")] == [ours]

    def test_a_parameter_is_not_held_to_the_distribution_of_a_stranger(self, store: storage.Store) -> None:
        study = optuna_study(store)
        study.add_trial(
            optuna.create_trial(
                values=[0.5, 1.0],
                params={"depth": 3},
                distributions={"depth": optuna.distributions.IntDistribution(0, 9)},
            )
        )
        assert ask(optuna_study(store)).suggest_categorical("depth", ["none", "some"]) in {"none", "some"}

    # Signs of life

    def test_a_trial_never_heard_of_has_the_grace_time_from_when_that_is_noticed(
        self, open_another: Callable[[], storage.Store], store: storage.Store
    ) -> None:
        _, number = claimed_trial(store)
        other = open_another()
        backend = other.optuna_storage
        study_id = backend.get_study_id_from_name("first")
        # Private: the method of Optuna that storage/optuna_side.py overrides.
        assert backend._get_stale_trial_ids(study_id) == []
        trial_id = backend.get_trial_id_from_study_id_trial_number(study_id, number)
        backend.grace_period = -1
        assert backend._get_stale_trial_ids(study_id) == [trial_id]

    # Curves, folds, scores

    def test_curve(self, store: storage.Store) -> None:
        trial_id, _ = claimed_trial(store)
        points = [
            epoch_record(1, 1),
            epoch_record(1, 2, training_loss=NAN, score=NAN),
            epoch_record(2, 1, training_loss=math.inf),
        ]
        for point in reversed(points):
            store.add_epoch(trial_id, point)
        store.add_epoch(trial_id, points[1])
        assert same(store.epochs(trial_id), points)
        assert same(store.curves("first"), {trial_id: points})

    def test_repeated_epochs_replace_the_curve_from_there_and_their_time_counts(
        self, store: storage.Store
    ) -> None:
        trial_id, _ = claimed_trial(store)
        for epoch in (1, 2, 3):
            store.add_epoch(trial_id, epoch_record(1, epoch, seconds=10.0))
        store.add_epoch(trial_id, epoch_record(1, 2, seconds=1.0))
        assert [(point.epoch, point.seconds) for point in store.epochs(trial_id)] == [(1, 10.0), (2, 1.0)]
        (trial,) = store.trials("first")
        assert (trial.n_epochs_trained, trial.seconds) == (2, 31.0)

    def test_any_record_comes_back_as_it_was(self, store: storage.Store) -> None:
        trial_id, _ = claimed_trial(store)

        @settings(max_examples=25, deadline=None)
        @given(data=st.data())
        def check(data: st.DataObject) -> None:
            keep_and_compare(store, trial_id, data)

        check()

    def test_fold_of_a_running_trial_can_be_replaced(self, store: storage.Store) -> None:
        trial_id, _ = claimed_trial(store)
        store.add_fold(trial_id, fold_record(2, 0.4))
        store.add_fold(trial_id, fold_record(1, 0.6))
        again = fold_record(2, 0.5, scores={"superclass": tier_scores("superclass", 0.5)})
        store.add_fold(trial_id, again)
        assert same(store.folds(trial_id), [fold_record(1, 0.6), again])

    def test_fold_is_kept_wholly_or_not_at_all(self, store: storage.Store) -> None:
        trial_id, _ = claimed_trial(store)
        store.add_fold(trial_id, fold_record(1, 0.4))
        broken = {"superclass": tier_scores("superclass"), "subclass": tier_scores("superclass")}
        with pytest.raises(storage.StorageError, match="auprc has 3 values for the 4 classes of subclass"):
            store.add_fold(trial_id, fold_record(1, 0.6, scores=broken))
        with pytest.raises(storage.StorageError, match="no tier rhythm: it has superclass, subclass"):
            store.add_fold(trial_id, fold_record(2, scores={"rhythm": tier_scores("superclass")}))
        with pytest.raises(storage.StorageError, match="folds are counted from 1, not 0"):
            store.add_fold(trial_id, fold_record(0))
        assert same(store.folds(trial_id), [fold_record(1, 0.4)])

    def test_summary_is_none_of_the_folds(self, store: storage.Store) -> None:
        trial_id, number = claimed_trial(store)
        assert store.summary(trial_id) == {}
        store.add_fold(trial_id, fold_record(1))
        store.add_summary(trial_id, {"superclass": tier_scores("superclass", 0.1)})
        store.add_summary(trial_id, {"superclass": tier_scores("superclass", 0.7)})
        end_trial(store, number, "COMPLETE", [0.7, 10.0])
        assert same(store.summary(trial_id), {"superclass": tier_scores("superclass", 0.7)})
        assert [fold.fold for fold in store.folds(trial_id)] == [1]

    def test_failures(self, store: storage.Store) -> None:
        trial_id, _ = claimed_trial(store)
        failure = storage.FailureRecord(
            kind="diverged", message="loss is NaN", traceback="…\x00\udcff", fold=2, epoch=3
        )
        store.add_failure(trial_id, failure)
        (found,) = store.failures(trial_id)
        assert found.at is not None
        assert (found.kind, found.message, found.fold, found.epoch) == ("diverged", "loss is NaN", 2, 3)
        assert found.traceback == "…\N{REPLACEMENT CHARACTER}?"

    @pytest.mark.parametrize(("state", "values"), [("COMPLETE", [0.5, 10.0]), ("PRUNED", None)])
    def test_finished_trial_never_changes(
        self, store: storage.Store, state: str, values: list[float] | None
    ) -> None:
        trial_id, number = claimed_trial(store)
        store.add_summary(trial_id, {})
        store.add_summary(trial_id, {"superclass": tier_scores("superclass")})
        end_trial(store, number, state, values)
        before = store.trials("first")
        writes: list[Callable[[], None]] = [
            lambda: store.add_epoch(trial_id, epoch_record()),
            lambda: store.add_fold(trial_id, fold_record()),
            lambda: store.add_decision(trial_id, decision_record()),
            lambda: store.add_failure(trial_id, storage.FailureRecord(kind="error", message="")),
            lambda: store.add_summary(trial_id, {}),
        ]
        for write in writes:
            with pytest.raises(storage.FinishedTrialError, match=f"^trial 0 is {state.lower()} and never"):
                write()
        assert same(store.trials("first"), before)

    @pytest.mark.parametrize(("state", "values"), [("COMPLETE", [0.5, 10.0]), ("PRUNED", None)])
    def test_finished_trials_with_their_curves(
        self, store: storage.Store, state: str, values: list[float] | None
    ) -> None:
        trial_id, number = claimed_trial(store)
        store.add_epoch(trial_id, epoch_record(fold=1, epoch=1, score=0.4, seconds=2.0))
        store.add_epoch(trial_id, epoch_record(fold=2, epoch=1, score=NAN, seconds=4.0))
        store.add_fold(trial_id, fold_record())
        store.add_decision(trial_id, decision_record(fold=0, epoch=0, pruned=False))
        store.add_decision(trial_id, decision_record())
        claimed_trial(store, "b")  # runs
        assert store.finished_numbers("first") == {}
        assert store.finished("first", [trial_id])[0].score is None
        end_trial(store, number, state, values)
        assert store.finished_numbers("first") == {trial_id: number}
        (found,) = store.finished("first", [trial_id])
        assert same(
            found,
            storage.FinishedRecord(
                id=trial_id,
                number=number,
                architecture=store.trials("first")[0].architecture,
                cost=3_000_000_000,
                score=values and values[0],
                curve={(1, 1): 0.4, (2, 1): NAN},
                seconds_per_epoch=3.0,
                finished_folds=frozenset({1}),
                decisions=tuple(store.decisions(trial_id)),
            ),
        )

    def test_the_first_epoch_of_a_fold_is_charged_once(self, store: storage.Store) -> None:
        """A trial stopped after two epochs costs as much an epoch as one trained to its end.

        Six epochs of the study: the first takes 8 s, any other 2 s, so one takes 18 / 6 s on average.
        """
        for key, n_epochs in (("a", 2), ("b", 6)):
            trial_id, number = claimed_trial(store, key)
            for fold, epoch in itertools.product((1, 2), range(1, n_epochs + 1)):
                seconds = 8.0 if epoch == 1 else 2.0
                store.add_epoch(trial_id, epoch_record(fold=fold, epoch=epoch, seconds=seconds))
            end_trial(store, number, "PRUNED")
            (found,) = store.finished("first", [trial_id])
            assert found.seconds_per_epoch == pytest.approx(3.0)

    def test_more_finished_trials_than_fit_one_query(self, store: storage.Store) -> None:
        ids = []
        for index in range(3):
            trial_id, number = claimed_trial(store, f"{index}")
            end_trial(store, number, "PRUNED")
            ids.append(trial_id)
        found = store.finished("first", [*ids, *range(1000, 3000)])
        assert [record.id for record in found] == ids

    @pytest.mark.parametrize(("state", "values"), [("COMPLETE", [0.5, 10.0]), ("PRUNED", None)])
    def test_only_a_pruned_trial_can_be_thawed(
        self, store: storage.Store, state: str, values: list[float] | None
    ) -> None:
        trial_id, number = claimed_trial(store)
        store.add_epoch(trial_id, epoch_record())
        end_trial(store, number, state, values)
        again = start_trial(store)
        assert claim(store, again, previous=[number]) is None
        if state == "COMPLETE":
            assert claim(store, again, previous=[number], thaw=True) is None
            return
        assert claim(store, again, previous=[number], thaw=True) == trial_id
        assert store.counts("first")["pruned"] == 0
        store.add_epoch(trial_id, epoch_record(epoch=2))
        assert [epoch.epoch for epoch in store.epochs(trial_id)] == [1, 2]
        end_trial(store, again, "COMPLETE", [0.5, 10.0])
        assert store.finished_numbers("first") == {trial_id: again}

    def test_finished_trial_may_get_the_summary_it_lacks(self, store: storage.Store) -> None:
        trial_id, number = claimed_trial(store)
        end_trial(store, number, "COMPLETE", [0.5, 10.0])
        store.add_summary(trial_id, {"superclass": tier_scores("superclass")})
        assert list(store.summary(trial_id)) == ["superclass"]

    def test_unknown_row_id(self, store: storage.Store) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: store.add_epoch(99, epoch_record()),
            lambda: store.add_summary(99, {}),
            lambda: store.epochs(99),
            lambda: store.folds(99),
            lambda: store.summary(99),
            lambda: store.decisions(99),
            lambda: store.failures(99),
        ]
        for call in calls:
            with pytest.raises(storage.UnknownTrialError, match="no trial with row id 99"):
                call()

    # A study as its readers see it

    def fill(self, store: storage.Store) -> dict[str, int]:
        """A study with a trial in every state; letter of the architecture to trial number."""
        numbers = {}
        for letter in "abcdef":
            trial_id, numbers[letter] = claimed_trial(store, letter)
            store.add_epoch(trial_id, epoch_record(1, 1))
            store.add_epoch(trial_id, epoch_record(1, 2, score=0.6))
            store.add_epoch(trial_id, epoch_record(2, 1))
            store.add_fold(trial_id, fold_record(1, 0.6, seconds=5.0))
            if letter == "a":
                store.add_summary(trial_id, {tier: tier_scores(tier, 0.55) for tier in CLASSES})
            if letter == "b":
                store.add_decision(trial_id, decision_record(fold=2, pruned=False))
                store.add_decision(trial_id, decision_record())
            if letter in "cd":
                kind = {"c": "diverged", "d": "interrupted"}[letter]
                store.add_failure(trial_id, storage.FailureRecord(kind=kind, message="why"))
        end_trial(store, numbers["a"], "COMPLETE", [0.55, 3e9])
        end_trial(store, numbers["b"], "PRUNED")
        for letter in "cde":
            end_trial(store, numbers[letter], "FAIL")
        retry = optuna.storages.RetryHeartbeatStaleTrialCallback
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            requeue = retry(max_retry=3)
        study = optuna_study(store)
        requeue(study, study.trials[numbers["e"]])  # as Optuna does with a trial without a heartbeat
        return numbers

    def test_trials_in_every_state(self, store: storage.Store) -> None:
        numbers = self.fill(store)
        trials = {trial.number: trial for trial in store.trials("first")}
        assert list(trials) == sorted(numbers.values())
        assert {letter: trials[number].state for letter, number in numbers.items()} == {
            "a": "complete",
            "b": "pruned",
            "c": "failed",
            "d": "interrupted",
            "e": "interrupted",
            "f": "running",
        }
        expected = {"complete": 1, "pruned": 1, "failed": 1, "interrupted": 2, "running": 1, "waiting": 1}
        assert store.counts("first") == expected

    def test_trial_as_its_readers_see_it(self, store: storage.Store) -> None:
        numbers = self.fill(store)
        trials = {trial.number: trial for trial in store.trials("first")}
        complete, pruned, failed = (trials[numbers[letter]] for letter in "abc")
        assert complete.architecture == {"layers": [{"cell": "lstm", "bidirectional": True}], "gate": None}
        assert (complete.parameters, complete.label_tier) == (3_000_000_000, "superclass")
        assert (complete.score, complete.fold_scores) == (0.55, {1: 0.6})
        assert complete.tier_scores == {"superclass": 0.55, "subclass": 0.55}
        assert (complete.n_epochs_trained, complete.seconds) == (3, 7.0)
        assert complete.decision is None
        assert complete.failure is None
        assert pruned.decision == decision_record()
        assert (pruned.score, pruned.tier_scores) == (None, {})
        assert failed.failure is not None
        assert failed.failure.kind == "diverged"

    def test_states_values_and_times_are_those_of_optuna(self, store: storage.Store) -> None:
        self.fill(store)
        frozen = {trial.number: trial for trial in optuna_study(store).trials}
        for trial in store.trials("first"):
            theirs = frozen[trial.number]
            same_name = {"failed": "fail", "interrupted": "fail"}.get(trial.state, trial.state)
            assert same_name == theirs.state.name.lower()
            assert trial.score == (theirs.values[0] if theirs.values else None)
            for ours, other in (
                (trial.started_at, theirs.datetime_start),
                (trial.ended_at, theirs.datetime_complete),
            ):
                assert ours == (other and other.astimezone(UTC))

    def test_trial_whose_worker_died_too_often_has_failed(self, store: storage.Store) -> None:
        _, number = claimed_trial(store)
        end_trial(store, number, "FAIL")
        assert [trial.state for trial in store.trials("first")] == ["failed"]

    def test_trials_without_an_architecture_are_counted_while_they_wait_or_run(
        self, store: storage.Store
    ) -> None:
        start_trial(store)
        end_trial(store, start_trial(store), "PRUNED")
        optuna_study(store).enqueue_trial({"cell": "lstm"})
        assert store.trials("first") == []
        counts = store.counts("first")
        assert (counts["running"], counts["waiting"], counts["pruned"]) == (1, 1, 0)

    def test_reading_takes_the_same_number_of_queries_however_many_trials(self, store: storage.Store) -> None:
        statements: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            statements.append(statement)

        def n_queries() -> tuple[int, ...]:
            counts = []
            for read in (store.trials, store.counts, store.curves, store.unfinished):
                statements.clear()
                read("first")
                counts.append(len(statements))
            return tuple(counts)

        # Private: statements are seen by the engine only.
        event.listen(store._engine, "before_cursor_execute", note)
        self.fill(store)
        few = n_queries()
        for letter in "ghijkl":
            trial_id, _ = claimed_trial(store, letter)
            store.add_epoch(trial_id, epoch_record())
            store.add_fold(trial_id, fold_record())
        assert n_queries() == few

    # Further trainings

    def test_repeats_come_back_as_they_were(self, store: storage.Store) -> None:
        trial_id, number = claimed_trial(store)
        end_trial(store, number, "COMPLETE", (0.5, 1.0))
        worker = store.add_worker("first", worker_record())
        row = store.add_repeat(trial_id, 1, worker=worker, sampler_noise_sd=0.01)
        assert store.add_repeat(trial_id, 1, worker=worker, sampler_noise_sd=0.02) == row
        folds = tuple(
            storage.RepeatFoldRecord(
                fold=fold, score=score, n_training=4, n_validation=2, seconds=1.5, predictions="an id"
            )
            for fold, score in ((1, 0.5), (2, NAN))
        )
        for fold in (replace(folds[0], seconds=9.0), *folds):  # the first is replaced
            store.add_repeat_fold(row, fold)
        other = store.add_repeat(trial_id, 2, worker=worker, sampler_noise_sd=None)
        store.add_repeat_scores(row, 0.7, {"superclass": 0.7, "subclass": NAN})
        store.add_repeat_failure(other, "fold 1: \x00")
        first, second = store.repeats("first")[trial_id]
        kept = storage.RepeatRecord(
            id=row,
            trial_id=trial_id,
            seed=1,
            sampler_noise_sd=0.01,
            score=0.7,
            tier_scores={"superclass": 0.7, "subclass": NAN},
            failure=None,
            folds=folds,
        )
        assert same(first, kept)
        assert (second.failure, second.has_ended) == ("fold 1: \N{REPLACEMENT CHARACTER}", True)
        (trial,) = store.trials("first")
        assert (trial.first_score, trial.score) == (0.5, pytest.approx(0.6))
        for change in (
            lambda: store.add_repeat_fold(row, folds[0]),
            lambda: store.add_repeat_scores(row, 0.1, {}),
            lambda: store.add_repeat_failure(other, "again"),
        ):
            with pytest.raises(storage.StorageError, match="has ended and never changes"):
                change()
        with pytest.raises(storage.StorageError, match="no repeat with row id 99"):
            store.add_repeat_failure(99, "")
        with pytest.raises(storage.UnknownTrialError):
            store.add_repeat(99, 1, worker=worker, sampler_noise_sd=None)

    def test_a_repeat_belongs_to_the_worker_that_began_it_last(
        self, store: storage.Store, open_another: Callable[[], storage.Store]
    ) -> None:
        trial_id, number = claimed_trial(store)
        end_trial(store, number, "COMPLETE", (0.5, 1.0))
        row = store.add_repeat(
            trial_id, 1, worker=store.add_worker("first", worker_record()), sampler_noise_sd=None
        )
        (running,) = store.running_repeats("first")
        assert (running.id, running.trial, running.seed) == (row, number, 1)
        assert running.worker == worker_record()
        assert 0 <= running.silent_s < 60
        store.put_down_repeat(row)
        assert store.running_repeats("first") == []
        store.touch_repeat(row)
        assert [each.id for each in store.running_repeats("first")] == [row]
        with open_another() as other:
            assert [other.add_repeat_loss(row), other.add_repeat_loss(row)] == [1, 2]
            assert other.running_repeats("first") == []
            worker = other.add_worker("first", worker_record())
            assert other.add_repeat(trial_id, 1, worker=worker, sampler_noise_sd=None) == row
            for change in (
                lambda: store.touch_repeat(row),
                lambda: store.put_down_repeat(row),
                lambda: store.add_repeat_scores(row, 0.5, {}),
                lambda: store.add_repeat_failure(row, "out of memory"),
            ):
                with pytest.raises(storage.TakenOverError, match="the repeat with seed 1 was taken for dead"):
                    change()
            other.add_repeat_scores(row, 0.7, {})
            assert other.running_repeats("first") == []

    # Artifacts

    def test_predictions_come_back_as_they_were(self, store: storage.Store) -> None:
        _, number = claimed_trial(store)
        generator = np.random.default_rng(0)
        ecg_id = np.arange(5, dtype=np.int64)
        targets_NC = generator.random((5, 3)) < 0.5
        probabilities_NC = generator.random((5, 3), dtype=np.float32)
        artifact = storage.save_predictions(
            store,
            "first",
            number,
            2,
            storage.Predictions(
                tier="superclass",
                classes=CLASSES["superclass"],
                ecg_id=ecg_id,
                targets_NC=targets_NC,
                probabilities_NC=probabilities_NC,
            ),
        )
        found = storage.load_predictions(store, artifact)
        assert (found.tier, found.classes) == ("superclass", CLASSES["superclass"])
        np.testing.assert_array_equal(found.ecg_id, ecg_id)
        np.testing.assert_array_equal(found.targets_NC, targets_NC)
        np.testing.assert_array_equal(found.probabilities_NC, probabilities_NC)
        assert found.probabilities_NC.dtype == np.float32
        (meta,) = optuna.artifacts.get_all_artifact_meta(
            optuna_study(store).trials[number], storage=store.optuna_storage
        )
        assert (meta.artifact_id, meta.filename) == (artifact, f"predictions-trial-{number}-fold-2.npz")

    def test_people_and_projections_come_back_with_the_predictions(self, store: storage.Store) -> None:
        _, number = claimed_trial(store)
        own = {"targets_NC": np.eye(3, dtype=bool), "probabilities_NC": np.full((3, 3), 0.25, np.float32)}
        coarse = storage.TierPredictions(
            classes=("NORM", "sick"),
            targets_NC=np.array([[1, 0], [0, 1], [0, 1]], dtype=bool),
            probabilities_NC=np.array([[0.5, 0.25], [0.125, 1], [0, 0.75]], dtype=np.float32),
        )
        predictions = storage.Predictions(
            tier="subclass",
            classes=("A", "B", "C"),
            ecg_id=np.arange(3),
            patient_id=np.array([7, 7, 9]),
            age=np.array([90, 41, np.nan], np.float32),
            sex=np.array([0, np.nan, 1], np.float32),
            groups={"device": np.array(["CS-12", "", "AT-6 C"])},
            projected={"superclass": coarse},
            **own,
        )
        artifact = storage.save_predictions(store, "first", number, 1, predictions)
        found = storage.load_predictions(store, artifact)
        assert found.patient_id is not None
        np.testing.assert_array_equal(found.patient_id, [7, 7, 9])
        np.testing.assert_array_equal(found.age, predictions.age)
        np.testing.assert_array_equal(found.sex, predictions.sex)
        assert {name: of.tolist() for name, of in found.groups.items()} == {"device": ["CS-12", "", "AT-6 C"]}
        on_target = found.on("superclass")
        assert on_target is not None
        assert on_target.classes == coarse.classes
        np.testing.assert_array_equal(on_target.targets_NC, coarse.targets_NC)
        np.testing.assert_array_equal(on_target.probabilities_NC, coarse.probabilities_NC)
        own_tier = found.on("subclass")
        assert own_tier is not None
        np.testing.assert_array_equal(own_tier.targets_NC, own["targets_NC"])
        assert found.on("rhythm") is None
        with pytest.raises(ValueError, match="expected 3 patients"):
            storage.save_predictions(store, "first", number, 1, replace(predictions, patient_id=np.arange(2)))
        with pytest.raises(ValueError, match="expected sex of 3 records"):
            storage.save_predictions(
                store, "first", number, 1, replace(predictions, sex=np.zeros(2, np.float32))
            )

    def test_lost_and_damaged_predictions(self, store: storage.Store, tmp_path: Path) -> None:
        with pytest.raises(storage.StorageError, match=r"artifact nowhere is missing in "):
            storage.load_predictions(store, "nowhere")
        (tmp_path / "artifacts" / "broken").write_bytes(b"PK\x03\x04 not a zip")
        (tmp_path / "artifacts" / "pickle").write_bytes(b"\x80\x04]\x94.")
        for artifact in ("broken", "pickle"):
            with pytest.raises(storage.StorageError, match=f"predictions {artifact} in .* are damaged"):
                storage.load_predictions(store, artifact)

    def test_predictions_of_a_trial_nobody_knows(self, store: storage.Store) -> None:
        empty = np.zeros((0, 1), dtype=np.float32)
        predictions = storage.Predictions(
            tier="superclass",
            classes=("MI",),
            ecg_id=np.zeros(0, dtype=np.int64),
            targets_NC=empty.astype(bool),
            probabilities_NC=empty,
        )
        for study, number in (("first", 7), ("other", 0)):
            with pytest.raises(storage.UnknownTrialError, match=f"study {study} has no trial {number}"):
                storage.save_predictions(store, study, number, 1, predictions)

    # The database as a whole

    def test_database_opened_again_has_everything(
        self, store: storage.Store, open_another: Callable[[], storage.Store]
    ) -> None:
        self.fill(store)
        other = open_another()
        assert same(other.trials("first"), store.trials("first"))
        assert same(other.curves("first"), store.curves("first"))

    def test_trial_of_a_dead_worker_is_queued_again_and_continued(self, store: storage.Store) -> None:
        trial_id, dead = claimed_trial(store)
        store.add_fold(trial_id, fold_record())
        study = optuna_study(store)
        # Private: a heartbeat is written by the row id of the trial, and set back in the table.
        store.optuna_storage.record_heartbeat(study.trials[dead]._trial_id)
        with store._engine.begin() as connection:  # rather than wait for 90 s
            connection.exec_driver_sql("UPDATE trial_heartbeats SET heartbeat = '2001-01-01 00:00:00'")
        seen = []

        def objective(trial: optuna.Trial) -> tuple[float, float]:
            previous = store.previous_attempts("first", trial.number)
            (interrupted,) = store.trials("first")
            seen.append((interrupted.number, interrupted.state))
            assert claim(store, trial.number, previous=previous) == trial_id
            seen.append((trial.number, store.trials("first")[0].state))
            return 0.5, 10.0

        study.optimize(objective, n_trials=1)
        assert seen == [(dead, "interrupted"), (dead + 1, "running")]
        assert store.previous_attempts("first", dead) == []
        assert store.previous_attempts("first", dead + 1) == [dead]
        (trial,) = store.trials("first")
        assert (trial.id, trial.number, trial.state) == (trial_id, dead + 1, "complete")
        assert trial.fold_scores == {1: 0.5}
        assert store.counts("first")["interrupted"] == 0

    def test_the_silent_are_those_that_optuna_would_find(self, store: storage.Store) -> None:
        self.fill(store)
        study, optuna_storage = optuna_study(store), store.optuna_storage
        # Private: row ids, and the query that storage/optuna_side.py replaces, against that of Optuna.
        ids = [ask(study)._trial_id for _ in range(3)]
        for trial_id in ids[:2]:  # and one that has not been heard of at all
            optuna_storage.record_heartbeat(trial_id)
        with store._engine.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE trial_heartbeats SET heartbeat = '2001-01-01 00:00:00' WHERE trial_id = {ids[0]}"
            )
        found = optuna_storage._get_stale_trial_ids(study._study_id)
        assert found == RDBStorage._get_stale_trial_ids(optuna_storage, study._study_id) == [ids[0]]
        assert optuna_storage._get_stale_trial_ids(study._study_id + 1) == []

    def test_trials_are_those_that_optuna_would_read(
        self, store: storage.Store, open_another: Callable[[], storage.Store]
    ) -> None:
        """Whatever happens to them between two looks, and whoever does it."""
        study, other = store.optuna_study("first"), open_another().optuna_study("first")

        def agree() -> None:
            for study in (other, optuna.load_study(study_name="first", storage=store.optuna_storage)):
                seen.append(study.get_trials(deepcopy=False))
            assert seen[-2] == seen[-1]
            waiting = (TrialState.WAITING,)
            assert other.get_trials(states=waiting) == [t for t in seen[-1] if t.state is TrialState.WAITING]

        seen: list[list[optuna.trial.FrozenTrial]] = []
        agree()
        study.enqueue_trial({"depth": 1})
        agree()
        trial = ask(study)
        agree()
        trial.suggest_categorical("depth", (0, 1, 2))
        agree()
        running = ask(study)
        running.suggest_categorical("depth", (0, 1, 2))
        study.tell(trial, (0.5, 10.0))
        agree()
        study.tell(running, state=TrialState.FAIL)
        agree()
        assert [t.state for t in seen[-1]] == [TrialState.COMPLETE, TrialState.FAIL]

    def test_heartbeat_and_retry_are_on(self, store: storage.Store) -> None:
        assert store.optuna_storage.get_heartbeat_interval() == 20
        assert store.optuna_storage.grace_period == 90
        callback = store.optuna_storage.get_heartbeat_stale_trial_callback()
        assert isinstance(callback, optuna.storages.RetryHeartbeatStaleTrialCallback)

    # optuna-dashboard

    def test_the_dashboard_is_told(self, store: storage.Store) -> None:
        _, number = claimed_trial(store)
        assert store.last_shown("first") is None
        assert store.seconds_since_shown("first") is None
        content = storage.DashboardContent(
            note="of the study", trial_notes={number: "µV ✓ " * 1000}, figures={"front": "{}"}
        )
        assert store.show("first", content, n_ended=3) == 8  # when; text, version; 3 pieces, version; figure
        assert store.show("first", content, n_ended=3) == 1
        last = store.last_shown("first")
        assert last is not None
        assert last.n_ended == 3
        elapsed = store.seconds_since_shown("first")
        assert elapsed is not None
        assert elapsed > 0
        study = optuna_study(store)
        trial = study.get_trials(deepcopy=False)[number]
        # Private: optuna-dashboard finds its notes by the row ids of study and trial.
        kept = store.optuna_storage.get_study_system_attrs(study._study_id)
        pieces = [kept[f"dashboard:{trial._trial_id}:note_str:{place}"] for place in range(3)]
        assert "".join(pieces).startswith("µV ✓ " * 1000 + "\n\n[//]: # (")
        assert (
            store.show("first", storage.DashboardContent(note="", trial_notes={}, figures={}), n_ended=4) > 1
        )
        with pytest.raises(storage.UnknownStudyError):
            store.show("second", content, n_ended=0)

    def test_one_tells_the_dashboard_at_a_time(
        self, store: storage.Store, open_another: Callable[[], storage.Store]
    ) -> None:
        other = open_another()
        with store.dashboard_lock("first", wait=False) as first:
            assert first
            with other.dashboard_lock("first", wait=False) as second:
                assert not second
            with other.start_lock("first"):  # is another lock
                pass
        with other.dashboard_lock("first", wait=False) as third, suppress(ZeroDivisionError):
            assert third
            raise ZeroDivisionError
        with store.dashboard_lock("first", wait=True) as fourth:
            assert fourth

    def test_trials_that_have_ended_and_run(self, store: storage.Store) -> None:
        assert store.n_ended_and_running("first") == (0, 0)
        _, number = claimed_trial(store)
        assert store.n_ended_and_running("first") == (0, 1)
        optuna_study(store).tell(number, state=optuna.trial.TrialState.FAIL)
        assert store.n_ended_and_running("first") == (1, 0)
        assert store.successors("first") == {}
