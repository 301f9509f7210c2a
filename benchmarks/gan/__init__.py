"""Whether generated records help."""
