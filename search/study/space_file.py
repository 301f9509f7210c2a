"""A space in a Python file with the vocabulary of `space`: `--space FILE.py`, or NAME of `search/spaces`.

The file adds entries to the registries of `space` (CELLS, FRONT_ENDS, LOSSES, …), and defines the space:

    SPACE = space.extend("wide", cell=("lstm", "gru", "mingru"))

It is a program, and runs whenever a study is trained or evaluated with it. A study keeps the digest of its
content, and is only continued with the same content: another file may mean another cell by the same name.
Modules that the file imports are not part of the digest.

A study also keeps the values of its axes: a later version of the program may change the values of its spaces,
and with them those of a file that extends one; the study is continued with the values it was made with.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.abc
import importlib.util
import itertools
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import space
from search.errors import StudyMismatchError, UsageError

if TYPE_CHECKING:
    from search.models.hybrid import HybridModel
    from storage import StudyRecord

SPACE_FILE = "space_file"
"""Setting of a study that has the digest of its space file."""
SPACE_WORDS = "space_words"
"""Setting of a study that has the words of what its space file added, for reports without the file."""
AXES = "axes"
"""Setting of a study that has the values of every axis but the label tier; older studies have none."""
_MODULE = "space_file_in_use"
FOLDER = Path(__file__).parents[1] / "spaces"
"""Space files of the program; `--space NAME` is the one of that name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenSpace:
    """Space chosen by `--space`."""

    name: str
    """A key of `space.SPACES`."""
    axes: space.Axes
    """Values of every axis but the label tier."""
    file: Path | None = None
    """None for a space of the program."""
    digest: str | None = None
    """Digest of the content of the file; None for a space of the program."""
    extends_former: bool = False
    """Whether the file was run with `space.FORMER_SPACES`."""
    words: tuple[tuple[str, str, str], ...] = ()
    """(registry, name, words) of every entry that the file added."""

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a study for its space."""
        kept: dict[str, Any] = {AXES: {name: list(values) for name, values in self.axes.items()}}
        if self.digest is not None:
            kept |= {SPACE_FILE: self.digest, SPACE_WORDS: [list(entry) for entry in self.words]}
        return kept


def named_space(choice: str) -> ChosenSpace:
    """The space that `--space` names; a file is run, and its entries replace those of another file.

    A file of the program is named without its suffix.

    Raises:
        UsageError: there is no such space or file, or the file has a mistake; the message has file and line.
    """
    if choice in space.SPACES and (_in_use is None or choice != _in_use.name):
        return ChosenSpace(name=choice, axes=space.PUBLISHED | space.SPACES[choice])
    if choice.endswith(".py"):
        return _load(Path(choice))
    if choice in program_files():
        return _load(FOLDER / f"{choice}.py")
    known = [*(name for name in space.SPACES if not name.endswith(".py")), *program_files()]
    raise UsageError(f"unknown space {choice!r}: choose from {', '.join(known)}, or name a file FILE.py")


def program_files() -> list[str]:
    """Names of the space files of the program."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def use_space_of(study: StudyRecord, choice: str | None) -> None:
    """Make sure that the architectures of a study can be built: load its space file, if it has one.

    Raises:
        UsageError: the file cannot be used.
        StudyMismatchError: the study needs a file and none or another one was named.
    """
    check_space(study, None if choice is None else named_space(choice))


def check_space(study: StudyRecord, chosen: ChosenSpace | None) -> None:
    """Make sure that a study was made with this space.

    Raises:
        StudyMismatchError: it was not; the message names the remedy.
    """
    made_with = study.settings.get(SPACE_FILE)
    if made_with is not None and (chosen is None or chosen.digest is None):
        name = study.space.removesuffix(".py")
        advice = f"--space {name}" if name in program_files() else "that file with --space FILE.py"
        raise StudyMismatchError(
            f"study {study.name} was made with the space file {study.space} (digest {made_with}): "
            f"give {advice}"
        )
    if chosen is None or (made_with is not None and chosen.digest == made_with):
        return
    if made_with is not None:
        raise StudyMismatchError(
            f"study {study.name} was made with the space file {study.space} of digest {made_with}, "
            f"{chosen.name} has digest {chosen.digest}: give the file as it was then, or choose another "
            "--study"
        )
    if chosen.name != study.space:
        raise StudyMismatchError(
            f"study {study.name} was made with --space {study.space}, not {chosen.name}: "
            "leave --space out to continue it, or choose another --study"
        )


