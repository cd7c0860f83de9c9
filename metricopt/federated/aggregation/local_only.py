"""Local training: no weights travel; sites share a threshold and a bound alone."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from metricopt.federated.aggregation.base import Aggregation
from metricopt.federated.weights import Arrays


class LocalOnly(Aggregation):
    """Each site trains by itself, to compare with; the multiplier and the threshold are still those of all rows."""

    is_global = False
    replaces_weights = False

    def travelling(self, model: nn.Module) -> list[str]:
        return []

    def combine(self, updates: Mapping[str, Arrays], num_rows: Mapping[str, int]) -> dict[str, Arrays]:
        return {site: {} for site in updates}
