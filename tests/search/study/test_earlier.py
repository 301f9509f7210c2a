"""A study that learns from earlier ones: what is kept, what is refused, and that it goes on without them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from fake_study import make_worker, open_study, study_record, tiny_space
from fake_trainer import FakeTrainer

import space
import storage
from search.errors import UsageError
from search.study.earlier import (
    CERTAIN,
    DominatedPresets,
    EarlierStudy,
    EarlierTrial,
    canonical,
    dominated_presets,
    earlier_of,
    earlier_settings,
    named,
    read_earlier,
)

# Private: presets left out of a study, without a search to leave them out of.
from search.study.prepare import _without_losers
from storage.records import EARLIER_STUDIES

pytestmark = pytest.mark.usefixtures("no_optuna_log")

N_OUTPUTS = {"superclass": 3, "subclass": 4, "diagnostic": 5}
SETTINGS = {"epochs": 2, "seed": 0}


@pytest.fixture(scope="module")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[storage.Store, space.Space]]:
    """A study of 12 trials, some of them pruned; the best was trained again, and scored .02 less."""
    with pytest.MonkeyPatch.context() as patch:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        architectures = tiny_space(patch)
        store, study = open_study(tmp_path_factory.mktemp("cheap") / "search.db", architectures, name="cheap")
        trainer = FakeTrainer()
        make_worker(store, study, trainer, architectures=architectures, alpha=0.3).work(12)
        best = max(store.trials("cheap"), key=lambda trial: trial.score or 0.0)
        again = store.add_repeat(best.id, 1, worker=1, sampler_noise_sd=None)
        store.add_repeat_scores(again, (best.score or 0.0) - 0.02, {})
        yield store, architectures
        store.close()


def kept(store: storage.Store, architectures: space.Space, text: str = "cheap") -> dict[str, Any]:
    studies = read_earlier(text, store, "dear")
    return earlier_settings(studies, store, architectures, "superclass", DominatedPresets(reasons={}))


@pytest.mark.slow
def test_every_finished_trial_is_read_with_its_mean_score_or_what_its_curve_says(
    cheap: tuple[storage.Store, space.Space],
) -> None:
    store, architectures = cheap
    (study,) = read_earlier("cheap", store, "dear")
    complete = {t.architecture_hash: t.score for t in store.trials("cheap") if t.state == "complete"}
    scores = {
        space.Architecture.from_dict(each.architecture).digest: each.score
        for each in study.trials
        if each.standard_error == 0
    }
    assert scores == complete
    (again,) = (trial for trial in store.trials("cheap") if trial.repeats)
    assert again.first_score is not None
    assert scores[again.architecture_hash] == pytest.approx(again.first_score - 0.01, abs=1e-12)
    assert len(study.estimates(architectures, "superclass")) == len(study.trials)
    assert study.shape is not None
    assert study.shape.between_KK[-1, -1] == pytest.approx(1.0)


@pytest.mark.slow
def test_a_study_goes_on_without_the_ones_it_learned_from(
    cheap: tuple[storage.Store, space.Space], tmp_path: Path
) -> None:
    source, architectures = cheap
    store, _ = open_study(tmp_path / "own.db", architectures, name="unused")
    settings = {**SETTINGS, EARLIER_STUDIES: kept(store, architectures, f"cheap@{source.url}")}
    with pytest.raises(UsageError, match="no study cheap"):
        read_earlier("cheap", store, "dear")
    store, study = open_study(tmp_path / "own.db", architectures, name="dear", settings=settings)
    reasons = []
    worker = make_worker(
        store, study, FakeTrainer(seed=1), architectures=architectures, sampler="front", emit=reasons.append
    )
    worker.work(6)
    assert any("correlation with earlier studies" in str(event) for event in reasons)
    (earlier,) = earlier_of(store, study)
    assert earlier == replace(
        read_earlier("cheap", source, "dear")[0], name=earlier.name, shape=earlier.shape
    )
    copied = storage.copy_database(store.url, f"sqlite:///{tmp_path / 'there' / 'copy.db'}")
    assert copied.missing_artifacts == ()
    with storage.open_store(f"sqlite:///{tmp_path / 'there' / 'copy.db'}", create=False) as there:
        assert earlier_of(there, there.study("dear"))[0].trials == earlier.trials
    (store.artifacts_folder / settings[EARLIER_STUDIES]["artifact"]).unlink()
    with pytest.raises(storage.StorageError, match=r"artifact .*\.json is missing"):
        earlier_of(store, study)


@pytest.mark.slow
def test_what_cannot_be_learned_from_is_refused_in_one_line(
    cheap: tuple[storage.Store, space.Space], tmp_path: Path
) -> None:
    store, architectures = cheap
    open_study(Path(store.url.removeprefix("sqlite:///")), architectures, name="empty")
    for text, message in (
        ("nix", "--learn-from nix: no study nix"),
        ("dear", "--learn-from dear: a study cannot learn from itself"),
        (f"dear@{store.url}", "a study cannot learn from itself"),
        (
            "empty",
            "--learn-from empty: no trial of that study is complete yet, so there is nothing to learn from",
        ),
        (f"cheap@sqlite:///{tmp_path}/nix.db", "--learn-from: no database"),
        (
            f"cheap,cheap@{store.url}",
            f"names one study twice, as cheap and as cheap@{store.url}: name it once",
        ),
    ):
        with pytest.raises(UsageError) as refused:
            read_earlier(text, store, "dear")
        assert message in str(refused.value)
        assert "\n" not in str(refused.value)


def test_names_are_kept_sorted_and_without_passwords() -> None:
    text = "b, a@postgresql+psycopg://me:secret@host/db"
    assert canonical(text) == "a@postgresql+psycopg://me:***@host/db,b"
    assert list(named(text).values())[1] == ("a", "postgresql+psycopg://me:secret@host/db")
    for wrong, message in (
        ("a,", "STUDY or STUDY@URL"),
        ("", "STUDY or STUDY@URL"),
        ("a,a", "names a twice"),
    ):
        with pytest.raises(UsageError, match=message):
            named(wrong)


def invented(architectures: space.Space, score: Any, *, target: str = "superclass") -> EarlierStudy:
    """Every architecture of a space that trains on its first tier, with a score."""
    trials = tuple(
        EarlierTrial(architecture=each.to_dict(), score=score(each), standard_error=0.0)
        for each in architectures
    )
    return EarlierStudy(name="before", target=target, data="some data", epochs=2, trials=trials, shape=None)


def test_what_was_trained_on_its_target_stands_for_what_is_trained_on_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = tiny_space(monkeypatch)  # superclass and finer
    other = space.Space("tiny", ("rhythm",))
    found = invented(other, lambda each: 0.5, target="rhythm").estimates(own, "superclass")
    assert len(found) == len(other)
    assert {
        space.Architecture.from_dict(
            own.suggest(optuna.trial.FixedTrial(dict(e.params))).to_dict()
        ).label_tier
        for e in found
    } == {"superclass"}
    outside = EarlierTrial(
        architecture=space.preset("cnn", "superclass").to_dict(), score=0.5, standard_error=0.0
    )
    study = replace(invented(own, lambda each: 0.5), trials=(outside,))
    with pytest.raises(UsageError, match=r"none of its 1 trial has an architecture of space tiny"):
        earlier_settings([study], None, own, "superclass", DominatedPresets(reasons={}))  # type: ignore[arg-type]


def test_presets_that_are_certain_to_lose_are_not_queued_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    architectures = tiny_space(monkeypatch, n_tiers=1)
    best, worst = (
        next(each for each in architectures if each.width == width and each.gate == 0 and not each.recurrent)
        for width in (0.25, 1.0)
    )
    monkeypatch.setattr(
        space,
        "PRESETS",
        {
            "narrow": space.Preset(source="", summary="", architecture=best),
            "broad": space.Preset(source="", summary="", architecture=worst),
        },
    )
    rng = np.random.default_rng(0)
    noise = {each.digest: rng.normal(0, 0.002) for each in architectures}
    study = invented(architectures, lambda each: (0.7 if each.width == 0.25 else 0.4) + noise[each.digest])
    dominated = dominated_presets([study], architectures, "superclass", N_OUTPUTS, ["narrow", "broad"])
    assert list(dominated.reasons) == ["broad"]
    assert dominated.reasons["broad"].startswith("before predicts .4")
    equal = invented(architectures, lambda each: 0.5 + noise[each.digest])
    assert not dominated_presets([equal], architectures, "superclass", N_OUTPUTS, ["narrow", "broad"]).reasons
    few = replace(study, trials=study.trials[:5])
    assert not dominated_presets([few, study], architectures, "superclass", N_OUTPUTS, ["broad"]).reasons
    assert 0 < CERTAIN < 0.05

    settings = {EARLIER_STUDIES: {"words": ["before: …"], "presets_not_queued": dominated.reasons}}
    record = study_record(settings={**SETTINGS, **settings})
    presets, notes = _without_losers(record, architectures, None)
    assert presets == ["narrow"]
    assert notes[0] == "learning from before: …"
    assert notes[1].startswith("preset broad is not queued, --presets broad trains it: before predicts .4")
    assert _without_losers(record, architectures, ("broad",))[0] == ("broad",)
