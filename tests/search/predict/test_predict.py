"""`search predict` on real records: every answer against the formula of a small model, and every doubt."""

import csv
import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import call
from exported_model import (
    BIAS_C,
    CLASSES,
    PROVENANCE,
    TEMPERATURES,
    THRESHOLDS,
    WEIGHTS_LC,
    calibration,
    write_model,
)
from exported_model import make_tiers as make_labels
from real_records import ASSETS
from rich.console import Console

from scores.conformal import class_quantiles
from search.commands.predict import POLICIES
from search.data.features.names import FEATURE_NAMES
from search.data.features.record import record_features
from search.data.signals.filters import bandpass
from search.data.signals.leads import LEADS
from search.data.signals.people import Person
from search.data.signals.records import RecordReader
from search.data.signals.resample import resample
from search.errors import DataError
from search.export.folder import FORMAT, Labels, read_folder
from search.export.folder import POLICIES as POLICIES_OF_EXPORT
from search.export.labels import Fold, TierMeaning, tier_labels
from search.predict.answers import TierAnswer, WindowAnswer, answer_record, answer_tier
from search.predict.model import load_exported, record_inputs
from search.predict.tiers import Tier, make_tiers
from search.predict.words import called_words, tier_table, without_gain_words

REPOSITORY = Path(__file__).parents[3]
RECORD = "records100/00000/00001_lr"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("exported") / "model")


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def expected(x_LT: np.ndarray) -> np.ndarray:
    """Probabilities of the model from microvolts."""
    return sigmoid(np.abs(x_LT / 1000).mean(axis=1) @ WEIGHTS_LC.astype(float) + BIAS_C)


