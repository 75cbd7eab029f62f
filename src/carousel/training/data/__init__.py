"""What is trained on: splits, streams and batches of token ids."""
