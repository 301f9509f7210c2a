"""The sampler of untried candidates, in plain Optuna studies of a closed-form objective."""

import itertools
from statistics import median

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

import space
from scores.front import Point, Reference, hypervolume
from search.models.costs import count_parameters
from search.sampler import front as front_sampler
from search.sampler import shortlist as pool
from search.sampler.duration import fit_duration
from search.sampler.encoding import SpaceCandidates
from search.sampler.front import FrontSampler, NoCandidateLeftError
from search.sampler.history import Estimate, most_informative, read_history
from search.sampler.listed import ListedCandidates

pytestmark = pytest.mark.usefixtures("no_optuna_log")

AXES = {
    "width": (8, 16, 32, 64, 128),
    "layers": (1, 2, 3, 4),
    "activation": ("relu", "gelu", "tanh"),
    "dropout": (0.0, 0.1, 0.2, 0.3, 0.5),
}
LISTING = [dict(zip(AXES, values, strict=True)) for values in itertools.product(*AXES.values())]
DISTRIBUTIONS = {axis: CategoricalDistribution(choices) for axis, choices in AXES.items()}


def cost_of(params):
    return params["layers"] * params["width"] ** 2


def encode(params):
    kinds = [float(params["activation"] == kind) for kind in AXES["activation"]]
    return [np.log2(params["width"]), params["layers"], params["dropout"], *kinds]


def score_of(params):
    size = np.log2(cost_of(params)) / 16
    act = {"relu": 0.0, "gelu": 0.02, "tanh": -0.03}[params["activation"]]
    best_dropout = 0.1 + 0.2 * size
    return 0.5 + 0.3 * size - 0.1 * size**2 + act - 0.5 * (params["dropout"] - best_dropout) ** 2


def candidates(listing=LISTING):
    return ListedCandidates(listing, encode=encode, cost_of=cost_of)


def sampler(seed=0, listing=LISTING, **settings):
    return FrontSampler(candidates(listing), DISTRIBUTIONS, seed=seed, **settings)


def new_study(used):
    return optuna.create_study(directions=["maximize", "minimize"], sampler=used)


def suggest(trial):
    return {axis: trial.suggest_categorical(axis, choices) for axis, choices in AXES.items()}


def noisy_objective(seed):
    generator = np.random.default_rng(seed)

    def objective(trial):
        params = suggest(trial)
        return score_of(params) + generator.normal(0, 0.005), cost_of(params)

    return objective


def told(params, score=None, *, state=TrialState.COMPLETE):
    values = [score_of(params) if score is None else score, cost_of(params)]
    return create_trial(
        params=params,
        distributions=DISTRIBUTIONS,
        values=values if state is TrialState.COMPLETE else None,
        state=state,
    )


def some(n, seed=0):
    chosen = np.random.default_rng(seed).choice(len(LISTING), n, replace=False)
    return [LISTING[index] for index in chosen]


def true_hypervolume(study):
    points = [
        Point(trial=trial.number, score=score_of(trial.params), cost=cost_of(trial.params))
        for trial in study.trials
    ]
    return hypervolume(points, Reference(score=0.3, cost=1e5))


def searched(used, seed, n_trials):
    study = new_study(used)
    study.optimize(noisy_objective(seed), n_trials=n_trials)
    return study


def best_hypervolume():
    points = [Point(trial=k, score=score_of(p), cost=cost_of(p)) for k, p in enumerate(LISTING)]
    return hypervolume(points, Reference(score=0.3, cost=1e5))


# ---------------------------------------------------------------------------------------------------------
# The search as a whole


@pytest.mark.slow
def test_finds_in_thirty_trials_what_random_search_does_not_in_ninety() -> None:
    seeds = range(3)
    ours = [true_hypervolume(searched(sampler(seed), seed, 30)) for seed in seeds]
    random = [
        true_hypervolume(searched(optuna.samplers.RandomSampler(seed=seed), seed, 90)) for seed in seeds
    ]
    assert median(ours) > median(random)
    assert median(ours) > 0.99 * best_hypervolume()


