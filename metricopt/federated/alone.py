"""The loss of a federation of one site: that of :func:`metricopt.fit`, as all rows are known where training is.

Threshold, multipliers and scale then come from the scores themselves and move with the batches. The server says when
the warm-up ends and a path begins, and nothing else. From round to round the site keeps what moves, with the latest
score of each of its rows.

It judges its rounds by the scores of its training rows, not by their bins.

This file decides how that is made and kept. It leaves what moves to :mod:`metricopt.training.driver`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt.evidence.thresholds import choose_threshold, selection_criterion
from metricopt.federated.message import Message
from metricopt.federated.task import Task
from metricopt.problem.labels import has_both_classes, mask_labels
from metricopt.problem.objectives import Objective
from metricopt.training.driver import Driver
from metricopt.training.schedule import Schedule


def driver_alone(task: Task, labels: np.ndarray, num_steps: int, before: Message | None) -> Driver:
    """Return what drives the solver of a site that is the only one.

    Parameters
    ----------
    task : Task
    labels : ndarray, shape (n, L), float32
        Those of the training rows.
    num_steps : int
        The number of batches in a round, which takes the part of an epoch.
    before : Message or None
        What :func:`state_of` returned after the round before.
    """
    endless = sys.maxsize  # the server says when the warm-up is over
    schedule = Schedule(endless, num_steps, can_extend=False, warmup_batches=endless)
    driver = Driver(task.objective, task.solver, labels, None, {}, schedule)
    if before is not None:
        state: dict[str, dict[str, Any]] = {}
        for full, value in [*before.arrays.items(), *before.info.items()]:
            owner, _, name = full.partition(".")
            state.setdefault(owner, {})[name] = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        driver.load_state_dict(state)
    return driver


def state_of(driver: Driver) -> Message:
    """Return all that moves with the batches, which stays at the site."""
    flat = {f"{owner}.{name}": value for owner, own in driver.state_dict().items() for name, value in own.items()}
    arrays = {name: value.numpy() for name, value in flat.items() if isinstance(value, Tensor)}
    return Message("state", arrays, {name: value for name, value in flat.items() if name not in arrays})


def exact_key(scores: np.ndarray, labels: np.ndarray, objective: Objective) -> np.ndarray:
    """Return what rounds are compared by, shape (2,), for the scores and labels (n, L) of the training rows."""
    kept = mask_labels(labels, has_both_classes(labels))
    return np.array(selection_criterion(choose_threshold(scores, kept, objective), objective))
