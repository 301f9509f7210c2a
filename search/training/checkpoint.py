"""Checkpoints of a fold in training: one safetensors file, replaced atomically."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from search.errors import TrainingError
from search.training.schedule import EarlyStopping, Plateau
from storage.files import write_whole


def write_checkpoint(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    epochs_done: int,
    seconds: float,
    stopping: EarlyStopping,
    plateau: Plateau,
) -> None:
    """Write weights, optimiser state, the epochs done, the seconds they took and the state of both watchers.

    The file appears whole or not at all: a process killed while writing leaves the previous one.
    """
    tensors = {
        "epochs_done": torch.tensor(epochs_done),
        "seconds": torch.tensor(seconds, dtype=torch.float64),
    }
    tensors |= {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimiser.{index}.{name}"] = value.contiguous()
    tensors |= {f"stopping.{name}": value.contiguous() for name, value in stopping.state().items()}
    tensors |= {f"plateau.{name}": value for name, value in plateau.state().items()}
    write_whole(path, save(tensors))


def read_checkpoint(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    stopping: EarlyStopping,
    plateau: Plateau,
) -> tuple[int, float]:
    """Restore what `write_checkpoint` wrote.

    Returns:
        The number of epochs done, and the seconds they took; 0 s if an earlier version wrote the file.

    Raises:
        TrainingError: the file is damaged or does not fit the model.
        OSError: it cannot be read, and may be whole.
    """
    content = path.read_bytes()
    try:
        tensors = load(content)
        epochs_done = int(tensors["epochs_done"])
        seconds = float(tensors.get("seconds", 0.0))
        model.load_state_dict(_below("model.", tensors))
        trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        state = _moments(_below("optimiser.", tensors), trained)
        stopping.load(_below("stopping.", tensors))
        plateau.load(_below("plateau.", tensors))
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    except (SafetensorError, RuntimeError, KeyError, IndexError, ValueError) as error:
        raise TrainingError(
            "error", f"checkpoint {path.name} cannot be read: {type(error).__name__}"
        ) from error
    return epochs_done, seconds


def _moments(tensors: dict[str, Tensor], parameters: list[nn.Parameter]) -> dict[int, dict[str, Tensor]]:
    """Optimiser state per parameter, laid out in memory like the parameter.

    A fused optimiser walks over weights and moments in memory order: moments of a channels-last convolution
    in another order would be paired with the wrong weights, silently.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, moment = name.split(".", 1)
        is_count = not value.dim()  # of steps
        like = value if is_count else parameters[int(index)]
        state.setdefault(int(index), {})[moment] = torch.empty_like(like, requires_grad=False).copy_(value)
    return state


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