def write_record(
    folder: Path, name: str, x_LT: np.ndarray, rate_hz: int, leads: tuple[str, ...] = LEADS
) -> Path:
    """A WFDB record of 16-bit microvolts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.dat").write_bytes(np.ascontiguousarray(x_LT.T.astype("<i2")).tobytes())
    lines = [f"{name}.dat 16 1000/mV 16 0 {x[0]} 0 0 {lead}" for x, lead in zip(x_LT, leads, strict=True)]
    text = "\n".join([f"{name} {len(x_LT)} {rate_hz} {x_LT.shape[1]}", *lines, ""])
    (folder / f"{name}.hea").write_text(text, encoding="utf-8")
    return folder / name


@pytest.fixture(scope="module")
def real_LT() -> np.ndarray:
    return RecordReader(ASSETS / "ptb-xl", rate_hz=100).read(RECORD).x_LT


def only(*arguments: object) -> dict:
    """The document of a single recording."""
    document = call("predict", *map(str, arguments), "--json").document()
    assert len(document["records"]) == 1
    return document["records"][0]


def by_class(found: dict, tier: str, what: str) -> dict:
    return found["tiers"][tier][what]


# What is said


def test_probabilities_calibration_decisions_and_sets_of_a_real_record(
    model: Path, ptbxl: Path, real_LT: np.ndarray
) -> None:
    found = only(model, ptbxl / RECORD)
    p_C = expected(real_LT)
    # The graph adds up 1,000 float32 numbers.
    assert list(by_class(found, "subclass", "probability").values()) == pytest.approx(p_C, abs=1e-5)
    logit_C = np.log(p_C / (1 - p_C))
    for name, temperature, z in zip(CLASSES, TEMPERATURES, logit_C, strict=True):
        calibrated = by_class(found, "subclass", "calibrated")[name]
        if temperature is None:
            assert calibrated is None
        else:
            assert calibrated == pytest.approx(sigmoid(z / temperature), abs=1e-5)
    called = [
        name for name, p, at in zip(CLASSES, p_C, THRESHOLDS, strict=True) if at is not None and p >= at
    ]
    assert sorted(found["tiers"]["subclass"]["called"]) == called
    quantiles = class_quantiles(*calibration(), [0.9])
    for column, name in enumerate(CLASSES):
        kind = "marginal_QC" if name == "STTC" else None  # too few of it
        present = getattr(quantiles, kind or "present_QC")[0, column]
        absent = getattr(quantiles, kind or "absent_QC")[0, column]
        in_set = (1 - p_C[column] <= present, p_C[column] <= absent)
        words = {(True, False): "present", (False, True): "absent", (True, True): "either"}.get(
            in_set, "neither"
        )
        assert by_class(found, "subclass", "set")[name] == words


def test_coarser_tiers_follow_by_their_rules_and_come_first(
    model: Path, ptbxl: Path, real_LT: np.ndarray
) -> None:
    found = only(model, ptbxl / RECORD)
    ami, imi, norm, sttc = expected(real_LT)
    assert list(found["tiers"]) == ["severity-3", "superclass", "subclass"]
    superclass = by_class(found, "superclass", "probability")
    assert superclass["MI"] == pytest.approx(1 - (1 - ami) * (1 - imi), abs=1e-5)
    assert superclass["NORM"] == pytest.approx(norm, abs=1e-5)
    severity = by_class(found, "severity-3", "probability")
    none_urgent = (1 - ami) * (1 - imi)
    assert severity["urgent"] == pytest.approx(1 - none_urgent, abs=1e-5)
    assert severity["abnormal"] == pytest.approx(none_urgent * sttc, abs=1e-5)
    assert severity["normal"] == pytest.approx(none_urgent * (1 - sttc), abs=1e-5)
    assert len(found["tiers"]["severity-3"]["called"]) == 1


def test_a_higher_confidence_makes_no_set_smaller(model: Path, ptbxl: Path) -> None:
    sizes = []
    for confidence in ("0.5", "0.85", "0.95"):
        words = by_class(only(model, ptbxl / RECORD, "--confidence", confidence), "subclass", "set").values()
        sizes.append([{"neither": 0, "absent": 1, "present": 1, "either": 2}[word] for word in words])
    assert (np.diff(sizes, axis=0) >= 0).all()
    document = call("predict", str(model), str(ptbxl / RECORD), "--confidence", "0.85", "--json").document()
    assert [tier["coverage"] for tier in document["tiers"]] == [0.9, 0.9, 0.9]  # the next higher one


def test_policies_are_those_of_export_and_change_decisions(model: Path, ptbxl: Path) -> None:
    assert POLICIES == POLICIES_OF_EXPORT
    called = only(model, ptbxl / RECORD, "--policy", "sensitivity-90")["tiers"]["subclass"]["called"]
    probability = by_class(only(model, ptbxl / RECORD), "subclass", "probability")
    assert sorted(called) == [name for name in CLASSES if probability[name] >= 0.1]


# How a recording gets to the model


def test_a_record_at_500_hz_in_other_order_and_case_is_resampled_as_in_training(
    model: Path, ptbxl: Path, tmp_path: Path
) -> None:
    x_LT = RecordReader(ptbxl, rate_hz=500).read("records500/00000/00001_hr").x_LT
    path = write_record(tmp_path, "a", x_LT[::-1], 500, tuple(lead.upper() for lead in LEADS[::-1]))
    found = only(model, path)
    p_C = expected(resample(x_LT, 500, 100))
    assert list(by_class(found, "subclass", "probability").values()) == pytest.approx(p_C, abs=1e-5)
    assert found["rate_hz"] == 500
    assert found["outside"] is None


def test_the_filter_of_the_model_is_applied(tmp_path: Path, ptbxl: Path, real_LT: np.ndarray) -> None:
    filtered = write_model(tmp_path / "model", filter_name="bandpass")
    p_C = expected(bandpass(real_LT[None], 100)[0])
    found = by_class(only(filtered, ptbxl / RECORD), "subclass", "probability")
    assert list(found.values()) == pytest.approx(p_C, abs=1e-5)
    assert p_C != pytest.approx(expected(real_LT), abs=1e-3)


def test_hand_crafted_features_are_computed_where_the_model_wants_them(tmp_path: Path, ptbxl: Path) -> None:
    wanting = write_model(tmp_path / "model", features=("rr_mean_ms", "age_years"))
    assert only(wanting, ptbxl / RECORD)["windows"] == 1


def features_fed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[dict, list[float]]:
    """The answer of a single recording, and the features that the graph got."""
    fed: list[np.ndarray] = []

    def noted(*given: object) -> np.ndarray:
        fed.append(record_inputs(*given))  # type: ignore[arg-type]
        return fed[-1]

    monkeypatch.setattr("search.predict.model.record_inputs", noted)
    found = only(folder, *arguments)
    (features_1H,) = fed
    return found, features_1H[0].tolist()


def test_age_and_sex_come_from_the_header_and_from_the_command_line_first(
    tmp_path: Path, real_LT: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "model", features=("age_years", "sex"))
    plain = write_record(tmp_path, "plain", real_LT, 100)
    found, fed = features_fed(folder, monkeypatch, plain)
    assert (found["age"], found["sex"]) == (None, None)
    assert np.isnan(fed).all()
    told = write_record(tmp_path, "told", real_LT, 100)
    with told.with_suffix(".hea").open("a", encoding="utf-8") as file:
        file.write("#Age: 93\n#Sex: Female\n")
    found, fed = features_fed(folder, monkeypatch, told)
    assert (found["age"], found["sex"], fed) == (90, "female", [90, 1])
    found, fed = features_fed(folder, monkeypatch, told, "--age", "54", "--sex", "male")
    assert (found["age"], found["sex"], fed) == (54, "male", [54, 0])
    said = call("predict", str(folder), str(plain), "--age", "54").out
    assert "Patient: age 54.0, sex unknown (give --sex)." in said


@pytest.mark.parametrize(
    ("features", "options", "reason"),
    [
        ((), ["--age", "50"], "--age: the model uses neither age nor sex; leave --age out"),
        (("sex",), ["--age", "50"], "--age: the model uses sex; leave --age out"),
        (("age_years",), ["--age", "150"], "--age is a number of years from 0 to 120, got 150"),
        (("age_years",), ["b", "--age", "50"], "--age applies to one person, got 2 recordings"),
    ],
)
def test_an_age_that_cannot_be_used_is_refused(
    features: tuple[str, ...], options: list[str], reason: str, tmp_path: Path, real_LT: np.ndarray
) -> None:
    folder = write_model(tmp_path / "model", features=features)
    records = [str(write_record(tmp_path, name, real_LT, 100)) for name in ("a", "b")]
    ended = call(
        "predict", str(folder), records[0], *(records[1] if each == "b" else each for each in options)
    )
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert reason in ended.err


def test_hand_crafted_features_are_measured_before_the_filter_as_in_training(
    tmp_path: Path, real_LT: np.ndarray
) -> None:
    folder = write_model(tmp_path / "model", features=FEATURE_NAMES, filter_name="bandpass")
    fed: dict[str, np.ndarray] = {}

    class Session:
        def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            fed.update(inputs)
            return [np.zeros((1, 4)), np.zeros((1, 4)), np.zeros((1, 12))]

    replace(load_exported(folder, int8=False), session=Session())(real_LT[None])
    filtered_LT = bandpass(real_LT[None], 100)[0]
    np.testing.assert_allclose(fed["ecg"][0], filtered_LT / 1000, rtol=1e-6)
    before, behind = (record_features(x_LT, 100, leads=LEADS) for x_LT in (real_LT, filtered_LT))
    np.testing.assert_array_equal(fed["features_in"][0], before)
    assert not np.array_equal(before, behind, equal_nan=True)


def test_six_leads_are_enough_where_the_others_follow(
    model: Path, tmp_path: Path, real_LT: np.ndarray
) -> None:
    kept = [0, 1, *range(6, 12)]
    path = write_record(tmp_path, "a", real_LT[kept], 100, tuple(LEADS[row] for row in kept))
    found = only(model, path)
    assert found["derived_leads"][0] == "III = −I + II"
    # PTB-XL's own augmented leads are rounded to whole microvolts, by up to one.
    assert list(by_class(found, "subclass", "probability").values()) == pytest.approx(
        expected(real_LT), abs=0.01
    )


def test_a_long_recording_has_windows_a_mean_and_a_timeline(
    model: Path, tmp_path: Path, ptbxl: Path, real_LT: np.ndarray
) -> None:
    other_LT = RecordReader(ptbxl, rate_hz=100).read("records100/00000/00346_lr").x_LT
    x_LT = np.concatenate([real_LT, other_LT, other_LT, real_LT[:, :500]], axis=1)
    found = only(model, write_record(tmp_path, "a", x_LT, 100))
    # 35 s in four windows that overlap evenly.
    starts = [round(25 * number / 3, 2) for number in range(4)]
    assert [window["start_s"] for window in found["timeline"]] == starts
    p_WC = np.stack([expected(x_LT[:, round(100 * start) :][:, :1000]) for start in starts])
    probability = by_class(found, "subclass", "probability")
    assert list(probability.values()) == pytest.approx(p_WC.mean(axis=0), abs=1e-5)
    shares = by_class(found, "subclass", "share_of_windows")
    assert shares["AMI"] == np.mean(p_WC[:, 0] >= THRESHOLDS[0])
    largest = only(model, tmp_path / "a", "--aggregate", "max")
    assert list(by_class(largest, "subclass", "probability").values()) == pytest.approx(
        p_WC.max(axis=0), abs=1e-5
    )
    view = call("predict", str(model), str(tmp_path / "a"))
    assert view.status == 0
    assert "35 s in 4 windows at 100 Hz" in " ".join(view.out.split())
    # A path is not broken, so that it can be copied.
    assert max(len(line) for line in view.out.splitlines() if str(tmp_path) not in line) <= 80


@pytest.mark.parametrize(
    ("n_samples", "n_windows"), [(1000, 1), (1001, 1), (1100, 1), (1101, 2), (2000, 2), (2101, 3)]
)
def test_what_is_left_over_is_covered_by_overlap(
    model: Path, tmp_path: Path, real_LT: np.ndarray, n_samples: int, n_windows: int
) -> None:
    found = only(model, write_record(tmp_path, "a", np.tile(real_LT, 3)[:, :n_samples], 100))
    assert found["windows"] == n_windows
    if n_windows > 1:
        assert found["timeline"][-1]["end_s"] == pytest.approx(n_samples / 100)


def test_a_short_recording_is_answered_with_a_doubt_or_refused(
    model: Path, tmp_path: Path, real_LT: np.ndarray
) -> None:
    path = write_record(tmp_path, "a", real_LT[:, :600], 100)
    found = only(model, path)
    assert found["outside"] == {"kind": "length", "reason": "6 s long, shorter than the 10 s of training"}
    assert list(by_class(found, "subclass", "probability").values()) == pytest.approx(
        expected(real_LT[:, :600]), abs=1e-5
    )
    fixed = write_model(tmp_path / "fixed", any_length=False)
    ended = call("predict", str(fixed), str(path))
    assert (ended.status, ended.out) == (1, "")
    assert "a: 6 s long, the model takes no less than 10 s" in ended.err
    tiny = call("predict", str(model), str(write_record(tmp_path, "b", real_LT[:, :50], 100)))
    assert "0.5 s long, at least 1 s are needed" in tiny.err


# When it does not know


def damaged(kind: str, x_LT: np.ndarray) -> tuple[np.ndarray, int]:
    x_LT = x_LT.copy()
    if kind == "flat":
        x_LT[3] = 17
    elif kind == "nearly flat":
        x_LT[3] = np.random.default_rng(0).integers(-3, 3, x_LT.shape[1])
    elif kind == "clipped":
        x_LT[7] = np.clip(6 * x_LT[7].astype(int), -600, 900)
    elif kind == "amplitude":
        x_LT = np.clip(12 * x_LT.astype(int), -32_000, 32_000)
    elif kind == "rate":
        return resample(x_LT, 100, 50), 50
    return x_LT, 100


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("flat", "lead aVR is flat"),
        ("nearly flat", "lead aVR is flat"),
        ("clipped", "lead V2 is clipped"),
        ("amplitude", "times that of training; check the unit"),
        ("rate", "sampled at 50 Hz, below the 100 Hz of training"),
    ],
)
def test_a_record_unlike_training_is_answered_with_one_reason(
    model: Path, tmp_path: Path, real_LT: np.ndarray, kind: str, reason: str
) -> None:
    found = only(model, write_record(tmp_path, "a", *damaged(kind, real_LT)))
    assert reason in found["outside"]["reason"]
    assert found["outside"]["kind"] == kind.removeprefix("nearly ")
    assert found["abstains"]
    assert reason in " ".join(call("predict", str(model), str(tmp_path / "a")).out.split())


def test_a_record_far_from_training_in_features_is_told(
    tmp_path: Path, ptbxl: Path, real_LT: np.ndarray
) -> None:
    # Mean .15 and deviation .1 of every feature.
    distance = np.linalg.norm((np.abs(real_LT / 1000).mean(axis=1) - 0.15) / 0.1)
    near = write_model(tmp_path / "near", novelty_threshold=distance * 1.01)
    far = write_model(tmp_path / "far", novelty_threshold=distance / 1.5)
    assert only(near, ptbxl / RECORD)["outside"] is None
    assert only(far, ptbxl / RECORD)["outside"] == {
        "kind": "distance",
        "reason": "features 1.50 times as far from training as the threshold",
    }
    without = write_model(tmp_path / "without", novelty_threshold=None)
    assert only(without, ptbxl / RECORD)["outside"] is None


def test_missing_samples_cost_their_window_alone(model: Path, tmp_path: Path, real_LT: np.ndarray) -> None:
    x_LT = np.tile(real_LT, 3)
    x_LT[4, 1500:1520] = -32_768
    found = only(model, write_record(tmp_path, "a", x_LT, 100))
    assert [window["not_answered"] for window in found["timeline"]] == [
        None,
        "20 of 1,000 samples are missing",
        None,
    ]
    assert found["windows_not_answered"] == 1
    alone = call("predict", str(model), str(write_record(tmp_path, "b", x_LT[:, 1000:2000], 100)))
    assert (alone.status, alone.out) == (1, "")
    assert "20 of 1,000 samples are missing" in alone.err


# Many recordings


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four records of PTB-XL, two of MIT-BIH, and a broken one."""
    folder = tmp_path_factory.mktemp("mixed")
    for name in ("00001_lr", "00346_lr", "00010_lr", "00032_lr"):
        for suffix in (".hea", ".dat"):
            shutil.copy(ASSETS / f"ptb-xl/records100/00000/{name}{suffix}", folder)
    for path in (ASSETS / "mit-bih").glob("*.[dh]*"):
        shutil.copy(path, folder)
    data = (folder / "00001_lr.dat").read_bytes()
    (folder / "broken.hea").write_text(
        (folder / "00001_lr.hea").read_text(encoding="utf-8").replace("00001_lr", "broken"), encoding="utf-8"
    )
    (folder / "broken.dat").write_bytes(data[:-100])
    return folder


