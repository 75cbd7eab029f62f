"""The page: HTML, CSS and JavaScript without dependencies, and a small server that hands it out."""
