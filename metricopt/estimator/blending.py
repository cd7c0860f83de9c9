"""A network and boosted trees that were trained on the same folds, as one candidate more: the mean of their log-odds.

Models that err in different rows are often better together than either. Nothing is trained for it, and the rows that
neither has seen testify for their mean as they do for each. This file decides what the mean is made of; how its scores
are computed is in :mod:`metricopt.scoring.blend`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import nn

from metricopt.evidence.probabilities import line_to_log_odds
from metricopt.problem.objectives import Objective
from metricopt.results.history import History
from metricopt.results.result import FitResult, result_from_scores
from metricopt.results.scores import DataScores
from metricopt.scoring.blend import Blend
from metricopt.scoring.classifiers import FittedClassifiers


def blended(network: FitResult, trees: FitResult, objective: Objective) -> FitResult:
    """Return the result of the two models' mean.

    Parameters
    ----------
    network, trees : FitResult
        Of one label, the same rows and the same folds; the model of the first is a torch model.
    objective : Objective
        What its thresholds serve.
    """
    assert isinstance(network.model, nn.Module) and isinstance(trees.model, FittedClassifiers)
    model = Blend(network.model, trees.model, (_line(network.selection_scores), _line(trees.selection_scores)))
    data = {name: _mean(model, part, trees.data_scores[name]) for name, part in network.data_scores.items()}
    return result_from_scores(
        model,
        objective,
        data,
        label_names=network.label_names,
        diverged=False,
        confidence=network.confidence,
        prevalence=network.prevalence,
        holdout=network.holdout,
        classes=network.classes,
        baseline_name="",
        history=History(),
        selected_stage="",
        solver="",
        seconds=0.0,
        versions={**trees.versions, **network.versions},
    )


def _line(part: DataScores) -> tuple[float, float]:
    return line_to_log_odds(part.scores[:, 0], part.labels[:, 0], part.weight_of(0))


def _mean(model: Blend, network: DataScores, trees: DataScores) -> DataScores:
    """Return the mean scores of one data set; a row without a score by either has no label."""
    labels = np.where(np.isnan(network.labels), np.nan, trees.labels).astype(np.float32)
    scores = model.average(network.scores, trees.scores)
    return replace(trees, scores=np.where(np.isnan(labels), 0.0, scores), labels=labels)
