"""The race: which trials can still reach the front."""
