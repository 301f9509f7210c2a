"""A study and its trials: set-up, worker, objective, recovery."""
