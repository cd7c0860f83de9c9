"""What a training returns: the model, its threshold, and what both are worth on which data.

This file decides what a result can do with its model. What it shows without the model is in
:mod:`metricopt.results.outcome`. The other modules of this folder take attributes of a result, never the result itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from metricopt._arrays import Array
from metricopt._validation import per_label, reject
from metricopt.evidence.certificates import Certificate, OneLabel
from metricopt.evidence.reports import Report, evaluate
from metricopt.evidence.subgroups import read_subgroups
from metricopt.problem.objectives import Bound, Objective
from metricopt.problem.prevalence import Prevalence, read_prevalence, weights_at
from metricopt.results import calibration, storage, words
from metricopt.results.export import export
from metricopt.results.given import AnyModel, reject_without_model, scored_and_numbered_pairs, scored_pairs, scores_of
from metricopt.results.outcome import Outcome
from metricopt.results.page import write_page
from metricopt.results.scores import DataScores, kept_labels, scores_at, selection_scores
from metricopt.results.status import Status, status_of
from metricopt.solvers import WARMUP
from metricopt.solvers.agreement import SlackAgreement


@dataclass(frozen=True, kw_only=True, repr=False)
class FitResult(Outcome):
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

    def save(self, path: str | Path) -> Path:
        """Write the result to a folder: weights and scores as safetensors, all else as JSON, nothing pickled.

        Classifiers of scikit-learn, LightGBM, XGBoost and CatBoost are written by skops, and read only if they hold no
        other types than those that :data:`metricopt.results.classifier_files.TRUSTED` lists.

        An existing result there is replaced at once, when all is written; a failed save leaves it as it was. In a
        launch of several processes, the main one writes.

        Parameters
        ----------
        path : str or Path
            The folder.

        Raises
        ------
        InvalidInputError
            If the path exists and holds anything but a result, or a classifier holds a type that is not trusted.
        """
        return storage.save(Path(path), vars(self))

    def export(self, path: str | Path, example: Any = None) -> Path:
        """Write model and thresholds to one ONNX file with the outputs ``scores`` and ``decisions`` (1 is an alarm).

        The outputs have the shapes of :meth:`scores` and :meth:`predict`, for any number of rows. A label without a
        threshold never raises an alarm. Inputs are named as the model's keywords, or ``x`` (``x0``, ``x1``, ...). The
        metadata hold objective, label names, thresholds and versions. Scores are compared with torch's before the file
        takes its place: they agree to 1e-5. This needs ``pip install 'metricopt[onnx]'``.

        Parameters
        ----------
        path : str or Path
            The file; one that exists is replaced.
        example : optional
            Inputs as for :meth:`scores`, of which the first batch is enough. A model that begins with a linear layer
            needs none.

        Raises
        ------
        InvalidInputError
            If no example is given though the model needs one, it does not fit the model, or the model cannot be
            exported; if there is no model.
        ImportError
            If the packages are missing.
        """
        if self.threshold_per is not None:
            got, remedy = f"one a {self.threshold_per}", "ask for one threshold for all rows"
            reject("the result", "one with a single threshold to be exported", got, remedy)
        if not isinstance(self.model, nn.Module):
            reject_without_model("export", self.model)
        return export(
            Path(path),
            self.model,
            self.thresholds,
            example,
            objective=self.objective,
            label_names=self.label_names,
            statuses=self.statuses,
            alarm_rule=self.alarm_rule,
            versions=self.versions,
        )

    def report(
        self,
        path: str | Path,
        test: Report | None = None,
        *,
        compare: Mapping[str, Sequence[Report]] | None = None,
        probabilities: Mapping[str, Array] | None = None,
        usage: str | None = None,
        columns: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> Path:
        """Write one HTML page with everything that a reader of the result asks; it can be read offline and printed.

        Parameters
        ----------
        path : str or Path
            The file; one that exists is replaced.
        test : Report, optional
            What :meth:`evaluate` returned on new data, with its subgroups where it has some. The pictures are then of
            these data.
        compare : dict of str to sequence of Report, optional
            The reports of other methods by name. Each stands beside that of this result on the data of the same name.
        probabilities : dict of str to array of shape (n,), optional
            Probabilities of other models on the rows of ``test``, e.g. ``{"cross-entropy": other.probabilities(x)}``.
            The decision curve, of a result of one label, has a line for each.
        usage : str, optional
            The lines that the page gives for applying the model. By default they load what :meth:`save` wrote.
        columns : dict of str to str, optional
            Which columns of a table were used and how, for example ``{"numeric (2)": "age, pressure"}``.
        notes : sequence of str
            Sentences on the data.

        Raises
        ------
        InvalidInputError
            If ``test`` is a report on other labels, or the path is a folder; if there are ``probabilities``, and no
            decision curve of as many rows to draw them into.
        """
        others = self._checked_probabilities(probabilities or {}, test)
        return write_page(
            Path(path),
            self.objective,
            self._outcomes,
            self._methods,
            self.data_scores,
            draw=lambda label: self.pictures(label, test, others),
            alarm_rule=self.alarm_rule,
            training=self._told_of_training,
            versions=self.versions,
            test=test,
            compare=compare,
            usage=usage,
            columns=columns or {},
            notes=notes,
            candidates=self.candidates,
        )

    def _checked_probabilities(self, probabilities: Mapping[str, Array], test: Report | None) -> Mapping[str, Array]:
        """Return probabilities of other models, or say why they cannot be drawn."""
        if not probabilities:
            return probabilities
        if test is None or test.scored is None or len(self.label_names) > 1 or self.calibrations[0] is None:
            got, remedy = "a page without a decision curve", "give test=result.evaluate(...) of one label"
            reject("probabilities", "given with a report on new rows", got, remedy)
        num_rows = len(test.scored.labels)
        for name, own in probabilities.items():
            if len(own) != num_rows:
                rule, remedy = f"one a row of test ({num_rows})", "score the same rows"
                reject(f"probabilities[{name!r}]", rule, f"{len(own)} values", remedy)
        return probabilities

    @property
    def _told_of_training(self) -> dict[str, str]:
        """What the page says of the training, one line of a table for each."""
        if self.model is None:
            return {}
        if not isinstance(self.model, nn.Module):
            return {"model": str(self.model), "judged by": self.holdout, "time": f"{self.seconds:.1f} s"}
        num_weights = sum(parameter.numel() for parameter in self.model.parameters())
        return {
            "model": f"{type(self.model).__name__}, {num_weights:,} weights",
            "solver": self.solver,
            "judged by": self.holdout,
            "weights from": self.selected_stage,
            **({"found": words.nothing_better(self._outcomes)} if self.selected_stage == WARMUP else {}),
            "epochs": str(len(self.history) // len(self.label_names)),
            "time": f"{self.seconds:.1f} s",
        }


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
    kept, chosen_on = kept_labels(data_scores), selection_scores(data_scores)
    choice = chosen_on.choose(chosen_on.model, objective, kept, confidence)
    zero = chosen_on.baseline and chosen_on.choose(chosen_on.baseline, objective, kept, confidence)
    given = objective, label_names, prevalence
    reports: dict[str, Any] = {"validation": None, "baseline_train": None, "baseline_validation": None}
    for data, part in data_scores.items():
        reports[data] = part.report(part.model, choice.threshold, *given, choice)
        if zero and part.baseline:
            reports[f"baseline_{data}"] = part.report(part.baseline, zero.threshold, *given, zero)
    statuses = tuple(
        status_of(
            diverged=diverged,
            has_both_classes=bool(kept[label]),
            feasible=bool((choice.empirical or choice).feasible[label]),
            supported=choice.supported is None or bool(choice.supported[label]),
            slack_holds=slack is None or slack[label].holds,
            bounded=bool(single.bounds),
        )
        for label, single in enumerate(objective.for_labels(len(label_names)))
    )
    return FitResult(
        model=model,
        objective=objective,
        confidence=confidence,
        label_names=label_names,
        thresholds=choice.threshold,
        statuses=statuses,
        data_scores=data_scores,
        slack=slack,
        prevalence=prevalence,
        **reports,
        **rest,
    )
