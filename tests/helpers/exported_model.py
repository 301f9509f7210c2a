"""A small exported model, whose logits are weighted sums of the mean absolute voltages of leads."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scores.conformal import class_quantiles, exclusive_quantiles
from scores.novelty import FeatureDistance
from search.data.signals.leads import LEADS
from search.export.folder import (
    FORMAT,
    GRAPH,
    ClassConformal,
    ClassLabel,
    Conformal,
    Feature,
    Labels,
    Member,
    Novelty,
    NoveltyMember,
    Preprocessing,
    Provenance,
    SignalFilter,
    TierLabels,
    write_document,
    write_novelty,
)

CLASSES = ("AMI", "IMI", "NORM", "STTC")
WEIGHTS_LC = np.zeros((12, 4), np.float32)
WEIGHTS_LC[6:9, 0] = 8.0  # V1 to V3
WEIGHTS_LC[[1, 2, 5], 1] = 8.0  # II, III, aVF
WEIGHTS_LC[:, 2] = -1.0
WEIGHTS_LC[9:, 3] = 6.0
BIAS_C = np.array([-4.0, -3.0, 1.5, -3.0], np.float32)
COVERAGES = (0.5, 0.8, 0.9, 0.95)
TEMPERATURES = (2.0, 1.0, 0.5, None)
THRESHOLDS = (0.4, 0.5, 0.6, None)
SEVERITY = {"normal": ("NORM",), "abnormal": ("STTC",), "urgent": ("AMI", "IMI")}


def write_model(
    folder: Path,
    *,
    rate_hz: int = 100,
    n_samples: int = 1000,
    any_length: bool = True,
    filter_name: str = "none",
    leads: tuple[str, ...] = LEADS,
    features: tuple[str, ...] = (),
    novelty_threshold: float | None = 50.0,
    **changes: object,
) -> Path:
    """Write the folder of the model and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_graph(folder / GRAPH, len(leads), len(features), None if any_length else n_samples)
    preprocessing = Preprocessing(
        format=FORMAT,
        rate_hz=rate_hz,
        n_samples=n_samples,
        any_length=any_length,
        leads=leads,
        unit="mV",
        resolution_uv=1.0,
        filter=SignalFilter(name=filter_name, words=filter_name, parameters={}),
        features=tuple(Feature(name=name, words=name) for name in features),
        members=(
            Member(
                name="trial 0, fold 1",
                trial=0,
                fold=1,
                weight=1.0,
                n_features=len(leads),
                lead_mean_mv=(0.0,) * len(leads),
                lead_deviation_mv=(0.25,) * len(leads),
            ),
        ),
        **changes,
    )
    write_document(folder, preprocessing)
    novelty = None
    if novelty_threshold is not None:
        members = (NoveltyMember(threshold=novelty_threshold, n_records=400),)
        novelty = Novelty(quantile=0.99, members=members)
        mean_K = np.full(len(leads), 0.15)
        write_novelty(folder, (FeatureDistance(mean_K=mean_K, cholesky_KK=np.eye(len(leads)) * 0.1),))
    write_document(folder, Labels(format=FORMAT, model=PROVENANCE, tiers=make_tiers(), novelty=novelty))
    return folder


PROVENANCE = Provenance(
    name="trial 0 of test",
    study="test",
    trial=0,
    evaluation=None,
    description="mean absolute voltage and a linear layer",
    parameters=52,
    data_name="ptb-xl",
    data_version="1.0.3",
    data_fingerprint="0" * 64,
    n_records=400,
    n_patients=400,
    synthetic=False,
)


