"""Published results on PTB-XL, for comparison: none of them was trained or scored here.

All are scores on fold 10 of models trained on folds 1–8 or 1–9, so they are no more than landmarks beside
cross-validated ones. A further result is one further line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.records import StudyRecord

JAFARI = "Jafari & Jafari, How much temporal modeling is enough?, table 2; fold 10, 2,198 records"
STRODTHOFF = "Strodthoff et al. 2020, repository ecg_ptbxl_benchmarking; fold 10, 2,158 records"
PROJECTED = (
    "xresnet1d101 of Strodthoff et al. 2020 trained on all 71 statements, its published predictions of "
    "fold 10 projected by P = 1 − Π(1 − P(child)); 2,203 records of version 1.0.1"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """A published result."""

    name: str
    """Name of the model."""
    tier: str
    """Label tier it was scored on."""
    parameters: int
    """Trainable; computed from the published description, gates left out where their width is not given."""
    macro_auprc: float | None
    """Macro-AUPRC on fold 10; null where it was not published."""
    macro_auroc: float | None
    """Macro-AUROC on fold 10; null where it was not published."""
    source: str
    """Publication and records scored."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Metrics on fold 10 at a threshold of .5, those of `TABLE_2`; empty where they were not published."""


TABLE_2 = (
    "hamming_loss",
    "macro_auroc",
    "macro_auprc",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "macro_balanced_accuracy",
    "micro_f1",
    "micro_precision",
    "micro_recall",
    "subset_accuracy",
)
"""Columns of table 2 of Jafari & Jafari, in their order."""


def _jafari(name: str, parameters: int, *values: float) -> Anchor:
    metrics = dict(zip(TABLE_2, values, strict=True))
    return Anchor(
        name=name,
        tier="subclass",
        parameters=parameters,
        macro_auprc=metrics["macro_auprc"],
        macro_auroc=metrics["macro_auroc"],
        source=JAFARI,
        metrics=metrics,
    )


def _strodthoff(name: str, parameters: int, auroc: float) -> Anchor:
    return Anchor(
        name=name,
        tier="subclass",
        parameters=parameters,
        macro_auprc=None,
        macro_auroc=auroc,
        source=STRODTHOFF,
    )


def _projected(tier: str, auprc: float, auroc: float) -> Anchor:
    return Anchor(
        name="xresnet1d101",
        tier=tier,
        parameters=1_880_775,  # with 71 outputs
        macro_auprc=auprc,
        macro_auroc=auroc,
        source=PROJECTED,
    )


ANCHORS = (
    _jafari(
        "CNN",
        528_983,
        *(0.0340, 0.9204, 0.4721, 0.3841, 0.5630, 0.3439),
        *(0.6635, 0.6944, 0.7543, 0.6434, 0.5664),
    ),
    _jafari(
        "CNN-GRU",
        611_671,
        *(0.0348, 0.9195, 0.4598, 0.3755, 0.4611, 0.3435),
        *(0.6632, 0.6864, 0.7466, 0.6351, 0.5537),
    ),
    _jafari(
        "CNN-LSTM",
        661_079,
        *(0.0347, 0.9231, 0.4571, 0.3698, 0.5392, 0.3310),
        *(0.6567, 0.6886, 0.7473, 0.6384, 0.5605),
    ),
    _jafari(
        "CNN-BiLSTM",
        924_247,
        *(0.0338, 0.9202, 0.4715, 0.3908, 0.5505, 0.3496),
        *(0.6663, 0.6979, 0.7535, 0.6500, 0.5723),
    ),
    _jafari(
        "CNN-LSTM-BiLSTM",
        991_063,
        *(0.0344, 0.9166, 0.4711, 0.3998, 0.5419, 0.3618),
        *(0.6723, 0.6913, 0.7491, 0.6417, 0.5605),
    ),
    _jafari(
        "CNN-GRU-BiLSTM-LSTM",
        1_074_263,
        *(0.0354, 0.9080, 0.4409, 0.3496, 0.4766, 0.3182),
        *(0.6509, 0.6754, 0.7498, 0.6144, 0.5487),
    ),
    _projected("subclass", 0.5068, 0.9307),
    _projected("superclass", 0.8160, 0.9310),
    _projected("diagnostic", 0.3681, 0.9346),
    _projected("all", 0.3706, 0.9254),
    _strodthoff("fcn_wang", 312_087, 0.927),
    _strodthoff("resnet1d_wang", 475_671, 0.928),
    _strodthoff("inception1d", 509_975, 0.930),
    _strodthoff("lstm", 906_007, 0.928),
    _strodthoff("lstm_bidir", 2_332_951, 0.923),
)


def anchors_of(study: StudyRecord) -> tuple[Anchor, ...]:
    """Published results on the target of the study; none unless it is of PTB-XL itself."""
    if study.synthetic or not study.data_name.lower().startswith("ptb-xl"):
        return ()
    return tuple(anchor for anchor in ANCHORS if anchor.tier == study.target)
