"""The choice of a threshold for each subgroup of one label, by the same rule as that of one threshold for all.

Alarms are what matters to a bound, wherever the thresholds are. So thresholds of subgroups are judged by scores that
are 1 where a row is an alarm and 0 where not, at the cut between them.

This file decides how a rule is applied to thresholds of subgroups. It leaves the search to
:mod:`metricopt.evidence.subgroup_thresholds`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.choosing import choice_at, choose, with_support
from metricopt.evidence.rows import LabelRows, Rows
from metricopt.evidence.rule import Rule
from metricopt.evidence.subgroup_thresholds import JointChoice, JointProgram, SubgroupCuts
from metricopt.evidence.support import Support, cuts_to_support
from metricopt.problem.bounds import MetricBound
from metricopt.problem.cuts import Cuts, all_cuts, never_needs_false_alarms
from metricopt.problem.program import Program
from metricopt.problem.ranking import Ranking

MARGINS = (0.0, 1.0, 1.02, 1.05, 1.1, 1.2, 1.4, 1.7, 2.0, 3.0, 5.0)
"""How many times the distance of its limit from its value a bound over several subgroups is tightened by, one after the
other, until the rows support it."""


def choose_per_subgroup(
    rows: Rows, label: int, own: LabelRows, asked: Program, rule: Rule | None, dtype: torch.dtype
) -> ThresholdChoice:
    """Choose for one label; the choice's threshold is the shared one, for subgroups that are not known.

    Parameters
    ----------
    rows : Rows
    label : int
        The position of the label.
    own : LabelRows
        The rows of this label.
    asked : Program
        With ``threshold_per``.
    rule : Rule or None
    dtype : torch.dtype
        What the scores came in.
    """
    assert asked.threshold_per is not None
    shared = choose(own, replace(asked, threshold_per=None), rule, dtype)
    if np.isnan(float(shared.threshold)):
        return shared
    column = rows.subgroups[asked.threshold_per]
    parts = own.subgroups[column.name]

    def outcome(best: JointChoice, gap: float, by: Rule | None) -> ThresholdChoice:
        alarms = rows.samples.scores[:, label] >= best.lowest_flagged[column.of_row]
        samples = replace(rows.samples, scores=rows.samples.scores.copy())
        samples.scores[:, label] = alarms
        (judged,) = list(replace(rows, samples=samples).of_labels([label]))
        cut = np.array([1.0, np.inf], dtype=samples.scores.dtype)
        cuts = Cuts.at(judged.ranking, asked, cut, judged.rankings)
        found = choice_at(judged, asked, cuts, 0, dtype)
        if by is not None and cuts.bounds:
            found = with_support(replace(found, confidence=by.confidence), Support.of(judged, cuts, by), 0)
        lowest = zip(parts.items(), best.lowest_flagged, strict=True)
        thresholds = {name: _midway(part.ranking, cut, dtype) for (name, part), cut in lowest}
        told = replace(found.program, thresholds=thresholds, gap=gap)
        return replace(found, threshold=shared.threshold, program=told)

    start = shared if shared.empirical is None else shared.empirical
    joint, without = _joint_program(own, asked, None)
    best = joint.best(float(start.threshold))
    empirical = outcome(best, 0.0 if without else best.gap, rule)
    if asked.bounds and not empirical.feasible:
        clash = [bound.of(name) for name in without for bound in asked.bounds if bound.within == column.name]
        clash = clash or [bound.bound.of(bound.subgroup) for bound in empirical.program.bounds]
        empirical = replace(empirical, program=replace(empirical.program, clash=tuple(clash)))
    if rule is None or not asked.bounds:
        return replace(empirical, empirical=None if rule is None else empirical)
    found = None
    joint, without = _joint_program(own, asked, rule)
    loosest = joint.best(float(shared.threshold))
    margins = np.zeros(len(joint.bounds))
    for times in () if without else MARGINS:
        best = joint.tightened(times * margins).best(float(shared.threshold)) if times else loosest
        if not best.feasible:
            break
        tried = outcome(best, loosest.gap_above(best.value), rule)
        if tried.supported:  # the less tight, the better the value
            found = tried
            break
        if not times:
            spread = [abs(each.value - each.limit) for each in tried.program.bounds if each.bound.within != column.name]
            margins = np.nan_to_num(np.array(spread))
    if found is None or (shared.supported and float(shared.value) >= float(found.value)):
        gap = loosest.gap_above(float(shared.value)) if shared.supported else 0.0
        alike = replace(shared.program, thresholds={name: float(shared.threshold) for name in parts}, gap=gap)
        return replace(
            shared, program=alike, empirical=replace(empirical, num_more_positives=shared.num_more_positives)
        )
    return replace(
        found,
        feasible=found.supported,
        num_more_positives=0.0,
        empirical=replace(empirical, num_more_positives=0.0),
    )


def _midway(ranking: Ranking, cut: float, dtype: torch.dtype) -> float:
    flagged = np.array([cut, np.inf])
    return Cuts.at(ranking, Program("recall"), flagged).threshold(0, dtype)


def _joint_program(own: LabelRows, asked: Program, rule: Rule | None) -> tuple[JointProgram, list[str]]:
    """Return the program over the cuts of all subgroups, and the subgroups without a cut that meets their own bounds.

    Of these the cuts that come nearest compete. With a rule a cut meets the bounds where the rows of its subgroup
    support them.
    """
    per = str(asked.threshold_per)
    joint: list[tuple[MetricBound, int]] = []
    sets: list[tuple[str | None, str | None]] = [(None, None)]
    for bound in asked.bounds:
        if bound.within == per:
            continue
        for name in [None] if bound.within is None else own.subgroups[bound.within]:
            if name is not None:
                sets.append((bound.within, name))
            joint.append((bound, 0 if name is None else len(sets) - 1))
    usable, without = [], []
    for name, part in own.subgroups[per].items():
        cuts = _own_cuts(part, asked, rule)
        allowed = _allowed(part, cuts, rule, sum(len(own.subgroups.get(str(b.within), [0])) for b in asked.bounds))
        if not allowed.any():
            without.append(name)
            nearest = cuts.shortfall(np.arange(len(allowed)))
            allowed = nearest == nearest.min()
        lowest = cuts.lowest_flagged[allowed]
        counts = [_alarms(_part(part, *place), lowest) for place in sets]
        usable.append(SubgroupCuts(lowest, np.array(counts)))
    totals = np.array([_sizes(own.part(*place).ranking) for place in sets])
    return JointProgram(asked.maximised, joint, totals, usable), without


def _own_cuts(part: LabelRows, asked: Program, rule: Rule | None) -> Cuts:
    """Return the cuts of a subgroup that can be best, with its own bounds."""
    of_own = [replace(bound, within=None) for bound in asked.bounds if bound.within == asked.threshold_per]
    others = [bound for bound in asked.bounds if bound.within != asked.threshold_per]
    own = Program(asked.maximised, of_own)
    if not never_needs_false_alarms(Program(asked.maximised, others)):
        return Cuts.at(part.ranking, own, all_cuts(part.ranking))
    cuts = Cuts.of(part.ranking, own)
    if rule is None:
        return cuts
    return cuts_to_support(cuts, part.evidence(cuts.lowest_flagged[:0]).is_by_row, {})


def _allowed(part: LabelRows, cuts: Cuts, rule: Rule | None, num_bounds: int) -> np.ndarray:
    """Say which cuts meet the bounds of a subgroup, or by a rule are supported by its rows: bool, shape (m,)."""
    if not cuts.bounds:
        return np.ones(len(cuts.lowest_flagged), bool)
    if rule is None:
        return cuts.feasible
    each = rule.of_each(num_bounds)
    error = None if each is None else 1 - (1 - each) * len(cuts.bounds)  # divided among them again
    support = Support.of(part, cuts, Rule(error, every_fold=False))
    everywhere = np.arange(len(cuts.lowest_flagged))
    return np.logical_and.reduce([bound.supported(everywhere) for bound in support.bounds])


def _part(part: LabelRows, column: str | None, name: str | None) -> Ranking | None:
    """Return the rows of a subgroup that are in one of another column, too; None where there are none."""
    if column is None or name is None:
        return part.ranking
    crossed = part.subgroups[column].get(name)
    return None if crossed is None else crossed.ranking


def _alarms(ranking: Ranking | None, lowest_flagged: np.ndarray) -> np.ndarray:
    """Return the right and the wrong alarms at each cut: shape (2, m)."""
    if ranking is None:
        return np.zeros((2, len(lowest_flagged)))
    counts = ranking.counts(lowest_flagged)
    return np.array([counts.true_positives, counts.false_positives])


def _sizes(ranking: Ranking) -> tuple[float, float]:
    return float(ranking.positives.weight.sum()), float(ranking.negatives.weight.sum())
