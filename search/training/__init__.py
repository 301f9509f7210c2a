"""Training: batches on the device, losses, one fold from start to scores, checkpoints."""
