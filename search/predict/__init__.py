"""Predictions for recordings by an exported model, and when it does not know. Free of torch."""
