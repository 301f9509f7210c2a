"""severity.toml: what it says, what editing it does, and one line for every mistake."""

import csv
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from search.data.demo.tables import STATEMENTS_FILE
from search.data.labels.severity import SEVERITY_FILE, Severity, read_severity
from search.data.labels.tiers import Hierarchy
from search.data.readers.statements import read_statements
from search.errors import DataError

TEXT = SEVERITY_FILE.read_text(encoding="utf-8")
CRITICAL = 'statements = ["AFIB", "AFLT", "CLBBB", "CRBBB", "LVH", "PVC"]'
"""Stands in the schemes seed and seed-minor-147."""
AHA_MAJOR = "aha = [55, 88, 102, 107, 140, 141, 143, 148, 160, 161, 162, 163, 165, 30,"
"""All numbers of statements that are Major as others."""

MINE = 'source = "a"\nreview = "b"\ncomment = "c"\nothers = "x"'


def severity_with(tmp_path: Path, *changes: tuple[str, str]) -> Severity:
    """The file with the first occurrence of each text replaced."""
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "severity.toml"
    path.write_text(text, encoding="utf-8")
    return read_severity(path)


@pytest.fixture(scope="module")
def severity() -> Severity:
    return read_severity()


def test_every_statement_of_ptbxl_is_there(severity: Severity) -> None:
    codes = {statement.code for statement in read_statements(STATEMENTS_FILE.parent)}
    assert len(codes) == 71
    assert set(severity.aha) == codes
    for scheme in severity.schemes.values():
        listed = [code for level in scheme.levels for code in level.statements]
        assert sorted(listed) == sorted(codes)


def test_aha_numbers_are_those_of_ptbxl(severity: Severity) -> None:
    with STATEMENTS_FILE.open(encoding="utf-8", newline="") as file:
        published = {row[""]: row["AHA code"] for row in csv.DictReader(file)}
    assert {code: "" if number is None else str(number) for code, number in severity.aha.items()} == published
    assert sum(number is not None for number in severity.aha.values()) == 37
    primary = {code for code in severity.aha if severity.primary_of(code)}
    assert {code for code, number in severity.aha.items() if number} - primary == {
        "DIG", "ISC_", "ANEUR", "LOWT", "INVT", "STE_", "STD_",
    }  # fmt: skip


def test_the_default_is_table_2_of_the_seed(severity: Severity) -> None:
    """Levels by AHA number as Ichli (2025) prints them, as far as PTB-XL has the numbers."""
    blocks = {
        "benign": {1, 23, 147},
        "non-urgent": {21, 22, 30, 36, 82, 101, 105, 120, 121, 125, 145, 146},
        "urgent": {50, 51, 60, 104, 106, 142},
    }
    assert severity.scheme.name == "seed"
    of_number = {number: code for code, number in severity.aha.items() if number}
    for triage, numbers in blocks.items():
        for number in numbers & set(of_number):
            assert severity.level_of(of_number[number]).triage == triage
    listed = set().union(*blocks.values())
    unlisted = {code for code, number in severity.aha.items() if number not in listed} - {"SR"}
    assert {severity.level_of(code).name for code in unlisted} == {"major"}
    assert severity.level_of("SR").name == "normal"
    for triage, numbers in blocks.items():
        assert {severity.scheme.level_of_number(number).triage for number in numbers} == {triage}
    unlisted_numbers = set(range(1, 600)) - listed - {20}
    assert {severity.scheme.level_of_number(number).name for number in unlisted_numbers} == {"major"}


def test_readings_and_alternatives_say_what_they_are(severity: Severity) -> None:
    assert set(severity.schemes) == {"seed", "seed-minor-147", "clinical"}
    assert severity.schemes["clinical"].review == "not reviewed by a cardiologist"
    assert "are readings" in severity.schemes["seed"].comment
    level_of = {
        name: {code: level.name for level in scheme.levels for code in level.statements}
        for name, scheme in severity.schemes.items()
    }
    moved = {
        name: {code for code in level_of["seed"] if level_of[name][code] != level_of["seed"][code]}
        for name in level_of
    }
    assert moved["seed-minor-147"] == {"TAB_"}
    # Every statement that moves is named in the comment.
    assert len(moved["clinical"]) == 13
    assert all(code in severity.schemes["clinical"].comment for code in moved["clinical"])