@pytest.mark.slow
def test_never_proposes_twice_and_says_when_nothing_is_left() -> None:
    study = new_study(sampler())
    study.optimize(noisy_objective(0), n_trials=200)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 200
    few = LISTING[:12]
    study = new_study(sampler(listing=few))
    study.optimize(noisy_objective(0), n_trials=12)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 12
    with pytest.raises(NoCandidateLeftError, match="all 12 candidates have been tried"):
        study.sampler.propose(study)


def test_first_proposals_span_the_costs() -> None:
    study = searched(sampler(), 0, 8)
    costs = np.log10([trial.values[1] for trial in study.trials])
    low, high = np.log10(cost_of(LISTING[0])), np.log10(max(map(cost_of, LISTING)))
    assert costs[0] < low + 0.1 * (high - low)
    assert np.diff(np.sort(costs)).max() < 0.4 * (high - low)
    assert study.sampler.last_proposal.reason == "one of the first, spread over all sizes"


def test_same_seed_same_search() -> None:
    one, two = (searched(sampler(5), 1, 20) for _ in range(2))
    assert [trial.params for trial in one.trials] == [trial.params for trial in two.trials]
    other = searched(sampler(6), 1, 20)
    assert [trial.params for trial in one.trials] != [trial.params for trial in other.trials]


# ---------------------------------------------------------------------------------------------------------
# One proposal


def test_order_of_trials_does_not_matter() -> None:
    known = some(25)
    proposals = []
    for order in (known, known[::-1], sorted(known, key=str)):
        study = new_study(sampler())
        study.add_trials([told(params) for params in order])
        proposals.append(study.sampler.propose(study))
    assert proposals[0] == proposals[1] == proposals[2]


def test_says_why() -> None:
    study = new_study(sampler())
    study.add_trials([told(params) for params in some(25)])
    proposal = study.sampler.propose(study)
    assert proposal.improvement > 0
    assert proposal.reason == (
        f"expected improvement {proposal.improvement:.4f}, "
        f"predicted {proposal.mean:.3f} ± {proposal.sd:.3f}".replace(" 0.", " .")
    )
    assert study.sampler.posterior(proposal.params) == pytest.approx((proposal.mean, proposal.sd))


def test_posterior_of_what_is_known() -> None:
    study = new_study(sampler())
    assert study.sampler.posterior(LISTING[0]) is None
    assert study.sampler.noise_sd is None
    known = some(60)
    study.add_trials([told(params) for params in known])
    study.sampler.refresh(study)
    assert 0 <= study.sampler.noise_sd < 0.02
    for params in known[:10]:
        mean, sd = study.sampler.posterior(params)
        assert mean == pytest.approx(score_of(params), abs=0.02)
        assert 0 <= sd < 0.03
    with pytest.raises(KeyError):
        study.sampler.posterior({**LISTING[0], "width": 7})


def test_a_running_trial_is_not_in_its_own_posterior() -> None:
    study = new_study(sampler())
    study.add_trials([told(params) for params in some(30)])
    trial = study.ask()
    params = suggest(trial)
    before = study.sampler.posterior(params)
    study.sampler.refresh(study)
    assert study.sampler.posterior(params) == pytest.approx(before)


def test_running_trials_keep_workers_apart() -> None:
    study = new_study(sampler())
    study.add_trials([told(params) for params in some(20)])
    trials = [study.ask() for _ in range(8)]
    proposed = [suggest(trial) for trial in trials]
    assert len({tuple(params.items()) for params in proposed}) == 8
    # Asked eight times without knowing of one another, workers would all have the same proposal; with
    # fantasies the eight are spread wider than the eight that a single look ranks first.
    x_ND = candidates().encode(np.array([candidates().index(params) for params in proposed]))
    alone = new_study(sampler())
    alone.add_trials([told(params) for params in some(20)])
    # Private: a proposal is the best of a ranking; what is tested is the whole ranking.
    history = alone.sampler._read(alone, None)
    judge = alone.sampler._judge(history, alone.sampler._condition(history))
    ranked = alone.sampler._ranked(history, judge, np.random.default_rng(0))[0][:8]

    def spread(features):
        return np.mean([np.linalg.norm(a - b) for a, b in itertools.combinations(features, 2)])

    assert spread(x_ND) > 1.05 * spread(candidates().encode(ranked))


