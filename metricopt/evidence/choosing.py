"""The choice of a threshold for one label: the best cut by a rule, with what it reaches and what is missing.

This file decides how cuts, evidence and rule become a choice. It leaves what users pass to
:mod:`metricopt.evidence.thresholds`, and a threshold for each subgroup to :mod:`metricopt.evidence.per_subgroup`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import torch

from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.program_outcome import BoundOutcome, ProgramOutcome
from metricopt.evidence.rows import LabelRows
from metricopt.evidence.rule import Rule
from metricopt.evidence.support import Support, cuts_to_support
from metricopt.problem.cuts import Cuts
from metricopt.problem.objectives import Objective
from metricopt.problem.program import Program


def choose(rows: LabelRows, asked: Objective, rule: Rule | None, dtype: torch.dtype) -> ThresholdChoice:
    """Choose for one label by a rule, or without one; the result holds NumPy scalars.

    Parameters
    ----------
    rows : LabelRows
    asked : Objective
        For one label.
    rule : Rule or None
        None for the best cut on these rows alone.
    dtype : torch.dtype
        What the scores came in.
    """
    cuts = Cuts.of(rows.ranking, asked.threshold_objective, rows.rankings)
    position = cuts.best() if len(rows.ranking.positives.scores) else None
    empirical = choice_at(rows, asked, cuts, position, dtype)
    if position is not None and cuts.bounds and not cuts.feasible[position]:
        empirical = replace(empirical, program=_clashing(empirical.program, cuts))
    if rule is None:
        return empirical
    empirical = replace(empirical, confidence=rule.confidence)
    if not cuts.bounds:
        return replace(empirical, empirical=empirical)
    if position is None:
        nothing = replace(empirical, limit=np.nan, supported=False, num_more_positives=np.nan)
        return replace(nothing, empirical=nothing)
    alone_cut = Cuts.at(rows.ranking, cuts.objective, cuts.lowest_flagged[[position]], rows.rankings)
    alone = Support.of(rows, alone_cut, rule)
    empirical = with_support(empirical, alone, 0)
    support = support_of(rows, cuts, rule)
    best = support.best()
    choice = with_support(choice_at(rows, asked, support.cuts, best, dtype), support, best, by_definition=True)
    if not choice.supported or any(best in each.by_definition for each in support.bounds):
        choice = replace(choice, threshold=_for_all_rows(choice))
    more = 0.0 if choice.supported else np.nan if rule.confidence is None else support.num_more_positives()
    return replace(
        choice,
        confidence=rule.confidence,
        feasible=choice.supported,
        num_more_positives=more,
        empirical=replace(empirical, num_more_positives=more),
    )


def support_of(rows: LabelRows, cuts: Cuts, rule: Rule) -> Support:
    """Return the cuts of one label that can be best under a rule; ``cuts`` are those that can be without one."""
    is_by_row = rows.evidence(cuts.lowest_flagged[:0]).is_by_row
    return Support.of(rows, cuts_to_support(cuts, is_by_row, rows.rankings), rule)


def _clashing(outcome: ProgramOutcome | None, cuts: Cuts) -> ProgramOutcome | None:
    """Note the bounds that no cut meets together: one that none meets, or two that clash, or all."""
    return None if outcome is None else replace(outcome, clash=_clash(cuts))


def _clash(cuts: Cuts) -> tuple[str, ...]:
    told = [each.bound.of(each.subgroup) for each in cuts.bounds]
    for each, name in zip(cuts.bounds, told, strict=True):
        if not each.feasible.any():
            return (name,)
    for (one, name), (other, its_name) in combinations(zip(cuts.bounds, told, strict=True), 2):
        if not (one.feasible & other.feasible).any():
            return (name, its_name)
    return tuple(told)


def _for_all_rows(safe: ThresholdChoice) -> float:
    """Return the threshold that does to every row what a safe cut does to these: new scores may lie beyond them."""
    counts = safe.counts
    if not counts.true_positives + counts.false_positives:
        return np.inf
    return float(safe.threshold) if counts.false_negatives + counts.true_negatives else -np.inf


def choice_at(
    rows: LabelRows, asked: Objective, cuts: Cuts, position: int | None, dtype: torch.dtype
) -> ThresholdChoice:
    """Return what a cut reaches on these rows; None where there is no threshold, for want of positives."""
    at = len(cuts.value) - 1 if position is None else position  # the last raises no alarm
    bound = asked.bound
    return ThresholdChoice(
        threshold=np.nan if position is None else cuts.threshold(position, dtype),
        value=np.nan if position is None else asked.measure(rows.ranking, cuts.counts[at]),
        bounded_value=None if cuts.bounded_value is None else cuts.bounded_value[at],
        counts=cuts.counts[at],
        feasible=False if position is None else cuts.feasible[at],
        num_alarms=rows.evidence(cuts.lowest_flagged[[at]]).num_alarms[0],
        metric_name=asked.metric_name,
        bounded_name=None if asked.bounded is None else asked.bounded.name,
        bound=None if bound is None else float(np.asarray(bound)),
        bound_direction=asked.bound_direction,
        by_group=rows.groups is not None,
        program=_program_at(cuts, at) if isinstance(asked, Program) else None,
    )


def _program_at(cuts: Cuts, at: int) -> ProgramOutcome:
    outcomes = [
        BoundOutcome(each.bound, each.subgroup, each.counts[at], float(each.value[at]), bool(each.feasible[at]))
        for each in cuts.bounds
    ]
    return ProgramOutcome(tuple(outcomes), float(cuts.shortfall(np.array([at]))[0]))


def with_support(
    choice: ThresholdChoice, support: Support, position: int, *, by_definition: bool = False
) -> ThresholdChoice:
    """Return a choice with its limits, which may follow from definitions where the cut is one for all rows."""
    at = np.array([position])
    choice = replace(choice, supported=support.supported(at)[0])
    known = [each.by_definition.get(position) if by_definition else None for each in support.bounds]
    limits = [
        float(each.limits(at)[0]) if own is None else own for each, own in zip(support.bounds, known, strict=True)
    ]
    if support.cuts.objective.only_bound is not None:
        choice = replace(choice, limit=np.float64(limits[0]))
    if choice.program is None:
        return choice
    outcomes = [
        replace(
            outcome,
            limit=limit,
            supported=own is not None or bool(each.supported(at)[0]),
            confidence=each.confidence,
            by_definition=own is not None,
        )
        for outcome, each, limit, own in zip(choice.program.bounds, support.bounds, limits, known, strict=True)
    ]
    return replace(choice, program=replace(choice.program, bounds=tuple(outcomes)))
