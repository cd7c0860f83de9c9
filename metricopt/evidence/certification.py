r"""Certified thresholds: a bound that holds on new data with a stated confidence (Learn then Test).

A threshold that meets its bound on the data that chose it often misses it on new data: with nothing to spare, in a
fifth to a half of the draws of our simulations. A certified one keeps it:

.. math:: P\bigl(\text{precision}(\hat t) \ge \alpha \text{ on new data}\bigr) \ge 1 - \delta

over the draw of calibration data that chose neither model nor thresholds, whatever the distribution. Samples must be
drawn independently. The several images of a patient are not: where groups of rows are drawn independently, one row of
each, drawn at random (:func:`one_row_each`), is again an independent sample. So all that follows is exact for these
rows, and the guarantee speaks of a random row of a random group. That is a random row of the new data where groups are
of equal size; else rows of large groups weigh less. Rows that are left out cost certainty only where they would have
told more than their group's other row.

1. At most :data:`NUM_THRESHOLDS` thresholds are fixed on the selection data, from the tuned one to the safe end: fewer
   alarms for a bound on precision, more for one on recall.
2. For each, p is how probable calibration data as good as these are if the bound were missed. Of a fixed threshold's
   alarms (or of the positives) each is right (found) independently: the exact binomial tail. For precision at another
   prevalence, recall is bounded from below and the false-positive rate from above, each with half of the error; p is
   the least error at which the two bounds give the precision asked for (:mod:`metricopt.evidence.p_values`).
3. The test begins at the one of the smallest p on the *selection* data and goes on towards the tuned one, each at the
   whole :math:`\delta`, up to the first that fails (fixed-sequence testing). So no error is spent on their number: with
   :math:`\alpha = .9` and 90 % confidence 22 error-free alarms suffice, where Holm's method for 20 thresholds takes 51.
   Thresholds beyond the first are left out, for they are worth less; and the test goes step by step, not in the order
   of p, which leaps to thresholds that fail and leaves those between untested.
4. Of those that pass, the one of the best value on the calibration data is returned. There may be none.

Differs from MAPIE's ``BinaryClassificationController``, of whose procedures the fixed sequence is used: its
``"fixed_sequence"`` asks the calibration data which end to begin at, so precision, which need not be monotone in the
threshold, gets two chances to pass, and its p-values, though sound, count one error too many where ``n * (1 - k / n)``
rounds up. ``python -m benchmarks certify`` measures all of this.

References
----------
A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan, L. Lei (2021). Learn then Test: calibrating predictive
algorithms to achieve risk control. Theorem 1; section 2.2, fixed-sequence testing.
T. Cordier, V. Blot, L. Lacombe, T. Morzadec, A. Capitaine, N. Brunel (2023). Flexible and systematic uncertainty
estimation with conformal prediction via the MAPIE library. COPA.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from metricopt.evidence.certificates import LabelCertificate
from metricopt.evidence.intervals import least_rate
from metricopt.evidence.p_values import num_needed, p_values
from metricopt.problem.objectives import FPOR, FROP
from metricopt.problem.prevalence import counts_at
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import PRECISION, Counts

NUM_THRESHOLDS = 20
SEED = 0
"""The seed of the draw of one row of each group: fixed, so that nobody can draw until something is certified."""


def certify_label(
    objective: FPOR | FROP,
    calibration: Ranking,
    selection: Ranking,
    tuned: float,
    confidence: float,
    *,
    prevalence: float | None = None,
    label: str = "label",
    num_groups: int | None = None,
) -> LabelCertificate:
    """Certify a threshold of one label on ranked samples.

    Parameters
    ----------
    objective : FPOR or FROP
        An objective with one bound, which is below 1.
    calibration, selection : Ranking
        Unweighted samples that the same model scored: new ones, and those that chose the threshold.
    tuned : float
        The threshold that was chosen; NaN if there is none.
    confidence : float, in (0, 1)
    prevalence : float, optional
        The prevalence of the new data. The default is that of the calibration data.
    label : str
        The name of the label, for whoever reads the certificate.
    num_groups : int, optional
        How many groups the calibration samples come from, one of each; None where they are of no groups.

    Returns
    -------
    LabelCertificate
    """
    num_positives, num_negatives = len(calibration.positives.scores), len(calibration.negatives.scores)
    at_tuned = calibration.counts(np.array([tuned]))[0]
    thresholds = np.empty(0)
    best, value, bounded_value = np.nan, np.nan, np.nan
    if num_positives and num_negatives and not np.isnan(tuned):
        thresholds = thresholds_to_test(objective, selection, tuned, prevalence)
        counts = calibration.counts(thresholds)
        values, bounded_values = _metrics(objective, counts, prevalence)
        p = p_values(objective.bounds[0], counts, prevalence)
        chosen = best_that_passes(p, thresholds, values, confidence)
        if chosen is not None:
            best, value, bounded_value = thresholds[chosen], values[chosen], bounded_values[chosen]
    tuned_value, tuned_bounded_value = _metrics(objective, at_tuned, prevalence)
    if isinstance(objective, FROP):
        unit, num_right, num_units = "positives", at_tuned.true_positives, num_positives
    elif prevalence is None:
        unit, num_right, num_units = "alarms", at_tuned.true_positives, PRECISION.denominator(at_tuned)
    else:
        unit, num_right, num_units = "negatives", at_tuned.true_negatives, num_negatives
    assert objective.bounded is not None
    return LabelCertificate(
        label=label,
        threshold=float(best),
        metric=objective.bounded.name,
        bound=float(cast(float, objective.bound)),
        confidence=float(confidence),
        prevalence=prevalence,
        num_tested=len(thresholds),
        unit=unit,
        num_units=int(num_units),
        num_right=int(num_right),
        num_needed=_num_needed(objective, at_tuned, 1 - confidence, prevalence),
        value_metric=objective.metric_name,
        value=float(value),
        bounded_value=float(bounded_value),
        tuned_value=float(tuned_value),
        tuned_bounded_value=float(tuned_bounded_value),
        num_groups=num_groups,
    )


def one_row_each(groups: NDArray[np.intp], may_be_drawn: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Draw one row of each group at random, with a fixed seed, whatever scores and labels are.

    Parameters
    ----------
    groups : ndarray, shape (n,), int
        The number of each row's group.
    may_be_drawn : ndarray, shape (n,), bool
        Whether a row has a label. A group without such a row is left out.

    Returns
    -------
    ndarray of int
        The numbers of the drawn rows, ascending.

    Examples
    --------
    >>> len(one_row_each(np.array([0, 0, 0, 1, 1, 2]), np.array([True, True, True, True, True, False])))
    2
    """
    order = np.random.default_rng(SEED).permutation(np.flatnonzero(may_be_drawn))
    _, first = np.unique(groups[order], return_index=True)
    return np.sort(order[first])


