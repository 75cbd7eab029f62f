"""Reference computations of a few lines, written apart from the code they check."""

import math


def softmax_by_hand(logits):
    """Probabilities in plain Python floats."""
    top = max(float(x) for x in logits)
    powers = [math.exp(float(x) - top) for x in logits]
    return [p / math.fsum(powers) for p in powers]
