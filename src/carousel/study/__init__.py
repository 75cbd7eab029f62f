"""The lecture's claims as experiments."""
