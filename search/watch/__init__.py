"""Monitoring of a running search: events, terminal, optuna-dashboard."""
