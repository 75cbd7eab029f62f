"""A run: the loop, checkpoints, validation, processes, and who is told."""
