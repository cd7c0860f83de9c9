r"""Certified thresholds: a bound that holds on new data with a stated confidence (Learn then Test).

A threshold that meets its bound on the data that chose it often misses it on new data: with nothing to spare, in a
fifth to a half of the draws of our simulations. A certified one keeps it:

.. math:: P\bigl(\text{precision}(\hat t) \ge \alpha \text{ on new data}\bigr) \ge 1 - \delta

over the draw of calibration data that chose neither model nor thresholds, whatever the distribution. Samples must be
drawn independently: of a patient's several images take one.

1. At most :data:`NUM_THRESHOLDS` thresholds are fixed on the selection data, from the tuned one to the safe end: fewer
   alarms for a bound on precision, more for one on recall.
2. For each, p is how probable calibration data as good as these are if the bound were missed. Of a fixed threshold's
   alarms (or of the positives) each is right (found) independently: the exact binomial tail. For precision at another
   prevalence, recall is bounded from below and the false-positive rate from above, each with half of the error; p is
   the least error at which the two bounds give the precision asked for.
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
from dataclasses import replace
from typing import Any, cast

import numpy as np

from metricopt._arrays import Samples
from metricopt._validation import reject
from metricopt.evidence.intervals import least_rate
from metricopt.evidence.reports import evaluate
from metricopt.problem.metrics import PRECISION, Counts, Ranking
from metricopt.problem.objectives import FPOR, FROP
from metricopt.problem.prevalence import counts_at, prevalence_of_labels
from metricopt.results.certificate import Certificate, LabelCertificate
from metricopt.results.result import FitResult, device_of
from metricopt.results.scored import Scored
from metricopt.results.status import Status
from metricopt.scoring.forward import score_loader
from metricopt.scoring.inputs import pairs_of

NUM_THRESHOLDS = 20


def certify(result: FitResult, calibration_data: Any, confidence: float = 0.9) -> Certificate:
    """Certify thresholds of a result on calibration data; see :meth:`metricopt.results.result.FitResult.certify`."""
    num_labels = len(result.label_names)
    objectives = _objectives(result, confidence)
    _import_control()
    data = pairs_of(calibration_data, result.model)
    scores, labels = score_loader(result.model, data, device_of(result.model), num_labels=num_labels)
    _check_new(result, scores, labels)
    chooser = result.scored.get("validation", result.scored["train"])
    samples, selection = Samples.read(scores, labels), Samples.read(chooser.scores, _counted(chooser))
    shares = prevalence_of_labels(result.prevalence, num_labels)
    certificates = tuple(
        certify_label(
            objective,
            Ranking.of(samples, label),
            Ranking.of(selection, label),
            float(result.thresholds[label]),
            confidence,
            prevalence=shares[label],
            label=result.label_names[label],
        )
        for label, objective in enumerate(objectives)
    )
    return Certificate(certificates, _at_certified(result, certificates))


def certify_label(
    objective: FPOR | FROP,
    calibration: Ranking,
    selection: Ranking,
    tuned: float,
    confidence: float,
    *,
    prevalence: float | None = None,
    label: str = "label",
) -> LabelCertificate:
    """Certify a threshold of one label on ranked samples.

    Parameters
    ----------
    objective : FPOR or FROP
        With one bound, below 1.
    calibration, selection : Ranking
        Samples of the same model, unweighted: new ones, and those that chose the threshold.
    tuned : float
        That threshold; NaN if there is none.
    confidence : float, in (0, 1)
    prevalence : float, optional
        Of the new data; by default that of the calibration data.
    label : str

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
        control = _import_control()
        passed = control(p_values(objective, counts, prevalence), 1 - confidence, "fixed_sequence")
        values, bounded_values = _metrics(objective, counts, prevalence)
        if len(passed):
            chosen = max(passed, key=lambda i: (values[i], thresholds[i]))
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
        metric=objective.bounded.name,
        bound=float(cast(float, objective.bound)),
        confidence=float(confidence),
        prevalence=prevalence,
        threshold=float(best),
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
    )


