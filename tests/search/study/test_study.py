"""Making a study and continuing one: what must be the same."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from fake_study import QUEUED, open_study, study_record, tiny_space, wide_space
from fake_trainer import TIERS
from optuna.trial import TrialState
from rich.console import Console

import space
import storage
from reports.parts import data_document
from reports.words import data_words, left_out_words, reported_data_words
from search.data.dataset import Development
from search.data.folds import PTBXL_FOLDS
from search.data.labels.tiers import Hierarchy
from search.data.readers.statements import Statement
from search.data.signals.leads import LEADS
from search.data.signals.records import Damage
from search.errors import StudyMismatchError, UsageError
from search.study.options import RunOptions
from search.study.prepare import prepare
from search.study.study import (
    as_known_to,
    check_new_name,
    check_requested,
    default_name,
    find_study,
    make_record,
    make_study,
    queue_presets,
)

pytestmark = pytest.mark.usefixtures("no_optuna_log")

SETTINGS = {"epochs": 6, "batch_size": 32, "learning_rate": 0.002, "seed": 0, "drop_unlabeled": False}


def development(**changes: Any) -> Development:
    """Three records of two patients."""
    statement = {"diagnostic": True, "form": False, "rhythm": False}
    hierarchy = Hierarchy(
        [
            Statement(code="NORM", description="normal", superclass="NORM", subclass="NORM", **statement),
            Statement(code="AMI", description="anterior", superclass="MI", subclass="AMI", **statement),
        ]
    )
    values: dict[str, Any] = {
        "name": "ptb-xl",
        "version": "1.0.3",
        "synthetic": False,
        "rate_hz": 100,
        "fingerprint": "12345678" * 8,
        "unit": "record",
        "leads": LEADS,
        "ecg_id": np.array([1, 2, 3]),
        "patient_id": np.array([7, 7, 8]),
        "strat_fold": np.array([1, 1, 2]),
        "fold_plan": PTBXL_FOLDS,
        "x_NLT": np.zeros((3, 12, 10), np.int16),
        "y": {},
        "soft_labels": None,
        "hierarchy": hierarchy,
        "skipped": (Damage(ecg_id=9, filename="records100/9_lr", reason="flat"),),
        "flat_leads": {},
        "n_unlabeled_dropped": 0,
    }
    return Development(**(values | changes))


DATA = development()
STUDY = make_record("mine", "superclass", "wide", SETTINGS, DATA)


def test_a_record_of_everything_that_must_stay_the_same() -> None:
    assert (STUDY.name, STUDY.target, STUDY.space) == ("mine", "superclass", "wide")
    assert (STUDY.data_name, STUDY.data_version, STUDY.synthetic) == ("ptb-xl", "1.0.3", False)
    assert (STUDY.n_records, STUDY.n_patients, STUDY.rate_hz) == (3, 2, 100)
    made_with = {"severity_map": DATA.hierarchy.severity.identity, "unit": "record"}
    n_leads, n_samples = DATA.x_NLT.shape[1:]
    inputs = {"n_leads": n_leads, "n_samples": n_samples, "n_features": DATA.inputs.n_features}
    assert STUDY.settings == {**SETTINGS, **made_with, "inputs": inputs}
    assert STUDY.tier_classes["superclass"] == ("MI", "NORM")
    assert STUDY.skipped_records == ({"ecg_id": 9, "filename": "records100/9_lr", "reason": "flat"},)


def test_the_same_or_nothing_asked_for_continues() -> None:
    check_requested(STUDY, DATA)
    check_requested(STUDY, DATA, target="superclass", settings=SETTINGS)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"target": "subclass"},
            "study mine was made with --target superclass, not subclass: "
            "leave --target out to continue it, or choose another --study",
        ),
        (
            {"settings": {"epochs": 30}},
            "study mine was made with --epochs 6, not 30: "
            "leave --epochs out to continue it, or choose another --study",
        ),
        (
            {"settings": {"seed": 1}},
            "study mine was made with --seed 0, not 1: "
            "leave --seed out to continue it, or choose another --study",
        ),
        (
            {"settings": {"batch_size": 128}},
            "study mine was made with --batch-size 32, not 128: "
            "leave --batch-size out to continue it, or choose another --study",
        ),
        (
            {"settings": {"learning_rate": 0.005}},
            "study mine was made with --lr 0.002, not 0.005: "
            "leave --lr out to continue it, or choose another --study",
        ),
        (
            {"settings": {"drop_unlabeled": True}},
            "study mine was made with --drop-unlabeled False, not True: "
            "leave --drop-unlabeled out to continue it, or choose another --study",
        ),
        (
            {"settings": {"records": "10%"}},
            "study mine was made without --records, not with 10%: "
            "leave --records out to continue it, or choose another --study",
        ),
    ],
)
def test_another_choice_is_refused_in_one_line(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyMismatchError) as refused:
        check_requested(STUDY, DATA, **asked)
    assert str(refused.value) == message


def test_another_share_of_the_records_is_refused_in_one_line() -> None:
    data = development(n_outside_subset=27)
    part = make_record("mine", "superclass", "wide", {**SETTINGS, "records": "10%"}, data)
    check_requested(part, data, settings={"records": "10%"})
    with pytest.raises(StudyMismatchError) as refused:
        check_requested(part, data, settings={"records": "20%"})
    assert str(refused.value) == (
        "study mine was made with --records 10%, not 20%: "
        "leave --records out to continue it, or choose another --study"
    )
    with pytest.raises(StudyMismatchError, match="give --data and --records as then"):
        check_requested(part, development(fingerprint="0" * 64))


def test_other_earlier_studies_are_refused_in_one_line() -> None:
    taught = replace(STUDY, settings={**STUDY.settings, "learn_from": "a,b"})
    check_requested(taught, DATA, settings={"learn_from": "a,b"})
    check_requested(taught, DATA)
    advice = "leave --learn-from out to continue it, or choose another --study"
    with pytest.raises(StudyMismatchError, match=f"was made with --learn-from a,b, not c: {advice}"):
        check_requested(taught, DATA, settings={"learn_from": "c"})
    with pytest.raises(StudyMismatchError, match=f"was made without --learn-from, not with a: {advice}"):
        check_requested(STUDY, DATA, settings={"learn_from": "a"})


def test_a_subset_is_called_so_with_its_size() -> None:
    settings = {**SETTINGS, "records": "10%"}
    part = make_record("mine", "superclass", "wide", settings, development(n_outside_subset=27))
    words = "ptb-xl 1.0.3, 10 % of the records (subset, n = 3 of 30) of 2 patients at 100 Hz"
    left_out = "; 1 damaged record left out"
    assert data_words(part) == words + left_out
    assert reported_data_words(data_document(part)) == words + left_out
    assert left_out_words(part)[-1] == "27 records left out: outside the subset (--records 10%)"
    number = replace(part, settings={**part.settings, "records": "3"})
    assert "ptb-xl 1.0.3, records (subset, n = 3 of 30) of 2 patients" in data_words(number)


def test_another_severity_map_is_refused_in_one_line() -> None:
    path, identity = DATA.hierarchy.severity.path, DATA.hierarchy.severity.identity
    for made_with in ("clinical 12345678", "none"):
        settings = {**SETTINGS, "severity_map": made_with} if made_with != "none" else SETTINGS
        with pytest.raises(StudyMismatchError) as refused:
            check_requested(replace(STUDY, settings=settings), DATA)
        assert str(refused.value) == (
            f"study mine was made with the severity map {made_with}, not {identity}: "
            f"undo the change of {path}, or choose another --study"
        )


def test_other_likelihoods_or_ages_of_the_same_records_are_refused_in_one_line() -> None:
    now = replace(DATA, details="ab" * 32)
    study = make_record("mine", "superclass", "wide", SETTINGS, now)
    check_requested(study, now)
    check_requested(STUDY, now)  # made before such details were kept
    with pytest.raises(StudyMismatchError, match=r"other likelihoods of statements, .*: undo the change"):
        check_requested(study, replace(now, details="cd" * 32))


def test_a_study_made_without_age_and_sex_is_continued_without_them() -> None:
    people = {"age": np.float32([50, 60, 70]), "sex": np.float32([0, 1, 0])}
    now = replace(DATA, details="ab" * 32, details_without_people="cd" * 32, **people)
    study = make_record("mine", "superclass", "wide", SETTINGS, now.without_people())
    known = as_known_to(study, now)
    assert (known.age, known.sex) == (None, None)
    check_requested(study, known)
    assert as_known_to(study, known) is known
    assert as_known_to(make_record("mine", "superclass", "wide", SETTINGS, now), now) is now
    assert as_known_to(STUDY, now) is now


def test_other_data_are_refused_in_one_line() -> None:
    demo = development(
        name="demo", version="SYNTHETIC", synthetic=True, rate_hz=500, fingerprint="abcdef01" * 8
    )
    with pytest.raises(StudyMismatchError) as refused:
        check_requested(STUDY, demo)
    assert str(refused.value) == (
        "study mine was made with other data (ptb-xl 1.0.3, 3 records at 100 Hz, fingerprint 12345678) "
        "than these (demo SYNTHETIC, 3 records at 500 Hz, fingerprint abcdef01): "
        "give --data as then, or choose another --study"
    )


def test_the_choice_is_named_before_the_data() -> None:
    """Another rate or target changes the data too; the cause is what helps."""
    with pytest.raises(StudyMismatchError, match="--target"):
        check_requested(STUDY, development(fingerprint="0" * 64), target="subclass")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("ptb-xl", "superclass", "wide"), "ptb-xl-superclass"),
        (("demo", "subclass", "paper"), "demo-subclass-paper"),
    ],
)
def test_names(arguments: tuple[str, str, str], name: str) -> None:
    assert default_name(*arguments) == name


@pytest.mark.parametrize(
    ("records", "name"), [("10%", "ptb-xl-all-10-percent"), ("2000", "ptb-xl-all-2000-records")]
)
def test_a_study_on_a_subset_has_another_name(records: str, name: str) -> None:
    assert default_name("ptb-xl", "all", "wide", records) == name


@pytest.mark.parametrize(
    ("name", "advice"),
    [(" a", "write 'a'"), ("a\nb", "write 'ab'"), ("\u200bq", "write 'q'"), ("a,b", "write 'a-b'")],
)
def test_a_new_name_that_looks_like_another_is_refused(name: str, advice: str) -> None:
    check_new_name("Größe 3.5/ab@c")
    with pytest.raises(UsageError) as refused:
        check_new_name(name)
    assert str(refused.value).startswith(f"--study {name!r}: ")
    assert str(refused.value).endswith(f": {advice}")


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ({"leads": "all", "objective": "macro-auprc", "cost": "parameters", "epochs": 3}, "ptb-xl-all"),
        ({"leads": "I,V2"}, "ptb-xl-all-leads-I-V2"),
        ({"leads": "all/limb/I"}, "ptb-xl-all-leads-all-limb-I"),
        ({"objective": "worst-group", "cost": "macs"}, "ptb-xl-all-worst-group-macs"),
    ],
)
def test_the_name_tells_leads_and_objectives_that_are_not_the_usual_ones(
    named: dict[str, object], name: str
) -> None:
    assert default_name("ptb-xl", "all", "wide", named=named) == name


def test_a_study_of_before_there_was_a_choice_maximises_macro_auprc() -> None:
    assert STUDY.objective == "macro-auprc"
    check_requested(STUDY, development(), settings={"objective": "macro-auprc"})
    with pytest.raises(StudyMismatchError, match="made with --objective macro-auprc, not worst-group: leave"):
        check_requested(STUDY, development(), settings={"objective": "worst-group"})


def test_a_study_that_cannot_be_prepared_leaves_no_database_open(
    ptbxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[storage.Store] = []
    monkeypatch.chdir(tmp_path)

    def close(store: storage.Store) -> None:
        closed.append(store)

    monkeypatch.setattr(storage.Store, "close", close)
    options = RunOptions(trials=1, data=str(ptbxl), leads="V9")
    with pytest.raises(UsageError, match="V9"):
        prepare(options, Console(quiet=True))
    assert len(closed) == 1


@pytest.mark.slow
def test_a_study_of_ones_own_name_is_made_beside_the_usual_one(
    ptbxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the usual study is like: a name is the whole of what identifies a study."""
    monkeypatch.chdir(tmp_path)

    def prepared_study(**changes: Any) -> storage.StudyRecord:
        options = RunOptions(trials=1, data=str(ptbxl), target="superclass", presets=("none",), **changes)
        prepared = prepare(options, Console(quiet=True))
        with prepared.store:
            return prepared.study

    usual = prepared_study()
    assert prepared_study(study="mine").name == "mine"
    assert prepared_study(study="small", operators="conv,pool").settings["operators"]
    assert prepared_study().created_at == usual.created_at


