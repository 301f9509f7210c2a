"""Updates of optuna-dashboard, read back through optuna-dashboard itself."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import plotly.graph_objects
import pytest
from fake_study import make_worker, open_study, optuna_trials, states
from fake_trainer import FakeTrainer
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_workers import Killed, dead_process, killed_in, queue_killed_trials
from optuna_dashboard import save_note, save_plotly_graph_object

# Private: how the dashboard reads what is shown.
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

# Private: how the dashboard reads what is shown.
from optuna_dashboard._note import get_note_from_system_attrs
from recorder import Recorder
from report_records import failed_trial, large_study, make_study, make_trial, pruned_trial

import space
import storage
from reports.cells import markdown_text
from reports.dashboard import figures as live
from reports.dashboard.figures import dashboard_content, figure_json, near_front
from reports.dashboard.notes import standings, study_note, trial_note
from reports.figures.charts import Chart, Series
from search.errors import TrainingError
from search.watch.dashboard_updates import INTERVAL_S, DashboardUpdates
from storage import DashboardContent
from storage.records import StudyRecord, TrialRecord
from storage.rows.dashboard import PIECE_LENGTH, YOURS_BELOW

SHORT = FakeTrainer(n_folds=1, n_epochs=1)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "search.db"


def attributes(store: storage.Store) -> dict[str, Any]:
    study_id = store.optuna_storage.get_study_id_from_name("fake")
    return dict(store.optuna_storage.get_study_system_attrs(study_id))


def note_of(store: storage.Store, number: int | None = None) -> str:
    """As the dashboard reads it; None for the note of the study."""
    # Private: optuna-dashboard finds notes by the row id of a trial.
    trial_id = None if number is None else optuna_trials(store)[number]._trial_id
    return str(get_note_from_system_attrs(attributes(store), trial_id)["body"])


def figures_of(store: storage.Store) -> dict[str, Any]:
    return {
        name: json.loads(text) for name, text in get_plotly_graph_objects(attributes(store)).items() if text
    }


def show(store: storage.Store, notes: dict[int, str], note: str = "a study", **figures: str) -> int:
    content = DashboardContent(note=note, trial_notes=notes, figures=figures)
    return store.show("fake", content, n_ended=0)


@pytest.fixture(scope="module")
def searched_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study with complete, pruned and failed trials."""
    folder = tmp_path_factory.mktemp("searched")
    store, study = open_study(folder / "search.db")
    failing = space.preset("cnn-lstm", "superclass").digest

    def fails(architecture: space.Architecture, fold: int, epoch: int) -> Exception | None:
        return (
            TrainingError("out-of-memory", "2 GiB") if (architecture.digest, fold) == (failing, 2) else None
        )

    heard = Recorder()
    trainer = FakeTrainer(n_epochs=6, fails=fails)
    make_worker(store, study, trainer, alpha=0.2, emit=heard).work(12)
    assert {"complete", "pruned", "failed"} <= set(states(store))
    assert heard.messages() == []
    store.close()
    return folder


@pytest.fixture
def searched(searched_once: Path, tmp_path: Path) -> tuple[storage.Store, StudyRecord]:
    """That study in a folder of this test's own."""
    shutil.copytree(searched_once, tmp_path, dirs_exist_ok=True)
    store = storage.open_store(f"sqlite:///{tmp_path}/search.db", create=False)
    return store, store.study("fake")


# ---------------------------------------------------------------------------------------------------------
# Storage: in the dashboard's own format


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> storage.Store:
    store, study = open_study(tmp_path_factory.mktemp("shown") / "search.db")
    make_worker(store, study, SHORT).work(1)
    return store


