"""Watching a model's memory word by word, and touching it."""
