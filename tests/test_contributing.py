"""The worked example of CONTRIBUTING.md is carried out to the letter: a file, a line, and it trains."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("space", "search", "storage", "reports")
PROGRAM = """
from dataclasses import replace
import numpy as np, optuna, torch
import space
from search.encoding import SpaceCandidates
from search.models import build_model, n_parameters
from training_samples import TINY, case

architecture = replace(TINY, backbone="strided", width=0.25)
print(architecture.describe())
model = build_model(architecture, 3, generator=torch.Generator())
assert n_parameters(model) == space.count_parameters(architecture, 3)
full = space.Space("full", ("superclass",))
assert replace(space.Architecture(), backbone="strided", label_tier="superclass") in full
assert len(SpaceCandidates(full, {"superclass": 3})) == len(full)
assert full.suggest(optuna.trial.FixedTrial(full.to_params(full[len(full) - 1]))) == full[len(full) - 1]
training = case().start(architecture)
losses = [training.run_epoch()[0] for _ in range(4)]
assert losses[-1] < losses[0], losses
assert np.isfinite(training.predict()).all()
"""


@pytest.mark.slow
def test_a_front_end_is_one_file_and_one_line(tmp_path: Path) -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = guide[guide.index("**A front end.**") :]
    path = re.search(r"such as `([^`]+)`", section).group(1)
    file, line = re.findall(r"```(?:python)?\n(.*?)```", section, flags=re.DOTALL)[:2]
    assert line.count("\n") == 1
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / path).write_text(file, encoding="utf-8")
    registry = tmp_path / "space" / "backbones" / "__init__.py"
    text = registry.read_text(encoding="utf-8")
    registry.write_text(text.replace("_FILES = (\n", f"_FILES = (\n{line}", 1), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("strided CNN(8) → ")
