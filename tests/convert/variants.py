"""Every cell, depth and decoder of small random models, for round trips through other formats."""

import itertools

from carousel.cells import CELLS

DECODERS = {
    "plain": {},
    "tied": {"tied": True, "embedding_size": 6},
    "projected": {"projection_size": 4},
    "tied and projected": {"tied": True},
    "adaptive": {"cutoffs": (8, 15), "tail_sizes": (4, 2)},
    "adaptive and projected": {"projection_size": 4, "cutoffs": (9,), "tail_sizes": (3,)},
    "adaptive and tied": {
        "tied": True,
        "embedding_size": 6,
        "cutoffs": (8, 15),
        "tail_sizes": (6, 6),
    },
}
"""What ``make_model`` is asked for; its hidden states have 6 units."""
VARIANTS = list(itertools.product(sorted(CELLS), (1, 2, 3), DECODERS))
"""Cell, layers and the name of a decoder."""


def make_variant(make_model, cell, layers, decoder, seed=3):
    """The random model of a variant."""
    return make_model(cell, layers=layers, seed=seed, scale=0.5, **DECODERS[decoder])
