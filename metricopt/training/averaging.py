r"""One model out of several: the average of the best weights of several paths, where it is as good as the best of them.

Which of many models is best on the selection data is partly luck, the more so the fewer positives there are; an average
of the best ones depends less on it. All paths start from one warm-up, so that their weights can be averaged. By the
one-standard-error rule it is taken where its value is not below that of the best by more than its standard error
(:mod:`metricopt.evidence.standard_error`), and where it is not below candidate zero.

This file decides which weights are averaged and when the average counts. It leaves scoring to
:mod:`metricopt.training.judge`.

References
----------
M. Wortsman et al. (2022). Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time. ICML. L. Breiman, J. Friedman, R. Olshen, C. Stone (1984). Classification and regression
trees, section 3.4.3 (the rule).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metricopt.evidence.standard_error import standard_error
from metricopt.problem.objectives import Objective
from metricopt.training.state import Candidate

MAX_FINALISTS = 4


def with_finalist(finalists: Sequence[Candidate], candidate: Candidate) -> list[Candidate]:
    """Return the best candidate of every stage, the best stages first, at most :data:`MAX_FINALISTS`."""
    of_stage = {each.stage: each for each in finalists}
    rival = of_stage.get(candidate.stage)
    if rival is None or candidate.key > rival.key:
        of_stage[candidate.stage] = candidate
    return sorted(of_stage.values(), key=lambda each: each.key, reverse=True)[:MAX_FINALISTS]


def average_weights(finalists: Sequence[Candidate]) -> dict[str, Tensor]:
    """Return the mean of their weights; what is not a float (a count of batches) is that of the first."""
    first = finalists[0].weights
    return {
        name: torch.stack([each.weights[name] for each in finalists]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }


def is_as_good(
    average: Candidate, best: Candidate, baseline: Candidate, objective: Objective, labels: np.ndarray
) -> bool:
    """Say whether the average may take the place of the best.

    Parameters
    ----------
    average, best, baseline : Candidate
    objective : Objective
    labels : ndarray, shape (n, L)
        The labels of the selection data.
    """
    feasible = best.choice.feasible & ~np.isnan(best.choice.value)
    if average.key < baseline.key or (feasible & ~average.choice.feasible).any():
        return False
    return bool(average.key[0] >= best.key[0] - standard_error(best.choice, objective, labels))
