"""Features far from order 1: the steps of an optimizer follow the large ones, and the others hardly count.

This file decides when a warning is due. It leaves scaling to the user, for whom the command line does it.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from metricopt.scoring.ensemble import Replicas

LARGEST, SMALLEST = 100.0, 0.01
"""Features of order 1 are best. A warning is due where the largest are far from that. Single small ones are left alone:
some features of a pretrained network, for example, are hardly ever more than 0."""


class FeatureScales:
    """The size of each column of a table, which batches bring: the geometric mean of its entries that are not 0.

    So the few ones of a rare indicator have size 1, and an outlier changes little.

    Parameters
    ----------
    model : Module
        Only a model that begins with a linear layer is concerned: what else comes first may scale its inputs itself.
    """

    def __init__(self, model: nn.Module) -> None:
        self._is_watching = type(_first_layer(model)) is nn.Linear
        self._logarithms: Tensor | None = None
        self._counts = torch.zeros(())

    def see(self, x: Any) -> None:
        """Take note of a batch; other inputs than dense tables are left alone."""
        if not self._is_watching or not isinstance(x, Tensor) or x.ndim != 2 or x.is_sparse:
            return
        columns = x.detach().cpu().double().abs()
        counted = columns.isfinite() & (columns > 0)
        logarithms = torch.where(counted, columns, 1.0).log().sum(dim=0)
        self._logarithms = logarithms if self._logarithms is None else self._logarithms + logarithms
        self._counts = self._counts + counted.sum(dim=0)

    def warn(self) -> None:
        """Warn if the largest columns are far from 1.

        Warns
        -----
        UserWarning
            If so, with what to do.
        """
        if self._logarithms is None or not self._counts.any():
            return
        sizes = (self._logarithms / self._counts.clamp(min=1)).exp()
        known = torch.nonzero(self._counts)[:, 0]
        column = int(known[sizes[known].argmax()])
        largest = float(sizes[column])
        if SMALLEST <= largest <= LARGEST:
            return
        warnings.warn(
            f"The features are not of order 1: column {column} is of size {largest:.2g}. A linear layer learns little "
            "from such features: scale them to mean 0 and standard deviation 1 before "
            "(sklearn.preprocessing.StandardScaler, fitted on the training rows), or begin the model with "
            "torch.nn.BatchNorm1d.",
            UserWarning,
            stacklevel=6,  # the caller of fit
        )


def _first_layer(model: nn.Module) -> nn.Module | None:
    """Return the first layer that holds weights or buffers of its own."""
    inner = next((module.template for module in model.modules() if isinstance(module, Replicas)), model)
    own = (layer for layer in inner.modules() if [*layer.parameters(recurse=False), *layer.buffers(recurse=False)])
    return next(own, None)