def thresholds_to_test(
    objective: FPOR | FROP, selection: Ranking, tuned: float, prevalence: float | None = None
) -> np.ndarray:
    """Return the thresholds to test on calibration data, in the order in which to do it.

    Parameters
    ----------
    objective : FPOR or FROP
        With one bound.
    selection : Ranking
        The samples that chose the threshold, unweighted.
    tuned : float
        That threshold.
    prevalence : float, optional
        Of the new data.

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
    first = int(np.argmin(p_values(objective, selection.counts(safest_first), prevalence)))  # the safest of equals
    return safest_first[first:]


def p_values(objective: FPOR | FROP, counts: Counts, prevalence: float | None = None) -> np.ndarray:
    r"""Return how probable counts as good as these are at most, if the bound were missed.

    For any data with :math:`\text{precision} < \alpha` (or recall), :math:`P(p \le u) \le u` for all u.

    Parameters
    ----------
    objective : FPOR or FROP
        With one bound.
    counts : Counts
        Unweighted, at each of some fixed thresholds, shape (m,).
    prevalence : float, optional
        That precision is meant at; by default that of the data.

    Returns
    -------
    ndarray, shape (m,), float64
        1 without alarms or positives.

    Examples
    --------
    >>> p_values(FPOR(0.9), Counts(*map(np.array, ([22.0, 21.0], [0.0, 1.0], [8.0, 9.0], [70.0, 69.0])))).round(3)
    array([0.098, 0.339])
    """
    from scipy.stats import binom

    bound = float(cast(float, objective.bound))
    if isinstance(objective, FROP) or prevalence is None:
        right, of = objective.bounded.numerator(counts), objective.bounded.denominator(counts)
        return np.asarray(binom.sf(right - 1, of, bound))
    columns = zip(counts.true_positives, counts.positives, counts.false_positives, counts.negatives, strict=True)
    return np.array([_p_value_at(prevalence, bound, *map(float, each)) for each in columns])


def _p_value_at(
    prevalence: float, bound: float, found: float, positives: float, wrong: float, negatives: float
) -> float:
    """Return the least error at which bounds on recall and false-positive rate give the precision asked for."""
    from scipy.optimize import brentq

    def shortfall(log_error: float) -> float:
        error = math.exp(log_error) / 2
        right = prevalence * least_rate(found, positives, error)
        false = (1 - prevalence) * (1 - least_rate(negatives - wrong, negatives, error))
        return bound * (right + false) - right

    smallest = math.log(1e-12)
    if shortfall(0.0) > 0:
        return 1.0
    # The upper end of the bracket at which the root lies, so that rounding never makes p smaller than it is.
    return math.exp(smallest if shortfall(smallest) <= 0 else brentq(shortfall, smallest, 0.0) + 1e-9)


def _num_needed(objective: FPOR | FROP, counts: Counts, error: float, prevalence: float | None) -> int | None:
    """Return how many alarms, positives or negatives certify the bound if none of them is an error."""
    bound = float(cast(float, objective.bound))
    if isinstance(objective, FROP) or prevalence is None:
        return math.ceil(math.log(error) / math.log(bound))
    recall = least_rate(float(counts.true_positives), float(counts.positives), error / 2)
    if recall == 0:
        return None
    largest = prevalence * recall * (1 - bound) / (bound * (1 - prevalence))
    return 1 if largest >= 1 else math.ceil(math.log(error / 2) / math.log1p(-largest))


def _metrics(objective: FPOR | FROP, counts: Counts, prevalence: float | None) -> tuple[Any, Any]:
    """Return the metric to maximise and the bounded one."""
    meant = counts if prevalence is None else counts_at(prevalence, counts)
    return objective.value(meant), objective.bounded_value(meant)


def _at_certified(result: FitResult, certificates: tuple[LabelCertificate, ...]) -> FitResult:
    """Return the result with the certified thresholds in the place of the tuned ones."""
    thresholds = np.array([each.threshold for each in certificates])
    reports: dict[str, Any] = {
        data: evaluate(
            part.scores,
            part.labels,
            thresholds,
            result.objective,
            label_names=result.label_names,
            data=data,
            sample_weight=part.sample_weight,
            prevalence=result.prevalence,
        )
        for data, part in result.scored.items()
    }
    statuses = tuple(
        Status.CERTIFIED if each.is_certified else was if was is Status.NO_POSITIVES else Status.NOT_CERTIFIED
        for each, was in zip(certificates, result.statuses, strict=True)
    )
    return replace(result, thresholds=thresholds, statuses=statuses, certificates=certificates, **reports)


def _objectives(result: FitResult, confidence: float) -> tuple[FPOR | FROP, ...]:
    """Return one objective a label; reject what cannot be certified."""
    objective = result.objective
    if not isinstance(objective, (FPOR, FROP)):
        why = "there is no bound to hold" if objective.bounded is None else f"the bound is on {objective.bounded.name}"
        remedy = f"{why}, and what is tested here is a bound on precision or on recall: train for one of these"
        reject("objective", "FPOR or FROP to be certified", objective.name, remedy)
    singles = cast("tuple[FPOR | FROP, ...]", objective.for_labels(len(result.label_names)))
    if any(single.bound == 1 for single in singles):
        remedy = "no number of samples shows that there is never an error: ask for less, e.g. 0.95"
        reject(str(objective.argument), "below 1 to be certified", 1.0, remedy)
    is_number = isinstance(confidence, (int, float)) and not isinstance(confidence, bool)
    if not (is_number and 0 < confidence < 1):
        reject("confidence", "in (0, 1)", repr(confidence), "give e.g. 0.9")
    return singles


def _check_new(result: FitResult, scores: np.ndarray, labels: np.ndarray) -> None:
    """Reject the very data that trained or chose, or both together as ``fit`` was given them, in whatever order."""
    known = {data: (part.scores, part.labels) for data, part in result.scored.items()}
    whole = tuple(np.concatenate(columns) for columns in zip(*known.values(), strict=True))
    for data, (old_scores, old_labels) in {**known, " and ".join(known): whole}.items():
        if len(old_labels) != len(labels):
            continue
        same_labels = np.array_equal(np.sort(old_labels, axis=0), np.sort(labels, axis=0), equal_nan=True)
        if same_labels and np.allclose(np.sort(old_scores, axis=0), np.sort(scores, axis=0), rtol=1e-5, atol=1e-6):
            remedy = "pass samples that took no part in training or selection: without them there is no guarantee"
            reject("calibration_data", "new to the model", f"the {data} data", remedy)


def _counted(part: Scored) -> np.ndarray:
    """Return the labels of a part, missing where a sample weighs nothing."""
    return part.labels if part.sample_weight is None else np.where(part.sample_weight > 0, part.labels, np.nan)


def _import_control() -> Callable[..., Any]:
    try:
        from mapie.risk_control import control_fwer
    except ImportError as error:
        raise ImportError("certified thresholds need MAPIE: pip install 'metricopt[certify]'") from error
    return cast(Callable[..., Any], control_fwer)
