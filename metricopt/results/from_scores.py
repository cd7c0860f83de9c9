"""A result without a model: what an objective makes of scores that some model, whichever, has given to labelled rows.

This file decides what is read and checked. It leaves thresholds, reports and statuses to
:mod:`metricopt.results.result`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metricopt._arrays import columns_of
from metricopt._validation import check_choice, reject
from metricopt.evidence.rows import Rows
from metricopt.evidence.rule import DEFAULT_CONFIDENCE, check_confidence
from metricopt.problem.classes import Classes
from metricopt.problem.prevalence import read_prevalence
from metricopt.problem.registry import Asked, check_registered, get_objective
from metricopt.results.given import ClassesOfLabels, check_same_rows, read_labels, read_scores
from metricopt.results.history import History
from metricopt.results.result import FitResult, result_from_scores
from metricopt.results.scores import GIVEN, DataScores
from metricopt.results.versions import versions_of


def from_scores(
    scores: Any,
    labels: Any,
    objective: Asked,
    *,
    alpha: float | Sequence[float] | Mapping[str, float] | None = None,
    beta: float | None = None,
    confidence: float | str | None = "auto",
    label_names: Sequence[str] | None = None,
    groups: Any = None,
    folds: Any = None,
    sample_weight: Any = None,
    prevalence: float | Sequence[float] | Mapping[str, float] | None = None,
    positive: Any = None,
    subgroups: Any = None,
) -> FitResult:
    r"""Return thresholds for scores that you have, with what they reach, how sure that is, and what a result can do.

    .. math:: \max_t \; \text{objective}(s, y, t) \quad \text{s.t. the rows support its bound}

    with the scores :math:`s` (``scores``) of any model, a vendor's or a boosted tree's, the labels :math:`y`
    (``labels``), and the rule of :func:`metricopt.choose_threshold` for what rows support. The rows must not have
    trained the model: a held-out part, or out-of-fold scores of all rows (``cross_val_predict``) with their ``folds``.

    The result has no model, so its ``evaluate`` and ``certify`` take scores and labels, its ``predict`` takes scores,
    and ``export`` raises an error. ``metricopt.load(path)`` reads what its ``save`` wrote. Takes O(n log n).

    Parameters
    ----------
    scores : array, shape (n,) or (n, L), float
        Finite, the higher the more probably positive, of any scale. An array, a tensor, a list, or a column or a frame
        of pandas or polars. Each column must have two different values at least.
    labels : array, shape of ``scores``
        0, 1, booleans, or missing (NaN, None); or two classes as text or other numbers. Of two classes as text, "1" or
        "True" is positive, else the rarer one, and the summary says so; ``positive`` names another.
    objective : str or Objective
        For example ``"FPOR"`` with ``alpha=0.8``: the most recall at a precision of at least 0.8. Or a
        :class:`~metricopt.Program`, or its sentence; or one for each label, ``{label name: objective}``.
    alpha, beta : float, optional
        The bound (one for all labels, one a label, or {label name: bound}), or the beta of OFBS.
    confidence : "auto", float in (0, 1), or None
        How sure the bound must be on new rows; "auto" is 0.9. None takes the best cut on these rows, which new rows
        often miss.
    label_names : sequence of str, length L, optional
        By default the names of the columns of ``labels``, with the positive class where it is not 1.
    groups : array, shape (n,), optional
        Rows of equal value (one patient's images) testify together, as one.
    folds : array, shape (n,), optional
        The fold of each row: with a confidence, the bound must also hold on the rows of every single fold.
    sample_weight : array, shape (n,) or (n, L), optional
        Finite, >= 0.
    prevalence : float in (0, 1), one per label or {label name: float}, optional
        The fraction of positives where the threshold will be used; thresholds and metrics are for that.
    positive : optional
        The class that counts as 1, one for all labels or {label name: class}; all others count as 0.
    subgroups : mapping of str to array of shape (n,), or a frame, optional
        The columns that a program names, such as ``{"site": sites}``; if it names one, its array.

    Returns
    -------
    FitResult
        Its ``model`` is None, and its ``selection`` speaks of the rows given. A label without positives or negatives
        gets no threshold and the status ``no_positives``.

    Raises
    ------
    InvalidInputError
        If scores are text, NaN, infinite or constant; if labels are of one class of text or of three; if lengths
        differ; if an argument is not as above. Nothing is computed before.

    References
    ----------
    C. J. Clopper, E. S. Pearson (1934). The use of confidence or fiducial limits illustrated in the case of the
    binomial. Biometrika 26. The limits by which rows support a bound.

    Examples
    --------
    >>> scores = np.arange(400.0)
    >>> labels = (scores >= 200) & (scores % 20 != 0)
    >>> result = from_scores(scores, labels, "FPOR", alpha=0.9)
    >>> result.threshold, result.status
    (200.5, <Status.FEASIBLE: 'feasible'>)
    >>> result.evaluate([150.0, 250.0, 350.0], [0, 1, 1])
    Report on 'test'
      label (3 samples): recall 1.000 (0.158-1.000), precision 1.000 (0.158-1.000), bound 0.9 met
    """
    sure = DEFAULT_CONFIDENCE if isinstance(confidence, str) and confidence == "auto" else confidence
    if sure is not None:
        check_confidence(sure)  # type: ignore[arg-type]
    values = read_scores(scores)
    names = _names_of(labels, label_names)
    classes = _classes_of(labels, positive, names)
    if values.shape[1] != len(classes):
        rule = f"one column a score ({values.shape[1]})"
        reject("labels", rule, f"{len(classes)} columns", "give one label a score")
    asked = get_objective(objective, alpha=alpha, beta=beta, label_names=names)
    check_registered(asked)
    asked.for_labels(len(names))
    meant = read_prevalence(prevalence, names)
    truth = read_labels(labels, classes, names)
    check_same_rows(values, truth)
    _check_not_constant(values, names)
    rows = Rows.read(
        values,
        truth,
        sample_weight=sample_weight,
        groups=groups,
        prevalence=meant,
        folds=folds,
        subgroups=subgroups,
        columns=asked.columns,
    )
    weight = None if rows.samples.weight is None else np.array(rows.samples.weight)
    given = DataScores(GIVEN, values, None, truth, None, weight, rows.group_of, rows.fold_of, rows.subgroups)
    return result_from_scores(
        None,
        asked,
        {"train": given},
        label_names=_with_classes(names, classes) if label_names is None else names,
        diverged=False,
        confidence=sure if sure is None else float(sure),
        holdout=_judged_by(given),
        prevalence=meant,
        classes=classes,
        baseline_name="",
        history=History(),
        selected_stage="",
        solver="",
        seconds=0.0,
        versions=versions_of(["metricopt"]),
    )


def _names_of(labels: Any, label_names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the labels as given, or those of their columns."""
    columns, names = columns_of(labels)
    if label_names is not None:
        return tuple(_checked_names(label_names, len(columns)))
    return tuple(names or (["label"] if len(columns) == 1 else map(str, range(len(columns)))))


def _classes_of(labels: Any, positive: Any, names: Sequence[str]) -> ClassesOfLabels:
    """Return the classes of each label; ``positive`` is one class for all, or {label name: class}."""
    asked = positive if isinstance(positive, Mapping) else dict.fromkeys(names, positive)
    for name in asked:
        check_choice("positive's labels", name, names)
    columns, _ = columns_of(labels)
    return tuple(Classes.of(column, asked.get(name), label=name) for column, name in zip(columns, names, strict=True))


def _with_classes(names: Sequence[str], classes: ClassesOfLabels) -> tuple[str, ...]:
    """Return names that say which class is positive, where it is not 1."""
    return tuple(
        name if own is None else own.positive if name == "label" else f"{name} = {own.positive}"
        for name, own in zip(names, classes, strict=True)
    )


def _checked_names(label_names: Any, num_labels: int) -> list[str]:
    is_many = isinstance(label_names, Sequence) and not isinstance(label_names, str)
    if not is_many or not all(isinstance(name, str) for name in label_names):
        reject("label_names", "a sequence of names", repr(label_names), "give e.g. ['Edema', 'Pneumonia']")
    if len(label_names) != num_labels or len(set(label_names)) != num_labels:
        rule = f"different names, one a label ({num_labels})"
        reject("label_names", rule, list(label_names), "give as many names as labels has columns")
    return list(label_names)


def _check_not_constant(scores: np.ndarray, label_names: Sequence[str]) -> None:
    if not len(scores):
        reject("scores", "of one row at least", "none", "give the scores of labelled rows")
    for column, name in zip(scores.T, label_names, strict=True):
        if (column == column[0]).all():
            got = f"{column[0]:.6g} in every row"
            reject(f"scores of {name!r}", "of two different values at least", got, "no threshold can divide such rows")


def _judged_by(given: DataScores) -> str:
    """Say which rows chose the thresholds."""
    text = f"the {len(given.labels):,} rows given"
    if given.folds is not None:
        text += f", in {given.folds.max() + 1} folds"
    if given.groups is not None:
        text += f", of {given.groups.max() + 1:,} groups"
    return f"{text}: they must not have trained the model that scored them"
