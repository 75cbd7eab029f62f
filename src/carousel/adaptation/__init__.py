"""Models that adapt to what they read: how one is made, and how its parameters are tuned."""
