"""Worlds, samplers, pruners, plan and summary of the search-efficiency benchmark."""
