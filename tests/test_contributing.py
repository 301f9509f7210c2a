"""The examples of CONTRIBUTING.md are files that are searched as they are, from the command line."""

import json
import re
from pathlib import Path

import pytest
import torch
from test_cli import call

import space
import storage
from search.data.demo import write_demo
from search.models.hybrid import build_model, n_parameters
from search.models.parameters import count_parameters
from search.space_file import forget_file, named_space

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"
QUOTED = {
    "mingru.py": ("cnn-mingru", 'cell=("mingru",), depth=(1, 2)'),
    "asymmetric_loss.py": ("cnn-asymmetric", 'loss=("asymmetric",), depth=(0, 1)'),
    "strided.py": ("strided", 'backbone=("strided",), kernel=(15, 31), depth=(0, 1)'),
}
"""Examples with the preset that each brings, and axes with which only what is new in it is searched."""
TINY = "width=(0.0625,), hidden_size=(4,), head_width=(8,)"


@pytest.fixture(autouse=True)
def _no_file():
    yield
    forget_file()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    write_demo(folder, n_records=240)
    return folder


def test_the_guide_quotes_the_examples() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quoted = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    for name in QUOTED:
        assert f"docs/examples/{name}" in guide
    sources = [(EXAMPLES / name).read_text(encoding="utf-8") for name in QUOTED]
    assert quoted
    for block in quoted:
        assert any(block.strip() in source for source in sources), block


@pytest.mark.parametrize("name", QUOTED)
def test_models_of_an_example_have_the_parameters_that_its_formula_says(name: str) -> None:
    named_space(str(EXAMPLES / name))
    listed = space.Space(name, ("superclass", "all"))
    for index in range(0, len(listed), len(listed) // 40):
        architecture = listed[index]
        model = build_model(architecture, 5, generator=torch.Generator().manual_seed(index))
        assert n_parameters(model) == count_parameters(architecture, 5)
    again = build_model(architecture, 5, generator=torch.Generator().manual_seed(index))
    for first, second in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.slow
@pytest.mark.timeout(300)  # two runs, a report with all its figures
@pytest.mark.parametrize("name", QUOTED)
def test_an_example_is_searched(
    name: str, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("search.training.device.available_cores", lambda: 1)
    preset, axes = QUOTED[name]
    example = (EXAMPLES / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(
        f'{example}\nSPACE = space.extend("wide", {axes}, {TINY})\n', encoding="utf-8"
    )
    listed = call("space", "--space", name, "--json").document()
    assert preset in [entry["name"] for entry in listed["presets"]]
    run = ["run", "--data", str(demo), "--target", "superclass", "--epochs", "1", "--pruner", "none"]
    begun = call(*run, "--space", name, "--presets", "none", "--trials", "1")
    assert (begun.status, begun.err) == (0, "")
    study = f"demo-superclass-{name.removesuffix('.py')}"
    assert call(*run, "--study", study, "--trials", "1", "--space", name).status == 0
    with storage.open_store(create=False) as store:
        trials = store.trials(study)
    assert [trial.state for trial in trials] == ["complete"] * 2

    # Continued without the file, or with another one: refused. Reported without it: as any other study.
    forget_file()
    (tmp_path / name).rename(tmp_path / "hidden.txt")
    refused = call(*run, "--study", study, "--trials", "1")
    assert refused.status == 1
    assert f"study {study} was made with the space file {name} (digest " in refused.err
    assert refused.err.count("\n") == 1
    assert call("status", "--study", study).status == 0
    report = json.loads(call("report", "--study", study, "--json").out)
    assert len(report["trials"]) == 2
    if name == "mingru.py":
        assert {trial["recurrent_kind"] for trial in report["trials"]} == {
            "minGRU"
        }  # words kept by the study
    evaluated = call("evaluate", "--study", study, "--trial", "0", "--data", str(demo))
    assert evaluated.status == 1
    assert f"study {study} was made with the space file {name} (digest " in evaluated.err
    (tmp_path / name).write_text(
        (tmp_path / "hidden.txt").read_text(encoding="utf-8") + "\n", encoding="utf-8"
    )
    changed = call(*run, "--study", study, "--trials", "1", "--space", name)
    assert changed.status == 1
    assert "give the file as it was then, or choose another --study" in changed.err
