"""Several labels, each with a program of its own.

This file decides what such an objective is. Each label is chosen for, trained and reported by its own program; what is
asked of a single label is decided in :mod:`metricopt.problem.program`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metricopt._validation import reject
from metricopt.problem.bounds import MetricBound
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.problem.program import Program
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import Counts


class ProgramOfLabel(Program):
    """The program of one label among others, whose bounds are told one by one even where there is a single one."""

    @property
    def name(self) -> str:
        """The name under which programs are saved."""
        return Program.__name__

    @property
    def only_bound(self) -> None:
        """None: beside other programs, a single bound is one of a list."""

    @classmethod
    def of(cls, label: str, objective: Objective) -> ProgramOfLabel:
        """Return what an objective asks, as a program.

        Raises
        ------
        InvalidInputError
            If it is a metric of the ranking, or has a threshold for each subgroup.
        """
        if not isinstance(objective, CountObjective):
            remedy = "ask for OAP of all labels, or for a metric of counts such as 'f1'"
            reject(f"the objective of {label!r}", "one with counts at a threshold", objective.name, remedy)
        if isinstance(objective, Program) and objective.threshold_per is not None:
            got, remedy = f"one for each {objective.threshold_per}", "ask for such labels one by one"
            reject(f"the threshold of {label!r}", "one for all rows, among several programs", got, remedy)
        return cls(objective.maximised, objective.bounds)


@dataclass(frozen=True)
class LabelPrograms(Objective):
    """A program for each label.

    Parameters
    ----------
    labels : tuple of str
        The names of the labels, in their order.
    programs : tuple of ProgramOfLabel
    """

    labels: tuple[str, ...]
    programs: tuple[ProgramOfLabel, ...]

    def __post_init__(self) -> None:
        """Leave out the check of a bound: the programs have theirs."""

    @classmethod
    def of(cls, asked: Mapping[str, Objective]) -> LabelPrograms:
        """Return what is asked of each label, by name.

        Raises
        ------
        InvalidInputError
            As :meth:`ProgramOfLabel.of` does, or if nothing is asked.
        """
        if not asked:
            reject("objective", "given for one label at least", "an empty dict", "give {label name: objective}")
        return cls(tuple(asked), tuple(ProgramOfLabel.of(label, own) for label, own in asked.items()))

    @property
    def metric_name(self) -> str:
        """The metric that all programs maximise, or all of them."""
        return " / ".join(dict.fromkeys(program.metric_name for program in self.programs))

    @property
    def threshold_objective(self) -> Any:
        """The objective itself."""
        return self

    @property
    def bounds(self) -> tuple[MetricBound, ...]:
        """The bounds of all labels, each once."""
        return tuple(dict.fromkeys(bound for program in self.programs for bound in program.bounds))

    @property
    def only_bound(self) -> None:
        """None: each label has bounds of its own."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of subgroups that the programs speak of."""
        return tuple(dict.fromkeys(name for program in self.programs for name in program.columns))

    def for_labels(self, num_labels: int) -> tuple[Objective, ...]:
        """Return the program of each label.

        Raises
        ------
        InvalidInputError
            If there is another number of labels.
        """
        if num_labels != len(self.programs):
            rule, got = f"a program for each of {num_labels} labels", f"those of {', '.join(self.labels)}"
            reject("objective", rule, got, "give {label name: objective}")
        return self.programs

    def times(self, number: int) -> LabelPrograms:
        """Return the same for each of several replicas, one after the other."""
        return LabelPrograms(self.labels * number, self.programs * number)

    def some(self, columns: slice) -> LabelPrograms:
        """Return what is asked of some of the labels."""
        return LabelPrograms(self.labels[columns], self.programs[columns])

    def measure(self, ranking: Ranking, counts: Counts) -> float:
        """Reject: each label is measured by its own program."""
        raise NotImplementedError("measure by the program of a label: objective.for_labels(...)[label]")

    def to_dict(self) -> dict[str, Any]:
        """Return text and numbers alone, for JSON."""
        return {"programs": {label: own.to_dict() for label, own in zip(self.labels, self.programs, strict=True)}}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> LabelPrograms:
        """Return the objective that :meth:`to_dict` wrote down."""
        return cls.of({label: Program.from_dict(own) for label, own in saved["programs"].items()})

    def __str__(self) -> str:
        return "; ".join(f"{label}: {own}" for label, own in zip(self.labels, self.programs, strict=True))