def as_made(study: StudyRecord, chosen: ChosenSpace) -> ChosenSpace:
    """The space of a study with the axes that it was made with.

    Args:
        study: made with the space of that name, or with that file.
        chosen: the space as it is now.

    Raises:
        StudyMismatchError: the study has an axis or a value that this version does not know.
        UsageError: its file cannot be used.
    """
    stored = study.settings.get(AXES)
    if stored is None and chosen.file is not None:
        return _load(chosen.file, former=True)
    if stored is None:
        return replace(chosen, axes=space.FORMER_SPACES.get(chosen.name, chosen.axes))
    try:
        return replace(chosen, axes=space.PUBLISHED | space.stored_values(stored))
    except space.SpaceError as error:
        raise StudyMismatchError(
            f"study {study.name} has axes that this version does not know ({error}): continue it with the "
            "version that made it, or choose another --study"
        ) from error


# ---------------------------------------------------------------------------------------------------------
# Running the file

_in_use: ChosenSpace | None = None
_added: list[tuple[MutableMapping[str, Any], str]] = []
"""Registry and name of every entry that the file in use added."""


def _registries() -> dict[str, MutableMapping[str, Any]]:
    names = ("AXES", "CELLS", "FRONT_ENDS", "LOSSES", "FILTERS", "AUGMENTATIONS", "SAMPLINGS", "RECIPES")
    return {name: getattr(space, name) for name in (*names, "PRESETS")}


def forget_file() -> None:
    """Take the entries of the file in use out of the registries."""
    global _in_use  # noqa: PLW0603
    while _added:
        registry, name = _added.pop()
        registry.pop(name, None)
    _in_use = None


def _load(path: Path, *, former: bool = False) -> ChosenSpace:
    """Run the file; `former` lets it extend the spaces that were before studies kept their axes."""
    global _in_use  # noqa: PLW0603
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--space {path}: the file cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(content).hexdigest()[:16]
    wanted = (path.name, digest, former)
    if _in_use is not None and (_in_use.name, _in_use.digest, _in_use.extends_former) == wanted:
        return _in_use
    forget_file()
    before = {name: dict(registry) for name, registry in _registries().items()}
    spaces = dict(space.SPACES)
    try:
        with _former_spaces() if former else contextlib.nullcontext():
            axes = _searched(path, content)
        _check_kept(path, {**before, "SPACES": spaces})
        _note_added(before)
        for registry, name in _added:
            _try(path, content, name, registry[name])
    except UsageError:
        _note_added(before)
        forget_file()
        raise
    words = tuple(
        (key, name, str(registry[name].words))
        for key, registry in _registries().items()
        for owner, name in _added
        if owner is registry and hasattr(registry[name], "words")
    )
    space.SPACES[path.name] = axes
    _added.append((space.SPACES, path.name))
    _in_use = ChosenSpace(
        name=path.name,
        axes=space.PUBLISHED | axes,
        file=path,
        digest=digest,
        words=words,
        extends_former=former,
    )
    return _in_use


@contextlib.contextmanager
def _former_spaces() -> Iterator[None]:
    present = dict(space.SPACES)
    space.SPACES.update(space.FORMER_SPACES)
    try:
        yield
    finally:
        space.SPACES.update(present)


