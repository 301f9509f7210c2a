"""Permitted imports between packages (design, section 2), read from the source."""

import ast
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import reports
import search
import space
import storage

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = {"space", "storage", "scores", "reports", "search"}
MAY_IMPORT = {
    "space": set[str](),
    "storage": set[str](),
    "scores": set[str](),
    "reports": {"space", "storage", "scores"},
    "search": {"space", "storage", "scores", "reports"},
}
OPTUNA_IN = {
    "search/pruner/any_study.py",
    "search/sampler/front.py",
    "search/sampler/history.py",
    "search/sampler/listed.py",
    "search/study/recovery.py",
    "search/sampler/requests.py",
    "search/sampler/untried.py",
    "search/study/study.py",
    "search/study/trial.py",
    "search/study/worker.py",
    "search/watch/dashboard_server.py",
    "storage/",
}
OPTUNA_KEYS = ("fixed_params", "retry_history", "artifacts:")
"""System attributes by which Optuna keeps what it does not offer by name."""
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def source_files() -> list[Path]:
    files = [REPOSITORY / "space.py"]
    for folder in ("storage", "scores", "reports", "search"):
        files += sorted((REPOSITORY / folder).rglob("*.py"))
    return [file.relative_to(REPOSITORY) for file in files]


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported anywhere in a file, within functions too."""
    for node in ast.walk(ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            assert node.module is not None
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def package_of(file: Path) -> str:
    return file.parts[0].removesuffix(".py")


@pytest.fixture(scope="module")
def found() -> list[tuple[Path, int, str]]:
    return [(file, line, name) for file in source_files() for line, name in imports(file)]


@pytest.mark.slow
def test_something_is_read(found: list[tuple[Path, int, str]]) -> None:
    assert {package_of(file) for file, _, _ in found} == OURS


def test_data_flow_one_way(found: list[tuple[Path, int, str]]) -> None:
    wrong = [
        f"{file}:{line} imports {name}"
        for file, line, name in found
        if (top := name.split(".")[0]) in OURS
        and top != package_of(file)
        and top not in MAY_IMPORT[package_of(file)]
    ]
    assert wrong == []


def is_for_types(file: Path) -> set[int]:
    """Lines under `if TYPE_CHECKING`, which are never run."""
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


@pytest.fixture(scope="module")
def arrows(found: list[tuple[Path, int, str]]) -> set[tuple[str, str]]:
    """Module to module, imports within functions included, those for types alone left out."""
    modules = {".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in source_files()}
    for_types = {file: is_for_types(file) for file in source_files()}
    pairs = set()
    for file, line, name in found:
        own = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        other = name
        while other and other not in modules:
            other = other.rpartition(".")[0]
        if other and other != own and line not in for_types[file]:
            pairs.add((own, other))
    return pairs


def circles(pairs: set[tuple[str, str]]) -> set[str]:
    """Modules on a cycle: the rest after removing modules without imports or importers among the rest."""
    left = {name for pair in pairs for name in pair}
    while True:
        above = {a for a, b in pairs if a in left and b in left and a != b}
        below = {b for a, b in pairs if a in left and b in left and a != b}
        kept = above & below
        if kept == left:
            return left
        left = kept


def test_a_circle_is_found() -> None:
    assert circles({("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")}) == {"b", "c"}
    assert circles({("a", "b"), ("a", "c"), ("b", "c")}) == set()


@pytest.mark.slow
def test_no_module_imports_in_a_circle(arrows: set[tuple[str, str]]) -> None:
    packages = {".".join(file.parent.parts) for file in source_files() if file.name == "__init__.py"}
    assert circles({(a, b) for a, b in arrows if a not in packages and b not in packages}) == set()


@pytest.mark.parametrize("package", ["search", "reports", "storage", "search.data", "search.training"])
def test_folders_have_an_order(package: str, arrows: set[tuple[str, str]]) -> None:
    """Rooms of a package, folders and modules alike, import one another in one direction only."""

    def room(module: str) -> str | None:
        inside = module.removeprefix(f"{package}.")
        return None if inside == module else inside.partition(".")[0]

    pairs = {(room(a), room(b)) for a, b in arrows}
    assert circles({(a, b) for a, b in pairs if a and b and a != b}) == set()


def test_reports_can_be_rebuilt_anywhere(found: list[tuple[Path, int, str]]) -> None:
    heavy = {"torch", "wfdb", "optuna"}
    wrong = [
        f"{file}:{line} imports {name}"
        for file, line, name in found
        if package_of(file) == "reports" and name.split(".")[0] in heavy
    ]
    assert wrong == []


@pytest.mark.slow
def test_optuna_has_its_places(found: list[tuple[Path, int, str]]) -> None:
    wrong = [
        f"{file}:{line}"
        for file, line, name in found
        if name.split(".")[0] == "optuna"
        and not any(file.as_posix().startswith(place) for place in OPTUNA_IN)
    ]
    assert wrong == []


@pytest.mark.slow
def test_only_one_file_knows_private_names_of_optuna(found: list[tuple[Path, int, str]]) -> None:
    place = Path("storage/optuna_side.py")
    wrong = [
        f"{file}:{line} imports {name}"
        for file, line, name in found
        if file != place and name.startswith("optuna.") and "._" in name
    ]
    private = private_attributes(place) | {"system_attrs", "_study_id", "_backend", "_thread_local"}
    assert {"_trial_id", "_storage", "_get_trials"} < private
    for file in source_files():
        if file != place:
            wrong += [f"{file}:{line} uses {name}" for line, name in attributes(file) if name in private]
            text = (REPOSITORY / file).read_text(encoding="utf-8")
            wrong += [f"{file} knows {key}" for key in OPTUNA_KEYS if f'"{key}"' in text]
    assert wrong == []


def attributes(file: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every attribute used in a file, but for those of an object's own class."""
    for node in ast.walk(ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
        ):
            yield node.lineno, node.attr


