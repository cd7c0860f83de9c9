"""Whether slacks mean what the model does: the two put side by side.

A solver with explicit slacks optimizes the metric that its slacks make. This file decides what is compared with the
model's own indicators, and how much may differ.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

TOLERANCE = 0.01


@dataclass(frozen=True)
class SlackAgreement:
    """The slacks of one label, as they were when the returned weights were found, beside the model on training data.

    Attributes
    ----------
    label : str
    agreement : float, in [0, 1]
        The fraction of slacks within 1/2 of the model's indicator at the exact threshold of the training scores (for
        average precision, of the indicators of pairs of samples); NaN without any.
    worst_violation : float
        The largest violation of a link, in spreads of the scores or in units of the slack, whichever is less.
    value, model_value : float
        The metric that the objective maximises, by slacks and by the model.
    bounded_value, model_bounded_value : float or None
        The metric that the bound speaks of, by slacks and by the model; None without a bound.
    """

    label: str
    agreement: float
    worst_violation: float
    value: float
    model_value: float
    bounded_value: float | None = None
    model_bounded_value: float | None = None

    @property
    def holds(self) -> bool:
        """Whether slacks and model differ by at most 1 %, in indicators and in both metrics; True without slacks."""
        if np.isnan(self.agreement):
            return True
        pairs = [(1.0, self.agreement), (self.value, self.model_value)]
        if self.bounded_value is not None and self.model_bounded_value is not None:
            pairs.append((self.bounded_value, self.model_bounded_value))
        return all(np.isnan(model) or abs(slack - model) <= TOLERANCE for slack, model in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes in the terms of JSON: None stands for NaN; without a bound its metric is left out."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: None if value != value else value for name, value in given.items()}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> SlackAgreement:
        """Return what :meth:`to_dict` wrote down."""
        values: dict[str, Any] = {name: np.nan if value is None else value for name, value in saved.items()}
        return cls(**values)

    def __str__(self) -> str:
        text = f"{self.agreement:.2%} agree, metric {self.value:.3f} by slacks, {self.model_value:.3f} by the model"
        if self.bounded_value is not None:
            text += f"; bounded metric {self.bounded_value:.3f} and {self.model_bounded_value:.3f}"
        return f"{text}; worst link violation {self.worst_violation:.2g} (training data, at their own best threshold)"
