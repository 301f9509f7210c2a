"""`--space FILE.py`: what a file can add, what it gets wrong, and that a study stays with its file."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from report_records import make_study

import space
from search.errors import StudyMismatchError, UsageError
from search.models.costs import count_parameters
from search.sampler.encoding import SpaceCandidates
from search.study.space_file import FOLDER, as_made, check_space, forget_file, named_space, program_files
from space import Architecture, RecurrentLayer, Space, SpaceError

pytestmark = pytest.mark.usefixtures("no_space_file")

EXAMPLES = FOLDER
CELL = """
import torch
import space

class Last(torch.nn.Module):
    def __init__(self, n_in, hidden_size):
        super().__init__()
        self.dense = torch.nn.Linear(n_in, hidden_size)

    def forward(self, x_BTC):
        return self.dense(x_BTC)

count = lambda n_in, hidden: n_in * hidden + hidden
space.CELLS["last"] = space.Cell(words="Last", parameters=count, module=Last)
SPACE = space.extend("paper", cell=("gru", "last"))
"""


def write(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


# ---------------------------------------------------------------------------------------------------------
# What a file can add


@pytest.mark.parametrize(
    ("file", "registry", "name"),
    [
        ("strided.py", space.FRONT_ENDS, "strided"),
        ("mingru.py", space.CELLS, "mingru"),
        ("asymmetric_loss.py", space.LOSSES, "asymmetric"),
    ],
)
def test_what_a_file_adds_goes_with_it(file: str, registry: space.Registry[object], name: str) -> None:
    before = {key: list(values) for key, values in space.SPACES.items()}
    chosen = named_space(str(EXAMPLES / file))
    assert name in registry
    assert chosen.name == file
    assert re.fullmatch(r"[0-9a-f]{16}", chosen.digest)
    assert Space(file, ("all",))[0] in Space(file, ("all",))
    forget_file()
    assert name not in registry
    assert {key: list(values) for key, values in space.SPACES.items()} == before


@pytest.mark.slow
@pytest.mark.parametrize("name", program_files())
def test_a_space_of_a_file_is_a_space_like_any_other(name: str) -> None:
    listed = Space(named_space(name).name, ("superclass", "all"))
    candidates = SpaceCandidates(listed, {"superclass": 5, "all": 71})
    indices = np.linspace(0, len(listed) - 1, min(len(listed), 400)).astype(np.int64)
    features = candidates.encode(indices)
    assert len(np.unique(features[:, :-1], axis=0)) == len(indices)  # without the parameters
    digests = set()
    for index in indices.tolist():
        architecture = listed[index]
        params = listed.to_params(architecture)
        assert listed.suggest(optuna.trial.FixedTrial(params)) == architecture
        assert listed.index(params) == index
        assert Architecture.from_dict(architecture.to_dict()) == architecture
        n_outputs = {"superclass": 5, "all": 71}[architecture.label_tier]
        parameters = count_parameters(architecture, n_outputs)
        assert candidates.log_cost(np.array([index]))[0] == pytest.approx(np.log10(parameters), abs=1e-12)
        digests.add((architecture.digest, architecture.describe()))
    assert len({digest for digest, _ in digests}) == len({words for _, words in digests}) == len(indices)


@pytest.mark.slow
def test_three_cells_have_a_column_each() -> None:
    named_space(str(EXAMPLES / "mingru.py"))
    listed = Space("mingru.py", ("all",))
    candidates = SpaceCandidates(listed, {"all": 71})
    base = {"hidden_size": 32, "width": 0.25, "head_width": 64, "label_tier": "all"}
    found = []
    for cell in ("lstm", "gru", "mingru"):
        architecture = Architecture(recurrent=(RecurrentLayer(cell=cell),), **base)
        index = listed.index(listed.to_params(architecture))
        found.append(candidates.encode(np.array([index]))[0, :-1])
    distances = [np.linalg.norm(a - b) for a, b in [found[:2], found[1:], found[::2]]]
    assert distances == pytest.approx([distances[0]] * 3)
    assert distances[0] > 0


def test_values_of_an_own_axis_distinguish_and_survive_json() -> None:
    named_space(str(EXAMPLES / "asymmetric_loss.py"))
    own = {"gamma_pos": 0, "gamma_neg": 4, "margin": 0.05}
    architecture = Architecture(loss="asymmetric", own=own)
    assert architecture.to_dict()["gamma_neg"] == 4.0
    assert Architecture.from_dict(architecture.to_dict()) == architecture
    assert architecture.describe() == "CNN, asymmetric loss γ⁺ 0 γ⁻ 4 m 0.05, trained on subclass"
    other = Architecture(loss="asymmetric", own={**own, "gamma_neg": 2})
    assert other != architecture
    assert other.digest != architecture.digest
    assert replace(architecture, loss="bce") == Architecture()
    assert replace(architecture, loss="bce").digest == Architecture().digest
    with pytest.raises(SpaceError, match=r"^gamma_neg is 0, or lies in \[1, 10\], got 0.5$"):
        Architecture(loss="asymmetric", own={**own, "gamma_neg": 0.5})
    with pytest.raises(SpaceError, match=r"^gamma_neg is 0, or lies in \[1, 10\], got None$"):
        Architecture(loss="asymmetric", own={"gamma_pos": 0, "margin": 0})
    with pytest.raises(SpaceError, match=r"^own has values of axes that a space file added, got 'beta'$"):
        Architecture(loss="asymmetric", own={"beta": 1})


# ---------------------------------------------------------------------------------------------------------
# What a file gets wrong: one line, with the file and the line in it


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("import space\nSPACE = space.extend('wide', depth=(0, 1)", 2, "'(' was never closed"),
        ("import spce\n", 1, "ModuleNotFoundError: No module named 'spce'"),
        ("import space\n\nSPACE = space.extnd('wide')", 3, "AttributeError: module 'space' has no attribute"),
        (
            "import space\nSPACE = space.extend('wide', cell=('lstm', 'rnn'))",
            2,
            "cell is lstm or gru, got 'rnn'",
        ),
        (
            "import space\nSPACE = space.extend('wide', dropot=(0.5,))",
            2,
            "unknown axis 'dropot': choose from",
        ),
        ("import space\nSPACE = space.extend('wide', dropout=(1.5,))", 2, "dropout lies in [0, 1), got 1.5"),
        (
            "import space\nSPACE = space.extend('wide', dropout=('0.5',))",
            2,
            "dropout lies in [0, 1), got '0.5'",
        ),
        ("import space\nSPACE = space.extend('wide', dropout=0.5)", 2, "values of dropout are a tuple"),
        ("import space\nSPACE = space.extend('wide', dropout=())", 2, "values of dropout are a tuple"),
        ("import space\nSPACE = space.extend('wide', cell='lstm')", 2, "values of cell are a tuple"),
        (
            "import space\nSPACE = space.extend('wide', depth=(1, 1))",
            2,
            "values of depth differ from one another",
        ),
        (
            "import space\nSPACE = space.extend('wide', depth=(4,))",
            2,
            "depth is a whole number from 0 to 3, got 4",
        ),
        (
            "import space\nSPACE = space.extend('wide', label_tier=('all',))",
            2,
            "label_tier is the data set's",
        ),
        (
            "import space\nSPACE = space.extend('huge')",
            2,
            "unknown space 'huge': choose from wide, paper, full",
        ),
        ("import space\n\nSPACE = {'depth': (0, 1)}", 3, "the file must define its space by SPACE ="),
        ("import space\nx = 1\n", 2, "the file must define its space by SPACE ="),
        ("raise SystemExit('no')", 1, "SystemExit: no"),
        ("import space\nspace.CELLS['lstm'] = space.CELLS['gru']", 2, "cell lstm exists already"),
        ("import space\nspace.CELLS['My Cell'] = space.CELLS['gru']", 2, "cell names are lower case"),
        ("import space\nspace.CELLS['mine'] = 3", 2, "cell mine is a Cell(…), got 3"),
        (
            "import space\n\nspace.LOSSES['mine'] = space.Loss(words='mine', make=3)",
            3,
            "loss: make is callable",
        ),
        (
            CELL.replace("n_in * hidden + hidden", "n_in * hidden"),
            14,
            "has 104 parameters, `parameters` says 96",
        ),
        (CELL.replace("lambda n_in, hidden", "lambda n_in"), 14, "Cell last: TypeError: "),
        (
            CELL.replace("return self.dense(x_BTC)", "return x_BTC[0] + y"),
            11,
            "NameError: name 'y' is not defined",
        ),
        (CELL.replace("self.dense(x_BTC)", "self.dense(x_BTC)[:, -1]"), 14, "have shape (2, 8)"),
        (CELL.replace("module=Last", "module='nowhere:Last'"), 14, "No module named 'nowhere'"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(text: str, line: int, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        named_space(path)
    told = str(caught.value)
    assert told.startswith(f"{path}, line {line}: "), told
    assert message in told
    assert "\n" not in told
    assert "mine" not in space.CELLS
    assert "last" not in space.CELLS
    assert "mine.py" not in space.SPACES


UNSET = """
import torch
import space
from space import FRONT_ENDS, FrontEnd

