"""Published results on PTB-XL, for comparison: none of them was trained or scored here.

All are scores on fold 10 of models trained on folds 1–8 or 1–9, so they are no more than landmarks beside
cross-validated ones. A further result is one further line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.records import StudyRecord

JAFARI = "Jafari & Jafari, How much temporal modeling is enough?, table 2; fold 10, 2,198 records"
STRODTHOFF = "Strodthoff et al. 2020, repository ecg_ptbxl_benchmarking; fold 10, 2,158 records"
BENCHMARK = "benchmark of ECG foundation models, arXiv 2509.25095 (2026); fold 10"
MSDNN = "doi 10.1038/s44325-024-00010-0 (2024), table 4; fold 10"
HC_CNN_TN = "HC-CNN-TN, table 3 and section 3; fold 10"
FEYISA = "Feyisa et al. 2022, doi 10.1155/2022/8413294; fold 10"
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
    parameters: int | None
    """Trainable: computed from the published description, gates left out where their width is not given, or
    rounded as published; null where neither can be had."""
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


def _anchor(
    name: str,
    source: str,
    parameters: int | None,
    *,
    auprc: float | None = None,
    **auroc: float,
) -> tuple[Anchor, ...]:
    """A model by its AUROC on each tier; `auprc` is on the only one."""
    return tuple(
        Anchor(
            name=name,
            tier=tier,
            parameters=parameters,
            macro_auprc=auprc,
            macro_auroc=value,
            source=source,
        )
        for tier, value in auroc.items()
    )


def _strodthoff(name: str, *tiers: tuple[str, int, float]) -> tuple[Anchor, ...]:
    """A model of the benchmark: tier, parameters with as many outputs as it has classes, and AUROC."""
    return tuple(
        anchor
        for tier, parameters, auroc in tiers
        for anchor in _anchor(name, STRODTHOFF, parameters, **{tier: auroc})
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
    *_strodthoff(
        "fcn_wang", ("subclass", 312_087, 0.927), ("superclass", 309_765, 0.925), ("all", 318_279, 0.918)
    ),
    *_strodthoff(
        "resnet1d_wang", ("subclass", 475_671, 0.928), ("superclass", 473_349, 0.930), ("all", 481_863, 0.919)
    ),
    *_strodthoff(
        "inception1d", ("subclass", 509_975, 0.930), ("superclass", 507_653, 0.921), ("all", 516_167, 0.925)
    ),
    *_strodthoff(
        "lstm", ("subclass", 906_007, 0.928), ("superclass", 903_685, 0.927), ("all", 912_199, 0.907)
    ),
    *_strodthoff("lstm_bidir", ("subclass", 2_332_951, 0.923)),
    *_strodthoff(
        "xresnet1d101 (trained on the tier)",
        ("subclass", 1_874_583, 0.929),
        ("superclass", 1_872_261, 0.928),
        ("all", 1_880_775, 0.925),
    ),
    *_anchor(
        "S4",
        f"{BENCHMARK}; intervals [.926, .938] on superclass and [.905, .948] on subclass",
        2_200_000,
        superclass=0.9320,
        subclass=0.9379,
        all=0.9411,
    ),
    *_anchor("ECG-CPC, fine-tuned", BENCHMARK, 3_800_000, superclass=0.9336, subclass=0.9398, all=0.9493),
    *_anchor("ECGFounder, fine-tuned", BENCHMARK, 30_700_000, superclass=0.9347, subclass=0.9428, all=0.9338),
    *_anchor("ECGFounder, linear probe", BENCHMARK, 30_700_000, subclass=0.9446),
    *_anchor("MERL", BENCHMARK, 3_860_000, superclass=0.9302, subclass=0.9374),
    *_anchor("ECG-JEPA", BENCHMARK, 86_000_000, superclass=0.9211, subclass=0.9350, all=0.9404),
    *_anchor("ECG-FM", BENCHMARK, 90_000_000, subclass=0.9321),
    *_anchor("HuBERT-ECG", BENCHMARK, 93_000_000, subclass=0.9185),
    *_anchor("ST-MEM", BENCHMARK, 88_000_000, subclass=0.9159),
    *_anchor("KED", BENCHMARK, None, subclass=0.9079),
    *_anchor("Net1D from scratch", BENCHMARK, 30_700_000, superclass=0.9237, subclass=0.9263, all=0.9286),
    *_anchor("MSDNN", MSDNN, None, auprc=0.528, subclass=0.933),
    *_anchor("MESEL, an ensemble", MSDNN, None, auprc=0.563, subclass=0.936),
    *_anchor("HC-CNN-TN", HC_CNN_TN, None, superclass=0.933, subclass=0.928),
    *_anchor("X-ECGNet", f"{HC_CNN_TN}, as cited there", None, superclass=0.93),
    *_anchor(
        "CNN with entropy features",
        "Śmigiel et al. 2021, doi 10.3390/e23091121, as cited in table 3 of HC-CNN-TN; fold 10",
        None,
        superclass=0.91,
    ),
    *_anchor("MRF-CNN", FEYISA, None, superclass=0.93, diagnostic=0.92),
    *_anchor("MRF-CNN", f"{FEYISA}, 20 of the 23 subclasses", None, subclass=0.92),
    *_anchor(
        "Heart Reader",
        "github.com/chaima-massaoudi (2026), with features of PTB-XL+; fold 10",
        977_000,
        superclass=0.9268,
    ),
    *_anchor(
        "HMT-ECGNet",
        "github.com/MahboobAlam0/hmt_ecg_healthmonitoringsystem (2026), approximate; fold 10",
        338_000,
        auprc=0.78,
        superclass=0.92,
    ),
)


def anchors_of(study: StudyRecord) -> tuple[Anchor, ...]:
    """Published results on the target of the study; none unless it is of PTB-XL itself."""
    if study.synthetic or not study.data_name.lower().startswith("ptb-xl"):
        return ()
    return tuple(anchor for anchor in ANCHORS if anchor.tier == study.target)
