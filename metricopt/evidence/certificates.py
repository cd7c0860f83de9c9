"""What calibration data certify, and how that reads: a certificate of one bound, of several, and of all labels.

This file decides what certificates hold and say. It leaves certifying to :mod:`metricopt.evidence.certification` for
one bound and to :mod:`metricopt.evidence.program_certification` for several.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np

from metricopt.evidence.by_label import ByLabel, OfOnlyLabel
from metricopt.evidence.saved_numbers import without_nan

Entry = TypeVar("Entry", bound="OneLabel", covariant=True)
Result = TypeVar("Result")


@dataclass(frozen=True)
class OneLabel:
    """What certificates of one label have in common, whatever was to be certified.

    Attributes
    ----------
    label : str
    threshold : float
        The certified threshold; NaN if none could be certified.
    """

    label: str
    threshold: float

    @property
    def is_certified(self) -> bool:
        """Whether there is a certified threshold."""
        return not math.isnan(self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and names alone, for JSON; NaN is None."""
        return without_nan(asdict(self))


@dataclass(frozen=True)
class LabelCertificate(OneLabel):
    """What calibration data certify of one label; ``str()`` says it in words.

    Attributes
    ----------
    label : str
    threshold : float
        The certified threshold; NaN if none could be certified.
    metric : str
        What the bound speaks of, ``"precision"`` or ``"recall"``.
    bound, confidence : float
        The metric is at least ``bound`` on new data. This holds in at least a fraction ``confidence`` of all draws of
        calibration data.
    prevalence : float or None
        The prevalence of the new data; None stands for that of the calibration data.
    num_tested : int
        The number of thresholds that were tested.
    unit : str
        What the bound is judged by: ``"alarms"`` for precision, ``"positives"`` for recall, ``"negatives"`` for
        precision at another prevalence.
    num_units, num_right : int
        How many of these the calibration data have at the tuned threshold, and how many of them are without an error.
    num_needed : int or None
        How many would be enough if none of them were an error. It is None if no number would be, because no positive is
        found.
    value_metric : str
        The metric that is maximised.
    value, bounded_value : float
        This metric and the bounded one at the certified threshold, on the calibration data (at ``prevalence``).
    tuned_value, tuned_bounded_value : float
        The same at the tuned threshold; the differences are what is given up.
    num_groups : int or None
        How many groups the calibration data had, of each of which one row counted; None where every row did.
    """

    metric: str
    bound: float
    confidence: float
    prevalence: float | None
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
    num_groups: int | None = None

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
            where = on_which_data(self.prevalence, self.num_groups)
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

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> LabelCertificate:
        """Return the certificate that :meth:`to_dict` wrote down."""
        return cls(**numbers_of(saved, cls))


@dataclass(frozen=True)
class CertifiedBound:
    """One bound, over all rows or in one subgroup, at the certified threshold, or at the first tested if there is none.

    Attributes
    ----------
    name : str
        The metric and the rows, such as ``"recall in site=A"``.
    asked : str
        The relation and the number, such as ``">= 0.85"``.
    value : float
        The metric on the calibration data (at the prevalence that is meant); NaN where it is undefined.
    p_value : float
        How probable data as good as these are at most, if the bound were missed.
    num_rows : int
        How many rows of the calibration data decide on it: the alarms for precision, the positives for recall, ...
    num_needed : int or None
        How many such rows would be enough if none of them were an error; None where that is not known.
    """

    name: str
    asked: str
    value: float
    p_value: float
    num_rows: int
    num_needed: int | None

    def __str__(self) -> str:
        value = "undefined" if np.isnan(self.value) else f"{self.value:.3f}"
        return f"{self.name} {value} (asked {self.asked})"

    @property
    def lacking(self) -> str:
        """What is reached on how many rows, and how many there must be."""
        text = f"{self}, p = {self.p_value:.2g} on {self.num_rows} rows"
        if self.num_needed is None or self.num_needed <= self.num_rows:
            return text
        return f"{text} where it takes {self.num_needed} at least"


