"""Weight drop: dropout on the weights from one word's hidden state to the next word's."""

from __future__ import annotations

from torch import Tensor

from carousel.training.nn.dropout import Dropout


class WeightDrop(Dropout):
    """Sets single recurrent weights (``weight_hh``) to zero for a whole batch.

    The same weights are dropped at every word of the batch, so that the recurrent connections are
    regularized and a fused layer can still compute them (DropConnect on the hidden-to-hidden
    matrices).

    Source: Merity et al. 2018 (arXiv:1708.02182, section 2).

    Args:
        p: the probability, 0 to 1.
    """

    def forward(self, weight_hh: Tensor) -> Tensor:
        """The weights ``[G * H, H]`` for one batch; unchanged unless in training mode."""
        return super().forward(weight_hh)
