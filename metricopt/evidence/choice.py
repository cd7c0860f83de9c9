"""What the choice of a threshold says: the threshold, what stands behind it, and what is missing, in plain words.

This file decides what a choice holds and how it reads. It leaves choosing to :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from metricopt._arrays import Array
from metricopt.evidence.program_outcome import BoundOutcome
from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.problem.ratios import Counts


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold and what it reaches on the rows that chose it; scalars, or one entry a label.

    Attributes
    ----------
    threshold : array, scalar or shape (L,), float64
        Scores at or above it are alarms. NaN where a label has no positives to choose by.
    value : array, scalar or shape (L,), float64
        The metric that the objective maximises.
    bounded_value : array, scalar or shape (L,), float64, or None
        The metric that the bound speaks of; None for an objective without a bound.
    counts : Counts
    feasible : array, scalar or shape (L,), bool
        With a confidence: whether the evidence supports the bound at this threshold. Without one, and in
        :attr:`empirical`: whether the bound holds on these rows; on new rows it may not.
    num_alarms : array, scalar or shape (L,), float64, or None
        How many alarms stand behind the threshold, each counted once whatever it weighs; distinct groups among them
        where groups are given.
    confidence : float or None
        What was asked; None for the best cut on these rows alone.
    limit : array, scalar or shape (L,), float64, or None
        The confidence limit of the bounded metric: on new rows it is at least this, or at most for a largest value.
        NaN where the metric speaks of no row; 1 or 0 where it holds by definition, as recall does when every row is
        flagged. None without a confidence or a bound.
    supported : array, scalar or shape (L,), bool, or None
        Whether the evidence supports the bound at this threshold. None without a confidence or a bound.
    num_more_positives : array, scalar or shape (L,), float64, or None
        About how many more positives, with negatives in proportion, would support the bound at some cut if everything
        else stays as it is: 0 where it is supported, NaN where no number would do, since no cut is better than the
        bound. None without a confidence or a bound.
    empirical : ThresholdChoice or None
        The best cut on these rows, which the evidence may not support. None without a confidence.
    metric_name : str, or tuple of str
        The metric that the objective maximises, that of each label where these differ.
    bounded_name : str or None
        The metric that the bound speaks of.
    bound : array, scalar or shape (L,), float64, or None
    bound_direction : "min" or "max"
        Whether the bound is the least or the largest value allowed.
    by_group : bool
        Whether alarms and positives are counted by group.
    program : ProgramOutcome, one such a label, or None
        What each bound of a :class:`~metricopt.Program` reaches; None for other objectives.
    label_names : tuple of str
        The names of the labels, by which the text calls them; empty where they have none.
    """

    threshold: Array
    value: Array
    bounded_value: Array | None
    counts: Counts
    feasible: Array
    num_alarms: Array | None = None
    confidence: float | None = None
    limit: Array | None = None
    supported: Array | None = None
    num_more_positives: Array | None = None
    empirical: ThresholdChoice | None = None
    metric_name: Any = "value"
    bounded_name: str | None = None
    bound: Array | None = None
    bound_direction: Literal["min", "max"] = "min"
    by_group: bool = False
    program: Any = None
    label_names: tuple[str, ...] = ()

    def __getitem__(self, label: int) -> ThresholdChoice:
        """Return the choice for one label of several."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: value[label] for name, value in own.items() if name in _PER_LABEL and value is not None}
        if self.program is not None:
            arrays["program"] = self.program[label]
        if isinstance(self.metric_name, tuple):
            arrays["metric_name"] = self.metric_name[label]
        return replace(self, **arrays, empirical=None if self.empirical is None else self.empirical[label])

    def of_rows(self, columns: Mapping[str, SubgroupColumn], per: str, num_rows: int) -> np.ndarray:
        """Return the threshold of each row and label where each subgroup of the column ``per`` has its own.

        Returns
        -------
        ndarray, shape (n, L), float64
            A row of a subgroup that is not known has the shared threshold.

        Warns
        -----
        UserWarning
            If there are such rows.
        """
        column, thresholds = columns[per], []
        for label in range(len(self.threshold)):
            own, shared = self.program[label].thresholds or {}, float(self.threshold[label])
            thresholds.append(np.array([own.get(value, shared) for value in column.values])[column.of_row])
        known = self.program[0].thresholds or {}
        unseen = [value for value in column.values if value not in known]
        if unseen and known:
            rows = int(np.isin(column.of_row, [column.values.index(value) for value in unseen]).sum())
            names = ", ".join(unseen[:5]) + (", ..." if len(unseen) > 5 else "")
            are = "row is" if rows == 1 else "rows are"
            text = f"{rows} {are} of subgroups that chose no threshold ({per}={names})"
            warnings.warn(f"{text}: the shared threshold is theirs.", UserWarning, stacklevel=4)
        return np.column_stack(thresholds).reshape(num_rows, len(self.threshold))

    @property
    def advice(self) -> str | tuple[str | None, ...] | None:
        """What the evidence lacks, in one sentence; None where nothing is missing. One entry a label."""
        if np.ndim(self.threshold):
            return tuple(self[label]._missing() for label in range(len(self.threshold)))
        return self._missing()

    @property
    def _bounds(self) -> tuple[BoundOutcome, ...]:
        return () if self.program is None else self.program.bounds

    @property
    def holds_by_definition(self) -> bool:
        """Whether the bounded metric of one label can have no other value, as recall where every row is flagged."""
        return self.limit is not None and float(self.limit) == (1 if self.bound_direction == "min" else 0)

    def __str__(self) -> str:
        """Return threshold, counts and metrics as a person reads them, one block a label."""
        if not np.ndim(self.threshold):
            return "\n".join(self._lines())
        blocks = []
        for label in range(len(self.threshold)):
            first, *rest = self[label]._lines()
            name = self.label_names[label] if self.label_names else f"label {label}"
            blocks.append("\n".join([f"{name}: {first}", *rest]))
        return "\n".join(blocks)

    def _lines(self) -> list[str]:
        rows = [("threshold", f"{float(self.threshold):.6g}"), ("alarms", self._alarms())]
        rows.append((self.metric_name.replace("_", " "), f"{float(self.value):.3f}"))
        if self.bounded_name is not None:
            rows.append((self.bounded_name.replace("_", " "), self._bounded()))
        elif self.program is not None:
            rows += [(each.name, each.said(self.confidence is not None)) for each in self.program.bounds]
        if self.program is not None:
            own = self.program.thresholds or {}
            rows += [(f"threshold of {name}", f"{value:.6g}") for name, value in own.items()]
            if self.program.gap_in_words is not None:
                rows.append(("gap", self.program.gap_in_words))
        width = max(len(name) for name, _ in rows)
        lines = [self._headline(), *(f"  {name:<{width}}  {text}" for name, text in rows)]
        advice = self._missing()
        if advice is not None:
            lines.append(f"  {advice}")
            if self.empirical is not None and self.empirical.feasible and self.empirical.num_alarms:
                lines.append(f"  The best cut on these rows, which this does not support: {self.empirical._short()}")
        return lines

    def _headline(self) -> str:
        if np.isnan(float(self.threshold)):
            return "no threshold"
        if self.bounded_name is None and not self._bounds:
            return f"the best {self.metric_name.replace('_', ' ')} on these rows"
        asked = self._asked()
        verb = "are" if len(self._bounds) > 1 else "is"
        if self.supported is None or self.confidence is None:
            one, many = ("holds", "hold") if self.feasible else ("does not hold", "do not all hold")
            return f"{asked} {many if len(self._bounds) > 1 else one} on these rows"
        if self.supported:
            return f"{asked} {verb} supported with confidence {self.confidence:g}"
        counts = self.counts
        if not counts.true_positives + counts.false_positives:
            done = ", so no alarm is raised"
        elif not counts.false_negatives + counts.true_negatives:
            done = ", so every row is flagged"
        else:
            done = ""
        return f"{asked} {verb} not supported with confidence {self.confidence:g}{done}"

    def _asked(self) -> str:
        if self.bounded_name is None:
            return str(self.program.asked)
        relation = ">=" if self.bound_direction == "min" else "<="
        return f"{str(self.bounded_name).replace('_', ' ')} {relation} {float(np.asarray(self.bound)):g}"

    def _alarms(self) -> str:
        counts = self.counts
        right, wrong, missed = (
            _number(number) for number in (counts.true_positives, counts.false_positives, counts.false_negatives)
        )
        text = f"{_number(counts.true_positives + counts.false_positives)}: {right} right, {wrong} wrong"
        text += f"; {missed} positive{'s' * (missed != '1')} missed"
        return text if not self.by_group or self.num_alarms is None else f"{text}; {float(self.num_alarms):g} groups"

    def _bounded(self) -> str:
        value = float(np.asarray(self.bounded_value))
        text = "undefined without alarms" if np.isnan(value) else f"{value:.3f}"
        if self.limit is None or np.isnan(float(self.limit)):
            return text
        if self.holds_by_definition:
            return f"{text} by definition"
        side = "at least" if self.bound_direction == "min" else "at most"
        return f"{text}, on new rows {side} {float(self.limit):.3f} with confidence {self.confidence:g}"

    def _short(self) -> str:
        parts = [f"threshold {float(self.threshold):.6g}", f"{self.metric_name.replace('_', ' ')} {self.value:.3f}"]
        if self.bounded_name is None:
            return ", ".join([*parts, *(f"{each.name} {each.said(False)}" for each in self._bounds)])
        return ", ".join([*parts, f"{str(self.bounded_name).replace('_', ' ')} {self._bounded()}"])

    def _missing(self) -> str | None:
        if np.isnan(float(self.threshold)):
            return "There are no positives to choose by."
        if self.supported is None or self.supported or self.empirical is None or self.num_more_positives is None:
            return None
        best = self.empirical
        if not best.feasible and self.bounded_name is None:
            return str(best.program.clash_in_words)
        if not best.feasible:
            name, nearest = str(self.bounded_name).replace("_", " "), float(np.asarray(best.bounded_value))
            if np.isnan(nearest):
                return f"The {name} is undefined on these rows at any threshold."
            return f"No cut meets the bound on these rows: the nearest {name} is {nearest:.3f}."
        unit, more = ("group", "groups with positives") if self.by_group else ("alarm", "positives")
        num = float(np.asarray(best.num_alarms))
        if not num:
            return "The best cut raises no alarm: it meets the bound, but finds no positive."
        if self.bounded_name is None:
            lacking: str | None = best.program.lacking_in_words(float(self.num_more_positives), more)
            if lacking is not None:
                return lacking
        stands = f"{num:g} {unit}{'s stand' if num != 1 else ' stands'} behind the best cut"
        needed = float(self.num_more_positives)
        if not needed:
            finds = "find no positive or do not meet it in every fold"
            return f"{stands}. All rows together support the bound at some cuts, but these {finds}."
        if np.isnan(needed):
            return f"{stands}, and no cut is better than the bound: more rows like these are not enough."
        return f"{stands}; about {needed:.0f} more {more}, with their negatives, are needed."


def _number(count: Array) -> str:
    """Return a count as text; sums of weights to one digit behind the point."""
    return f"{round(float(count), 1):.12g}"


_PER_LABEL = {
    *("threshold", "value", "bounded_value", "counts", "feasible"),
    *("num_alarms", "limit", "supported", "num_more_positives", "bound"),
}


_WITHOUT_BOUND = {"supported": True, "num_more_positives": 0.0}


def gather(choices: list[ThresholdChoice], give_back: Any) -> ThresholdChoice:
    """Return the choices of single labels as one; ``give_back`` makes an array of one entry a label."""
    first = choices[0]
    arrays = {}
    for name in _PER_LABEL - {"counts"}:
        own = [getattr(choice, name) for choice in choices]
        if any(each is not None for each in own):  # labels without a bound, among others, have nothing to support
            arrays[name] = give_back([_WITHOUT_BOUND.get(name, np.nan) if each is None else each for each in own])
    names = tuple(choice.metric_name for choice in choices)
    if len(set(names)) > 1:
        first = replace(first, metric_name=names)
    counts = Counts(*(give_back([getattr(c.counts, field.name) for c in choices]) for field in fields(Counts)))
    empirical = None if first.empirical is None else gather([_empirical(choice) for choice in choices], give_back)
    program: Any = None if first.program is None else tuple(choice.program for choice in choices)
    if program is not None and np.ndim(arrays["threshold"]) == 0:
        (program,) = program
    return replace(first, **arrays, program=program, counts=counts, empirical=empirical)


def _empirical(choice: ThresholdChoice) -> ThresholdChoice:
    assert choice.empirical is not None
    return choice.empirical
