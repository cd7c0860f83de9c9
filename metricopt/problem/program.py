"""A program: one metric to maximise, subject to any number of bounds, over all rows or in every subgroup of them.

This file decides what a program is, and how it is written down. The algebra that solvers and thresholds ask for comes
from :class:`metricopt.problem.objectives.CountObjective`, of which FPOR, FROP and the others are cases with one bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, asdict, dataclass, replace
from typing import Any, Literal

from metricopt._validation import InvalidInputError, reject
from metricopt.problem.bounds import Bound, MetricBound, check_bounds, check_range, quoted
from metricopt.problem.catalogue import negated
from metricopt.problem.objectives import CountObjective
from metricopt.problem.ratios import LinearForm, Ratio
from metricopt.problem.sentences import BOUND, check_direction, read_bound, read_program
from metricopt.problem.text import read_metric


@dataclass(frozen=True, repr=False)
class Program(CountObjective):
    r"""Maximise one metric subject to bounds on others.

    .. math:: \max_{\theta, t} \; \frac{a(c)}{b(c)} \quad \text{s.t.} \quad
              \frac{p_k(c_g)}{q_k(c_g)} \ge \alpha_k \;\; (\text{or} \le \alpha_k) \quad \text{for all } k, g

    with :math:`c` the confusion counts of all rows (``maximize``), and for each bound :math:`k` (``subject_to``) the
    counts :math:`c_g` of all rows or, for a bound "in every" column, of each subgroup :math:`g` of rows of equal value
    there.

    Parameters
    ----------
    maximize : str or Ratio
        The metric, by a name of :mod:`metricopt.problem.catalogue` or as a ratio of your own.
    subject_to : sequence of str or MetricBound
        For example ``["precision >= 0.8", "recall >= 0.85 in every site"]``.
    threshold_per : str, optional
        The name of a column: each subgroup of rows of equal value there gets a threshold of its own. By default all
        share one.
    minimize : str or Ratio, optional
        In place of ``maximize``: a metric of which less is better, such as ``"expected_cost(1, 10)"``.

    Raises
    ------
    InvalidInputError
        If a sentence cannot be read, a bound is outside the values of its metric, or bounds contradict each other.

    Examples
    --------
    >>> Program("recall", ["PPV of at least 80 %", "recall >= 0.7 in every site"])
    Program(maximize='recall', subject_to=['precision >= 0.8', 'recall >= 0.7 in every site'])
    """

    maximize: Ratio | str | None = None
    subject_to: Sequence[MetricBound | str] = ()
    threshold_per: str | None = None
    minimize: InitVar[Ratio | str | None] = None

    def __post_init__(self, minimize: Ratio | str | None) -> None:
        given = [metric for metric in (self.maximize, minimize) if metric is not None]
        if len(given) != 1:
            got = "neither" if not given else "both"
            reject("a program", "given maximize or minimize", got, "give e.g. maximize='recall'")
        metric = read_metric(given[0]) if isinstance(given[0], str) else given[0]
        if not isinstance(metric, Ratio):
            reject("maximize", "the name of a metric, or a Ratio", repr(metric), "give e.g. 'recall'")
        if isinstance(given[0], str) or minimize is not None:
            check_direction(metric, minimize is not None)
        object.__setattr__(self, "maximize", metric if minimize is None else negated(metric))
        given_bounds = [self.subject_to] if isinstance(self.subject_to, (str, MetricBound)) else self.subject_to
        if not isinstance(given_bounds, Iterable):
            reject("subject_to", "a list of bounds", repr(given_bounds), f"give e.g. [{BOUND!r}], or [] for none")
        bounds = tuple(map(read_bound, given_bounds))
        for bound in bounds:
            check_range(bound.metric, bound.relation, bound.bound)
        check_bounds(bounds)
        object.__setattr__(self, "subject_to", bounds)
        per = self.threshold_per
        if per is not None and not (isinstance(per, str) and per):
            reject("threshold_per", "the name of a column", repr(per), "give e.g. 'site'")

    @classmethod
    def parse(cls, sentence: str) -> Program:
        """Return the program that a sentence stands for; ``str()`` of a program is such a sentence.

        Raises
        ------
        InvalidInputError
            If it stands for none; the message points at the fault.

        Examples
        --------
        >>> print(Program.parse("maximise recall subject to precision >= 0.8 and alarm_rate <= 5 %"))
        maximise recall subject to precision >= 0.8 and alarm_rate <= 0.05
        """
        metric, is_minimised, bounds, per = read_program(sentence)
        check_direction(metric, is_minimised)
        return cls(None, bounds, per, minimize=metric) if is_minimised else cls(metric, bounds, per)

    @property
    def maximised(self) -> Ratio:
        """The metric to maximise."""
        assert isinstance(self.maximize, Ratio)
        return self.maximize

    @property
    def bounds(self) -> tuple[MetricBound, ...]:
        """The bounds."""
        return tuple(bound for bound in self.subject_to if isinstance(bound, MetricBound))

    @property
    def bounded(self) -> Ratio | None:  # type: ignore[override]
        """The metric that the bound restricts, where there is one bound and it speaks of all rows."""
        return None if (only := self.only_bound) is None else only.metric

    @property
    def bound_direction(self) -> Literal["min", "max"]:  # type: ignore[override]
        """Whether the only bound is the least or the largest value allowed."""
        return "min" if (only := self.only_bound) is None else only.direction

    @property
    def bound(self) -> Bound | None:
        """The only bound, where there is one and it speaks of all rows."""
        return None if (only := self.only_bound) is None else only.bound

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of subgroups that the program speaks of."""
        named = [bound.within for bound in self.bounds] + [self.threshold_per]
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def with_bound(self, bound: Bound) -> Program:
        """Return the same program with another number for its only bound."""
        only = self.only_bound
        if only is None:
            reject("the program", "one with a single bound over all rows", str(self), "write another Program instead")
        return replace(self, subject_to=(replace(only, bound=bound),))

    def to_dict(self) -> dict[str, Any]:
        """Return text and numbers alone, for JSON."""
        return {
            "maximize": _metric_to_dict(self.maximised),
            "subject_to": [{**asdict(bound), "metric": _metric_to_dict(bound.metric)} for bound in self.bounds],
            "threshold_per": self.threshold_per,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Program:
        """Return the program that :meth:`to_dict` wrote down."""
        bounds = [
            MetricBound(**{**bound, "metric": _metric_from_dict(bound["metric"])}) for bound in saved["subject_to"]
        ]
        return cls(_metric_from_dict(saved["maximize"]), bounds, saved["threshold_per"])

    def __str__(self) -> str:
        verb, name = self._asked
        text = f"{verb[:-3]}ise {name}"
        if self.bounds:
            text += f" subject to {' and '.join(map(str, self.bounds))}"
        return text if self.threshold_per is None else f"{text} with a threshold per {quoted(self.threshold_per)}"

    def __repr__(self) -> str:
        verb, name = self._asked
        parts = [f"{verb}={name!r}", f"subject_to={[str(bound) for bound in self.bounds]}"]
        if self.threshold_per is not None:
            parts.append(f"threshold_per={self.threshold_per!r}")
        return f"Program({', '.join(parts)})"

    @property
    def _asked(self) -> tuple[str, str]:
        """What is done to which metric."""
        name = self.maximised.name
        return ("minimize", name.removeprefix("neg_")) if name.startswith("neg_") else ("maximize", name)


def _metric_to_dict(metric: Ratio) -> dict[str, Any] | str:
    """Return a metric of the catalogue by its name, and another one by its coefficients."""
    is_negated = metric.name.startswith("neg_")
    try:
        known = read_metric(metric.name.removeprefix("neg_"))
    except InvalidInputError:
        known = None
    if known is not None and (negated(known) if is_negated else known) == metric:
        return metric.name
    return {**asdict(metric), "low": str(metric.low), "high": str(metric.high)}


def _metric_from_dict(saved: Mapping[str, Any] | str) -> Ratio:
    if isinstance(saved, str):
        metric = read_metric(saved.removeprefix("neg_"))
        return negated(metric) if saved.startswith("neg_") else metric
    forms = {name: LinearForm(**saved[name]) for name in ("numerator", "denominator")}
    ends = {name: float(saved[name]) for name in ("low", "high")}
    return Ratio(**{**saved, **forms, **ends})
