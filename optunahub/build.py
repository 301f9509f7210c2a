"""Packages for OptunaHub, made of this program's own modules: folders of its registry, ready to be submitted.

python optunahub/build.py --out DIR    # writes DIR/package/samplers/known_cost and …/pruners/cost_race

A package of the registry has to stand alone. So that there is one copy of the code, it is cut out of the
modules here: the names that a package offers, whatever they use, and nothing else, with imports of one
another made relative. README, example and what is offered are in the folders beside this file.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = Path(__file__).resolve().parent / "package"
OURS = ("search", "scores", "storage", "reports")
"""Packages of this program, which a package of the registry cannot import."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build all packages; returns the exit status."""
    parser = argparse.ArgumentParser(description="Make the packages for OptunaHub.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="registry to write into")
    options = parser.parse_args(arguments)
    for folder in sorted(PACKAGES.glob("*/*/")):
        print(build(folder, options.out / "package" / folder.relative_to(PACKAGES)))
    return 0


def build(folder: Path, out: Path) -> Path:
    """Write a package of the registry.

    Args:
        folder: its README, example and `__init__.py`, which imports what it offers from modules here.
        out: replaced if it is there.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "LICENSE", out / "LICENSE")
    offered = (folder / "__init__.py").read_text(encoding="utf-8")
    modules = needed(offered)
    (out / "__init__.py").write_text(within(offered, modules), encoding="utf-8")
    for module, names in modules.items():
        (out / f"{file_of(module)}.py").write_text(within(cut(module, names), modules), encoding="utf-8")
    return out


def file_of(module: str) -> str:
    """Name of the file of a module in a package: `_sampler_front` of `search.sampler.front`."""
    return "_" + "_".join(module.split(".")[-2:])


def needed(text: str) -> dict[str, set[str]]:
    """Modules of this program and the names in them that a text uses, directly or not."""
    found: dict[str, set[str]] = {}
    waiting = list(imported(ast.parse(text)))
    while waiting:
        module, name = waiting.pop()
        if name not in found.setdefault(module, set()):
            found[module].add(name)
            waiting += imported(ast.parse(cut(module, found[module])))
    return found


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Module and name of every import from this program."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            yield from ((str(node.module), alias.name) for alias in node.names)


def within(text: str, modules: Iterable[str]) -> str:
    """A text that imports modules, and speaks of them, under the names of their files."""
    for module in sorted(modules, key=len, reverse=True):
        text = re.sub(rf"\bfrom {re.escape(module)} import", f"from .{file_of(module)} import", text)
        text = re.sub(rf"`{re.escape(module)}\b", f"`{file_of(module)}", text)
    return text


def cut(module: str, names: set[str]) -> str:
    """The text of a module with some of its names, what they use, and the comments above them.

    Raises:
        KeyError: the module does not have a name.
    """
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    places = definitions(tree)
    kept: set[int] = set()
    waiting = [places[name] for name in names]
    while waiting:
        place = waiting.pop()
        if place not in kept:
            kept.add(place)
            waiting += [places[name] for name in used(tree.body[place]) if name in places]
    lines, wanted = text.splitlines(), names | kept_names(tree, kept)
    parts = []
    for place, node in enumerate(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            parts.append(_imports(node, wanted))
        elif _is_text(node) and place == 0:
            # What is said of a module need not be true of a small part of it.
            is_most = 2 * len(kept) > sum(not _is_text(each) for each in tree.body)
            parts.append(_source(lines, node) + "\n" if is_most else "")
        elif place in kept or (_is_text(node) and place - 1 in kept):
            parts.append(_source(lines, node))
    return "\n".join(part for part in parts if part) + "\n"


def definitions(tree: ast.Module) -> dict[str, int]:
    """Name to the place of the statement of a module that defines or imports it."""
    found: dict[str, int] = {}
    for place, node in enumerate(tree.body):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                found[node.name] = place
            case ast.Import() | ast.ImportFrom():
                found.update({(alias.asname or alias.name).split(".")[0]: place for alias in node.names})
            case ast.Assign():
                found.update({name: place for target in node.targets for name in used(target)})
            case ast.AnnAssign():
                found.update(dict.fromkeys(used(node.target), place))
    return found


def used(node: ast.AST) -> set[str]:
    """Every name within a statement."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def kept_names(tree: ast.Module, kept: set[int]) -> set[str]:
    """Every name within the statements that are kept, imports aside."""
    return {
        name
        for place in kept
        for name in used(tree.body[place])
        if not isinstance(tree.body[place], ast.Import | ast.ImportFrom)
    }


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a docstring: of the module, or of the constant before it."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _imports(node: ast.Import | ast.ImportFrom, names: set[str]) -> str:
    """An import of those names alone that are used."""
    aliases = [
        alias
        for alias in node.names
        if (alias.asname or alias.name).split(".")[0] in names
        or (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    ]
    if not aliases:
        return ""
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import(names=aliases))
    return ast.unparse(ast.ImportFrom(module=node.module, names=aliases, level=node.level))


def _source(lines: Sequence[str], node: ast.stmt) -> str:
    """Lines of a statement, with decorators and the comments directly above."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]) - 1
    while first and lines[first - 1].startswith("#"):
        first -= 1
    gap = "\n\n" if isinstance(node, ast.FunctionDef | ast.ClassDef) else ""
    return gap + "\n".join(lines[first : node.end_lineno])


if __name__ == "__main__":
    sys.exit(main())