class Scale:
    n_parameters = N

    def width_after(self, width):
        return width

    def length_after(self, length):
        return length

    def module(self):
        return ScaleModule()

class ScaleModule(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.empty(12, 1, 1))

    def initialise(self, generator):
        self.scale.fill_(1.0)

    def forward(self, x_BC1T):
        return self.scale * x_BC1T

FRONT_ENDS["scaled"] = FrontEnd(
    words="scaled", source="a test", width=1, layers=lambda n_leads, width, kernel: (Scale(),))
SPACE = space.extend("paper", backbone=("scaled",), depth=(1,))
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (UNSET.replace("= N", "= 12"), ""),
        (UNSET.replace("= N", "= 13"), "140,817 parameters, 140,818 by the closed form"),
        (
            UNSET.replace("= N", "= 12").replace("def initialise(", "def draw("),
            "scale of ScaleModule (blocks.0)",
        ),
        (UNSET.replace("= N", "= 12").replace("return length", "return length - 1"), "shape (2, 12, 1, 500)"),
    ],
)
def test_a_layer_of_another_kind_brings_its_module(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    if not message:
        named_space(path)
        assert Space("mine.py", ("all",))[0].describe().startswith("scaled → LSTM(128)")
        return
    with pytest.raises(UsageError) as caught:
        named_space(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}, line ")


def test_what_a_file_prints_does_not_go_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named_space(write(tmp_path, CELL + "print('hello')\n"))
    assert capsys.readouterr() == ("", "hello\n")


def test_a_file_that_is_not_there_and_a_name_that_is_taken(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--space .*none.py: the file cannot be read \(No such file"):
        named_space(str(tmp_path / "none.py"))
    with pytest.raises(
        UsageError,
        match=r"^unknown space 'huge': choose from wide, paper, full, .*mingru, .*or name a file FILE\.py$",
    ):
        named_space("huge")
    with pytest.raises(UsageError, match="has the name of a space of the program"):
        named_space(write(tmp_path, CELL, "wide.py"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("del space.CELLS['gru']", r"mine.py: the file takes gru out of space\.CELLS or replaces it"),
        ("space.SPACES['wide'] = {}", r"mine.py: the file takes wide out of space\.SPACES or replaces it"),
    ],
)
def test_a_file_leaves_what_is_there(line: str, message: str, tmp_path: Path) -> None:
    cells, wide = list(space.CELLS), space.SPACES["wide"]
    with pytest.raises(UsageError, match=message):
        named_space(write(tmp_path, f"import space\n{line}\nSPACE = space.extend('paper', cell=('lstm',))\n"))
    assert (list(space.CELLS), space.SPACES["wide"]) == (cells, wide)


def test_a_corrected_file_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path, CELL)
    first = named_space(path)
    assert named_space(path) is first
    second = named_space(write(tmp_path, CELL.replace("'Last'", "'Final'").replace('"Last"', '"Final"')))
    assert second.digest != first.digest
    assert space.CELLS["last"].words == "Final"


# ---------------------------------------------------------------------------------------------------------
# A study stays with its file


def test_a_study_stays_with_its_file(tmp_path: Path) -> None:
    chosen = named_space(write(tmp_path, CELL))
    study = make_study(space="mine.py", settings={"epochs": 3, **chosen.settings})
    check_space(study, chosen)
    check_space(study, named_space(write(tmp_path, CELL, "moved.py")))  # the content counts
    with pytest.raises(StudyMismatchError) as caught:
        check_space(study, None)
    assert str(caught.value) == (
        f"study {study.name} was made with the space file mine.py (digest {chosen.digest}): give that file "
        "with --space FILE.py"
    )
    other = named_space(write(tmp_path, CELL + "\n"))
    with pytest.raises(StudyMismatchError) as caught:
        check_space(study, other)
    assert str(caught.value) == (
        f"study {study.name} was made with the space file mine.py of digest {chosen.digest}, mine.py has "
        f"digest {other.digest}: give the file as it was then, or choose another --study"
    )
    with pytest.raises(StudyMismatchError, match=r"was made with the space file mine\.py"):
        check_space(study, named_space("wide"))


def test_a_file_of_the_program_is_named_without_its_suffix() -> None:
    assert {"asymmetric_loss", "mingru", "strided"} <= set(program_files())
    chosen = named_space("mingru")
    assert chosen == named_space(str(FOLDER / "mingru.py"))
    study = make_study(space=chosen.name, settings={"epochs": 3, **chosen.settings})
    check_space(study, chosen)
    with pytest.raises(StudyMismatchError, match=r"space file mingru\.py .*: give --space mingru$"):
        check_space(study, None)


def test_a_study_of_the_program_stays_with_its_space(tmp_path: Path) -> None:
    study = make_study(space="wide")
    check_space(study, None)
    check_space(study, named_space("wide"))
    with pytest.raises(StudyMismatchError) as caught:
        check_space(study, named_space("paper"))
    assert str(caught.value) == (
        f"study {study.name} was made with --space wide, not paper: "
        "leave --space out to continue it, or choose another --study"
    )
    with pytest.raises(StudyMismatchError, match=r"was made with --space wide, not mine\.py"):
        check_space(study, named_space(write(tmp_path, CELL)))


# ---------------------------------------------------------------------------------------------------------
# A study stays with its axes


@pytest.mark.parametrize("name", ["wide", "paper", "full"])
def test_a_study_is_continued_with_the_axes_it_was_made_with(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = named_space(name)
    stored = json.loads(json.dumps({"epochs": 3, **chosen.settings}))  # as a database keeps it
    study = make_study(space=name, settings=stored)
    monkeypatch.setitem(space.SPACES, name, {**space.SPACES[name], "dropout": (0.3,), "gate": (0, 4)})
    later = named_space(name)
    assert as_made(study, later).axes == chosen.axes != later.axes


@pytest.mark.parametrize("name", ["wide", "paper", "full"])
def test_a_study_of_before_is_continued_with_the_axes_of_before(name: str) -> None:
    axes = as_made(make_study(space=name), named_space(name)).axes
    assert axes["dropout"] == ((0.0, 0.1, 0.25, 0.5) if name == "full" else (0.5,))
    assert (axes["sampling"], axes["stride"]) == (("none",), ())


def test_a_file_of_a_study_of_before_extends_what_there_was_before(tmp_path: Path) -> None:
    chosen = named_space(write(tmp_path, CELL.replace('"paper"', '"wide"')))
    assert (chosen.axes["dropout"], chosen.axes["cell"]) == ((0.1, 0.25, 0.5), ("gru", "last"))
    kept = {name: value for name, value in chosen.settings.items() if name != "axes"}
    former = as_made(make_study(space="mine.py", settings=kept), chosen)
    assert former.axes == {**space.FORMER_SPACES["wide"], "cell": ("gru", "last")}
    assert former.digest == chosen.digest
    # What a study made with it from now on keeps is what the file says now.
    again = named_space(str(tmp_path / "mine.py"))
    study = make_study(space="mine.py", settings=chosen.settings)
    assert as_made(study, again).axes == chosen.axes
    assert space.SPACES["wide"]["dropout"] == (0.1, 0.25, 0.5)


@pytest.mark.parametrize("axes", [{"colour": ["red"]}, {"gate": [0, 3]}, {"backbone": ["vgg"]}])
def test_axes_of_a_newer_version_are_told(axes: dict[str, list[space.Choice]]) -> None:
    (value,) = axes
    study = make_study(space="wide", settings={"axes": axes})
    with pytest.raises(StudyMismatchError) as caught:
        as_made(study, named_space("wide"))
    text = str(caught.value)
    assert text.startswith(f"study {study.name} has axes that this version does not know (")
    assert value in text
    assert text.endswith("): continue it with the version that made it, or choose another --study")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("lambda y_NC: 2", "its weights are a tensor of one number a record, got 2 for 3 records"),
        ("lambda y_NC: y_NC", "its weights are a tensor of one number a record, got tensor"),
        ("lambda y_NC: -y_NC[:, 0]", "its weights are finite, none below 0 and not all 0, got [-1.0"),
    ],
)
def test_a_sampling_of_a_file_is_tried(tmp_path: Path, weights: str, message: str) -> None:
    text = (
        "import space\n"
        f"space.SAMPLINGS['mine'] = space.Sampling(words='mine', weights={weights})\n"
        "SPACE = space.extend('paper', sampling=('none', 'mine'))\n"
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        named_space(write(tmp_path, text))