def test_a_study_is_made_once(tmp_path: Path) -> None:
    store = storage.open_store(f"sqlite:///{tmp_path / 'search.db'}")
    assert find_study(store, "mine") is None
    made = make_study(store, STUDY)
    assert find_study(store, "mine") == made
    assert made.created_at is not None
    # Another process was slower and gets what there is, to be compared with what it asked for.
    assert make_study(store, replace(STUDY, target="subclass")) == made


def test_a_name_that_belongs_to_another_optuna_study(tmp_path: Path) -> None:
    store = storage.open_store(f"sqlite:///{tmp_path / 'search.db'}")
    optuna.create_study(study_name="mine", storage=store.optuna_storage).add_trial(
        optuna.create_trial(value=1.0)
    )
    with pytest.raises(storage.StudyExistsError, match="not made by this program: choose another --study"):
        make_study(store, STUDY)


def waiting(store: storage.Store) -> list[dict[str, Any]]:
    study = optuna.load_study(study_name="fake", storage=store.optuna_storage)
    trials = study.get_trials(states=(TrialState.WAITING,))
    return [trial.system_attrs["fixed_params"] for trial in trials]


def test_presets_are_queued_once_and_in_order(tmp_path: Path) -> None:
    architectures = wide_space()
    store, study = open_study(tmp_path / "search.db")
    wanted = [architectures.to_params(space.preset(name, study.target)) for name in QUEUED]
    assert waiting(store) == wanted
    queue_presets(store, study, architectures)
    assert waiting(store) == wanted


