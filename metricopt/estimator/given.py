"""What a user gives to the classifier: its model, rows, weights and folds, checked before anything is trained.

This file decides what each kind of model takes. It leaves the positive class to :mod:`metricopt.estimator.target`, and
training to :mod:`metricopt.estimator.training`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_array, check_consistent_length, validate_data
from torch import nn

from metricopt._validation import check_choice, is_integer, reject
from metricopt.data.sparse_rows import is_sparse
from metricopt.estimator.candidates import LabelledRows
from metricopt.estimator.classifiers import check_classifier
from metricopt.estimator.training import shared_folds
from metricopt.problem.labels import has_both_classes
from metricopt.training.table_models import AUTO, BOOSTING, NAMED

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def is_boosting(model: Any) -> bool:
    """Say whether a model is the name of boosted trees."""
    return isinstance(model, str) and model == BOOSTING


def takes_sparse(model: Any) -> bool:
    """Say whether a model is a name whose model takes a sparse matrix."""
    return isinstance(model, str) and model != BOOSTING


def is_classifier(model: Any) -> bool:
    """Say whether a model is an estimator of scikit-learn."""
    return hasattr(model, "fit") and not isinstance(model, (nn.Module, type))


def kinds_of(model: Any) -> dict[str, Any]:
    """Return what is trained by its name, the simpler first."""
    if isinstance(model, str):
        check_choice("model", model, [*NAMED, AUTO])
        return {name: name for name in (NAMED if model == AUTO else [model])}
    if isinstance(model, nn.Module) or (callable(model) and not hasattr(model, "fit")):
        return {"module": model}
    if not hasattr(model, "fit"):
        reject("model", "a name, a classifier, a Module or a callable", repr(model), "give e.g. 'auto' or 'mlp'")
    check_classifier(model)
    return {type(model).__name__: model}


def dtype_of(name: str) -> torch.dtype:
    """Return the precision that has a name."""
    check_choice("dtype", name, _DTYPES)
    return _DTYPES[name]


def check_batch_size(batch_size: Any) -> None:
    """Reject what is no number of rows."""
    if batch_size is not None and not (is_integer(batch_size) and batch_size >= 1):
        reject("batch_size", "None or an integer >= 1", repr(batch_size), "give e.g. 256, or None for the default")


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Return the seed of a training."""
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def checked_weight(sample_weight: Any, X: Any, labels: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the weight of each row, shape (n,); reject weights below 0, and none above it for a class."""
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
    return np.asarray(weight, dtype=np.float64)


def checked_rows(estimator: BaseEstimator, X: Any, *y: Any, model: Any, dtype: str, reset: bool) -> Any:
    """Return the features, and y if it is given, as the model takes them; names and widths agree with the training's.

    Parameters
    ----------
    estimator : BaseEstimator
        Keeps the number and the names of the features.
    X, *y
        As for :meth:`metricopt.DirectMetricClassifier.fit`.
    model : str, classifier, Module or callable
    dtype : str
    reset : bool
        Whether these rows train.
    """
    given = {"y": y[0]} if y else {}
    if is_classifier(model):  # what it takes, frames with text among it, is its own affair
        return _checked_names(estimator, X, given, reset)
    finite = "allow-nan" if is_boosting(model) else True
    sparse = "csr" if takes_sparse(model) else False
    if is_sparse(X) and not sparse:
        remedy = "give X.toarray() if there is room for it, or model='linear', which takes it as it is"
        reject("X", f"dense for {BOOSTING if is_boosting(model) else 'a module'}", "a sparse matrix", remedy)
    return validate_data(
        estimator, X, dtype=dtype, accept_sparse=sparse, ensure_all_finite=finite, reset=reset, **given
    )


def _checked_names(estimator: BaseEstimator, X: Any, given: dict[str, Any], reset: bool) -> Any:
    """Return features of any kind with rows that can be chosen, and y if it is given."""
    if is_sparse(X):
        X = X.tocsr()
    elif not hasattr(X, "columns"):
        X = check_array(X, dtype=None, ensure_all_finite=False)
    checked = validate_data(estimator, X, reset=reset, skip_check_array=True, **given)
    if not given:
        return checked
    y = check_array(column_or_1d(checked[1], warn=True), ensure_2d=False, dtype=None, input_name="y")
    check_consistent_length(checked[0], y)
    return checked[0], y


def folds_of(
    model: Any, folds: Any, val_fraction: float | None, rows: LabelledRows, seed: int
) -> NDArray[np.intp] | None:
    """Return the fold of each row, the same for all candidates; None where :func:`metricopt.fit` decides, or none.

    Torch models alone leave folds to :func:`metricopt.fit`.
    """
    is_auto = isinstance(model, str) and model == AUTO
    if not (is_auto or is_boosting(model) or is_classifier(model)):
        return None
    if is_auto and (folds is None or val_fraction is not None):
        reject("model", "the name of one model where there are no folds", AUTO, "give folds=5, or e.g. 'boosting'")
    is_default = isinstance(folds, str) and folds == "auto"
    if folds is None or (is_default and val_fraction is not None):
        return None
    if val_fraction is not None:
        reject("val_fraction", "left out beside folds", val_fraction, "give one of the two")
    return shared_folds(folds, rows, seed)
