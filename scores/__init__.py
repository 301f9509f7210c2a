"""Metrics, intervals and Pareto fronts, for training, race and reports."""