@pytest.mark.parametrize("name", ["seed", "seed-minor-147", "clinical"])
def test_one_line_chooses_another_map(tmp_path: Path, name: str) -> None:
    severity = severity_with(tmp_path, ('scheme = "seed"', f'scheme = "{name}"'))
    hierarchy = Hierarchy(read_statements(STATEMENTS_FILE.parent), severity)
    expected = {"seed": ("normal", "critical"), "seed-minor-147": ("minor", "critical")}
    levels = hierarchy.labels("severity-4", [["TAB_"], ["PVC"]]).argmax(axis=1)
    found = tuple(hierarchy.classes("severity-4")[level] for level in levels)
    assert found == expected.get(name, ("minor", "major"))


def test_moving_a_statement_moves_its_records(tmp_path: Path) -> None:
    severity = severity_with(
        tmp_path,
        ('    "1AVB", "2AVB", "3AVB", "ABQRS"', '    "1AVB", "2AVB", "ABQRS"'),
        (CRITICAL, CRITICAL.replace("[", '["3AVB", ')),
        ("aha = [50,", "aha = [88, 50,"),
    )
    statements = read_statements(STATEMENTS_FILE.parent)
    before, after = Hierarchy(statements), Hierarchy(statements, severity)
    records = [["3AVB"], ["2AVB"], ["NORM"]]
    assert before.labels("severity-3", records).argmax(axis=1).tolist() == [1, 1, 0]
    assert after.labels("severity-3", records).argmax(axis=1).tolist() == [2, 1, 0]


def test_level_names_are_the_files(tmp_path: Path) -> None:
    severity = severity_with(tmp_path, ('triage = "benign"', 'triage = "home"'))
    hierarchy = Hierarchy(read_statements(STATEMENTS_FILE.parent), severity)
    assert hierarchy.classes("severity-3") == ("home", "non-urgent", "urgent")
    np.testing.assert_array_equal(
        hierarchy.projection("severity-4", "severity-3").children.sum(axis=0), [1, 2, 1]
    )


def test_identity_changes_with_labels_only(tmp_path: Path) -> None:
    original = read_severity().identity
    assert original.startswith("seed ")
    same = [
        ("sinus rhythm", "regular rhythm"),
        ('["NORM", "SARRH", "SR", "TAB_"]', '["TAB_", "NORM", "SARRH", "SR"]'),
        ("not reviewed by a cardiologist", "reviewed by nobody"),
    ]
    assert severity_with(tmp_path, *same).identity == original
    other = [
        [('name = "normal"', 'name = "fine"')],
        [('triage = "benign"', 'triage = "fine"')],
        [("NORM = 1 ", "NORM = 23 ")],
        [("aha = [1, 20,", "aha = [1, 2, 20,")],
        [('others = "major"', 'others = "minor"'), ("aha = [30,", AHA_MAJOR)],
        [
            ('"SBRAD", "STACH"', '"SBRAD"'),
            (CRITICAL, CRITICAL.replace("[", '["STACH", ')),
            ("aha = [21, 22]", "aha = [22]"),
            ("aha = [50,", "aha = [21, 50,"),
        ],
        [('scheme = "seed"', 'scheme = "clinical"')],
    ]
    found = {severity_with(tmp_path, *changes).identity for changes in other}
    assert len(found | {original}) == len(other) + 1


