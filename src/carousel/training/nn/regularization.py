"""How a network is kept from learning its text by heart: all regularizers, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Regularization:
    """The strength of each regularizer of a network; 0 turns one off.

    >>> Regularization(dropout=0.2).input_p
    0.2
    """

    dropout: float = 0.0
    """Dropout after the embedding, between layers and before the decoder, where the next three
    don't say otherwise."""
    input_dropout: float | None = None
    """Dropout after the embedding."""
    hidden_dropout: float | None = None
    """Dropout between layers."""
    output_dropout: float | None = None
    """Dropout before the decoder."""
    locked_dropout: bool = False
    """Whether these three drop the same elements at every word of a sequence."""
    embedding_dropout: float = 0.0
    """Dropout of whole words from the embedding."""
    weight_drop: float = 0.0
    """Dropout of single recurrent weights."""
    activation_regularization: float = 0.0
    """AR: the weight of the penalty on large values of what the decoder reads."""
    temporal_activation_regularization: float = 0.0
    """TAR: the weight of the penalty on how much these values change from word to word."""

    @property
    def input_p(self) -> float:
        """The probability of dropout after the embedding."""
        return self.dropout if self.input_dropout is None else self.input_dropout

    @property
    def hidden_p(self) -> float:
        """The probability of dropout between layers."""
        return self.dropout if self.hidden_dropout is None else self.hidden_dropout

    @property
    def output_p(self) -> float:
        """The probability of dropout before the decoder."""
        return self.dropout if self.output_dropout is None else self.output_dropout
