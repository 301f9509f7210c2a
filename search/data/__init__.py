"""Data: records of PTB-XL, their labels at every tier, and the folds."""
