"""Curves and figures, drawn by matplotlib."""
