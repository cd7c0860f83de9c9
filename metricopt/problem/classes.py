"""The two classes of a label that users write as text or as other numbers than 0 and 1, and which of them is positive.

This file decides how such labels become 0 and 1. It leaves labels that are 0 and 1 already to :mod:`metricopt._arrays`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from metricopt._arrays import is_missing
from metricopt._validation import check_choice, reject

_NUMBERS = (np.bool_, np.int64, np.float32, np.float64)
"""What needs no look at every row."""


@dataclass(frozen=True)
class Classes:
    """The classes of one label, as text.

    Attributes
    ----------
    positive : str
        What counts as 1.
    negatives : tuple of str
        What counts as 0.
    is_rarer : bool
        Whether nobody named the positive class, so that the rarer one was taken.
    """

    positive: str
    negatives: tuple[str, ...]
    is_rarer: bool = False

    @classmethod
    def of(cls, column: Any, positive: Any = None, *, label: str = "label") -> Classes | None:
        """Return the classes of a column of labels; None where it holds numbers other than two whole ones.

        None also stands for 0 and 1 (or false and true) where no positive class is named.

        Parameters
        ----------
        column : array, shape (n,)
            Text, numbers or booleans; empty text, None and NaN are missing.
        positive : optional
            The class that counts as 1; all others count as 0. Without it the column must hold two classes: of "0" and
            "1" (or "False" and "True") the positive one is the second, of any other two it is the rarer one.
        label : str
            The name of the label, for messages.

        Raises
        ------
        InvalidInputError
            If no row is of the class ``positive``, or it is not given and the column does not tell.

        Examples
        --------
        >>> print(Classes.of(["well", "sick", None, "well"]))
        'sick', the rarer class
        """
        if positive is None and getattr(column, "dtype", None) in _NUMBERS and _are_zero_and_one(column):
            return None
        counts: Counter[str] = Counter()
        are_numbers = True
        for value, number in Counter(_listed(column)).items():
            if not is_blank(value):
                counts[as_text(value)] += number
                are_numbers = are_numbers and not isinstance(value, str)
        if are_numbers and positive is None and not _are_two_others(counts):
            return None
        if positive is None:
            chosen, is_rarer = _likely_positive(counts, label)
        else:
            chosen, is_rarer = as_text(positive), False
            check_choice(f"positive (of label {label!r})", chosen, counts)
        return cls(chosen, tuple(sorted(set(counts) - {chosen})), is_rarer)

    def encode(self, column: Any, *, label: str = "label") -> np.ndarray:
        """Return labels of these classes as 0, 1 and NaN (missing), shape (n,), float64.

        Raises
        ------
        InvalidInputError
            If a row is of another class.

        Examples
        --------
        >>> Classes("sick", ("well",)).encode(["well", "sick", None])
        array([ 0.,  1., nan])
        """
        listed = _listed(column)
        numbers = {value: np.nan if is_blank(value) else self._number(value, label) for value in set(listed)}
        return np.array([numbers[value] for value in listed], dtype=np.float64)

    def _number(self, value: Any, label: str) -> float:
        text = as_text(value)
        if text == self.positive:
            return 1.0
        if text not in self.negatives:
            known = ", ".join(map(repr, (self.positive, *self.negatives[:7])))
            reject(f"label {label!r}", f"of the classes {known}", repr(text), "correct it, or leave it blank")
        return 0.0

    def __str__(self) -> str:
        if self.is_rarer:
            return f"{self.positive!r}, the rarer class"
        others = ", ".join(map(repr, self.negatives[:7])) + (", ..." if len(self.negatives) > 7 else "")
        return f"{self.positive!r}; negative: {others or 'none'}"

    def to_dict(self) -> dict[str, Any]:
        """Return names alone, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Classes:
        """Return the classes that :meth:`to_dict` wrote down."""
        return cls(saved["positive"], tuple(saved["negatives"]), saved["is_rarer"])


def as_text(value: object) -> str:
    """Return a class as text that does not depend on where it was read: 1 and 1.0 are both "1", TRUE is "True"."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    return text.capitalize() if text.lower() in ("true", "false") else text


def is_blank(value: object) -> bool:
    """Say whether a row has no class: None, NaN, or empty text."""
    return is_missing(value) or (isinstance(value, str) and not value.strip())


def _are_zero_and_one(column: Any) -> bool:
    values = np.asarray(column)
    return bool(((values == 0) | (values == 1) | (values != values)).all())


def _are_two_others(counts: Mapping[str, int]) -> bool:
    """Say whether numbers are two whole ones, such as -1 and 1, and not 0 and 1."""
    are_whole = all(text.removeprefix("-").isdecimal() for text in counts)
    return len(counts) == 2 and are_whole and set(counts) != {"0", "1"}


def _listed(column: Any) -> list[Any]:
    try:
        listed: list[Any] = column.tolist() if hasattr(column, "tolist") else list(column)
        set(listed)
    except TypeError as error:
        reject("labels", "text, numbers or booleans", str(error), "give one class a row")
    return listed


def likely_positive(counts: Mapping[str, int]) -> str | None:
    """Return which of two classes is positive where nobody names it, None where their numbers of rows do not tell.

    Of "0" and "1" (or "False" and "True") it is the second, of any other two the rarer one.

    Examples
    --------
    >>> likely_positive({"normal": 240, "abnormal": 60}), likely_positive({"0": 60, "1": 240})
    ('abnormal', '1')
    """
    for pair in ({"0", "1"}, {"False", "True"}):
        if set(counts) == pair:
            return max(pair)
    if len(counts) != 2 or len(set(counts.values())) == 1:
        return None
    return min(counts, key=counts.__getitem__)


def _likely_positive(counts: Counter[str], label: str) -> tuple[str, bool]:
    """Return which of two classes of text is positive, and whether because it is the rarer one."""
    for pair in ({"0", "1"}, {"False", "True"}):
        if set(counts) <= pair:
            return max(pair), False
    chosen = likely_positive(counts)
    if chosen is None:
        rule = "of two classes" if len(counts) != 2 else "of two classes with one rarer"
        reject(f"label {label!r}", rule, _shown(counts.most_common(8)), "say which one is positive: positive=...")
    return chosen, True


def _shown(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name!r} ({number} rows)" for name, number in counts)
