"""A model and its thresholds on other data: scores, alarms, probabilities, and what is reached there.

This file decides what is done with rows. It leaves what takes other thresholds, and what is written, to
:mod:`metricopt.results.result`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metricopt._validation import reject
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.reports import Report
from metricopt.evidence.subgroups import read_subgroups
from metricopt.problem.prevalence import read_prevalence, weights_at
from metricopt.results.given import scored_pairs, scores_of
from metricopt.results.outcome import Outcome


@dataclass(frozen=True, kw_only=True, repr=False)
class AppliedOutcome(Outcome):
    """An outcome with its model, or without one for scores alone; :class:`metricopt.FitResult` says what it holds."""

    model: Any

    def scores(self, data: Any) -> np.ndarray:
        """Return the model's scores.

        Parameters
        ----------
        data : Tensor, ndarray, tuple or dict of these, Dataset or DataLoader
            Inputs as the model takes them, or a data set of (x, y) pairs or of inputs alone. Floats in arrays are
            converted to the precision of the model's weights. Without a model: scores, shape (n,) or (n, L), which are
            returned as they are.

        Returns
        -------
        ndarray, shape (n,) for one label, else (n, L), float32
            The scores in the order of the data set, also where a loader shuffles.

        Raises
        ------
        InvalidInputError
            If inputs or scores are not finite, or a tuple or dict does not fit the model's arguments. A pair (x, y)
            usually does not. If there is no model and the data are no scores.
        """
        scores = scores_of(data, self.model, len(self.label_names))
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, data: Any, *, subgroups: Any = None) -> np.ndarray:
        """Return 1 where the model raises an alarm (score >= threshold), else 0.

        Parameters
        ----------
        data
            The same as for :meth:`scores`.
        subgroups : mapping of str to array of shape (n,), or a frame
            The column of subgroups where each has a threshold of its own (``threshold_per`` of a program), else left
            out. A subgroup that chose none gets the shared threshold, with a warning.

        Returns
        -------
        ndarray, shape (n,) or (n, L), int64

        Raises
        ------
        InvalidInputError
            If the column of subgroups is needed and missing.
        """
        return self.alarms(self.scores(data), subgroups=subgroups)

    def alarms(self, scores: np.ndarray, *, subgroups: Any = None) -> np.ndarray:
        """Return 1 where scores of the model raise an alarm, else 0; see :meth:`predict`.

        Parameters
        ----------
        scores : ndarray, shape (n,) or (n, L), float
        subgroups
            The same as for :meth:`predict`.

        Returns
        -------
        ndarray of int64, of the shape of ``scores``
        """
        exact = np.asarray(scores, np.float64)
        limits = self._row_thresholds(subgroups, len(exact))
        # One label's scores may have one dimension or two.
        own = self.thresholds if limits is None else limits
        return (exact.reshape(len(exact), -1) >= own).reshape(exact.shape).astype(np.int64)

    def _row_thresholds(self, subgroups: Any, num_rows: int) -> np.ndarray | None:
        """Return the threshold of each row and label, where each subgroup has its own; None elsewhere."""
        per = self.threshold_per
        if per is None:
            return None
        columns = read_subgroups(subgroups, [per], num_rows, strict=False)
        return self.choice.of_rows(columns, per, num_rows)

    def probabilities(self, data: Any) -> np.ndarray:
        """Return how often samples with such scores are positive, by the rows that chose the threshold.

        They are calibrated (:mod:`metricopt.evidence.probabilities`) and have the order of the scores. At a
        :attr:`prevalence` they are those there. The threshold is one on scores: a probability above 0.5 need not be an
        alarm.

        Parameters
        ----------
        data
            The same as for :meth:`scores`.

        Returns
        -------
        ndarray, shape (n,) or (n, L), float64
            NaN for a label that was left out.

        Raises
        ------
        InvalidInputError
            If the training rows chose the threshold, since their scores are too extreme.
        """
        if not any(self.calibrations):
            got, remedy = self.holdout or "the training rows", "train with folds, or with a part held out"
            reject("the result", "one that rows apart from the training chose, for probabilities", got, remedy)
        scores = np.asarray(self.scores(data), np.float64).reshape(-1, len(self.label_names))
        columns = zip(scores.T, self.calibrations, strict=True)
        found = np.stack([np.full(len(own), np.nan) if by is None else by(own) for own, by in columns], axis=1)
        return found[:, 0] if found.shape[1] == 1 else found

    def evaluate(
        self,
        test_data: Any,
        labels: Any = None,
        *,
        by: Any = None,
        data: str = "test",
        prevalence: float | Sequence[float] | Mapping[str, float] | str | None = None,
        subgroups: Any = None,
    ) -> Report:
        """Return what the model reaches at its threshold on other data, with intervals.

        Parameters
        ----------
        test_data : DataLoader, Dataset of (x, y), or tuple (x, y)
            Or inputs alone, with ``labels``. Without a model: scores, shape (n,) or (n, L).
        labels : array, shape (n,) or (n, L), optional
            0, 1 or missing, or the classes that the result was made with.
        by : array, shape (n,), optional
            A value for each sample, such as its site; the report then holds the same by subgroup. At a prevalence, each
            class is weighted by one factor in all data: a subgroup's report states the prevalence that its own samples
            have at these weights.
        data : str
            The name of the data in the report.
        prevalence : float, sequence or {label name: float}, in (0, 1), or ``"observed"``
            The fraction of positives that the metrics are meant for. The default is the result's own
            :attr:`prevalence`; ``"observed"`` takes the data as they are.
        subgroups : mapping of str to array of shape (n,), or a frame
            The columns that a program names; left out for other objectives.

        Returns
        -------
        Report

        Raises
        ------
        InvalidInputError
            If labels are not 0, 1 or NaN, or shapes do not fit.
        """
        asked: Any = self.prevalence if prevalence is None else None if prevalence == "observed" else prevalence
        meant = read_prevalence(asked, self.label_names)
        scores, truth = scored_pairs(test_data, labels, self.model, self.label_classes, self.label_names)
        return evaluate(
            scores,
            truth,
            self.thresholds,
            self.objective,
            label_names=self.label_names,
            data=data,
            sample_weight=None if meant is None else weights_at(meant, truth),
            prevalence=meant,
            by=by,
            subgroups=subgroups,
            row_thresholds=self._row_thresholds(subgroups, len(scores)),
        )
