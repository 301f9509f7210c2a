"""Models on disturbed records: noise, lost leads, reversed electrodes, wrong gain, another sampling rate."""
