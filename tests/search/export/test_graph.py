"""ONNX graphs of models: onnxruntime answers what PyTorch does, whatever the architecture, batch and length.

Weights are untrained, batch norms and output layers drawn so that no result is constant. Both compute in
float32: sums of up to 2,000 terms in another order differ by some 1e-6 of them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import space
from search.data.features import FEATURE_NAMES, FeatureScaling
from search.errors import UsageError
from search.export.graph import Graph, features_width, make_graph
from search.export.runtime import feeds, session
from search.models.hybrid import build_model
from search.training.batches import LeadStatistics
from search.training.model_file import KeptModel, mean_probabilities
from space import Architecture, RecurrentLayer

GRU, BIGRU = RecurrentLayer(cell="gru"), RecurrentLayer(cell="gru", bidirectional=True)
LSTM, BILSTM = RecurrentLayer(cell="lstm"), RecurrentLayer(cell="lstm", bidirectional=True)
SMALL: dict[str, Any] = {"width": 0.0625, "head_width": 8, "hidden_size": 5}
CLASSES = ("a", "b", "c", "d", "e")


def kept(architecture: Architecture, *, seed: int = 0, exclusive: bool = False) -> KeptModel:
    """A model that nobody trained, of 12 leads and five classes."""
    generator = torch.Generator().manual_seed(seed)
    n_features = len(FEATURE_NAMES)
    inputs = space.Inputs(n_features=2 * n_features)
    model = build_model(architecture, len(CLASSES), generator=generator, inputs=inputs).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
    nn.init.normal_(model.head[-1].weight, std=0.2, generator=generator)  # type: ignore[arg-type]
    scaling = None
    if architecture.features:
        median_K = torch.randn(n_features, generator=generator).numpy()
        scaling = FeatureScaling(median_K=median_K, deviation_K=np.full(n_features, 0.5, np.float32))
    return KeptModel(
        architecture=architecture,
        classes=CLASSES,
        is_exclusive=exclusive,
        leads=tuple(map(str, range(12))),
        rate_hz=100,
        n_samples=150,
        model=model,
        statistics=LeadStatistics(
            mean_L=20 * torch.randn(12, generator=generator),
            deviation_L=100 + 100 * torch.rand(12, generator=generator),
        ),
        scaling=scaling,
    )


def records(n: int, length: int) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 200, (n, 12, length)).round().astype(np.int16)


def some_features(n: int) -> np.ndarray:
    f_NK = np.random.default_rng(n).normal(size=(n, len(FEATURE_NAMES))).astype(np.float32)
    f_NK[0, 3], f_NK[0, 4] = np.nan, 100.0  # missing, and beyond the limit
    return f_NK


def check(members: list[KeptModel], weights: list[float]) -> onnx.ModelProto:
    """Compare with PyTorch at two lengths and numbers of records; the graph."""
    model = make_graph(members, weights, name="test")
    running = session(model, n_threads=1)
    for n, length in ((1, 150), (3, 97)):
        x_NLT = records(n, length)
        f_NK = some_features(n) if members[0].scaling is not None else None
        (fed,) = feeds(x_NLT, f_NK)
        p_NC, z_NC, h_NK = running.run(None, fed)
        wanted_NC = mean_probabilities(members, weights, torch.from_numpy(x_NLT), f_NK)
        np.testing.assert_allclose(p_NC, wanted_NC, atol=2e-5)
        assert wanted_NC.std() > 1e-4  # else the comparison says nothing
        z = torch.from_numpy(z_NC)
        again = torch.softmax(z, 1) if members[0].is_exclusive else torch.sigmoid(z)
        np.testing.assert_allclose(again.numpy(), p_NC, atol=1e-6)
        assert h_NK.shape == (n, sum(features_width(each.model) for each in members))
    return model


@pytest.mark.parametrize("backbone", sorted(space.FRONT_ENDS))
def test_every_front_end_is_exported(backbone: str) -> None:
    check([kept(Architecture(backbone=backbone, **SMALL))], [1.0])


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "attention", "head": "linear"},
        {"pooling": "mean-max", "head": "bottleneck", "gate": 4},
        {"features": True, "gate": 16},
        {"backbone": "resnet1d-se", "kernel": 15},
        {"backbone": "separable", "kernel": 5, "stride": 2, "recurrent": (LSTM,)},
        {"backbone": "mingru", "stride": 2, "recurrent": (GRU,), "pooling": "attention"},
        {"recurrent": (BIGRU, LSTM), "pooling": "attention"},
        {"recurrent": (BIGRU,), "pooling": "last-mean-max"},
        {"backbone": "lstm", "pooling": "last-mean-max", "head": "bottleneck"},
        {"backbone": "lstm-bidir", "pooling": "last-mean-max", "head": "bottleneck"},
    ],
    ids="-".join,
)
def test_every_part_behind_a_front_end_is_exported(changes: dict[str, Any]) -> None:
    check([kept(Architecture(**{**SMALL, **changes}))], [1.0])


@pytest.mark.parametrize(
    ("stack", "operators"),
    [((LSTM,), ["LSTM"]), ((GRU, BILSTM), ["GRU", "LSTM"]), ((BIGRU,), ["GRU"])],
    ids=["lstm", "gru-bilstm", "bigru"],
)
def test_a_recurrent_layer_is_one_operator(stack: tuple[RecurrentLayer, ...], operators: list[str]) -> None:
    model = check([kept(Architecture(recurrent=stack, **SMALL))], [1.0])
    assert [node.op_type for node in model.graph.node if node.op_type in {"LSTM", "GRU"}] == operators


@pytest.mark.parametrize("loss", ["bce", "balanced"])
@pytest.mark.parametrize("exclusive", [False, True])
def test_members_are_averaged_with_their_weights_and_statistics(loss: str, exclusive: bool) -> None:
    architecture = Architecture(loss=loss, **SMALL)
    members = [kept(architecture, seed=seed, exclusive=exclusive) for seed in range(3)]
    check(members, [0.5, 0.3, 0.2])


def test_log_odds_stay_finite_where_a_probability_is_one() -> None:
    members = [kept(Architecture(**SMALL), seed=seed) for seed in range(2)]
    for each in members:
        nn.init.constant_(each.model.head[-1].bias, 80.0)  # type: ignore[arg-type]
    running = session(make_graph(members, [0.5, 0.5], name="sure"), n_threads=1)
    (fed,) = feeds(records(1, 150), None)
    p_NC, z_NC, _ = running.run(None, fed)
    assert p_NC == pytest.approx(np.ones((1, 5)))
    assert z_NC == pytest.approx(np.full((1, 5), 80.0), rel=0.1)


class Doubled(nn.Module):
    """A cell of a user's, without parameters to train: its input, cut to its units and doubled."""

    def __init__(self, n_in: int, hidden_size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(()))
        self.hidden_size = hidden_size

    def initialise(self, generator: torch.Generator) -> None:
        """Two."""
        nn.init.constant_(self.scale, 2.0)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Doubled."""
        return self.scale * x_BTC[..., : self.hidden_size].cumsum(1)


class DoubledInOnnx(Doubled):
    """The same with its operators."""

    def onnx(self, graph: Graph, x: str) -> str:
        """Slice, running sum and product."""
        cut = graph.slice(x, graph.whole(0), graph.whole(self.hidden_size), 2)
        summed = graph.add("CumSum", cut, graph.constant(np.int64(1)))
        return graph.add("Mul", graph.constant(self.scale), summed)


@pytest.fixture
def own_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in (("doubled", Doubled), ("doubled-onnx", DoubledInOnnx)):
        entry = space.Cell(words=name, parameters=lambda n_in, hidden: 1, module=module)
        monkeypatch.setitem(space.CELLS.data, name, entry)


@pytest.mark.usefixtures("own_cells")
def test_a_module_of_a_space_file_is_exported_by_its_own_operators() -> None:
    stack = (RecurrentLayer(cell="doubled-onnx", bidirectional=True),)
    check([kept(Architecture(recurrent=stack, **SMALL))], [1.0])


@pytest.mark.usefixtures("own_cells")
def test_a_module_without_operators_is_named_in_one_line() -> None:
    architecture = Architecture(recurrent=(RecurrentLayer(cell="doubled"),), **SMALL)
    with pytest.raises(UsageError, match=r"^Doubled has no operators of ONNX.*method onnx\(graph, x\)"):
        make_graph([kept(architecture)], [1.0], name="test")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(space.PRESETS))
def test_every_preset_is_exported_at_its_full_size(name: str) -> None:
    check([kept(space.PRESETS[name].architecture)], [1.0])


def test_an_older_runtime_reads_the_graph(tmp_path: Path) -> None:
    model = make_graph([kept(Architecture(**SMALL))], [1.0], name="test")
    assert model.ir_version == 10
    assert [each.version for each in model.opset_import] == [20]
    assert [each.name for each in model.graph.output] == ["probabilities", "logits", "features"]
    batch, leads, samples = model.graph.input[0].type.tensor_type.shape.dim
    assert (batch.dim_param, leads.dim_value, samples.dim_param) == ("batch", 12, "samples")


def test_other_weights_are_another_graph() -> None:
    one, other = (
        session(make_graph([replace(kept(Architecture(**SMALL), seed=seed))], [1.0], name="x"), n_threads=1)
        for seed in (0, 1)
    )
    (fed,) = feeds(records(1, 150), None)
    assert np.abs(one.run(None, fed)[0] - other.run(None, fed)[0]).max() > 1e-3
