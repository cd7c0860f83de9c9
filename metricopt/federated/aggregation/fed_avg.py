"""FedAvg: the mean of the weights of all sites, by their number of rows."""

from __future__ import annotations

from collections.abc import Mapping

from metricopt.federated.aggregation.base import Aggregation
from metricopt.federated.weights import Arrays, mean_of


class FedAvg(Aggregation):
    r"""All sites go on from one mean, :math:`w = \sum_k n_k w_k / \sum_k n_k`, with :math:`n_k` rows at site k.

    References
    ----------
    B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas (2017). Communication-efficient learning of deep
    networks from decentralized data. AISTATS. Algorithm 1.
    """

    def combine(self, updates: Mapping[str, Arrays], num_rows: Mapping[str, int]) -> dict[str, Arrays]:
        mean = mean_of(updates.values(), [num_rows[site] for site in updates])
        return dict.fromkeys(updates, mean)
