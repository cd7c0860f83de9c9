"""The scikit-learn face: :func:`metricopt.fit` as a classifier, and an objective as what a search judges models by.

This file decides how scikit-learn's conventions are met; all training is :func:`metricopt.training.fit.fit`. It is
imported when one of its names is used, because it imports scikit-learn.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
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
from metricopt._validation import check_choice, reject
from metricopt.evidence.thresholds import ThresholdChoice, selection_criterion
from metricopt.problem.labels import has_both_classes
from metricopt.problem.metrics import Ranking, confusion_counts
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.problem.registry import REGISTRY, get_objective
from metricopt.results.status import Status
from metricopt.solvers import Solver
from metricopt.training.fit import fit
from metricopt.training.table_models import TABLE_MODELS, make_table_model

FULL_BATCH_EPOCHS = 1000
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class DirectMetricClassifier(ClassifierMixin, BaseEstimator):
    r"""A scikit-learn classifier of two classes, trained on the metric that its users answer for.

    .. math:: \max_{\theta, t} \; \text{objective}(f_\theta, t) \quad \text{s.t.} \quad \text{its bound}

    :func:`metricopt.fit` trains the model :math:`f_\theta` and solves the threshold t; ``predict`` applies both. The
    positive class is the second of ``classes_`` in sorted order, as everywhere in scikit-learn: of 0 and 1 it is 1, of
    "healthy" and "sick" it is "sick".

    Features should be of order 1: put a ``StandardScaler`` before the classifier in a ``Pipeline``.

    Parameters
    ----------
    objective : str or Objective
        ``"FPOR"``, ``"FROP"``, ``"OFBS"``, ``"OAP"``, ``"RecallAtFPR"``, ``"RecallAtAlarmRate"``, or an instance.
    alpha : float, in (0, 1]
        The bound of a bounded objective asked for by name; the others ignore it.
    beta : float, > 0
        The beta of OFBS asked for by name; the others ignore it.
    module : None, str, Module or callable ``(number of features) -> Module``
        What maps rows to a logit each: a linear model (None or ``"linear"``), ``"mlp"``, a copy of a module with the
        weights that it has, or what a callable makes (a lambda cannot be pickled, a function can).
    solver : str, Solver or loss
        As for :func:`metricopt.fit`, which is given a copy of it.
    epochs : int
        In total. By default 1,000 in full batches; in others as many as :func:`metricopt.fit` takes.
    learning_rate : float, > 0
        Of Adam; by default as for :func:`metricopt.fit`.
    batch_size : int, >= 1
        Rows a step, in random order. By default all: then integer weights equal repeated rows, up to rounding, with the
        default solver. Above some 100,000 rows batches of e.g. 1,024 are faster.
    val_fraction : float, in [0, 1)
        The share of rows held out to select model and threshold. By default 0, which is enough for a linear model
        where a cross-validation judges it; give 0.2 to a network, which can fit its training data too well.
    dtype : "float64" or "float32"
        The precision of features and weights.
    device : str or device
        Where to train and predict.
    random_state : int, RandomState or None
        Draws initial weights, batches and the held-out rows. The same int gives the same model.

    Attributes
    ----------
    result_ : FitResult
        The trained model, its status, reports and history.
    threshold_ : float
        On the scale of the model's logits; a row at or above it is predicted positive.
    classes_ : ndarray, shape (2,)
        The second is the positive class.
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (d,), of str
        Where the features came with names.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> x, y = load_breast_cancer(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), DirectMetricClassifier("FPOR", alpha=0.99, epochs=50, random_state=0))
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
        val_fraction: float = 0.0,
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
        self.val_fraction = val_fraction
        self.dtype = dtype
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> DirectMetricClassifier:
        """Train on the objective.

        Where the bound cannot be met, or the loss diverges, a ``UserWarning`` tells what is best, and
        ``result_.status`` says so.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)
            Finite numbers.
        y : array, shape (n,)
            Two values, numbers or strings.
        sample_weight : array, shape (n,), optional
            >= 0, in training, selection and threshold.

        Raises
        ------
        ValueError
            On bad parameters, and data that are not as above.
        """
        objective, dtype = self._asked(), self._checked_dtype()
        is_count = isinstance(self.batch_size, (int, np.integer)) and not isinstance(self.batch_size, bool)
        if self.batch_size is not None and not (is_count and self.batch_size >= 1):
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
            self._module(seed).to(dtype),
            loader,
            objective,
            val_fraction=self.val_fraction,
            solver=copy.deepcopy(self.solver),  # whose state moves
            epochs=FULL_BATCH_EPOCHS if is_whole and self.epochs is None else self.epochs,
            learning_rate=self.learning_rate,
            sample_weight=weight,
            seed=seed,
            device=self.device,
            progress=False,
        )
        if result.status in (Status.INFEASIBLE, Status.DIVERGED):
            warnings.warn(f"{result.status}: {result.advice()}", UserWarning, stacklevel=2)
        self.result_, self.threshold_ = result, result.threshold
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return by how much each row's logit exceeds what is still predicted negative.

        Positive exactly where the positive class is predicted. scikit-learn draws that line above 0 and metricopt at
        the threshold, so the difference is to the next number below the threshold.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)

        Returns
        -------
        ndarray, shape (n,), float64
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=self.dtype, reset=False)
        scores = self.result_.scores(X).astype(np.float64)
        return scores - np.nextafter(self.threshold_, -np.inf)

    def predict(self, X: Any) -> np.ndarray:
        """Return each row's class at the threshold.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)

        Returns
        -------
        ndarray, shape (n,)
        """
        is_positive = self.decision_function(X) > 0
        return self.classes_[is_positive.astype(np.intp)]

    def predict_proba(self, X: Any) -> np.ndarray:
        r"""Return confidences that sum to 1 and agree with ``predict``; **they are not calibrated**.

        The sigmoid of :meth:`decision_function`: above 0.5 exactly where the positive class is predicted, in the order
        of the scores. A model that is trained on a metric has no reason to give frequencies, and frequencies would not
        be cut at 0.5 by a bound on precision. For probabilities wrap the classifier in scikit-learn's
        ``CalibratedClassifierCV``; its predictions are then cut at 0.5, no longer at the threshold.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)

        Returns
        -------
        ndarray, shape (n, 2), float64
            In the order of ``classes_``.
        """
        decisions = self.decision_function(X)
        confidence = expit(decisions)
        # The sigmoid rounds to 0.5 just above 0.
        confidence[decisions > 0] = np.maximum(confidence[decisions > 0], np.nextafter(0.5, 1))
        return np.column_stack([1 - confidence, confidence])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the objective's own metric, or a number below 0 where its bound is missed: see ObjectiveScorer.

        To search over ``alpha`` pass ``scoring=ObjectiveScorer(...)`` with the bound that counts: models that are
        judged each by its own bound cannot be compared.

        Parameters
        ----------
        X : array or frame, shape (n, number of features)
        y : array, shape (n,)
        sample_weight : array, shape (n,), optional
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

    def _module(self, seed: int) -> nn.Module:
        kind = "linear" if self.module is None else self.module
        if isinstance(kind, nn.Module):
            return copy.deepcopy(kind)
        if isinstance(kind, str):
            check_choice("module", kind, TABLE_MODELS)
            return make_table_model(kind, self.n_features_in_, seed=seed)
        if not callable(kind):
            reject("module", "None, a name, a Module or a callable", repr(kind), "pass e.g. 'mlp'")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = kind(self.n_features_in_)
        if not isinstance(made, nn.Module):
            reject("module", "a callable that returns a Module", type(made).__name__, "return the network")
        return made


