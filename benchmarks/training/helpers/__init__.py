"""Reference loop, paired runs, profile and tables of the training benchmark."""
