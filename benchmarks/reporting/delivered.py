r"""What users get at the deployed threshold on rows that neither trained nor chose: computed from the counts of a row.

A bound may hold or fail on new rows, and a threshold may raise no alarm at all. So several numbers stand side by side:

- *alarms raised*: whether there is an alarm on the test rows at all, and *met given raised*: whether the bound holds
  there. Silence breaks no bound on precision and is left out of the second number; for a bound on recall it is a miss.
- *delivered*: the value where the bound holds on the test rows, and 0 where it fails or no alarm is raised.
- *shortfall*: how far the bounded metric is below its bound, 0 where the bound is met. Silence has none where precision
  is bounded, and the whole bound where recall is.
- *net value*: a smooth number, which one alarm cannot turn over. With the bound's own linear form, for a bound
  :math:`\alpha` on precision

  .. math:: \frac{TP - \alpha (TP + FP)}{(1 - \alpha) P} = \frac{1}{P} \Bigl(TP - \frac{\alpha}{1 - \alpha} FP\Bigr)

  is the recall less the price of the wrong alarms: a bound that is met with nothing to spare and silence are worth 0, a
  violation is negative. For a bound on recall the linear form is :math:`TP - \alpha P`. By itself it would reward who
  flags everything, so only what is missing counts, at the same scale, and the value is the precision:

  .. math:: \text{precision} + \min\Bigl(0, \frac{TP - \alpha P}{(1 - \alpha) P}\Bigr)

  with precision 0 for silence, which is worth :math:`-\alpha / (1 - \alpha)`.

Every function takes rows as the runner writes them and returns a Series of their index, NaN where there is no bound.
This file decides these definitions; intervals and ranks are those of :mod:`benchmarks.reporting.statistics`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from metricopt.problem.ratios import PRECISION, RECALL, Counts

_COUNTS = ("test_tp", "test_fp", "test_fn", "test_tn")
_BOUNDED = {metric.name: metric for metric in (PRECISION, RECALL)}


def has_bound(frame: pd.DataFrame) -> pd.Series:
    """Return whether a row's objective has a bound."""
    return frame["bound"].notna()


def alarms_raised(frame: pd.DataFrame) -> pd.Series:
    """Return 1 where there is an alarm on the test rows, else 0."""
    return (frame["test_tp"] + frame["test_fp"] > 0).astype(float)


def met_on_test(frame: pd.DataFrame) -> pd.Series:
    """Return 1 where the bound holds on the test rows, 0 where it fails or silence leaves it undefined."""
    return (_bounded_value(frame) >= frame["bound"].astype(float)).astype(float).where(has_bound(frame))


def met_given_raised(frame: pd.DataFrame) -> pd.Series:
    """Return whether the bound holds where an alarm is raised; NaN for silence where precision is bounded."""
    is_silent = (alarms_raised(frame) == 0) & (frame["bounded"] == PRECISION.name)
    return met_on_test(frame).mask(is_silent)


def deployed_value(frame: pd.DataFrame) -> pd.Series:
    """Return the metric at the deployed threshold, whether the bound holds or not; no alarm has no precision, so 0."""
    return frame["test_value"].astype(float).fillna(0.0)


def delivered(frame: pd.DataFrame) -> pd.Series:
    """Return the value where the bound holds, or where there is none, and else 0."""
    return deployed_value(frame).mask(met_on_test(frame) == 0, 0.0)


def net_value(frame: pd.DataFrame) -> pd.Series:
    """Return the net value.

    Examples
    --------
    Of 10 positives, 8 are found with 2 wrong alarms, 8 with 4, and none:

    >>> found = pd.DataFrame({"bounded": "precision", "bound": 0.8, "test_tp": [8, 8, 0], "test_fp": [2, 4, 0],
    ...                       "test_fn": [2, 2, 10], "test_tn": 80})
    >>> net_value(found).round(3).tolist()
    [0.0, -0.8, 0.0]
    >>> net_value(found.assign(bounded="recall")).round(3).tolist()
    [0.8, 0.667, -4.0]
    """
    spare = _spare(frame)
    precision = pd.Series(PRECISION(_counts(frame)), frame.index).fillna(0.0)
    return spare.where(frame["bounded"] != RECALL.name, precision + spare.clip(upper=0.0))


def shortfall(frame: pd.DataFrame) -> pd.Series:
    """Return how far the bounded metric is below its bound."""
    reached = _bounded_value(frame)
    missing = (frame["bound"].astype(float) - reached).clip(lower=0.0)
    return missing.fillna(0.0).where(has_bound(frame))  # undefined only where precision is, by silence


def pooled(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what the counts of all splits together reach, by data set and method.

    One split has few alarms, so that its precision may lie on either side of the bound by chance. The splits of a data
    set share rows, so their sum is steadier than one split, yet less so than as many independent rows.

    Parameters
    ----------
    frame : DataFrame
        Of one model and objective.

    Returns
    -------
    DataFrame
        Indexed by (dataset, method), with ``bounded`` and ``met`` as for single rows: ``met`` is NaN where no split
        raises an alarm and precision is bounded.
    """
    sums = frame.groupby(["dataset", "method"], sort=False)[list(_COUNTS)].sum()
    sums = sums.assign(bounded=frame["bounded"].iloc[0], bound=frame["bound"].iloc[0])
    return pd.DataFrame({"bounded": _bounded_value(sums), "met": met_given_raised(sums)})


def _counts(frame: pd.DataFrame) -> Counts:
    return Counts(*(frame[name].to_numpy(dtype=float) for name in _COUNTS))


def _bounded_value(frame: pd.DataFrame) -> pd.Series:
    """Return the bounded metric, NaN where it is undefined or nothing is bounded."""
    reached = pd.Series(np.nan, frame.index)
    for name, metric in _BOUNDED.items():
        reached = reached.mask(frame["bounded"] == name, pd.Series(metric(_counts(frame)), frame.index))
    return reached


def _spare(frame: pd.DataFrame) -> pd.Series:
    """Return the bound's linear form, positive where it holds, per positive and divided by 1 less the bound."""
    bound, counts = frame["bound"].to_numpy(dtype=float), _counts(frame)
    spare = pd.Series(np.nan, frame.index)
    for name, metric in _BOUNDED.items():
        form = (metric.numerator(counts) - bound * metric.denominator(counts)) / ((1 - bound) * counts.positives)
        spare = spare.mask(frame["bounded"] == name, pd.Series(form, frame.index))
    return spare
