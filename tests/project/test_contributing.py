"""The examples of CONTRIBUTING.md are files that are searched as they are, from the command line."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from command_line import call
from report_records import write_page_alone

import space
import storage
from search.data.demo import write_demo
from search.models.costs import count_parameters
from search.models.hybrid import build_model, n_parameters
from search.study.space_file import forget_file, named_space

pytestmark = pytest.mark.usefixtures("no_space_file")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "search" / "spaces"
QUOTED = {
    "mingru.py": ("cnn-mingru", 'cell=("mingru",), depth=(1, 2)'),
    "asymmetric_loss.py": ("cnn-asymmetric", 'loss=("asymmetric",), depth=(0, 1)'),
    "strided.py": ("strided", 'backbone=("strided",), kernel=(15, 31), depth=(0, 1)'),
}
"""Examples with the preset that each brings, and axes with which only what is new in it is searched."""
TINY = "width=(0.0625,), hidden_size=(4,), head_width=(8,)"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    write_demo(folder, n_records=240)
    return folder


def test_the_guide_quotes_the_examples() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quoted = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    for name in QUOTED:
        assert f"search/spaces/{name}" in guide
    sources = [(EXAMPLES / name).read_text(encoding="utf-8") for name in QUOTED]
    assert quoted
    for block in quoted:
        assert any(block.strip() in source for source in sources), block


@pytest.mark.slow
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


def test_min_gru_is_its_recurrence() -> None:
    """Time step by time step: h_t = (1 − z_t) h_{t−1} + z_t g(c_t)."""
    named_space(str(EXAMPLES / "mingru.py"))
    cell = space.CELLS["mingru"].module(3, 4)
    x_BTC = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(1)) * 3
    gate, candidate = torch.sigmoid(cell.gate(x_BTC)), cell.candidate(x_BTC)
    positive = torch.where(candidate >= 0, candidate + 0.5, torch.sigmoid(candidate))
    state = torch.zeros(2, 4)
    expected = []
    for t in range(50):
        state = (1 - gate[:, t]) * state + gate[:, t] * positive[:, t]
        expected.append(state)
    # Sums of fifty logarithms of up to some ten each: a few hundred roundings of 6e-8.
    torch.testing.assert_close(cell(x_BTC), torch.stack(expected, dim=1), rtol=1e-4, atol=1e-6)


def test_the_asymmetric_loss_by_hand() -> None:
    named_space(str(EXAMPLES / "asymmetric_loss.py"))
    make = space.LOSSES["asymmetric"].make
    y_NC = torch.tensor([[1.0, 0.0]])
    loss = make(y_NC, exclusive=False, gamma_pos=1.0, gamma_neg=2.0, margin=0.05)
    # p = .5 in both: −.5 log .5, and −.45² log .55.
    expected = (0.5 * math.log(2) - 0.45**2 * math.log(0.55)) / 2
    assert loss(torch.zeros(1, 2), y_NC).item() == pytest.approx(expected, rel=1e-6)
    # A negative below the margin costs nothing, and all is finite at both ends.
    certain = torch.tensor([[200.0, -200.0]], requires_grad=True)
    assert loss(certain, y_NC).item() == 0
    wrong = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    for own in (
        {"gamma_pos": 0.0, "gamma_neg": 4.0, "margin": 0.0},
        {"gamma_pos": 1.0, "gamma_neg": 1.0, "margin": 0.2},
    ):
        value = make(y_NC, exclusive=False, **own)(wrong, y_NC)
        (gradient,) = torch.autograd.grad(value, wrong)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()
    plain = make(y_NC, exclusive=False, gamma_pos=0.0, gamma_neg=0.0, margin=0.0)
    z_BC = torch.tensor([[0.3, -1.2]])
    torch.testing.assert_close(
        plain(z_BC, y_NC), torch.nn.functional.binary_cross_entropy_with_logits(z_BC, y_NC)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", QUOTED)
def test_an_example_is_searched(
    name: str, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("search.training.device.available_cores", lambda: 1)
    write_page_alone(monkeypatch)
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
    reported = call("report", "--study", study, "--json")
    assert (reported.status, reported.err) == (0, "")
    report = json.loads(reported.out)
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
