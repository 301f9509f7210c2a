"""The samplers: untried architectures with known cost."""
