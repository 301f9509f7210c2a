"""Studies that maximise the score of the worst group: from the command line to report, pick and confirm."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from sklearn.metrics import roc_auc_score

import scores.groups
import scores.scorers
import space
import storage
from reports.csv_and_latex import trials_csv
from reports.document import report_document
from reports.evidence import gather
from reports.figures.gallery import charts
from scores.groups import SEXES

AXES: dict[str, tuple[space.Choice, ...]] = {
    "depth": (0,),
    "width": (0.05,),
    "head_width": (8, 16),
    "head": ("linear",),
    "gate": (0,),
    "loss": ("bce",),
    "label_smoothing": (0.0,),
}
FIXED = ("--target", "superclass", "--epochs", "1", "--device", "cpu", "--presets", "none")
NAME = "ptb-xl-superclass-worst-group"
URL = "sqlite:///runs/search.db"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in, whose studies have tiny networks."""
    here = tmp_path_factory.mktemp("groups")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setitem(space.SPACES, "wide", {**space.SPACES["wide"], **AXES})
        yield here


@pytest.fixture(scope="module")
def small_groups() -> Iterator[None]:
    """Some thirty records have groups by sex, of twelve with two positives and negatives of a class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores.scorers, "LEAST_RECORDS", 12)
        patch.setattr(scores.groups, "LEAST_POSITIVE", 2)
        yield


@pytest.fixture(scope="module")
def searched(folder: Path, ptbxl: Path, small_groups: None) -> Path:
    """A study of three trials, one of which is trained again."""
    data = ("--data", str(ptbxl))
    ended = call("run", *data, "--objective", "worst-group", "--trials", "2", *FIXED)
    assert ended.status == 0, ended.err
    assert "worst-group AUROC: groups by sex: female (n = " in ended.out
    # Continued by its name, and by the same command; another objective is refused.
    assert call("run", *data, "--study", NAME, "--trials", "1", "--device", "cpu").status == 0
    assert call("confirm", *data, "--study", NAME, "--seeds", "1", "--trials", "1").status == 0
    return folder


@pytest.mark.slow
def test_data_without_groups_to_compare_make_no_study(folder: Path, ptbxl: Path) -> None:
    ended = call("run", "--data", str(ptbxl), "--objective", "worst-group", "--trials", "1", *FIXED)
    assert ended.status == 1
    assert ended.err.startswith("search: --objective worst-group compares two groups by sex or by age")
    assert "choose another --target, more records, or --objective macro-auprc" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.slow
def test_the_score_of_a_trial_is_that_of_the_group_served_worst(searched: Path) -> None:
    """Of the first training, against scikit-learn; no two age groups have twelve records."""
    with storage.open_store(URL, create=False) as store:
        study = store.study(NAME)
        trial = store.trials(NAME)[0]
        folds = [storage.load_predictions(store, fold.predictions) for fold in store.folds(trial.id)]
        summary = store.summary(trial.id)["superclass"].metrics
    assert study.objective == "worst-group"
    parts = [(each.on("superclass"), each.sex) for each in folds]
    means = {}
    for name, code in SEXES:
        of_classes = []
        for index in range(5):
            found, weights, n_in, n_positive = [], [], 0, 0
            for part, sex_N in parts:
                assert part is not None
                assert sex_N is not None
                y_N = part.targets_NC[sex_N == code, index]
                n_in, n_positive = n_in + len(y_N), n_positive + int(y_N.sum())
                if y_N.any() and not y_N.all():
                    found.append(roc_auc_score(y_N, part.probabilities_NC[sex_N == code, index]))
                    weights.append(y_N.sum())
            scored = found and 2 <= n_positive <= n_in - 2
            of_classes.append(np.average(found, weights=weights) if scored else np.nan)
        means[name] = np.array(of_classes)
    common = ~np.isnan(means["female"]) & ~np.isnan(means["male"])
    lowest = min(float(score_C[common].mean()) for score_C in means.values())
    assert summary["worst_group"] == pytest.approx(lowest, abs=1e-12)
    assert summary["worst_group"] != summary["macro_auprc"]
    first = trial.score if trial.first_score is None else trial.first_score
    assert first == summary["worst_group"]


@pytest.mark.slow
def test_every_surface_tells_the_objective_by_its_name(searched: Path) -> None:
    text = call("status", "--study", NAME).out
    assert "worst-group AUROC" in text
    assert "macro-AUPRC" not in text
    document = call("status", "--study", NAME, "--json").document()
    assert document["objective"] == "worst-group"
    assert all("worst_group" in member and "macro_auprc" not in member for member in document["front"])
    with storage.open_store(URL, create=False) as store:
        report = report_document(gather(store, NAME), n_resamples=20)
    complete = [trial for trial in report.trials if trial.state == "complete"]
    assert all(trial.macro_auprc is None and trial.score is not None for trial in complete)
    assert "cross-validated worst-group AUROC" in report.verdict[0]
    assert report.methods["score"].startswith("Cross-validated AUROC of the group of patients")
    best = next(each for each in report.close if each.trial == report.front[-1])
    assert best.interval is not None
    assert best.interval.low <= best.interval.value <= best.interval.high
    score = next(trial.score for trial in complete if trial.trial == best.trial)
    assert best.interval.value == pytest.approx(score, abs=1e-9)
    heads = trials_csv(report).splitlines()[0].split(",")
    assert {"worst_group", "worst_group_fold_1", "maximised"} <= set(heads)
    assert "macro_auprc" not in heads
    assert charts(report)[0].y_label == "cross-validated worst-group AUROC, superclass"
    picked = call("pick", "--study", NAME)
    assert picked.status == 0, picked.err


@pytest.mark.slow
def test_another_objective_is_refused(searched: Path, ptbxl: Path) -> None:
    options = ("--study", NAME, "--objective", "macro-auprc", "--trials", "1", "--device", "cpu")
    ended = call("run", "--data", str(ptbxl), *options)
    assert ended.status == 1
    assert "was made with --objective worst-group, not macro-auprc" in ended.err
