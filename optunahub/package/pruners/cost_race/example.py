"""Accuracy on handwritten digits against the number of weights, epoch by epoch; hopeless trials end early."""

from itertools import pairwise

import numpy as np
import optuna
import optunahub
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

N_EPOCHS = 20
X, y = load_digits(return_X_y=True)
X_train, X_valid, y_train, y_valid = train_test_split(X / 16, y, random_state=0)


def make_objective(race):
    """The objective, with a race between its trials."""

    def objective(trial):
        width = trial.suggest_int("width", 4, 64, log=True)
        rate = trial.suggest_float("rate", 1e-4, 1e-2, log=True)
        weights = sum((n_in + 1) * n_out for n_in, n_out in pairwise([64, width, 10]))
        network = MLPClassifier(hidden_layer_sizes=(width,), learning_rate_init=rate, random_state=0)
        running = race.begin(trial, weights)
        for epoch in range(1, N_EPOCHS + 1):
            network.partial_fit(X_train, y_train, classes=np.arange(10))
            score = network.score(X_valid, y_valid)
            running.report(score, epoch=epoch)
            if running.should_prune():
                raise optuna.TrialPruned(running.reason)
        return score, weights

    return objective


if __name__ == "__main__":
    module = optunahub.load_module(package="pruners/cost_race")
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.optimize(make_objective(module.StudyRace(n_epochs=N_EPOCHS)), n_trials=40)
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        print(f"accuracy {trial.values[0]:.3f} with {trial.values[1]:,.0f} weights: {trial.params}")
