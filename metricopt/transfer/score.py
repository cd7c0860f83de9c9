"""The value that every transferability score returns: a float that knows from how many samples it was computed.

This file decides when a score of any kind cannot be trusted, and how users are told. Further reasons to doubt a score
are in the file of that score.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence

_FEW = 10


class TransferWarning(UserWarning):
    """The warning that a score was computed, but there is a reason not to rely on it."""


class Score(float):
    """A transferability score: a float, where higher is better, that also says what it was computed from.

    Parameters
    ----------
    value : float
        The score.
    class_counts : dict of class to int, optional
        The number of samples of each class that the score was computed from. It is empty if the target is real-valued.
    caveats : sequence of str, optional
        Reasons not to rely on the score. Each was also given as a :class:`TransferWarning`.
    details : dict of str to float, optional
        Quantities that the score is made of, such as the intensity of a shrinkage.

    Attributes
    ----------
    class_counts, caveats, details
        The parameters of these names.

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
        """The number of samples that the score was computed from, or 0 if the target is real-valued."""
        return sum(self.class_counts.values())

    @property
    def num_positives(self) -> int:
        """The number of samples of the rarest class, which limits how far the score can be trusted."""
        return min(self.class_counts.values(), default=0)

    def __repr__(self) -> str:
        grounds = f", {self.num_samples} samples, {self.num_positives} of the rarest class" if self.class_counts else ""
        doubt = f", {len(self.caveats)} caveats" if self.caveats else ""
        return f"Score({float(self):g}{grounds}{doubt})"

    def __str__(self) -> str:
        return float.__repr__(self)


def report(value: float, class_counts: Mapping[Hashable, int], caveats: Sequence[str] = (), **details: float) -> Score:
    """Return a score, and warn the user who asked for it of every reason not to trust it."""
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
