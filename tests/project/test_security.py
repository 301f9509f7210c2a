"""Forbidden constructs in our code, and effects that no file may have."""

import ast
from pathlib import Path

import numpy as np
import pytest
from fake_study import make_worker, open_study
from fake_trainer import FakeTrainer
from ptbxl_folder import record, write_table
from ptbxl_waveforms import header_text, noise, write_record

from search.commands.main import main
from search.data.readers import own, ptbxl
from search.data.signals.records import RecordReader
from search.errors import DataError, RecordError

ROOT = Path(__file__).parents[2]
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


@pytest.mark.slow
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
    "a/./../b",
    "C:/a",
    "a\\..\\b",
    "a/..",
    "~/../x\0",
]


@pytest.mark.parametrize("name", LEAVING)
def test_names_in_tables_stay_inside(tmp_path: Path, name: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/records.csv").write_text(f"record,patient_id,labels\n{name},P1,AF\n")
    refusal = r"of (line 2|record 1 \(line 2\)) is .*, (not a path below the data folder|where U\+0000)"
    with pytest.raises(DataError, match=f"record {refusal}"):
        own.read_catalogue(tmp_path / "own")
    write_table(tmp_path / "ptbxl", [record(1, filename_lr=name)])
    with pytest.raises(DataError, match=f"filename_lr {refusal}"):
        ptbxl.read_catalogue(tmp_path / "ptbxl")
    with pytest.raises(RecordError, match="is not a path inside the data set"):
        RecordReader(tmp_path, rate_hz=100).read(name)


@pytest.mark.parametrize("name", ["../b.dat", "/etc/passwd", "sub/../../b.dat", "b\\c.dat", "http://x/b"])
def test_files_in_headers_stay_below_their_folder(tmp_path: Path, name: str) -> None:
    x_LT = noise(0)
    write_record(tmp_path, "b", x_LT)
    write_record(tmp_path, "inside/a", x_LT)
    (tmp_path / "inside/sub").mkdir()
    (tmp_path / "inside/sub/b.dat").write_bytes(x_LT.T.tobytes())
    header = header_text("a", x_LT).replace("a.dat", name)
    (tmp_path / "inside/a.hea").write_text(header)
    with pytest.raises(RecordError, match="outside the record's folder"):
        RecordReader(tmp_path / "inside", rate_hz=100).read("a")


def test_a_file_in_a_folder_below_is_read(tmp_path: Path) -> None:
    """A tilde is a folder's name like any other, not a home."""
    x_LT = noise(0)
    write_record(tmp_path, "a", x_LT)
    for folder in ("sub", "~"):
        header = header_text("a", x_LT).replace("a.dat", f"{folder}/b.dat")
        (tmp_path / "a.hea").write_text(header)
        with pytest.raises(RecordError, match=r"b\.dat"):
            RecordReader(tmp_path, rate_hz=100).read("a")
        (tmp_path / folder).mkdir()
        (tmp_path / f"{folder}/b.dat").write_bytes((tmp_path / "a.dat").read_bytes())
        np.testing.assert_array_equal(RecordReader(tmp_path, rate_hz=100).read("a").x_LT, x_LT)


def test_the_same_names_without_the_trick_are_read(tmp_path: Path) -> None:
    write_record(tmp_path, "inside/a", noise(0))
    np.testing.assert_array_equal(RecordReader(tmp_path, rate_hz=100).read("inside/a").x_LT, noise(0))


# Symbolic links: who can place one in the folder is its owner, and the owner's are followed; a table or a
# header can name only what lies below, whatever it links to.


def test_links_that_the_owner_placed_are_followed(tmp_path: Path) -> None:
    store = tmp_path / "store"
    write_record(store, "a", noise(0))
    inside = tmp_path / "data/inside"
    inside.mkdir(parents=True)
    (tmp_path / "data/linked").symlink_to(store)
    for name in ("a.hea", "a.dat"):
        (inside / name).symlink_to(store / name)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for name in ("linked/a", "inside/a"):
        np.testing.assert_array_equal(RecordReader(tmp_path / "link", rate_hz=100).read(name).x_LT, noise(0))


def test_no_name_climbs_out_through_a_link(tmp_path: Path) -> None:
    """`linked/..` is not the folder that holds the link but the one beside what it leads to."""
    write_record(tmp_path / "store/below", "a", noise(0))
    write_record(tmp_path / "store", "b", noise(1))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/linked").symlink_to(tmp_path / "store/below")
    with pytest.raises(RecordError, match="is not a path inside the data set"):
        RecordReader(tmp_path / "data", rate_hz=100).read("linked/../b")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/dev/zero", "a.dat is not a file"),
        ("/proc/self/status", "a.dat is truncated: 0 of"),
        ("nowhere", "a.dat is missing"),
        ("a.dat", "Too many levels of symbolic links"),
        (".", "a.dat is not a file"),
    ],
)
def test_links_to_what_is_no_record(tmp_path: Path, target: str, message: str) -> None:
    write_record(tmp_path, "a", noise(0))
    (tmp_path / "a.dat").unlink()
    (tmp_path / "a.dat").symlink_to(target)
    with pytest.raises(RecordError, match=message):
        RecordReader(tmp_path, rate_hz=100).read("a")


# Names on the terminal


@pytest.mark.slow
def test_brackets_in_names_are_no_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library that prints would take [red] for a colour, and [/] for a mistake that ends the command."""
    monkeypatch.chdir(tmp_path)
    name = "[/red] [bold]x[/] :heart:"
    store, study = open_study(tmp_path / "runs/search.db", name=name)
    make_worker(store, study, FakeTrainer()).work(2)
    store.close()
    for command in (["status"], ["report", "--out", "there[/x]"]):
        assert main([*command, "--study", name]) == 0
        assert name in capsys.readouterr().out
    (tmp_path / "own").mkdir()
    rows = [
        f"r{number},{number},{'AF[/x]' if number % 2 else '[red]B'},{number % 5 + 1}" for number in range(10)
    ]
    (tmp_path / "own/records.csv").write_text("\n".join(["record,patient_id,labels,fold", *rows]))
    for number in range(10):
        write_record(tmp_path / "own", f"r{number}", noise(number))
    assert main(["data", "check", "own"]) == 0
    assert {"AF[/x]", "[red]B"} <= set(capsys.readouterr().out.split())
