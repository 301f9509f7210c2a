"""Averages of trials, judged by nested evaluation."""
