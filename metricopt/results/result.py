"""What a training returns: the model, its threshold, and what both are worth on which data.

This file decides how a result is read, applied and stored. Metrics come from :mod:`metricopt.evidence.reports`,
pictures from :mod:`metricopt.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from metricopt._validation import InvalidInputError, per_label
from metricopt.evidence.reports import Report, evaluate
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.labels import has_both_classes, mask_labels
from metricopt.problem.objectives import Bound, Objective
from metricopt.problem.prevalence import Prevalence, read_prevalence, weights_at
from metricopt.results.scored import History, Scored, scored_at
from metricopt.results.status import Status
from metricopt.scoring.forward import check_scores, forward, score_loader, to_device
from metricopt.scoring.inputs import check_inputs, inputs_of, pairs_of
from metricopt.solvers.agreement import SlackAgreement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from metricopt.results.certificate import Certificate, LabelCertificate


@dataclass(frozen=True)
class FitResult:
    """A trained model with its threshold.

    Attributes
    ----------
    model : Module
        The module that was passed, with the best weights found, in the mode that it had.
    objective : Objective
    label_names : tuple of str
    thresholds : ndarray, shape (L,), float
        On the scale of the model's scores; a score >= threshold is an alarm.
    statuses : tuple of Status
        One a label.
    train, validation : Report
        What the thresholds reach on the training part and on the held-out part (None if ``val_fraction=0``).
    baseline_train, baseline_validation : Report
        The same for candidate zero with its own exact threshold.
    baseline_name : str
        What candidate zero is: the best epoch of the cross-entropy warm-up, or the model as it was passed.
    slack : tuple of SlackAgreement, or None
        One a label, for solvers with explicit slacks: whether these mean what the model does on the training data.
    history : History
    selected_stage : str
        The stage of training that the returned weights come from, or of how many paths they are the average.
    solver : str
    seconds : float
    versions : dict of str to str
    prevalence : float, tuple of float, or None
        What share of positives metrics and thresholds are for, one for all labels or one a label; None for that of the
        data.
    certificates : tuple of LabelCertificate, or None
        One a label, where :meth:`certify` gave the thresholds.
    """

    model: nn.Module
    objective: Objective
    label_names: tuple[str, ...]
    thresholds: np.ndarray
    statuses: tuple[Status, ...]
    train: Report
    validation: Report | None
    baseline_train: Report
    baseline_validation: Report | None
    baseline_name: str
    history: History
    selected_stage: str
    solver: str
    seconds: float
    versions: dict[str, str]
    scored: dict[str, Scored]
    slack: tuple[SlackAgreement, ...] | None = None
    prevalence: Prevalence | None = None
    certificates: tuple[LabelCertificate, ...] | None = None

    @classmethod
    def from_scores(
        cls,
        model: nn.Module,
        objective: Objective,
        scored: dict[str, Scored],
        *,
        diverged: bool,
        slack: tuple[SlackAgreement, ...] | None = None,
        **rest: Any,
    ) -> FitResult:
        """Choose the thresholds on the selection data and report on all of it.

        A label that lacks positives or negatives in any of the data gets no threshold: nothing was learnt, or there is
        nothing to choose by.

        Parameters
        ----------
        model, objective
            As the attributes.
        scored : dict of str to Scored
            Of ``"train"`` and, where there is any, ``"validation"``, which then chooses.
        slack : tuple of SlackAgreement, or None
            As the attribute.
        diverged : bool
            Whether training ended on a loss that was not finite.
        **rest
            The remaining attributes.
        """
        chooser = scored.get("validation", scored["train"])
        names = rest["label_names"]
        kept = np.logical_and.reduce([has_both_classes(part.labels, part.sample_weight) for part in scored.values()])
        choice, baseline = (
            choose_threshold(scores, mask_labels(labels, kept), objective, sample_weight=chooser.sample_weight)
            for scores, labels in (
                (chooser.scores, chooser.labels),
                (chooser.baseline_scores, chooser.baseline_labels),
            )
        )

        def report(data: str, prefix: str, thresholds: np.ndarray) -> Report | None:
            part = scored.get(data)
            if part is None:
                return None
            return evaluate(
                getattr(part, f"{prefix}scores"),
                getattr(part, f"{prefix}labels"),
                thresholds,
                objective,
                label_names=names,
                data=data,
                sample_weight=part.sample_weight,
                prevalence=rest.get("prevalence"),
            )

        return cls(
            model=model,
            objective=objective,
            thresholds=choice.threshold,
            statuses=tuple(
                Status.DIVERGED
                if diverged
                else Status.NO_POSITIVES
                if not kept[label]
                else Status.INFEASIBLE
                if not choice.feasible[label]
                else Status.SLACK_GAP
                if slack is not None and not slack[label].holds
                else Status.FEASIBLE
                if objective.bounded
                else Status.OPTIMIZED
                for label in range(len(names))
            ),
            train=cast(Report, report("train", "", choice.threshold)),
            validation=report("validation", "", choice.threshold),
            baseline_train=cast(Report, report("train", "baseline_", baseline.threshold)),
            baseline_validation=report("validation", "baseline_", baseline.threshold),
            scored=scored,
            slack=slack,
            **rest,
        )

    @property
    def threshold(self) -> Any:
        """The threshold: a float, or with several labels an array of shape (L,)."""
        return float(self.thresholds[0]) if len(self.thresholds) == 1 else self.thresholds

    @property
    def multiplier(self) -> Any:
        """The multiplier of the bound at the end of training, or with several labels one by label name.

        None without a bound, for a solver that has none, and for a label that was left out.
        """
        last = {record["label"]: record["multiplier"] for record in self.history[-len(self.label_names) :]}
        by_label = {name: last.get(name) for name in self.label_names}
        return by_label if len(by_label) > 1 else by_label[self.label_names[0]]

    @property
    def alarm_rule(self) -> str:
        """What the threshold does, and what it was chosen for where the objective needs none."""
        text, chosen_for = "score >= threshold is an alarm", self.objective.of_threshold
        return text if chosen_for is self.objective else f"{text}; chosen for the best {chosen_for.metric_name}"

    @property
    def status(self) -> Any:
        """The :class:`~metricopt.results.status.Status`, or with several labels one by label name."""
        return self.statuses[0] if len(self.statuses) == 1 else dict(zip(self.label_names, self.statuses, strict=True))

    @property
    def selection(self) -> Report:
        """The report on the data that chose model and threshold: validation, or training if nothing was held out."""
        return self.validation or self.train

    @property
    def baseline(self) -> Report:
        """Candidate zero on the same data as :attr:`selection`."""
        return self.baseline_validation or self.baseline_train

    def scores(self, data: Any) -> np.ndarray:
        """Return the model's scores.

        Parameters
        ----------
        data : Tensor, ndarray, tuple or dict of these, Dataset or DataLoader
            Inputs as the model takes them (floats of arrays in the precision of its weights), or a data set of (x, y)
            pairs or of inputs alone; always in the order of the data set.

        Returns
        -------
        ndarray, shape (n,) for one label, else (n, L), float32

        Raises
        ------
        InvalidInputError
            If inputs or scores are not finite, or a tuple or dict does not fit the model's arguments, as (x, y).
        """
        check_inputs(data, self.model)
        device = device_of(self.model)
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with torch.no_grad():
                columns = []
                for number, inputs in enumerate(inputs_of(data, self.model)):
                    x = to_device(inputs, device)
                    scores = forward(self.model, x)
                    check_scores(scores, x, number)
                    columns.append(scores.cpu().numpy())
        finally:
            for module, mode in modes:
                module.training = mode
        if not columns:
            raise InvalidInputError("data must be non-empty, got no sample; pass at least one")
        stacked = np.concatenate(columns)
        return stacked[:, 0] if stacked.shape[1] == 1 else stacked

    def predict(self, data: Any) -> np.ndarray:
        """Return 1 where the model raises an alarm (score >= threshold), else 0.

        Parameters
        ----------
        data
            As for :meth:`scores`.

        Returns
        -------
        ndarray, shape (n,) or (n, L), int64
        """
        return (self.scores(data).astype(np.float64) >= self.threshold).astype(np.int64)

    def evaluate(
        self,
        test_data: Any,
        *,
        by: Any = None,
        data: str = "test",
        prevalence: float | Sequence[float] | Mapping[str, float] | str | None = None,
    ) -> Report:
        """Return what the model reaches at its threshold on other data, with intervals.

        Parameters
        ----------
        test_data : DataLoader, Dataset of (x, y), or tuple (x, y)
        by : array, shape (n,), optional
            A value a sample (site, sex): the report then holds the same by subgroup.
        data : str
            What to call the data in the report.
        prevalence : float, sequence or {label name: float}, in (0, 1), or ``"observed"``
            Report metrics as they would be with this share of positives. By default the result's own
            :attr:`prevalence`; ``"observed"`` takes the data as they are.

        Raises
        ------
        InvalidInputError
            If labels are not 0, 1 or NaN, or shapes do not fit.
        """
        asked: Any = self.prevalence if prevalence is None else None if prevalence == "observed" else prevalence
        share = read_prevalence(asked, self.label_names)
        scores, labels = score_loader(
            self.model, pairs_of(test_data, self.model), device_of(self.model), num_labels=len(self.label_names)
        )
        return evaluate(
            scores,
            labels,
            self.thresholds,
            self.objective,
            label_names=self.label_names,
            data=data,
            sample_weight=None if share is None else weights_at(share, labels),
            prevalence=share,
            by=by,
        )

    def with_bound(self, alpha: Bound | dict[str, float]) -> FitResult:
        """Return the same model at the exact threshold for another bound, without training.

        Training for that bound can only do better on the data that chooses; see ``fit``.

        Parameters
        ----------
        alpha : float, or one per label as a tuple or by name

        Raises
        ------
        InvalidInputError
            If the objective has no bound, or ``alpha`` is none for its labels.
        """
        bound: Any = per_label("alpha", alpha, self.label_names)
        return self._chosen_anew(self.objective.with_bound(bound), self.scored, self.prevalence)

    def at_prevalence(self, prevalence: float | Sequence[float] | Mapping[str, float]) -> FitResult:
        """Return the same model for another share of positives: thresholds chosen anew, reports weighted to it.

        Scores are compared as they are; that positives and negatives look the same there is taken for granted
        (:mod:`metricopt.problem.prevalence`). Training for that prevalence, ``fit(..., prevalence=...)``, can only do
        better on the data that chooses.

        Parameters
        ----------
        prevalence : float, or one per label as a sequence or by name, in (0, 1)

        Raises
        ------
        InvalidInputError
            If a number is not in (0, 1) or does not fit the labels, or the data were a stream whose order changed.
        """
        share = read_prevalence(prevalence, self.label_names)
        assert share is not None
        return self._chosen_anew(self.objective, scored_at(share, self.scored), share)

    def _chosen_anew(self, objective: Objective, scored: dict[str, Scored], prevalence: Prevalence | None) -> FitResult:
        """Return the same model with thresholds chosen for something else."""
        rest = {
            name: getattr(self, name)
            for name in ("label_names", "baseline_name", "history", "selected_stage", "solver", "seconds", "versions")
        }
        diverged = Status.DIVERGED in self.statuses
        return FitResult.from_scores(self.model, objective, scored, diverged=diverged, prevalence=prevalence, **rest)

    def certify(self, calibration_data: Any, confidence: float = 0.9) -> Certificate:
        """Return thresholds whose bound holds on new data with a stated confidence (Learn then Test).

        The statistics are those of :mod:`metricopt.evidence.certification`.

        For FPOR and FROP. Needs ``pip install 'metricopt[certify]'``.

        Parameters
        ----------
        calibration_data : DataLoader, Dataset of (x, y), or tuple (x, y)
            Samples that took no part in training or selection, drawn as new ones will be; with a :attr:`prevalence`,
            each class as in new ones. Every labelled sample counts once.
        confidence : float, in (0, 1)
            How likely, at least, the certified bound holds: for each label by itself, over the draw of these data.

        Returns
        -------
        Certificate
            Certified threshold, guarantee in words and what is given up, by label; ``.result`` is this result at the
            certified thresholds. Where none could be certified it says what would be needed.

        Raises
        ------
        InvalidInputError
            If the objective is another one, or the data are those that chose the model or the threshold.
        ImportError
            If MAPIE is not installed.
        """
        from metricopt.evidence.certification import certify

        return certify(self, calibration_data, confidence)

    def plot(self, ax: Axes | None = None, *, label: str | None = None) -> Axes:
        """Draw the precision-recall curves of this model and of candidate zero, the bound and the operating points.

        All on the data of :attr:`selection`; around the model's curve a bootstrap band, except for weighted samples
        (:func:`~metricopt.evidence.bootstrap.precision_band`: it says nothing of the luck in having chosen this model).

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; a new figure by default.
        label : str, optional
            Which label, the first by default; :meth:`plot_labels` draws all of them.
        """
        from metricopt.results.pictures import draw_curves

        return draw_curves(self, ax, label)

    def plot_labels(self, figure: Figure | SubFigure | None = None) -> np.ndarray:
        """Draw the precision-recall curves of all labels side by side; returns an array with Axes for each.

        Parameters
        ----------
        figure : Figure or SubFigure, optional
            Where to draw; a new one by default.
        """
        from metricopt.results.pictures import draw_labels

        return draw_labels(self, figure)

    def plot_scores(self, ax: Axes | None = None, *, label: str | None = None) -> Axes:
        """Draw the scores of either class on the data of :attr:`selection`, and where the threshold cuts them.

        Parameters
        ----------
        ax, label
            As for :meth:`plot`.
        """
        from metricopt.results.pictures import draw_scores

        return draw_scores(self, ax, label)

    def plot_history(self, figure: Figure | SubFigure | None = None, *, label: str | None = None) -> np.ndarray:
        """Draw metric, bounded metric, multiplier and slack agreement by epoch; returns an array with Axes for each.

        Parameters
        ----------
        figure : Figure or SubFigure, optional
            Where to draw; a new one by default.
        label : str, optional
            Which label, the first by default.
        """
        from metricopt.results.pictures import draw_history

        return draw_history(self, figure, label)

    @property
    def chooser(self) -> Scored:
        """The scores that :attr:`selection` speaks of."""
        return self.scored.get("validation", self.scored["train"])

    def summary(self) -> str:
        """Return a text that says what was asked, what was reached, on which data, and against what."""
        from metricopt.results.words import summary

        return summary(self)

    def advice(self, label: str | None = None) -> str:
        """Return what a label's status means, with the best achievable value where the bound is missed."""
        from metricopt.results.words import advice

        return advice(self, label)

    def __repr__(self) -> str:
        from metricopt.results.words import one_line

        return one_line(self)

    def save(self, path: str | Path) -> Path:
        """Write the result to a folder: weights and scores as safetensors, all else as JSON, nothing pickled.

        An existing result there is replaced at once, when all is written; a failed save leaves it as it was. Of the
        processes of a launch the main one writes.

        Parameters
        ----------
        path : str or Path
            The folder.

        Raises
        ------
        InvalidInputError
            If the path exists and holds something else than a result.
        """
        from metricopt.results.storage import save

        return save(self, Path(path))

    def export(self, path: str | Path, example: Any = None) -> Path:
        """Write model and thresholds to one ONNX file with the outputs ``scores`` and ``decisions`` (1 is an alarm).

        They have the shapes of :meth:`scores` and :meth:`predict`, for any number of rows; a label without a threshold
        never raises an alarm. Inputs are named as the model's keywords, or ``x`` (``x0``, ``x1``, ...). The metadata
        hold objective, label names, thresholds and versions. Scores are compared with torch's before the file takes its
        place: they agree to 1e-5. Needs ``pip install 'metricopt[onnx]'``.

        Parameters
        ----------
        path : str or Path
            The file; one that exists is replaced.
        example : optional
            Inputs as for :meth:`scores`; the first batch is enough. Not needed where a linear layer comes first.

        Raises
        ------
        InvalidInputError
            If the inputs cannot be told, do not fit the model, or the model cannot be exported.
        ImportError
            If the packages are missing.
        """
        from metricopt.results.export import export

        return export(self, Path(path), example)

    def report(self, path: str | Path, test: Report | None = None) -> Path:
        """Write one HTML page with everything that a reader of the result asks; it opens offline, and prints.

        Parameters
        ----------
        path : str or Path
            The file; one that exists is replaced.
        test : Report, optional
            What :meth:`evaluate` returned on new data; its subgroups too, where it has some.

        Raises
        ------
        InvalidInputError
            If ``test`` is a report on other labels.
        """
        from metricopt.results.page import write_report

        return write_report(self, Path(path), test)


def device_of(model: nn.Module) -> torch.device:
    """Return where a model's weights lie."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
