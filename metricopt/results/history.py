"""The record of a training, epoch by epoch, that a result keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class History(list[dict[str, Any]]):
    """One record for each epoch and label: stage, epoch, loss, value, bounded value, feasible, multiplier, and so on.

    An epoch is chosen if its weights are those of the result, or among those whose average the result has.

    The agreement is the proportion of slacks that lie within 1/2 of the model's indicator, by the scores that the
    training samples had when the loss last saw them. It is None for a solver without slacks.
    """

    def to_frame(self) -> pd.DataFrame:
        """Return the records as a table with one row for each of them."""
        import pandas as pd

        return pd.DataFrame(list(self))
