"""Trials put into a study with Optuna: some that cannot be trained, and results of other programs."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from fake_study import make_worker, n_finished, open_study, results, wide_space
from fake_trainer import FakeTrainer
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from recorder import Recorder

import space
import storage
from reports.document import report_document
from reports.evidence import gather
from reports.status import status, status_view
from search.sampler.untried import SAMPLERS
from search.study.study import queue_presets
from search.study.worker import MAX_FAILURES_IN_A_ROW

pytestmark = pytest.mark.usefixtures("no_optuna_log")

CNN = {
    "depth": 0,
    "loss": "bce",
    "width": 1.0,
    "head_width": 64,
    "gate": 0,
    "label_smoothing": 0.1,
    "label_tier": "superclass",
}
"""All parameters of an architecture of the space, none of them a preset's."""

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({**CNN, "depth": 7}, "depth is one of 0, 1, 2, 3, got 7"),
    ({**CNN, "depth": "two"}, "depth is one of 0, 1, 2, 3, got 'two'"),
    ({**CNN, "depth": True}, "depth is one of 0, 1, 2, 3, got True"),
    ({**CNN, "depth": None}, "depth is one of 0, 1, 2, 3, got None"),
    ({**CNN, "depth": [1]}, "depth is one of 0, 1, 2, 3, got [1]"),
    ({**CNN, "width": float("nan")}, "width is one of 0.25, 0.5, 1.0, got nan"),
    ({**CNN, "width": float("inf")}, "width is one of 0.25, 0.5, 1.0, got inf"),
    ({**CNN, "label_tier": "severity-3"}, "got 'severity-3'"),
    ({"colour": "red"}, "space wide has no parameter colour: it has depth, "),
    ({"filter": "median"}, "filter is 'none', got 'median'"),
    ({"exponent": 0.5, "loss": "bce"}, "has loss='bce', exponent=0.5 together"),
    ({"cell_3": "gru", "depth": 1}, "no architecture of space wide has depth=1, cell_3='gru' together"),
    ({"x" * 500: 1}, f"no parameter {'x' * 60}…: it has"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study whose presets have been trained."""
    folder = tmp_path_factory.mktemp("trained")
    store, study = open_study(folder / "search.db")
    quick_worker(store, study).work(n_presets(store))
    store.close()
    return folder


@pytest.fixture
def opened(trained: Path, tmp_path: Path) -> Iterator[tuple[storage.Store, storage.StudyRecord]]:
    """A copy of that study."""
    shutil.copytree(trained, tmp_path / "copy")
    store, study = open_study(tmp_path / "copy/search.db")
    yield store, study
    store.close()


def n_presets(store: storage.Store) -> int:
    return len(store.optuna_study("fake").trials)


def quick_worker(store: storage.Store, study: storage.StudyRecord, **changes: Any) -> Any:
    return make_worker(store, study, FakeTrainer(n_folds=2, n_epochs=1), **changes)


def trial_of(store: storage.Store, number: int) -> optuna.trial.FrozenTrial:
    return store.optuna_study("fake").trials[number]


def others_trial(**changes: Any) -> optuna.trial.FrozenTrial:
    """A complete trial as another program may have told it."""
    values: dict[str, Any] = {
        "params": CNN,
        "distributions": {
            name: CategoricalDistribution(choices)
            for name, choices in wide_space().parameter_axes().items()
            if name in CNN
        },
        "values": [0.99, 10.0],
    }
    return create_trial(**(values | changes))


@pytest.mark.slow
def test_queued_trials_that_cannot_be_trained_fail_alone_with_their_reasons(
    opened: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = opened
    before, heard = n_finished(store), Recorder()
    first = len(store.optuna_study("fake").trials)
    for params, _ in REFUSED:
        store.optuna_study("fake").enqueue_trial(params)
    quick_worker(store, study, emit=heard).work(before + 1)
    assert n_finished(store) == before + 1
    found = store.refusals("fake")
    assert list(found) == list(range(first, first + len(REFUSED)))
    for (number, why), (_, reason) in zip(found.items(), REFUSED, strict=True):
        assert reason in why
        assert trial_of(store, number).state is TrialState.FAIL
        assert f"trial {number}, which was queued, is refused: {why}" in heard.messages()
    assert store.counts("fake")["failed"] == len(REFUSED)


@pytest.mark.slow
def test_however_many_were_queued_in_vain_the_worker_goes_on(
    opened: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = opened
    before = n_finished(store)
    for depth in range(10, 10 + 2 * MAX_FAILURES_IN_A_ROW):
        store.optuna_study("fake").enqueue_trial({**CNN, "depth": depth})
    quick_worker(store, study).work(before + 1)
    assert n_finished(store) == before + 1
    now = status(store, "fake")
    assert now.counts["failed"] == len(now.refusals) == 2 * MAX_FAILURES_IN_A_ROW
    assert now.to_json()["refused"][0]["reason"] == "depth is one of 0, 1, 2, 3, got 10"
    lines = [str(part) for part in status_view(now).renderables]  # type: ignore[attr-defined]
    assert sum(line.startswith("Refused: trial") for line in lines) == 5
    assert f"and {2 * MAX_FAILURES_IN_A_ROW - 5} refused before (all with --json)" in lines


@pytest.mark.slow
def test_what_was_tried_is_refused_when_it_is_queued_again(
    opened: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = opened
    first = trial_of(store, 0)
    for _ in range(2 * MAX_FAILURES_IN_A_ROW):
        store.optuna_study("fake").enqueue_trial(first.params)
    quick_worker(store, study).work(n_finished(store) + 1)
    reasons = set(store.refusals("fake").values())
    assert len(store.refusals("fake")) == 2 * MAX_FAILURES_IN_A_ROW
    assert reasons == {f"trial 0 has {store.trials('fake')[0].description}"}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_queued_trials_leave_open_is_drawn_so_that_the_rest_applies(
    sampler: str, opened: tuple[storage.Store, storage.StudyRecord]
) -> None:
    store, study = opened
    first = len(store.optuna_study("fake").trials)
    queued: list[dict[str, Any]] = [CNN, {}, {"depth": 2}, {"cell_2": "gru"}, {"exponent": 0.5}]
    for params in [*queued, {"filter": "none"}]:  # the only filter of this space, which is not asked for
        store.optuna_study("fake").enqueue_trial(params)
    quick_worker(store, study, sampler=sampler).work(n_finished(store) + len(queued) + 1)
    assert store.refusals("fake") == {}
    for number, params in enumerate([*queued, {}], start=first):
        trained = trial_of(store, number)
        assert trained.state is TrialState.COMPLETE
        assert params.items() <= trained.params.items()


@pytest.mark.slow
def test_attributes_of_ours_with_other_content_are_refused(
    opened: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = opened
    odd: list[Any] = [5, "abc", [None], {"a": 1}, [1.5]]
    for continues in odd:
        store.optuna_study("fake").enqueue_trial(CNN, user_attrs={storage.CONTINUES: continues})
    assert store.trials("fake")
    quick_worker(store, study).work(n_finished(store) + 1)
    reason = "its attribute 'continues' is this program's own: leave it out"
    assert list(store.refusals("fake").values()) == [reason] * len(odd)


@pytest.mark.slow
def test_parameters_that_are_no_parameters_are_refused(
    opened: tuple[storage.Store, storage.StudyRecord],
) -> None:
    store, study = opened
    waiting = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": [1, 2]})
    store.optuna_study("fake").add_trial(waiting)
    quick_worker(store, study).work(n_finished(store) + 1)
    assert list(store.refusals("fake").values()) == ["its parameters are '[1, 2]', not names with values"]


@pytest.mark.slow
def test_trials_of_others_with_other_distributions_hold_up_nobody(tmp_path: Path) -> None:
    """Optuna takes them while no trial of the study has a parameter of that name."""
    store, study = open_study(tmp_path / "search.db")
    number = n_presets(store)
    other: dict[str, Any] = {"params": {"depth": 1}, "distributions": {"depth": IntDistribution(0, 9)}}
    store.optuna_study("fake").add_trial(create_trial(state=TrialState.WAITING, **other))
    store.optuna_study("fake").add_trial(create_trial(values=[0.9, 1.0], **other))
    quick_worker(store, study).work(number + 1)
    assert n_finished(store) == number + 1
    ((refused, reason),) = store.refusals("fake").items()
    assert refused == number
    assert reason.startswith("depth was added with another distribution than this study has: queue it with ")
    assert store.not_trained_here("fake") == [number + 1]
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_results_of_others_change_nothing_that_is_trained(
    sampler: str, trained: Path, tmp_path: Path
) -> None:
    found = []
    for name in ("alone", "visited"):
        shutil.copytree(trained, tmp_path / name)
        store, study = open_study(tmp_path / name / "search.db")
        if name == "visited":
            visited = store.optuna_study("fake")
            visited.add_trial(others_trial())
            visited.add_trial(others_trial(values=[float("inf"), -1.0]))
            odd = {"mood": CategoricalDistribution(["good", "bad"])}
            visited.add_trial(others_trial(params={"mood": "bad"}, distributions=odd))
            visited.add_trial(others_trial(values=None, state=TrialState.PRUNED))
            visited.add_trial(others_trial(values=None, state=TrialState.FAIL))
        quick_worker(store, study, sampler=sampler, seed=3).work(n_finished(store) + 2)
        found.append([result[1:4] for result in results(store)])
        if name == "visited":
            numbers = store.not_trained_here("fake")
            assert len(numbers) == 4
            now = status(store, "fake")
            assert now.to_json()["not_trained_here"] == numbers
            said = "Not trained here: 4 finished trials; neither search nor reports use them"
            assert said in [str(part) for part in status_view(now).renderables]  # type: ignore[attr-defined]
            document = report_document(gather(store, "fake"), n_resamples=10)
            assert not set(numbers) & {row.trial for row in document.trials}
        store.close()
    assert found[0] == found[1]


def test_presets_are_queued_beside_whatever_is_there(tmp_path: Path) -> None:
    store, study = open_study(tmp_path / "search.db")
    n = n_presets(store)
    preset = trial_of(store, 0).system_attrs["fixed_params"]
    store.optuna_study("fake").enqueue_trial(dict.fromkeys(preset, "odd"))
    store.optuna_study("fake").add_trial(
        create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": 5})
    )
    queue_presets(store, study, wide_space())
    assert n_presets(store) == n + 2
    store.close()


def test_values_that_go_together() -> None:
    wide = space.Space("wide", ("superclass",))
    assert wide.values("depth", {"cell_2": "gru"}) == (2, 3)
    assert wide.values("loss", {"exponent": 0.5}) == ("power",)
    assert wide.values("cell_1", {}) == wide.axes["cell"]
    with pytest.raises(KeyError):
        wide.values("colour", {})
