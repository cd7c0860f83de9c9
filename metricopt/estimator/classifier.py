"""The interface to scikit-learn: :func:`metricopt.fit` as a classifier, and an objective as ``scoring=`` of a search.

This file decides how scikit-learn's conventions are met. It leaves all training to
:func:`metricopt.training.fit.fit`. It is imported when one of its names is used, because it imports scikit-learn.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt._arrays import Samples
from metricopt._validation import check_choice, is_integer, reject
from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.thresholds import selection_criterion
from metricopt.problem.labels import has_both_classes
from metricopt.problem.metrics import Ranking, confusion_counts
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.problem.registry import REGISTRY, get_objective
from metricopt.results.status import Status
from metricopt.solvers import Solver
from metricopt.training.fit import fit
from metricopt.training.table_models import TABLE_MODELS

FULL_BATCH_EPOCHS = 1000
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class DirectMetricClassifier(ClassifierMixin, BaseEstimator):
    r"""A scikit-learn classifier of two classes, trained on the metric that its users answer for.

    .. math:: \max_{\theta, t} \; \text{objective}(f_\theta, t) \quad \text{s.t.} \quad \text{its bound}

    :func:`metricopt.fit` trains the model :math:`f_\theta` and chooses the threshold t, and ``predict`` applies both.
    As everywhere in scikit-learn, the positive class is the second of ``classes_``, which are sorted: of 0 and 1 it is
    1, of "healthy" and "sick" it is "sick".

    Features should be of order 1: put a ``StandardScaler`` before the classifier in a ``Pipeline``.

    Parameters
    ----------
    objective : str or Objective
        ``"FPOR"``, ``"FROP"``, ``"OFBS"``, ``"OAP"``, ``"RecallAtFPR"``, ``"RecallAtAlarmRate"``, or an instance.
    alpha : float, in (0, 1]
        The bound of an objective that is given by name. Objectives without a bound ignore it.
    beta : float, > 0
        The beta of OFBS, if it is given by name. Other objectives ignore it.
    module : None, str, Module or callable ``(number of features) -> Module``
        The model that maps each row to a logit: a linear model (None or ``"linear"``), ``"mlp"``, a copy of a module
        with its weights, or the module that a callable returns (a lambda cannot be pickled, a function can).
    solver : str, Solver or loss
        The solver, as for :func:`metricopt.fit`, which gets a copy of it.
    epochs : int
        The number of epochs in total. The default is 1,000 in full batches, and in other batches the default of
        :func:`metricopt.fit`.
    learning_rate : float, > 0
        Learning rate of the Adam optimizer. The default is that of :func:`metricopt.fit`.
    batch_size : int, >= 1
        The number of rows in a batch, in random order. By default it is all rows; then, with the default solver and
        ``val_fraction=0``, an integer weight has the effect of repeated rows, up to rounding. Above some 100,000 rows
        batches of e.g. 1,024 are faster.
    folds : "auto", int, splitter, array or None
        The rows that choose the threshold. By default there are 5 stratified folds: every row trains, and is judged by
        models that did not see it. Where a class has too few rows for that, or ``module`` is a module with weights of
        its own, a part is held out instead (``result_.holdout`` says so). None never takes folds.
    confidence : "auto", float in (0, 1), or None
        How sure the bound must be on new rows, as for :func:`metricopt.fit`.
    val_fraction : float, in [0, 1)
        The fraction of the rows that is held out to choose model and threshold, instead of folds. With 0 the training
        rows choose, and the bound is often missed on new rows.
    dtype : "float64" or "float32"
        The precision of features and weights.
    device : str or device
        The device on which to train and predict.
    random_state : int, RandomState or None
        The source of initial weights, batches and held-out rows. The same int gives the same model.

    Attributes
    ----------
    result_ : FitResult
        The trained model, its status, reports and history.
    threshold_ : float
        The threshold on the model's logits. A row at or above it is predicted positive.
    classes_ : ndarray, shape (2,)
        The two classes, of which the second is positive.
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
    n_features_in_: int

    def __init__(
        self,
        objective: str | Objective = "FPOR",
        alpha: float | None = 0.9,
        beta: float | None = 1.0,
        module: str | nn.Module | Callable[[int], nn.Module] | None = None,
        *,
        solver: str | Solver | Callable[[Tensor, Tensor], Tensor] = "profiled",
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        folds: Any = "auto",
        confidence: float | str | None = "auto",
        val_fraction: float | None = None,
        dtype: str = "float64",
        device: str | torch.device = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.objective = objective
        self.alpha = alpha
        self.beta = beta
        self.module = module
        self.solver = solver
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.folds = folds
        self.confidence = confidence
        self.val_fraction = val_fraction
        self.dtype = dtype
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> DirectMetricClassifier:
        """Train on the objective.

        Where the rows do not support the bound, or the loss diverges, a ``UserWarning`` tells what is missing, and
        ``result_.status`` says so. The classifier then predicts the positive class nowhere for a bound on precision or
        on a rate, and everywhere for a bound on recall; ``result_.empirical_threshold`` is the best cut all the same.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)
            The features, which are finite numbers.
        y : array, shape (n,)
            The class of each row: two values, numbers or strings.
        sample_weight : array, shape (n,), optional
            Weights >= 0, which count in training, selection and the choice of the threshold.

        Returns
        -------
        DirectMetricClassifier
            The classifier itself.

        Raises
        ------
        ValueError
            If a parameter cannot be used, or the data are not as above.
        """
        objective, dtype = self._asked(), self._checked_dtype()
        if self.batch_size is not None and not (is_integer(self.batch_size) and self.batch_size >= 1):
            reject(
                "batch_size", "None or an integer >= 1", repr(self.batch_size), "give e.g. 256, or None for all rows"
            )
        X, y = validate_data(self, X, y, dtype=self.dtype)
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            reject("y", "of two classes", f"1 class ({self.classes_[0]!r})", "add rows of the other one")
        weight = self._checked_weight(sample_weight, X, labels)

        is_whole = self.batch_size is None
        loader = DataLoader(
            TensorDataset(torch.tensor(X), torch.from_numpy(labels).to(dtype)),
            batch_size=len(X) if is_whole else int(self.batch_size),  # type: ignore[arg-type]
            shuffle=not is_whole,
        )
        seed = self._seed()
        result = fit(
            self._model(seed, dtype),
            loader,
            objective,
            folds=self.folds,
            confidence=self.confidence,
            val_fraction=self.val_fraction,
            solver=copy.deepcopy(self.solver),  # whose state moves
            epochs=FULL_BATCH_EPOCHS if is_whole and self.epochs is None else self.epochs,
            learning_rate=self.learning_rate,
            sample_weight=weight,
            seed=seed,
            device=self.device,
            progress=False,
        )
        if result.status in (Status.UNSUPPORTED, Status.INFEASIBLE, Status.DIVERGED):
            warnings.warn(f"{result.status}: {result.advice()}", UserWarning, stacklevel=2)
        self.result_, self.threshold_ = result, result.threshold
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return by how much the logit of each row exceeds the largest logit that is predicted negative.

        The value is positive exactly where the positive class is predicted. scikit-learn predicts it above 0, and
        metricopt at or above the threshold. So the next number below the threshold is subtracted. Where the threshold
        is infinite, because the rows support the bound nowhere, the value is the logarithm of the sigmoid of the logit
        (no alarm), or minus that of its complement (an alarm for every row).

        Parameters
        ----------
        X : array or frame, shape (n, number of features)
            The features.

        Returns
        -------
        ndarray, shape (n,), float64
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=self.dtype, reset=False)
        scores = self.result_.scores(X).astype(np.float64)
        if np.isposinf(self.threshold_):  # no alarm: below 0 everywhere, in the order of the scores
            return np.minimum(-np.logaddexp(0, -scores), -np.finfo(np.float64).tiny)
        if np.isneginf(self.threshold_):
            return np.maximum(np.logaddexp(0, scores), np.finfo(np.float64).tiny)
        return scores - np.nextafter(self.threshold_, -np.inf)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each row, as the threshold decides it.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)
            The features.

        Returns
        -------
        ndarray, shape (n,)
        """
        is_positive = self.decision_function(X) > 0
        return self.classes_[is_positive.astype(np.intp)]

    def predict_proba(self, X: Any) -> np.ndarray:
        r"""Return confidences that sum to 1 and agree with ``predict``; **they are not calibrated**.

        They are the sigmoid of :meth:`decision_function`. So they have the order of the scores, and exceed 0.5 exactly
        where the positive class is predicted. A model that is trained on a metric does not estimate frequencies, and
        with a bound on precision the threshold would not be at a frequency of 0.5. For probabilities, wrap the
        classifier in scikit-learn's ``CalibratedClassifierCV``. Its predictions then depend on 0.5 and no longer on the
        threshold.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)
            The features.

        Returns
        -------
        ndarray, shape (n, 2), float64
            The confidences in the order of ``classes_``.
        """
        decisions = self.decision_function(X)
        confidence = expit(decisions)
        # The sigmoid rounds to 0.5 just above 0.
        confidence[decisions > 0] = np.maximum(confidence[decisions > 0], np.nextafter(0.5, 1))
        return np.column_stack([1 - confidence, confidence])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
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
        """
        check_is_fitted(self)
        return ObjectiveScorer(self.result_.objective)(self, X, y, sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _asked(self) -> Objective:
        if isinstance(self.objective, Objective):
            return self.objective
        check_choice("objective", self.objective, REGISTRY)
        given = {short: getattr(self, short) for short in REGISTRY[self.objective].short_arguments()}
        return get_objective(self.objective, **given)

    def _checked_dtype(self) -> torch.dtype:
        check_choice("dtype", self.dtype, _DTYPES)
        return _DTYPES[self.dtype]

    def _checked_weight(self, sample_weight: Any, X: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        if sample_weight is None:
            return None
        weight = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
        weight = column_or_1d(weight)
        check_consistent_length(X, weight)
        if (weight < 0).any():
            reject("sample_weight", ">= 0", f"{weight.min():g}", "give 0 to leave a row out")
        if not has_both_classes(labels[:, np.newaxis], weight[:, np.newaxis]).all():
            got = "none but weights of zero for one of them"
            reject("sample_weight", "above 0 for a row of each class", got, "give some row of it a weight")
        return weight

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _model(self, seed: int, dtype: torch.dtype) -> nn.Module | Callable[[], nn.Module]:
        """Return a copy of the module that was given, or what makes one afresh."""
        kind, num_features = "linear" if self.module is None else self.module, self.n_features_in_
        if isinstance(kind, nn.Module):
            return copy.deepcopy(kind).to(dtype)
        if isinstance(kind, str):
            check_choice("module", kind, TABLE_MODELS)
            make: Callable[[], nn.Module] = partial(TABLE_MODELS[kind], num_features)
        elif callable(kind):
            make = partial(kind, num_features)
        else:
            reject("module", "None, a name, a Module or a callable", repr(kind), "pass e.g. 'mlp'")

        def model() -> nn.Module:
            made = make()
            if not isinstance(made, nn.Module):
                reject("module", "a callable that returns a Module", type(made).__name__, "return the network")
            return made.to(dtype)

        return model
