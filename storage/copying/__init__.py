"""Copies of databases and artifacts."""