def test_what_cannot_be_answered_is_said_and_counted_and_the_others_are_answered(
    model: Path, mixed: Path
) -> None:
    ended = call("predict", str(model), str(mixed))
    assert ended.status == 1
    lines = ended.err.splitlines()
    assert [line.split(":")[1].strip() for line in lines[:3]] == ["114", "223", "broken"]
    assert "lacks leads I, II, III" in lines[0]
    assert "broken.dat is truncated" in lines[2]
    assert lines[3] == "search: 3 of 7 recordings are not answered"
    assert all(name in ended.out for name in ("00001_lr", "00346_lr", "00010_lr", "00032_lr"))
    assert max(len(line) for line in ended.out.splitlines() if str(mixed) not in line) <= 80


def test_json_and_csv_leave_nothing_out(model: Path, mixed: Path) -> None:
    ended = call("predict", str(model), str(mixed), "--json")
    document = json.loads(ended.out)
    assert [each["record"] for each in document["refused"]] == ["114", "223", "broken"]
    assert [each["record"] for each in document["records"]] == [
        "00001_lr",
        "00010_lr",
        "00032_lr",
        "00346_lr",
    ]
    assert sum(document["confidence_distribution"]["records"]["subclass"]) == 4
    rows = list(csv.DictReader(io.StringIO(call("predict", str(model), str(mixed), "--csv").out)))
    assert len(rows) == 4 * (3 + 3 + 4) + 3
    assert [row["record"] for row in rows if row["not_answered"]] == ["114", "223", "broken"]
    first = document["records"][0]["tiers"]["subclass"]
    of_first = [row for row in rows if row["record"] == "00001_lr" and row["tier"] == "subclass"]
    assert [float(row["probability"]) for row in of_first] == list(first["probability"].values())
    assert [row["set"] for row in of_first] == list(first["set"].values())


