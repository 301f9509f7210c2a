"""Attribution maps of an exported model over time and leads, drawn on an ECG sheet."""
