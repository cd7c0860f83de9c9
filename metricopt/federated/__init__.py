"""Train one model on the rows of several institutions, which share weights and counts and never rows.

A :class:`~metricopt.federated.server.Server` asks, :class:`~metricopt.federated.site.Site` objects answer, and an
engine carries the messages; :func:`~metricopt.federated.one_process.federate` does so in one process.
"""

from metricopt.federated.aggregation import Aggregation, FedAMP, FedAvg, FedBN, FedProx, LocalOnly
from metricopt.federated.message import Message
from metricopt.federated.one_process import federate
from metricopt.federated.result import FederatedResult
from metricopt.federated.server import Server, TooFewSitesError
from metricopt.federated.site import Site

__all__ = [
    "Aggregation",
    "FedAMP",
    "FedAvg",
    "FedBN",
    "FedProx",
    "FederatedResult",
    "LocalOnly",
    "Message",
    "Server",
    "Site",
    "TooFewSitesError",
    "federate",
]
