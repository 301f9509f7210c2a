"""pip-audit of the versions in constraints.txt against the advisory database OSV; `make lint` runs it.

A known vulnerability fails, unless `audit_allowed.toml` says why it does no harm here and until when that
holds. Without a way to the database nothing is known, which is said in one line and is no failure.
"""

import argparse
import json
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Sequence
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
OSV = "https://api.osv.dev/v1/query"
TIMEOUT_S = 10
LONGEST_S = 600


def main(arguments: Sequence[str]) -> int:
    """Print what was found; not 0 if something fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requirements", type=Path, default=HERE.parent / "constraints.txt")
    parser.add_argument("--allowed", type=Path, default=HERE / "audit_allowed.toml")
    parser.add_argument("--url", default=OSV, help="address of the advisory database")
    chosen = parser.parse_args(arguments)
    try:
        entries = tomllib.loads(chosen.allowed.read_text(encoding="utf-8")).get("allowed", [])
        ignored = [each["id"] for each in entries if each["reason"] and date.today() <= each["until"]]
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        print(f"audit: {chosen.allowed}: an entry needs id, reason and until = YYYY-MM-DD: {error}")
        return 1
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    command += ["--requirement", str(chosen.requirements), "--timeout", str(TIMEOUT_S)]
    command += ["--vulnerability-service", "osv", "--osv-url", chosen.url]
    command += [word for each in ignored for word in ("--ignore-vuln", each)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_S)  # noqa: S603
    if ran.returncode and not answers(chosen.url):
        print(f"audit: not made, {chosen.url} does not answer; nothing is known of vulnerabilities")
        return 0
    print(ran.stdout + ran.stderr, end="")
    return ran.returncode


def answers(url: str) -> bool:
    """Whether the database answers a question."""
    question = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "0"}
    request = urllib.request.Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own URL
            return isinstance(json.load(answer), dict)
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
