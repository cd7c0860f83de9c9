"""A run's folder read again, whichever command wrote it: its result, and which columns of a table it needs.

This file decides how rows of a new table become what the result takes: features for a model, or scores where there is
no model. It leaves the folder of `metricopt fit` to :mod:`metricopt.cli.run_folder`, and that of `metricopt threshold`
to :mod:`metricopt.cli.written`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._validation import check_choice, reject
from metricopt.cli.run_folder import load_run
from metricopt.data import Findings, TablePreprocessor, read_pieces
from metricopt.data.tables.numbers import read_numbers, read_plain
from metricopt.problem.classes import Classes
from metricopt.results.result import FitResult, load

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = "columns.json"
FORMAT = 1


@dataclass(frozen=True)
class Columns:
    """The columns of a table that a run needs.

    Attributes
    ----------
    labels : tuple of str
    scores : tuple of str
        One for each label; empty for a run with a model.
    positive : str or None
        The value of the label that counts as 1, for a run with a model.
    """

    labels: tuple[str, ...]
    scores: tuple[str, ...] = ()
    positive: str | None = None

    def write(self, folder: Path) -> None:
        """Write the columns into the folder of a run."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1)
        (folder / COLUMNS).write_text(text + "\n", encoding="utf-8")

    def labels_of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the label columns of a table, as numbers where they hold nothing else; reject a missing one."""
        import pandas as pd

        if not self.labels:
            reject("run", "a folder with report.json, which names the label", "none", "give the folder of the fit")
        found = {}
        for name in self.labels:
            check_choice("label", name, frame.columns)
            numbers = read_plain(frame[name])
            found[name] = frame[name] if numbers is None else pd.Series(numbers, frame.index)
        return pd.DataFrame(found)

    @classmethod
    def read(cls, folder: Path) -> Columns:
        """Return the columns that :meth:`write` or `metricopt fit` wrote."""
        path = folder / COLUMNS
        if not path.is_file():
            report = folder / "report.json"
            if not report.is_file():  # predictions need no label
                return cls(())
            fitted = json.loads(report.read_text(encoding="utf-8"))
            return cls((fitted["label"],), positive=fitted["positive"])
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["format"] != FORMAT:
            reject("run", f"a result of format {FORMAT}", saved["format"], "update metricopt")
        return cls(tuple(saved["labels"]), tuple(saved["scores"]), saved["positive"])


@dataclass(frozen=True)
class SavedRun:
    """The result of a run, with what it needs of a table.

    Attributes
    ----------
    result : FitResult
    columns : Columns
    preprocessor : TablePreprocessor or None
        None for a result without a model.
    """

    result: FitResult
    columns: Columns
    preprocessor: TablePreprocessor | None

    @classmethod
    def load(cls, folder: Path) -> SavedRun:
        """Read a run.

        Raises
        ------
        InvalidInputError
            If the folder holds no run, or a damaged one.
        """
        if not (folder / COLUMNS).is_file() and not (folder / "preprocessing.json").is_file():
            remedy = "give its --out folder; preprocessing.json or columns.json is missing in this one"
            reject("run", "a folder that `metricopt fit` wrote, or `metricopt threshold`", str(folder), remedy)
        has_model = (folder / "preprocessing.json").is_file()
        preprocessor, result = load_run(folder) if has_model else (None, load(folder / "model"))
        try:
            columns = Columns.read(folder)
        except (OSError, KeyError, TypeError, ValueError) as error:
            reject("run", "a folder with a readable result", str(folder), f"a file is damaged or missing: {error!r}")
        return cls(result, columns, preprocessor)

    def read(self, path: Path, wanted: Mapping[str, Sequence[str]]) -> tuple[Any, list[str], pd.DataFrame]:
        """Read a table piece by piece, so that a long one needs the memory of its features alone.

        Parameters
        ----------
        path : Path
            The file.
        wanted : dict of str to sequence of str
            The names of columns to keep, by the argument that names them.

        Returns
        -------
        data : ndarray or DataFrame
            What the result takes in place of the table, features or scores.
        notes : list of str
            Sentences on unusual cells.
        kept : DataFrame
            The columns to keep.

        Raises
        ------
        InvalidInputError
            If a column is missing, or holds other values than it should.
        """
        import pandas as pd

        findings, features, kept = Findings(0), [], []
        wanted = {**wanted, **({} if self.preprocessor is not None else {"score": self.columns.scores})}
        names = list(dict.fromkeys(name for own in wanted.values() for name in own))
        for piece in read_pieces(path):
            for argument, own in wanted.items():
                for name in own:
                    check_choice(argument, name, piece.columns)
            kept.append(piece[names])
            if self.preprocessor is not None:
                own_features, own_findings = self.preprocessor.transform_with_findings(piece)
                features.append(own_features)
                findings += own_findings
        frame = pd.concat(kept, ignore_index=True)
        if self.preprocessor is None:
            return scores_in(frame, self.columns.scores), [], frame
        return np.concatenate(features), list(findings.sentences), frame

    def predictions(self, data: Any, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a line for each row and label: the number of the row, score, risk, alarm, and the label's name.

        The risk is the calibrated probability; there is none where the training rows chose the threshold. ``frame``
        holds the column of subgroups where each has a threshold of its own.
        """
        import pandas as pd

        result, num_labels = self.result, len(self.result.label_names)
        scores = np.asarray(result.scores(data), np.float64).reshape(-1, num_labels)  # every digit, as text
        per = result.threshold_per
        own = None if per is None else {per: values_in(frame, "the column of subgroups", per)}
        alarms = result.alarms(scores, subgroups=own)
        risks = [
            np.full(len(scores), np.nan) if by is None else by(own)
            for own, by in zip(scores.T, result.calibrations, strict=True)
        ]
        return pd.DataFrame(
            {
                "row": np.repeat(np.arange(len(scores)), num_labels),
                "score": scores.ravel(),
                **({"risk": np.stack(risks, axis=1).ravel()} if any(result.calibrations) else {}),
                "alarm": alarms.ravel(),
                "label": np.tile(np.array(result.label_names, dtype=object), len(scores)),
            }
        )

    def labels(self, frame: pd.DataFrame) -> Any:
        """Return the labels of a table.

        Raises
        ------
        InvalidInputError
            If a label column is missing, or is of other classes.
        """
        labels = self.columns.labels_of(frame)
        if self.preprocessor is None:
            return labels
        (name,) = self.columns.labels
        classes = Classes.of(labels[name], self.columns.positive, label=name)
        return labels if classes is None else classes.encode(labels[name], label=name)


