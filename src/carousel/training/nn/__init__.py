"""The network that is trained: layers, output layers, losses, dropout."""
