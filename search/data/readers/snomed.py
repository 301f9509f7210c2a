"""SNOMED CT codes of ECG findings: the classes that a challenge scored, and what other data sets call them.

    challenge-2021/    tables of the PhysioNet/CinC Challenge 2021, unchanged, with their licence (BSD
                       2-Clause; github.com/physionetchallenges/evaluation-2021, commit e2a75fc): codes and
                       their names, and in the head of weights.csv the 26 scored classes and their codes
    snomed.csv         for each code that has one, PTB-XL's statement, or where none fits its superclass, and
                       the primary AHA statement, with their sources

Sources of a statement or superclass in snomed.csv:

    counts         the challenge's own conversion of PTB-XL: as many records have the code (column PTB_XL of
                   the challenge's tables) as have the statement, but for a few withdrawn since
    name           the names say the same
    equivalence    the challenge scores the code as one diagnosis with another that is mapped
    kind           it is a kind of what the statement or superclass names

and of an AHA number (Mason, Hancock & Gettes, Circulation 115:1325, 2007):

    Leinonen       mapped with two cardiologists (Leinonen et al., Computers in Biology and Medicine 2024;
                   github.com/tuijalei/12-lead-ecg-classifier, AHA_SNOMED_mapping.csv, MIT licence)
    PTB-XL         the number that severity.toml has for the statement, as PTB-XL's scp_statements.csv does
    Mason          the names say the same
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from search.data.demo.tables import STATEMENTS_FILE
from search.data.labels.severity import Level, Severity
from search.data.labels.tiers import PTBXL_TIERS, Tier, Tiers, severity_tiers
from search.data.readers.statements import Statement, read_statements

CODES_NAME: Final = "the tables of the challenge"
_CHALLENGE: Final = Path(__file__).with_name("challenge-2021")
_NAMES: Final = ("dx_mapping_scored.csv", "dx_mapping_unscored.csv")
_MAP: Final = Path(__file__).with_name("snomed.csv")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A SNOMED CT code and what it corresponds to.

    Attributes:
        code: Abbreviation of the challenge, such as "AF"; the number where the challenge has none.
        number: The SNOMED CT code.
        description: In words.
        challenge: Scored class of the Challenge 2021, None if it was not scored.
        scp: PTB-XL's statement, None if none fits.
        superclass: PTB-XL's diagnostic superclass, None if it has none.
        aha: Number of the primary AHA statement, None if none is known.
    """

    code: str
    number: str
    description: str = ""
    challenge: str | None = None
    scp: Statement | None = None
    superclass: str | None = None
    aha: str | None = None

    @property
    def maps_nowhere(self) -> bool:
        """Whether PTB-XL and the AHA list have nothing for it."""
        return self.scp is None and self.superclass is None and self.aha is None

    def level(self, severity: Severity) -> Level:
        """Level of severity: that of PTB-XL's statement, else of the AHA statement, else of all others."""
        if self.scp is not None:
            return severity.level_of(self.scp.code)
        return severity.scheme.others if self.aha is None else severity.scheme.level_of_number(int(self.aha))


def _ptbxl(name: str) -> Tier:
    """A tier of PTB-XL of the statements that findings correspond to."""
    tier = PTBXL_TIERS[name]
    assert isinstance(tier, Tier)
    class_of = tier.class_of
    return Tier(
        class_of=lambda finding, severity: None if finding.scp is None else class_of(finding.scp, severity),
        refined_by=tier.refined_by or "snomed",
    )


TIERS: Final[Tiers] = {
    "challenge": Tier(class_of=lambda finding, _: finding.challenge, refined_by="snomed"),
    "snomed": Tier(class_of=lambda finding, _: finding.code, refined_by=None),
    # Some codes, such as that of an infarction without its place, determine the superclass alone.
    "superclass": Tier(class_of=lambda finding, _: finding.superclass, refined_by="snomed"),
    **{name: _ptbxl(name) for name in ("subclass", "diagnostic", "all", "form", "rhythm")},
    "aha": Tier(class_of=lambda finding, _: finding.aha, refined_by="snomed"),
    **severity_tiers("snomed", lambda finding, severity: finding.level(severity)),
}


@cache
def findings() -> dict[str, Finding]:
    """All codes of the challenge by number."""
    statements = {statement.code: statement for statement in read_statements(STATEMENTS_FILE.parent)}
    scored = _scored_classes()
    mapped = {row["snomed"]: row for row in _rows(_MAP)}
    found: dict[str, Finding] = {}
    for name in _NAMES:
        for row in _rows(_CHALLENGE / name):
            number = row["SNOMEDCTCode"]
            to = mapped.get(number, {})
            scp = statements[to["scp"]] if to.get("scp") else None
            found[number] = Finding(
                code=row["Abbreviation"],
                number=number,
                description=row["Dx"],
                challenge=scored.get(number),
                scp=scp,
                superclass=(scp.superclass if scp else to.get("superclass")) or None,
                aha=to.get("aha") or None,
            )
    return found


def _scored_classes() -> dict[str, str]:
    """Scored class of each scored code: the abbreviations of all codes that are scored as one diagnosis."""
    abbreviation = {row["SNOMEDCTCode"]: row["Abbreviation"] for row in _rows(_CHALLENGE / _NAMES[0])}
    with (_CHALLENGE / "weights.csv").open(encoding="utf-8", newline="") as file:
        _, *classes = next(csv.reader(file))
    groups = [codes.split("|") for codes in classes]
    return {code: "|".join(abbreviation[other] for other in group) for group in groups for code in group}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
