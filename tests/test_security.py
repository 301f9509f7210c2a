"""What no code of ours may do, and what no file may make it do."""

import ast
from pathlib import Path

import numpy as np
import pytest
from ptbxl_folder import record, write_table
from ptbxl_waveforms import header_text, noise, write_record

from search.data import own, ptbxl
from search.data.records import RecordReader
from search.errors import DataError, RecordError

ROOT = Path(__file__).parent.parent
OURS = [
    ROOT / name
    for name in ("space", "space.py", "search", "storage", "reports", "benchmarks")
    if (ROOT / name).exists()
]
FILES = sorted(file for place in OURS for file in ([place] if place.is_file() else place.rglob("*.py")))

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUN_TEXT = {"eval", "exec", "compile", "__import__"}
UNPACK = {
    ("torch", "load"): ("weights_only", True),
    ("np", "load"): ("allow_pickle", False),
    ("numpy", "load"): ("allow_pickle", False),
}
"""Functions that unpickle unless told not to, with the argument that tells them."""


def violations(source: str) -> list[str]:
    """Pickles and run texts in a source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found += _calls(node)
    return found


def _calls(call: ast.Call) -> list[str]:
    function = call.func
    if isinstance(function, ast.Name) and function.id in RUN_TEXT:
        return [function.id]
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return []
    name = (function.value.id, function.attr)
    if name in UNPACK:
        argument, wanted = UNPACK[name]
        told = [keyword.value for keyword in call.keywords if keyword.arg == argument]
        if not (told and isinstance(told[0], ast.Constant) and told[0].value is wanted):
            return [".".join(name)]
    is_shell = any(
        keyword.arg == "shell"
        and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for keyword in call.keywords
    )
    return ["shell"] if is_shell or name == ("os", "system") else []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_pickle_and_no_text_is_run(file: Path) -> None:
    assert violations(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "eval('1')",
        "exec(text)",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "torch.load(file)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
    ],
)
def test_each_of_them_is_found(source: str) -> None:
    assert len(violations(source)) == 1


def test_what_is_allowed_is_allowed() -> None:
    assert violations("ast.literal_eval(text); np.load(file, allow_pickle=False); model.eval()") == []


# Paths


LEAVING = [
    "../secret",
    "a/../../secret",
    "/etc/passwd",
    "a//b",
    "./a",
    "C:/a",
    "a\\..\\b",
    "a/..",
    "~/../x\0",
]


@pytest.mark.parametrize("name", LEAVING)
def test_names_in_tables_stay_inside(tmp_path: Path, name: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/records.csv").write_text(f"record,patient_id,labels\n{name},P1,AF\n")
    with pytest.raises(DataError, match=r"record of data row 1 is .*, not a path below the folder"):
        own.read_catalogue(tmp_path / "own")
    write_table(tmp_path / "ptbxl", [record(1, filename_lr=name)])
    with pytest.raises(DataError, match=r"filename_lr of record 1 is .*, not a path below the data folder"):
        ptbxl.read_catalogue(tmp_path / "ptbxl")
    with pytest.raises(RecordError, match="is not a path inside the data set"):
        RecordReader(tmp_path, rate_hz=100).read(name)


@pytest.mark.parametrize(
    "name", ["../b.dat", "/etc/passwd", "sub/b.dat", "~/b.dat", "b\\c.dat", "http://x/b"]
)
def test_files_in_headers_stay_beside_them(tmp_path: Path, name: str) -> None:
    x_LT = noise(0)
    write_record(tmp_path, "b", x_LT)
    write_record(tmp_path, "inside/a", x_LT)
    (tmp_path / "inside/sub").mkdir()
    (tmp_path / "inside/sub/b.dat").write_bytes(x_LT.T.tobytes())
    header = header_text("a", x_LT).replace("a.dat", name)
    (tmp_path / "inside/a.hea").write_text(header)
    with pytest.raises(RecordError, match="outside the record's folder"):
        RecordReader(tmp_path / "inside", rate_hz=100).read("a")


def test_the_same_names_without_the_trick_are_read(tmp_path: Path) -> None:
    write_record(tmp_path, "inside/a", noise(0))
    np.testing.assert_array_equal(RecordReader(tmp_path, rate_hz=100).read("inside/a"), noise(0))
