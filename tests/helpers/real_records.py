"""Real records: those of tests/assets, and counts of any PTB-XL folder made without the project's readers."""

import ast
import csv
import json
from pathlib import Path
from typing import Any

import pytest

ASSETS = Path(__file__).resolve().parents[1] / "assets"

ptbxl_folders = pytest.mark.parametrize(
    "ptbxl",
    [
        "part",
        pytest.param("ptb-xl-sample", marks=pytest.mark.needs_data),
        pytest.param("ptb-xl-labels", marks=[pytest.mark.needs_data, pytest.mark.slow]),
    ],
    indirect=True,
)
"""Runs a test that takes `ptbxl` on the records of tests/assets, and on all that are at hand."""

TIERS = ("superclass", "subclass", "diagnostic", "all", "form", "rhythm")


def counts(folder: Path) -> dict[str, Any]:
    """Positives of every tier, class and the sealed fold, straight from the two tables.

    Where the folder has a `counts.json`, which somebody else computed, both must agree.
    """
    with (folder / "scp_statements.csv").open(encoding="utf-8", newline="") as file:
        statements = {row[""]: row for row in csv.DictReader(file)}
    with (folder / "ptbxl_database.csv").open(encoding="utf-8", newline="") as file:
        records = [(row["strat_fold"], ast.literal_eval(row["scp_codes"])) for row in csv.DictReader(file)]
    found = {}
    for tier in TIERS:
        labels = [(fold, {_class(statements[code], code, tier) for code in codes}) for fold, codes in records]
        sets = [(fold, names - {None}) for fold, names in labels]
        every = [name for _, names in sets for name in names]
        sealed = [names for fold, names in sets if fold == "10"]
        found[tier] = {
            "records": len(sets),
            "ones": len(every),
            "classes": {name: every.count(name) for name in sorted(set(every))},
            "unlabelled": sum(not names for _, names in sets),
            "fold10": {
                "rows": len(sealed),
                "ones": sum(map(len, sealed)),
                "all_zero": sum(not names for names in sealed),
            },
        }
    published = folder / "counts.json"
    if published.is_file():
        assert found == json.loads(published.read_text(encoding="utf-8"))
    return found


def _class(statement: dict[str, str], code: str, tier: str) -> str | None:
    """Class of a statement, which has one where its kind is marked with a 1."""
    kind = {"superclass": "diagnostic", "subclass": "diagnostic"}.get(tier, tier)
    if kind != "all" and statement[kind] != "1.0":
        return None
    if tier in ("superclass", "subclass"):
        return statement[{"superclass": "diagnostic_class", "subclass": "diagnostic_subclass"}[tier]]
    return code
