"""The methods by the names that the command line takes; all train through :func:`metricopt.fit`, with one setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from benchmarks.peers import soap
from metricopt import losses
from metricopt.problem.objectives import FPOR, FROP, OFBS, Objective
from metricopt.solvers import GroupedHead, Regrouping

WARMUP_FRACTION = 0.25


def _regrouping(objective: Objective, network: Any) -> Regrouping:
    """Give the network a last layer of several groups, and return what trains them."""
    network.head = GroupedHead(network.head.in_features)
    return Regrouping(network)


def _sigmoid(objective: Objective, network: nn.Module) -> losses.Loss:
    bound: Any = objective.bound
    if isinstance(objective, FPOR):
        return losses.SoftRecallAtPrecision(bound)
    if isinstance(objective, FROP):
        return losses.SoftPrecisionAtRecall(bound)
    if isinstance(objective, OFBS):
        return losses.SoftFBeta(objective.beta)
    return losses.SmoothAP()


METHODS: dict[str, Callable[[Objective, nn.Module], Any]] = {
    "profiled": lambda objective, network: "profiled",
    "augmented_lagrangian": lambda objective, network: "augmented_lagrangian",
    "lagrangian": lambda objective, network: "lagrangian",
    "exact_penalty": lambda objective, network: "exact_penalty",
    "cross_entropy": lambda objective, network: "cross_entropy",
    "weighted": lambda objective, network: losses.WeightedCrossEntropy(),
    "focal": lambda objective, network: losses.FocalLoss(),
    "ldam": lambda objective, network: losses.LDAM(),
    "logit_adjustment": lambda objective, network: losses.LogitAdjustment(),
    "regrouping": _regrouping,
    "sigmoid": _sigmoid,
    "soap": lambda objective, network: soap.Soap(gamma=0.9, margin=1.0, has_sigmoid=True),
}
"""What makes the solver of a training, for an objective and a network."""

DIRECT = ("profiled", "augmented_lagrangian", "lagrangian", "exact_penalty")
ONE_LABEL = ("sigmoid", "soap", "regrouping")
"""Those that know no more than one label, or one bound."""
WARMED = (*DIRECT, "sigmoid")
"""Those whose first quarter is cross-entropy; the epochs in total are the same for all."""


def obstacle(name: str, num_labels: int) -> str:
    """Return why a method cannot run here, empty if it can."""
    if name in ONE_LABEL and num_labels > 1:
        return "takes one label at a time"
    if name == "soap" and soap.missing():
        return f"{', '.join(soap.missing())} not installed"
    return ""
