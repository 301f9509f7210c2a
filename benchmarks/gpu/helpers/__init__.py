"""Records, ways of training and resumable slices of the GPU benchmark."""
