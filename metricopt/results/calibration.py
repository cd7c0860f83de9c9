"""Calibration data for a result: scored by its model, new to it, and what they certify of its thresholds.

This file decides which objectives and data can be certified at all. The statistics are those of

"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from metricopt._arrays import numbered
from metricopt._validation import reject
from metricopt.evidence.certificates import LabelCertificate, OneLabel, ProgramCertificate
from metricopt.evidence.certification import certify_label, import_control, one_row_each
from metricopt.evidence.equal_rows import copies_of_each, fraction_alike, number_scores, repeated, seen_before
from metricopt.evidence.program_certification import certify_program
from metricopt.evidence.rows import Rows
from metricopt.evidence.subgroups import read_subgroups
from metricopt.problem.objectives import FPOR, FROP, CountObjective, Objective
from metricopt.problem.prevalence import Prevalence, prevalence_of_labels
from metricopt.problem.program import Program
from metricopt.results.scores import OUT_OF_FOLD, DataScores, selection_scores
from metricopt.results.status import Status

MOST = 0.5
"""The fraction of a class's rows above which calibration data are rejected as rows that trained or chose."""


def certify(
    read: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray | None]],
    objective: Objective,
    thresholds: np.ndarray,
    data_scores: Mapping[str, DataScores],
    label_names: Sequence[str],
    *,
    prevalence: Prevalence | None,
    confidence: float,
    groups: Sequence[Any] | None = None,
    subgroups: Any = None,
) -> tuple[LabelCertificate | ProgramCertificate, ...]:
    """Certify the thresholds of a result, label by label; see :meth:`metricopt.FitResult.certify`.

    ``read`` gives scores and labels of the calibration data, shape (n, L) each, and a number for each row by its
    inputs, or None (:func:`metricopt.results.given.scored_and_numbered_pairs`); the other arguments are of the result.
    """
    num_labels = len(label_names)
    objectives = _objectives(objective, num_labels, confidence)
    import_control()
    scores, labels, identity = read()
    if not len(labels):
        reject("calibration_data", "of one row at least", "none", "pass labelled samples that are new to the model")
    group_of_row = None if groups is None else numbered("groups", groups, len(labels))
    _check_new(scores, labels, data_scores, label_names)
    if group_of_row is None:
        _check_once(scores, labels, identity, data_scores, label_names)
    chosen_on = selection_scores(data_scores)
    known = Rows.unweighted(chosen_on.scores, chosen_on.counted_labels, chosen_on.subgroups)
    columns = read_subgroups(subgroups, objective.columns, len(labels), strict=False)
    prevalences = prevalence_of_labels(prevalence, num_labels)
    certificates: list[LabelCertificate | ProgramCertificate] = []
    for label, single in enumerate(objectives):
        rows = np.flatnonzero(~np.isnan(labels[:, label]))
        if group_of_row is not None:
            rows = one_row_each(group_of_row, ~np.isnan(labels[:, label]))
        own = Rows.unweighted(scores[rows], labels[rows], {name: each.take(rows) for name, each in columns.items()})
        (calibration,), (selection,) = own.of_labels([label]), known.of_labels([label])
        said: dict[str, Any] = {
            "prevalence": prevalences[label],
            "label": label_names[label],
            "num_groups": None if group_of_row is None else len(rows),
        }
        tuned = float(thresholds[label])
        if isinstance(single, (FPOR, FROP)):
            one = certify_label(single, calibration.ranking, selection.ranking, tuned, confidence, **said)
            certificates.append(one)
        else:
            certificates.append(certify_program(single, calibration, selection, tuned, confidence, **said))
    return tuple(certificates)


def certified_statuses(certificates: Sequence[OneLabel], statuses: Sequence[Status]) -> tuple[Status, ...]:
    """Return the statuses at the certified thresholds, from those at the tuned ones."""
    return tuple(
        Status.CERTIFIED if each.is_certified else was if was is Status.NO_POSITIVES else Status.NOT_CERTIFIED
        for each, was in zip(certificates, statuses, strict=True)
    )


def _objectives(objective: Objective, num_labels: int, confidence: float) -> tuple[CountObjective, ...]:
    """Return one objective a label; reject what cannot be certified."""
    objective = _by_name(objective)
    if not objective.bounds:
        remedy = "there is no bound to hold: ask for one, e.g. FPOR with alpha=0.8"
        reject("objective", "one with a bound to be certified", objective.name, remedy)
    if isinstance(objective, Program) and objective.threshold_per is not None:
        got = f"one for each {objective.threshold_per}"
        reject("the threshold", "one for all rows to be certified", got, "leave out threshold_per")
    singles = cast("tuple[CountObjective, ...]", objective.for_labels(num_labels))
    for bound in (bound for single in singles for bound in single.bounds):
        end = bound.metric.high if bound.direction == "min" else bound.metric.low
        if float(np.asarray(bound.bound)) == end:
            rule, example = ("below", "0.95") if bound.direction == "min" else ("above", "0.05")
            remedy = f"no number of samples shows that there is never an error: ask for less, e.g. {example}"
            name = objective.bound_parameter or str(bound)
            reject(name, f"{rule} {end:g} to be certified", end, remedy)
    is_number = isinstance(confidence, (int, float)) and not isinstance(confidence, bool)
    if not (is_number and 0 < confidence < 1):
        reject("confidence", "in (0, 1)", repr(confidence), "give e.g. 0.9")
    return singles


