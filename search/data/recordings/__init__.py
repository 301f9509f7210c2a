"""Recordings of any rate, length and kind of file, read part by part: what a model is asked about."""
