"""Measurements anyone can repeat; every script writes its part of RESULTS.md."""
