"""Training, on PyTorch. Everything else in Carousel works without it."""
