"""Bars, tables and traces for a terminal."""