def _check_kept(path: Path, before: Mapping[str, dict[str, Any]]) -> None:
    """Refuse a file that takes away or replaces what was there, which studies of other spaces rely on.

    Raises:
        UsageError: names the first; everything is as it was before.
    """
    for key, entries in before.items():
        registry: MutableMapping[str, Any] = getattr(space, key)
        for name, entry in entries.items():
            if registry.get(name) is not entry:
                added = {other: registry[other] for other in registry if other not in entries}
                stored = registry.data if isinstance(registry, space.Registry) else registry
                stored.clear()
                stored.update(entries | added)
                raise UsageError(
                    f"{path}: the file takes {name} out of space.{key} or replaces it: leave what is there "
                    "as it is, and leave it out of SPACE"
                )


def _note_added(before: Mapping[str, Mapping[str, Any]]) -> None:
    noted = [name for _, name in _added]
    for key, registry in _registries().items():
        _added.extend((registry, name) for name in registry if name not in before[key] and name not in noted)


class _Source(importlib.abc.InspectLoader):
    """Loader of exactly the content that was read: no compiled file is used or written."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self._content = content

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._content)

    def get_code(self, fullname: str) -> types.CodeType:
        return self.source_to_code(self._content, str(self._path))


def _searched(path: Path, content: bytes) -> dict[str, tuple[space.Choice, ...]]:
    """Values of all axes by the file.

    Raises:
        UsageError: whatever goes wrong in the file.
    """
    if path.name in ("wide.py", "paper.py", "full.py"):
        raise UsageError(
            f"--space {path}: the file has the name of a space of the program: choose another name"
        )
    spec = importlib.util.spec_from_loader(_MODULE, _Source(path, content), origin=str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[_MODULE] = module  # which dataclasses of the file look for
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output may be for one JSON document
            spec.loader.exec_module(module)
    except SyntaxError as error:
        line = error.lineno if error.filename == str(path) else _line_of_error(path, error)
        raise UsageError(f"{path}, line {line or 1}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise _explained(path, _line_of_error(path, error), error) from error
    found = getattr(module, "SPACE", None)
    if not isinstance(found, dict) or not set(space.PUBLISHED) <= set(found):
        line = _line_of(content, "SPACE")
        raise UsageError(
            f"{path}, line {line}: the file must define its space by SPACE = space.extend('wide', "
            f"AXIS=(…), …), got {'nothing' if found is None else repr(found)[:60]}"
        )
    return found


def _explained(path: Path, line: int, error: BaseException, what: str = "") -> UsageError:
    kind = "" if isinstance(error, space.SpaceError) else f"{type(error).__name__}: "
    message = " ".join(str(error).split()) or "no message"
    return UsageError(f"{path}, line {line}: {what}{kind}{message}")


def _line_of_error(path: Path, error: BaseException) -> int:
    """Line of the file in which an error arose; 1 if it did not come by there."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return lines[-1] if lines and lines[-1] is not None else 1


def _line_of(content: bytes, name: str) -> int:
    """First line where a variable or a key of this name is written; the last line if it is nowhere."""
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and node.value == name:
            return node.lineno
        if isinstance(node, ast.Name) and node.id == name:
            return node.lineno
    return max(1, content.count(b"\n"))


# ---------------------------------------------------------------------------------------------------------
# Trying what it added


def _try(path: Path, content: bytes, name: str, entry: Any) -> None:
    """Try an entry on a small example, so that a mistake in it is reported before anything is trained.

    Raises:
        UsageError: it does not fulfil the contract of its kind.
    """
    kind = type(entry).__name__
    try:
        for field in fields(entry):
            value = getattr(entry, field.name)
            if field.type == "Code" and isinstance(value, str):
                space.load_code(value)
        for problem in _TRIALS.get(type(entry), _nothing)(name, entry):
            raise space.SpaceError(problem)
    except Exception as error:
        line = _line_of_error(path, error)
        line = _line_of(content, name) if line == 1 else line
        raise _explained(path, line, error, f"{kind} {name}: ") from error


def _nothing(name: str, entry: Any) -> Iterator[str]:
    return iter(())


def _try_axis(name: str, axis: space.Axis) -> Iterator[str]:
    if axis.of != "loss":
        yield "an axis that a space file adds is a parameter of a loss: of='loss'"
    if name in space.Architecture.__dataclass_fields__:
        yield "a field of the architecture has this name: choose another one"
    space.checked_values({name: axis.paper})


