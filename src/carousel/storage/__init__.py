"""Models on disk: configuration, number formats, weights, folders written whole or not at all."""
