"""The trials of ``reliability.py``: each tries to break something and counts how often it could."""
