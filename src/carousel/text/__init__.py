"""Text in, token ids out: files, vocabularies, tokenizers, tokenized corpora, detokenizing."""
