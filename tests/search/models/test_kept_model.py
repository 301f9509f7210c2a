"""A trained model in a file: it says what it said in training, and nothing else is taken for one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from training_samples import CPU, TINY, Case, case, development

from search.data.feature_table import load_features
from search.data.folds import cv_folds
from search.errors import DataError
from search.training.device_data import DeviceData
from search.training.model_file import FORMAT, KeptModel, load_model


def with_features(folder: Path) -> Case:
    """Ten seconds a record, without which there is no rhythm."""
    data = development(n_records=36, n_samples=1000)
    folds = cv_folds(data.strat_fold, data.fold_plan)
    return Case(data=data, on_device=DeviceData(data, CPU, cache_dir=folder), folds=folds)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "filtered", "features"])
def test_it_predicts_what_it_predicted_in_training(name: str, tmp_path: Path) -> None:
    sample = with_features(tmp_path) if name == "features" else case()
    architecture = {
        "plain": TINY,
        "filtered": replace(TINY, filter="bandpass", label_tier="all"),
        "features": replace(TINY, features=True),
    }[name]
    training = sample.start(architecture, fold=2)
    training.run_epoch()
    kept = load_model(training.packed(sample.data))
    rows = sample.folds[1].validation
    x_NLT = np.asarray(sample.data.x_NLT[rows])
    f_NK = load_features(sample.data, cache_dir=tmp_path)[rows] if architecture.features else None
    # A filter sees one record at a time, so that it does not matter what else there is.
    np.testing.assert_array_equal(kept.predict(x_NLT, f_NK), training.predict())
    assert kept.architecture == architecture
    assert kept.classes == sample.data.hierarchy.classes(architecture.label_tier)
    assert (kept.leads, kept.rate_hz) == (sample.data.leads, 100)
    assert kept.n_samples == sample.data.x_NLT.shape[2]


@pytest.fixture(scope="module")
def content() -> bytes:
    sample = case()
    return sample.start().packed(sample.data)


@pytest.fixture(scope="module")
def kept(content: bytes) -> KeptModel:
    return load_model(content)


def test_no_records_have_no_predictions(kept: KeptModel) -> None:
    assert kept.predict(np.empty((0, 12, 64), np.int16)).shape == (0, len(kept.classes))


@pytest.mark.parametrize(
    "x_NLT", [np.zeros((2, 12, 64), np.float32), np.zeros((2, 8, 64), np.int16), np.zeros((12, 64), np.int16)]
)
def test_signals_of_another_kind_are_refused(kept: KeptModel, x_NLT: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"expected int16 microvolts of shape \(records, 12 leads, samples\)"):
        kept.predict(x_NLT)


@pytest.mark.slow
def test_features_are_asked_for(tmp_path: Path) -> None:
    sample = with_features(tmp_path)
    kept = load_model(sample.start(replace(TINY, features=True)).packed(sample.data))
    with pytest.raises(DataError, match="features of all 2 records"):
        kept.predict(np.zeros((2, 12, 1000), np.int16))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_a_file_that_was_cut_is_refused(content: bytes, share: float) -> None:
    with pytest.raises(DataError, match="not the file of a trained model, or damaged"):
        load_model(content[: int(share * len(content))])


def described(content: bytes, **changes: object) -> bytes:
    """The same file with another description."""
    n_bytes = int.from_bytes(content[:8], "little")
    description = json.loads(json.loads(content[8 : 8 + n_bytes])["__metadata__"]["ecg"])
    return save(load(content), metadata={"ecg": json.dumps({**description, **changes})})


@pytest.mark.parametrize(
    "changes", [{"architecture": {"recurrent": "transformer"}}, {"classes": ["MI"]}, {"leads": None}]
)
def test_a_description_that_does_not_fit_is_refused(content: bytes, changes: dict[str, object]) -> None:
    assert load_model(described(content)).classes
    with pytest.raises(DataError, match="not the file of a trained model, or damaged"):
        load_model(described(content, **changes))


def test_a_newer_file_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=f"format {FORMAT + 1}, this version reads {FORMAT}: update it"):
        load_model(described(content, format=FORMAT + 1))


def test_other_safetensors_are_refused() -> None:
    with pytest.raises(DataError, match="not the file of a trained model"):
        load_model(save({"x": torch.zeros(3)}))