def test_presets_that_a_killed_process_could_not_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = storage.open_store(f"sqlite:///{tmp_path / 'search.db'}")
    study = make_study(store, study_record())
    enqueue = optuna.Study.enqueue_trial

    def killed(self: optuna.Study, *arguments: Any, **options: Any) -> None:
        if len(waiting(store)) == 3:
            raise KeyboardInterrupt
        enqueue(self, *arguments, **options)

    monkeypatch.setattr(optuna.Study, "enqueue_trial", killed)
    with pytest.raises(KeyboardInterrupt):
        queue_presets(store, study, wide_space())
    monkeypatch.undo()
    assert len(waiting(store)) == 3
    queue_presets(store, study, wide_space())
    assert len(waiting(store)) == len(QUEUED)


def test_presets_outside_the_space_are_not_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = open_study(tmp_path / "search.db", tiny_space(monkeypatch))
    assert waiting(store) == []


def test_every_preset_is_in_both_spaces(tmp_path: Path) -> None:
    store, _ = open_study(tmp_path / "search.db", space.Space("paper", TIERS))
    assert len(waiting(store)) == len(QUEUED)


@pytest.mark.slow
def test_two_that_make_the_same_study_at_once(tmp_path: Path) -> None:
    database = tmp_path / "search.db"
    storage.open_store(f"sqlite:///{database}").close()
    threads = [threading.Thread(target=open_study, args=(database,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store, _ = open_study(database)
    assert len(waiting(store)) == len(QUEUED)


def test_optuna_keeps_quiet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store, _ = open_study(tmp_path / "search.db")
    study = optuna.load_study(study_name="fake", storage=store.optuna_storage)

    def fails(trial: optuna.Trial) -> float:
        raise ValueError("no")

    study.optimize(fails, n_trials=1, catch=(ValueError,))
    assert capsys.readouterr() == ("", "")
