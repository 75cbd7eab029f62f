"""The HTTP API: OpenAI's completions, next words, and sessions that remember."""
