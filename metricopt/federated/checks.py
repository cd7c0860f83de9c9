"""Which answers of sites the server takes: those of the right names, shapes and sizes, with finite numbers.

This file decides what is wrong with an answer, in words. It leaves what follows to :mod:`metricopt.federated.server`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from metricopt._validation import is_integer, reject
from metricopt.federated.message import Message

PARTS = ("train", "held_out")


def fault_of(
    answer: Message, question: Message, expected: Mapping[str, np.ndarray], num_rows: Mapping[str, int]
) -> str:
    """Return what is wrong with an answer to a question of its kind; empty if nothing is.

    Parameters
    ----------
    answer, question : Message
    expected : mapping of str to ndarray
        Weights of the names, shapes and kinds that travel.
    num_rows : mapping of str to int
        How many rows of each part the site said to have, when it joined.
    """
    if answer.kind == "join":
        return fault_of_join(answer)
    if answer.kind == "train":
        moving = question.under("guidance") if question.info.get("is_alone") else {}
        fault = fault_of_weights(answer, expected, num_rows["train"])
        return fault or _fault_of_arrays(answer.under("moving"), moving)
    if answer.kind == "finish":
        return ""
    level = question.numbered("edges")[-1]
    shape = len(level), 2, level.shape[1] - 1
    fault = fault_of_counts(answer, dict.fromkeys(question.info["parts"], shape), num_rows)
    judged = {"key": np.zeros(2)} if question.info.get("is_alone") and answer.kind == "score" else {}
    return fault or _fault_of_arrays(answer.under("judged"), judged)


def fault_of_join(answer: Message) -> str:
    """Return what is wrong with the first answer of a site; empty if nothing is."""
    numbers = answer.info.get("num_rows")
    sound = isinstance(numbers, Mapping) and all(is_integer(numbers.get(part)) and numbers[part] > 0 for part in PARTS)
    return "" if sound else f"num_rows must hold positive numbers of {' and '.join(PARTS)} rows, got {numbers!r}"


def fault_of_weights(answer: Message, expected: Mapping[str, np.ndarray], num_rows: int) -> str:
    """Return what is wrong with the weights that a site trained; empty if nothing is.

    Parameters
    ----------
    answer : Message
    expected : mapping of str to ndarray
        Weights of the names, shapes and kinds that are asked for.
    num_rows : int
        How many rows the site said to have.
    """
    for what, least in (("num_rows", 1), ("steps", 1)):
        if not is_integer(answer.info.get(what)) or answer.info[what] < least:
            return f"{what} must be a positive integer, got {answer.info.get(what)!r}"
    if answer.info["num_rows"] != num_rows:
        return f"num_rows must be the {num_rows} that it joined with, got {answer.info['num_rows']}"
    return _fault_of_arrays(answer.under("weights"), expected)


def _fault_of_arrays(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> str:
    """Return how arrays differ in names, shapes and kinds from those that are expected, or what is not finite."""
    if fault := _fault_of_names(found, expected):
        return fault
    for name, array in found.items():
        if array.shape != expected[name].shape:
            return f"{name} must have the shape {expected[name].shape}, got {array.shape}"
        if array.dtype != expected[name].dtype:
            return f"{name} must be of {expected[name].dtype}, got {array.dtype}"
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            return f"{name} must be finite, got NaN or infinity"
    return ""


def fault_of_counts(answer: Message, shapes: Mapping[str, tuple[int, ...]], num_rows: Mapping[str, int]) -> str:
    """Return what is wrong with the histograms of a site; empty if nothing is.

    Parameters
    ----------
    answer : Message
    shapes : mapping of str to tuple
        The shape (L, 2, B) of the histograms of each part that is asked for.
    num_rows : mapping of str to int
        How many rows of each part the site said to have.
    """
    found = answer.under("counts")
    if fault := _fault_of_names(found, shapes):
        return fault
    for part, counts in found.items():
        if counts.shape != shapes[part]:
            return f"the counts of {part} must have the shape {shapes[part]}, got {counts.shape}"
        if not np.issubdtype(counts.dtype, np.integer):
            return f"the counts of {part} must be integers, got {counts.dtype}"
        if (counts < 0).any():
            return f"the counts of {part} must be 0 or more, got {counts.min()}"
        most = _sum_exactly(counts)
        if most > num_rows[part]:
            return f"the counts of {part} must sum to at most its {num_rows[part]} rows, got {most}"
    return ""


def _sum_exactly(counts: np.ndarray) -> int:
    """Return the largest sum of the counts of a label, also where it is beyond 64 bits."""
    return max(sum(label.ravel().tolist()) for label in counts)


def _fault_of_names(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing:
        return f"{missing[0]} is missing"
    return f"{extra[0]} was not asked for" if extra else ""


def check_counted(parts: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Reject histograms (L, 2, B) of sites, by part and site, of which no label has both classes in every part.

    Raises
    ------
    InvalidInputError
    """
    known = [np.sum(list(counts.values()), axis=0).sum(axis=2) > 0 for counts in parts.values()]
    if not np.logical_and.reduce([own.all(axis=1) for own in known]).any():
        rule = f"of which some label has positives and negatives among the {' and among the '.join(parts)} rows"
        remedy = "lower min_cell, hold out more rows, or let more sites take part"
        reject("the counts of all sites", rule, "none", remedy)
