"""Search efficiency on simulated worlds and recorded studies."""
