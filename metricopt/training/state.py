"""Where a training stands: every number that moves from batch to batch, apart from what it moves through.

This file decides what the loop must remember to go on as if it had never stopped. Model, optimizer, scheduler and
loss keep states of their own; random generators are in :mod:`metricopt.training.random_states`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from metricopt.evidence.choice import ThresholdChoice


@dataclass(frozen=True)
class Candidate:
    """Weights that could be returned, and what the exact threshold makes of them on the selection data.

    Attributes
    ----------
    choice : ThresholdChoice
    key : tuple of float
        The numbers by which candidates are compared.
    weights : dict of str to Tensor
        On the host; empty unless the candidate may be returned.
    stage : str
    epoch : int
        The epoch after which the weights were found; 0 is the model as passed.
    evidence : ndarray, shape (n, L), or None
        The out-of-fold scores of all rows, where replicas train.
    slack : ndarray or None
        The slacks that belong to the weights, if the solver has slacks.
    averaged : tuple of int
        The epochs whose weights these are the average of; empty for the weights of one epoch.
    scores, labels : ndarray, shape (n, L), or None
        Those of the rows that choose, so that the result need not score them again; None where replicas train.
    """

    choice: ThresholdChoice
    key: tuple[float, float]
    weights: dict[str, Tensor]
    stage: str
    epoch: int
    evidence: np.ndarray | None = None
    slack: np.ndarray | None = None
    averaged: tuple[int, ...] = ()
    scores: np.ndarray | None = None
    labels: np.ndarray | None = None


@dataclass
class State:
    """Where a training stands.

    Attributes
    ----------
    start, best, baseline : Candidate
        The model as passed (with weights while they are needed), the best candidate so far, and candidate zero.
    finalists : list of Candidate
        The best candidates of several stages, whose average is tried.
    warm : dict of str to Tensor
        The weights at the end of the warm-up, where a path begins with them later on; else empty.
    history : list of dict
    stage : int
        The position of the stage in the plan.
    begun : bool
        Whether that stage has its optimizer and its first weights.
    stage_epoch, batch : int
        The number of epochs of the stage, and of batches of the epoch, that are done.
    loss_sum : float
        The sum of the losses of these batches.
    epoch : int
        The number of epochs of the whole training, with the one under way.
    step : int
        The number of batches of the whole training.
    unimproved : int
        The number of epochs of the stage since the best candidate was found.
    stopped, diverged, finished : bool
    seconds : float
        How long training took, interruptions left out.
    """

    start: Candidate
    best: Candidate
    baseline: Candidate
    warm: dict[str, Tensor]
    finalists: list[Candidate] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    stage: int = 0
    begun: bool = False
    stage_epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    epoch: int = 0
    step: int = 0
    unimproved: int = 0
    stopped: bool = False
    diverged: bool = False
    finished: bool = False
    seconds: float = 0.0
