"""Training speed beside a plain reference."""