@dataclass(frozen=True)
class ProgramCertificate(OneLabel):
    """What calibration data certify of all bounds of one label together; ``str()`` says it in words.

    Attributes
    ----------
    label : str
    threshold : float
        The certified threshold; NaN if none could be certified.
    asked : str
        The bounds in words.
    confidence : float
        All bounds hold on new data in at least this fraction of all draws of calibration data.
    prevalence : float or None
        The prevalence of the new data; None stands for that of the calibration data.
    num_tested : int
        The number of thresholds that were to be tested.
    value_metric : str
        The metric that is maximised.
    value, tuned_value : float
        This metric on the calibration data at the certified and at the tuned threshold.
    bounds : tuple of CertifiedBound
    num_groups : int or None
        How many groups the calibration data had, of each of which one row counted; None where every row did.
    """

    asked: str
    confidence: float
    prevalence: float | None
    num_tested: int
    value_metric: str
    value: float
    tuned_value: float
    bounds: tuple[CertifiedBound, ...]
    num_groups: int | None = None

    @property
    def guarantee(self) -> str:
        """What holds with which confidence, or why nothing does and what would be needed."""
        sure, error = f"{100 * self.confidence:g} % confidence", 1 - self.confidence
        if self.is_certified:
            where = on_which_data(self.prevalence, self.num_groups)
            return f"With {sure}, the threshold {self.threshold:.6g} has {self.asked} on new {where}."
        if self.num_tested == 0:
            return "Nothing could be certified: the label has no threshold, or lacks a class in the calibration data."
        lacking = "; ".join(each.lacking for each in self.bounds if each.p_value > error)
        return (
            f"No threshold could be certified for {self.asked} with {sure}. At the likeliest one the calibration data "
            f"leave these bounds unsure, where p must be {error:.2g} at most: {lacking}."
        )

    def __str__(self) -> str:
        text = f"{self.label}: {self.guarantee}"
        if not self.is_certified:
            return text
        return (
            f"{text} On the calibration data it has {self.value_metric} {self.value:.3f} (the tuned threshold "
            f"{self.tuned_value:.3f}), {', '.join(map(str, self.bounds))}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and names alone, for JSON; NaN is None."""
        return {**super().to_dict(), "bounds": [without_nan(asdict(each)) for each in self.bounds]}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> ProgramCertificate:
        """Return the certificate that :meth:`to_dict` wrote down."""
        bounds = tuple(CertifiedBound(**numbers_of(each, CertifiedBound)) for each in saved["bounds"])
        return cls(**{**numbers_of(saved, cls), "bounds": bounds})


@dataclass(frozen=True)
class Certificate(ByLabel[Entry], Generic[Entry, Result]):
    """What calibration data certify, with one entry for each label; ``str()`` says it in words.

    An entry is a :class:`LabelCertificate` for ``FPOR`` and ``FROP``, and for all other bounds a
    :class:`ProgramCertificate`. With a single label its attributes are the
    certificate's own: ``certificate.threshold``. With several, choose by position or name; each holds for its label by
    itself, so all together hold with less confidence.

    Attributes
    ----------
    labels : tuple of LabelCertificate or ProgramCertificate
    result : FitResult
        The result at the certified thresholds. A label without one raises no alarm, and its status is
        ``not_certified``.
    """

    labels: tuple[Entry, ...]
    result: Result

    label = OfOnlyLabel[str]()
    metric = OfOnlyLabel[str]()
    bound = OfOnlyLabel[float]()
    confidence = OfOnlyLabel[float]()
    prevalence = OfOnlyLabel[float | None]()
    threshold = OfOnlyLabel[float]()
    num_tested = OfOnlyLabel[int]()
    unit = OfOnlyLabel[str]()
    num_units = OfOnlyLabel[int]()
    num_right = OfOnlyLabel[int]()
    num_needed = OfOnlyLabel[int | None]()
    value_metric = OfOnlyLabel[str]()
    value = OfOnlyLabel[float]()
    bounded_value = OfOnlyLabel[float]()
    tuned_value = OfOnlyLabel[float]()
    tuned_bounded_value = OfOnlyLabel[float]()
    num_groups = OfOnlyLabel[int | None]()
    asked = OfOnlyLabel[str]()
    bounds = OfOnlyLabel[Any]()
    is_certified = OfOnlyLabel[bool]()
    num_positives_needed = OfOnlyLabel[int | None]()
    guarantee = OfOnlyLabel[str]()

    def __str__(self) -> str:
        return "\n".join(map(str, self.labels))

    def __repr__(self) -> str:
        return f"Certificate({', '.join(f'{each.label}: {each.threshold:.6g}' for each in self.labels)})"


def certificate_from_dict(saved: dict[str, Any]) -> LabelCertificate | ProgramCertificate:
    """Return the certificate of one label that ``to_dict`` of either kind wrote down."""
    return ProgramCertificate.from_dict(saved) if "bounds" in saved else LabelCertificate.from_dict(saved)


def on_which_data(prevalence: float | None, num_groups: int | None) -> str:
    """Return which new data a certificate speaks of, in words."""
    where = "data drawn as the calibration data were"
    if prevalence is not None:
        where = f"data of a prevalence of {prevalence:g}, each class drawn as in the calibration data"
    return where if num_groups is None else f"{where}, for a random row of each group ({num_groups} groups)"


def numbers_of(saved: dict[str, Any], cls: type) -> dict[str, Any]:
    """Return what was saved of a dataclass with its numbers as they were: NaN for None."""
    numbers = {field.name for field in fields(cls) if field.type == "float"}
    return {
        name: (np.nan if value is None else float(value)) if name in numbers else value for name, value in saved.items()
    }