class ObjectiveScorer:
    r"""Judges any fitted classifier of two classes by an objective: ``scoring=`` of a scikit-learn search.

    The metric of the classifier's own predictions where they meet the bound. Where they miss it, the metric that the
    bound speaks of, minus 2 (its negative minus 2 for a bound from above; undefined counts as 0): below every number
    that a classifier within the bound can get, and the higher the nearer it comes. That is the order in which
    :func:`metricopt.fit` selects. In a mean over folds, one that misses the bound therefore weighs more than anything
    that is gained in another.

    Parameters
    ----------
    objective : str or Objective
        A name, with ``alpha`` or ``beta`` as for :func:`metricopt.fit`, or an instance. Average precision is that of
        ``decision_function``, or of ``predict_proba`` where there is none.
    alpha : float, in (0, 1]
    beta : float, > 0

    Raises
    ------
    InvalidInputError
        On an objective that is none.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> always = DummyClassifier(strategy="constant", constant=1).fit([[0], [0]], [0, 1])  # precision .5
    >>> [ObjectiveScorer("FPOR", alpha=alpha)(always, [[0], [0]], [0, 1]) for alpha in (0.5, 0.6)]
    [1.0, -1.5]
    """

    def __init__(self, objective: str | Objective, *, alpha: float | None = None, beta: float | None = None) -> None:
        (self.objective,) = get_objective(objective, alpha=alpha, beta=beta).for_labels(1)

    def __repr__(self) -> str:
        return f"ObjectiveScorer({self.objective!r})"

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score of a fitted classifier on data; NaN without positives.

        Parameters
        ----------
        estimator : classifier
            With ``classes_``, of which the second is positive, and ``predict``.
        X : array or frame, shape (n, number of features)
        y : array, shape (n,)
        sample_weight : array, shape (n,), optional
        """
        if len(estimator.classes_) != 2:
            reject("estimator", "of two classes", f"{len(estimator.classes_)}", "fit it on rows of two")
        positive = estimator.classes_[1]
        labels = (column_or_1d(y) == positive).astype(np.float64)
        alarms = (estimator.predict(X) == positive).astype(np.float64)
        counts = confusion_counts(alarms, labels, 0.5, sample_weight)
        if not counts.positives:
            return float("nan")
        scores = alarms if isinstance(self.objective, CountObjective) else _scores_of(estimator, X)
        value = self.objective.measure(Ranking.of(Samples.read(scores, labels, sample_weight), 0), counts)
        judged = self.objective.of_threshold
        feasible, bounded_value = judged.feasible(counts), judged.bounded_value(counts)
        choice = ThresholdChoice(0.5, np.nan_to_num(value), bounded_value, counts, feasible)
        return selection_criterion(choice, self.objective)[0]


def _scores_of(estimator: Any, X: Any) -> np.ndarray:
    ranks = hasattr(estimator, "decision_function")
    return estimator.decision_function(X) if ranks else estimator.predict_proba(X)[:, 1]
