"""The Gaussian process: the same as scikit-learn's, sparing with fits, and robust."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from search.sampler import gaussian_process as surrogate
from search.sampler.gaussian_process import Source, Surrogate


def observations(n, seed=0, n_features=3):
    generator = np.random.default_rng(seed)
    x_ND = generator.random((n, n_features))
    score_N = 0.4 + 0.05 * np.sin(3 * x_ND[:, 0]) + 0.02 * x_ND[:, 1] + generator.normal(0, 0.003, n)
    return x_ND, score_N


def reference(posterior, x_ND, score_N, extra_sd_N):
    """scikit-learn's process with the same hyper-parameters, in the same units."""
    fitted = posterior.hyperparameters
    kernel = ConstantKernel(fitted.signal_variance) * Matern(fitted.length_scales, nu=2.5)
    alpha = fitted.noise_variance + (extra_sd_N / posterior.scale) ** 2 + 1e-8
    regressor = GaussianProcessRegressor(kernel, alpha=alpha, optimizer=None)
    return regressor.fit(x_ND, (score_N - posterior.offset) / posterior.scale)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_predicts_what_scikit_learn_predicts(n) -> None:
    x_ND, score_N = observations(n)
    extra_sd_N = np.where(np.arange(n) % 3 == 2, 0.02, 0.0)
    posterior = Surrogate(3).posterior(x_ND, score_N, extra_sd_N)
    x_MD, _ = observations(25, seed=1)
    mean, sd = posterior.predict(x_MD)
    expected_mean, expected_sd = reference(posterior, x_ND, score_N, extra_sd_N).predict(
        x_MD, return_std=True
    )
    assert mean == pytest.approx(posterior.offset + posterior.scale * expected_mean, abs=1e-9)
    assert sd == pytest.approx(posterior.scale * expected_sd, abs=1e-7)
    assert posterior.mean(x_MD) == pytest.approx(mean, abs=1e-12)


def test_the_likelihood_is_that_of_scikit_learn() -> None:
    """With its gradient, in the logarithms of signal variance, length scales and noise variance."""
    x_ND, score_N = observations(30)
    # Private: what is maximised is seen nowhere else.
    told = surrogate._scaled(x_ND, score_N, np.full(30, 0.01))
    squares_NND = (x_ND[:, None] - x_ND[None]) ** 2
    theta = np.log([0.7, 0.3, 0.8, 2.0, 0.1])
    value, gradient = surrogate._negative_log_likelihood(theta, squares_NND, told, surrogate._NOTHING)
    kernel = ConstantKernel(0.7) * Matern([0.3, 0.8, 2.0], nu=2.5) + WhiteKernel(0.1)
    regressor = GaussianProcessRegressor(kernel, alpha=told.extra_N + 1e-8, optimizer=None)
    expected, slope = regressor.fit(x_ND, told.y_N).log_marginal_likelihood(theta, eval_gradient=True)
    # Condition number below 1e4 times rounding of 2e-16, sums of 900.
    assert value == pytest.approx(-expected - 15 * np.log(2 * np.pi), rel=1e-9)
    assert gradient == pytest.approx(-slope, rel=1e-7, abs=1e-9)


def test_the_gradient_with_an_earlier_study_is_that_of_differences() -> None:
    x_ND, score_N = observations(12)
    told = surrogate._scaled(x_ND, score_N, np.zeros(12))
    root_NN = np.random.default_rng(0).normal(size=(12, 12)) / 12
    # Private: as above.
    given = surrogate._Given(
        mean_N=root_NN[0], covariance_NN=root_NN @ root_NN.T, explained=0.4, level_variance=1.0
    )
    squares_NND = (x_ND[:, None] - x_ND[None]) ** 2
    theta = np.log([0.7, 0.3, 0.8, 2.0, 0.1])
    _, gradient = surrogate._negative_log_likelihood(theta, squares_NND, told, given)
    # Central differences of 1e-5: error of the order 1e-10, rounding 1e-14 / 1e-5.
    steps = 1e-5 * np.eye(5)
    up, down = (
        np.array(
            [
                surrogate._negative_log_likelihood(theta + sign * step, squares_NND, told, given)[0]
                for step in steps
            ]
        )
        for sign in (1, -1)
    )
    assert gradient == pytest.approx((up - down) / 2e-5, abs=1e-6)


def test_learns_a_smooth_function() -> None:
    posterior = Surrogate(3).posterior(*observations(60))
    x_MD, _ = observations(200, seed=1)
    truth = 0.4 + 0.05 * np.sin(3 * x_MD[:, 0]) + 0.02 * x_MD[:, 1]
    mean, sd = posterior.predict(x_MD)
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.003
    assert np.mean(np.abs(mean - truth) < 2 * sd) > 0.85
    assert 0.001 < posterior.noise_sd < 0.008
    assert posterior.hyperparameters.length_scales[0] < posterior.hyperparameters.length_scales[2]


def test_needs_an_observation() -> None:
    with pytest.raises(ValueError, match="a posterior needs finite scores"):
        Surrogate(3).posterior(np.empty((0, 3)), np.empty(0))
    with pytest.raises(ValueError, match="nan"):
        Surrogate(3).posterior(np.zeros((1, 3)), np.array([np.nan]))


@pytest.mark.parametrize("n", [1, 2, 20])
def test_constant_scores_predict_themselves(n) -> None:
    x_ND, _ = observations(n)
    posterior = Surrogate(3).posterior(x_ND, np.full(n, 0.4))
    mean, sd = posterior.predict(observations(10, seed=1)[0])
    assert mean == pytest.approx(np.full(10, 0.4))
    assert np.isfinite(sd).all()
    assert (sd > 0).all()


