"""The choice of a threshold for each subgroup of one label, by the same rule as that of one threshold for all.

Alarms are what matters to a bound, wherever the thresholds are. So thresholds of subgroups are judged by scores that
are 1 where a row is an alarm and 0 where not, at the cut between them.

This file decides how a rule is applied to thresholds of subgroups. It leaves the search to
:mod:`metricopt.evidence.subgroup_thresholds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.choosing import choice_at, choose, with_support
from metricopt.evidence.rows import LabelRows, Rows
from metricopt.evidence.rule import Rule
from metricopt.evidence.subgroup_thresholds import JointProgram, SubgroupCuts
from metricopt.evidence.support import Support
from metricopt.problem.bounds import MetricBound
from metricopt.problem.cuts import Cuts, all_cuts
from metricopt.problem.program import Program
from metricopt.problem.ranking import Ranking

TIGHTENINGS = np.concatenate([[0.0], np.geomspace(0.003, 1.0, 11)])
"""By which part of the way to the best value of its metric a bound over several subgroups is tightened, one after the
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

    def at(lowest_flagged: np.ndarray) -> tuple[LabelRows, Cuts]:
        alarms = rows.samples.scores[:, label] >= lowest_flagged[column.of_row]
        samples = replace(rows.samples, scores=rows.samples.scores.copy())
        samples.scores[:, label] = alarms
        (judged,) = list(replace(rows, samples=samples).of_labels([label]))
        cut = np.array([1.0, np.inf], dtype=samples.scores.dtype)
        return judged, Cuts.at(judged.ranking, asked, cut, judged.rankings)

    def outcome(lowest_flagged: np.ndarray, by: Rule | None) -> ThresholdChoice:
        judged, cuts = at(lowest_flagged)
        found = choice_at(judged, asked, cuts, 0, dtype)
        if by is None or not cuts.bounds:
            return found
        return with_support(replace(found, confidence=by.confidence), Support.of(judged, cuts, by), 0)

    lowest, _ = _search(own, asked, None, 0.0)
    empirical = _with_thresholds(outcome(lowest, rule), shared, parts, lowest, dtype)
    if not empirical.feasible and shared.empirical is not None and shared.empirical.program is not None:
        clash = shared.empirical.program.clash
        empirical = replace(empirical, program=replace(empirical.program, clash=clash))
    if rule is None or not asked.bounds:
        return replace(empirical, empirical=None if rule is None else empirical)
    best = None
    for tightening in TIGHTENINGS:
        lowest, is_feasible = _search(own, asked, rule, tightening)
        if not is_feasible:
            break
        found = outcome(lowest, rule)
        if found.supported:  # the less tight, the better the value
            best = _with_thresholds(found, shared, parts, lowest, dtype)
            break
    if best is None:
        safe = replace(shared.program, thresholds={name: float(shared.threshold) for name in parts})
        return replace(shared, program=safe, empirical=replace(empirical, num_more_positives=shared.num_more_positives))
    more = 0.0
    return replace(
        best,
        feasible=best.supported,
        num_more_positives=more,
        empirical=replace(empirical, num_more_positives=more),
    )


def _with_thresholds(
    choice: ThresholdChoice,
    shared: ThresholdChoice,
    parts: Mapping[str, LabelRows],
    lowest_flagged: np.ndarray,
    dtype: torch.dtype,
) -> ThresholdChoice:
    """Return a choice with its thresholds midway between scores, and the shared one for other subgroups."""
    thresholds = {
        name: _midway(part.ranking, cut, dtype) for (name, part), cut in zip(parts.items(), lowest_flagged, strict=True)
    }
    return replace(choice, threshold=shared.threshold, program=replace(choice.program, thresholds=thresholds))


def _midway(ranking: Ranking, cut: float, dtype: torch.dtype) -> float:
    flagged = np.array([cut, np.inf])
    return Cuts.at(ranking, Program("recall"), flagged).threshold(0, dtype)


def _search(own: LabelRows, asked: Program, rule: Rule | None, tightening: float) -> tuple[np.ndarray, bool]:
    """Return the lowest flagged score of each subgroup, and whether all bounds hold there.

    With a rule, cuts of a subgroup compete only where its rows support its own bounds, and bounds over several
    subgroups are tightened.
    """
    per = asked.threshold_per
    parts = own.subgroups[str(per)]
    num_bounds = sum(1 if bound.within is None else len(own.subgroups[bound.within]) for bound in asked.bounds)
    of_own = [replace(bound, within=None) for bound in asked.bounds if bound.within == per]
    joint: list[tuple[MetricBound, int]] = []
    sets: list[tuple[str | None, str | None]] = [(None, None)]
    for bound in asked.bounds:
        if bound.within == per:
            continue
        names = [None] if bound.within is None else list(own.subgroups[bound.within])
        for name in names:
            if name is not None:
                sets.append((bound.within, name))
            joint.append((_tightened(bound, tightening), 0 if name is None else len(sets) - 1))
    all_allowed = True
    usable = []
    for part in parts.values():
        lowest = all_cuts(part.ranking)
        allowed = np.ones(len(lowest), bool)
        if of_own:
            only = Program(asked.maximised, of_own)
            cuts = Cuts.at(part.ranking, only, lowest)
            allowed = cuts.feasible
            if rule is not None:
                confidence = rule.of_each(num_bounds)
                error = None if confidence is None else 1 - (1 - confidence) * len(of_own)  # divided among them again
                support = Support.of(part, cuts, Rule(error, every_fold=False))
                passes = [own_bound.supported(np.arange(len(lowest))) for own_bound in support.bounds]
                allowed = np.logical_and.reduce(passes)
            if not allowed.any():
                all_allowed = False
                nearest = cuts.shortfall(np.arange(len(lowest)))
                allowed = nearest == nearest.min()
        lowest = lowest[allowed]
        counts = [_alarms(_part(part, column, name), lowest) for column, name in sets]
        usable.append(SubgroupCuts(lowest, np.array(counts)))
    totals = np.array([_sizes(own.part(column, name).ranking) for column, name in sets])
    found, feasible = JointProgram(asked.maximised, joint, totals, usable).best()
    lowest = np.array([each.lowest_flagged[position] for each, position in zip(usable, found, strict=True)])
    return lowest, feasible and all_allowed


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


def _tightened(bound: MetricBound, part: float) -> MetricBound:
    """Return a bound moved by a part of the way to the best value that its metric can have."""
    number, metric = float(np.asarray(bound.bound)), bound.metric
    best = metric.high if bound.direction == "min" else metric.low
    return replace(bound, bound=number + part * (best - number)) if np.isfinite(best) else bound
