"""FedBN: FedAvg of all weights but those of batch norms, which stay at home."""

from __future__ import annotations

from torch import nn

from metricopt.federated.aggregation.fed_avg import FedAvg
from metricopt.federated.weights import batch_norm_names


class FedBN(FedAvg):
    """Each site keeps the weights and statistics of its batch norms, so that it may differ in how its inputs look.

    A model without batch or instance norms is trained as by :class:`FedAvg`.

    References
    ----------
    X. Li, M. Jiang, X. Zhang, M. Kamp, Q. Dou (2021). FedBN: federated learning on non-IID features via local batch
    normalization. ICLR. Algorithm 1.
    """

    def travelling(self, model: nn.Module) -> list[str]:
        personal = set(batch_norm_names(model))
        return [name for name in model.state_dict() if name not in personal]
