"""What calibration data certify: thresholds, guarantees in words, what is given up, and what would be needed.

This file decides what a certificate holds and says. It leaves the statistics to
:mod:`metricopt.evidence.certification`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._validation import check_choice
from metricopt.evidence.reports import without_nan

if TYPE_CHECKING:
    from metricopt.results.result import FitResult


@dataclass(frozen=True)
class LabelCertificate:
    """What calibration data certify of one label; ``str()`` says it in words.

    Attributes
    ----------
    label : str
    metric : str
        What the bound speaks of, ``"precision"`` or ``"recall"``.
    bound, confidence : float
        It is at least ``bound`` on new data, in a share ``confidence`` of all draws of calibration data at least.
    prevalence : float or None
        Of the new data; None for that of the calibration data.
    threshold : float
        The certified one; NaN if none is.
    num_tested : int
        Thresholds that were tested.
    unit : str
        What the bound is judged by: ``"alarms"`` for precision, ``"positives"`` for recall, ``"negatives"`` for
        precision at another prevalence.
    num_units, num_right : int
        How many of them the calibration data have at the tuned threshold, and how many without an error.
    num_needed : int or None
        How many would do if none of them were an error. None if no number would: no positive is found.
    value_metric : str
        What is maximised.
    value, bounded_value : float
        This metric and the bounded one at the certified threshold, on the calibration data (at ``prevalence``).
    tuned_value, tuned_bounded_value : float
        The same at the tuned threshold: what is given up.
    """

    label: str
    metric: str
    bound: float
    confidence: float
    prevalence: float | None
    threshold: float
    num_tested: int
    unit: str
    num_units: int
    num_right: int
    num_needed: int | None
    value_metric: str
    value: float
    bounded_value: float
    tuned_value: float
    tuned_bounded_value: float

    @property
    def is_certified(self) -> bool:
        """Whether there is a certified threshold."""
        return not math.isnan(self.threshold)

    @property
    def num_positives_needed(self) -> int | None:
        """About how many positives the calibration data would need, if none of what is judged were an error.

        None where that depends on the negatives, or nothing is known of it.
        """
        if self.num_needed is None or self.unit == "negatives":
            return None
        if self.unit == "positives":
            return self.num_needed
        # Found positives are the right alarms.
        return math.ceil(self.num_needed / self.tuned_value) if self.tuned_value > 0 else None

    @property
    def guarantee(self) -> str:
        """What holds with which confidence, or why nothing does and what would be needed."""
        asked = f"{self.metric} of at least {self.bound:g}"
        sure = f"{100 * self.confidence:g} % confidence"
        if self.is_certified:
            where = "data drawn as the calibration data were"
            if self.prevalence is not None:
                where = f"data of a prevalence of {self.prevalence:g}, each class drawn as in the calibration data"
            return f"With {sure}, the threshold {self.threshold:.6g} has a {asked} on new {where}."
        if self.num_tested == 0:
            return "Nothing could be certified: the label has no threshold, or lacks a class in the calibration data."
        right = {"alarms": "right", "positives": "found", "negatives": "without a false alarm"}[self.unit]
        text = (
            f"No threshold could be certified for a {asked} with {sure}. At the tuned threshold {self.num_right} of "
            f"{self.num_units} {self.unit} in the calibration data are {right}"
        )
        if self.num_needed is None:
            return f"{text}; no number would do while no positive is found."
        if self.num_units >= self.num_needed:
            return (
                f"{text}. If all were, {self.num_needed} would do; with these errors it takes more calibration data, "
                "or a bound further away from what is reached."
            )
        positives = self.num_positives_needed
        about = f" (about {positives} positives)" if positives is not None and self.unit == "alarms" else ""
        return f"{text}: too few, it takes {self.num_needed} at least{about}, all of them {right}."

    def __str__(self) -> str:
        text = f"{self.label}: {self.guarantee}"
        if not self.is_certified:
            return text
        return (
            f"{text} On the calibration data it has {self.value_metric} {self.value:.3f} and {self.metric} "
            f"{self.bounded_value:.3f}, the tuned threshold {self.tuned_value:.3f} and {self.tuned_bounded_value:.3f}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and names alone, for JSON; NaN is None."""
        return without_nan(asdict(self))

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> LabelCertificate:
        """Return the certificate that :meth:`to_dict` wrote down."""
        numbers = {field.name for field in fields(cls) if field.type == "float"}
        values: Any = {name: np.nan if value is None and name in numbers else value for name, value in saved.items()}
        return cls(**values)


@dataclass(frozen=True)
class Certificate(Sequence[LabelCertificate]):
    """What calibration data certify: one :class:`LabelCertificate` a label; ``str()`` says it in words.

    With a single label its entries are the certificate's own: ``certificate.threshold``. With several, choose by
    position or name; each holds for its label by itself, so all together with less confidence.

    Attributes
    ----------
    labels : tuple of LabelCertificate
    result : FitResult
        At the certified thresholds. A label without one raises no alarm, and its status is ``not_certified``.
    """

    labels: tuple[LabelCertificate, ...]
    result: FitResult

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            check_choice("label", which, [each.label for each in self.labels])
            return next(each for each in self.labels if each.label == which)
        return self.labels[which]

    def __getattr__(self, name: str) -> Any:
        properties = {"is_certified", "num_positives_needed", "guarantee"}
        if name.startswith("__") or name not in {*LabelCertificate.__dataclass_fields__, *properties}:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if len(self.labels) != 1:
            first = self.labels[0].label
            raise AttributeError(
                f"this certificate has {len(self.labels)} labels: choose one, e.g. certificate[{first!r}].{name}"
            )
        return getattr(self.labels[0], name)

    def __str__(self) -> str:
        return "\n".join(map(str, self.labels))

    def __repr__(self) -> str:
        return f"Certificate({', '.join(f'{each.label}: {each.threshold:.6g}' for each in self.labels)})"
