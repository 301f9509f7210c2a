"""Waveform files: headers, samples, leads, rates and filters."""
