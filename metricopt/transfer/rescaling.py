"""The rescaling of images that were normalised for one network, for another network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metricopt.backbones.backbone import Normalisation


class Rescaling(nn.Module):
    """A layer that turns images normalised in one way into images normalised in another way.

    Parameters
    ----------
    given : Normalisation or None
        The normalisation of the input. None leaves images as they are.
    wanted : Normalisation
        The normalisation of the output.

    Examples
    --------
    >>> halves, ones = Normalisation((0.5,), (0.5,)), Normalisation((0.0,), (1.0,))
    >>> Rescaling(halves, ones)(torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3)).flatten()
    tensor([0.0000, 0.5000, 1.0000])
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, given: Normalisation | None, wanted: Normalisation) -> None:
        super().__init__()
        self._is_needed = given not in (None, wanted)
        before, after = (torch.tensor(values, dtype=torch.float64) for values in (given or wanted, wanted))
        factor, shift = before[1] / after[1], (before[0] - after[0]) / after[1]
        self.register_buffer("factor", factor.float().view(-1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.float().view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor.to(x) + self.shift.to(x) if self._is_needed else x