@pytest.mark.slow
@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 3 * PIECE_LENGTH))
@settings(max_examples=30)
def test_a_note_is_what_it_was_set_to_last(shown: storage.Store, text: str, length: int) -> None:
    """Whatever its length was before: no piece of an earlier note stays behind."""
    text += "x" * length
    show(shown, {0: text}, note=text[::-1], figure=json.dumps(text))
    assert note_of(shown, 0) == f"{text}\n\n{YOURS_BELOW}"
    assert note_of(shown) == f"{text[::-1]}\n\n{YOURS_BELOW}"
    assert figures_of(shown) == {"ecg-figure": text}


@pytest.mark.slow
def test_only_what_differs_is_written(database: Path) -> None:
    store, study = open_study(database)
    make_worker(store, study, SHORT).work(2)
    body = "x" * (PIECE_LENGTH + 1)
    show(store, {0: "a", 1: body}, front="{}")
    n_told = 1  # when it was told
    assert show(store, {0: "a", 1: body}, front="{}") == n_told
    assert show(store, {0: "b", 1: body}, front="{}") == n_told + 2  # text and version
    assert show(store, {0: "b", 1: body}) == n_told + 1  # the figure goes
    assert figures_of(store) == {}
    assert show(store, {0: "b", 1: body, 99: "nobody"}) == n_told
    assert show(store, {0: "b"}) == n_told + 3  # the other note goes: two pieces and a version
    assert note_of(store, 1) == ""


@pytest.mark.slow
def test_what_others_wrote_stays(database: Path) -> None:
    store, study = open_study(database)
    make_worker(store, study, SHORT).work(2)
    made = store.optuna_study("fake")
    save_plotly_graph_object(made, plotly.graph_objects.Figure(), graph_object_id="mine")
    save_note(made, "my own")
    show(store, {0: "first"}, note="ours")
    assert note_of(store) == "my own"
    # Private: optuna-dashboard finds notes by the row id of a trial.
    trial_id = optuna_trials(store)[0]._trial_id
    for place, piece in enumerate([note_of(store, 0), "\nlook at V1"]):
        store.optuna_storage.set_study_system_attr(1, f"dashboard:{trial_id}:note_str:{place}", piece)
    show(store, {0: "second"}, note="ours", front="{}")
    assert note_of(store, 0) == f"second\n\n{YOURS_BELOW}\nlook at V1"
    assert figures_of(store).keys() == {"mine", "ecg-front"}
    show(store, {0: "third" * PIECE_LENGTH})
    assert note_of(store, 0) == f"{'third' * PIECE_LENGTH}\n\n{YOURS_BELOW}\nlook at V1"
    assert figures_of(store).keys() == {"mine"}
    show(store, {0: "fourth"})
    show(store, {})
    assert note_of(store, 0) == f"fourth\n\n{YOURS_BELOW}\nlook at V1"
    assert made.metric_names == ["macro_auprc", "parameters"]


@pytest.mark.slow
def test_who_continues_whom(database: Path) -> None:
    """A killed trial's row moves on to another number; its note says where."""
    store, study = open_study(database)
    with pytest.raises(Killed):
        make_worker(store, study, SHORT, emit=killed_in(1, 1), process=dead_process()).work(1)
    worker = make_worker(store, study, SHORT)
    queue_killed_trials(store, study)
    (again,) = store.successors("fake").values()
    DashboardUpdates(store, study, quiet).finish()
    assert note_of(store, 0).startswith(f"**Interrupted; queued again as trial {again}**")
    worker.work(again)
    assert store.successors("fake") == {0: again}
    assert note_of(store, 0).startswith(f"**Continued as trial {again}**")
    assert note_of(store, again).startswith("**Complete")


# ---------------------------------------------------------------------------------------------------------
# Words


def fates(study: StudyRecord, trials: list[TrialRecord]) -> dict[int, str]:
    known = standings(study, trials)
    return {trial.number: trial_note(study, trial, known).split("\n\n")[0] for trial in trials}