def of_many_classes(n_called: int) -> TierAnswer:
    """An answer of a tier with 40 classes, of which the first are called, less and less probable."""
    label = make_labels()[0].classes[0]
    labels = replace(
        make_labels()[0], classes=tuple(replace(label, name=f"class{number}") for number in range(40))
    )
    tier = Tier(
        labels=labels,
        projection=None,
        threshold_C=np.full(40, 0.5),
        temperature_C=np.full(40, np.nan),
        coverage=None,
        present_C=None,
        absent_C=None,
        is_conditional_C=np.zeros(40, dtype=np.bool_),
    )
    return answer_tier(tier, np.where(np.arange(40) < n_called, 0.9, 0.4) - np.arange(40) / 1000)


def test_a_tier_of_which_too_many_classes_are_called_ends_in_a_count() -> None:
    assert (
        called_words(of_many_classes(30)) == "class0 .900, class1 .899, class2 .898, class3 .897 and 26 more"
    )
    assert called_words(of_many_classes(2)) == "class0 .900, class1 .899"
    assert called_words(of_many_classes(0)) == "nothing"


def test_sets_of_an_exclusive_tier_are_by_class_for_all_classes_or_for_none() -> None:
    # Quantiles of one class beside the marginal one for the others would guarantee the coverage of neither.
    def calibrated(probability_C: list[float]) -> Tier:
        rng = np.random.default_rng(0)
        true_N = rng.choice(3, size=200, p=probability_C)
        logit_NC = rng.normal(size=(200, 3)) + np.log(probability_C) + np.eye(3)[true_N]
        p_NC = np.exp(logit_NC) / np.exp(logit_NC).sum(axis=1, keepdims=True)
        meaning = TierMeaning(
            name="beats", classes=("N", "S", "V"), children=((),) * 3, rule=None, exclusive=True,
            ordinal=False, descriptions={},
        )  # fmt: skip
        fold = Fold(y_NC=np.eye(3, dtype=bool)[true_N], p_NC=p_NC.astype(np.float32))
        labels = Labels(format=FORMAT, model=PROVENANCE, tiers=(tier_labels(meaning, [fold]),), novelty=None)
        return make_tiers(labels, policy="f1", confidence=0.9)[0]

    rare = calibrated([0.9, 0.05, 0.05])
    conformal = [each.conformal for each in rare.labels.classes]
    assert [each is not None and each.present is not None for each in conformal] == [True, False, False]
    assert rare.is_conditional_C.tolist() == [False] * 3
    assert len(set(np.asarray(rare.present_C))) == 1
    frequent = calibrated([0.4, 0.3, 0.3])
    assert frequent.is_conditional_C.tolist() == [True] * 3
    assert len(set(np.asarray(frequent.present_C))) == 3


