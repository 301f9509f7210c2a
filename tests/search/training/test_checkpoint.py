"""Checkpoints: training goes on bit by bit where it was interrupted; what is damaged is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from training_samples import TINY, Case, case, weights

from search.errors import TrainingError
from search.training import checkpoint
from search.training.fold import FoldTraining
from search.training.settings import TrainingSettings
from space import Architecture

STACKS = {
    "every layer": TINY,
    "convolutions only": Architecture(width=0.09375, head_width=16, label_tier="superclass"),
}


@pytest.fixture(scope="module")
def tiny() -> Case:
    return case()


def train(training: FoldTraining, n_epochs: int) -> list[float]:
    return [training.run_epoch()[0] for _ in range(n_epochs)]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("interrupted_after", [1, 3])
def test_interrupted_training_ends_exactly_where_undisturbed_training_does(
    tiny: Case, tmp_path: Path, architecture: Architecture, interrupted_after: int
) -> None:
    undisturbed = tiny.start(architecture)
    losses = train(undisturbed, 4)

    path = tmp_path / "fold.safetensors"
    before = tiny.start(architecture)
    train(before, interrupted_after)
    before.save(path)
    after = tiny.start(architecture)
    after.restore(path)
    assert after.epochs_done == interrupted_after
    assert np.array_equal(after.predict(), before.predict())

    assert train(after, 4 - interrupted_after) == losses[interrupted_after:]
    assert np.array_equal(after.predict(), undisturbed.predict())
    expected = weights(undisturbed)
    assert all(torch.equal(value, expected[name]) for name, value in weights(after).items())


def test_saving_does_not_disturb_training(tiny: Case, tmp_path: Path) -> None:
    quiet, saved = tiny.start(), tiny.start()
    train(quiet, 2)
    for _ in range(2):
        train(saved, 1)
        saved.predict()
        saved.save(tmp_path / "fold.safetensors")
    assert np.array_equal(quiet.predict(), saved.predict())


def test_a_checkpoint_holds_all_that_a_continuation_needs(tiny: Case, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "fold.safetensors"
    training = tiny.start()
    train(training, 2)
    training.save(path)
    tensors = load_file(path)
    names = {name.removeprefix("model.") for name in tensors if name.startswith("model.")}
    assert names == set(weights(training))
    assert int(tensors["epochs_done"]) == 2
    n_parameters = len(list(training.model.parameters()))
    for moment in ("step", "exp_avg", "exp_avg_sq"):
        assert sum(name.endswith(f".{moment}") for name in tensors) == n_parameters
    assert [file.name for file in path.parent.iterdir()] == ["fold.safetensors"]


@pytest.fixture
def written(tiny: Case, tmp_path: Path) -> Path:
    path = tmp_path / "fold.safetensors"
    training = tiny.start()
    train(training, 1)
    training.save(path)
    return path


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_refused(tiny: Case, written: Path, kept: int) -> None:
    written.write_bytes(written.read_bytes()[:kept])
    with pytest.raises(
        TrainingError, match=r"^checkpoint fold\.safetensors cannot be read: SafetensorError$"
    ):
        tiny.start().restore(written)


def test_bytes_that_are_no_checkpoint_are_refused(tiny: Case, tmp_path: Path) -> None:
    path = tmp_path / "fold.safetensors"
    path.write_bytes(b"\x80\x04not a checkpoint" * 50)
    with pytest.raises(TrainingError) as caught:
        tiny.start().restore(path)
    assert caught.value.kind == "error"


def test_what_the_file_system_says_is_no_damage(tiny: Case, tmp_path: Path) -> None:
    """The file may be whole, and is read again once the folder can be."""
    with pytest.raises(FileNotFoundError):
        tiny.start().restore(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        tiny.start().restore(tmp_path)


def test_state_that_the_optimiser_refuses_is_damage(
    tiny: Case, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(optimiser: torch.optim.Optimizer, state: object) -> None:
        raise ValueError("loaded state dict has a different number of parameter groups")

    training = tiny.start()
    monkeypatch.setattr(torch.optim.Optimizer, "load_state_dict", refuse)
    with pytest.raises(TrainingError, match=r"^checkpoint fold\.safetensors cannot be read: ValueError$"):
        training.restore(written)


def test_the_seconds_of_a_fold_go_on_with_it(tiny: Case, written: Path) -> None:
    training = tiny.start()
    training.restore(written)
    before = training.seconds
    assert before > 0
    assert training.record(*training.run_epoch()).seconds == training.seconds - before
    tensors = load_file(written)
    del tensors["seconds"]  # as earlier versions wrote it
    save_file(tensors, written)
    training = tiny.start()
    training.restore(written)
    assert (training.epochs_done, training.seconds) == (1, 0.0)


@pytest.mark.parametrize(
    "other",
    [
        Architecture(width=0.09375, head_width=16, label_tier="superclass"),
        Architecture(width=0.125, head_width=16, label_tier="superclass"),
        Architecture(width=0.09375, head_width=16, label_tier="all"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused(
    tiny: Case, written: Path, other: Architecture
) -> None:
    with pytest.raises(TrainingError, match=r"^checkpoint fold\.safetensors cannot be read: "):
        tiny.start(other).restore(written)


@pytest.mark.parametrize(
    ("name", "renamed"),
    [
        ("epochs_done", None),
        ("optimiser.0.exp_avg", "optimiser.first.exp_avg"),
        ("optimiser.0.exp_avg", "optimiser.999.exp_avg"),
        ("optimiser.0.exp_avg", "optimiser.0"),
    ],
)
def test_a_checkpoint_with_other_names_is_refused(
    tiny: Case, written: Path, name: str, renamed: str | None
) -> None:
    tensors = load_file(written)
    value = tensors.pop(name)
    if renamed is not None:
        tensors[renamed] = value
    save_file(tensors, written)
    with pytest.raises(TrainingError):
        tiny.start().restore(written)


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_failed_write_leaves_the_previous_checkpoint(
    tiny: Case, written: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    previous = written.read_bytes()
    training = tiny.start()
    train(training, 2)

    def fail(path: Path, *arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(checkpoint.Path, step, fail)
        with pytest.raises(OSError, match="No space left"):
            training.save(written)
    assert written.read_bytes() == previous
    assert [file.name for file in written.parent.iterdir()] == [written.name]


def test_optimiser_moments_lie_in_memory_like_their_weights(tiny: Case, written: Path) -> None:
    """A fused optimiser pairs them in memory order, and convolutions are channels-last."""
    training = tiny.start(settings=TrainingSettings(epochs=4, batch_size=16))
    training.restore(written)
    # Private: the layout in memory is seen nowhere else.
    for parameter, state in training._optimiser.state.items():
        assert state["exp_avg"].stride() == parameter.stride()
        assert state["exp_avg_sq"].stride() == parameter.stride()
