"""Defaults of the command line: paths, and values of options that are not given."""

import os
from pathlib import Path

DEFAULT_STORAGE = "sqlite:///runs/search.db"
STORAGE_VARIABLE = "SEARCH_STORAGE"
"""Environment variable with the database of a command line without `--storage`; keeps a password off it."""
STORAGE_HELP = f"database (default: ${STORAGE_VARIABLE}, else {DEFAULT_STORAGE})"
"""Help of `--storage`."""
RUNS = Path("runs")
DEMO_FOLDER = RUNS / "demo"
CACHE_FOLDER = RUNS / "cache"
DATA_VARIABLE = "PTBXL_DIR"
"""Environment variable with the data set of a command line without `--data`."""
DATA_FOLDER = Path("data/ptb-xl")
DEFAULT_SPACE = "wide"
LARGEST_SPACE = "full"
NO_PRESETS = ("none",)
N_DEMO_RECORDS = 500
DEFAULT_ALPHA = 0.05
"""Share of the trials that would improve the front which the race may lose."""
N_PROPOSALS_BELOW = 3
"""Proposals in a row that must have little to gain before `--until` ends a run: one may be an accident."""


def default_storage() -> str:
    """The database of a command line without `--storage`."""
    return os.environ.get(STORAGE_VARIABLE) or DEFAULT_STORAGE
