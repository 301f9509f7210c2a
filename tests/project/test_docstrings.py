"""A docstring is a noun phrase or an imperative: it begins with neither a preposition nor a pronoun."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PREPOSITIONS = "As|At|By|In|Of|On|Over|To|With"
PRONOUNS = "Everybody|Its?|Nobody|So|Such|That|Their|They|Those|Who|Whoever|Whom"
FRAGMENT = re.compile(rf'^ *"""({PREPOSITIONS}|{PRONOUNS})\b', re.MULTILINE)
PERSON = re.compile(r'^ *"""(How|What|When|Where|Which|Who|Whose|Why|Asks|Knows|Says|Tells)\b', re.MULTILINE)
REWRITTEN = ("reports/findings/", "search/commands/")
"""Folders in which a docstring does not begin with a question or with what somebody says either."""


def fragments(source: str, name: str = "") -> list[str]:
    """First words of docstrings of modules, functions, classes and fields that begin as none should."""
    patterns = [FRAGMENT, PERSON] if name.startswith(REWRITTEN) else [FRAGMENT]
    return [match[1] for pattern in patterns for match in pattern.finditer(source)]


def test_a_fragment_is_found_in_modules_functions_classes_and_fields() -> None:
    source = '''"""Scores."""

class Score:
    """Of a trial."""

    value: float
    """With an interval."""
    text = """Of no docstring."""

    def ends(self):
        """Ends of the interval.

        Of these, the lower one comes first.
        """

    def share(self):
        """What of it counts."""
'''
    assert fragments(source, "scores/score.py") == ["Of", "With"]
    assert fragments(source, "search/commands/score.py") == ["Of", "With", "What"]


def test_docstrings_are_noun_phrases_or_imperatives() -> None:
    folders = [ROOT / name for name in ("reports", "scores", "search", "storage")]
    paths = [ROOT / "space.py", *(path for folder in folders for path in folder.rglob("*.py"))]
    assert len(paths) > 250
    names = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}
    assert {name: found for name, text in names.items() if (found := fragments(text, name))} == {}
