"""What the trials show: comparisons, effects, one trial in detail."""
