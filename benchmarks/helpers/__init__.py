"""What several benchmarks share: options, sections of RESULTS.md, intervals, test doubles."""
