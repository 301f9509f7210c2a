"""Samplers never repeat an architecture, whatever Optuna's own would do."""

import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from statistics import fmean

import optuna
import pytest
from fake_study import tiny_space, wide_space
from fake_trainer import TIERS

import space
from search.errors import UsageError
from search.models.costs import count_parameters
from search.sampler.encoding import SpaceCandidates
from search.sampler.untried import SAMPLERS, SpaceExhaustedError, UntriedSampler, check_sampler

pytestmark = pytest.mark.usefixtures("no_optuna_log")


def candidates(architectures: space.Space) -> SpaceCandidates:
    return SpaceCandidates(architectures, dict.fromkeys(TIERS, 5))


def proposals(
    architectures: space.Space,
    name: str,
    *,
    seed: int = 0,
    taken: set[str] | None = None,
    score: Callable[[space.Architecture], float] = lambda architecture: len(architecture.recurrent),
) -> Iterator[space.Architecture]:
    """Proposals of a sampler in turn, told the score and the parameters of each."""
    tried = set() if taken is None else taken
    sampler = UntriedSampler(candidates(architectures), name, seed=seed, taken=lambda: tried)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    while True:
        trial = study.ask()
        architecture = architectures.suggest(trial)
        tried.add(architecture.digest)
        study.tell(trial, [score(architecture), count_parameters(architecture, 5)])
        yield architecture


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_no_repeats(name: str) -> None:
    proposed = list(islice(proposals(wide_space(), name), 60))
    assert len(set(proposed)) == 60


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_architecture_is_proposed_once_and_then_the_space_is_exhausted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = tiny_space(monkeypatch)
    stream = proposals(tiny, name)
    assert set(islice(stream, len(tiny))) == set(tiny)
    with pytest.raises(SpaceExhaustedError, match="all 36 architectures of space 'tiny' have been tried"):
        next(stream)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seed_decides(name: str) -> None:
    def first(seed: int) -> list[space.Architecture]:
        return list(islice(proposals(wide_space(), name, seed=seed), 15))

    assert first(1) == first(1)
    assert (first(1) == first(2)) == (name == "grid")


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_others_took_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_space(monkeypatch)
    taken = {tiny[index].digest for index in range(len(tiny) - 1)}
    assert next(proposals(tiny, name, taken=taken)) == tiny[len(tiny) - 1]


def test_the_grid_is_spread_evenly_from_the_start() -> None:
    wide = wide_space()
    first = list(islice(proposals(wide, "grid"), 48))
    for axis, choices in (("label_tier", TIERS), ("gate", (0, 16, 4)), ("width", (0.25, 0.5, 1.0))):
        seen = [getattr(architecture, axis) for architecture in first]
        assert all(seen.count(choice) >= 8 for choice in choices), axis


def test_the_grid_has_as_many_of_every_depth() -> None:
    first = list(islice(proposals(wide_space(), "grid"), 48))
    depths = [len(architecture.recurrent) for architecture in first]
    assert all(10 <= depths.count(depth) <= 14 for depth in range(4))


def test_the_grid_visits_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_space(monkeypatch)
    visited = list(islice(proposals(tiny, "grid"), len(tiny)))
    assert len(visited) == len(tiny)
    assert set(visited) == set(tiny)


def test_tpe_models_whole_architectures_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        architectures = list(islice(proposals(wide_space(), "tpe"), 25))
    assert any(architecture.recurrent for architecture in architectures)


@pytest.mark.parametrize("name", [pytest.param("tpe", marks=pytest.mark.slow), "nsga2"])
def test_samplers_learn_from_what_they_are_told(name: str) -> None:
    """With a front at narrow networks without recurrent layers, later proposals lie nearer to it."""

    def mean_depth(name: str) -> float:
        stream = proposals(wide_space(), name, score=lambda architecture: -len(architecture.recurrent))
        return fmean(len(architecture.recurrent) for architecture in islice(stream, 120, 180))

    assert mean_depth(name) < mean_depth("random") - 0.5


def test_unknown_sampler() -> None:
    with pytest.raises(
        UsageError, match="unknown sampler 'cma': choose from front, tpe, nsga2, random, grid"
    ):
        UntriedSampler(candidates(wide_space()), "cma", seed=0, taken=set)
    with pytest.raises(UsageError, match="unknown sampler"):
        check_sampler("")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["front", "tpe", "random", "grid"])
def test_whoever_proposes_the_front_sampler_says_what_to_expect(name: str) -> None:
    wide = wide_space()
    taken: set[str] = set()
    sampler = UntriedSampler(candidates(wide), name, seed=0, taken=lambda: taken)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.enqueue_trial(dict(wide.to_params(wide[0])))
    for number in range(12):
        architecture = wide.suggest(study.ask())
        assert (architecture == wide[0]) == (number == 0)
        expected = sampler.expected(wide.to_params(architecture))
        assert (expected is None) == (number == 0)
        if expected is not None and number > 5:
            mean, sd = expected
            assert 0.3 < mean < 0.8
            assert 0 < sd < 0.2
        taken.add(architecture.digest)
        study.tell(number, [0.4 + 0.1 * len(architecture.recurrent), 1000.0 + number])


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_space_larger_than_memory_can_be_searched(name: str) -> None:
    """The full space has 4e11 architectures; 8 of the 11 proposals of `front` are spread over sizes."""
    architectures = space.Space("full", TIERS, inputs=space.Inputs(n_features=8, likelihoods=True))
    assert len(architectures) > 10**11
    stream = proposals(architectures, name, score=lambda architecture: -len(architecture.recurrent))
    proposed = list(islice(stream, 11))
    assert len({architecture.digest for architecture in proposed}) == 11
    assert len({architecture.backbone for architecture in proposed}) > 2
    assert all(architecture in architectures for architecture in proposed)
