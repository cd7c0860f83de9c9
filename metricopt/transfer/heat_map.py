"""A matrix of numbers as a picture of shades, with the numbers written into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NUMBERS = 12
"""With more rows or columns than this there is no room for the numbers."""


def plot_heat_map(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    label: str = "",
    row_label: str = "",
    column_label: str = "",
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw a matrix with its first row at the bottom, so that depth grows upwards and to the right.

    Parameters
    ----------
    values : ndarray, shape (len(rows), len(columns))
        The matrix. NaN stays white.
    rows, columns : sequence of str
        The names of rows and columns.
    limits : (float, float)
        The values of the lightest and the darkest shade.
    label, row_label, column_label : str
        The names of the values, of the rows and of the columns.
    ax : Axes, optional
        The axes to draw into. The default is those of a new figure.
    title : str
        The title of the picture.

    Returns
    -------
    Axes
        ``.figure.savefig("matrix.png")`` writes the picture.

    Examples
    --------
    >>> ax = plot_heat_map(np.eye(2), ["a", "b"], ["c", "d"], label="likeness")
    >>> [text.get_text() for text in ax.texts]
    ['1.00', '0.00', '0.00', '1.00']
    """
    if ax is None:
        from matplotlib.figure import Figure

        size = (2.6 + 0.55 * len(columns), 2.2 + 0.45 * len(rows))
        ax = Figure(figsize=size, layout="constrained").subplots()
    low, high = limits
    # Light to dark in one hue, so that it also reads in grey print.
    image = ax.imshow(values, cmap="Blues", vmin=low, vmax=high, origin="lower", aspect="auto")
    if max(len(rows), len(columns)) <= _MOST_NUMBERS:
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            if not np.isnan(value):
                style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "x-small"}
                color = "white" if value > low + 0.6 * (high - low) else "black"
                ax.text(column, row, f"{value:.2f}", color=color, **style)
    ax.set_xticks(range(len(columns)), columns, rotation="vertical", fontsize="small")
    ax.set_yticks(range(len(rows)), rows, fontsize="small")
    ax.set(xlabel=column_label, ylabel=row_label)
    ax.set_title(title, fontsize="medium")
    ax.figure.colorbar(image, ax=ax, label=label)
    return ax
