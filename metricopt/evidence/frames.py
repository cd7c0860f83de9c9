r"""Scores of several models on one scale: each model's scores in its own frame.

Models that were trained apart have scores of different scales. In model r's own frame a score z reads

.. math:: u = \frac{z - c_r}{\sigma_r}

with the centre :math:`c_r`, the quantile of its training scores above which as many lie as there are positives, and
their standard deviation :math:`\sigma_r`. In these frames scores can be pooled (the out-of-fold score of a row is that
of the models which did not train on it) and averaged (the score of the final model is the mean over all models), and a
threshold that was chosen on pooled scores applies to the average.

This file decides the frame and what is done in it. Which row trains which model is in
:mod:`metricopt.evidence.folds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frames:
    """The frame of each of R models, by label.

    Attributes
    ----------
    centre, spread : ndarray, shape (R, L), float64
        The spread is above 0. Both are NaN for a model without finite training scores; a label that no row has keeps
        the scores as they are.
    """

    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(
        cls, scores: np.ndarray, labels: np.ndarray, trains: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> Frames:
        """Return the frames of models from the scores of the rows that trained them.

        Parameters
        ----------
        scores : ndarray, shape (n, R, L), float
            Of every row by every model.
        labels : ndarray, shape (n, L), float
            0, 1 or NaN (missing).
        trains : ndarray, shape (n, R), bool
            Whether a row trained a model.
        sample_weight : ndarray, shape (n, L), float, optional
            A row of weight 2 counts as two.

        Examples
        --------
        >>> scores = np.array([[[0.0]], [[1.0]], [[2.0]], [[3.0]]])
        >>> labels, trains = np.array([[0.0], [0.0], [1.0], [1.0]]), np.ones((4, 1), bool)
        >>> frames = Frames.of(scores, labels, trains)
        >>> frames.centre.item(), round(frames.spread.item(), 3)
        (1.5, 1.118)
        """
        num_models, num_labels = scores.shape[1:]
        centre, spread = np.full((2, num_models, num_labels), np.nan)
        has_rows = ~np.isnan(labels).all(axis=0)
        for model in range(num_models):
            for label in range(num_labels):
                counted = trains[:, model] & ~np.isnan(labels[:, label])
                own = scores[counted if has_rows[label] else slice(None), model, label].astype(np.float64)
                if not len(own) or not np.isfinite(own).all():
                    continue
                if not has_rows[label]:
                    centre[model, label], spread[model, label] = 0.0, 1.0
                    continue
                weight = np.ones(len(own)) if sample_weight is None else sample_weight[counted, label]
                centre[model, label], spread[model, label] = _frame(own, labels[counted, label] == 1, weight)
        return cls(centre, spread)

    def express(self, scores: np.ndarray) -> np.ndarray:
        """Return scores, shape (..., R, L), in the frames of their models."""
        return (scores - self.centre) / self.spread

    def out_of_fold(self, scores: np.ndarray, trains: np.ndarray) -> np.ndarray:
        """Return each row's mean score by the models that did not train on it.

        Parameters
        ----------
        scores : ndarray, shape (n, R, L), float
        trains : ndarray, shape (n, R), bool

        Returns
        -------
        ndarray, shape (n, L), float64
            NaN for a row that all models trained on.
        """
        held_out = ~trains[:, :, np.newaxis] & np.isfinite(self.centre)  # (n, R, L)
        total = np.where(held_out, self.express(scores), 0.0).sum(axis=1)
        number = held_out.sum(axis=1)
        return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)

    def average(self, scores: np.ndarray) -> np.ndarray:
        """Return the mean score over all models with a frame, shape (..., L), of scores (..., R, L)."""
        mean: np.ndarray = np.nanmean(self.express(scores), axis=-2)
        return mean


def _frame(own: np.ndarray, is_positive: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the quantile above which the weight of the positives lies, and the standard deviation."""
    total = weight.sum()
    if not total:
        return 0.0, 1.0
    order = np.argsort(own, kind="stable")
    ends = np.cumsum(weight[order])
    negatives = total - weight[is_positive].sum()
    # Midway between the two scores that the quantile divides: where weights are 1, half of a score on either side.
    low = order[min(int(np.searchsorted(ends, negatives * (1 - 1e-12))), len(own) - 1)]
    high = order[min(int(np.searchsorted(ends, negatives * (1 + 1e-12), side="right")), len(own) - 1)]
    mean = (weight * own).sum() / total
    spread = float(np.sqrt((weight * (own - mean) ** 2).sum() / total))
    return float(own[low] / 2 + own[high] / 2), spread if spread > 1e-6 * np.abs(own).max() else 1.0
