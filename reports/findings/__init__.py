"""Statistics of trials: comparisons, effects, one trial in detail."""
