"""What an uncertain finding counts as, and one that a report does not mention.

This file decides labels and targets. It leaves training on them to others.

Two things are kept apart. *Labels* are 0, 1 or NaN (missing): metrics, thresholds and :func:`metricopt.fit` take
these alone, since a count of half a true alarm means nothing. *Soft targets* in [0, 1] are for a surrogate such as
:func:`metricopt.losses.cross_entropy`: where a policy has soft targets for the uncertain rows, their labels are NaN.
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
"""Names of the policies; :func:`apply_policy` says what each means."""

COMMON_POLICY: Mapping[str, str] = {
    label: "ones" if label in ("Atelectasis", "Edema") else "zeros" for label in CHEXPERT_LABELS
}
"""The usual mix: uncertain Atelectasis and Edema count as positive, all others as negative."""

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

    The third class of *multiclass* is a column u of its own beside the label y: 1 where uncertain, 0 where not. Trained
    with cross-entropy, both together are exactly the three-class model

    .. math:: P(\text{uncertain}) = \sigma(z_u), \qquad
              P(\text{positive}) = (1 - \sigma(z_u))\, \sigma(z_y), \qquad
              P(\text{negative}) = (1 - \sigma(z_u))\, (1 - \sigma(z_y)),

    since the label is missing where u = 1. The score that metrics judge is the chance of a positive when "uncertain" is
    left out, which is :math:`\sigma(z_y)`, as in the paper.

    Parameters
    ----------
    table : CheXpertTable
        With n images and L labels.
    policy : str or {label: str}
        One of :data:`POLICIES` for all labels, or one for each; a mapping may name more labels than the table has.
    unmentioned : str
        What a blank counts as: ``"negative"``, as usual in the field, or ``"missing"``.

    Returns
    -------
    labels : ndarray, shape (n, L + number of multiclass labels), float32
        0, 1 or NaN.
    label_names : tuple of str

    Raises
    ------
    InvalidInputError
        When a policy or label does not exist, or a label of the table has no policy.

    References
    ----------
    J. Irvin et al. (2019). CheXpert: a large chest radiograph dataset with uncertainty labels and expert comparison.
    AAAI. Section "Model".

    H. H. Pham, T. T. Le, D. T. Ngo, D. Q. Tran, H. Q. Nguyen (2021). Interpreting chest X-rays via CNNs that exploit
    hierarchical disease dependencies and uncertainty labels. Neurocomputing. (Label smoothing regularisation.)
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
    """Return targets in [0, 1] or NaN for training with a surrogate, soft where the policy is.

    Everything else is as in :func:`apply_policy`: stated and excluded findings stay 1 and 0, *zeros* and *ones* are 0
    and 1. Train a model on these with :func:`metricopt.losses.cross_entropy`, then on the labels with
    ``fit(..., warmup_epochs=0)``.

    Parameters
    ----------
    table, policy, unmentioned
        As in :func:`apply_policy`.
    probabilities : array, shape (n, L), in [0, 1], optional
        For *self_trained*: the predictions of a model that was trained with *ignore*.
    seed : int
        For the smoothed policies: the same seed draws the same targets, whichever other labels there are.

    Returns
    -------
    ndarray, shape (n, L + number of multiclass labels), float32

    Raises
    ------
    InvalidInputError
        As in :func:`apply_policy`, or when ``probabilities`` are needed and missing, or not as above.
    """
    targets, _ = apply_policy(table, policy, unmentioned=unmentioned)
    predicted = None
    for column, chosen in enumerate(_per_label(table, policy, unmentioned)):
        uncertain = table.raw_labels[:, column] == -1
        if chosen in _SMOOTHED:
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
    left_out = [name for name in table.label_names if name not in policy]
    if left_out:
        reject("policy", "given for every label", f"nothing for {left_out}", "add them: {**COMMON_POLICY, ...}")
    return [policy[name] for name in table.label_names]


def _with_blanks(table: CheXpertTable, unmentioned: str) -> NDArray[np.float32]:
    """Return a copy of the raw labels in which blanks are what they count as."""
    raw_labels = table.raw_labels.copy()
    return np.nan_to_num(raw_labels, copy=False, nan=0.0) if unmentioned == "negative" else raw_labels


def _check_probabilities(probabilities: Any, table: CheXpertTable) -> NDArray[np.floating[Any]]:
    if probabilities is None:
        remedy = "train a model with 'ignore' and pass its predictions"
        reject("probabilities", "given for the policy 'self_trained'", None, remedy)
    predicted = to_numpy("probabilities", probabilities)
    if predicted.shape != table.raw_labels.shape:
        rule = f"of shape {table.raw_labels.shape}"
        reject("probabilities", rule, f"shape {predicted.shape}", "give one column a label of the table")
    needed = predicted[table.raw_labels == -1]
    if not ((needed >= 0) & (needed <= 1)).all():
        reject("probabilities", "in [0, 1]", "others for uncertain rows", "apply a sigmoid to the scores")
    return predicted