def test_notes_say_what_became_of_a_trial() -> None:
    trials = [
        make_trial(0, 0.50, 100_000),
        make_trial(1, 0.60, 300_000),
        make_trial(2, 0.55, 400_000),
        pruned_trial(3, [0.4]),
        failed_trial(4),
        make_trial(5, state="running"),
    ]
    assert fates(make_study(), trials) == {
        0: "**Complete, on the front**",
        1: "**Complete, on the front**",
        2: "**Complete, not on the front: trial 1 scores .600 with 300,000 parameters**",
        3: "**Pruned by the race**",
        4: "**Failed**",
        5: "**Running**",
    }
    known = standings(make_study(), trials)
    note = trial_note(make_study(), trials[0], known)
    # folds .48 .49 .50 .51 .52: SD .0158, / √5 = .0071
    assert "| subclass (target) | 23 | .500 ± .007 | yes |" in note
    assert "| superclass | 5 | .700 | yes |" in note
    assert "19,601 records of 16,975 patients" in note
    assert "In fold 2: diverged: loss is NaN in fold 2, epoch 3" in trial_note(make_study(), trials[4], known)
    told = study_note(make_study(synthetic=True), trials, known)
    assert told.startswith("*SYNTHETIC")
    assert "6 trials: 3 complete, 1 pruned, 1 failed, 1 running." in told
    assert [line.split(" | ")[0] for line in told.splitlines() if line[:3] in {"| 0", "| 1", "| 2"}] == [
        "| 0",
        "| 1",
    ]


def test_a_pruned_trial_says_who_beat_it_and_by_how_much() -> None:
    decision = storage.DecisionRecord(
        fold=2,
        epoch=6,
        rival=18,
        needed=0.711,
        predicted=0.665,
        standard_error=0.017,
        pruned=True,
        reason="short",
        probability=0.0030,
    )
    trial = pruned_trial(3, [0.6, 0.7], decision=decision)
    assert (
        "After fold 2, epoch 6 it was expected to end at .665 ± .017. Trial 18, with no more parameters, has "
        ".711; P(beats it) = .003. Mean of its finished folds: .650."
    ) in trial_note(make_study(), trial, standings(make_study(), [trial]))


def test_foreign_text_is_text() -> None:
    assert markdown_text("![x](http://a/b.png)\n| *b* <i>") == r"\!\[x\](http://a/b.png) \| \*b\* \<i\>"
    assert len(markdown_text("x" * 10_000)) < 700
    chart = Chart(
        key="k",
        title="<b>front</b>",
        alt="",
        x_label="x",
        y_label="y",
        series=[Series(name="a<i>", x=[1.23456789], y=[0.5], hover=["<img src=x><br>b"])],
        note="n",
    )
    figure = json.loads(figure_json(chart))
    assert figure["layout"]["title"]["text"] == "&lt;b&gt;front&lt;/b&gt;<br><sup>n</sup>"
    assert figure["data"][0]["text"] == ["&lt;img src=x&gt;<br>b"]
    assert figure["data"][0]["x"] == [1.2346]


# ---------------------------------------------------------------------------------------------------------
# Figures


def test_figures_stay_small_and_keep_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "N_COMPLETE", 40)
    monkeypatch.setattr(live, "N_PRUNED", 10)
    study, trials = large_study(400)
    known = standings(study, trials)
    placed = [trial for trial in trials if trial.state == "complete" or trial.fold_scores]
    shown = near_front(placed, known)
    numbers = {trial.number for trial in shown}
    assert len(shown) <= 50 < len(placed)
    assert {point.trial for point in known.front} <= numbers

    def behind(trial: TrialRecord) -> float:
        rival = known.rival(trial.parameters)
        return (rival.score if rival else 0) - (trial.score or 0)

    ordinary = [trial for trial in placed if trial.state == "complete" and trial.preset is None]
    left_out = [behind(trial) for trial in ordinary if trial.number not in numbers]
    assert max(behind(trial) for trial in ordinary if trial.number in numbers) <= min(left_out)


