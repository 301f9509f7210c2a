"""Query of the advisory database OSV for known vulnerabilities of the versions in constraints.txt.

`make lint` runs it. A finding fails, unless `audit_allowed.toml` says why it does no harm here and until when
that holds. Without a way to the database nothing is known, which is said in one line and is no failure.
"""

import argparse
import json
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OSV = "https://api.osv.dev/v1/query"
TIMEOUT_S = 10
LONGEST_S = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """A finding that does no harm here; every field is needed."""

    id: str
    """Id of the advisory, such as GHSA-xxxx-xxxx-xxxx, CVE-… or PYSEC-…."""
    package: str
    reason: str
    until: date
    """Day after which the finding fails again, so that somebody looks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A known vulnerability of a version that is installed."""

    package: str
    version: str
    names: frozenset[str]
    """Ids of the advisory in all databases."""
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        fix = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "not fixed yet"
        return f"{self.package} {self.version}: {', '.join(sorted(self.names))}, {fix}"


class AuditError(Exception):
    """The audit cannot be made; the message says why."""


def read_allowed(path: Path) -> list[Allowed]:
    """The entries of the list.

    Raises:
        AuditError: one lacks a field, or has one of another kind.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("allowed", [])
    fields = {"id": str, "package": str, "reason": str, "until": date}
    for number, entry in enumerate(entries, start=1):
        is_whole = entry.keys() == fields.keys() and all(
            type(entry[name]) is kind and entry[name] != "" for name, kind in fields.items()
        )
        if not is_whole:
            raise AuditError(f"{path}: entry {number} needs id, package, reason and until = YYYY-MM-DD")
    return [Allowed(**entry) for entry in entries]


def find(requirements: Path, url: str) -> list[Finding] | None:
    """Known vulnerabilities of pinned versions; None where the database cannot be reached.

    Raises:
        AuditError: pip-audit fails for another reason.
    """
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        str(requirements),
        "--no-deps",
        "--disable-pip",
    ]
    command += ["--vulnerability-service", "osv", "--osv-url", url, "--timeout", str(TIMEOUT_S)]
    command += ["--format", "json", "--desc", "off", "--progress-spinner", "off"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_S)  # noqa: S603
    try:
        dependencies: Sequence[Mapping[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except ValueError:
        if not answers(url):
            return None
        last = ran.stderr.strip().splitlines()[-1:] or ["no message"]
        raise AuditError(f"pip-audit failed with status {ran.returncode}: {last[0]}") from None
    return [
        Finding(
            package=each["name"],
            version=each["version"],
            names=frozenset({found["id"], *found["aliases"]}),
            fixed_in=tuple(found["fix_versions"]),
        )
        for each in dependencies
        for found in each.get("vulns", ())
    ]


def answers(url: str) -> bool:
    """Whether the database answers a question."""
    question = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "0"}
    request = urllib.request.Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own URL
            return isinstance(json.load(answer), dict)
    except (OSError, ValueError):
        return False


def judge(
    findings: Sequence[Finding], allowed: Sequence[Allowed], today: date
) -> tuple[list[str], list[str]]:
    """Findings that fail the build, and notes."""
    failures, notes = [], []
    used = set()
    for finding in findings:
        entries = [
            entry for entry in allowed if entry.package == finding.package and entry.id in finding.names
        ]
        used.update(entries)
        current = [entry for entry in entries if today <= entry.until]
        if current:
            notes.append(f"{finding}; allowed until {current[0].until}: {current[0].reason}")
        else:
            lapsed = f"; allowed until {entries[0].until}, look again" if entries else ""
            failures.append(f"{finding}{lapsed}")
    notes += [
        f"{entry.id} of {entry.package} is found no longer: take it from the list"
        for entry in allowed
        if entry not in used
    ]
    return failures, notes


def main(arguments: Sequence[str]) -> int:
    """Print what was found; 1 if something fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requirements", type=Path, default=HERE.parent / "constraints.txt")
    parser.add_argument("--allowed", type=Path, default=HERE / "audit_allowed.toml")
    parser.add_argument("--url", default=OSV, help="address of the advisory database")
    chosen = parser.parse_args(arguments)
    try:
        allowed = read_allowed(chosen.allowed)
        findings = find(chosen.requirements, chosen.url)
    except (AuditError, OSError, tomllib.TOMLDecodeError, subprocess.TimeoutExpired) as error:
        print(f"audit: {error}")
        return 1
    if findings is None:
        print(f"audit: not made, {chosen.url} does not answer; nothing is known of vulnerabilities")
        return 0
    failures, notes = judge(findings, allowed, date.today())
    for line in notes:
        print(f"audit: note: {line}")
    for line in failures:
        print(f"audit: {line}")
    if failures:
        print(
            f"audit: raise the version in {chosen.requirements.name}, or say in {chosen.allowed.name} why not"
        )
        return 1
    print(
        f"audit: no known vulnerability in {chosen.requirements.name}" + " beside those allowed" * bool(notes)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
