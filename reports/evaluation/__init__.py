"""Evaluations of models on held-out records: document, page, figures, tables, and the list of them."""
