"""Large studies, simulated workers and measures of the scaling benchmarks."""
