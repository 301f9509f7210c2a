"""Optimism of the best score of a search."""