@pytest.mark.parametrize(
    ("n_called", "n_rows", "rest"),
    [
        (30, 12, "28 classes less probable, 18 of them called: --json lists all."),
        (9, 9, "31 classes less probable: --json lists all."),
        (2, 6, "34 classes less probable: --json lists all."),
    ],
)
def test_a_recording_has_the_most_probable_classes_of_a_long_tier(
    n_called: int, n_rows: int, rest: str
) -> None:
    each = of_many_classes(n_called)
    window = WindowAnswer(start_s=0, end_s=10, problem=None, outside=None, tiers=(each,))
    answer = answer_record(
        name="a",
        rate_hz=100,
        duration_s=10,
        derived=(),
        unused=(),
        without_gain=("II",),
        person=Person(),
        windows=(window,),
        aggregate="mean",
    )
    assert without_gain_words(answer.without_gain).startswith("The header states no gain for II: 200 steps")
    console = Console(width=80, file=io.StringIO())
    console.print(tier_table(answer, 0, each))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    shown = [line.split()[0] for line in lines if line.startswith("class")]
    assert shown == [f"class{number}" for number in range(n_rows)]
    assert lines[-1].strip() == rest


def test_triage_puts_urgent_recordings_first(model: Path, mixed: Path) -> None:
    document = json.loads(call("predict", str(model), str(mixed), "--triage", "--json").out)
    levels = [
        np.arange(3) @ list(each["tiers"]["severity-3"]["probability"].values())
        for each in document["records"]
    ]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > levels[-1]
    assert [each["urgency"] for each in document["records"]] == pytest.approx(levels)
    view = call("predict", str(model), str(mixed), "--triage").out
    assert "trained on 400 records of 400 patients of ptb-xl (subset of 19,601 records)" in view
    said = [line.split("urgency ")[1].split()[0] for line in view.splitlines() if "urgency" in line]
    assert said == [f"{level:.2f}" for level in levels]


