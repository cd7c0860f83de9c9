"""Results made of scores that a test states, without training."""

import numpy as np
import torch
from torch import nn

from metricopt.results.history import History
from metricopt.results.result import result_from_scores
from metricopt.results.scores import DataScores


class Scores(nn.Module):
    """Scores are the inputs, times a weight of one: what a test says they are."""

    def __init__(self, num_labels=1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_labels))

    def forward(self, x):
        return x * self.weight


def result_of(
    scores, labels, objective, *, baseline=None, model=None, weight=None, names=None, diverged=False, **attributes
):
    """Return the result of scores of the training data, which also select; candidate zero has the same by default."""
    own, other, truth = (
        np.array(part, np.float32).reshape(len(scores), -1)  # a saved array shares no memory with another
        for part in (scores, scores if baseline is None else baseline, labels)
    )
    return result_from_scores(
        Scores(own.shape[1]) if model is None else model,
        objective,
        {"train": DataScores("train", own, other, truth, truth.copy(), weight)},
        label_names=tuple("abc"[: own.shape[1]]) if names is None else names,
        diverged=diverged,
        baseline_name="cross-entropy",
        history=History(),
        selected_stage="warm-up",
        solver="profiled",
        seconds=0.0,
        versions={},
        **attributes,
    )
