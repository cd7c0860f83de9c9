"""Columns of a table as numbers, row by row: nothing is estimated, so nothing can leak from test rows to training rows.

This file decides how a missing value and a category become numbers. It leaves scaling to the benchmarks, which fit it
on the training rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def encode(table: pd.DataFrame, normal: Mapping[str, float] | None = None) -> NDArray[np.float64]:
    """Return a table as a matrix without NaN.

    A numeric column stays as it is; missing values become its normal value and, where they are at least 1 %, a column
    of 0 and 1 says so. Any other column is one-hot encoded, with a level of its own for missing values; two levels give
    one column. Columns that never vary are left out.

    Parameters
    ----------
    table : DataFrame, shape (n, k)
    normal : mapping of str to float, optional
        A constant for each numeric column with missing values, known beforehand and not taken from the data.

    Returns
    -------
    ndarray, shape (n, d), float64

    Raises
    ------
    KeyError
        When a numeric column has missing values and no normal value.

    Examples
    --------
    >>> table = pd.DataFrame({"age": [40.0, None], "sex": ["F", "M"], "stage": ["I", None]})
    >>> encode(table, normal={"age": 50.0})
    array([[40.,  0.,  0.,  1.],
           [50.,  1.,  1.,  0.]])
    """
    columns: list[NDArray[np.float64]] = []
    for name, column in table.items():
        missing = column.isna().to_numpy()
        if pd.api.types.is_numeric_dtype(column):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            columns.append(np.where(missing, (normal or {})[str(name)], values) if missing.any() else values)
            if missing.mean() >= 0.01:
                columns.append(missing.astype(np.float64))
        else:
            levels = np.where(missing, "", column.astype(str).to_numpy())  # the missing level sorts first
            one_hot = [(levels == level).astype(np.float64) for level in sorted(set(levels))]
            columns += one_hot[1:] if len(one_hot) == 2 else one_hot
    return np.column_stack([column for column in columns if np.ptp(column) > 0])
