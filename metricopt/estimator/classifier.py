"""Any model as a classifier of scikit-learn whose threshold serves an objective.

This file decides how scikit-learn's conventions are met. It leaves the training of torch models to
:func:`metricopt.training.fit.fit`, and that of classifiers to :mod:`metricopt.estimator.candidates`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from metricopt._validation import check_choice
from metricopt.data.sparse_rows import is_sparse
from metricopt.estimator.candidates import LabelledRows, Settings
from metricopt.estimator.given import (
    check_batch_size,
    checked_rows,
    checked_weight,
    dtype_of,
    folds_of,
    is_boosting,
    is_classifier,
    kinds_of,
    seed_of,
    takes_sparse,
)
from metricopt.estimator.scorer import ObjectiveScorer
from metricopt.estimator.target import Target, plain_target
from metricopt.estimator.training import best_of, train_one, with_blend
from metricopt.evidence.probabilities import Calibration
from metricopt.evidence.subgroups import read_subgroups
from metricopt.problem.objectives import Objective
from metricopt.problem.registry import REGISTRY, get_objective
from metricopt.results.result import FitResult
from metricopt.results.status import Status
from metricopt.scoring.blend import Blend
from metricopt.scoring.classifiers import FittedClassifiers
from metricopt.solvers import Solver
from metricopt.training.table_models import AUTO, BOOSTING


class DirectMetricClassifier(ClassifierMixin, BaseEstimator):
    r"""A scikit-learn classifier of two classes that serves the metric its users answer for, with any model.

    .. math:: \max_{\theta, t} \; \text{objective}(f_\theta, t) \quad \text{s.t.} \quad \text{its bound}

    A torch model :math:`f_\theta` is trained on the objective by :func:`metricopt.fit`. Boosted trees, or a classifier
    of scikit-learn, are trained as they are. Either way the objective chooses the threshold t by scores of rows that
    the model has not seen, and ``predict`` applies it.
    The positive class is ``pos_label``. If that is left out, it is 1 of 0 and 1, and the rarer one of any other two
    classes, as on the command line; ``positive_`` and the summary of the result name it.

    ``"linear"`` and ``"mlp"`` scale the features themselves: to mean 0 and standard deviation 1, or, where they are a
    sparse matrix, which then is never made dense, to a largest absolute value of 1. For a module of your own features
    should be of order 1: put a ``StandardScaler`` before the classifier in a ``Pipeline``.

    Parameters
    ----------
    objective : str or Objective
        ``"FPOR"``, ``"FROP"``, ``"OFBS"``, ``"OAP"``, ``"RecallAtFPR"``, ``"RecallAtAlarmRate"``, or an instance. Or a
        :class:`~metricopt.Program`, or its sentence; the columns of subgroups that it names are given to ``fit``.
    alpha : float, in (0, 1]
        The bound of an objective that is given by name. Objectives without a bound ignore it.
    beta : float, > 0
        The beta of OFBS, if it is given by name. Other objectives ignore it.
    model : str, classifier, Module or callable ``(number of features) -> Module``
        What gives each row a score. Trained on the objective: ``"linear"``, ``"mlp"``, a copy of a module with its
        weights, or the module that a callable returns (a lambda cannot be pickled, a function can). Trained as they
        are: ``"boosting"`` (``HistGradientBoostingClassifier``), or any classifier of two classes with
        ``decision_function`` or ``predict_proba``, also a ``Pipeline`` over mixed columns, XGBoost or LightGBM; it is
        cloned. ``"auto"`` trains a linear model, an MLP and boosting on the same folds. Of these, and of the mean of
        MLP and boosting, it takes the best by their out-of-fold scores (``candidates_`` tells how they compare).
        Boosting takes no sparse matrix; ``"auto"`` then leaves it out, and ``candidates_`` says so.
    solver : str, Solver or loss
        The solver, as for :func:`metricopt.fit`, which gets a copy of it.
    epochs : int
        The number of epochs of a torch model in total. The default is 1,000 in full batches, and in other batches the
        default of :func:`metricopt.fit`.
    learning_rate : float, > 0
        Learning rate of the Adam optimizer. The default is that of :func:`metricopt.fit`.
    batch_size : int, >= 1
        The number of rows in a batch of a torch model, in random order. By default it is all rows for a linear model of
        up to 10,000 rows and where the training rows choose (``val_fraction=0``), else 256, and 1,024 above 50,000
        rows. With all rows, the default solver and ``val_fraction=0``, an integer weight has the effect of repeated
        rows, up to rounding.
    folds : "auto", int, splitter, array or None
        The rows that choose the threshold. By default there are 5 stratified folds: every row trains, and is judged by
        models that did not see it. Where a class has too few rows for that, or ``model`` is a module with weights of
        its own, a part is held out instead (``result_.holdout`` says so). None never takes folds.
    confidence : "auto", float in (0, 1), or None
        How sure the bound must be on new rows, as for :func:`metricopt.fit`.
    val_fraction : float, in [0, 1)
        The fraction of the rows that is held out to choose model and threshold, instead of folds. With 0 the training
        rows choose, and the bound is often missed on new rows.
    pos_label : optional
        The class to find. With it ``y`` may have several classes, and this one is told from the rest: ``predict`` then
        returns ``pos_label``, or "not" with its name. To tell all of several classes apart, wrap the classifier in
        ``sklearn.multiclass.OneVsRestClassifier``.
    dtype : "float64" or "float32"
        The precision of features and weights.
    device : str or device
        The device on which to train and predict.
    random_state : int, RandomState or None
        The source of initial weights, batches and held-out rows. The same int gives the same model.

    Attributes
    ----------
    result_ : FitResult
        The model and its threshold with status, reports and pictures; ``result_.save(path)`` writes all of it. For
        classifiers of scikit-learn its model is :class:`~metricopt.scoring.classifiers.FittedClassifiers`, for the mean
        of MLP and boosting a :class:`~metricopt.scoring.blend.Blend`.
    threshold_ : float
        The threshold on the model's scores. A row at or above it is predicted positive.
    models_ : tuple
        The classifiers that were fitted, one a fold, whose scores are averaged; empty for a torch model. With
        ``"auto"`` boosting may be one half of the model.
    candidates_ : tuple of str
        With ``"auto"`` a line for each model that was tried, with what it reaches at its own threshold on rows that it
        has not seen, the chosen one marked; empty otherwise. Models are compared by their best cuts on these rows.
    classes_ : ndarray, shape (2,)
        The two classes in sorted order; of several classes, what is not ``pos_label``, and ``pos_label``.
    positive_ : object
        The class that is positive.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray, shape (d,), of str
        The names of the features, if the training features had names.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> x, y = load_breast_cancer(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), DirectMetricClassifier("FPOR", alpha=0.95, epochs=50, random_state=0))
    >>> model.fit(x, y)[-1].result_.status
    <Status.FEASIBLE: 'feasible'>
    """

    result_: Any
    classes_: np.ndarray
    positive_: Any
    n_features_in_: int

    def __init__(
        self,
        objective: str | Objective = "FPOR",
        alpha: float | None = 0.9,
        beta: float | None = 1.0,
        model: Any = "linear",
        *,
        solver: str | Solver | Callable[[Tensor, Tensor], Tensor] = "profiled",
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        folds: Any = "auto",
        confidence: float | str | None = "auto",
        val_fraction: float | None = None,
        pos_label: Any = None,
        dtype: str = "float64",
        device: str | torch.device = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.objective = objective
        self.alpha = alpha
        self.beta = beta
        self.model = model
        self.solver = solver
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.folds = folds
        self.confidence = confidence
        self.val_fraction = val_fraction
        self.pos_label = pos_label
        self.dtype = dtype
        self.device = device
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, subgroups: Any = None
    ) -> DirectMetricClassifier:
        """Train the model, and choose its threshold by rows that it has not seen.

        Where the rows do not support the bound, or the loss diverges, a ``UserWarning`` tells what is missing, and
        ``result_.status`` says so. The classifier then predicts the positive class nowhere for a bound on precision or
        on a rate, and everywhere for a bound on recall; ``result_.empirical_threshold`` is the best cut all the same.

        Parameters
        ----------
        X : array, frame or sparse matrix, shape (n, number of features)
            The features: finite numbers for the models that have names and for modules (boosting takes NaN as well);
            what it takes for a classifier. A sparse matrix is for ``"linear"``, ``"mlp"``, ``"auto"`` and classifiers.
        y : array, shape (n,)
            The class of each row, as a number or a string: two classes, or several with ``pos_label``.
        sample_weight : array, shape (n,), optional
            Weights >= 0, which count in training, selection and the choice of the threshold. A classifier that takes
            none is trained without them, with a warning.
        groups : sequence, shape (n,), optional
            Rows of equal value (a patient's images, say) lie in one fold, and testify as one.
        subgroups : mapping of str to array of shape (n,), or a frame
            The columns that a :class:`~metricopt.Program` names, such as ``{"site": sites}``; if it names one, its
            array. They are no features unless ``X`` has them, too.

        Returns
        -------
        DirectMetricClassifier
            The classifier itself.

        Raises
        ------
        ValueError
            If a parameter cannot be used, or the data are not as above.
        """
        objective, dtype = self._asked(), dtype_of(self.dtype)
        check_batch_size(self.batch_size)
        kinds = kinds_of(self.model)
        X, y = self._checked_rows(X, plain_target(y), reset=True)
        self._left_out = (BOOSTING,) if self.model == AUTO and is_sparse(X) else ()
        kinds = {name: model for name, model in kinds.items() if name not in self._left_out}
        target = Target.of(y, self.pos_label)
        self.classes_, self.positive_, self._is_second = target.classes, target.positive, target.is_second
        weight = checked_weight(sample_weight, X, target.labels)
        columns = read_subgroups(subgroups, objective.columns, len(target.labels))
        rows = LabelledRows(X, target.labels, weight, groups, target.label, columns)
        seed = seed_of(self.random_state)
        folds = folds_of(self.model, self.folds, self.val_fraction, rows, seed)
        settings = Settings(
            folds=folds,
            asked_folds=self.folds,
            val_fraction=self.val_fraction,
            confidence=self.confidence,
            solver=self.solver,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            batch_size=self.batch_size,
            dtype=dtype,
            device=self.device,
            seed=seed,
            rest={"progress": False},
        )
        results = {name: train_one(name, model, rows, objective, settings) for name, model in kinds.items()}
        result = (
            best_of(with_blend(results, objective), objective) if len(results) > 1 else next(iter(results.values()))
        )
        self._keep(replace(result, classes=(target.names,)))
        if self.result_.status in (Status.UNSUPPORTED, Status.INFEASIBLE, Status.DIVERGED):
            warnings.warn(f"{self.result_.status}: {self.result_.advice()}", UserWarning, stacklevel=2)
        return self

    def decision_function(self, X: Any, subgroups: Any = None) -> np.ndarray:
        """Return by how much the score of each row exceeds the largest score that is predicted negative.

        The value is above 0 exactly where the second of ``classes_`` is predicted, as scikit-learn has it. Where that
        is the positive class, the next number below the threshold is subtracted, because metricopt raises an alarm at
        the threshold. Where the positive class is the first one, the value is by how much the threshold exceeds the
        score. Where the threshold is infinite, because the rows support the bound nowhere, the value is the logarithm
        of the sigmoid of the score (no alarm), or minus that of its complement (an alarm for every row), with the same
        sign.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)
            The features.
        subgroups : mapping of str to array of shape (n,), or a frame
            The column of subgroups where each has a threshold of its own (``threshold_per`` of a program), else left
            out. A subgroup that chose none gets the shared threshold, with a warning.

        Returns
        -------
        ndarray, shape (n,), float64
        """
        check_is_fitted(self)
        scores = self._scores(self._checked_rows(X))
        limits, sign = self._limits(subgroups, len(scores)), 1 if self._is_second else -1
        beyond = scores - np.nextafter(limits, -np.inf) if self._is_second else limits - scores
        # No alarm: below 0 everywhere, in the order of the scores.
        nowhere = sign * np.minimum(-np.logaddexp(0, -scores), -np.finfo(np.float64).tiny)
        everywhere = sign * np.maximum(np.logaddexp(0, scores), np.finfo(np.float64).tiny)
        return np.select([np.isposinf(limits), np.isneginf(limits)], [nowhere, everywhere], beyond)

    def predict(self, X: Any, subgroups: Any = None) -> np.ndarray:
        """Return the class of each row, as the threshold decides it.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)
            The features.
        subgroups
            The same as for :meth:`decision_function`.

        Returns
        -------
        ndarray, shape (n,)
        """
        is_second = self.decision_function(X, subgroups) > 0
        return self.classes_[is_second.astype(np.intp)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return how probable either class is, by the scores of rows that the model had not seen.

        Logistic regression of the rows that chose the threshold on their scores (Platt scaling), or isotonic regression
        where there are many, makes the log-odds (:mod:`metricopt.evidence.probabilities`): of the out-of-fold scores,
        with folds. With ``val_fraction=0`` these are the training rows, whose probabilities are too extreme.

        ``predict`` follows the threshold, not the larger probability. At a bound on precision of 0.9 a row of
        probability 0.6 is no alarm.

        Parameters
        ----------
        X : array, frame or sparse matrix, shape (n, number of features)
            The features.

        Returns
        -------
        ndarray, shape (n, 2), float64
            The probabilities in the order of ``classes_``.

        References
        ----------
        J. Platt (1999). Probabilistic outputs for support vector machines and comparisons to regularized likelihood
        methods. Advances in Large Margin Classifiers.
        """
        check_is_fitted(self)
        probability = self._calibration(self._scores(self._checked_rows(X)))
        columns = [1 - probability, probability]
        return np.column_stack(columns if self._is_second else columns[::-1])

    def score(self, X: Any, y: Any, sample_weight: Any = None, subgroups: Any = None) -> float:
        """Return the metric of the objective, or a number below 0 where its bound is missed (:class:`ObjectiveScorer`).

        To search over ``alpha``, pass ``scoring=ObjectiveScorer(...)`` with the bound that you need. Otherwise each
        model would be judged by its own bound, and the models could not be compared.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)
            The features.
        y : array, shape (n,)
            The true class of each row.
        sample_weight : array, shape (n,), optional
            Weights >= 0.
        subgroups : mapping of str to array of shape (n,), or a frame
            The columns that a program names; left out for other objectives.
        """
        check_is_fitted(self)
        return ObjectiveScorer(self.result_.objective)(self, X, y, sample_weight, subgroups)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        if is_classifier(self.model):
            tags.input_tags = get_tags(self.model).input_tags
        tags.input_tags.sparse = tags.input_tags.sparse or takes_sparse(self.model)
        tags.input_tags.allow_nan = tags.input_tags.allow_nan or is_boosting(self.model)
        return tags

    def _asked(self) -> Objective:
        if isinstance(self.objective, Objective):
            return self.objective
        if len(self.objective.split()) > 1:  # the sentence of a program
            return get_objective(self.objective)
        check_choice("objective", self.objective, REGISTRY)
        given = {short: getattr(self, short) for short in REGISTRY[self.objective].short_arguments()}
        return get_objective(self.objective, **given)

    def _checked_rows(self, X: Any, *y: Any, reset: bool = False) -> Any:
        return checked_rows(self, X, *y, model=self.model, dtype=self.dtype, reset=reset)

    def _keep(self, result: FitResult) -> None:
        self.result_, self.threshold_ = result, result.threshold
        fitted = result.model.classifiers if isinstance(result.model, Blend) else result.model
        self.models_ = fitted.models if isinstance(fitted, FittedClassifiers) else ()
        left_out = [f"{name}: left out, because it takes no sparse matrix" for name in self._left_out]
        self.candidates_ = (*map(str, result.candidates), *left_out)
        part = result.selection_scores
        self._calibration = Calibration.of(part.scores[:, 0], part.labels[:, 0], part.weight_of(0))

    def _limits(self, subgroups: Any, num_rows: int) -> np.ndarray:
        """Return the threshold of each row."""
        per = self.result_.threshold_per
        if per is None:
            return np.full(num_rows, self.threshold_)
        columns = read_subgroups(subgroups, [per], num_rows, strict=False)
        limits: np.ndarray = self.result_.choice.of_rows(columns, per, num_rows)[:, 0]
        return limits

    def _scores(self, X: Any) -> np.ndarray:
        """Return the score of each row, shape (n,), on the scale of ``threshold_``."""
        return np.asarray(self.result_.scores(X), dtype=np.float64)
