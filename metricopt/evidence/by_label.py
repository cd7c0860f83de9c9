"""One entry for each label, as reports and certificates hold them, and the attributes of a single label.

This file decides how an entry is found. What an entry says is decided in :mod:`metricopt.evidence.reports` and
:mod:`metricopt.evidence.certificates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar, overload

from metricopt._validation import check_choice


class Labelled(Protocol):
    """Anything that names the label it speaks of."""

    @property
    def label(self) -> str:
        """The name of the label."""


Entry = TypeVar("Entry", bound=Labelled, covariant=True)
Value = TypeVar("Value")


class ByLabel(Sequence[Entry]):
    """One entry for each label, found by position or by name.

    Attributes
    ----------
    labels : tuple
        The entries, in the order of the labels.
    """

    labels: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, which: int | str) -> Entry: ...

    @overload
    def __getitem__(self, which: slice) -> tuple[Entry, ...]: ...

    def __getitem__(self, which: int | str | slice) -> Entry | tuple[Entry, ...]:
        if isinstance(which, str):
            check_choice("label", which, [entry.label for entry in self.labels])
            return next(entry for entry in self.labels if entry.label == which)
        return self.labels[which]


class OfOnlyLabel(Generic[Value]):
    """An attribute that a single label's entry lends to the whole: ``report.recall`` is ``report[0].recall``.

    Several labels have no attribute in common, and the error says how to choose one of them.

    Examples
    --------
    >>> from collections import namedtuple
    >>> Finding = namedtuple("Finding", ["label", "recall"])
    >>> class Table(ByLabel):
    ...     recall = OfOnlyLabel[float]()
    ...
    ...     def __init__(self, *labels):
    ...         self.labels = labels
    >>> Table(Finding("Edema", 0.9)).recall
    0.9
    >>> Table(Finding("Edema", 0.9), Finding("Fracture", 0.8)).recall
    Traceback (most recent call last):
        ...
    AttributeError: this table has 2 labels: choose one, e.g. table['Edema'].recall
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, whole: None, owner: type) -> OfOnlyLabel[Value]: ...

    @overload
    def __get__(self, whole: ByLabel[Any], owner: type) -> Value: ...

    def __get__(self, whole: ByLabel[Any] | None, owner: type) -> Value | OfOnlyLabel[Value]:
        if whole is None:
            return self
        if len(whole.labels) != 1:
            kind, first = type(whole).__name__.lower(), whole.labels[0].label
            raise AttributeError(
                f"this {kind} has {len(whole.labels)} labels: choose one, e.g. {kind}[{first!r}].{self._name}"
            )
        value: Value = getattr(whole.labels[0], self._name)
        return value
