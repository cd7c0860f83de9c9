r"""Certified thresholds for several bounds at once, over all rows or in every subgroup.

.. math:: P\bigl(\text{all bounds hold at } \hat t \text{ on new data}\bigr) \ge 1 - \delta

over the draw of calibration data that chose neither model nor thresholds, whatever the distribution.

1. At most :data:`metricopt.evidence.certification.NUM_THRESHOLDS` thresholds :math:`t_1, t_2, \dots` and their order
   are fixed on the selection data. The first is the one at which the bounds are surest there; from it the others go
   step by step to the tuned one, whichever side it lies on.
2. The p-value of a threshold is the largest of those of its bounds (:mod:`metricopt.evidence.p_values`):
   :math:`p(t) = \max_k p_k(t)`, with k over all bounds, each in each of its subgroups.
3. The thresholds are tested in this order, each at the whole :math:`\delta`, up to the first with
   :math:`p(t) > \delta`. Of those before it, the one of the best value on the calibration data is returned.

*Proof.* A threshold is wrong if some bound misses there; let k be one that does. Then
:math:`P(p(t) \le \delta) \le P(p_k(t) \le \delta) \le \delta`, because the largest p-value is at least that of k, which
is valid by itself, however the bounds depend on each other. So the union of the hypotheses "bound k misses" is tested
by their intersection of rejections without a division of the error (intersection-union test, Berger 1982). Let
:math:`t_j` be the first wrong threshold of the order, which the calibration data did not choose. A wrong one can be
returned only if :math:`t_j` passes, for the test stops at the first that fails; that has a probability of at most
:math:`\delta` (fixed-sequence testing; Angelopoulos et al. 2021, theorem 1 and section 2.2). All thresholds that pass
are right at once with :math:`1 - \delta`, so the calibration data may choose among them. :math:`\square`

Subgroups share rows with the whole and with each other, and many bounds cost nothing but power: the least sure bound
decides. The choice of a threshold without certificate divides its error among them instead
(:mod:`metricopt.evidence.rule`), because there one of many cuts is chosen by the very rows that testify.

References
----------
A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan, L. Lei (2021). Learn then Test: calibrating predictive
algorithms to achieve risk control. Theorem 1; section 2.2, fixed-sequence testing.
R. L. Berger (1982). Multiparameter hypothesis testing and acceptance sampling. Technometrics 24. Theorem 1, the
intersection-union test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metricopt.evidence.certificates import CertifiedBound, ProgramCertificate
from metricopt.evidence.certification import NUM_THRESHOLDS, best_that_passes
from metricopt.evidence.p_values import num_decisive, num_needed, p_values
from metricopt.evidence.program_outcome import BoundOutcome
from metricopt.evidence.rows import LabelRows
from metricopt.problem.bounds import MetricBound
from metricopt.problem.objectives import CountObjective
from metricopt.problem.prevalence import counts_at
from metricopt.problem.ranking import RankedClass, Ranking
from metricopt.problem.ratios import Counts

NUM_LOOKED_AT = 100
"""So many thresholds, evenly by alarms and again by their logarithm, are looked at for the surest of them."""


def certify_program(
    objective: CountObjective,
    calibration: LabelRows,
    selection: LabelRows,
    tuned: float,
    confidence: float,
    *,
    prevalence: float | None = None,
    label: str = "label",
    num_groups: int | None = None,
) -> ProgramCertificate:
    """Certify a threshold of one label at which all bounds of an objective hold.

    Parameters
    ----------
    objective : CountObjective
        For one label, with one bound at least, none at the end of its metric's range.
    calibration, selection : LabelRows
        Unweighted samples that the same model scored, with the subgroups that the bounds name: new ones, and those that
        chose the threshold. A subgroup that only one of them has is tested too: without rows it is never certified.
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
    ProgramCertificate
    """
    none = ProgramCertificate(
        label=label,
        threshold=np.nan,
        asked=" and ".join(str(bound).replace("_", " ") for bound in objective.bounds),
        confidence=float(confidence),
        prevalence=prevalence,
        num_tested=0,
        value_metric=objective.metric_name,
        value=np.nan,
        tuned_value=np.nan,
        bounds=(),
        num_groups=num_groups,
    )
    ranking = calibration.ranking
    if np.isnan(tuned) or not (len(ranking.positives.scores) and len(ranking.negatives.scores)):
        return none
    thresholds = program_thresholds_to_test(objective, selection, tuned, prevalence)
    names = {name: {*parts, *selection.subgroups.get(name, {})} for name, parts in calibration.subgroups.items()}
    bounds = list(_tested(objective, calibration, thresholds, prevalence, names))
    values = _value(objective, ranking, thresholds, prevalence)
    first = replace(
        none,
        num_tested=len(thresholds),
        tuned_value=float(_value(objective, ranking, np.array([tuned]), prevalence)[0]),
        bounds=tuple(each.at(0, 1 - confidence, prevalence) for each in bounds),
    )
    best = best_that_passes(np.max([each.p for each in bounds], axis=0), thresholds, values, confidence)
    if best is None:
        return first
    return replace(
        first,
        threshold=float(thresholds[best]),
        value=float(values[best]),
        bounds=tuple(each.at(best, 1 - confidence, prevalence) for each in bounds),
    )


def program_thresholds_to_test(
    objective: CountObjective, selection: LabelRows, tuned: float, prevalence: float | None = None
) -> NDArray[np.float64]:
    """Return the thresholds to test on calibration data, in the order in which to do it.

    Parameters
    ----------
    objective, selection, tuned, prevalence
        As for :func:`certify_program`.

    Returns
    -------
    ndarray, shape (at most NUM_THRESHOLDS,), float64
        From the one at which the largest p-value of the bounds is smallest on the selection data (of several the
        nearest to the tuned one) to the tuned one.
    """
    sides = (selection.ranking.positives.scores, selection.ranking.negatives.scores)
    scores = np.sort(np.concatenate(sides))[::-1].astype(np.float64)
    alarms = max(int((scores >= tuned).sum()), 1)
    names = {name: set(parts) for name, parts in selection.subgroups.items()}

    def with_alarms(numbers: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.where(numbers == alarms, tuned, scores[numbers - 1])

    def surest(thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
        tested = _tested(objective, selection, thresholds, prevalence, names)
        p = np.max([each.p for each in tested], axis=0)
        return np.flatnonzero(p == p.min())

    spread = (np.linspace(1, len(scores), NUM_LOOKED_AT), np.geomspace(1, len(scores), NUM_LOOKED_AT))
    looked_at = np.unique(np.append(np.round(np.concatenate(spread)).astype(int), alarms))
    able = looked_at[surest(with_alarms(looked_at))]
    first = able[np.argmin(np.abs(able - alarms))]
    found = with_alarms(np.round(np.linspace(first, alarms, NUM_THRESHOLDS)).astype(int))
    in_order = found[np.sort(np.unique(found, return_index=True)[1])]
    return in_order[surest(in_order)[-1] :]


@dataclass(frozen=True)
class _Tested:
    """One bound on one set of rows at some thresholds."""

    bound: MetricBound
    subgroup: str | None
    counts: Counts
    meant: Counts
    p: NDArray[np.float64]

    def at(self, position: int, error: float, prevalence: float | None) -> CertifiedBound:
        own, meant = self.counts[[position]], self.meant[position]
        told = BoundOutcome(self.bound, self.subgroup, meant, float(self.bound.metric(meant)), True)
        return CertifiedBound(
            name=told.name,
            asked=told.asked,
            value=told.value,
            p_value=float(self.p[position]),
            num_rows=int(num_decisive(self.bound, own, prevalence)[0]),
            num_needed=num_needed(self.bound, own, error, prevalence),
        )


def _tested(
    objective: CountObjective,
    rows: LabelRows,
    thresholds: NDArray[np.float64],
    prevalence: float | None,
    names: dict[str, set[str]],
) -> Iterator[_Tested]:
    """Yield each bound over all rows, or in each subgroup; ``names`` are the subgroups of each column."""
    whole = rows.ranking.counts(thresholds)
    sizes = float(whole.positives[0]), float(whole.negatives[0])
    for bound in objective.bounds:
        for name in [None] if bound.within is None else sorted(names[bound.within]):
            counts = whole
            if name is not None and bound.within is not None:
                part = rows.subgroups[bound.within].get(name)
                counts = _NO_ROWS.counts(thresholds) if part is None else part.ranking.counts(thresholds)
            meant = counts if prevalence is None else counts_at(prevalence, counts, sizes)
            p = p_values(bound, counts, prevalence, None if name is None else sizes)
            yield _Tested(bound, name, counts, meant, p)


_NO_ROWS = Ranking(*(RankedClass.of(np.empty(0), None) for _ in range(2)))


def _value(
    objective: CountObjective, ranking: Ranking, thresholds: NDArray[np.float64], prevalence: float | None
) -> NDArray[np.float64]:
    counts = ranking.counts(thresholds)
    return np.asarray(objective.value(counts if prevalence is None else counts_at(prevalence, counts)))
