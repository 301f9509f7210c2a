"""Worker processes on one machine or a Ray cluster."""
