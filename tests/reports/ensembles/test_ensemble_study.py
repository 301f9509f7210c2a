"""Ensembles of a study: who may take part, what is shown, and that nothing but the database is needed."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_study import make_worker, open_study, tiny_space
from fake_trainer import FakeTrainer
from hypothesis import given, settings
from hypothesis import strategies as st
from report_records import make_architecture, make_study, make_trial
from rich.console import Console

import storage
from reports.ensembles.candidates import N_REASONS, Candidates, left_out_lines, load_candidates
from reports.ensembles.study import Ensemble, EnsembleStudy, Member, Place, build_ensembles
from reports.ensembles.text import ensemble_document, ensemble_view
from reports.errors import ReportError
from reports.schema import to_json_text
from scores.bootstrap import Interval
from scores.front import points_of
from search.commands.main import main
from storage.records import TrialRecord

REPOSITORY = Path(__file__).parents[3]
GOLDEN = Path(__file__).parents[2] / "golden" / "report_ensembles.txt"
HEADER = "# made by: UPDATE_GOLDEN=1 pytest tests/reports/ensembles/test_ensemble_study.py\n"
N_TRIALS = 10
N_FOLDS = 3


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database of a study of ten trials, trained at two tiers."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        tiny = tiny_space(patch, n_tiers=2)
        store, study = open_study(folder / "search.db", tiny)
        make_worker(store, study, FakeTrainer(n_folds=N_FOLDS, n_epochs=1), architectures=tiny).work(N_TRIALS)
        store.close()
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(searched, tmp_path / "copy"))


@pytest.fixture
def opened(folder: Path) -> Iterator[storage.Store]:
    store = storage.open_store(f"sqlite:///{folder / 'search.db'}", create=False)
    yield store
    store.close()


def rewrite(store: storage.Store, artifact: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the arrays of a file of predictions."""
    file = store.artifacts_folder / artifact
    with np.load(file) as arrays:
        content = dict(arrays)
    change(content)
    with file.open("wb") as stream:
        np.savez_compressed(stream, **content)


def artifacts(store: storage.Store, trial: TrialRecord) -> list[str]:
    return [fold.predictions for fold in store.folds(trial.id)]


# From the database


@pytest.mark.slow
def test_trials_of_other_tiers_take_part(opened: storage.Store) -> None:
    candidates = load_candidates(opened, "fake")
    assert {trial.label_tier for trial in candidates.members} == {"superclass", "subclass"}
    assert len(candidates.members) == N_TRIALS
    assert candidates.left_out == ()
    assert [p_MNC.shape for p_MNC in candidates.predictions] == [(N_TRIALS, 6, 3)] * N_FOLDS
    finer = next(i for i, trial in enumerate(candidates.members) if trial.label_tier == "subclass")
    kept = storage.load_predictions(opened, artifacts(opened, candidates.members[finer])[1])
    np.testing.assert_array_equal(
        candidates.predictions[1][finer], kept.projected["superclass"].probabilities_NC
    )
    scores = [trial.score for trial in candidates.members]
    assert scores == sorted(scores, key=lambda score: -(score or 0))


