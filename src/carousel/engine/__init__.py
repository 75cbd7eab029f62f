"""The engine: decoding at the machine's limit on a plain CPU."""
