"""Synthetic records of rare classes from a conditional WGAN-GP."""
