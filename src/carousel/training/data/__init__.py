"""What a run trains on: splits of a text, streams of it, and batches of token ids."""
