"""The network in training: its layers, output layers, losses and dropout."""
