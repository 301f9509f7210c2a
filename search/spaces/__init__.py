"""Spaces beside those of `space.py`, each a space file with all that is new in it: `--space NAME`."""
