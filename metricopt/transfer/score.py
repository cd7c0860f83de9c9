"""What every transferability score returns: a float that knows what it stood on.

This file decides when a score is not to be trusted whatever it measures, and how users hear of it. What else speaks
against a score is decided beside that score.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence

_FEW = 10


class TransferWarning(UserWarning):
    """A score was computed, and there is a reason not to rely on it."""


class Score(float):
    """A transferability score: a float in every respect, higher being better, that also carries its grounds.

    Parameters
    ----------
    value : float
    class_counts : dict of class to int, optional
        How many samples of each class the score was computed from. Empty where the target is real-valued.
    caveats : sequence of str, optional
        Reasons not to rely on the score; each was also a :class:`TransferWarning`.
    details : dict of str to float, optional
        Quantities that the score is made of, such as the intensity of a shrinkage.

    Attributes
    ----------
    class_counts, caveats, details
        As above.

    Examples
    --------
    >>> score = Score(-0.25, {0: 980, 1: 20})
    >>> score
    Score(-0.25, 1000 samples, 20 of the rarest class)
    >>> score > -0.5, f"{score:.1f}", score.num_positives
    (True, '-0.2', 20)
    """

    class_counts: Mapping[Hashable, int]
    caveats: tuple[str, ...]
    details: Mapping[str, float]

    def __new__(
        cls,
        value: float,
        class_counts: Mapping[Hashable, int] | None = None,
        caveats: Sequence[str] = (),
        details: Mapping[str, float] | None = None,
    ) -> Score:
        score = super().__new__(cls, value)
        score.class_counts = dict(class_counts or {})
        score.caveats = tuple(caveats)
        score.details = dict(details or {})
        return score

    def __getnewargs__(self) -> tuple[float]:
        return (float(self),)  # the attributes are copied and pickled with the rest of the object

    @property
    def num_samples(self) -> int:
        """How many samples the score was computed from; 0 where the target is real-valued."""
        return sum(self.class_counts.values())

    @property
    def num_positives(self) -> int:
        """How many samples of the rarest class there were, which is what limits the score; 0 as above."""
        return min(self.class_counts.values(), default=0)

    def __repr__(self) -> str:
        grounds = f", {self.num_samples} samples, {self.num_positives} of the rarest class" if self.class_counts else ""
        doubt = f", {len(self.caveats)} caveats" if self.caveats else ""
        return f"Score({float(self):g}{grounds}{doubt})"

    def __str__(self) -> str:
        return float.__repr__(self)


def report(value: float, class_counts: Mapping[Hashable, int], caveats: Sequence[str] = (), **details: float) -> Score:
    """Return a score, and warn the caller of the function that calls this one of every reason not to trust it."""
    few = [name for name, count in class_counts.items() if count < _FEW]
    if few:
        smallest = min(class_counts.values())
        caveats = [*caveats, f"{_naming(few)} fewer than {_FEW} samples (at least {smallest}): collect more"]
    for caveat in caveats:
        warnings.warn(caveat, TransferWarning, stacklevel=3)
    return Score(value + 0.0, class_counts, caveats, details)


def _naming(classes: Sequence[Hashable]) -> str:
    shown = ", ".join(map(str, classes[:5])) + (", ..." if len(classes) > 5 else "")
    return f"class {shown} has" if len(classes) == 1 else f"classes {shown} have"