MISTAKES = {
    "unknown code": (
        [('STACH"]', 'STACH", "TACHY"]')],
        "scheme seed has the unknown code 'TACHY'; correct it, or add it to aha as well",
    ),
    "missing code": (
        [('"SARRH", "SR", "TAB_"]', '"SARRH", "TAB_"]')],
        "scheme seed lacks the code 'SR'; add it to one of the levels normal, minor, major, critical",
    ),
    "misspelt code": (
        [('"SARRH", "SR", "TAB_"]', '"SARRH", "SRR", "TAB_"]')],
        "scheme seed has the unknown code 'SRR'",
    ),
    "twice in a scheme": (
        [(CRITICAL, CRITICAL.replace("[", '["STACH", '))],
        "scheme seed has 'STACH' twice; leave it in one level",
    ),
    "three times": ([(CRITICAL, CRITICAL.replace("[", '["LVH", "LVH", '))], "scheme seed has 'LVH' 3 times"),
    "mapped and unmapped": (
        [("NORM = 1 ", "2AVB = 83\nNORM = 1 ")],
        "aha has '2AVB' twice; leave it in codes or in unmapped",
    ),
    "number out of range": (
        [("NORM = 1 ", "NORM = 0 ")],
        "aha.codes: NORM has 0, not an AHA number from 1 to 599",
    ),
    "number too high": ([("NORM = 1 ", "NORM = 600 ")], "aha.codes: NORM has 600, not an AHA number"),
    "number as text": ([("NORM = 1 ", 'NORM = "1" ')], "aha.codes: NORM has '1', not an AHA number"),
    "number as truth": ([("NORM = 1 ", "NORM = true ")], "aha.codes: NORM has True, not an AHA number"),
    "code not in quotes": (
        [('["SBRAD", "STACH"]', '["SBRAD", 21, "STACH"]')],
        "scheme seed, level 2, statements has 21, which is not an SCP code; write it in quotes",
    ),
    "no such scheme": (
        [('scheme = "seed"', 'scheme = "sed"')],
        "there is no scheme 'sed'; set scheme to one of seed, seed-minor-147, clinical",
    ),
    "no scheme": ([('scheme = "seed"', "")], "the file lacks the entry 'scheme'; add it"),
    "unknown entry": (
        [('triage = "benign"', 'triage = "benign"\nlevel = 3')],
        "scheme seed, level 1 has the unknown entry 'level'; it may have name, triage, aha, statements",
    ),
    "missing entry": ([('triage = "benign"\n', "")], "scheme seed, level 1 lacks the entry 'triage'; add it"),
    "entry of another kind": (
        [('triage = "benign"', "triage = 0")],
        "scheme seed, level 1: triage is 0, not a text; correct it",
    ),
    "empty text": ([('name = "normal"', 'name = ""')], "scheme seed, level 1: name is '', not a text"),
    "level name twice": (
        [('name = "minor"', 'name = "normal"')],
        "scheme seed has 'normal' twice; give each level a name of its own",
    ),
    "two triage levels": (
        [('triage = "benign"', 'triage = "non-urgent"')],
        "scheme seed has 2 different triage levels (non-urgent, urgent); severity-3 needs 3",
    ),
    "triage in pieces": (
        [('triage = "benign"', 'triage = "urgent"'), ('triage = "non-urgent"', 'triage = "benign"')],
        "scheme seed: triage goes urgent, benign, non-urgent, urgent; levels of the same triage must follow",
    ),
    "five levels": (
        [
            (
                "[schemes.seed-minor-147]",
                '[[schemes.seed.levels]]\nname = "dire"\ntriage = "urgent"\naha = []\nstatements = []\n\n'
                "[schemes.seed-minor-147]",
            )
        ],
        "scheme seed has 5 levels; severity-4 needs 4",
    ),
    "mistake in a scheme not chosen": (
        [('"PSVT", "SVTAC",\n]', '"PSVT",\n]')],
        "scheme clinical lacks the code 'SVTAC'",
    ),
    "number twice": ([("aha = [50,", "aha = [23, 50,")], "scheme seed has '23' twice; leave it in one level"),
    "level of a number that is none": (
        [("aha = [50,", "aha = [true, 50,")],
        "scheme seed, level 4: aha has True, not an AHA number from 1 to 599; correct it",
    ),
    "others that is no level": (
        [('others = "major"', 'others = "dire"')],
        "scheme seed: others is 'dire'; set it to one of the levels normal, minor, major, critical",
    ),
    "statement and number in two levels": (
        [("aha = [50,", "aha = [88, 50,")],
        "scheme seed has 3AVB in major and its AHA number 88 in critical; put both into one level",
    ),
    "code given twice": (
        [("NORM = 1 ", "NORM = 1\nNORM = 1 ")],
        "is not valid TOML: Cannot overwrite a value",
    ),
    "no TOML": ([("[aha]", "[aha")], "is not valid TOML: "),
    "scheme that is no table": (
        [("[aha]", "[schemes]\nmine = 3\n\n[aha]")],
        "scheme mine is 3, not a table; write [schemes.mine]",
    ),
    "level that is no table": (
        [("[aha]", f"[schemes.mine]\n{MINE}\nlevels = [1]\n\n[aha]")],
        "scheme mine, level 1 is 1, not a table with name, triage, aha and statements",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_in_one_line(tmp_path: Path, mistake: str) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(DataError) as error:
        severity_with(tmp_path, *changes)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "severity.toml"))
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"severity\.toml cannot be read: No such file"):
        read_severity(tmp_path / "severity.toml")
    (tmp_path / "severity.toml").write_bytes(b"scheme = '\xff'")
    with pytest.raises(DataError, match=r"severity\.toml is not UTF-8"):
        read_severity(tmp_path / "severity.toml")


def test_the_file_travels_with_the_package() -> None:
    root = Path(__file__).resolve().parents[4]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["*"]
    assert any(fnmatch(SEVERITY_FILE.name, pattern) for pattern in patterns)
