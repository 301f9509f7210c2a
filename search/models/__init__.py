"""Building the model of an architecture."""

from search.models.hybrid import HybridModel, build_model, n_parameters

__all__ = ["HybridModel", "build_model", "n_parameters"]