@pytest.mark.slow
def test_a_large_study_has_notes_on_what_matters(
    searched: tuple[storage.Store, StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, study = searched
    trials = store.trials("fake")
    wanted = {trial.number for trial in trials if trial.preset}.union(
        *standings(study, trials).members.values()
    )
    newest = max(trial.number for trial in trials if trial.number not in wanted)
    monkeypatch.setattr(live, "N_NOTES", len(wanted) + 1)
    assert set(dashboard_content(store, study).trial_notes) == wanted | {newest}


@pytest.mark.slow
def test_a_study_in_any_state_can_be_shown(database: Path) -> None:
    store, study = open_study(database)
    content = dashboard_content(store, study)
    assert content.trial_notes == {}
    assert set(content.figures) == {"front"} or content.figures == {}
    recorder = killed_in(3, 2)
    with pytest.raises(Killed):
        make_worker(store, study, FakeTrainer(n_epochs=3), emit=recorder).work(1)
    content = dashboard_content(store, study)
    assert "curves-running" in content.figures
    curve = json.loads(content.figures["curves-running"])["data"][0]
    assert curve["x"] == [1, 2, 3]
    make_worker(store, study, FakeTrainer(n_folds=1, n_epochs=100), seed=1).work(2)
    curve = json.loads(dashboard_content(store, study).figures["curves-front"])["data"][0]
    assert len(curve["x"]) <= live.N_EPOCHS
    assert curve["x"][-1] == 100


# ---------------------------------------------------------------------------------------------------------
# While a study runs


@pytest.mark.slow
def test_a_worker_leaves_everything_up_to_date(searched: tuple[storage.Store, StudyRecord]) -> None:
    store, study = searched
    for trial in store.trials("fake"):
        note = note_of(store, trial.number)
        assert markdown_text(trial.description) in note
        assert YOURS_BELOW in note
    assert figures_of(store).keys() >= {"ecg-front", "ecg-curves-front"}
    content = dashboard_content(store, study)
    assert note_of(store).startswith(content.note)
    numeric = {"fold_epochs": int, "minutes": float}
    for seen in optuna_trials(store):
        if seen.state is not optuna.trial.TrialState.FAIL:
            assert {name: type(seen.user_attrs[name]) for name in numeric} == numeric
        assert all(len(value) < 40 for value in seen.user_attrs.values() if isinstance(value, str))


class Hands:
    """A clock that moves when it is told to, and counts how often a study was shown."""

    def __init__(self, store: storage.Store, monkeypatch: pytest.MonkeyPatch, cost_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.n_shown = 0
        show = store.show

        def counted(*arguments: Any, **options: Any) -> int:
            self.n_shown += 1
            self.now_s += cost_s
            return show(*arguments, **options)

        monkeypatch.setattr(store, "show", counted)
        # Private: the clock of the database.
        monkeypatch.setattr(store, "_clock", lambda: datetime.fromtimestamp(self.now_s, UTC))

    def __call__(self) -> float:
        return self.now_s


def quiet(message: object) -> None:
    raise AssertionError(message)


def test_seldom_and_by_one_worker_at_a_time(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, study = open_study(database)
    hands = Hands(store, monkeypatch)
    first, second = (DashboardUpdates(store, study, quiet, clock=hands) for _ in range(2))
    for _ in range(2000):  # 200 s, ten epochs a second in each of two workers
        hands.now_s += 0.1
        first.refresh()
        second.refresh()
    assert hands.n_shown == pytest.approx(200 / INTERVAL_S, abs=1)
    hands.now_s += 2 * INTERVAL_S
    with store.dashboard_lock("fake", wait=False) as ours:
        assert ours
        before = hands.n_shown
        first.refresh()  # does not wait
        assert hands.n_shown == before
    hands.now_s += 2 * INTERVAL_S
    first.refresh()
    assert hands.n_shown == before + 1


def test_no_more_than_a_hundredth_of_the_time(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, study = open_study(database)
    hands = Hands(store, monkeypatch, cost_s=2.0)
    showcase = DashboardUpdates(store, study, quiet, clock=hands)
    began_s = hands.now_s
    while hands.now_s < began_s + 3600:
        hands.now_s += 1
        showcase.refresh()
    assert 10 <= hands.n_shown <= 19
    assert 2.0 * (hands.n_shown - 1) <= 0.01 * (hands.now_s - began_s)


def test_a_clock_that_jumps_back_stops_nothing(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, study = open_study(database)
    hands = Hands(store, monkeypatch)
    hands.now_s = 1e9
    DashboardUpdates(store, study, quiet, clock=hands).finish()
    hands.now_s = 1e8
    showcase = DashboardUpdates(store, study, quiet, clock=hands)
    hands.now_s += INTERVAL_S
    showcase.refresh()
    assert hands.n_shown == 2


@pytest.mark.slow
def test_the_last_to_finish_shows_and_nobody_twice(
    searched: tuple[storage.Store, StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, study = searched
    hands = Hands(store, monkeypatch)
    DashboardUpdates(store, study, quiet, clock=hands).finish()
    assert hands.n_shown == 0  # the worker has done so
    with pytest.raises(Killed):
        make_worker(store, study, FakeTrainer(), emit=killed_in(1, 1), seed=5).work(99)
    DashboardUpdates(store, study, quiet, clock=hands).finish()
    assert hands.n_shown == 0  # a trial runs: whoever trains it does
    running = max(trial.number for trial in store.trials("fake"))
    made = store.optuna_study("fake")
    made.tell(running, state=optuna.trial.TrialState.FAIL)
    DashboardUpdates(store, study, quiet, clock=hands).finish()
    assert hands.n_shown == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "error", [storage.StorageError("runs/search.db is read-only"), ZeroDivisionError("a mistake of ours")]
)
def test_a_run_does_not_mind_and_says_so_once(
    database: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("search.watch.dashboard_updates.dashboard_content", broken)
    monkeypatch.setattr("search.watch.dashboard_updates.INTERVAL_S", 0.0)
    store, study = open_study(database)
    heard = Recorder()
    make_worker(store, study, FakeTrainer(n_folds=2), emit=heard).work(2)
    assert states(store)["complete"] == 2
    assert heard.messages() == [f"optuna-dashboard is not up to date: {error}"]


@pytest.mark.slow
def test_it_is_shown_while_a_trial_trains(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.watch.dashboard_updates.INTERVAL_S", 0.0)
    store, study = open_study(database)
    seen: list[set[str]] = []

    def look(event: object) -> None:
        seen.append(set(figures_of(store)))

    make_worker(store, study, FakeTrainer(n_epochs=2, n_folds=2), emit=look).work(1)
    assert {"ecg-curves-running"} <= set().union(*seen)
    assert "ecg-curves-running" not in figures_of(store)


@pytest.mark.slow
def test_the_report_is_an_artifact_of_its_study(
    searched: tuple[storage.Store, StudyRecord], tmp_path: Path
) -> None:
    store, study = searched
    page = tmp_path / "index.html"
    files = set(store.artifacts_folder.iterdir())
    problems: list[Any] = []
    for text in ("first", "second"):
        page.write_text(text)
        DashboardUpdates(store, study, problems.append).attach(page)
    (added,) = set(store.artifacts_folder.iterdir()) - files
    assert added.read_text() == "second"
    # Private: what the page of the dashboard asks its server for.
    from optuna_dashboard.artifact._backend import list_study_artifacts

    (described,) = list_study_artifacts(attributes(store))
    assert described == {
        "artifact_id": added.name,
        "filename": "report.html",
        "mimetype": "text/html",
        "encoding": None,
    }
    page.unlink()
    DashboardUpdates(store, study, problems.append).attach(page)
    (problem,) = problems
    assert "index.html: No such file or directory" in problem.text
