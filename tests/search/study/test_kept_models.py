"""Kept models of another study as teachers, and to begin with: by hand, without leaks, and in a study."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_samples import CPU, NO_CACHE, TINY, development

import space
import storage
from search.commands.main import main
from search.data.folds import Fold, cv_folds
from search.errors import DataError, UsageError
from search.study.kept_models import KeptFolds, check_unseen, parsed
from search.study.teacher import load_teachers, teacher_axes
from search.study.transfer import load_initial
from search.training.device_data import DeviceData
from search.training.fold import FoldTraining
from search.training.initial_weights import InitialWeights
from search.training.losses import distillation
from search.training.model_file import load_model
from search.training.settings import TrainingSettings
from search.training.soft_targets import SoftTargets, unpacked
from storage import Predictions

DATA = development()
FOLDS = cv_folds(DATA.strat_fold, DATA.fold_plan)
TEACHER = "trial:0@other"
TAUGHT = replace(TINY, teacher=TEACHER, teacher_weight=0.5, temperature=2.0)


def test_the_loss_of_soft_targets_by_hand() -> None:
    """T = 2: logits ln 3 of the student and ln 9 of the teacher become σ = .634 and σ(ln 3) = .75."""
    z_BC = torch.tensor([[math.log(3)]], dtype=torch.float64)
    teacher_BC = torch.tensor([[0.9]], dtype=torch.float64)
    student = 1 / (1 + 3**-0.5)
    expected = -4 * (0.75 * math.log(student) + 0.25 * math.log(1 - student))
    found = distillation(z_BC, teacher_BC, temperature=2.0, categorical=False)
    assert float(found) == pytest.approx(expected, rel=1e-12)
    # Of classes that share a softmax, (.64, .32, .04) at T = 2 are in proportion to (.8, .4 √2, .2).
    p_BC = torch.tensor([[0.64, 0.32, 0.04]], dtype=torch.float64)
    soft = np.array([0.8, 0.4 * math.sqrt(2), 0.2])
    found = distillation(torch.zeros(1, 3, dtype=torch.float64), p_BC, temperature=2.0, categorical=True)
    assert float(found) == pytest.approx(4 * math.log(3) * (soft / soft.sum()).sum(), rel=1e-12)


def test_a_student_that_agrees_with_its_teacher_has_no_gradient() -> None:
    z_BC = torch.tensor([[0.3, -2.0]], dtype=torch.float64, requires_grad=True)
    for categorical in (False, True):
        p_BC = (torch.softmax(z_BC, 1) if categorical else torch.sigmoid(z_BC)).detach()
        (gradient,) = torch.autograd.grad(
            distillation(z_BC, p_BC, temperature=3.0, categorical=categorical), z_BC
        )
        assert gradient.abs().max() < 1e-12


def soft_targets(p: float = 0.25) -> SoftTargets:
    n_classes = len(DATA.hierarchy.classes("superclass"))
    return SoftTargets(
        name=TEACHER,
        ecg_id={fold.number: DATA.ecg_id[fold.train] for fold in FOLDS},
        probabilities={
            fold.number: {
                "superclass": np.full((len(fold.train), n_classes), p * fold.number / 5, np.float32)
            }
            for fold in FOLDS
        },
    )


def test_soft_targets_are_there_for_the_training_part_alone() -> None:
    kept = unpacked(soft_targets().packed())
    for fold in FOLDS:
        p_NC = kept.for_fold(fold, DATA.ecg_id, "superclass")
        assert np.isnan(p_NC[fold.validation]).all()
        assert (p_NC[fold.train] == np.float32(0.25 * fold.number / 5)).all()
    # Where nothing validates, the mean over the four folds that were trained on a record.
    everything = Fold(number=0, train=np.arange(len(DATA)), validation=np.arange(0))
    p_NC = kept.for_fold(everything, DATA.ecg_id, "superclass")
    assert p_NC[FOLDS[0].validation] == pytest.approx(0.25 * (2 + 3 + 4 + 5) / 4 / 5, rel=1e-6)


def test_a_teacher_that_was_asked_about_a_validating_record_is_refused() -> None:
    """As out-of-fold predictions would be: they are of all records."""
    leaking = replace(soft_targets(), ecg_id={fold.number: DATA.ecg_id for fold in FOLDS})
    with pytest.raises(DataError, match=r"has predictions for 20 records that validate fold 1"):
        leaking.for_fold(FOLDS[0], DATA.ecg_id, "superclass")
    lacking = replace(soft_targets(), ecg_id={fold.number: DATA.ecg_id[fold.train[3:]] for fold in FOLDS})
    with pytest.raises(DataError, match="has no predictions for 3 records of the training part of fold 1"):
        lacking.for_fold(FOLDS[0], DATA.ecg_id, "superclass")
    with pytest.raises(DataError, match="soft targets of a teacher are damaged"):
        unpacked(soft_targets().packed()[:-40])


def held_out(**changed: np.ndarray) -> KeptFolds:
    """The predictions of a teacher that was trained with the folds of `DATA`, fold 1 changed."""
    found = {}
    for fold in FOLDS:
        rows = fold.validation
        found[fold.number] = Predictions(
            tier="superclass",
            classes=("HYP", "MI", "NORM"),
            ecg_id=DATA.ecg_id[rows],
            patient_id=DATA.patient_id[rows],
            targets_NC=DATA.y["superclass"][rows],
            probabilities_NC=np.zeros((len(rows), 3), np.float32),
        )
    found[1] = replace(found[1], **changed)
    (source,) = parsed("--teacher", TEACHER)
    study = storage.StudyRecord(
        name="other",
        target="superclass",
        space="wide",
        data_name="demo",
        data_version="SYNTHETIC",
        data_fingerprint="1" * 64,
        synthetic=True,
        rate_hz=100,
        n_records=90,
        n_patients=90,
        settings={},
        tier_classes={},
    )
    return KeptFolds(source=source, study=study, members=dict.fromkeys(found, ()), held_out=found)


def test_a_model_that_saw_a_validating_record_or_patient_is_refused() -> None:
    check_unseen(held_out(), DATA, FOLDS)
    ids, patients = DATA.ecg_id[FOLDS[0].validation].copy(), DATA.patient_id[FOLDS[0].validation].copy()
    # A record of fold 2 that the other study held out in fold 1 was trained on by its model of fold 2.
    ids[0] = DATA.ecg_id[FOLDS[1].validation[0]]
    with pytest.raises(DataError, match=rf"fold 2 was trained on 1 record of the .* \(record {ids[0]}\)"):
        check_unseen(held_out(ecg_id=ids), DATA, FOLDS)
    patients[0] = DATA.patient_id[FOLDS[2].validation[5]]
    with pytest.raises(DataError, match=rf"fold 3 was trained on 1 patient of .* \(patient {patients[0]}\)"):
        check_unseen(held_out(patient_id=patients), DATA, FOLDS)
    with pytest.raises(DataError, match="whether a patient is on both sides cannot be determined"):
        check_unseen(held_out(patient_id=None), DATA, FOLDS)


def test_records_that_are_numbered_by_their_place_are_those_of_before_or_unknown() -> None:
    """The same numbers in the same folds, of other records: a model may have seen what validates it now."""
    numbered, kept = replace(DATA, numbering="2" * 64), held_out()
    with pytest.raises(DataError, match="for study other these were others, or were not kept: which records"):
        check_unseen(kept, numbered, FOLDS)
    for study in (
        replace(kept.study, settings={"numbering": "2" * 64}),
        replace(kept.study, data_fingerprint=DATA.fingerprint),
    ):
        check_unseen(replace(kept, study=study), numbered, FOLDS)
    other = replace(kept.study, settings={"numbering": "3" * 64})
    with pytest.raises(DataError, match="train the model again"):
        check_unseen(replace(kept, study=other), numbered, FOLDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trial:3", "--teacher names trial:12@STUDY or ensemble:NAME@STUDY"),
        ("trial:x@a", "got 'trial:x@a'"),
        ("ensemble:best@a", "got 'ensemble:best@a'"),
        ("trial:3@a,trial:03@a", "--teacher names trial:3@a twice"),
    ],
)
def test_what_names_no_model(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parsed("--teacher", text)
    assert message in str(error.value)


def test_a_taught_fold_learns_from_both_and_validates_on_labels() -> None:
    settings = TrainingSettings(epochs=2, batch_size=16, seed=0)
    on_device = DeviceData(DATA, CPU, cache_dir=NO_CACHE, teachers={TEACHER: soft_targets()})
    plain = FoldTraining(replace(TAUGHT, teacher="none"), FOLDS[0], on_device, settings)
    taught = FoldTraining(TAUGHT, FOLDS[0], on_device, settings)
    rows = plain.begin_epoch()[0]
    taught.begin_epoch()
    batch = taught.draw(rows)
    assert torch.equal(batch.x_BLT, plain.draw(rows).x_BLT)  # a teacher changes no random number
    z_BC = torch.zeros(len(rows), 3)
    by_teacher = distillation(z_BC, batch.teacher_BC, temperature=2.0, categorical=False)
    expected = 0.5 * plain.loss(z_BC, batch) + 0.5 * by_teacher
    assert float(taught.loss(z_BC, batch)) == pytest.approx(float(expected), rel=1e-6)
    losses = [taught.run_epoch()[0] for _ in range(2)]
    assert all(map(math.isfinite, losses))
    assert np.isfinite(taught.predict()).all()


def test_a_fold_begins_with_the_weights_of_its_fold_and_keeps_what_is_frozen() -> None:
    settings = TrainingSettings(epochs=1, batch_size=16, seed=0)
    alone = DeviceData(DATA, CPU, cache_dir=NO_CACHE)
    before = FoldTraining(TINY, FOLDS[0], alone, settings)
    before.run_epoch()
    kept = load_model(before.packed(DATA))
    initial = InitialWeights(
        name="trial:0@a", read={1: lambda: kept}, trained_on={1: DATA.ecg_id[FOLDS[0].train]}
    )
    on_device = DeviceData(DATA, CPU, cache_dir=NO_CACHE, initial={"trial:0@a": initial})

    def begun(**changed: object) -> FoldTraining:
        return FoldTraining(replace(TINY, init="trial:0@a", **changed), FOLDS[0], on_device, settings)

    # The same network and classes: everything. Another head, or other classes: the front end.
    whole = begun().model.state_dict()
    assert all(torch.equal(whole[name], weight) for name, weight in kept.model.state_dict().items())
    for changed in ({"head_width": 32}, {"label_tier": "subclass"}):
        fresh = FoldTraining(replace(TINY, **changed), FOLDS[0], alone, settings).model.state_dict()
        for name, weight in begun(**changed).model.state_dict().items():
            source = kept.model.state_dict() if name.startswith("blocks.") else fresh
            assert torch.equal(weight, source[name]), name

    def moved(training: FoldTraining) -> set[str]:
        started = {name: weight.clone() for name, weight in training.model.named_parameters()}
        training.run_epoch()
        found = training.model.named_parameters()
        return {name.split(".")[0] for name, weight in found if not torch.equal(weight, started[name])}

    frozen = begun(frozen=True)
    assert "blocks" in moved(begun(frozen=False))
    assert "blocks" not in moved(frozen)
    assert np.isfinite(frozen.predict()).all()


def test_a_model_that_saw_the_validation_part_is_no_beginning() -> None:
    leaking = InitialWeights(name="trial:0@a", read={1: pytest.fail}, trained_on={1: DATA.ecg_id})
    with pytest.raises(DataError, match="trial:0@a was trained on 20 records that validate fold 1"):
        leaking.for_fold(FOLDS[0], DATA.ecg_id)
    # Of other data, ids mean nothing; where it has fewer folds, the last one's model will do.
    foreign = InitialWeights(name="trial:0@a", read={1: lambda: 1, 4: lambda: 4}, trained_on=None)
    assert foreign.for_fold(FOLDS[0], DATA.ecg_id) == 1
    assert foreign.for_fold(FOLDS[4], DATA.ecg_id) == 4


def test_the_words_of_a_model_that_is_begun_with_another() -> None:
    frozen = replace(TINY, init="trial:0@a", frozen=True)
    assert ", begun with trial:0@a, front end frozen, " in frozen.describe()
    assert "front end fine-tuned" in replace(frozen, frozen=None).describe()
    assert replace(frozen, init="none").digest == TINY.digest


def test_the_words_of_a_taught_architecture() -> None:
    assert f"taught by {TEACHER}, weight 0.5, temperature 2" in TAUGHT.describe()
    untaught = replace(TAUGHT, teacher="none")
    assert untaught == TINY
    assert untaught.digest == TINY.digest
    assert teacher_axes({}) == {}


class Here:
    """A folder with a study `first` of two small models, both kept, and a way to search in it."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def run(self, study: str, *options: str) -> int:
        fixed = ("--epochs", "1", "--device", "cpu", "--target", "superclass", "--pruner", "none")
        return main(["run", "--data", str(self.data), "--study", study, *fixed, *options])


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, ptbxl: Path) -> Iterator[Here]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("kept"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("COLUMNS", "80")
        shared = {name: values[:1] for name, values in space.SPACES["wide"].items() if values}
        axes = shared | {"depth": (0,), "head": ("linear",), "width": (0.05, 0.1)}
        patch.setitem(space.SPACES, "wide", axes)
        small, large = space.Space("small and large", ("superclass",), axes)
        # A smaller model is on the front whatever it scores: both keep their models.
        systems = {
            name: space.Preset(source="", summary="", architecture=architecture)
            for name, architecture in (("large", large), ("small", small))
        }
        patch.setattr(space, "PRESETS", systems)
        made = Here(ptbxl)
        assert made.run("first", "--presets", "large,small") == 0
        yield made


@pytest.mark.slow
def test_a_study_is_taught_by_an_ensemble_of_another(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    taught = ("--presets", "none", "--teacher", "trial:0@first,ensemble:top2-weighted@first")
    assert here.run("second", "--trials", "3", *taught) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "teacher trial:0@first" in printed
    assert here.run("second", "--trials", "1", "--presets", "none") == 0
    assert here.run("second", "--trials", "1", "--teacher", "trial:1@first") != 0
    with storage.open_store("sqlite:///runs/search.db", create=False) as store:
        study = store.study("second")
        teachers = load_teachers(store, study)
        trials = store.trials("second")
        first = store.trials("first")[0]
        own = storage.load_predictions(store, store.folds(first.id)[0].predictions)
    assert sorted(teachers) == ["ensemble:top2-weighted@first", "trial:0@first"]
    assert any(trial.architecture["teacher"] in teachers for trial in trials)
    assert all(trial.state == "complete" for trial in trials)
    # The teacher of fold 1 has not been asked about what validates fold 1, but about all the rest.
    assert not np.isin(own.ecg_id, teachers["trial:0@first"].ecg_id[1]).any()
    assert len(own.ecg_id) + len(teachers["trial:0@first"].ecg_id[1]) == study.n_records
    kept = study.settings["teachers"]["trial:0@first"]
    assert kept["parameters"] == first.parameters
    assert kept["training_seconds"] == pytest.approx(first.seconds)
    assert kept["tiers"] == ["superclass"]


@pytest.mark.slow
def test_a_study_begins_with_a_model_of_another(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert here.run("third", "--trials", "3", "--presets", "none", "--init", "trial:0@first") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "begins with trial:0@first, trained on ptb-xl: its front end, CNN(6), is that of all trials"
        in printed
    )
    assert here.run("third", "--trials", "1", "--init", "trial:1@first") != 0
    assert here.run("fourth", "--trials", "1", "--init", "trial:7@first") != 0
    with storage.open_store("sqlite:///runs/search.db", create=False) as store:
        trials = store.trials("third")
        initial = load_initial(store, store.study("third"))["trial:0@first"]
        artifacts = storage.kept_models(store, "first", 0)
        begun_with = load_model(storage.load_artifact(store, artifacts[2]))
        frozen = [each for each in trials if each.architecture["frozen"]]
        kept = [storage.kept_models(store, "third", each.number) for each in frozen]
        models = [load_model(storage.load_artifact(store, found[2])) for found in kept if found]
    assert {trial.architecture["width"] for trial in trials} == {0.1}
    assert {trial.architecture["init"] for trial in trials} <= {"none", "trial:0@first"}
    assert all(trial.state == "complete" for trial in trials)
    for model in models:
        for name, weight in model.model.blocks.named_parameters():
            assert torch.equal(weight, begun_with.model.blocks.get_parameter(name))
    assert initial.trained_on is not None
    assert sorted(initial.trained_on) == [1, 2, 3, 4, 5]
