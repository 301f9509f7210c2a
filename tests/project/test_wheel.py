"""The wheel: it holds every file of the packages, and works where the checkout is not."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from outside import REPOSITORY

PACKAGES = ("space", "search", "storage", "scores", "reports")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def pip(*arguments: str | Path) -> None:
    """Run pip without a network."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)]
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_NO_CACHE_DIR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def is_source(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the setuptools that the test extra brings, from a copy, for a build leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(REPOSITORY / name, source / name)
    for file in REPOSITORY.glob("*.py"):
        shutil.copyfile(file, source / file.name)
    for name in PACKAGES:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment with the wheel; dependencies are those of the tests' environment.

    The folder that they lie in is only appended to the path: an editable install found there is not active.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=os.name != "nt")
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = Path(
        run(python, environment, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    folders = {
        str(importlib.metadata.distribution(name).locate_file(""))
        for name in ("numpy", "optuna", "torch", "wfdb")
    }
    (installed / "dependencies.pth").write_text("".join(f"{folder}\n" for folder in sorted(folders)))
    pip("install", "--no-deps", "--target", installed, wheel)
    return python


def run(python: Path, folder: Path, *arguments: str) -> str:
    """Output of a command that is run in a folder, without anything that leads to the checkout."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PYTEST", "SEARCH_", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        [python, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(file.relative_to(REPOSITORY))
        for name in PACKAGES
        for file in ([REPOSITORY / f"{name}.py"] if not (REPOSITORY / name).is_dir() else [])
        + list((REPOSITORY / name).rglob("*"))
        if is_source(file)
    }
    assert found == expected


def test_the_code_that_runs_is_that_of_the_wheel(python: Path, tmp_path: Path) -> None:
    code = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})), sep='\\n')"
    files = run(python, tmp_path, "-c", code).splitlines()
    assert len(files) == len(PACKAGES)
    for file in files:
        assert Path(file).is_relative_to(python.parent.parent), file


def test_a_search_from_demo_records_to_the_report(python: Path, tmp_path: Path) -> None:
    assert "usage: python -m search" in run(python, tmp_path, "-m", "search", "--help")
    assert "wide" in run(python, tmp_path, "-m", "search", "space")
    run(python, tmp_path, "-m", "search", "data", "demo", "demo", "--records", "60")
    assert "60 records" in run(python, tmp_path, "-m", "search", "data", "check", "demo")
    run(
        *(python, tmp_path, "-m", "search", "run", "--data", "./demo", "--trials", "2", "--epochs", "1"),
        *("--target", "superclass", "--study", "small", "--presets", "tcn,mingru", "--device", "cpu"),
    )
    run(python, tmp_path, "-m", "search", "report", "--study", "small")
    assert list(tmp_path.rglob("report.json"))
    assert list(tmp_path.rglob("*.html"))
