"""Loading of a data set that a test has written."""

from pathlib import Path

from search.data.dataset import Development, load_development


def load(root: Path, **options: object) -> Development:
    """Development part of a folder; its cache stands beside it."""
    return load_development(root, cache_dir=root.parent / "cache", **options)  # type: ignore[arg-type]
