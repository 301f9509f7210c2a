"""Limits of a study: what the options say, what is kept of them, and that nothing beyond is ever tried."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import optuna
import pytest
from fake_study import make_worker, open_study, tiny_space
from fake_trainer import FakeTrainer

import space
from reports.words import limits_words
from search.data.dataset import Development
from search.errors import StudyMismatchError, UsageError
from search.models.costs import costs_of
from search.sampler.encoding import SpaceCandidates
from search.sampler.untried import SAMPLERS
from search.study.limits import Limits, check_operators, interest_settings, limit_settings, limits_of
from search.study.study import check_requested, quiet_optuna

N_OUTPUTS = {"superclass": 5, "subclass": 23, "diagnostic": 44, "all": 71}


# ---------------------------------------------------------------------------------------------------------
# Options


def test_limits_are_kept_as_numbers() -> None:
    settings = limit_settings("memory=256KiB,parameters=250k,macs=1.5M,bytes-int8=1MB", "gru,conv,gru", None)
    assert settings == {
        "max": {"parameters": 250_000, "macs": 1_500_000, "bytes-int8": 1_000_000, "memory": 262_144},
        "operators": ["conv", "gru"],
    }
    assert limits_words(settings) == (
        "at most 250,000 parameters, 1.5 M MACs, 977 KiB of weights (int8), 256 KiB of memory (fp32); "
        "operators conv, gru"
    )
    assert limit_settings("latency=2.5ms", None, None) == {"max": {"latency": 2500}}
    assert limits_words({"max": {"latency": 2500}}) == "at most 2.5 ms of latency"
    in_eight_bits = {"max": {"memory-int8": 65_536}}
    assert limits_words(in_eight_bits | {"cost": "macs"}) == "at most 64 KiB of memory (int8)"
    assert limits_words(in_eight_bits | {"cost": "memory"}) == (
        "at most 64 KiB of memory (int8); minimised: memory in fp32"
    )
    # In floats 1.005 · 10⁶ is less than 1,005,000.
    assert limit_settings("macs=1.005M", None, None) == {"max": {"macs": 1_005_000}}
    assert limit_settings(None, None, None) == {}
    assert interest_settings(None, "3ms", "latency") == {"smallest": 3000}
    assert interest_settings(0.7, "50k") == {"at_least": 0.7, "smallest": 50_000}


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("cortex-m7", {"bytes-int8": 2 * 2**20, "memory-int8": 2**20}),
        ("cortex-m4", {"bytes-int8": 512 * 2**10, "memory-int8": 128 * 2**10}),
        ("raspberry-pi-5", {"memory": 2 * 10**9}),
    ],
)
def test_devices_that_come_with_the_program(name: str, limits: dict[str, int]) -> None:
    settings = limit_settings(None, None, name)
    assert settings["max"] == limits
    assert " (" in settings["device_profile"]  # its source


def test_the_tighter_of_device_and_option_holds(tmp_path: Path) -> None:
    file = tmp_path / "watch.toml"
    file.write_text(
        'ram = "64KiB"\nlatency = "20ms"\nprecision = "fp32"\noperators = ["conv", "pool", "gru"]\n',
        encoding="utf-8",
    )
    settings = limit_settings("memory=1MiB,parameters=9k", "conv,lstm", str(file))
    assert settings["max"] == {"parameters": 9_000, "memory": 65_536, "latency": 20_000}
    assert settings["operators"] == ["conv"]
    assert settings["device_profile"] == "watch"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("parameters=250x", None, None), "--max: parameters is a number such as 250k, 20M, got '250x'"),
        (("memory=1KB", None, None), "units are B, kB, MB, GB, KiB, MiB, GiB"),
        (("macs=-3", None, None), "--max: macs is at least 1 .* got '-3'"),
        (("macs=1e99", None, None), "a number that a computer can hold"),
        (("flops=3", None, None), "--max is COST=LIMIT,… with costs from parameters, macs, .* got 'flops=3'"),
        (("macs=3,macs=4", None, None), "--max names macs twice"),
        (("", None, None), "--max is COST=LIMIT"),
        ((None, "conv,,gru", None), "--operators names operators such as conv,pool,gru"),
        (("parameters=250.000", None, None), "parameters is a whole number, or has a unit"),
        (("parameters=\u0663", None, None), "parameters is a number such as 250k"),
        (("latency=10", None, None), "--max: latency is a number such as 10ms, 0.5s, got '10'; units are µs"),
        ((None, None, "cortex"), "unknown device 'cortex': choose from cortex-m7, cortex-m4, raspberry-pi-5"),
        ((None, None, "no.toml"), "the file cannot be read"),
    ],
)
def test_options_that_cannot_be_used(options: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        limit_settings(*options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("flash = ", "not a TOML file"),
        ('flsh = "2MB"', "unknown key 'flsh': choose from flash, latency, operators, precision, ram"),
        ('ram = "2MB"\nprecision = "int4"', "precision is int8 or fp32, got 'int4'"),
        ('ram = "-2MB"', "ram: memory-int8 is at least 1"),
        ('operators = "conv"', "operators are a list of names"),
        ('ram = "2MB"\noperators = []', "names operators such as"),
        ('ram = "2MB"\nwords = 3', "words is a text, got 3"),
        ('words = "nothing"', "has neither flash nor ram nor latency nor operators"),
    ],
)
def test_profiles_that_cannot_be_used(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "device.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as refused:
        limit_settings(None, None, str(file))
    assert "\n" not in str(refused.value)


def test_an_operator_that_nobody_has_is_refused_where_a_profile_names_it(tmp_path: Path) -> None:
    profile = tmp_path / "watch.toml"
    profile.write_text('operators = ["conv", "warp", "mamba"]\n', encoding="utf-8")
    named = limit_settings(None, None, str(profile))["operators"]
    with pytest.raises(
        UsageError, match=r"--device-profile: unknown operator 'warp': choose from conv, .*gru"
    ):
        check_operators(named, {"mamba"})
    # An operator of the program may be named, whether or not this space has a layer that needs it.
    check_operators(["attention", "conv", "fft", "pool", "scan"], ())


def test_a_profile_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "device.toml"
    file.write_text('ram = "2kB"', encoding="utf-8-sig")
    assert limit_settings(None, None, str(file))["max"] == {"memory-int8": 2_000}


@pytest.mark.parametrize("options", [(70.0, None), (0.0, None), (None, "-4"), (None, "many")])
def test_regions_that_cannot_be_used(options: tuple[float | None, str | None]) -> None:
    with pytest.raises(UsageError, match=r"^--(at-least|smallest)"):
        interest_settings(*options)


# ---------------------------------------------------------------------------------------------------------
# Candidates


MOST = {"parameters": 120_000, "memory-int8": 60_000}
OPERATORS = ("conv", "pool", "gru")


def fits(architecture: space.Architecture) -> bool:
    costs = costs_of(architecture, N_OUTPUTS[architecture.label_tier])
    told = costs.to_dict()
    return all(told[name] <= limit for name, limit in MOST.items()) and costs.operators <= set(OPERATORS)


@pytest.mark.slow
def test_what_fits_is_listed_and_nothing_else() -> None:
    axes = {"width": (0.25, 0.5), "head_width": (64, 512), "loss": ("bce", "focal"), "depth": (0, 1, 2)}
    listed = space.Space("some", ("superclass", "all"), axes=space.SPACES["paper"] | axes)
    candidates = SpaceCandidates(listed, N_OUTPUTS, most=MOST, operators=OPERATORS)
    fitting = {architecture.digest for architecture in listed if fits(architecture)}
    assert 0 < len(fitting) < len(listed)
    assert len(candidates) == len(fitting)
    assert {candidates.name(index) for index in range(len(candidates))} == fitting
    for index in range(0, len(candidates), 7):
        assert candidates.index(candidates[index]) == index
        assert candidates.architecture(index) in candidates
        near = candidates.neighbours(index)
        assert index not in near
        assert all(0 <= other < len(candidates) for other in near)
    everything = SpaceCandidates(listed, N_OUTPUTS)
    outside = next(a for a in listed if not fits(a))
    assert outside not in candidates
    with pytest.raises(KeyError):
        candidates.index(listed.to_params(outside))
    # A candidate looks the same to the model whether or not others are left out.
    some = np.arange(0, len(candidates), 5)
    same = np.array([everything.index(candidates[int(index)]) for index in some])
    assert np.array_equal(candidates.encode(some), everything.encode(same))


@pytest.mark.slow
def test_limits_of_a_space_that_is_too_large_to_list() -> None:
    inputs = space.Inputs(n_features=80, likelihoods=True)
    listed = space.Space("full", tuple(N_OUTPUTS), inputs=inputs)
    candidates = SpaceCandidates(
        listed, N_OUTPUTS, most={"bytes-int8": 512 * 1024, "memory-int8": 128 * 1024}
    )
    assert 0 < len(candidates) < len(listed)
    for index in np.random.default_rng(2).integers(0, len(candidates), 20):
        architecture = candidates.architecture(int(index))
        costs = costs_of(architecture, N_OUTPUTS[architecture.label_tier], inputs).to_dict()
        assert costs["bytes-int8"] <= 512 * 1024
        assert costs["memory-int8"] <= 128 * 1024


def test_fewer_parameters_than_count_are_no_cheaper() -> None:
    listed = space.Space("paper", ("subclass",), axes=space.SPACES["paper"] | {"width": (0.25, 1.0)})
    plain = SpaceCandidates(listed, N_OUTPUTS)
    bounded = SpaceCandidates(listed, N_OUTPUTS, smallest=300_000)
    every = np.arange(len(listed))
    assert np.array_equal(bounded.log_cost(every), np.maximum(plain.log_cost(every), np.log10(300_000)))
    assert np.array_equal(bounded.encode(every), plain.encode(every))


# ---------------------------------------------------------------------------------------------------------
# Studies


@pytest.fixture
def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple]:
    quiet_optuna()
    tiny = tiny_space(monkeypatch)

    def make(**settings):
        store, study = open_study(tmp_path / "search.db", tiny)
        return tiny, store, replace(study, settings={**study.settings, **settings})

    return make


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_what_fits_until_it_is_exhausted(sampler: str, limited) -> None:
    tiny, store, study = limited(max={"parameters": 400_000}, operators=["conv", "pool", "gru"])
    limits = limits_of(study)
    n_outputs = study.n_classes
    within = [each for each in tiny if limits.complaint(costs_of(each, n_outputs[each.label_tier])) is None]
    assert 0 < len(within) < len(tiny)
    trainer = FakeTrainer(n_folds=1, n_epochs=1)
    make_worker(store, study, trainer, architectures=tiny, sampler=sampler).work(len(tiny))
    assert {trial.architecture_hash for trial in store.trials(study.name)} == {each.digest for each in within}
    assert {trial.state for trial in store.trials(study.name)} == {"complete"}


def test_what_does_not_fit_is_told_with_its_costs() -> None:
    costs = costs_of(space.preset("cnn-lstm", "superclass"), 5)
    limits = Limits(most={"parameters": 10**6, "macs": 8 * 10**6}, operators=("conv", "pool"))
    assert limits.excess(costs) == "118 M MACs, operator lstm"
    assert limits.complaint(costs) == "macs 118 M, at most 8 M; operator lstm"
    assert Limits(most={"parameters": 10**6}).excess(costs) == ""


@pytest.mark.slow
def test_what_somebody_queues_beyond_a_limit_is_refused_with_the_reason(limited) -> None:
    tiny, store, study = limited(max={"parameters": 400_000})
    too_large = next(
        each for each in tiny if costs_of(each, len(study.tier_classes[each.label_tier])).parameters > 400_000
    )
    with store.explained():
        made = store.optuna_study(study.name)
        made.enqueue_trial(dict(tiny.to_params(too_large)))
    make_worker(store, study, FakeTrainer(), architectures=tiny).work(1)
    with store.explained():
        refused = made.get_trials(states=(optuna.trial.TrialState.FAIL,))
    assert ["at most 400,000" in trial.user_attrs["refused"] for trial in refused] == [True]
    assert [trial.architecture_hash for trial in store.trials(study.name)] != [too_large.digest]


@pytest.mark.slow
def test_costs_of_a_trial_are_kept_with_it(limited) -> None:
    tiny, store, study = limited()
    make_worker(store, study, FakeTrainer(), architectures=tiny).work(1)
    (trial,) = store.trials(study.name)
    architecture = space.Architecture.from_dict(trial.architecture)
    assert trial.costs == costs_of(architecture, len(study.tier_classes[trial.label_tier])).to_dict()
    assert trial.costs["parameters"] == trial.parameters


def test_a_worker_with_other_limits_is_refused_in_one_line(limited) -> None:
    _, _, study = limited(max={"parameters": 400_000})
    for settings, message in (
        (
            {"max": {"parameters": 9}},
            "was made with --max parameters=400000, not parameters=9: leave --max out",
        ),
        ({"operators": ["conv"]}, "was made without --operators, not with conv: leave --operators out"),
        ({"at_least": 0.7}, "was made without --at-least, not with 0.7: leave --at-least out"),
    ):
        with pytest.raises(StudyMismatchError, match=message):
            check_requested(study, cast(Development, None), settings=settings)
