"""One run: the loop, its state and checkpoints, validation, processes, and callbacks."""