def scores_in(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the columns of a table that hold scores.

    Raises
    ------
    InvalidInputError
        If one is not there, holds text, or lacks a score.
    """
    import pandas as pd

    found = {}
    for name in names:
        check_choice("score", name, frame.columns)
        numbers, what = read_plain(frame[name]), f"score column {name!r}"
        if numbers is None:
            strange = read_numbers(frame[name]).strange
            first = repr(strange[min(strange)]) if strange else frame[name].dtype
            remedy = "name the column with the model's scores, written with a decimal point"
            reject(what, "of numbers", f"{first}", remedy)
        missing = np.flatnonzero(np.isnan(numbers))
        if len(missing):
            got = f"{len(missing)} rows without a score, the first is row {missing[0]}"
            reject(what, "given for every row", got, "leave such rows out, or score them")
        found[name] = numbers
    return pd.DataFrame(found)


def values_in(frame: pd.DataFrame, argument: str, name: str) -> list[str]:
    """Return a column of groups, folds or subgroups as text.

    Raises
    ------
    InvalidInputError
        If it is not there, or lacks a value.
    """
    check_choice(argument, name, frame.columns)
    if frame[name].isna().any():
        got = f"{int(frame[name].isna().sum())} missing values in {name!r}"
        reject(argument, "a column with a value in every row", got, "give such rows a value of their own")
    values: list[str] = frame[name].astype(str).tolist()
    return values
