"""The outcome of a training: thresholds, reports, scores and history, and how they are shown.

This file decides what can be read, said and drawn without the model. What takes the model is in
:mod:`metricopt.results.applied`; how the pictures look is decided in :mod:`metricopt.plots`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._arrays import Array
from metricopt._validation import check_choice, reject
from metricopt.evidence.certificates import OneLabel
from metricopt.evidence.probabilities import Calibration
from metricopt.evidence.reports import LabelReport, Report
from metricopt.evidence.thresholds import ThresholdChoice, reachable_bound
from metricopt.plots import plot_history, plot_labels, plot_precision_recall, plot_scores, plot_subgroups
from metricopt.problem.classes import Classes
from metricopt.problem.metrics import PrecisionRecallCurve
from metricopt.problem.objectives import Objective
from metricopt.problem.prevalence import Prevalence
from metricopt.problem.program import Program
from metricopt.results import words
from metricopt.results.history import History
from metricopt.results.label_outcome import LabelOutcome
from metricopt.results.pictures import pictures_of_test, reliability_of_selection, said_of_selection
from metricopt.results.scores import GIVEN, DataScores, kept_labels, selection_scores
from metricopt.results.status import Status
from metricopt.results.tried import Tried
from metricopt.solvers.agreement import SlackAgreement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a training led to, apart from the model; :class:`metricopt.FitResult` says what the attributes mean."""

    objective: Objective
    confidence: float | None = None
    holdout: str = ""
    label_names: tuple[str, ...]
    thresholds: np.ndarray
    statuses: tuple[Status, ...]
    train: Report
    validation: Report | None
    baseline_train: Report | None
    baseline_validation: Report | None
    baseline_name: str
    history: History
    selected_stage: str
    solver: str
    seconds: float
    versions: dict[str, str]
    data_scores: dict[str, DataScores]
    slack: tuple[SlackAgreement, ...] | None = None
    prevalence: Prevalence | None = None
    certificates: tuple[OneLabel, ...] | None = None
    classes: tuple[Classes | None, ...] | None = None
    candidates: tuple[Tried, ...] = ()

    @cached_property
    def choice(self) -> ThresholdChoice:
        """The choice of the thresholds on the data of :attr:`selection`, with what stands behind each.

        It is that of :func:`metricopt.choose_threshold` with the result's :attr:`confidence`. Certified thresholds were
        chosen on other data.
        """
        part = self.selection_scores
        found = part.choose(part.model, self.objective, kept_labels(self.data_scores), self.confidence)
        return replace(found, label_names=self.label_names)

    @cached_property
    def calibrations(self) -> tuple[Calibration | None, ...]:
        """How scores become probabilities, for each label, by the rows that chose the threshold.

        None for a label without a threshold, and where the training rows chose, whose probabilities are too extreme.
        """
        part = self.selection_scores
        is_apart = self.validation is not None or part.data == GIVEN
        return tuple(
            Calibration.of(part.scores[:, which], part.labels[:, which], part.weight_of(which))
            if is_apart and known
            else None
            for which, known in enumerate(kept_labels(self.data_scores))
        )

    @property
    def empirical_threshold(self) -> Any:
        """The best threshold on the data of :attr:`selection`, whatever the evidence for it.

        A float, or with several labels an array of shape (L,). It is :attr:`threshold` where the evidence supports
        that one, or where no confidence is asked. Elsewhere the bound may well fail on new data there.
        """
        best = np.asarray((self.choice.empirical or self.choice).threshold)
        return float(best[0]) if len(best) == 1 else best

    @property
    def threshold(self) -> Any:
        """The threshold: a float, or with several labels an array of shape (L,)."""
        return float(self.thresholds[0]) if len(self.thresholds) == 1 else self.thresholds

    @property
    def threshold_per(self) -> str | None:
        """The column of subgroups of which each has a threshold of its own; None where all share one."""
        return self.objective.threshold_per if isinstance(self.objective, Program) else None

    @property
    def subgroup_thresholds(self) -> Any:
        """The thresholds of subgroups by value of :attr:`threshold_per`, or with several labels a dict by label name.

        None where all share one threshold.
        """
        if self.threshold_per is None:
            return None
        own = {name: dict(self.choice.program[at].thresholds or {}) for at, name in enumerate(self.label_names)}
        return own if len(own) > 1 else own[self.label_names[0]]

    @property
    def multiplier(self) -> Any:
        """The multiplier of the bound at the end of training: a float, or with several labels a dict by label name.

        It is None without a bound, for a solver that has none, and for a label that was left out. For a program with
        several bounds it is a dict by bound.
        """
        last = {
            record["label"]: record.get("multipliers", record["multiplier"])
            for record in self.history[-len(self.label_names) :]
        }
        by_label = {name: last.get(name) for name in self.label_names}
        return by_label if len(by_label) > 1 else by_label[self.label_names[0]]

    @property
    def alarm_rule(self) -> str:
        """What the threshold does, and what it was chosen for where the objective needs none."""
        text, chosen_for = "score >= threshold is an alarm", self.objective.threshold_objective
        if self.threshold_per is not None:
            return f"{text} for rows of an unknown {self.threshold_per}; the others have thresholds of their own"
        return text if chosen_for is self.objective else f"{text}; chosen for the best {chosen_for.metric_name}"

    @property
    def status(self) -> Any:
        """The :class:`~metricopt.results.status.Status`, or with several labels a dict by label name."""
        return self.statuses[0] if len(self.statuses) == 1 else dict(zip(self.label_names, self.statuses, strict=True))

    @property
    def selection(self) -> Report:
        """The report on the data that chose model and threshold: validation, or training if nothing was held out."""
        return self.validation or self.train

    @property
    def baseline(self) -> Report | None:
        """The report on candidate zero, on the same data as :attr:`selection`; None for a result of scores alone."""
        return self.baseline_validation or self.baseline_train

    @property
    def label_classes(self) -> tuple[Classes | None, ...]:
        """The classes of each label, None for one whose labels are 0 and 1."""
        return (None,) * len(self.label_names) if self.classes is None else self.classes

    @property
    def selection_scores(self) -> DataScores:
        """The scores that :attr:`selection` speaks of."""
        return selection_scores(self.data_scores)

    def summary(self) -> str:
        """Return a text that says what was asked, what was reached, on which data, and against what."""
        return words.summary(
            self.objective,
            self._outcomes,
            self._methods,
            confidence=self.confidence if self.objective.bounds else None,
            holdout=self.holdout,
            classes=self.label_classes,
            alarm_rule=self.alarm_rule,
            prevalence=self.prevalence,
            selected_stage=self.selected_stage,
            seconds=self.seconds,
            candidates=self.candidates,
        )

    def advice(self, label: str | None = None) -> str:
        """Return what a label's status means, with the best achievable value where the bound is missed."""
        return self._outcomes[self._position_of(label)].advice

    def __repr__(self) -> str:
        return words.one_line(self.objective, self._outcomes)

    def plot(self, ax: Axes | None = None, *, label: str | None = None) -> Axes:
        """Draw the precision-recall curves of this model and of candidate zero, the bound and the operating points.

        All of it is of the data of :attr:`selection`. Unless samples are weighted, a bootstrap band lies around the
        model's curve (:func:`~metricopt.evidence.bootstrap.precision_band`); it does not show how lucky the choice of
        this model was.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw. The default is a new figure.
        label : str, optional
            Which label is drawn. The default is the first; :meth:`plot_labels` draws all of them.
        """
        which = self._position_of(label)
        curves, points = self._curves(which)
        band = self.selection_scores.precision_band(which)
        bands = {} if band is None else {self.objective.name: band}
        return plot_precision_recall(curves, points, bands=bands, ax=ax, title=self._title(which))

    def plot_labels(self, figure: Figure | SubFigure | None = None) -> np.ndarray:
        """Draw the precision-recall curves of all labels side by side; return an array with Axes for each.

        Parameters
        ----------
        figure : Figure or SubFigure, optional
            Where to draw. The default is a new figure.
        """
        planes = {name: self._curves(which) for which, name in enumerate(self.label_names)}
        return plot_labels(
            {name: curves for name, (curves, _) in planes.items()},
            {name: points for name, (_, points) in planes.items()},
            figure=figure,
            title=f"{self.objective.name} on {self.selection.data} data",
        )

    def plot_scores(self, ax: Axes | None = None, *, label: str | None = None) -> Axes:
        """Draw the scores of both classes on the data of :attr:`selection`, and where the threshold divides them.

        Parameters
        ----------
        ax, label
            The same as for :meth:`plot`.
        """
        which, part = self._position_of(label), self.selection_scores
        return plot_scores(
            part.scores[:, which],
            part.labels[:, which],
            float(self.thresholds[which]),
            sample_weight=part.weight_of(which),
            ax=ax,
            title=self._title(which),
        )

    def plot_reliability(self, ax: Axes | None = None, *, label: str | None = None) -> Axes:
        """Draw calibrated probabilities beside the fraction of positives, on the data of :attr:`selection`.

        Each row is calibrated by the rows of other folds. On new rows call
        ``metricopt.plots.plot_reliability(result.probabilities(x), y)``.

        Parameters
        ----------
        ax, label
            The same as for :meth:`plot`.

        Raises
        ------
        InvalidInputError
            If the training rows chose the threshold, or too few rows of a class are known.
        """
        which = self._position_of(label)
        drawn = None
        if self.calibrations[which] is not None:
            drawn = reliability_of_selection(which, self.selection_scores, ax, self._title(which))
        if drawn is None:
            got, remedy = self.holdout or "the training rows", "train with folds, or with a part held out"
            reject("the result", "one with rows of both classes that did not train", got, remedy)
        return drawn

    def pictures(
        self, label: str, test: Report | None, others: Mapping[str, Array] = MappingProxyType({})
    ) -> Iterator[tuple[str, Axes]]:
        """Yield the pictures that a page shows of a label, each with the sentence below it.

        ``others`` are probabilities of other models on the rows of ``test``, by name.
        """
        which = self._position_of(label)
        if test is not None and test.scored is not None:
            title = f"{label}: {self.objective.for_labels(len(self.label_names))[which]}\non {test.data} data"
            yield from pictures_of_test(self._methods[0], which, test, self.calibrations[which], title, others)
            return
        data = self.selection.data
        yield (
            f"Precision and recall at every threshold on {data} data, and where the threshold lies.",
            self.plot(label=label),
        )
        if self.calibrations[which] is not None:
            drawn = reliability_of_selection(which, self.selection_scores, None, self._title(which))
            if drawn is not None:
                yield said_of_selection(data), drawn
        if self.selection[which].bounds:
            title = self._title(which)
            yield (
                f"Each bound with its 95 % interval on {data} data.",
                plot_subgroups(self.selection[which], title=title),
            )

    def plot_history(self, figure: Figure | SubFigure | None = None, *, label: str | None = None) -> np.ndarray:
        """Draw metric, bounded metric, multiplier and slack agreement by epoch; return an array with Axes for each.

        Parameters
        ----------
        figure : Figure or SubFigure, optional
            Where to draw. The default is a new figure.
        label : str, optional
            Which label is drawn. The default is the first.
        """
        which = self._position_of(label)
        return plot_history(self.history, label=self.label_names[which], figure=figure, title=self._title(which))

    def _position_of(self, label: str | None) -> int:
        if label is None:
            return 0
        check_choice("label", label, self.label_names)
        return self.label_names.index(label)

    def _title(self, which: int) -> str:
        objective = self.objective.for_labels(len(self.label_names))[which]
        return f"{self.label_names[which]}: {objective}\non {self.selection.data} data"

    def _curves(self, which: int) -> tuple[dict[str, PrecisionRecallCurve], dict[str, LabelReport]]:
        """Return the curves of model and candidate zero for a label, and their operating points, by name."""
        names = self.objective.name, self.baseline_name
        points = [report[which] for report in (self.selection, self.baseline) if report is not None]
        return dict(zip(names, self.selection_scores.curves(which), strict=False)), dict(
            zip(names, points, strict=False)
        )

    @property
    def _outcomes(self) -> tuple[LabelOutcome, ...]:
        """What texts and pages say of each label."""
        pairs = [(self.train, self.baseline_train)]
        if self.validation is not None:
            pairs.insert(0, (self.validation, self.baseline_validation))
        return tuple(
            LabelOutcome(
                label=name,
                status=self.statuses[which],
                choice=self.choice[which],
                threshold=float(self.thresholds[which]),
                reports={pair[0].data: tuple(report[which] for report in pair if report) for pair in pairs},
                slack=None if self.slack is None else self.slack[which],
                certificate=None if self.certificates is None else self.certificates[which],
                reachable_bound=self._reachable_bound(which),
                constant_score=self._constant_score(which),
            )
            for which, name in enumerate(self.label_names)
        )

    def _constant_score(self, which: int) -> float | None:
        """Return the score that all labelled rows have, if they have the same."""
        part = self.selection_scores
        known = part.scores[~np.isnan(part.labels[:, which]), which]
        return float(known[0]) if len(known) > 1 and known.min() == known.max() else None

    def _reachable_bound(self, which: int) -> float | None:
        """Return the best bound that the evidence supports for a label whose bound it does not support."""
        if self.objective.only_bound is None:
            return None
        if self.confidence is None or self.statuses[which] not in (Status.UNSUPPORTED, Status.INFEASIBLE):
            return None
        part = self.selection_scores
        found = reachable_bound(
            part.scores[:, which],
            part.labels[:, which],
            self.objective.for_labels(len(self.label_names))[which],
            confidence=self.confidence,
            sample_weight=part.weight_of(which),
            groups=part.groups,
            folds=part.asked_folds,
        )
        return float(found)

    @property
    def _methods(self) -> tuple[str, ...]:
        """How texts and pages call the model and, if there is one, candidate zero."""
        chosen = next((f"{each.name} (chosen)" for each in self.candidates if each.is_chosen), None)
        if self.baseline is None:
            return (chosen or self.objective.name,)
        return chosen or f"{self.objective.name} ({self.solver})", f"{self.baseline_name} + tuned threshold"
