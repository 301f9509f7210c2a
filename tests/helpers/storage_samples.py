"""Records and small steps shared by the tests of `storage`."""

import warnings
from collections.abc import Sequence
from typing import Any

import optuna

import storage

NAN = float("nan")
CLASSES = {"superclass": ("CD", "HYP", "MI"), "subclass": ("AMI", "IMI", "LVH", "STTC")}


def study_record(name: str = "first", **changes: Any) -> storage.StudyRecord:
    values: dict[str, Any] = {
        "name": name,
        "target": "superclass",
        "space": "wide",
        "data_name": "demo",
        "data_version": "SYNTHETIC",
        "data_fingerprint": "ab" * 32,
        "synthetic": True,
        "rate_hz": 100,
        "n_records": 1200,
        "n_patients": 1100,
        "settings": {"epochs": 6, "lr": 0.002, "seed": None, "preset": "µV ✓"},
        "tier_classes": CLASSES,
        "skipped_records": ({"ecg_id": 7, "filename": "records100/00000/00007_lr", "reason": "flat"},),
    }
    return storage.StudyRecord(**(values | changes))


def worker_record(**changes: Any) -> storage.WorkerRecord:
    values: dict[str, Any] = {
        "host": "box",
        "process_id": 4242,
        "process_started_at": 1234.5,
        "device": "cpu",
        "command": "python -m search run --trials 12",
        "versions": {"torch": "2.13.0", "optuna": "5.0.0"},
        "commit": None,
    }
    return storage.WorkerRecord(**(values | changes))


def epoch_record(fold: int = 1, epoch: int = 1, **changes: Any) -> storage.EpochRecord:
    values = {"training_loss": 0.25, "score": 0.5, "seconds": 2.0}
    return storage.EpochRecord(fold=fold, epoch=epoch, **(values | changes))


def evaluation_record(study: str = "first", **changes: Any) -> storage.Evaluation:
    """Two seeds of one small model, the second of which stopped early."""

    def model(seed: int, epochs: int) -> storage.EvaluatedModel:
        return storage.EvaluatedModel(
            name="trial 3",
            weight=1.0,
            seed=seed,
            architecture={"depth": 1},
            parameters=4321,
            label_tier="subclass",
            n_training=800,
            epochs_trained=epochs,
            seconds=12.5,
            file=f"model-{seed}",
            curve=tuple(epoch_record(5, epoch, validation_loss=1 / epoch) for epoch in range(1, epochs + 1)),
        )

    values: dict[str, Any] = {
        "model": "trial 3",
        "trial": 3,
        "preset": None,
        "ensemble": None,
        "parameters": 4321,
        "label_tier": "subclass",
        "fit": "1-8",
        "seeds": (0, 1),
        "records": "fold 10",
        "external": False,
        "data_name": "demo",
        "data_version": "SYNTHETIC",
        "data_fingerprint": "cd" * 32,
        "synthetic": True,
        "exclusive_tiers": ("severity-3",),
        "ordinal_tiers": ("severity-3",),
        "predictions": {"test": ("test-0", "test-1"), "validation": ("validation-0", "validation-1")},
        "thresholds": {"superclass": ((0.5, 0.25, 0.125), (0.5, 0.5, 0.0))},
        "thresholds_from": "fold 9",
        "metrics": {"superclass_macro_auprc": 0.5, "superclass_macro_auroc": NAN},
        "opening": None,
        "device": "cpu",
        "commit": None,
        "models": (model(0, 2), model(1, 1)),
    }
    return storage.Evaluation(study=study, **(values | changes))


def tier_scores(tier: str, macro_auprc: float = 0.5) -> storage.TierScores:
    """Scores whose last class has no positive."""
    n_classes = len(CLASSES[tier])
    return storage.TierScores(
        metrics={"macro_auprc": macro_auprc, "macro_auroc": 0.75, "n_undefined": 1.0},
        class_metrics={
            "auprc": (macro_auprc,) * (n_classes - 1) + (NAN,),
            "n_positive": (9.0,) * (n_classes - 1) + (0.0,),
        },
    )


def fold_record(fold: int = 1, macro_auprc: float = 0.5, **changes: Any) -> storage.FoldRecord:
    values: dict[str, Any] = {
        "n_training": 800,
        "n_validation": 200,
        "seconds": 30.0,
        "scores": {tier: tier_scores(tier, macro_auprc) for tier in CLASSES},
        "predictions": f"artifact-{fold}",
    }
    return storage.FoldRecord(fold=fold, **(values | changes))


def decision_record(**changes: Any) -> storage.DecisionRecord:
    values: dict[str, Any] = {
        "fold": 3,
        "epoch": 6,
        "rival": 0,
        "needed": 0.6,
        "predicted": 0.5,
        "standard_error": 0.01,
        "pruned": True,
        "reason": "trails trial 0 by .100 ± .010",
        "probability": 0.03,
    }
    return storage.DecisionRecord(**(values | changes))


def optuna_study(store: storage.Store, name: str = "first") -> optuna.Study:
    return store.optuna_study(name, optuna.samplers.RandomSampler(seed=0))


def start_trial(store: storage.Store, name: str = "first") -> int:
    """Optuna's number of a new running trial (or of the first one that waited)."""
    return ask(optuna_study(store, name)).number


def ask(study: optuna.Study) -> optuna.Trial:
    """A new running trial, or the first one that waited."""
    with warnings.catch_warnings():
        # "Heartbeat of storage is supposed to be used with Study.optimize": here nothing can go stale.
        warnings.filterwarnings("ignore", message="Heartbeat of storage", category=UserWarning)
        return study.ask()


def end_trial(
    store: storage.Store, number: int, state: str, values: Sequence[float] | None = None, name: str = "first"
) -> None:
    optuna_study(store, name).tell(number, values, state=optuna.trial.TrialState[state])


def claim(
    store: storage.Store, number: int, letter: str = "a", name: str = "first", **changes: Any
) -> int | None:
    values: dict[str, Any] = {
        "architecture_hash": letter * 8,
        "architecture": {"layers": [{"cell": "lstm", "bidirectional": True}], "gate": None},
        "description": f"CNN → BiLSTM(128), variant {letter}",
        "parameters": 3_000_000_000,
        "label_tier": "superclass",
    }
    options = {option: changes.pop(option) for option in ("previous", "thaw") if option in changes}
    return store.claim(name, storage.Claim(number=number, **(values | changes)), **options)


def claimed_trial(store: storage.Store, letter: str = "a", **changes: Any) -> tuple[int, int]:
    """Row id and number of a running trial that has an architecture."""
    number = start_trial(store)
    trial_id = claim(store, number, letter, **changes)
    assert trial_id is not None
    return trial_id, number


def kept_models(store: storage.Store, number: int, study: str = "fake") -> dict[int, bytes]:
    """The models of a trial by fold, as optuna-dashboard offers them."""
    trial = store.optuna_study(study).trials[number]
    found = {}
    for each in optuna.artifacts.get_all_artifact_meta(trial, storage=store.optuna_storage):
        if each.filename.endswith(".safetensors"):
            fold = int(each.filename.removesuffix(".safetensors").rpartition("-")[2])
            with store.artifact_store.open_reader(each.artifact_id) as reader:
                found[fold] = reader.read()
    return found
