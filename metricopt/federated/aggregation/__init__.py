"""How the weights of sites become those that each goes on with: one rule a file."""

from metricopt.federated.aggregation.base import Aggregation
from metricopt.federated.aggregation.fed_amp import FedAMP
from metricopt.federated.aggregation.fed_avg import FedAvg
from metricopt.federated.aggregation.fed_bn import FedBN
from metricopt.federated.aggregation.fed_prox import FedProx
from metricopt.federated.aggregation.local_only import LocalOnly

__all__ = ["Aggregation", "FedAMP", "FedAvg", "FedBN", "FedProx", "LocalOnly"]
