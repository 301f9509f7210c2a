"""Stress tests of models on disturbed records: document, page, figures, table."""
