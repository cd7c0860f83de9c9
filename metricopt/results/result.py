"""What a training returns: the model, its threshold, and what both are worth on which data.

This file decides what a result holds, and how it comes to other thresholds. What it shows is in
:mod:`metricopt.results.outcome`, what it says of other rows in :mod:`metricopt.results.applied`, and what it writes in
:mod:`metricopt.results.written`. The other modules of this folder take attributes of a result, never the result itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from metricopt._validation import per_label, reject
from metricopt.evidence.certificates import Certificate, OneLabel
from metricopt.problem.objectives import Bound, Objective
from metricopt.problem.prevalence import Prevalence, read_prevalence
from metricopt.results import calibration, storage
from metricopt.results.chosen import choose_and_report
from metricopt.results.given import AnyModel, scored_and_numbered_pairs
from metricopt.results.scores import DataScores, scores_at
from metricopt.results.status import Status
from metricopt.results.written import WrittenOutcome
from metricopt.solvers.agreement import SlackAgreement


@dataclass(frozen=True, kw_only=True, repr=False)
class FitResult(WrittenOutcome):
    """A trained model with its threshold, or a threshold for scores alone (:func:`metricopt.from_scores`).

    Attributes
    ----------
    model : Module, FittedClassifiers, Blend or None
        The module that was passed, with the best weights found, in the mode that it had. With folds it is the average
        of their models: a ``torch.nn.Linear``, or an :class:`~metricopt.scoring.ensemble.Ensemble` of networks. For
        classifiers of scikit-learn it is :class:`~metricopt.scoring.classifiers.FittedClassifiers`, whose inputs are
        features as they take them; with ``model="auto"`` it may be the mean of a network and of those
        (:class:`~metricopt.scoring.blend.Blend`). None for a result of scores alone, whose methods take scores where
        they take inputs otherwise.
    objective : Objective
    label_names : tuple of str
    confidence : float or None
        How sure the bound must be on new rows, by the rows that chose the thresholds; None for thresholds that are the
        exact optimum of these rows.
    holdout : str
        Which rows chose model and threshold, and why.
    thresholds : ndarray, shape (L,), float
        The thresholds on the scale of the model's scores, one for each label; a score >= threshold is an alarm.
    statuses : tuple of Status
        How the training ended, for each label.
    train, validation : Report
        What the thresholds reach on the training part, and on the rows that chose them: the held-out part, or with
        folds all rows by the models that did not see them (None if ``val_fraction=0``). For scores alone ``train``
        speaks of the rows given, which chose.
    baseline_train, baseline_validation : Report
        The same for candidate zero with its own threshold; None for scores alone.
    baseline_name : str
        What candidate zero is: the best epoch of the cross-entropy warm-up, or the model as it was passed,
        or, with folds, untrained.
    history : History
        What was reached after each epoch.
    selected_stage : str
        The stage of training that the returned weights come from, or of how many paths they are the average.
    solver : str
    seconds : float
        How long the training took.
    versions : dict of str to str
    data_scores : dict of str to DataScores
        The scores of the samples of ``"train"`` and, where some were held out, of ``"validation"``.
    slack : tuple of SlackAgreement, or None
        For solvers with explicit slacks: whether the slacks mean what the model does on the training data, for each
        label.
    prevalence : float, tuple of float, or None
        The fraction of positives that metrics and thresholds are meant for, one for all labels or one for each label.
        None stands for that of the data.
    certificates : tuple of LabelCertificate or ProgramCertificate, or None
        What was certified of each label, where :meth:`certify` gave the thresholds.
    classes : tuple of Classes or None, or None
        The two classes of each label that was not given as 0 and 1.
    candidates : tuple of Tried
        The models that were tried on the same folds, where there were several, with what each reached.
    """

    def with_bound(self, alpha: Bound | dict[str, float]) -> FitResult:
        """Return the same model at the threshold for another bound, without training.

        Training for that bound with :func:`metricopt.fit` can do better.

        Parameters
        ----------
        alpha : float, tuple of float or {label name: float}
            The other bound, one for all labels or one for each label.

        Raises
        ------
        InvalidInputError
            If the objective has no bound, or ``alpha`` is not a bound for its labels.
        """
        bound: Any = per_label("alpha", alpha, self.label_names)
        return self.chosen_anew(self.objective.with_bound(bound), self.data_scores)

    def at_prevalence(self, prevalence: float | Sequence[float] | Mapping[str, float]) -> FitResult:
        """Return the same model for another prevalence: thresholds are chosen anew and reports are weighted to it.

        This takes for granted that positives and negatives look the same there (:mod:`metricopt.problem.prevalence`).
        Training for that prevalence, ``fit(..., prevalence=...)``, can do better.

        Parameters
        ----------
        prevalence : float, sequence or {label name: float}, in (0, 1)
            The fraction of positives, one for all labels or one for each label.

        Raises
        ------
        InvalidInputError
            If a number is not in (0, 1) or does not fit the labels, or the data were a stream whose order changed.
        """
        meant = read_prevalence(prevalence, self.label_names)
        assert meant is not None
        return replace(self, prevalence=meant).chosen_anew(self.objective, scores_at(meant, self.data_scores))

    def chosen_anew(self, objective: Objective, data_scores: dict[str, DataScores]) -> FitResult:
        """Return the same model with thresholds that other scores choose, or that serve another objective.

        Parameters
        ----------
        objective : Objective
        data_scores : dict of str to DataScores
            What takes the place of :attr:`data_scores`.
        """
        rest = {
            name: getattr(self, name)
            for name in (
                *("label_names", "baseline_name", "history", "selected_stage", "solver", "seconds", "versions"),
                *("confidence", "holdout", "prevalence", "classes"),
            )
        }
        diverged = Status.DIVERGED in self.statuses
        return result_from_scores(self.model, objective, data_scores, diverged=diverged, **rest)

    def certify(
        self,
        calibration_data: Any,
        labels: Any = None,
        *,
        confidence: float = 0.9,
        groups: Sequence[Any] | None = None,
        subgroups: Any = None,
    ) -> Certificate[OneLabel, FitResult]:
        """Return thresholds whose bounds hold on new data with a stated confidence (Learn then Test).

        Of several bounds, also in subgroups, all hold together with this confidence. The statistics are those of
        :mod:`metricopt.evidence.certification` and :mod:`metricopt.evidence.program_certification`. This needs
        ``pip install 'metricopt[certify]'``. Where the evidence of the training supports no threshold, the empirical
        one is what is tested and called the tuned one.

        Parameters
        ----------
        calibration_data : DataLoader, Dataset of (x, y), or tuple (x, y)
            Samples that took no part in training or selection. They must be drawn as new ones will be; with a
            :attr:`prevalence`, the samples of each class must be. Samples that trained or chose are found by their
            score and label, and repeated ones by their inputs, unless chance makes as many equal
            (:mod:`metricopt.evidence.equal_rows`). Or inputs alone, with ``labels``; without a model: scores.
        labels : array, shape (n,) or (n, L), optional
            The same as for :meth:`evaluate`.
        confidence : float, in (0, 1)
            The least probability that the certified bound holds, for each label by itself, over the draw of these data.
        groups : sequence, shape (n,), optional
            Rows of equal value (a patient's images) are one sample: of each group one labelled row counts, drawn at
            random with a fixed seed. The guarantee then speaks of a random row of a new group, which is a random row of
            the new data where groups are of equal size. Rows of different groups are different samples, however equal
            their inputs are. No group may have rows in the training data as well, which cannot be seen here.
        subgroups : mapping of str to array of shape (n,), or a frame, optional
            The columns that a program names; left out for other objectives.

        Returns
        -------
        Certificate
            The certified threshold of each label, its guarantee in words, and what is given up for it. Where none could
            be certified it says what would be needed. Its ``result`` is this result at the certified thresholds.

        Raises
        ------
        InvalidInputError
            If the objective has no bound, or one that no number of rows can show; if subgroups have thresholds of their
            own; if most positives or most negatives are rows that trained or chose, or rows are repeated; if ``groups``
            does not give a value for every row, or a column of subgroups is missing.
        ImportError
            If MAPIE is not installed.

        Warns
        -----
        UserWarning
            If fewer positives or negatives, but more than by chance, are rows that trained or chose.
        """
        if isinstance(labels, float):
            reject("confidence", "given by its name", labels, f"pass confidence={labels:g}")
        tuned = np.where(np.isinf(self.thresholds), self.empirical_threshold, self.thresholds)
        certificates = calibration.certify(
            lambda: scored_and_numbered_pairs(
                calibration_data, labels, self.model, self.label_classes, self.label_names
            ),
            self.objective,
            tuned,
            self.data_scores,
            self.label_names,
            prevalence=self.prevalence,
            confidence=confidence,
            groups=groups,
            subgroups=subgroups,
        )
        thresholds = np.array([each.threshold for each in certificates])
        reports: dict[str, Any] = {
            data: part.report(part.model, thresholds, self.objective, self.label_names, self.prevalence)
            for data, part in self.data_scores.items()
        }
        statuses = calibration.certified_statuses(certificates, self.statuses)
        certified = replace(self, thresholds=thresholds, statuses=statuses, certificates=certificates, **reports)
        return Certificate(certificates, certified)


def load(path: str | Path, model: nn.Module | None = None) -> FitResult:
    """Read a result that :meth:`FitResult.save` wrote.

    Parameters
    ----------
    path : str or Path
        The folder.
    model : Module, optional
        A model of the same architecture, whose weights are replaced. For an average of several networks it is one of
        their architecture, and so it is for the mean of networks and boosted trees. It may be left out for a chain of
        linear layers, ReLU and Tanh, such as the models that have a name. It must be left out for a result of scores
        alone, and for classifiers of scikit-learn.

    Raises
    ------
    InvalidInputError
        If the folder holds no result, one of a later format, or weights of another architecture; if a model is missing
        or given in vain; if classifiers are of types that are not trusted.
    """
    return FitResult(**storage.load(Path(path), model))


def result_from_scores(
    model: AnyModel,
    objective: Objective,
    data_scores: dict[str, DataScores],
    *,
    label_names: tuple[str, ...],
    diverged: bool,
    confidence: float | None = None,
    slack: tuple[SlackAgreement, ...] | None = None,
    prevalence: Prevalence | None = None,
    **rest: Any,
) -> FitResult:
    """Choose the thresholds on the selection data and report on all data.

    A label that lacks positives or negatives in any of the data gets no threshold, because there is nothing to learn
    from or to choose by.

    Parameters
    ----------
    model, objective, label_names, confidence, slack, prevalence
        The attributes of the same names of :class:`FitResult`.
    data_scores : dict of str to DataScores
        The scores of ``"train"`` and, where samples were held out, of ``"validation"``, which then choose.
    diverged : bool
        Whether training ended on a loss that was not finite.
    **rest
        The remaining attributes.
    """
    chosen = choose_and_report(
        objective,
        data_scores,
        label_names=label_names,
        diverged=diverged,
        confidence=confidence,
        slack=slack,
        prevalence=prevalence,
    )
    return FitResult(
        model=model,
        objective=objective,
        confidence=confidence,
        label_names=label_names,
        data_scores=data_scores,
        slack=slack,
        prevalence=prevalence,
        **chosen,
        **rest,
    )
