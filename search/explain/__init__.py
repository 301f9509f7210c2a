"""Where an exported model looked in a record: attributions over time and leads, drawn on an ECG sheet."""
