"""The labels that stand for uncertain findings, and for findings that a report does not mention.

This file decides labels and targets. It leaves training on them to others.

Two things are kept apart. *Labels* are 0, 1 or NaN (missing). Metrics, thresholds and :func:`metricopt.fit` take only
these, because half a true alarm cannot be counted. *Soft targets* in [0, 1] are for a surrogate such as
:func:`metricopt.losses.cross_entropy`. Where a policy has soft targets for the uncertain rows, their labels are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricopt._arrays import to_numpy
from metricopt._validation import check_choice, reject
from metricopt.data.chexpert.table import CHEXPERT_LABELS, CheXpertTable

POLICIES = ("ignore", "zeros", "ones", "multiclass", "self_trained", "smoothed_zeros", "smoothed_ones")
"""The names of the policies. :func:`apply_policy` says what each means."""

COMMON_POLICY: Mapping[str, str] = {
    label: "ones" if label in ("Atelectasis", "Edema") else "zeros" for label in CHEXPERT_LABELS
}
"""The usual policy of each label: uncertain Atelectasis and Edema count as positive, all others as negative."""

_LABEL = {"zeros": 0.0, "ones": 1.0}
_SMOOTHED = {"smoothed_zeros": (0.0, 0.3), "smoothed_ones": (0.55, 0.85)}


def apply_policy(
    table: CheXpertTable, policy: str | Mapping[str, str] = COMMON_POLICY, *, unmentioned: str = "negative"
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    r"""Return the labels of a table for metrics and for :func:`metricopt.fit`, with their names.

    =====================================  ==============================================
    policy                                 label of an uncertain row
    =====================================  ==============================================
    ignore                                 NaN: it counts nowhere
    zeros, ones                            0, 1
    multiclass                             NaN, and 1 in a further column "... (uncertain)"
    self_trained                           NaN; soft target: a model's probability
    smoothed_zeros, smoothed_ones          NaN; soft target: drawn from U(0, .3), U(.55, .85)
    =====================================  ==============================================

    The third class of *multiclass* is a column u of its own beside the label y. It is 1 where the finding is uncertain
    and 0 where it is not. Trained with cross-entropy, both columns together are exactly the three-class model

    .. math:: P(\text{uncertain}) = \sigma(z_u), \qquad
              P(\text{positive}) = (1 - \sigma(z_u))\, \sigma(z_y), \qquad
              P(\text{negative}) = (1 - \sigma(z_u))\, (1 - \sigma(z_y)),

    because the label is missing where u = 1. Metrics judge the probability of a positive given that the finding is not
    uncertain, which is :math:`\sigma(z_y)`, as in the paper.

    Parameters
    ----------
    table : CheXpertTable
        A table with n images and L labels.
    policy : str or {label: str}
        One of :data:`POLICIES` for all labels, or one for each. A mapping can name more labels than the table has. The
        labels that are the NIH's alone need none, since its table knows no uncertain findings.
    unmentioned : str
        The meaning of a blank: ``"negative"``, as usual in the field, or ``"missing"``.

    Returns
    -------
    labels : ndarray, shape (n, L + number of multiclass labels), float32
        0, 1 or NaN (missing).
    label_names : tuple of str
        The name of each column of ``labels``.

    Raises
    ------
    InvalidInputError
        If a policy or label does not exist, or a label of the table has no policy.

    References
    ----------
    J. Irvin et al. (2019). CheXpert: a large chest radiograph dataset with uncertainty labels and expert comparison.
    AAAI. Section "Model".

    H. H. Pham, T. T. Le, D. T. Ngo, D. Q. Tran, H. Q. Nguyen (2021). Interpreting chest X-rays via CNNs that exploit
    hierarchical disease dependencies and uncertainty labels. Neurocomputing. The smoothed policies are from there.
    """
    policies = _per_label(table, policy, unmentioned)
    uncertain = table.raw_labels == -1
    labels = _with_blanks(table, unmentioned)
    for column, chosen in enumerate(policies):
        labels[uncertain[:, column], column] = _LABEL.get(chosen, np.nan)
    doubled = [column for column, chosen in enumerate(policies) if chosen == "multiclass"]
    third = np.where(uncertain, 1.0, 0 * _with_blanks(table, unmentioned))[:, doubled]
    names = tuple(f"{table.label_names[column]} (uncertain)" for column in doubled)
    return np.concatenate([labels, third.astype(np.float32)], axis=1), table.label_names + names


def soft_targets(
    table: CheXpertTable,
    policy: str | Mapping[str, str],
    *,
    probabilities: Any = None,
    seed: int = 0,
    unmentioned: str = "negative",
) -> NDArray[np.float32]:
    """Return targets in [0, 1] or NaN for training with a surrogate, with the soft targets of policies that have them.

    All other targets are the labels of :func:`apply_policy`. Train a model on the targets with
    :func:`metricopt.losses.cross_entropy`, and then on the labels with ``fit(..., warmup_epochs=0)``.

    Parameters
    ----------
    table, policy, unmentioned
        The arguments of :func:`apply_policy`.
    probabilities : array, shape (n, L), in [0, 1], optional
        The predictions of a model that was trained with *ignore*. The policy *self_trained* needs them.
    seed : int
        The seed of the smoothed policies. The same seed draws the same targets, whichever other labels there are.

    Returns
    -------
    ndarray, shape (n, L + number of multiclass labels), float32
        0, 1, soft targets between them, or NaN (missing).

    Raises
    ------
    InvalidInputError
        If :func:`apply_policy` would raise, or ``probabilities`` are needed and missing, or are not as above.
    """
    targets, _ = apply_policy(table, policy, unmentioned=unmentioned)
    predicted = None
    for column, chosen in enumerate(_per_label(table, policy, unmentioned)):
        uncertain = table.raw_labels[:, column] == -1
        if chosen in _SMOOTHED and uncertain.any():
            place = CHEXPERT_LABELS.index(table.label_names[column])
            drawn = np.random.RandomState([seed, place]).uniform(*_SMOOTHED[chosen], size=len(table))
            targets[uncertain, column] = drawn[uncertain]
        elif chosen == "self_trained":
            predicted = _check_probabilities(probabilities, table) if predicted is None else predicted
            targets[uncertain, column] = predicted[uncertain, column]
    return targets


def _per_label(table: CheXpertTable, policy: str | Mapping[str, str], unmentioned: str) -> list[str]:
    """Return the policy of each label of the table."""
    check_choice("unmentioned", unmentioned, ("negative", "missing"))
    if not isinstance(policy, Mapping):
        check_choice("policy", policy, POLICIES)
        return [policy] * len(table.label_names)
    for name, chosen in policy.items():
        check_choice("policy's labels", name, CHEXPERT_LABELS)
        check_choice(f"policy of {name!r}", chosen, POLICIES)
    left_out = [name for name in table.label_names if name in CHEXPERT_LABELS and name not in policy]
    if left_out:
        reject("policy", "given for every label", f"nothing for {left_out}", "add them: {**COMMON_POLICY, ...}")
    return [policy.get(name, "ignore") for name in table.label_names]  # other labels are never uncertain


def _with_blanks(table: CheXpertTable, unmentioned: str) -> NDArray[np.float32]:
    """Return a copy of the raw labels, in which blanks are 0 or NaN as asked for."""
    raw_labels = table.raw_labels.copy()
    return np.nan_to_num(raw_labels, copy=False, nan=0.0) if unmentioned == "negative" else raw_labels


def _check_probabilities(probabilities: Any, table: CheXpertTable) -> NDArray[np.floating[Any]]:
    if probabilities is None:
        remedy = "train a model with 'ignore' and pass its predictions"
        reject("probabilities", "given for the policy 'self_trained'", None, remedy)
    predicted = to_numpy("probabilities", probabilities)
    if predicted.shape != table.raw_labels.shape:
        rule = f"of shape {table.raw_labels.shape}"
        remedy = "give a row for each image and a column for each label of the table"
        reject("probabilities", rule, f"shape {predicted.shape}", remedy)
    needed = predicted[table.raw_labels == -1]
    if not ((needed >= 0) & (needed <= 1)).all():
        got = "other values in uncertain rows"
        reject("probabilities", "in [0, 1]", got, "apply a sigmoid if these are scores")
    return predicted
