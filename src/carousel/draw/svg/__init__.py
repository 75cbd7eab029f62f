"""Traces, belts, gates and decisions as SVG."""