@pytest.mark.slow
def test_the_order_of_trials_does_not_matter(opened: storage.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def document() -> str:
        found = build_ensembles(load_candidates(opened, "fake"), 5, n_resamples=20)
        return to_json_text(ensemble_document(found))

    expected = document()
    trials = opened.trials("fake")
    for order in (trials[::-1], trials[3:] + trials[:3]):
        monkeypatch.setattr(storage.Store, "trials", lambda _store, _name, order=order: order)
        assert document() == expected


def test_only_the_best_trials_and_the_front_are_read(
    opened: storage.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.ensembles.candidates.N_BEST", 2)
    members = load_candidates(opened, "fake").members
    points = sorted(points_of(opened.trials("fake")), key=lambda point: -point.score)
    smallest = min(points, key=lambda point: (point.cost, -point.score))
    assert {point.trial for point in points[:2]} | {smallest.trial} <= {trial.number for trial in members}
    assert len(members) < N_TRIALS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda arrays: arrays.update(ecg_id=arrays["ecg_id"] + 1), "it predicts other records"),
        (lambda arrays: arrays.update(targets_NC=~arrays["targets_NC"]), "its records have other labels"),
        (lambda arrays: arrays["probabilities_NC"].fill(np.nan), "not a number from 0 to 1 for every label"),
        (
            lambda arrays: arrays.update(probabilities_NC=np.zeros((6, 2))),
            "not a number from 0 to 1 for every",
        ),
        (lambda arrays: arrays.pop("ecg_id"), "are damaged"),
    ],
)
def test_trials_that_do_not_belong_are_left_out(
    opened: storage.Store, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    # The best one is what the others are compared with.
    others = load_candidates(opened, "fake").members[1:]
    wrong = next(trial for trial in others if trial.label_tier == "superclass")
    rewrite(opened, artifacts(opened, wrong)[1], change)
    candidates = load_candidates(opened, "fake")
    ((number, words),) = candidates.left_out
    assert number == wrong.number
    assert reason in words
    assert wrong.number not in {trial.number for trial in candidates.members}


def test_lost_predictions_leave_a_trial_out(opened: storage.Store) -> None:
    lost = opened.trials("fake")[2]
    (opened.artifacts_folder / artifacts(opened, lost)[0]).unlink()
    ((number, words),) = load_candidates(opened, "fake").left_out
    assert number == lost.number
    assert "is missing in" in words


def test_predictions_of_an_earlier_version(opened: storage.Store) -> None:
    def forget(arrays: dict[str, Any]) -> None:
        for name in ("patient_id", "projected"):
            del arrays[name]

    trials = opened.trials("fake")
    for trial in trials:
        for artifact in artifacts(opened, trial):
            rewrite(opened, artifact, forget)
    candidates = load_candidates(opened, "fake")
    finer = [trial.number for trial in trials if trial.label_tier == "subclass"]
    assert sorted(number for number, _ in candidates.left_out) == finer
    assert all("do not have" in reason for _, reason in candidates.left_out)
    assert candidates.patients is None
    text = terminal_text(build_ensembles(candidates, 2, n_resamples=10))
    assert "draws of records, because patients were not kept" in " ".join(text.split())
    listed = ", ".join(map(str, sorted(finer)))
    assert f"Left out: trials {listed}: " in " ".join(text.split())


def test_every_trial_left_out_is_named_and_every_reason_told_once() -> None:
    assert left_out_lines([]) == []
    assert left_out_lines([(9, "x")]) == ["trial 9: x"]
    assert left_out_lines([(9, "x"), (4, "y"), (2, "x")]) == ["trials 2, 9: x", "trial 4: y"]
    many = [(number, f"reason {number}") for number in range(N_REASONS + 2)]
    assert left_out_lines(many)[-1] == f"trials {N_REASONS}, {N_REASONS + 1}: for other reasons"
    assert len(left_out_lines(many)) == N_REASONS + 1


def test_one_fold_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_space(monkeypatch, n_tiers=1)
    store, study = open_study(tmp_path / "search.db", tiny)
    make_worker(store, study, FakeTrainer(n_folds=1, n_epochs=1), architectures=tiny).work(2)
    with pytest.raises(ReportError, match="have one fold"):
        load_candidates(store, "fake")


# On the command line


@pytest.mark.slow
def test_nothing_but_the_database_is_needed(searched: Path) -> None:
    program = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name in {'torch', 'wfdb', 'search.data', 'search.models', 'search.training.trainer'}:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from search.commands.main import main\n"
        f"options = ['--storage', 'sqlite:///{searched}/search.db', '--size', '3', '--json']\n"
        "sys.exit(main(['ensemble', *options]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    document = json.loads(ended.stdout)
    assert [each["name"] for each in document["ensembles"]] == ["top2-weighted", "greedy", "light", "front"]
    assert (document["n_records"], document["n_patients"], document["n_folds"]) == (18, 9, N_FOLDS)
    for each in document["ensembles"]:
        members = each["members"]
        assert sum(member["weight"] for member in members) == pytest.approx(1)
        assert each["parameters"] == sum(member["parameters"] for member in members)
        assert each["interval"][0] - 1e-9 <= each["macro_auprc"] <= each["interval"][1] + 1e-9
        is_on_front = any(place["ensemble"] == each["name"] for place in document["front"])
        assert each["on_front"] == (is_on_front if len(members) > 1 else None)


@pytest.mark.slow
def test_the_text_names_trials_and_ensembles(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ensemble", "--study", "fake", "--storage", f"sqlite:///{searched}/search.db"]) == 0
    text = capsys.readouterr().out
    for words in (
        "Ensembles of study fake",
        "n = 18 records of 9 patients in 3 folds",
        "SYNTHETIC",
        "greedy",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--size", "0"], 2, "--size is a whole number from 1 to 50, got 0"),
        (["--size", "51"], 2, "--size is a whole number from 1 to 50, got 51"),
        (["--size", "two"], 2, "'two' is not a whole number"),
        (["--study", "nosuch"], 1, "nosuch"),
        (["--storage", "sqlite:///nosuch/search.db"], 1, "no database nosuch/search.db"),
        (["--storage", "nosuch"], 2, "--storage"),
    ],
)
def test_mistakes_are_one_line(
    searched: Path, capsys: pytest.CaptureFixture[str], options: list[str], status: int, words: str
) -> None:
    assert main(["ensemble", "--storage", f"sqlite:///{searched}/search.db", *options]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.parametrize(("n_trials", "words"), [(0, "0 complete trials and"), (1, "1 complete trial and")])
def test_too_few_trials(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    n_trials: int,
    words: str,
) -> None:
    tiny = tiny_space(monkeypatch, n_tiers=1)
    store, study = open_study(tmp_path / "search.db", tiny)
    if n_trials:
        make_worker(store, study, FakeTrainer(n_folds=2, n_epochs=1), architectures=tiny).work(n_trials)
    assert main(["ensemble", "--storage", f"sqlite:///{tmp_path}/search.db"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert "train more with `python -m search run --study fake`" in error


def test_a_study_of_pruned_trials(opened: storage.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned = [replace(trial, state="pruned", score=None) for trial in opened.trials("fake")]
    monkeypatch.setattr(storage.Store, "trials", lambda *_: pruned)
    with pytest.raises(ReportError, match="has 0 complete trials and 10 pruned"):
        load_candidates(opened, "fake")


def test_one_trial_that_can_take_part(opened: storage.Store) -> None:
    for trial in load_candidates(opened, "fake").members[1:]:
        (opened.artifacts_folder / artifacts(opened, trial)[0]).unlink()
    with pytest.raises(
        ReportError, match=r"of its 10 complete trials 1 can take part; trial.* is missing in"
    ):
        load_candidates(opened, "fake")


# Judging


def candidates_of(
    seed: int, *, parameters: Sequence[int] = (400, 100, 300, 150), skill: float = 0.4
) -> Candidates:
    """Made-up trials whose stored scores are those of their predictions, but for the order."""
    generator = np.random.default_rng(seed)
    targets = [generator.random((40, 3)) < 0.4 for _ in range(4)]
    predictions = [
        (skill * y_NC + (1 - skill) * generator.random((len(parameters), *y_NC.shape))).astype(np.float32)
        for y_NC in targets
    ]
    trials = tuple(make_trial(i, 0.5 + 0.1 * generator.random(), n) for i, n in enumerate(parameters))
    return Candidates(
        study=make_study(target="superclass"),
        trials=trials,
        members=trials,
        targets=targets,
        predictions=predictions,
        patients=[np.arange(40) // 2 + 100 * fold for fold in range(4)],
        left_out=(),
    )


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_front_is_one_of_trials_and_ensembles(seed: int) -> None:
    candidates = candidates_of(seed)
    found = build_ensembles(candidates, 4, n_resamples=10)
    everything = [
        *((trial.score or 0.0, trial.parameters) for trial in candidates.trials),
        *((each.score.value, each.cost) for each in found.ensembles if len(each.members) > 1),
    ]
    for place in found.front:
        for score, parameters in everything:
            assert not (score > place.score and parameters <= place.cost)
            assert not (score == place.score and parameters < place.cost)
    for place, by in found.dominated:
        assert place not in found.front
        assert by in found.front
        assert by.score >= place.score
        assert by.cost <= place.cost
    shown = [place.ensemble for place in (*found.front, *(place for place, _ in found.dominated))]
    for each in found.ensembles:
        assert (each in shown) == (len(each.members) > 1)


def test_differences_are_to_the_best_trial() -> None:
    found = build_ensembles(candidates_of(1), 4, n_resamples=50)
    for each in found.ensembles:
        assert each.difference.value == pytest.approx(each.score.value - found.best_score.value)
        assert each.difference.low - 1e-9 <= each.difference.value <= each.difference.high + 1e-9
    assert (found.n_records, found.n_patients, found.n_folds) == (160, 80, 4)
    assert (found.n_complete, found.n_candidates) == (4, 4)


@pytest.mark.slow
def test_what_is_chosen_on_noise_looks_better_in_sample() -> None:
    gains = []
    for seed in range(8):
        found = build_ensembles(candidates_of(seed, skill=0.0), 5, n_resamples=2)
        gains += [each.in_sample - each.score.value for each in found.ensembles if each.name == "greedy"]
    assert np.mean(gains) > 0.02


def test_a_class_in_one_fold_only_cannot_be_held_out() -> None:
    candidates = candidates_of(2)
    for y_NC in candidates.targets[1:]:
        y_NC[:] = False
    with pytest.raises(ReportError, match="in fold 1 only"):
        build_ensembles(candidates, 2, n_resamples=2)


# In words


def interval(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high, level=0.95, samples=np.zeros(1))


def example() -> EnsembleStudy:
    small = make_trial(3, 0.4321, 97_512, architecture=make_architecture(width=0.25))
    best = make_trial(2, 0.4703, 924_247, architecture=make_architecture((("lstm", True),), hidden_size=128))
    fine = make_trial(
        17,
        0.4650,
        661_079,
        architecture=make_architecture((("gru", False),), hidden_size=64, label_tier="diagnostic"),
    )
    greedy = Ensemble(
        name="greedy",
        members=(Member(trial=best, weight=0.6), Member(trial=fine, weight=0.4)),
        parameters=1_585_326,
        cost=1_585_326,
        score=interval(0.4812, 0.4611, 0.5013),
        in_sample=0.4866,
        difference=interval(0.0109, 0.0021, 0.0197),
    )
    light = Ensemble(
        name="light",
        members=(Member(trial=small, weight=1.0),),
        parameters=97_512,
        cost=97_512,
        score=interval(0.4321, 0.41, 0.45),
        in_sample=0.4321,
        difference=interval(-0.0382, -0.05, -0.02),
    )
    front = replace(
        greedy,
        name="front",
        members=(Member(trial=small, weight=0.5), Member(trial=best, weight=0.5)),
        parameters=1_021_759,
        cost=1_021_759,
        score=interval(0.4688, 0.45, 0.49),
        in_sample=0.4701,
        difference=interval(-0.0015, -0.01, 0.008),
    )
    on_front = tuple(
        Place(score=trial.score or 0.0, cost=trial.parameters, trial=trial) for trial in (small, fine, best)
    )
    of_greedy = Place(score=0.4812, cost=1_585_326, ensemble=greedy)
    of_front = Place(score=0.4688, cost=1_021_759, ensemble=front)
    return EnsembleStudy(
        study=make_study(),
        n_complete=80,
        n_candidates=56,
        left_out=((5, "predictions abc in runs/artifacts are missing"), (9, "it predicts other records")),
        n_folds=5,
        n_records=19_601,
        n_patients=16_975,
        best=best,
        best_score=interval(0.4703, 0.4503, 0.4903),
        ensembles=(greedy, light, front),
        front=(*on_front, of_greedy),
        dominated=((of_front, on_front[2]),),
    )


def terminal_text(found: EnsembleStudy) -> str:
    """Text of a terminal of 80 columns, without spaces at line ends."""
    stream = io.StringIO()
    Console(width=80, file=stream, color_system=None, legacy_windows=False).print(ensemble_view(found))
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


def test_text_is_as_agreed() -> None:
    text = HEADER + terminal_text(example())
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 80


def test_synthetic_is_said_of_the_demo_only() -> None:
    assert "SYNTHETIC" not in terminal_text(example())
    assert "SYNTHETIC" in terminal_text(replace(example(), study=make_study(synthetic=True)))


def test_the_document_holds_what_the_text_shows() -> None:
    document = json.loads(to_json_text(ensemble_document(example())))
    assert document["schema"] == "ecg-architecture-search/ensembles"
    assert document["best_trial"] == {
        "trial": 2,
        "parameters": 924_247,
        "macro_auprc": 0.4703,
        "interval": [0.4503, 0.4903],
        "score": 0.4703,
    }
    assert [each["on_front"] for each in document["ensembles"]] == [True, None, False]
    assert [place["trial"] or place["ensemble"] for place in document["front"]] == [3, 17, 2, "greedy"]
    assert document["ensembles"][0]["members"][1]["label_tier"] == "diagnostic"
    assert document["left_out"][1] == {"trial": 9, "reason": "it predicts other records"}
