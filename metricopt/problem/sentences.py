"""How bounds and whole programs are read from sentences such as ``recall >= 0.85 in every site``.

This file decides their form. The words come from :mod:`metricopt.problem.text`.
"""

from __future__ import annotations

from typing import Any, Literal

from metricopt._validation import InvalidInputError, reject
from metricopt.problem.bounds import MetricBound, check_range
from metricopt.problem.catalogue import is_lower_better
from metricopt.problem.ratios import Ratio
from metricopt.problem.text import Text, likely, take_metric

BOUND = "recall >= 0.85 in every site"
PROGRAM = "maximise recall subject to precision >= 0.8 and false_positive_rate <= 0.05"
_COLUMN = r"\"[^\"]+\"|'[^']+'|[^\s\"',;]+"


def read_bound(bound: Any) -> MetricBound:
    """Return the bound that a sentence stands for; a bound is returned as it is.

    Raises
    ------
    InvalidInputError
        If it stands for none; the message points at the fault.

    Examples
    --------
    >>> print(read_bound("sensitivity of at least 85 % in every site"))
    recall >= 0.85 in every site
    """
    if isinstance(bound, MetricBound):
        return bound
    if not isinstance(bound, str):
        reject("a bound", f"a sentence such as {BOUND!r}, or a MetricBound", repr(bound), "give one of them")
    text = Text(bound, BOUND)
    found = take_bound(text)
    if not text.is_at_end:
        text.fault("the bound has ended before this")
    return found


def take_bound(text: Text) -> MetricBound:
    """Take a bound: a metric, a relation, a number, and the column of subgroups in each of which it holds."""
    metric = take_metric(text)
    relation = _take_relation(text)
    place = text.place
    number = text.number("the number of the bound is missing")
    end = len(text.text[: text.place].rstrip())
    within = None
    if text.take(r"(in|for|at|within)\s+(every|each|all)\b") or text.take(r"(per|by)\b"):
        column = text.take(_COLUMN)
        if column is None:
            text.fault("the name of the column of subgroups is missing")
        within = column.strip("\"'")
    try:
        check_range(metric, relation, number)
    except InvalidInputError as error:
        text.fault(str(error), place, end)
    return MetricBound(metric, relation, number, within)


def _take_relation(text: Text) -> Literal[">=", "<="]:
    if text.take(r">=|≥|(of\s+)?at\s+least\b"):
        return ">="
    if text.take(r"<=|≤|(of\s+)?at\s+most\b"):
        return "<="
    if text.take(r"(?=[<>=])") is not None:
        text.fault("a bound is >= or <=")
    text.fault("a metric is followed by >= or <=")


def read_program(sentence: str) -> tuple[Ratio, bool, list[MetricBound], str | None]:
    """Return the metric of a program, whether it is minimised, the bounds, and the column of thresholds if any.

    Raises
    ------
    InvalidInputError
        If the sentence is no program; the message points at the fault.

    Examples
    --------
    >>> metric, is_minimised, bounds, _ = read_program(PROGRAM)
    >>> metric.name, is_minimised, list(map(str, bounds))
    ('recall', False, ['precision >= 0.8', 'false_positive_rate <= 0.05'])
    """
    text = Text(sentence, PROGRAM)
    verb = text.take(r"(maximi[sz]e|minimi[sz]e)\b")
    if verb is None:
        first = text.word() or ""
        verbs = ("maximise", "maximize", "minimise", "minimize")
        text.place = 0
        text.fault(f"a program begins with 'maximise' or 'minimise': {likely(first, verbs)}")
    metric, bounds = take_metric(text), []
    if text.take(r"(subject\s+to|s\.t\.)"):
        bounds.append(take_bound(text))
        while text.take(r"and\b|,\s*and\b|[,;]"):
            bounds.append(take_bound(text))
    per = text.take(_COLUMN) if text.take(r"with\s+a\s+threshold\s+per\b") else None
    per = None if per is None else per.strip("\"'")
    if not text.is_at_end:
        text.fault("'subject to' or 'and' is missing before this" if not bounds else "'and' is missing before this")
    return metric, verb.lower().startswith("min"), bounds, per


def check_direction(metric: Ratio, is_minimised: bool) -> None:
    """Reject a metric that is asked to become worse.

    Raises
    ------
    InvalidInputError
    """
    if is_lower_better(metric) and not is_minimised:
        reject("maximize", "a metric of which more is better", metric.name, f"give minimize={metric.name!r}")
    if is_minimised and not is_lower_better(metric):
        reject("minimize", "a metric of which less is better", metric.name, f"give maximize={metric.name!r}")
