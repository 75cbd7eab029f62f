"""``python -m carousel``."""

from carousel.cli import main

main()