def _by_name(objective: Objective) -> Objective:
    """Return a program as the named objective that it is, or any other objective as it is."""
    if not isinstance(objective, Program) or objective.threshold_per is not None or objective.only_bound is None:
        return objective
    bound = float(np.asarray(objective.only_bound.bound))
    named: tuple[FPOR | FROP, ...] = (FPOR(bound), FROP(bound)) if 0 < bound <= 1 else ()
    same = [each for each in named if each.bounds == objective.bounds and each.maximised == objective.maximised]
    return same[0] if same else objective


def _check_new(
    scores: np.ndarray, labels: np.ndarray, data_scores: Mapping[str, DataScores], label_names: Sequence[str]
) -> None:
    """Reject data of which most positives or negatives trained or chose; warn where fewer of them did."""
    names = " and ".join(part.data for part in _scored_alike(data_scores))
    for rows, own, known, kind in _classes(scores, labels, data_scores, label_names):
        equal, alike = seen_before(own, known), fraction_alike(own, known)
        if equal.fraction >= alike:
            fraction, num_by_chance = equal.fraction, equal.by_chance * equal.num_telling
            got = f"{len(equal.rows)} of {equal.num_telling} {kind} with the very score of one of the {names} data"
            got += f", where chance gives {num_by_chance:.0f} at most"
        else:
            fraction = alike
            got = f"{kind} of which about {100 * alike:.0f} % are those of the {names} data, as their equal scores tell"
        if fraction > MOST:
            remedy = "pass samples that took no part in training or selection: without them there is no guarantee"
            reject("calibration_data", "new to the model", got, remedy)
        if fraction > 0:
            first = ", ".join(map(str, rows[equal.rows[:5]])) if equal.fraction >= alike else ""
            where = f" (they begin with the rows {first})" if first else ""
            text = f"calibration_data holds {got}{where}. If these took part in training or selection, the certificate "
            warnings.warn(f"{text}guarantees nothing: leave them out.", UserWarning, stacklevel=4)  # certify's caller


def _check_once(
    scores: np.ndarray,
    labels: np.ndarray,
    identity: np.ndarray | None,
    data_scores: Mapping[str, DataScores],
    label_names: Sequence[str],
) -> None:
    """Reject data with repeated rows; ``identity`` numbers rows by their inputs, None where these cannot be told."""
    what = "scores" if identity is None else "inputs"
    for rows, own, known, kind in _classes(scores, labels, data_scores, label_names):
        equal = repeated(own, known, None if identity is None else identity[rows])
        copies = copies_of_each(number_scores(own) if identity is None else identity[rows])
        if copies == 1 and equal.fraction == 0:
            continue
        got = f"{len(equal.rows)} of {equal.num_telling} {kind} with the {what} of another one"
        if copies > 1:
            got = f"every one of {len(rows)} {kind} {copies} times or a multiple of that"
        remedy = (
            "leave out what is repeated, or pass groups, with equal values for the rows of one sample "
            f"and different values for different samples that happen to have equal {what}"
        )
        reject("calibration_data", "made of different samples", got, remedy)


def _classes(
    scores: np.ndarray, labels: np.ndarray, data_scores: Mapping[str, DataScores], label_names: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, str]]:
    """Yield the rows of each class of each label, their scores, those of known rows of the class, and its name."""
    parts = _scored_alike(data_scores)
    known_scores, known_labels = (np.concatenate(columns) for columns in zip(*(p.model for p in parts), strict=True))
    for label, name in enumerate(label_names):
        for truth, kind in ((1, "positives"), (0, "negatives")):
            rows = np.flatnonzero(labels[:, label] == truth)
            known = known_scores[known_labels[:, label] == truth, label]
            if len(rows) and len(known):
                yield rows, scores[rows, label], known, kind if len(label_names) == 1 else f"{kind} of {name!r}"


def _scored_alike(data_scores: Mapping[str, DataScores]) -> list[DataScores]:
    """Return the data that the returned model itself scored: with folds, the training data alone, which are all."""
    return [part for part in data_scores.values() if part.data != OUT_OF_FOLD]
