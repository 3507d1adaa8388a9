"""Training: data, steps, loop, and running it on Ray Train."""
