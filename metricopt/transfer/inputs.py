"""The inputs of the scores: arrays of features, classes and source probabilities, which are read once into float64.

This file decides which shapes and values are accepted, and the weights of a class-balanced score. Inputs that say
nothing (one class, constant features) are rejected here, before work starts.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricopt._arrays import to_numpy
from metricopt._validation import InvalidInputError, check_finite, reject

Floats = NDArray[np.float64]

# What softmax outputs in half precision may be off by.
_SUM_TOLERANCE = 5e-3


@dataclass(frozen=True)
class Classes:
    """Labels as positions in the list of the classes that occur.

    Attributes
    ----------
    names : ndarray, shape (C,)
        The classes in increasing order.
    index : ndarray, shape (n,), int
        For each sample, the position of its class in ``names``.
    """

    names: NDArray[Any]
    index: NDArray[np.intp]

    @property
    def sizes(self) -> NDArray[np.intp]:
        """The number of samples of each class, shape (C,)."""
        return np.bincount(self.index, minlength=len(self.names))

    @property
    def counts(self) -> dict[Hashable, int]:
        """The number of samples of each class, by its name."""
        return dict(zip(self.names.tolist(), self.sizes.tolist(), strict=True))

    def one_hot(self) -> Floats:
        """Return the indicators of the classes, shape (n, C)."""
        return np.eye(len(self.names))[self.index]

    def weights(self, balanced: bool) -> Floats:
        """Return weights, shape (n,), that sum to 1: equal for all samples, or with equal sums for all classes."""
        if not balanced:
            return np.full(len(self.index), 1 / len(self.index))
        return 1 / (len(self.names) * self.sizes[self.index])

    def take(self, rows: NDArray[np.intp]) -> Classes:
        """Return the labels of some samples, without the classes that no longer occur."""
        kept, index = np.unique(self.index[rows], return_inverse=True)
        return Classes(self.names[kept], index)


def read_features(argument: str, features: Any, ndim: int = 2) -> Floats:
    """Return a copy of the features in float64, with one row for each sample.

    Raises
    ------
    InvalidInputError
        If they are not finite, have another number of axes, or are the same for all samples.
    """
    array = to_numpy(argument, features)
    if array.ndim != ndim:
        reject(
            argument, f"an array of {ndim} axes, samples first", f"shape {array.shape}", "flatten or pool the others"
        )
    check_finite(argument, array)
    if array.size == 0 or (array == array[:1]).all():
        got = f"shape {array.shape}, all alike"
        reject(argument, "different for some samples", got, "check the weights of the network and its inputs")
    return array.astype(np.float64)


def read_labels(argument: str, labels: Any) -> NDArray[Any]:
    """Return labels as numbers, or as texts where some are the names of classes.

    Raises
    ------
    InvalidInputError
        If a name is missing.
    """
    try:
        return to_numpy(argument, labels)
    except InvalidInputError:
        names = np.asarray(labels, dtype=object)
    missing = np.flatnonzero([name is None or name != name or name == "" for name in names.flat])
    if len(missing):
        got = f"{names.flat[missing[0]]!r} at row {missing[0]}"
        reject(argument, "a class for every sample", got, "leave such samples out")
    return names.astype(str)


def is_of_classes(labels: NDArray[Any]) -> bool:
    """Say whether labels name a class for each sample: texts, one axis, or one column of whole numbers that repeat."""
    if labels.dtype.kind == "U" or labels.ndim == 1:
        return True
    if labels.shape[1:] != (1,) or not (labels == np.floor(labels)).all():
        return False
    return len(np.unique(labels)) <= len(labels) / 2


def read_classes(argument: str, labels: Any, num_samples: int, of: str, *, min_classes: int = 2) -> Classes:
    """Return whole numbers or names, shape (n,) or (n, 1), as classes.

    Raises
    ------
    InvalidInputError
        If there is not one class for each sample, one is missing, or there are fewer classes than ``min_classes``.
    """
    array = read_labels(argument, labels)
    if array.shape == (num_samples, 1):
        array = array[:, 0]
    if array.shape != (num_samples,):
        reject(
            argument, f"one a sample of {of}, shape ({num_samples},)", f"shape {array.shape}", "give both in one order"
        )
    if array.dtype.kind != "U":
        check_finite(argument, array)
        if (array != np.floor(array)).any():
            got = array[array != np.floor(array)][:3].tolist()
            reject(argument, "whole numbers or names, one a class", got, "number or name the classes")
        array = array.astype(np.int64)
    names, index = np.unique(array, return_inverse=True)
    if len(names) < min_classes:
        reject(argument, f"of at least {min_classes} classes", f"class {names.tolist()} alone", "add samples of others")
    return Classes(names, index)


def read_probabilities(argument: str, probabilities: Any) -> Floats:
    """Return source probabilities, shape (n, Z), in float64, scaled so that each row sums to 1 exactly.

    Raises
    ------
    InvalidInputError
        If they are not probabilities, or a row does not sum to 1.
    """
    array = to_numpy(argument, probabilities).astype(np.float64)
    if array.ndim != 2 or array.size == 0:
        reject(argument, "of shape (n, source classes)", f"shape {array.shape}", "give one row for each sample")
    check_finite(argument, array)
    if (array < 0).any():
        reject(argument, ">= 0", f"{array.min():g}", "pass logits through a softmax first")
    sums = array.sum(axis=1)
    worst = sums[np.abs(sums - 1).argmax()]
    if abs(worst - 1) > _SUM_TOLERANCE:
        reject(argument, "rows that sum to 1", f"a sum of {worst:g}", "pass logits through a softmax first")
    return array / sums[:, np.newaxis]


def narrowed(features: Floats) -> Floats:
    """Return features with the same inner products and at most n columns. Wider features are rotated."""
    num_samples, width = features.shape
    if width <= num_samples:
        return features
    from scipy.linalg import qr

    return qr(features.T, mode="r")[0][:num_samples].T
