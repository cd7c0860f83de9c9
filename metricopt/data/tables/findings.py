"""What a table holds that its preprocessing could not use.

This file decides how it is said. The cells are found by :mod:`metricopt.data.tables.preprocessing`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

_SHOWN = 5
_STRANGE = ("cell is no number and counts", "cells are no numbers and count")
_DOUBTFUL = (
    "cell is read as thousands, though it could be a decimal",
    "cells are read as thousands, though they could be decimals",
)
_UNKNOWN = ("row matches", "rows match")


class TableWarning(UserWarning):
    """Something in a table that is read in another way than its owner may think."""


@dataclass(frozen=True)
class Findings:
    """The cells of a table that the preprocessing counts as missing or as no category, by column.

    Attributes
    ----------
    num_rows : int
        The number of rows.
    missing : dict of str to int
        The number of missing cells of each numeric column that has some.
    strange : dict of str to dict
        The cells of numeric columns that are no numbers, by the name of their row. They count as missing.
    unknown : dict of str to Counter
        The texts of categorical columns that are no category that training kept, with their numbers of rows.
    absent : list of str
        The columns whose cells are all missing.
    doubtful : dict of str to dict
        The cells of numeric columns that could be thousands or decimals, by the name of their row: "1,234" where
        training wrote no thousands apart. They are read as thousands.
    """

    num_rows: int
    missing: dict[str, int] = field(default_factory=dict)
    strange: dict[str, dict[object, str]] = field(default_factory=dict)
    unknown: dict[str, Counter[str]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    doubtful: dict[str, dict[object, str]] = field(default_factory=dict)

    def __add__(self, other: Findings) -> Findings:
        """Return the findings of two tables of the same columns as those of one."""
        if not self.num_rows or not other.num_rows:
            return self if self.num_rows else other
        missing = {
            name: self.missing.get(name, 0) + other.missing.get(name, 0) for name in self.missing | other.missing
        }
        strange = {
            name: self.strange.get(name, {}) | other.strange.get(name, {}) for name in self.strange | other.strange
        }
        none: Counter[str] = Counter()
        unknown = {
            name: self.unknown.get(name, none) + other.unknown.get(name, none) for name in self.unknown | other.unknown
        }
        absent = [name for name in self.absent if name in other.absent]
        doubtful = {
            name: self.doubtful.get(name, {}) | other.doubtful.get(name, {}) for name in self.doubtful | other.doubtful
        }
        return Findings(self.num_rows + other.num_rows, missing, strange, unknown, absent, doubtful)

    @property
    def warnings(self) -> list[str]:
        """Sentences on cells that are there, but are no number or no known category, and on columns without values.

        In a single row, a missing value is nothing that needs a warning.
        """
        said = []
        for name, cells in self.strange.items():
            said.append(f"{name}: {_counted(len(cells), *_STRANGE)} as missing: {_in_rows(cells)}")
        for name, cells in self.doubtful.items():
            said.append(f"{name}: {_counted(len(cells), *_DOUBTFUL)}: {_in_rows(cells)}")
        for name, texts in self.unknown.items():
            shown = _listed([f"{text!r} ({number})" for text, number in texts.most_common()])
            said.append(f"{name}: {_counted(texts.total(), *_UNKNOWN)} no category that training kept: {shown}")
        if self.absent and self.num_rows > 1:
            said.append(f"Without any value: {', '.join(self.absent)}")
        return said

    @property
    def sentences(self) -> list[str]:
        """The warnings, and the number of missing cells in each numeric column that has some."""
        is_said = self.absent if self.num_rows > 1 else []
        counts = [f"{name} {number}" for name, number in self.missing.items() if name not in is_said]
        missing = f"Missing cells of {_counted(self.num_rows, 'row', 'rows')}: {', '.join(counts)}"
        return [*self.warnings, *([missing] if counts else [])]


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _in_rows(cells: dict[object, str]) -> str:
    return _listed([f"{text!r} in row {row}" for row, text in cells.items()])


def _listed(items: list[str]) -> str:
    rest = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f", and {rest:,} more" if rest > 0 else "")
