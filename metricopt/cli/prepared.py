"""A table's rows as they train and test: features by part, and what is to be said of the table.

This file decides what each part holds; the table itself is not needed after that, so that its memory is free. It leaves
which rows are in which part to :mod:`metricopt.cli.parts`, and training to :mod:`metricopt.cli.table_run`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from metricopt.cli.options import Options
from metricopt.cli.parts import Dates, choose_apart, divide
from metricopt.data import Findings, Table, TablePreprocessor
from metricopt.evidence.subgroups import SubgroupColumn, crossed_subgroups, read_subgroups
from metricopt.problem.objectives import Objective
from metricopt.training.holdout import DEFAULT_FRACTION


@dataclass(frozen=True)
class PreparedRows:
    """The rows of a table by part: ``"train"``, ``"test"`` and, without folds, ``"validation"``.

    Attributes
    ----------
    label, positive : str
        The label column, and its value that counts as positive.
    preprocessor : TablePreprocessor
        The preprocessing of the features.
    data : dict of str to tuple (x, y)
        The features, shape (n, d), and the labels, shape (n,), of each part, float32.
    groups : list or None
        The group of each row that trains.
    subgroups : dict of str to dict of str to SubgroupColumn
        The columns that the objective names, by part.
    num_unlabelled : int
        The number of rows that were left out because they have no label.
    meaning : str
        A sentence on which class is positive.
    divided : str
        A sentence on how the test rows were taken; "" where chance took them.
    caveats : tuple of str
        Reasons to look at the table again.
    findings : Findings
        The cells of the table that are no number or no known category.
    """

    label: str
    positive: str
    preprocessor: TablePreprocessor
    data: dict[str, tuple[torch.Tensor, torch.Tensor]]
    groups: list[Any] | None
    subgroups: dict[str, dict[str, SubgroupColumn]]
    num_unlabelled: int
    meaning: str
    divided: str
    caveats: tuple[str, ...]
    findings: Findings


def prepare(
    table: Table,
    groups: np.ndarray | None,
    objective: Objective,
    options: Options,
    *,
    subgroups: Mapping[str, Sequence[str]] | None = None,
    dates: Dates | None = None,
    num_processes: int = 1,
) -> PreparedRows:
    """Divide the rows of a table, and turn its columns into features.

    With folds the preprocessing is learnt from all rows but those of the test, else from the training rows alone: to
    it, all other rows are new. With dates the last rows are the test. Subgroups are the columns that the objective
    names, with a value for each row.
    """
    columns = read_subgroups(subgroups, objective.columns, len(table))
    labelled = np.flatnonzero(~np.isnan(table.labels))
    num_unlabelled = len(table) - len(labelled)
    if num_unlabelled:
        table, groups = table.take(labelled), None if groups is None else groups[labelled]
        dates = dates and dates.take(labelled)
        columns = _taken(columns, labelled)
    of_row = crossed_subgroups(columns)
    parts = divide(table.labels, groups, dates, options.test_fraction, options.seed, of_row)
    rows = {"train": parts.rest, "test": parts.test}
    has_folds = options.folds is not None and (options.folds != "auto" or num_processes == 1)
    if options.val_fraction != 0 and (options.val_fraction is not None or not has_folds):
        fraction = DEFAULT_FRACTION if options.val_fraction is None else options.val_fraction
        rows["train"], rows["validation"] = choose_apart(
            table.labels, groups, parts.rest, fraction / (1 - options.test_fraction), options.seed, of_row
        )
    preprocessor = TablePreprocessor.fit(table.features, rows["train"], dates=options.days)
    features, findings = preprocessor.transform_with_findings(table.features)
    labels = torch.from_numpy(table.labels).float()
    return PreparedRows(
        label=table.label,
        positive=table.positive,
        preprocessor=preprocessor,
        data={name: (torch.from_numpy(features[own]), labels[own]) for name, own in rows.items()},
        groups=None if groups is None else groups[rows["train"]].tolist(),
        subgroups={name: _taken(columns, own) for name, own in rows.items()},
        num_unlabelled=num_unlabelled,
        meaning=table.meaning,
        divided=parts.said,
        caveats=table.caveats,
        findings=findings,
    )


def _taken(columns: Mapping[str, SubgroupColumn], rows: np.ndarray) -> dict[str, SubgroupColumn]:
    return {name: column.take(rows) for name, column in columns.items()}
