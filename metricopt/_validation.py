"""Checks of what users pass in, and the one form that their messages take.

Every message reads ``<argument> must be <rule>, got <value>; <what to do>``. Independent faults are collected with
:class:`Faults` and raised together, before any training starts.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeGuard, TypeVar

import numpy as np

T = TypeVar("T")


class InvalidInputError(ValueError):
    """Something that the user passed cannot be used; the message says what, why and what to do."""


def message(argument: str, rule: str, got: object, remedy: str) -> str:
    """Return the sentence that every fault is reported in."""
    return f"{argument} must be {rule}, got {got}; {remedy}"


def reject(argument: str, rule: str, got: object, remedy: str) -> NoReturn:
    """Raise :class:`InvalidInputError` for one fault."""
    raise InvalidInputError(message(argument, rule, got, remedy))


class Faults:
    """Collects independent faults, so that a user sees all of them at once.

    Examples
    --------
    >>> faults = Faults()
    >>> faults.check(-1 > 0, "epochs", "a positive integer", -1, "give 1 or more")
    >>> faults.raise_if_any()
    Traceback (most recent call last):
        ...
    metricopt._validation.InvalidInputError: epochs must be a positive integer, got -1; give 1 or more
    """

    def __init__(self) -> None:
        self._messages: list[str] = []

    def check(self, holds: bool, argument: str, rule: str, got: object, remedy: str) -> None:
        """Note a fault unless ``holds``."""
        if not holds:
            self._messages.append(message(argument, rule, got, remedy))

    def check_integer(self, argument: str, number: Any, minimum: int, remedy: str | None = None) -> None:
        """Note a fault unless ``number`` is an integer of at least ``minimum``."""
        holds = is_integer(number) and number >= minimum
        remedy = f"give {minimum} or more" if remedy is None else remedy
        self.check(holds, argument, f"an integer >= {minimum}", repr(number), remedy)

    def check_seed(self, seed: Any) -> None:
        """Note a fault unless every random generator can be seeded with ``seed``."""
        is_seed = is_integer(seed) and 0 <= seed < 2**32
        self.check(is_seed, "seed", "an integer in [0, 2**32)", repr(seed), "give e.g. 0")

    def raise_if_any(self) -> None:
        """Raise :class:`InvalidInputError` with every fault noted so far, one a line."""
        if self._messages:
            raise InvalidInputError("\n".join(self._messages))


def is_integer(number: Any) -> TypeGuard[int]:
    """Say whether something is an integer, which True is not."""
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def check_integer(argument: str, number: Any, minimum: int, remedy: str | None = None) -> int:
    """Return an integer as Python's own; reject one below ``minimum`` and anything else."""
    faults = Faults()
    faults.check_integer(argument, number, minimum, remedy)
    faults.raise_if_any()
    return int(number)


def check_choice(argument: str, value: object, choices: Iterable[str]) -> None:
    """Reject a name that is not among ``choices``, and say which one was probably meant."""
    names = sorted(choices)
    if value in names:
        return
    close = difflib.get_close_matches(str(value).lower(), [name.lower() for name in names], n=1, cutoff=0.5)
    meant = next((name for name in names if close and name.lower() == close[0]), None)
    remedy = f"did you mean {meant!r}?" if meant else "choose one of them"
    reject(argument, f"one of {', '.join(map(repr, names))}", repr(value), remedy)


def check_fraction(argument: str, value: Any, *, zero: bool = False) -> None:
    """Reject numbers outside (0, 1], or outside [0, 1] with ``zero``; ``value`` is a number or one per label."""
    rule = "in [0, 1]" if zero else "in (0, 1]"
    for number in value if isinstance(value, Sequence) and not isinstance(value, str) else [value]:
        is_number = isinstance(number, (int, float, np.number)) and not isinstance(number, bool)
        if not (is_number and (0 <= number <= 1 if zero else 0 < number <= 1)):
            reject(argument, rule, repr(number), "give a fraction, e.g. 0.9")


def check_positive(argument: str, value: float) -> None:
    """Reject anything but a finite number above 0."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and value > 0):
        reject(argument, "a finite number above 0", repr(value), "give for example 1.0")


def per_label(argument: str, value: T | Mapping[str, T], label_names: Sequence[str] | None) -> T | tuple[T, ...]:
    """Turn ``{label name: value}`` into one value per label, in the order of ``label_names``."""
    if not isinstance(value, Mapping):
        return value
    if label_names is None:
        reject(argument, "a number while label_names is not given", dict(value), "pass label_names as well")
    for name in value:
        check_choice(f"{argument}'s labels", name, label_names)
    missing = [name for name in label_names if name not in value]
    if missing:
        reject(argument, "given for every label", f"nothing for {missing}", "add the missing labels")
    return tuple(value[name] for name in label_names)


def check_labels(labels: Any) -> None:
    """Reject labels outside {0, 1, NaN} (float array)."""
    wrong = ~((labels == 0) | (labels == 1) | np.isnan(labels))
    if wrong.any():
        found = np.unique(labels[wrong])[:5].tolist()
        reject("labels", "0, 1 or NaN (missing)", found, "map the classes to 0 and 1 first")


def check_finite(argument: str, values: Any) -> None:
    """Reject NaN and infinite values (float array)."""
    bad = ~np.isfinite(values)
    if bad.any():
        reject(argument, "finite", f"{int(bad.sum())} NaN or infinite values", "clean or impute them first")
