r"""Metrics as they would be at another prevalence: weights on the two classes.

Training sets are enriched with positives, clinics are not. Where each class looks the same in both, only the numbers of
positives and negatives differ, and a metric at the prevalence :math:`\pi` of the clinic is that of samples with weights

.. math:: w_+ = \frac{\pi}{\hat\pi}, \qquad w_- = \frac{1 - \pi}{1 - \hat\pi}

with :math:`\hat\pi` the prevalence of the data at hand. Recall and the false-positive rate stay what they are;
precision becomes :math:`\pi\,\text{TPR} / (\pi\,\text{TPR} + (1 - \pi)\,\text{FPR})`, and F-beta and average precision
follow. Where the clinic's positives are milder than those of the training set, this does not help.

This file decides these weights; training, thresholds and reports take them as they take any sample weights.

References
----------
M. Saerens, P. Latinne, C. Decaestecker (2002). Adjusting the outputs of a classifier to new a priori probabilities.
Neural Computation 14. Equation 2.4: the same ratios of priors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from metricopt._validation import per_label, reject
from metricopt.problem.ratios import Counts

Prevalence: TypeAlias = "float | tuple[float, ...]"
"""One fraction of positives for all labels, or one per label."""


def read_prevalence(
    prevalence: float | Sequence[float] | Mapping[str, float] | None, label_names: Sequence[str] | None = None
) -> Prevalence | None:
    """Return a prevalence as it is stored: a float, or a tuple with one per label.

    Parameters
    ----------
    prevalence : float, sequence or {label name: float}, in (0, 1), or None
    label_names : sequence of str, optional
        The order of the labels when ``prevalence`` is a mapping.

    Raises
    ------
    InvalidInputError
        If a number is not in (0, 1), or a label is missing or unknown.

    Examples
    --------
    >>> read_prevalence({"Edema": 0.01, "Fracture": 0.002}, ["Fracture", "Edema"])
    (0.002, 0.01)
    """
    if prevalence is None:
        return None
    values: Any = per_label("prevalence", prevalence, label_names)
    is_many = isinstance(values, (Sequence, np.ndarray)) and not isinstance(values, str) and np.ndim(values) > 0
    for value in values if is_many else [values]:
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (is_number and 0 < value < 1):
            remedy = "give the fraction of positives where the model will be used, e.g. 0.01"
            reject("prevalence", "in (0, 1)", repr(value), remedy)
    return tuple(map(float, values)) if is_many else float(values)


def prevalence_of_labels(prevalence: Prevalence | None, num_labels: int) -> tuple[float | None, ...]:
    """Return one prevalence per label, None for each where there is none.

    Raises
    ------
    InvalidInputError
        If there is one per label, but not for this number of labels.
    """
    if not isinstance(prevalence, tuple):
        return (prevalence,) * num_labels
    if len(prevalence) != num_labels:
        rule, got = f"one number or one per label ({num_labels})", f"{len(prevalence)} numbers"
        reject("prevalence", rule, got, "give as many as there are labels")
    return prevalence


def weights_at(prevalence: Prevalence, labels: np.ndarray, sample_weight: np.ndarray | None = None) -> np.ndarray:
    """Return the weights that give each label this prevalence, and the total weight that it had.

    Weights that were made for another prevalence can be passed as ``sample_weight``: the other prevalence is replaced,
    and what differs between samples of a class is kept.

    Parameters
    ----------
    prevalence : float or tuple of float, in (0, 1)
        The fraction of positives, one for all labels or one for each label.
    labels : ndarray, shape (n, L)
        Labels are 0, 1 or NaN (missing).
    sample_weight : ndarray, shape (n, L), optional
        What the samples weigh otherwise. The default is 1.

    Returns
    -------
    ndarray, shape (n, L), float64
        A label that lacks positives or negatives keeps its weights: no fraction can be made of nothing.

    Raises
    ------
    InvalidInputError
        If there is one prevalence per label, but not for this number of labels.

    Examples
    --------
    >>> weights_at(0.1, np.array([[1.0], [0.0], [1.0], [0.0]])).ravel().tolist()
    [0.2, 1.8, 0.2, 1.8]
    """
    weight = np.ones(labels.shape) if sample_weight is None else np.array(sample_weight, np.float64)
    for label, wanted in enumerate(prevalence_of_labels(prevalence, labels.shape[1])):
        own = weight[:, label]
        positive, negative = labels[:, label] == 1, labels[:, label] == 0
        of_positives, of_negatives = own[positive].sum(), own[negative].sum()
        if wanted is None or not (of_positives and of_negatives):
            continue
        observed = of_positives / (of_positives + of_negatives)
        own[positive] *= wanted / observed
        own[negative] *= (1 - wanted) / (1 - observed)
    return weight


def counts_at(prevalence: float, counts: Counts, sizes: tuple[float, float] | None = None) -> Counts:
    """Return the counts of as many samples at another prevalence, recall and false-positive rate being the same.

    Parameters
    ----------
    prevalence : float, in (0, 1)
    counts : Counts
        Unweighted counts with positives and negatives.
    sizes : (float, float), optional
        How many positives and negatives there are in all, where the counts are those of a subgroup: its classes are
        weighted as those of all are. By default the counts are those of all.

    Examples
    --------
    >>> counts_at(0.1, Counts(40.0, 5.0, 10.0, 45.0))
    Counts(true_positives=8.0, false_positives=9.0, false_negatives=2.0, true_negatives=81.0)
    """
    positives, negatives = sizes or (counts.positives, counts.negatives)
    total = positives + negatives
    of_positives, of_negatives = prevalence * total / positives, (1 - prevalence) * total / negatives
    return Counts(
        of_positives * counts.true_positives,
        of_negatives * counts.false_positives,
        of_positives * counts.false_negatives,
        of_negatives * counts.true_negatives,
    )
