"""What others published on the toy problem of Rath and Hughes: quoted in reports, not run.

All are linear classifiers on the 570 points of :func:`metricopt.data.rath_hughes_toy`, by the recall that they reach
at a precision of .9 or more. The best possible is 29/120 = .242.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

_RATH_HUGHES = (
    "P. Rath, M. C. Hughes (2022). Optimizing early warning classifiers to control false alarms via a minimum "
    "precision constraint. AISTATS."
)


@dataclass(frozen=True)
class PublishedFigure:
    """A figure of a paper.

    Attributes
    ----------
    method : str
    recall : float or None
        At precision >= .9; None where no threshold reaches that precision.
    seconds : float or None
        As published, on another machine; None where the paper does not say.
    note : str
        What belongs to the figure.
    paper : str
        Of the method.
    source : str
        Of the figure.
    """

    method: str
    recall: float | None
    seconds: float | None
    note: str
    paper: str
    source: str = _RATH_HUGHES


PUBLISHED = (
    PublishedFigure(
        "cross-entropy, then the best threshold",
        None,
        None,
        "never reaches precision .9",
        _RATH_HUGHES,
    ),
    PublishedFigure(
        "hinge bound (TensorFlow Constrained Optimization)",
        None,
        None,
        "stops at precision .79",
        "E. Eban, M. Schain, A. Mackey, A. Gordon, R. Rifkin, G. Elidan (2017). Scalable learning of non-decomposable "
        "objectives. AISTATS.",
    ),
    PublishedFigure(
        "adversarial prediction (AP-Perf)",
        0.11,
        3000.0,
        "about 3000 s",
        "R. Fathony, J. Z. Kolter (2020). AP-Perf: incorporating generic performance metrics in differentiable "
        "learning. AISTATS.",
    ),
    PublishedFigure(
        "sigmoid bound",
        0.23,
        15.0,
        "the best of 300 random starts for each of 5 penalties, about 15 s",
        _RATH_HUGHES,
    ),
)


def published_figures() -> pd.DataFrame:
    """Return the figures as a table, indexed by method."""
    return pd.DataFrame([vars(figure) for figure in PUBLISHED]).set_index("method")
