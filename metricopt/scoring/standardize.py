"""The scaling that the models with a name bring themselves: features of order 1, whatever their columns measure.

This file decides what a column is divided by. Dense features are centred as well; sparse ones are not, since their
zeros would be zeros no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metricopt.data.sparse_rows import is_sparse, without_duplicates

_NEARLY_CONSTANT = 1e-12
"""A standard deviation of this part of the mean is rounding."""


class Standardize(nn.Module):
    """Features that are shifted and scaled column by column, as the training rows were.

    Parameters
    ----------
    num_features : int
        The number of features, d.
    """

    mean: Tensor
    scale: Tensor
    is_fixed = True
    """It computes the same in training and evaluation, and never changes itself."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))

    @classmethod
    def of(cls, features: Any, weight: NDArray[np.float64] | None, dtype: torch.dtype) -> Standardize:
        """Return the scaling of these rows, by their weights.

        Parameters
        ----------
        features : array or sparse matrix, shape (n, d)
            Columns of an array get mean 0 and standard deviation 1, a constant one becomes 0. Columns of a sparse
            matrix are divided by their largest absolute value in a row of weight > 0, as scikit-learn's
            ``MaxAbsScaler`` does: a column with a single entry would have a tiny standard deviation.
        weight : ndarray, shape (n,), or None
        dtype : torch.dtype
        """
        made = cls(features.shape[1])
        if is_sparse(features):
            counted = without_duplicates(features if weight is None else features[np.flatnonzero(weight)])
            largest = np.asarray(abs(counted).max(axis=0).todense(), dtype=np.float64).ravel()
            mean, scale = np.zeros_like(largest), np.where(largest > 0, largest, 1.0)
        else:
            values = np.asarray(features, dtype=np.float64)
            mean = np.average(values, axis=0, weights=weight)
            deviation = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
            scale = np.where(deviation > _NEARLY_CONSTANT * np.abs(mean), deviation, 1.0)
        made.mean, made.scale = torch.from_numpy(mean).to(dtype), torch.from_numpy(scale).to(dtype)
        return made

    def forward(self, features: Tensor) -> Tensor:
        """Return scaled features, shape (B, d); a sparse tensor stays sparse where nothing is subtracted."""
        if features.is_sparse and not self.mean.any():
            entries = features.coalesce()
            values = entries.values() / self.scale[entries.indices()[1]]
            places, shape = entries.indices(), entries.shape
            return torch.sparse_coo_tensor(places, values, shape, is_coalesced=True, check_invariants=False)
        if features.is_sparse:
            features = features.to_dense()
        return (features - self.mean) / self.scale
