"""Tests go through public names; where one cannot, a comment `# Private: …` says why."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
_PRIVATE = re.compile(r"(?:^|\.)_(?!_)\w+$")


def uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of every private name of another module or object that is used."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _PRIVATE.match(node.attr):
            if not isinstance(node.value, ast.Name) or node.value.id not in {"self", "cls", "os", "sys"}:
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{each.name}" for each in node.names]
            yield from ((node.lineno, name) for name in names if "._" in name and ".__" not in name)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":
            for argument in node.args[:2]:
                if isinstance(argument, ast.Constant) and _PRIVATE.search(str(argument.value)):
                    yield node.lineno, str(argument.value)


def unexplained(source: str) -> list[tuple[int, str]]:
    """Uses in statements of a module, such as a function, that no comment inside or before explains."""
    tree, lines = ast.parse(source), source.splitlines()
    if "private" in (ast.get_docstring(tree) or ""):  # the subject of the whole module
        return []
    found, before = [], 0
    for node in tree.body:
        if not any("# Private: " in line for line in lines[before : node.end_lineno]):
            found += list(uses(node))
        before = node.end_lineno or before
    return found


def test_a_private_name_without_a_reason_is_found() -> None:
    used = "def test():\n    {}assert store._engine\n\ndef other():\n    monkeypatch.setattr('a.b._c', 1)\n"
    assert unexplained(used.format("")) == [(2, "_engine"), (5, "a.b._c")]
    assert unexplained(used.format("# Private: it is seen nowhere else.\n    ")) == [(6, "a.b._c")]
    assert unexplained(f'"""On private names."""\n{used.format("")}') == []


@pytest.mark.slow
def test_every_private_name_in_a_test_has_its_reason() -> None:
    wrong = [
        f"{path.relative_to(TESTS)}:{line} {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for line, name in unexplained(path.read_text("utf-8"))
    ]
    assert wrong == []