def thresholds_to_test(
    objective: FPOR | FROP, selection: Ranking, tuned: float, prevalence: float | None = None
) -> np.ndarray:
    """Return the thresholds to test on calibration data, in the order in which to do it.

    Parameters
    ----------
    objective : FPOR or FROP
        An objective with one bound.
    selection : Ranking
        The samples that chose the threshold, unweighted.
    tuned : float
        The threshold that they chose.
    prevalence : float, optional
        The prevalence of the new data. The default is that of the calibration data.

    Returns
    -------
    ndarray, shape (at most NUM_THRESHOLDS,), float64
    """
    scores = np.sort(np.concatenate([selection.positives.scores, selection.negatives.scores]))[::-1].astype(np.float64)
    alarms = max(int((scores >= tuned).sum()), 1)
    if isinstance(objective, FPOR):
        numbers = np.linspace(1, alarms, NUM_THRESHOLDS)
    else:
        numbers = np.geomspace(alarms, len(scores), NUM_THRESHOLDS)[::-1]
    numbers = np.round(numbers).astype(int)
    found = np.where(numbers == alarms, tuned, scores[numbers - 1])
    safest_first = found[np.sort(np.unique(found, return_index=True)[1])]
    first = int(
        np.argmin(p_values(objective.bounds[0], selection.counts(safest_first), prevalence))
    )  # the safest of equals
    return safest_first[first:]


def _num_needed(objective: FPOR | FROP, counts: Counts, error: float, prevalence: float | None) -> int | None:
    """Return how many alarms, positives or negatives certify the bound if none of them is an error."""
    bound = float(cast(float, objective.bound))
    if isinstance(objective, FROP) or prevalence is None:
        return num_needed(objective.bounds[0], counts, error)
    recall = least_rate(float(counts.true_positives), float(counts.positives), error / 2)
    if recall == 0:
        return None
    largest = prevalence * recall * (1 - bound) / (bound * (1 - prevalence))
    return 1 if largest >= 1 else math.ceil(math.log(error / 2) / math.log1p(-largest))


def _metrics(objective: FPOR | FROP, counts: Counts, prevalence: float | None) -> tuple[Any, Any]:
    """Return the metric to maximise and the bounded one."""
    meant = counts if prevalence is None else counts_at(prevalence, counts)
    return objective.value(meant), objective.bounded_value(meant)


def best_that_passes(
    p: NDArray[np.float64], thresholds: NDArray[np.float64], values: NDArray[np.float64], confidence: float
) -> int | None:
    """Test thresholds in their order, each at the whole error, up to the first that fails (fixed-sequence testing).

    Returns
    -------
    int or None
        The position of the best value among those that pass, of several the highest threshold; None where none passes.
    """
    passed = import_control()(p, 1 - confidence, "fixed_sequence")
    return max(passed, key=lambda at: (values[at], thresholds[at]), default=None)


def import_control() -> Callable[..., Any]:
    """Return MAPIE's test of hypotheses in a fixed sequence, or say which package is missing."""
    try:
        from mapie.risk_control import control_fwer
    except ImportError as error:
        raise ImportError("certified thresholds need MAPIE: pip install 'metricopt[certify]'") from error
    return cast(Callable[..., Any], control_fwer)
