"""Means and covariances of samples that come in batches, in memory that depends on the number of features alone."""

from __future__ import annotations

import torch
from torch import Tensor


class CrossScatter:
    r"""Collects :math:`S_{xy} = \sum_i (x_i - \bar x) (y_i - \bar y)^\top` batch by batch, in float64.

    Batches are merged around their own means, so that means far from 0 cost no precision.

    Attributes
    ----------
    num_samples : int
        The number of samples so far.
    resolution : float
        The largest relative rounding error of the values so far, for instance that of float32.

    Examples
    --------
    >>> x = torch.tensor([[1.0], [2.0], [6.0]])
    >>> scatter = CrossScatter()
    >>> scatter.update(x[:2], 2 * x[:2])
    >>> scatter.update(x[2:], 2 * x[2:])
    >>> scatter.num_samples, float(scatter.sums)
    (3, 28.0)

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque (1983). Algorithms for computing the sample variance. The American
    Statistician 37(3), equation 2.1b, here for two variables.
    """

    def __init__(self) -> None:
        self.num_samples = 0
        self.resolution = torch.finfo(torch.float64).eps
        self.sums: Tensor = torch.zeros(0)
        self._means: tuple[Tensor, Tensor] = (torch.zeros(0), torch.zeros(0))

    def update(self, x: Tensor, y: Tensor) -> None:
        """Add the samples of a batch, of shapes (B, d_x) and (B, d_y), paired by row."""
        coarsest = max(torch.finfo(values.dtype).eps for values in (x, y))
        self.resolution = max(self.resolution, coarsest)
        number = len(x)
        x, y = _as_double(x), _as_double(y)
        y = y.to(x.device)
        mean_x, mean_y = x.mean(dim=0), y.mean(dim=0)
        sums = (x - mean_x).T @ (y - mean_y)
        if self.num_samples == 0:
            self.num_samples, self.sums, self._means = number, sums, (mean_x, mean_y)
            return
        total = self.num_samples + number
        shift_x, shift_y = mean_x - self._means[0], mean_y - self._means[1]
        self.sums += sums + torch.outer(shift_x, shift_y) * (self.num_samples * number / total)
        self._means = (self._means[0] + shift_x * number / total, self._means[1] + shift_y * number / total)
        self.num_samples = total


def _as_double(values: Tensor) -> Tensor:
    # Apple's GPUs have no float64.
    return (values.cpu() if values.device.type == "mps" else values).double()
