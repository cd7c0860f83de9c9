"""From the candidates of a training to its result: the weights that are returned, and their scores on all rows.

This file decides which scores a result holds. It leaves thresholds, reports and statuses to
:mod:`metricopt.results.result`, and which candidate wins to :mod:`metricopt.training.selection`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from metricopt.results.history import History
from metricopt.results.result import FitResult, result_from_scores
from metricopt.results.scores import OUT_OF_FOLD, DataScores
from metricopt.results.versions import versions_of
from metricopt.solvers import Stage
from metricopt.training.parts import FoldedRows, Part
from metricopt.training.preparation import Training
from metricopt.training.replicas import average_of
from metricopt.training.selection import OutOfFold
from metricopt.training.state import Candidate, State

Score: TypeAlias = "Callable[[Candidate, Part], tuple[np.ndarray, np.ndarray]]"
"""Gives the scores and labels of a part, with the weights of a candidate."""


def conclude(training: Training, state: State, best: Candidate, score: Score) -> FitResult:
    """Return the result of a training on a part of the rows, or on all of them.

    Parameters
    ----------
    training : Training
    state : State
        It is marked as diverged if scores that did not choose are not finite.
    best : Candidate
        What is returned.
    score : callable ``(candidate, part) -> (scores, labels)``
    """
    data_scores, baseline, parts = {}, state.baseline, training.parts
    for data, part in (("train", parts.train), ("validation", parts.validation)):
        if part is None:
            continue
        is_known = part is parts.selection
        of_baseline, baseline_labels = _scored(baseline, part, score, is_known=is_known)
        if best.epoch == baseline.epoch and not best.averaged:
            own, labels = of_baseline.copy(), baseline_labels.copy()
        else:
            own, labels = _scored(best, part, score, is_known=is_known)
        if not np.isfinite(of_baseline).all() or not np.isfinite(own).all():
            # On training data that did not select; the start is known to be sound.
            state.diverged = True
            sound = baseline if np.isfinite(of_baseline).all() else state.start
            if sound.weights:
                state.baseline = sound
                return conclude(training, state, sound, score)
            (of_baseline, baseline_labels), (own, labels) = map(
                _finite, ((of_baseline, baseline_labels), (own, labels))
            )
        data_scores[data] = DataScores(
            data,
            own,
            of_baseline,
            labels,
            baseline_labels,
            part.sample_weight,
            part.groups,
            subgroups=part.subgroups,
        )
    training.model.load_state_dict(best.weights)
    train = data_scores["train"]
    loss, names = training.loss, training.label_names
    slack = loss.solver.compare(best.slack, train.scores, train.labels, train.sample_weight, names)
    return _result(training, state, best, training.model, data_scores, slack=slack)


def _scored(candidate: Candidate, part: Part, score: Score, *, is_known: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels of a part: those that judged the candidate, or those of a further pass."""
    if is_known and candidate.scores is not None and candidate.labels is not None:
        return candidate.scores.copy(), candidate.labels.copy()
    return score(candidate, part)


def _finite(scored: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return scores with the labels that belong to them, missing where a score is not finite."""
    scores, labels = scored
    is_finite = np.isfinite(scores)
    return np.where(is_finite, scores, 0.0).astype(scores.dtype), np.where(is_finite, labels, np.nan).astype(np.float32)


def conclude_folds(training: Training, state: State, best: Candidate, evidence: np.ndarray, score: Score) -> FitResult:
    """Return the result of replicas: their average as one model, judged by out-of-fold scores.

    Parameters
    ----------
    training, state, best, score
        The same as for :func:`conclude`.
    evidence : ndarray, shape (n, L)
        Out-of-fold scores that did not choose ``best``.
    """
    selection, rows = training.selection, training.parts.folded
    assert isinstance(selection, OutOfFold) and rows is not None
    averages = []
    for candidate in (state.baseline, best):  # the model keeps the weights of the last
        scores, _ = score(candidate, selection.part)
        frames = selection.frames(scores)
        averages.append(frames.average(selection.by_replica(scores)).astype(np.float32))
    model = _as_given(average_of(training.model, frames), training.given_model)
    assert state.baseline.evidence is not None
    data_scores = {
        "train": _of_rows("train", averages[1], averages[0], rows),
        "validation": _of_rows(OUT_OF_FOLD, evidence, state.baseline.evidence, rows),
    }
    return _result(training, state, best, model, data_scores)


def _of_rows(data: str, scores: np.ndarray, baseline_scores: np.ndarray, rows: FoldedRows) -> DataScores:
    """Return scores with the labels of the rows, which are missing where a diverged replica has left no score."""
    labels = np.where(np.isfinite(scores), rows.labels, np.nan).astype(np.float32)
    baseline_labels = np.where(np.isfinite(baseline_scores), rows.labels, np.nan).astype(np.float32)
    own, baseline = np.nan_to_num(scores), np.nan_to_num(baseline_scores)
    return DataScores(
        data, own, baseline, labels, baseline_labels, rows.sample_weight, rows.groups, rows.folds, rows.subgroups
    )


def _as_given(average: nn.Module, given: Any) -> nn.Module:
    """Return the module that the caller gave, with the weights of the average, where it can hold them."""
    if type(given) is nn.Linear and type(average) is nn.Linear and given.bias is not None:
        given.load_state_dict(average.state_dict())
        return given.to(average.weight.device)
    return average


def _name_of(baseline: Candidate, plan: Sequence[Stage], *, has_folds: bool) -> str:
    """Say what candidate zero is."""
    if not baseline.epoch:
        return "the untrained model" if has_folds else "the model as passed"
    return f"warm-up, {baseline.epoch} of {sum(stage.epochs for stage in plan)} epochs of cross-entropy"


def _result(
    training: Training, state: State, best: Candidate, model: nn.Module, data_scores: dict[str, DataScores], **rest: Any
) -> FitResult:
    processes, chosen = training.processes, best.averaged or (best.epoch,)
    return result_from_scores(
        model,
        training.objective,
        data_scores,
        diverged=state.diverged,
        confidence=training.confidence,
        holdout=training.holdout,
        prevalence=training.parts.prevalence,
        label_names=training.label_names,
        baseline_name=_name_of(state.baseline, training.plan, has_folds=training.parts.folded is not None),
        history=History({**record, "chosen": record["epoch"] in chosen} for record in state.history),
        selected_stage=best.stage,
        solver=training.loss.solver.name,
        seconds=processes.from_main(lambda: state.seconds),
        versions=versions_of(["metricopt", "torch"]),
        **rest,
    )