def write_graph(path: Path, n_leads: int, n_features: int, n_samples: int | None) -> None:
    """The graph; hand-crafted features, where there are any, are added to nothing but have to be given."""
    length = "samples" if n_samples is None else n_samples
    inputs = [helper.make_tensor_value_info("ecg", TensorProto.FLOAT, ["batch", n_leads, length])]
    nodes = [
        helper.make_node("Abs", ["ecg"], ["absolute"]),
        helper.make_node("ReduceMean", ["absolute", "axes"], ["features"], keepdims=0),
        helper.make_node("MatMul", ["features", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
    ]
    if n_features:
        inputs.append(helper.make_tensor_value_info("features_in", TensorProto.FLOAT, ["batch", n_features]))
        nodes.insert(0, helper.make_node("Identity", ["features_in"], ["unused"]))
    constants = {"axes": np.array([2]), "weights": WEIGHTS_LC[:n_leads], "bias": BIAS_C}
    graph = helper.make_graph(
        nodes,
        "trial 0 of test",
        inputs,
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
            for name, width in (("probabilities", 4), ("logits", 4), ("features", n_leads))
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def calibration() -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities of 400 records; of the last class too few for sets by class."""
    rng = np.random.default_rng(7)
    p_NC = rng.random((400, 4)) * [1, 1, 1, 0.1]
    return rng.random((400, 4)) < p_NC, p_NC


def make_tiers() -> tuple[TierLabels, ...]:
    """The tier trained on, two superclasses and NORM above it, and three levels of severity."""
    y_NC, p_NC = calibration()
    found = class_quantiles(y_NC, p_NC, COVERAGES)
    trained = tuple(
        ClassLabel(
            name=name,
            description=f"description of {name}",
            children=(),
            n_positive=int(found.n_present_C[column]),
            thresholds={"f1": THRESHOLDS[column], "youden": 0.3, "sensitivity-90": 0.1},
            temperature=TEMPERATURES[column],
            conformal=ClassConformal(
                marginal=tuple(found.marginal_QC[:, column].tolist()),
                present=tuple(found.present_QC[:, column].tolist())
                if found.is_conditional_C[column]
                else None,
                absent=tuple(found.absent_QC[:, column].tolist()) if found.is_conditional_C[column] else None,
            ),
        )
        for column, name in enumerate(CLASSES)
    )
    return (
        _tier("subclass", trained, rule=None),
        _tier(
            "superclass", _coarse({"MI": ("AMI", "IMI"), "NORM": ("NORM",), "STTC": ("STTC",)}), rule="any"
        ),
        _tier("severity-3", _severity(), rule="worst", exclusive=True, ordinal=True),
    )


def _coarse(children: dict[str, tuple[str, ...]]) -> tuple[ClassLabel, ...]:
    flat = tuple(0.3 for _ in COVERAGES)
    return tuple(
        ClassLabel(
            name=name,
            description=None,
            children=below,
            n_positive=100,
            thresholds={"f1": 0.5, "youden": 0.3, "sensitivity-90": 0.1},
            temperature=1.0,
            conformal=ClassConformal(marginal=flat, present=flat, absent=flat),
        )
        for name, below in children.items()
    )


def _severity() -> tuple[ClassLabel, ...]:
    rng = np.random.default_rng(8)
    p_NC = rng.dirichlet(np.ones(3), size=400)
    y_NC = np.eye(3, dtype=bool)[[rng.choice(3, p=p_N) for p_N in p_NC]]
    found = exclusive_quantiles(y_NC, p_NC, COVERAGES)
    return tuple(
        ClassLabel(
            name=name,
            description=None,
            children=below,
            n_positive=int(y_NC[:, column].sum()),
            thresholds={},
            temperature=1.0,
            conformal=ClassConformal(
                marginal=tuple(found.marginal_Q.tolist()),
                present=tuple(found.conditional_QC[:, column].tolist()),
                absent=None,
            ),
        )
        for column, (name, below) in enumerate(SEVERITY.items())
    )


def _tier(
    name: str,
    classes: tuple[ClassLabel, ...],
    *,
    rule: str | None,
    exclusive: bool = False,
    ordinal: bool = False,
) -> TierLabels:
    return TierLabels(
        name=name,
        exclusive=exclusive,
        rule=rule,
        classes=classes,
        n_records=400,
        calibration_error=0.1,
        calibration_error_calibrated=0.05,
        conformal=Conformal(coverages=COVERAGES, n_records=400),
        ordinal=ordinal,
    )