def test_the_sampler_says_what_is_left_and_it_shrinks_as_the_front_is_found() -> None:
    study = new_study(sampler())
    assert study.sampler.propose(study).gain is None
    study.add_trials([told(params) for params in some(12)])
    early = study.sampler.propose(study)
    assert early.gain.expected * early.gain.at_most > 0
    by_gain = sorted(LISTING, key=cost_of)
    study.add_trials([told(params) for params in by_gain[: len(LISTING) - 20]])
    late = study.sampler.propose(study)
    assert late.gain.at_most < early.gain.at_most / 2


def test_what_runs_may_still_be_gained() -> None:
    study = new_study(sampler())
    study.add_trials([told(params) for params in some(20)])
    alone = study.sampler.propose(study)
    study.add_trial(told(alone.params, state=TrialState.RUNNING))
    beside = study.sampler.propose(study)
    assert beside.params != alone.params
    # For the next proposal the running trial counts as done, for what is left to gain it does not.
    assert beside.improvement < alone.improvement
    assert beside.gain.expected == pytest.approx(alone.gain.expected)


def test_what_must_not_be_proposed_cannot_be_gained() -> None:
    taken: set[str] = set()
    study = new_study(sampler(taken=lambda: taken))
    study.add_trials([told(params) for params in some(20)])
    first = study.sampler.propose(study)
    taken.add(candidates().name(candidates().index(first.params)))
    second = study.sampler.propose(study)
    assert second.gain.expected < first.gain.expected


def test_queued_trials_count_as_running() -> None:
    study = new_study(sampler())
    study.add_trials([told(params) for params in some(20)])
    first = study.sampler.propose(study)
    study.enqueue_trial(dict(first.params))
    assert study.sampler.propose(study).params != first.params
    queued = study.ask()
    assert suggest(queued) == first.params


def test_pruned_trials_inform_by_their_estimates() -> None:
    good, estimates = some(1)[0], []
    study = new_study(sampler(estimates=lambda: estimates))
    rest = [params for params in some(40, seed=1) if params != good][:20]
    study.add_trials([told(params) for params in rest])
    study.add_trial(told(good, state=TrialState.PRUNED))
    study.sampler.refresh(study)
    ignorant = study.sampler.posterior(good)
    estimates.append(Estimate(params=good, score=0.9, standard_error=0.01))
    study.sampler.refresh(study)
    informed = study.sampler.posterior(good)
    estimates[0] = Estimate(params=good, score=0.9, standard_error=0.3)
    study.sampler.refresh(study)
    vague = study.sampler.posterior(good)
    assert informed[0] > vague[0] > ignorant[0]
    assert informed[1] < vague[1]
    assert study.sampler.propose(study).params != good


def test_taken_candidates_are_left_out_and_decide_on_failed_trials() -> None:
    known = some(20)
    free = new_study(sampler())
    free.add_trials([told(params) for params in known])
    first = free.sampler.propose(free)
    names = {candidates().name(candidates().index(first.params))}
    study = new_study(sampler(taken=lambda: names))
    study.add_trials([told(params) for params in known])
    second = study.sampler.propose(study)
    assert second.params != first.params
    study.add_trial(told(second.params, state=TrialState.FAIL))
    assert study.sampler.propose(study).params == second.params  # not taken: may be tried again
    free.add_trial(told(first.params, state=TrialState.FAIL))
    assert free.sampler.propose(free).params != first.params


@pytest.mark.parametrize("n", [0, 1, 2])
def test_model_from_the_first_trial_on(n) -> None:
    study = new_study(sampler(n_startup=0))
    study.add_trials([told(params) for params in some(n)])
    assert dict(study.sampler.propose(study).params) in LISTING


