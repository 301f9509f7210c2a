"""Which openings of the sealed fold are of a model: by its architectures, in every study of the same data."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from storage_samples import study_record

import space
import storage
from search.study.openings import model_identity, openings_for

CNN, GRU = (space.preset(name, "superclass") for name in ("cnn", "cnn-gru"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[storage.Store]:
    with storage.open_store(f"sqlite:///{tmp_path}/search.db") as store:
        study = replace(study_record("first"), data_fingerprint="ab")
        for name, fingerprint in (("first", "ab"), ("second", "ab"), ("other", "cd")):
            store.add_study(replace(study, name=name, data_fingerprint=fingerprint))
        yield store


def opened(
    store: storage.Store, study: str, *architectures: space.Architecture, **names: str | int
) -> storage.SealedFoldOpeningRecord:
    opening = storage.SealedFoldOpeningRecord(
        study=study, trial=None, preset=None, metrics={}, model=model_identity(architectures) or None,
        data_fingerprint=store.study(study).data_fingerprint,
    )  # fmt: skip
    store.add_sealed_fold_opening(replace(opening, **names))  # type: ignore[arg-type]
    return store.sealed_fold_openings(study)[-1]


def test_a_preset_a_trial_and_an_ensemble_of_it_alone_are_one_model(store: storage.Store) -> None:
    as_preset = opened(store, "first", CNN, preset="cnn")
    alone = opened(store, "first", CNN, ensemble="light")
    assert openings_for(store, store.study("first"), CNN.digest) == [as_preset, alone]
    assert openings_for(store, store.study("first"), GRU.digest) == []


def test_other_studies_of_the_same_data_count_and_of_other_data_do_not(store: storage.Store) -> None:
    first = opened(store, "first", CNN, trial=3)
    opened(store, "other", CNN, trial=3)
    assert openings_for(store, store.study("second"), CNN.digest) == [first]
    assert store.sealed_fold_openings("second") == [first]


def test_an_ensemble_is_its_members_or_its_name_in_the_study(store: storage.Store) -> None:
    both = opened(store, "first", GRU, CNN, ensemble="greedy")
    model = model_identity([CNN, GRU, CNN])
    assert model == "+".join(sorted([CNN.digest, GRU.digest]))
    assert openings_for(store, store.study("second"), model) == [both]
    assert openings_for(store, store.study("first"), CNN.digest, "greedy") == [both]
    assert openings_for(store, store.study("second"), CNN.digest, "greedy") == []


def test_a_preset_that_was_logged_by_its_name_alone_is_that_of_the_target_of_its_study(
    store: storage.Store,
) -> None:
    target = store.study("first").target
    opening = opened(store, "first", preset="cnn")
    fine = opened(store, "first", preset="cnn@all")
    opened(store, "first", preset="no-longer-there")
    study = store.study("second")
    assert openings_for(store, study, space.preset("cnn", target).digest) == [opening]
    assert openings_for(store, study, space.preset("cnn", "all").digest) == [fine]
