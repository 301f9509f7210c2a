"""Recordings of any rate, length and kind of file, read part by part, for `search predict`."""
