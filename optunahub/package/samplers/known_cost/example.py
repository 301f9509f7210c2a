"""The smallest network that tells handwritten digits apart: accuracy against the number of weights."""

from itertools import pairwise

import optuna
import optunahub
from optuna.distributions import CategoricalDistribution, IntDistribution
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier

DISTRIBUTIONS = {
    "layers": IntDistribution(1, 2),
    "width": IntDistribution(4, 32, step=4),
    "activation": CategoricalDistribution(["relu", "tanh"]),
}
X, y = load_digits(return_X_y=True)
X = X[::4] / 16
y = y[::4]


def n_weights(params):
    """Known without training anything."""
    sizes = [64, *[params["width"]] * params["layers"], 10]
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))


def objective(trial):
    """Cross-validated accuracy, and the number of weights."""
    params = {
        "layers": trial.suggest_int("layers", 1, 2),
        "width": trial.suggest_int("width", 4, 32, step=4),
        "activation": trial.suggest_categorical("activation", ["relu", "tanh"]),
    }
    network = MLPClassifier(
        hidden_layer_sizes=(params["width"],) * params["layers"],
        activation=params["activation"],
        solver="lbfgs",
        max_iter=60,
        random_state=0,
    )
    return cross_val_score(network, X, y, cv=3).mean(), n_weights(params)


if __name__ == "__main__":
    module = optunahub.load_module(package="samplers/known_cost")
    candidates = module.ListedCandidates.grid(DISTRIBUTIONS, cost_of=n_weights)
    sampler = module.FrontSampler(candidates, DISTRIBUTIONS, seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=20)
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        print(f"accuracy {trial.values[0]:.3f} with {trial.values[1]:,.0f} weights: {trial.params}")
    gain = sampler.last_proposal.gain
    print(f"the next trial adds {gain.expected:.1%} to the hypervolume, at most {gain.at_most:.1%}")