def private_attributes(file: Path) -> set[str]:
    return {name for _, name in attributes(file) if name.startswith("_") and not name.startswith("__")}


def test_wfdb_is_for_data_only(found: list[tuple[Path, int, str]]) -> None:
    wrong = [
        f"{file}:{line}"
        for file, line, name in found
        if name.split(".")[0] == "wfdb"
        # A copy of the example goes to users, who have nothing of ours.
        and not file.as_posix().startswith(("search/data/", "search/export/example.py"))
    ]
    assert wrong == []


def test_graphs_are_for_export_and_predict(found: list[tuple[Path, int, str]]) -> None:
    wrong = [
        f"{file}:{line}"
        for file, line, name in found
        if name.split(".")[0] in {"onnx", "onnxruntime"}
        and not file.as_posix().startswith(("search/export/", "search/predict/"))
    ]
    assert wrong == []


def test_nothing_is_unpickled(found: list[tuple[Path, int, str]]) -> None:
    wrong = [f"{file}:{line} imports {name}" for file, line, name in found if name.split(".")[0] in FORBIDDEN]
    assert wrong == []


@pytest.mark.parametrize("package", ["models", "training"])
def test_what_needs_no_torch_can_be_imported_without_it(package: str) -> None:
    assert (REPOSITORY / "search" / package / "__init__.py").read_text(encoding="utf-8") == ""


def test_the_page_of_the_space_names_code_that_exists_and_describes_it_without_torch() -> None:
    registries = (space.CELLS, space.FRONT_ENDS, space.LOSSES, space.FILTERS, space.AUGMENTATIONS)
    for registry in registries:
        for entry in registry.values():
            codes = [getattr(entry, f.name) for f in dataclasses.fields(entry) if f.type == "Code"]
            assert codes
            for code in codes:
                assert callable(space.load_code(code)), code
    program = (
        "import sys, space; from search.models.costs import count_parameters; "
        "[count_parameters(entry.architecture, 5) for entry in space.PRESETS.values()]; "
        "print([name for name in ('torch', 'optuna', 'numpy', 'storage') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.slow
def test_nothing_is_evaluated() -> None:
    for file in source_files():
        for node in ast.walk(ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile", "__import__"}, f"{file}:{node.lineno}"


@pytest.mark.parametrize("package", [reports, search, space, storage])
def test_the_names_are_ours(package: object) -> None:
    # Nothing in site-packages may stand in front of these everyday names.
    assert REPOSITORY in Path(str(package.__file__)).resolve().parents  # type: ignore[attr-defined]


def test_only_exporting_needs_onnx(arrows: set[tuple[str, str]], found: list[tuple[Path, int, str]]) -> None:
    graphs = {
        ".".join(file.with_suffix("").parts)
        for file, _, name in found
        if name.split(".")[0].startswith("onnx")
    }
    reached = {"search.stress.stress", "search.evaluate.evaluate", "search.study.run"}
    while more := {b for a, b in arrows if a in reached} - reached:
        reached |= more
    assert "search.training.fold" in reached
    assert reached & graphs == set()


@pytest.mark.slow
def test_the_loop_needs_no_torch() -> None:
    modules = ", ".join(
        f"search.{name}"
        for name in (
            "study.trial",
            "study.worker",
            "pruner.race",
            "sampler.untried",
            "study.study",
            "workers.processes",
        )
    )
    unwanted = ("torch", "wfdb", "matplotlib", "optuna_dashboard", "scipy.stats", "scipy.signal")
    program = f"import sys, {modules}; print([name for name in {unwanted} if name in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
