"""Text in, token ids out: tokenizers, files and folders, and the built-in stories."""
