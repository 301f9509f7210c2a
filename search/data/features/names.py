"""Names of features, with unit and meaning."""

from typing import Final

FEATURES: Final = {
    "rr_mean_ms": "mean of the RR intervals, ms",
    "rr_median_ms": "their median, ms",
    "rr_difference_min_ms": "smallest absolute difference of successive RR intervals, ms",
    "pnn50": "share of successive RR intervals that differ by more than 50 ms",
    "pnn60": "share that differ by more than 60 ms",
    "rmssd_ms": "root mean square of successive differences of RR intervals, ms",
    "qrs_duration_mean_ms": "mean of the QRS durations over all leads, ms",
    "qrs_duration_sd_ms": "their standard deviation, ms",
    "qrs_amplitude_mean_mv": "mean peak-to-peak amplitude of the QRS complexes, mV",
    "qrs_amplitude_sd_mv": "its standard deviation, mV",
    "qrs_area_mean_mv_ms": "mean area between QRS complex and the line from its onset to its offset, mV ms",
    "qrs_area_sd_mv_ms": "its standard deviation, mV ms",
    "qrs_slope_mean_mv_per_s": "mean of the steepest slope of the QRS complexes, mV/s",
    "qrs_slope_sd_mv_per_s": "its standard deviation, mV/s",
    "t_amplitude_mean_mv": "mean amplitude of the T waves above the QRS onset, with sign, mV",
    "t_alternans_uv": "difference between even and odd beats in the T wave, median over time, µV",
    "t_permutation_entropy": "multi-scale permutation entropy of the T waves, 0 to 1",
    "qt_mean_ms": "QT interval of the median beat over all leads, ms",
    "qtc_ms": "QT interval corrected for heart rate (Fridericia 1920), ms",
    "frequency_mean_hz": "mean frequency of the power spectrum from .5 to 40 Hz, Hz",
    "wavelet_entropy_4": "entropy of the wavelet energies at level 4 (3.1 to 6.3 Hz), nats",
    "wavelet_entropy_3": "entropy of the wavelet energies at level 3 (6.3 to 12.5 Hz), nats",
    "heart_rate_min_bpm": "lowest heart rate from one beat to the next, 1/min",
    "heart_rate_max_bpm": "highest heart rate, 1/min",
    "heart_rate_mean_bpm": "mean heart rate, 1/min",
    "heart_rate_sd_bpm": "standard deviation of the heart rate, 1/min",
    "p_correlation": "mean correlation of what precedes each QRS complex with its median, -1 to 1",
    "p_sample_entropy": "sample entropy of the P waves one after the other, nats",
    "p_approximate_entropy": "approximate entropy of the P waves one after the other, nats",
    "age_years": "age, 90 for 90 and over",
    "sex": "0 male, 1 female",
}
"""Name of a feature, and what it is: table 1 of the paper on HC-CNN-TN, pNN50 and QTc.

What depends on a lead is measured in lead II where it carries a signal, otherwise in the steepest lead.
"""

FEATURE_NAMES: Final = tuple(FEATURES)
"""Names in the order of the axis K."""
