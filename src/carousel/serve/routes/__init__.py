"""The routes: each parses a request, has the work done, and writes the answer."""