def test_constant_scores_are_searched_on() -> None:
    study = new_study(sampler())
    study.optimize(lambda trial: (0.4, cost_of(suggest(trial))), n_trials=15)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 15


def test_costs_all_the_same_are_searched_too() -> None:
    listed = ListedCandidates(LISTING, encode=encode, cost_of=lambda params: 5.0)
    study = new_study(FrontSampler(listed, DISTRIBUTIONS))
    study.optimize(lambda trial: (score_of(suggest(trial)), 5.0), n_trials=40)
    best = max(map(score_of, LISTING))
    assert max(trial.values[0] for trial in study.trials) > best - 0.005


def test_other_parameters_are_left_out_and_drawn_at_random() -> None:
    study = new_study(sampler())
    other = {"rate": optuna.distributions.FloatDistribution(0, 1)}
    study.add_trial(create_trial(params={"rate": 0.5}, distributions=other, values=[0.9, 1.0]))
    trial = study.ask()
    assert suggest(trial) in LISTING
    assert 0 <= trial.suggest_float("rate", 0, 1) <= 1


@pytest.mark.parametrize("directions", [["maximize"], ["minimize", "minimize"], ["maximize", "maximize"]])
def test_needs_the_two_directions(directions) -> None:
    study = optuna.create_study(directions=directions, sampler=sampler())
    with pytest.raises(ValueError, match="maximises a score and minimises a cost"):
        suggest(study.ask())


# ---------------------------------------------------------------------------------------------------------
# Seconds


def test_duration_is_learned_after_ten() -> None:
    generator = np.random.default_rng(0)
    x_ND = generator.random((40, 2))
    seconds = np.exp(2 + 3 * x_ND[:, 0])
    assert fit_duration(x_ND[:9], seconds[:9].tolist()) is None
    model = fit_duration(x_ND, seconds.tolist())
    expected = model.seconds(np.array([[0.5, 0.5]]))[0]
    assert expected == pytest.approx(np.exp(3.5), rel=0.05)


def test_cost_aware_prefers_the_faster_of_two() -> None:
    known = some(20)
    clock = [(params, 1.0 if params["activation"] == "relu" else 100.0) for params in known]
    aware = new_study(sampler(cost_aware=True, seconds=lambda: clock))
    plain = new_study(sampler(seconds=lambda: clock))
    for study in (aware, plain):
        study.add_trials([told(params) for params in known])
    assert aware.sampler.propose(aware).params["activation"] == "relu"
    assert plain.sampler.propose(plain).params["activation"] != "relu"
    assert " s" in aware.sampler.propose(aware).reason
    assert aware.sampler.propose(aware).improvement <= plain.sampler.propose(plain).improvement


def test_nobody_is_timed_before_ten_trials() -> None:
    study = new_study(sampler(cost_aware=True, n_startup=3))
    study.add_trials([told(params) for params in some(9)])
    assert "about" not in study.sampler.propose(study).reason


# ---------------------------------------------------------------------------------------------------------
# More candidates than are compared


def test_a_drawn_pool_climbs_to_what_enumeration_finds(monkeypatch) -> None:
    study = new_study(sampler())
    study.add_trials([told(params) for params in some(30)])
    everything = study.sampler.propose(study)
    monkeypatch.setattr(pool, "MAX_POOL", 25)
    monkeypatch.setattr(pool, "MIN_POOL", 25)
    found = [new_study(sampler(seed)) for seed in range(5)]
    for drawn in found:
        drawn.add_trials([told(params) for params in some(30)])
    improvements = [drawn.sampler.propose(drawn).improvement for drawn in found]
    assert median(improvements) > 0.9 * everything.improvement


