"""What a model makes of a text: next words, generation, sessions."""
