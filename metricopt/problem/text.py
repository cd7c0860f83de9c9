"""How metrics are read from text, such as ``recall`` or ``net_benefit(0.1)``, and how a fault in a text is shown.

This file decides the words of which bounds and programs consist. Which metrics there are is decided in
:mod:`metricopt.problem.catalogue`, what a bound or a program consists of in :mod:`metricopt.problem.sentences`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NoReturn

from metricopt._validation import InvalidInputError
from metricopt.problem.catalogue import EXAMPLES, METRICS, SYNONYMS, metric_of
from metricopt.problem.ratios import Ratio

_WORD = r"[A-Za-z_][A-Za-z_0-9]*"
_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"


class Text:
    """A text that is read from left to right, and can point at the place of a fault.

    Parameters
    ----------
    text : str
    example : str
        A text of the same kind that can be read, for messages.
    """

    def __init__(self, text: str, example: str) -> None:
        self.text, self.example, self.place = text, example, 0
        self._skip()

    @property
    def is_at_end(self) -> bool:
        return self.place == len(self.text)

    def take(self, pattern: str) -> str | None:
        """Return what matches at this place, whatever its case, and go on behind it; else None."""
        found = re.compile(pattern, re.IGNORECASE).match(self.text, self.place)
        if found is None:
            return None
        self.place = found.end()
        self._skip()
        return found.group()

    def word(self) -> str | None:
        """Take a name."""
        return self.take(_WORD)

    def number(self, why: str) -> float:
        """Take a number, with or without a percent sign."""
        found = self.take(_NUMBER)
        if found is None:
            self.fault(why)
        return float(found) / 100 if self.take(r"%") else float(found)

    def fault(self, why: str, start: int | None = None, end: int | None = None) -> NoReturn:
        """Raise an error that points at a part of the text, by default at the word at this place."""
        start = self.place if start is None else start
        if end is None:
            rest = re.compile(r"\w+|\S").match(self.text, start)
            end = rest.end() if rest else start + 1
        caret = " " * start + "^" * max(end - start, 1)
        raise InvalidInputError(f"cannot read this, {why}; write e.g. {self.example!r}\n  {self.text}\n  {caret}")

    def _skip(self) -> None:
        while self.place < len(self.text) and self.text[self.place].isspace():
            self.place += 1


def read_metric(text: str) -> Ratio:
    """Return the metric that a text stands for, such as ``"recall"`` or ``"expected_cost(1, 10)"``.

    Raises
    ------
    InvalidInputError
        If it stands for none; the message points at the fault.

    Examples
    --------
    >>> read_metric("net benefit(0.1)").name
    'net_benefit(0.1)'
    """
    whole = Text(text, "recall")
    metric = take_metric(whole)
    if not whole.is_at_end:
        whole.fault("nothing follows a metric")
    return metric


def take_metric(text: Text) -> Ratio:
    """Take a metric, with its numbers in brackets where it takes some."""
    start = text.place
    name = text.word()
    if name is None:
        text.fault("the name of a metric is missing here")
    end, known = start + len(name), METRICS.keys() | SYNONYMS.keys()
    key = name.lower()
    while key not in known and (more := re.compile(r"\w+").match(text.text, text.place)):  # "false positive rate"
        longer = f"{key}_{more.group().lower()}"
        if not any(each.startswith(longer) for each in known):
            break
        key, end = longer, more.end()
        text.take(r"\w+")
    if key not in known:
        text.fault(f"there is no metric {text.text[start:end]!r}: {likely(key, known)}", start, end)
    numbers: list[float] = []
    named: dict[str, float] = {}
    if text.take(r"\("):
        _take_numbers(text, numbers, named)
    try:
        return metric_of(key, *numbers, **named)
    except InvalidInputError as error:
        why = str(error)
        if key in EXAMPLES and not numbers and not named:
            why = f"{key} takes numbers, as {EXAMPLES[key]}"
        text.fault(why, start, max(text.place, end))


def likely(word: str, known: Iterable[str]) -> str:
    """Say which of some names was probably meant."""
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"


def _take_numbers(text: Text, numbers: list[float], named: dict[str, float]) -> None:
    """Take numbers, with or without their names, up to the closing bracket."""
    while not text.take(r"\)"):
        name = text.take(r"[A-Za-z_]\w*(?=\s*=)")
        if name is None:
            numbers.append(text.number("a number is missing in the brackets"))
        else:
            text.take(r"=")
            named[name] = text.number(f"the number of {name} is missing")
        if not text.take(r",") and text.text[text.place : text.place + 1] != ")":
            text.fault("the bracket is not closed")
