"""Numbers as JSON can hold them, and back: it knows neither NaN nor infinity.

This file decides how they are written. What is written is decided by reports, results and states.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def plain_number(value: float) -> float | str | None:
    """Return a number as JSON can hold it: None for NaN, and text for infinity, which ``float`` reads.

    Examples
    --------
    >>> [plain_number(value) for value in (0.5, np.inf, np.nan)]
    [0.5, 'inf', None]
    """
    return None if np.isnan(value) else str(float(value)) if np.isinf(value) else float(value)


def without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Return the same with :func:`plain_number` of each float."""
    return {key: plain_number(value) if isinstance(value, float) else value for key, value in values.items()}


def with_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Return what :func:`without_nan` was given: NaN for None, unless a label has no bound or a solver no multiplier.

    Examples
    --------
    >>> with_nan({"value": None, "bounded_metric": "precision", "bounded_value": None, "multiplier": None})
    {'value': nan, 'bounded_metric': 'precision', 'bounded_value': nan, 'multiplier': None}
    >>> with_nan({"threshold": "inf", "bounded_metric": None})
    {'threshold': inf, 'bounded_metric': None}
    """
    may_be_none = {"multiplier", "agreement", "bounded_metric", "bound", "met", "prevalence"}
    if values["bounded_metric"] is None:
        may_be_none.add("bounded_value")
    numbers = {None: np.nan, "inf": np.inf, "-inf": -np.inf}
    return {
        key: numbers[value] if value in ("inf", "-inf") or (value is None and key not in may_be_none) else value
        for key, value in values.items()
    }
