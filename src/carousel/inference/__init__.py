"""A model that runs: arrays in, arrays out; by NumPy, by the engine, and with gates held."""
