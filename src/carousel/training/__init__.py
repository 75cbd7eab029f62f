"""Training, on PyTorch: everything else in Carousel works without it."""