def test_duplicates_average() -> None:
    x_ND = np.repeat([[0.2, 0.2, 0.2], [0.8, 0.8, 0.8]], 10, axis=0)
    score_N = np.where(np.arange(20) < 10, 0.3, 0.5) + np.random.default_rng(0).normal(0, 0.02, 20)
    mean, sd = Surrogate(3).posterior(x_ND, score_N).predict(x_ND[[0, 10]])
    assert mean == pytest.approx([score_N[:10].mean(), score_N[10:].mean()], abs=0.01)
    assert (sd < 0.02).all()


def test_an_uncertain_observation_says_less() -> None:
    x_ND, score_N = observations(30)
    here = np.array([[0.5, 0.5, 0.5]])
    both = np.concatenate([x_ND, here]), np.append(score_N, 0.6)
    process = Surrogate(3)
    sure = process.posterior(*both, np.append(np.zeros(30), 0.0)).predict(here)
    unsure = process.posterior(*both, np.append(np.zeros(30), 0.05)).predict(here)
    assert unsure[0][0] < sure[0][0]
    assert unsure[1][0] > sure[1][0]


def test_fantasies_keep_means_and_shrink_spreads() -> None:
    x_ND, score_N = observations(20)
    posterior = Surrogate(3).posterior(x_ND, score_N)
    x_KD, x_MD = observations(4, seed=2)[0], observations(30, seed=1)[0]
    fantasied = posterior.with_fantasies(x_KD)
    mean, sd = posterior.predict(x_MD)
    new_mean, new_sd = fantasied.predict(x_MD)
    assert new_mean == pytest.approx(mean, abs=1e-9)
    assert (new_sd <= sd + 1e-9).all()
    assert (fantasied.predict(x_KD)[1] < posterior.predict(x_KD)[1]).all()
    assert posterior.with_fantasies(x_KD[:0]) is posterior


def test_fantasies_are_observations_of_the_mean() -> None:
    x_ND, score_N = observations(12)
    posterior = Surrogate(3).posterior(x_ND, score_N)
    x_KD, x_MD = observations(3, seed=2)[0], observations(30, seed=1)[0]
    everything = np.concatenate([score_N, posterior.mean(x_KD)])
    longer = reference(posterior, np.concatenate([x_ND, x_KD]), everything, np.zeros(15))
    _, expected_sd = longer.predict(x_MD, return_std=True)
    assert posterior.with_fantasies(x_KD).predict(x_MD)[1] == pytest.approx(
        posterior.scale * expected_sd, abs=1e-7
    )


def test_fits_again_only_when_the_data_has_grown_by_a_quarter(monkeypatch) -> None:
    fits = []

    def counted(process, own, given):
        fits.append(len(own.y_N))
        return np.zeros(5)

    # Private: when hyper-parameters are fitted is seen nowhere else.
    monkeypatch.setattr(Surrogate, "_fit", counted)
    process = Surrogate(3)
    x_ND, score_N = observations(40)
    for n in range(1, 41):
        process.posterior(x_ND[:n], score_N[:n])
    assert fits == [6, 8, 10, 13, 17, 22, 28, 35]


def test_order_of_observations_does_not_matter() -> None:
    x_ND, score_N = observations(30)
    order = np.random.default_rng(1).permutation(30)
    x_MD = observations(10, seed=1)[0]
    one = Surrogate(3).posterior(x_ND, score_N).predict(x_MD)
    two = Surrogate(3).posterior(x_ND[order], score_N[order]).predict(x_MD)
    assert one[0] == pytest.approx(two[0], abs=1e-5)
    assert one[1] == pytest.approx(two[1], abs=1e-5)


def test_fits_to_a_part_of_many_observations() -> None:
    x_ND, score_N = observations(surrogate.MAX_TO_FIT + 50)
    one, two = (Surrogate(3, seed=4).posterior(x_ND, score_N) for _ in range(2))
    assert len(one.x_ND) == len(score_N)
    assert one.hyperparameters.length_scales.tolist() == two.hyperparameters.length_scales.tolist()


def test_trainings_of_one_candidate_count_as_their_mean() -> None:
    """Of signal variance 1 and noise variance n, K equal scores leave n/K / (1 + n/K) of the variance."""
    one_D = np.zeros((1, 3))
    for n_trainings in (1, 2, 4):
        x_ND = np.repeat(one_D, n_trainings, axis=0)
        posterior = Surrogate(3).posterior(x_ND, np.full(n_trainings, 0.5))
        noise = posterior.hyperparameters.noise_variance / n_trainings
        signal = posterior.hyperparameters.signal_variance
        mean, sd = posterior.predict(one_D)
        # Scores that do not vary are in units of 1; the jitter of 1e-8 is all that differs.
        assert sd[0] ** 2 == pytest.approx(signal * noise / (signal + noise), abs=1e-7)
        assert mean[0] == pytest.approx(0.5)


def test_an_earlier_study_of_one_score_says_where_to_begin() -> None:
    x_ND, _ = observations(1)
    nothing = np.empty((0, 3)), np.empty(0)
    one = Source(x_ND=x_ND, score_N=np.array([0.4]), extra_sd_N=np.zeros(1), log_cost_N=np.zeros(1))
    mean, sd = Surrogate(3, sources=[one]).posterior(*nothing).predict(observations(5, seed=1)[0])
    assert mean == pytest.approx(np.full(5, 0.4))
    assert np.isfinite(sd).all()
