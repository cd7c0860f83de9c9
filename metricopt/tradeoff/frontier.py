"""What trainings along a list of bounds lead to: the best model for each bound, beside cross-entropy's.

This file decides what is said of them. It leaves pictures to :mod:`metricopt.plots`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._validation import check_choice
from metricopt.evidence.reports import Report
from metricopt.results.result import FitResult

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CROSS_ENTROPY = "cross-entropy"


@dataclass(frozen=True, repr=False)
class Tradeoff:
    """Models along a list of bounds.

    Attributes
    ----------
    bounds : tuple of float, ascending
        The bounds.
    results : tuple of FitResult
        One result for each bound. Of all models that were trained, it is the best on the selection data for that bound.
    cross_entropy : tuple of FitResult
        The same, of as many models that were trained with cross-entropy for as many epochs.
    """

    bounds: tuple[float, ...]
    results: tuple[FitResult, ...]
    cross_entropy: tuple[FitResult, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row for each method, bound, data set (train, validation) and label.

        Returns
        -------
        DataFrame
            The columns are method, bound, trained_for (the bound that the model was trained for), data, label, metric,
            value, low and high (the 95 % interval of the value, NaN if it is not a fraction of samples),
            bounded_metric, bound_direction, bounded_value, met, threshold, status.
        """
        return self._frame(lambda result: [part for part in (result.train, result.validation) if part is not None])

    def evaluate(self, test_data: Any, *, data: str = "test") -> pd.DataFrame:
        """Return the same table for other data.

        Parameters
        ----------
        test_data : DataLoader, Dataset of (x, y), or tuple (x, y)
            The other data.
        data : str
            The name of the data in the table.
        """
        return self._frame(lambda result: [result.evaluate(test_data, data=data)])

    def plot(self, ax: Axes | None = None, *, label: str | None = None) -> Axes:
        """Draw the values at all bounds on the selection data, for the objective and for cross-entropy.

        Parameters
        ----------
        ax : Axes, optional
            The axes to draw into. The default is those of a new figure.
        label : str, optional
            The label that is drawn. The default is the first.

        Returns
        -------
        Axes
            ``.figure.savefig("tradeoff.png")`` writes the picture.
        """
        from metricopt.plots import plot_frontier

        first = self.results[0]
        if label is not None:
            check_choice("label", label, first.label_names)
        name, frame = label or first.label_names[0], self.to_frame()
        chosen = frame[(frame["data"] == first.selection.data) & (frame["label"] == name)]
        return plot_frontier(chosen, ax=ax, title=f"{name}: {first.objective.name} on {first.selection.data} data")

    def _frame(self, reports_of: Callable[[FitResult], Sequence[Report]]) -> pd.DataFrame:
        import pandas as pd

        rows = []
        methods = {self.results[0].objective.name: self.results, CROSS_ENTROPY: self.cross_entropy}
        for method, results in methods.items():
            for bound, result in zip(self.bounds, results, strict=True):
                for report in reports_of(result):
                    for own, status in zip(report, result.statuses, strict=True):
                        low, high = own.intervals.get(own.metric, (np.nan, np.nan))
                        rows.append(
                            {
                                "method": method,
                                "bound": bound,
                                "trained_for": next((record["bound"] for record in result.history), np.nan),
                                "data": report.data,
                                "label": own.label,
                                "metric": own.metric,
                                "value": own.value,
                                "low": low,
                                "high": high,
                                "bounded_metric": own.bounded_metric,
                                "bound_direction": result.objective.bound_direction,
                                "bounded_value": own.bounded_value,
                                "met": bool(own.met),
                                "threshold": own.threshold,
                                "status": status.value,
                            }
                        )
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        lines = [f"Tradeoff on {self.results[0].selection.data!r} data"]
        for bound, own, other in zip(self.bounds, self.results, self.cross_entropy, strict=True):
            lines += [f"  {bound:g}: {own!r}", f"  {' ' * len(f'{bound:g}')}  {CROSS_ENTROPY} {other!r}"]
        return "\n".join(lines)
