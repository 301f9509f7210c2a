"""Finding: data, models, training, the sampler, the race, the study and the command line."""
