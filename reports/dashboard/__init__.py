"""Figures and notes shown in optuna-dashboard."""
