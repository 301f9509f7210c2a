"""Packages for OptunaHub: built, loaded as its users load them, and working without anything of ours."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import optuna
import optunahub
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from search.sampler.front import FrontSampler
from search.sampler.listed import ListedCandidates

pytestmark = pytest.mark.usefixtures("no_optuna_log")

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = {"samplers/known_cost": "sampler", "pruners/cost_race": "pruner"}
DISTRIBUTIONS = {
    "layers": IntDistribution(1, 3),
    "width": IntDistribution(8, 32, step=8),
    "activation": CategoricalDistribution(["relu", "tanh"]),
}
ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"search", "scores", "storage", "reports", "space"}:
            raise ImportError(f"a package of the registry imports {name}")

sys.meta_path.insert(0, Refuse())
import runpy
import optunahub
optunahub.load_module = lambda package: optunahub.load_local_module(package, registry_root=sys.argv[1])
"""
"""Begins a program in which only the registry in the first argument is there."""


def build_program() -> ModuleType:
    """`optunahub/build.py`; a folder of that name is no package."""
    spec = importlib.util.spec_from_file_location("build_packages", REPOSITORY / "optunahub" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry")
    assert build_program().main(["--out", str(folder)]) == 0
    return folder / "package"


def cost_of(params: dict) -> int:
    return params["layers"] * params["width"] ** 2


def objective(trial: optuna.Trial) -> tuple[float, float]:
    params = {
        "layers": trial.suggest_int("layers", 1, 3),
        "width": trial.suggest_int("width", 8, 32, step=8),
        "activation": trial.suggest_categorical("activation", ["relu", "tanh"]),
    }
    score = 1 - 3 / (params["width"] * params["layers"]) - 0.02 * (params["activation"] == "tanh")
    return score, cost_of(params)


def run_alone(program: str, registry: Path) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", ALONE + program, str(registry)],
        cwd=registry,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_the_folder_is_what_the_registry_asks_for(registry: Path, package: str) -> None:
    folder = registry / package
    assert {"README.md", "LICENSE", "__init__.py", "example.py"} <= {path.name for path in folder.iterdir()}
    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    fields = dict(re.findall(r"^(\w+): (.+)$", front, re.MULTILINE))
    assert list(fields) == ["author", "title", "description", "tags", "optuna_versions", "license"]
    assert PACKAGES[package] in fields["tags"].strip("[]").split(", ")
    assert fields["optuna_versions"] == f"[{optuna.__version__}]"
    for heading in ("## Abstract", "## APIs", "## Installation", "## Example", "### Licence"):
        assert f"\n{heading}\n" in text
    assert (folder / "LICENSE").read_text(encoding="utf-8") == (REPOSITORY / "LICENSE").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_needs_nothing_of_ours(registry: Path, package: str) -> None:
    module = f"optunahub.load_module({package!r})"
    assert run_alone(f"print(sorted({module}.__all__))", registry).startswith("[")
    ours = re.compile(r"^\s*(from|import) (search|scores|storage|reports|space)\b", re.MULTILINE)
    for path in (registry / package).glob("*.py"):
        assert not ours.search(path.read_text(encoding="utf-8")), path


def test_the_packaged_sampler_proposes_what_ours_does(registry: Path) -> None:
    packaged = optunahub.load_local_module("samplers/known_cost", registry_root=str(registry))
    found = []
    for candidates, sampler in (
        (ListedCandidates, FrontSampler),
        (packaged.ListedCandidates, packaged.FrontSampler),
    ):
        grid = candidates.grid(DISTRIBUTIONS, cost_of=cost_of)
        study = optuna.create_study(
            directions=["maximize", "minimize"], sampler=sampler(grid, DISTRIBUTIONS, seed=3)
        )
        study.optimize(objective, n_trials=14)
        found.append([trial.params for trial in study.trials])
        assert study.sampler.last_proposal.gain.at_most >= 0
    assert found[0] == found[1]
    assert len({tuple(params.values()) for params in found[0]}) == 14


def test_the_packaged_sampler_ends_with_the_list(registry: Path) -> None:
    packaged = optunahub.load_local_module("samplers/known_cost", registry_root=str(registry))
    grid = packaged.ListedCandidates.grid(DISTRIBUTIONS, cost_of=cost_of)
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=packaged.FrontSampler(grid, DISTRIBUTIONS)
    )
    with pytest.raises(packaged.NoCandidateLeftError, match="all 24 candidates have been tried"):
        study.optimize(objective, n_trials=25)
    # The optimum is found when everything is; what is on the front cannot be dominated by a trial.
    assert len(study.trials) == 25
    assert {trial.state for trial in study.trials[:24]} == {optuna.trial.TrialState.COMPLETE}


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_the_example_runs_alone(registry: Path, package: str) -> None:
    example = registry / package / "example.py"
    printed = run_alone(f"runpy.run_path({str(example)!r}, run_name='__main__')", registry)
    assert printed.startswith("accuracy 0.")
    assert "weights" in printed