def test_alarms_a_day_by_expected_recordings_or_by_signal(
    model: Path, mixed: Path, tmp_path: Path, real_LT: np.ndarray
) -> None:
    document = json.loads(call("predict", str(model), str(mixed), "--per-day", "200", "--json").out)
    for alarm in document["alarms"]["superclass"]:
        assert alarm["per_day"] == pytest.approx(200 * alarm["share"])
        assert alarm["low"] <= alarm["share"] <= alarm["high"]
    # An hour in which the second half is one episode of the class of every window of the first record.
    quiet_LT = (real_LT * 0.2).astype(np.int16)
    hour_LT = np.concatenate([np.tile(quiet_LT, 180), np.tile(real_LT * 3, 180)], axis=1)
    found = call("predict", str(model), str(write_record(tmp_path, "a", hour_LT, 100)), "--json").document()
    loud = expected(real_LT * 3)
    for alarm, p, at in zip(found["alarms"]["subclass"], loud, THRESHOLDS, strict=True):
        is_quiet = expected(quiet_LT)[CLASSES.index(alarm["class"])] >= (at or 2)
        assert alarm["per_day"] == 24 * ((p >= (at or 2)) + is_quiet)


# Without torch, and mistakes


@pytest.mark.slow
def test_it_runs_where_there_is_no_torch(model: Path, ptbxl: Path) -> None:
    program = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ImportError('there is no torch here')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "from search.commands.main import main\n"
        f"sys.exit(main(['predict', {str(model)!r}, {str(ptbxl / RECORD)!r}, '--csv']))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("record,tier,class,probability")


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        ("{model} {record} --confidence 1", 2, "--confidence is a share between 0 and 1, such as 0.9, got 1"),
        (
            "{model} {record} --confidence 0.99",
            2,
            "--confidence 0.99: the label sets of this model go up to 0.95",
        ),
        ("{model} {record} --rate -5", 2, "--rate is a number of Hz above 0, got -5"),
        ("{model} {record} --per-day 0", 2, "--per-day is a number above 0, got 0"),
        ("{model} {record} --json --csv", 2, "--json and --csv exclude each other"),
        ("{model} {record} --int8", 2, "has no model.int8.onnx; leave --int8 out"),
        ("{model} {record} --policy best", 2, "'best'"),
        ("{model}", 2, "required: RECORD"),
        ("{model} nobody", 2, "nobody does not exist"),
        ("{model} {record} --unit furlong", 2, "--unit is mV, uV or V, got 'furlong'"),
        ("nowhere {record}", 2, "nowhere is no folder"),
        ("{record_folder} {record}", 2, "has no model.onnx"),
    ],
)
def test_a_mistake_is_one_line(model: Path, ptbxl: Path, arguments: str, status: int, reason: str) -> None:
    record = ptbxl / RECORD
    given = arguments.format(model=model, record=record, record_folder=record.parent).split()
    ended = call("predict", *given)
    assert (ended.status, ended.out) == (status, "")
    assert reason in ended.err
    assert ended.err.count("\n") == 1


