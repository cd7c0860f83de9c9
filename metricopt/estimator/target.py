"""Which class of a target is positive: the one that its owner names, else the rarer of two.

This file decides what the classes of a classifier are. It leaves the rule for two classes to
:mod:`metricopt.problem.classes`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from metricopt._arrays import is_missing
from metricopt._validation import check_choice, reject
from metricopt.problem.classes import Classes, as_text, likely_positive

_REMEDY = (
    "give pos_label to find one class among the rest, or wrap the classifier in sklearn.multiclass.OneVsRestClassifier"
)


@dataclass(frozen=True)
class Target:
    """The classes of a target.

    Attributes
    ----------
    classes : ndarray, shape (2,)
        The two classes in sorted order; with more than two, what is not positive and the positive one.
    positive : object
        The positive class.
    labels : ndarray, shape (n,), float
        1 where the target is the positive class, else 0.
    names : Classes or None
        The names of the classes for results; None where they are 0 and 1.
    """

    classes: NDArray[Any]
    positive: Any
    labels: NDArray[np.float64]
    names: Classes | None

    @classmethod
    def of(cls, y: NDArray[Any], pos_label: Any = None) -> Target:
        """Return the classes of a target.

        Parameters
        ----------
        y : ndarray, shape (n,)
            The class of each row.
        pos_label : optional
            The positive class, against all others. Without it there are two classes: of 0 and 1 (False and True) the
            positive one is 1, of any other two it is the rarer one, of two that are as frequent the second in order.

        Raises
        ------
        ValueError
            If there is one class, no row is of the class ``pos_label``, or there are more than two and it is not given.
        """
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind != "binary" and (kind != "multiclass" or pos_label is None):
            remedy = f" For several classes, {_REMEDY}." if kind == "multiclass" else ""
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.{remedy}")
        found, codes = np.unique(y, return_inverse=True)
        if len(found) < 2:
            reject("y", "of two classes", f"1 class ({as_text(found[0])!r})", "add rows of the other one")
        names = [as_text(value) for value in found.tolist()]
        if pos_label is None:
            positive_name = likely_positive(Counter(dict(zip(names, np.bincount(codes).tolist(), strict=True))))
            place = 1 if positive_name is None else names.index(positive_name)
            is_clear = positive_name is not None
        else:
            check_choice("pos_label", as_text(pos_label), names)
            place, is_clear = names.index(as_text(pos_label)), True
        positive = found[place]
        if len(found) > 2:
            rest = f"not {names[place]}"
            found = np.array([rest, positive], dtype=None if isinstance(positive, str) else object)
        is_plain = names in (["0", "1"], ["False", "True"]) and place == 1
        negatives = tuple(name for name in names if name != names[place])
        named = Classes(names[place], negatives, pos_label is None and is_clear)
        return cls(found, positive, (codes == place).astype(np.float64), None if is_plain else named)

    @property
    def label(self) -> str:
        """What results call the label."""
        return "label" if self.names is None else self.names.positive

    @property
    def is_second(self) -> bool:
        """Whether the positive class is the second one, as scikit-learn has it."""
        return bool(self.classes[1] == self.positive)


def plain_target(y: Any) -> Any:
    """Return a target without the types of its own that columns of pandas have; reject missing values."""
    is_extension = hasattr(y, "isna") and not isinstance(getattr(y, "dtype", None), np.dtype)
    if is_extension and getattr(y, "ndim", 1) == 1:
        y = np.asarray(y, dtype=object)
    if not (isinstance(y, np.ndarray) and y.dtype == object and y.ndim == 1):
        return y
    num_missing = sum(map(is_missing, y.tolist()))
    if num_missing:
        reject("y", "given for every row", f"{num_missing} missing values", "leave these rows out")
    return np.array(y.tolist()) if is_extension else y