def _try_cell(name: str, cell: space.Cell) -> Iterator[str]:
    import torch

    from search.models.costs import costs_of
    from search.models.sequence import recurrent_module

    for bidirectional in (False, True):
        layer = space.RecurrentLayer(cell=name, bidirectional=bidirectional)
        module = recurrent_module(layer, 12, 8)
        has = sum(parameter.numel() for parameter in module.parameters())
        counted = layer.n_directions * cell.parameters(12, 8)
        if has != counted:
            yield f"a {layer} of 8 units on 12 features has {has} parameters, `parameters` says {counted}"
        shape = tuple(module(torch.zeros(2, 5, 12)).shape)
        if shape != (2, 5, 8 * layer.n_directions):
            yield f"hidden states of a {layer} of 8 units have shape {shape} for signals (2, 5, 12)"
        architecture = space.Architecture(recurrent=(layer,), hidden_size=8, width=0.0625)
        _build(architecture)
        costs_of(architecture, 5)


def _try_front_end(name: str, front_end: space.FrontEnd) -> Iterator[str]:
    import torch

    from search.models.costs import costs_of
    from search.models.frontends.layers import length_after, width_after
    from search.models.parameters import front_end_layers

    kernels, strides = front_end.kernels or (None,), front_end.strides or (None,)
    for kernel, stride in itertools.product(kernels, strides):
        architecture = space.Architecture(backbone=name, kernel=kernel, stride=stride)
        layers = front_end_layers(architecture, space.N_LEADS)
        blocks = _build(architecture).blocks
        shape = tuple(blocks.eval()(torch.zeros(2, space.N_LEADS, 1, 500)).shape)
        declared = (2, width_after(layers, space.N_LEADS), 1, length_after(layers, 500))
        if shape != declared:
            yield f"what leaves its layers has shape {shape} for 500 samples, they say {declared}"
        costs_of(architecture, 5)


def _build(architecture: space.Architecture) -> HybridModel:
    """The model, which is refused if its parameters are other than counted, or not all set."""
    import torch

    from search.models.hybrid import build_model

    return build_model(architecture, 5, generator=torch.Generator())


def _try_loss(name: str, loss: space.Loss) -> Iterator[str]:
    import torch

    y_NC = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    for parameter in loss.parameters:
        if parameter not in space.AXES or space.AXES[parameter].of != "loss":
            yield f"its parameter {parameter} is no axis: add AXES[{parameter!r}] = Axis(of='loss', …)"
    parameters = {parameter: space.AXES[parameter].paper[0] for parameter in loss.parameters}
    architecture = space.Architecture.of({"loss": name, **parameters})
    architecture.describe()
    values = {parameter: architecture.value(parameter) for parameter in loss.parameters}
    z_NC = torch.zeros_like(y_NC, requires_grad=True)
    mean = space.load_code(loss.make)(y_NC, exclusive=False, **values)(z_NC, y_NC)
    if not isinstance(mean, torch.Tensor) or mean.shape or not torch.isfinite(mean):
        yield f"the loss of logits and targets is one finite number, got {mean!r}"


def _try_sampling(name: str, sampling: space.Sampling) -> Iterator[str]:
    import torch

    y_NC = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    weight_N = space.load_code(sampling.weights)(y_NC)
    if not isinstance(weight_N, torch.Tensor) or weight_N.shape != (3,):
        yield f"its weights are a tensor of one number a record, got {weight_N!r} for 3 records"
    elif not (torch.isfinite(weight_N).all() and weight_N.min() >= 0 and weight_N.max() > 0):
        yield f"its weights are finite, none below 0 and not all 0, got {weight_N.tolist()}"


_TRIALS: dict[type, Callable[[str, Any], Iterator[str]]] = {
    space.Axis: _try_axis,
    space.Cell: _try_cell,
    space.FrontEnd: _try_front_end,
    space.Loss: _try_loss,
    space.Sampling: _try_sampling,
}
