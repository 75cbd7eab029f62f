"""All drawings: on the terminal and as figures."""
