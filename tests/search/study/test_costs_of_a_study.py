"""Studies that minimise something else than parameters: what is stored, proposed, shown and refused."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from fake_study import make_worker, open_study, study_record, tiny_space
from fake_trainer import FakeTrainer

import space
import storage
from reports.status import status
from scores.front import front_trials
from search.data.dataset import Development
from search.errors import StudyMismatchError, UsageError
from search.export.latency import LatencyMeter
from search.export.runtime import Latency
from search.models.costs import costs_of
from search.models.latency import LatencyModel
from search.sampler.encoding import SpaceCandidates
from search.study.latency import check_machine, latency_settings, networks_to_measure
from search.study.study import RequestedSettings, check_requested, quiet_optuna


@dataclass
class Clock:
    """A meter for which a network takes a nanosecond for each MAC, and a million more with an LSTM."""

    machine: str = "a clock"
    asked: list[str] = field(default_factory=list)

    def measure(self, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> Latency:
        self.asked.append(architecture.digest)
        milliseconds = self.milliseconds(architecture, n_outputs, inputs)
        return Latency(median_ms=milliseconds, p99_ms=2 * milliseconds, n_calls=1)

    def throughput(self, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> float:
        return 500 / self.milliseconds(architecture, n_outputs, inputs)

    @staticmethod
    def milliseconds(architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> float:
        costs = costs_of(architecture, n_outputs, inputs)
        return costs.macs / 1e6 + ("lstm" in costs.operators)


Make = Callable[..., tuple[space.Space, storage.Store, storage.StudyRecord]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    quiet_optuna()
    tiny = tiny_space(monkeypatch, n_tiers=1)

    def made(**settings: object) -> tuple[space.Space, storage.Store, storage.StudyRecord]:
        kept = {**study_record().settings, **settings}
        store, study = open_study(tmp_path / "search.db", tiny, settings=kept)
        return tiny, store, study

    return made


# Of everything by MACs, so that latencies are expected exactly but for the LSTM.
MACS_ONLY = LatencyModel(
    machine="a clock",
    coefficients={f"{kind} MAC": 1.0 for kind in ("conv", "gru", "lstm", "dense", "pool", "attention")},
    error=0.1,
    error_p90=0.2,
    n_measured=40,
).to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("cost", ["macs", "bytes", "memory"])
def test_the_second_objective_is_the_cost_of_the_study(cost: str, make: Make) -> None:
    tiny, store, study = make(cost=cost)
    make_worker(store, study, FakeTrainer(), architectures=tiny).work(4)
    trials = store.trials(study.name)
    n_outputs = {tier: len(classes) for tier, classes in study.tier_classes.items()}
    told = store.optuna_study(study.name)
    for trial in trials:
        architecture = space.Architecture.from_dict(trial.architecture)
        known = costs_of(architecture, n_outputs[architecture.label_tier]).to_dict()
        assert trial.cost == known[cost] == told.trials[trial.number].values[1]
    assert told.metric_names == [
        "macro_auprc",
        {"macs": "MACs", "bytes": "weights (bytes)"}.get(cost, "memory (bytes)"),
    ]
    front = front_trials(trials)
    assert [trial.cost for trial in front] == sorted({trial.cost for trial in front})
    document = status(store, study.name).to_json()
    assert document["cost"] == cost
    assert [row["cost"] for row in document["front"]] == [trial.cost for trial in front]


@pytest.mark.slow
def test_the_race_and_the_sampler_know_trials_by_that_cost(make: Make) -> None:
    tiny, store, study = make(cost="macs")
    make_worker(store, study, FakeTrainer(), architectures=tiny).work(3)
    known = {trial.id: trial.costs["macs"] for trial in store.trials(study.name)}
    finished = store.finished(study.name, list(store.finished_numbers(study.name)))
    assert {record.id: record.cost for record in finished} == {
        record.id: known[record.id] for record in finished
    }
    candidates = SpaceCandidates(
        tiny, {tier: len(each) for tier, each in study.tier_classes.items()}, cost="macs"
    )
    architecture = candidates.architecture(3)
    macs = costs_of(architecture, len(study.tier_classes[architecture.label_tier])).macs
    # Private: the sampler hands positions over that are already those of the candidates that fit.
    assert 10 ** candidates.log_cost(candidates._here(_positions(3)))[0] == pytest.approx(macs, rel=1e-12)


def _positions(*numbers: int):  # type: ignore[no-untyped-def]
    import numpy as np

    return np.array(numbers, dtype=np.int64)


def test_a_study_has_one_cost_and_former_ones_have_parameters(make: Make) -> None:
    _, _, study = make()
    nothing = cast(Development, None)
    with pytest.raises(
        StudyMismatchError, match="was made with --cost parameters, not macs: leave --cost out"
    ):
        check_requested(study, RequestedSettings(settings={"cost": "macs"}), nothing)
    assert study.cost == "parameters"


@pytest.mark.slow
def test_latencies_are_measured_and_nothing_measured_beyond_the_limit_is_trained(make: Make) -> None:
    """The limit lies half a millisecond above what is expected of some networks with an LSTM."""
    limit_us = 9_700
    tiny, store, study = make(cost="latency", max={"latency": limit_us}, latency_model=MACS_ONLY)
    clock = Clock()
    n_outputs = {tier: len(classes) for tier, classes in study.tier_classes.items()}
    latency_us = {
        each.digest: 1000 * Clock.milliseconds(each, n_outputs[each.label_tier], tiny.inputs) for each in tiny
    }
    expected_us = {
        each.digest: costs_of(each, n_outputs[each.label_tier], tiny.inputs).macs / 1000 for each in tiny
    }
    within = {
        digest for digest, us in latency_us.items() if us <= limit_us and expected_us[digest] <= limit_us
    }
    deceptive = {digest for digest, us in latency_us.items() if us > limit_us >= expected_us[digest]}
    assert within
    assert deceptive
    make_worker(store, study, FakeTrainer(), architectures=tiny, meter=clock).work(len(tiny))
    trials = store.trials(study.name)
    assert {trial.architecture_hash for trial in trials} == within
    assert deceptive & set(clock.asked)
    for trial in trials:
        assert trial.cost == pytest.approx(latency_us[trial.architecture_hash], abs=1)  # whole microseconds
        assert trial.costs["latency-p99"] == pytest.approx(2 * trial.cost, abs=2)
        assert trial.costs["throughput"] == pytest.approx(5e5 / trial.cost, rel=0.01)
    assert store.optuna_study(study.name).metric_names == ["macro_auprc", "latency (µs)"]


@pytest.mark.slow
def test_a_queued_trial_that_is_faster_than_expected_is_trained_beside_the_candidates(make: Make) -> None:
    """An LSTM is expected ten times as slow as it is: over the limit, and no candidate of the sampler."""
    limit_us = 15_000
    slow = {**MACS_ONLY, "coefficients": {**MACS_ONLY["coefficients"], "lstm MAC": 10.0}}
    tiny, store, study = make(cost="latency", max={"latency": limit_us}, latency_model=slow)
    n_outputs = {tier: len(classes) for tier, classes in study.tier_classes.items()}
    candidates = SpaceCandidates(
        tiny, n_outputs, most={"latency": limit_us}, cost="latency", latency=LatencyModel(**slow)
    )
    fast = [
        each
        for each in tiny
        if each not in candidates
        and 1000 * Clock.milliseconds(each, n_outputs[each.label_tier], tiny.inputs) <= limit_us
    ]
    assert (len(candidates), len(fast)) == (4, 2)
    worker = make_worker(store, study, FakeTrainer(), architectures=tiny, meter=Clock())
    worker.work(3)
    for each in fast:
        store.optuna_study(study.name).enqueue_trial(dict(tiny.to_params(each)))
    worker.work(6)
    trials = store.trials(study.name)
    assert [trial.state for trial in trials] == ["complete"] * 6
    assert [trial.architecture_hash for trial in trials[3:5]] == [each.digest for each in fast]


def test_what_is_measured_counts_for_more_than_what_is_expected(make: Make) -> None:
    tiny, _, study = make()
    n_outputs = {tier: len(classes) for tier, classes in study.tier_classes.items()}
    candidates = SpaceCandidates(tiny, n_outputs, cost="latency", latency=LatencyModel(**MACS_ONLY))
    before = candidates.log_cost(_positions(0, 1, 2))
    candidates.learn([(candidates[1], 777.0)])
    after = candidates.log_cost(_positions(2, 1, 0))
    assert 10 ** after[1] == pytest.approx(777)
    assert (after[0], after[2]) == (before[2], before[0])


def test_a_new_study_measures_every_network_of_a_small_space_once(make: Make) -> None:
    tiny, _, study = make(inputs={"n_leads": 12, "n_samples": 1000, "n_features": 0})
    n_outputs = {tier: len(classes) for tier, classes in study.tier_classes.items()}
    candidates = SpaceCandidates(tiny, n_outputs)
    clock, told = Clock(), []
    settings = latency_settings(study, candidates, clock, lambda done, total: told.append((done, total)))
    n_networks = len(networks_to_measure(candidates, n_outputs, tiny.inputs))
    assert len(clock.asked) == n_networks == len(tiny)
    assert told[-1] == (n_networks, n_networks)
    model = LatencyModel(**settings["latency_model"])
    assert model.machine == "a clock"
    assert model.error < 0.2


def test_a_study_is_not_continued_on_another_machine(make: Make) -> None:
    _, _, study = make(cost="latency", latency_model=MACS_ONLY)
    check_machine(study, Clock())
    with pytest.raises(
        StudyMismatchError, match="has latencies of a clock, this is a sundial: continue it there"
    ):
        check_machine(study, Clock(machine="a sundial"))


def test_a_measured_latency_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = LatencyMeter(cache_dir=tmp_path)
    small = replace(space.preset("cnn", "superclass"), width=0.25, head_width=64)
    inputs = space.Inputs(n_leads=2, n_samples=100)
    found = meter.measure(small, 3, inputs)
    assert 0 < found.median_ms <= found.p99_ms
    (file,) = (tmp_path / "latency").iterdir()

    def never(*_: object) -> Latency:
        raise UsageError("measured again")

    monkeypatch.setattr("search.export.untrained.time_graph", never)
    assert meter.measure(replace(small, label_smoothing=0.1), 3, inputs) == found
    with pytest.raises(UsageError, match="measured again"):
        meter.measure(small, 4, inputs)
    file.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="measured again"):
        meter.measure(small, 3, inputs)
