"""Several studies side by side: document, page, figures, tables."""