def test_a_large_study_is_told_by_its_front_and_a_sample_of_the_rest() -> None:
    """The best so far, by cost: .3, .3, .6, .6, .6, .7; below it lie 0, .2, 0, .1, .5 and 0."""
    score = np.array([0.6, 0.3, 0.1, 0.5, 0.7, 0.1])
    log_cost = np.array([3.0, 1.0, 2.0, 4.0, 6.0, 5.0])
    assert most_informative(score, log_cost, 6, seed=0).tolist() == [0, 1, 2, 3, 4, 5]
    told = [most_informative(score, log_cost, 5, seed=seed).tolist() for seed in range(20)]
    assert all({0, 1} <= set(each) and len(set(each)) == 5 for each in told)
    assert set().union(*told) == set(range(6))
    assert most_informative(score, log_cost, 5, seed=3).tolist() == told[3]
    assert most_informative(np.full(9, 0.5), np.zeros(9), 4, seed=0).size == 4


def test_a_model_of_a_part_of_the_trials_finds_the_front_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_sampler, "MAX_TO_CONDITION", 20)
    used = sampler()
    study = searched(used, 0, 50)
    # Private: how many trials the Gaussian process was fitted to is seen nowhere else.
    assert len(used._posterior.x_ND) == 20
    assert len({str(sorted(trial.params.items())) for trial in study.trials}) == 50
    assert true_hypervolume(study) > 0.99 * best_hypervolume()


def test_pool_shrinks_with_the_observations() -> None:
    assert pool.pool_size(0) == pool.MAX_POOL
    assert pool.pool_size(200) == 12_500
    assert pool.pool_size(100_000) == pool.MIN_POOL


@pytest.mark.slow
def test_architectures_are_proposed_as_the_space_suggests_them() -> None:
    architectures = space.Space("wide", ("superclass", "all"))
    listed = SpaceCandidates(architectures, {"superclass": 5, "all": 71})
    axes = architectures.parameter_axes()
    used = FrontSampler(listed, {axis: CategoricalDistribution(choices) for axis, choices in axes.items()})
    study = new_study(used)

    def objective(trial):
        architecture = architectures.suggest(trial)
        n_outputs = {"superclass": 5, "all": 71}[architecture.label_tier]
        parameters = count_parameters(architecture, n_outputs)
        return 0.3 + 0.02 * len(architecture.recurrent) + 0.01 * np.log10(parameters), parameters

    study.optimize(objective, n_trials=14)
    digests = {architectures.suggest(optuna.trial.FixedTrial(trial.params)).digest for trial in study.trials}
    assert len(digests) == 14
    assert "expected improvement" in used.last_proposal.reason


def test_candidates_of_a_lower_level_are_judged_against_their_own_front() -> None:
    """As with fewer leads: what more leads reach is no reason not to try fewer."""
    few = np.array([params["activation"] == "tanh" for params in LISTING])

    def levels(indices):
        return np.where(few[indices], 1, 2)

    def proposed(study):
        return study.sampler.propose(study).params["activation"]

    everything = [params for params in LISTING if params["activation"] != "tanh"]
    tried = [*everything, *(params for params in LISTING if params["activation"] == "tanh")][
        : len(everything) + 4
    ]
    alone, of_levels = new_study(sampler()), new_study(sampler(levels=levels))
    for study in (alone, of_levels):
        study.add_trials([told(params) for params in tried])
    # Both have only tanh left, which is worse everywhere: on one front nothing is to be gained by it.
    assert proposed(alone) == proposed(of_levels) == "tanh"
    assert alone.sampler.propose(alone).improvement < 1e-2 * of_levels.sampler.propose(of_levels).improvement
    assert of_levels.sampler.propose(of_levels).gain.expected > 0.001


def test_what_is_known_of_other_parameters_than_those_of_candidates_is_left_out():
    """A trial that was queued, and is none of the candidates, has a score, a forecast and a duration."""
    inside, outside = LISTING[3], LISTING[-1]
    study = new_study(sampler())
    study.add_trials([told(inside), told(outside)])
    found = read_history(
        study,
        candidates(LISTING[:-1]),
        own_number=None,
        failed_count=True,
        estimates=[Estimate(params=each, score=0.5, standard_error=0.1) for each in (inside, outside)],
        timings=[(inside, 2.0), (outside, 3.0)],
    )
    assert found.observed.tolist() == [3, 3]
    assert found.tried.tolist() == found.timed.tolist() == [3]
    assert found.seconds.tolist() == [2.0]
