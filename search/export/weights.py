"""The weights of an exported model: the files of its members in one safetensors file.

Tensors of member 1 begin with `member1.`; behind it are the names of `search.training.model_file`. The
metadata have the descriptions of all members as a JSON list, in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from search.errors import DataError
from search.export.folder import WEIGHTS
from search.training.model_file import DESCRIPTION, KeptModel, load_model, model_description


def join_members(contents: Sequence[bytes]) -> bytes:
    """One file of the files of several models, as `pack_model` makes them."""
    tensors = {
        f"member{number}.{name}": tensor
        for number, content in enumerate(contents, start=1)
        for name, tensor in load(content).items()
    }
    descriptions = [model_description(content) for content in contents]
    return save(tensors, metadata={DESCRIPTION: json.dumps(descriptions)})


def read_members(folder: Path) -> tuple[KeptModel, ...]:
    """The members of an exported model, as PyTorch has them.

    Raises:
        DataError: the file is missing or damaged, or a member needs the space file of its study.
    """
    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
        descriptions, tensors = model_description(content), load(content)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: export the model again") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}; export the model again") from None
    members = []
    for number, description in enumerate(descriptions, start=1):
        prefix = f"member{number}."
        own = {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
        members.append(load_model(save(own, metadata={DESCRIPTION: json.dumps(description)})))
    return tuple(members)