def test_triage_needs_a_tier_of_severity(tmp_path: Path, ptbxl: Path) -> None:
    folder = write_model(tmp_path / "model")
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    labels["tiers"] = labels["tiers"][:2]
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    ended = call("predict", str(folder), str(ptbxl / RECORD), "--triage")
    assert ended.status == 2
    assert ended.err.endswith(
        "the model reaches superclass, subclass, none of which orders classes by severity: export one "
        "trained on all statements, or one of a study with --target severity-3\n"
    )


def test_a_model_of_beats_is_refused(tmp_path: Path, ptbxl: Path) -> None:
    folder = write_model(tmp_path / "model", row="beat")
    ended = call("predict", str(folder), str(ptbxl / RECORD))
    assert ended.status == 2
    assert "single beats around annotated R peaks" in ended.err


def test_a_graph_of_another_model_is_refused(tmp_path: Path, ptbxl: Path) -> None:
    folder = write_model(tmp_path / "model")
    other = write_model(tmp_path / "other", leads=("I", "II"))
    (folder / "model.onnx").write_bytes((other / "model.onnx").read_bytes())
    ended = call("predict", str(folder), str(ptbxl / RECORD))
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "is of another model than the files beside it: ecg is 2 wide, not 12" in ended.err


def test_documents_of_another_model_of_equal_widths_are_refused(tmp_path: Path, ptbxl: Path) -> None:
    folder = write_model(tmp_path / "model")
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    labels["model"]["name"] = "trial 7 of test"
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    ended = call("predict", str(folder), str(ptbxl / RECORD))
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert (
        "labels.json is of another model than model.onnx: the model is trial 7 of test, not trial 0"
        in ended.err
    )


