"""What a running search reports: events, terminal, optuna-dashboard."""
