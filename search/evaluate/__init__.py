"""The sealed test fold and external data."""
