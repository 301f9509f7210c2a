"""Predictions for recordings by an exported model, with abstention. Free of torch."""