def test_classes_in_another_order_than_those_of_the_graph_are_refused(tmp_path: Path, ptbxl: Path) -> None:
    folder = write_model(tmp_path / "model")
    graph = onnx.load(folder / "model.onnx")
    onnx.helper.set_model_props(graph, {"classes": json.dumps(["IMI", "AMI", "NORM", "STTC"])})
    onnx.save(graph, folder / "model.onnx")
    ended = call("predict", str(folder), str(ptbxl / RECORD))
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "labels.json is of another model than model.onnx: classes is " in ended.err


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("labels.json", {"tiers": []}, "is damaged: no class or no member"),
        ("preprocessing.json", {"members": []}, "is damaged: no class or no member"),
        ("preprocessing.json", {"rate_hz": 0}, "is damaged: rate_hz is 0, expected a whole number from 1 up"),
        ("preprocessing.json", {"leads": []}, "is damaged: leads is (), expected one name or several"),
        ("labels.json", {"format": 2}, "is of format 2, this version reads 1: update it"),
        ("labels.json", {"novelty": {"quantile": 0.99, "members": []}}, "is of another model"),
    ],
)
def test_documents_that_do_not_belong_together_are_refused(
    tmp_path: Path, ptbxl: Path, name: str, change: dict, reason: str
) -> None:
    folder = write_model(tmp_path / "model")
    document = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps(document | change), encoding="utf-8")
    ended = call("predict", str(folder), str(ptbxl / RECORD))
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert reason in ended.err


@pytest.mark.parametrize(
    ("name", "place", "value", "reason"),
    [
        ("labels.json", "tiers.0.conformal.coverages", [], "is (), expected shares between 0 and 1, rising"),
        ("labels.json", "tiers.0.conformal.coverages", [0.9, 0.5], "expected shares between 0 and 1, rising"),
        ("labels.json", "tiers.0.classes.0.thresholds.f1", 5.0, "is 5.0, expected a probability from 0 to 1"),
        ("labels.json", "tiers.0.classes.0.temperature", -1.0, "is -1.0, expected a number above 0"),
        ("labels.json", "tiers.0.classes.0.conformal.marginal", [0.5], "numbers from 0 to 1; correct it or"),
        ("labels.json", "tiers.1.classes.0.children", ["XYZ"], "is XYZ, expected a class of the first tier"),
        ("preprocessing.json", "members.0.weight", 0.1, "the sum of the weights of members is "),
        ("preprocessing.json", "members.0.lead_mean_mv", [0.0], "one for each lead"),
        ("preprocessing.json", "resolution_uv", 0.0, "is 0.0, expected a number above 0"),
    ],
)
def test_a_value_that_no_export_writes_is_refused_with_its_place(
    tmp_path: Path, name: str, place: str, value: object, reason: str
) -> None:
    folder = write_model(tmp_path / "model")
    document = json.loads((folder / name).read_text(encoding="utf-8"))
    *above, last = place.split(".")
    inner = document
    for key in above:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[last] = value
    (folder / name).write_text(json.dumps(document), encoding="utf-8-sig")
    with pytest.raises(DataError) as refused:
        read_folder(folder)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_damaged_graph_is_refused(tmp_path: Path, ptbxl: Path) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "model.onnx").write_bytes(b"no graph")
    ended = call("predict", str(folder), str(ptbxl / RECORD))
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "model.onnx is damaged" in ended.err


@pytest.mark.slow
def test_an_hour_of_twelve_leads_needs_little_memory(model: Path, tmp_path: Path) -> None:
    """Of an hour at 500 Hz, 43 MB in its file, what is kept are answers and one batch of windows."""
    rng = np.random.default_rng(0)
    n = 3600 * 500
    with (tmp_path / "day.dat").open("wb") as file:
        for _ in range(36):
            file.write(rng.integers(-500, 500, (n // 36, 12), dtype="<i2").tobytes())
    lines = [f"day.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    (tmp_path / "day.hea").write_text("\n".join([f"day 12 500 {n}", *lines, ""]), encoding="utf-8")
    program = (
        "import sys, resource\n"
        "from search.commands.main import main\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"main(['predict', {str(model)!r}, {str(ASSETS / 'ptb-xl' / RECORD)!r}, '--csv'])\n"
        "before = peak()\n"
        f"assert main(['predict', {str(model)!r}, {str(tmp_path / 'day')!r}, '--csv']) == 0\n"
        "print('KB', peak() - before)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
    )
    # 64 windows as recorded, resampled and filtered, in float64 while they are, and 360 answers: some 30 MB.
    # A day of 24 hours keeps 24 times the answers, below 200 MB, and the same signals.
    assert int(ended.stdout.splitlines()[-1].split()[1]) < 80_000
