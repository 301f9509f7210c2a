"""Helpers of several benchmarks: options, sections of RESULTS.md, intervals, test doubles."""
