"""OTCE: how far apart two domains are, and how far the source's classes tell the target's once they are matched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import check_finite, check_fraction, reject
from metricopt.transfer.inputs import Classes, Floats, read_classes, read_features
from metricopt.transfer.nce import conditional_entropy
from metricopt.transfer.sampling import check_size, draw
from metricopt.transfer.score import Score, report
from metricopt.transfer.transport import distances_between_classes, joint_of_classes, squared_distances, transport


class OTCECoefficients(NamedTuple):
    """How the two differences of OTCE add up to an accuracy; :func:`fit_otce` finds them.

    Attributes
    ----------
    domain, task : float
        What a unit of the domain difference and of the task difference is worth.
    bias : float
    """

    domain: float
    task: float
    bias: float


def otce(
    source_features: Any,
    source_labels: Any,
    target_features: Any,
    target_labels: Any,
    *,
    coefficients: OTCECoefficients | None = None,
    label_weight: float = 0.0,
    regularisation: float = 0.0,
    max_samples: int = 1000,
    balanced: bool = False,
    seed: int = 0,
) -> Score:
    r"""Return the negative entropy of the target's classes given the source's, as optimal transport matches them.

    .. math:: \pi = \arg\min_\pi \langle \pi, c \rangle, \quad W_D = \langle \pi, c \rangle, \quad
              W_T = H(Y_t \mid Y_s) \text{ under } P(y_s, y_t) = \sum_{i: y_s^i = y_s} \sum_{j: y_t^j = y_t} \pi_{ij}

    with the squared Euclidean distance c between features. The score is :math:`-W_T`, or with the coefficients that
    auxiliary tasks gave :math:`\lambda_1 W_D + \lambda_2 W_T + b`.

    Parameters
    ----------
    source_features, target_features : array, shapes (n, d) and (m, d)
        Of both data sets, out of the same layer of the source network.
    source_labels, target_labels : array, shapes (n,) and (m,)
        Classes, as whole numbers.
    coefficients : OTCECoefficients, optional
        Of :func:`fit_otce`; without auxiliary tasks the score is the negative task difference.
    label_weight : float, in [0, 1]
        0.5 for JC-OTCE: the share in the cost of the transport cost between the samples' classes, so that classes whose
        features lie alike are matched as wholes.
    regularisation : float, >= 0
        Of the entropy of the plan, in units of the cost; 0 for the exact plan.
    max_samples : int
        A side; of larger data sets so many samples are drawn. Time and memory grow with its square and more.
    balanced : bool
        Whether every class weighs the same, on either side, and samples are drawn of each alike as long as there are
        any. Not in the paper.
    seed : int
        Of the draw.

    Returns
    -------
    Score
        In nats, in [-H(Y_t), 0] without coefficients, which is a matter of the features' geometry: it does not change
        under rotations, translations and changes of the unit of all features. ``details`` holds ``domain_difference``
        and ``task_difference``; the class counts are those of the target's samples that were drawn.

    Warns
    -----
    TransferWarning
        Where the plan is not what it should be, where the source has one class, where a target class was not drawn, and
        where one has fewer than 10 samples.

    Raises
    ------
    InvalidInputError
        On values that are not finite, lengths or widths that differ, one target class, or features that are all alike.
    ImportError
        Without POT (``pip install 'metricopt[transfer]'``).

    References
    ----------
    Y. Tan, Y. Li, S.-L. Huang (2021). OTCE: a transferability metric for cross-domain cross-task representations. CVPR.
    Y. Tan, E. Zhang, Y. Li, S.-L. Huang, X.-P. Zhang (2022). Transferability-guided cross-domain cross-task transfer
    learning. arXiv:2207.05510 (JC-OTCE).

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> labels = np.arange(60) % 2
    >>> source, target = (random.normal(3.0 * labels[:, None], size=(60, 2)) for _ in range(2))
    >>> score = otce(source, labels, target, labels)
    >>> round(score, 3), round(score.details["domain_difference"], 3)
    (-0.245, 0.618)
    """
    check_fraction("label_weight", label_weight, zero=True)
    _check_not_negative("regularisation", regularisation)
    check_size("max_samples", max_samples)
    source = read_features("source_features", source_features)
    target = read_features("target_features", target_features)
    of_source = read_classes("source_labels", source_labels, len(source), "source_features", min_classes=1)
    of_target = read_classes("target_labels", target_labels, len(target), "target_features")
    random = np.random.default_rng(seed)
    some, others = (_draw(classes, max_samples, balanced, random) for classes in (of_source, of_target))
    drawn = of_target.take(others)
    matching = match(source[some], of_source.take(some), target[others], drawn, label_weight, regularisation, balanced)
    caveats = matching.caveats + lost_classes(of_target, drawn, "max_samples")
    value = -matching.task_difference
    if coefficients is not None:
        domain, task, bias = coefficients
        value = domain * matching.domain_difference + task * matching.task_difference + bias
    return report(value, drawn.counts, caveats, **matching.differences)


def _draw(classes: Classes, size: int, balanced: bool, random: np.random.Generator) -> NDArray[np.intp]:
    groups = classes.index if balanced else np.zeros_like(classes.index)
    return draw(groups, [1.0] * len(classes.names), size, random)


class Matching(NamedTuple):
    """What transport says of two samples: both differences, and reasons to doubt them."""

    domain_difference: float
    task_difference: float
    caveats: list[str]

    @property
    def differences(self) -> dict[str, float]:
        """Both differences by name."""
        return {"domain_difference": self.domain_difference, "task_difference": self.task_difference}


def match(
    source: Floats,
    source_classes: Classes,
    target: Floats,
    target_classes: Classes,
    label_weight: float,
    regularisation: float,
    balanced: bool,
) -> Matching:
    """Transport all of the source to all of the target and return both differences."""
    cost = squared_distances(source, target)
    if label_weight > 0:
        between = distances_between_classes(cost, source_classes, target_classes)
        cost = (1 - label_weight) * cost + label_weight * between[source_classes.index][:, target_classes.index]
    plan = transport(cost, source_classes.shares(balanced), target_classes.shares(balanced), regularisation)
    joint = joint_of_classes(plan.mass, source_classes, target_classes)
    caveats = list(plan.caveats)
    if len(source_classes.names) == 1:
        caveats.append("the source has one class, which tells nothing of the target's: the score is the same for all")
    return Matching(float((plan.mass * cost).sum()), conditional_entropy(joint), caveats)


def lost_classes(before: Classes, drawn: Classes, argument: str) -> list[str]:
    """Return a caveat if classes were not drawn; without two of them there is no score.

    Raises
    ------
    InvalidInputError
        If one class is left.
    """
    lost = np.setdiff1d(before.names, drawn.names).tolist()
    remedy = f"pass balanced=True or raise {argument}"
    if len(drawn.names) < 2:
        reject(argument, "enough for two target classes to be drawn", f"class {drawn.names.tolist()} alone", remedy)
    return [f"target classes {lost} were not drawn: {remedy}"] if lost else []


def fit_otce(scores: Sequence[Score], accuracies: Sequence[float]) -> OTCECoefficients:
    r"""Return the coefficients with which OTCE predicts the accuracies of auxiliary tasks, by least squares.

    .. math:: \min_{\lambda_1, \lambda_2, b} \sum_k (\lambda_1 W_D^k + \lambda_2 W_T^k + b - \text{accuracy}_k)^2

    Parameters
    ----------
    scores : sequence of Score, at least 3
        Of :func:`otce`, for pairs of a source and a target on which a transfer was tried.
    accuracies : sequence of float
        What each transfer reached, in any metric where more is better.

    Returns
    -------
    OTCECoefficients

    Raises
    ------
    InvalidInputError
        On other scores, lengths that differ, fewer than 3 tasks, or tasks that do not tell the coefficients apart.

    Examples
    --------
    >>> tried = [Score(-t, details={"domain_difference": d, "task_difference": t}) for d, t in [(1, 0), (0, 1), (0, 0)]]
    >>> fit = fit_otce(tried, [0.7, 0.5, 0.9])
    >>> [round(value, 3) for value in fit]
    [-0.2, -0.4, 0.9]
    """
    if len(scores) != len(accuracies) or len(scores) < 3:
        got = f"{len(scores)} scores and {len(accuracies)} accuracies"
        reject("scores", "at least 3, with an accuracy for each", got, "try more transfers")
    reached = np.asarray(accuracies, dtype=np.float64)
    check_finite("accuracies", reached)
    names = ("domain_difference", "task_difference")
    if not all(isinstance(score, Score) and set(names) <= set(score.details) for score in scores):
        reject("scores", "results of otce", [repr(score) for score in scores][:3], "pass what otce returned")
    design = np.array([[*(score.details[name] for name in names), 1.0] for score in scores])
    scale = np.abs(design).max(axis=0)
    solution, _, rank, _ = np.linalg.lstsq(design / np.where(scale > 0, scale, 1.0), reached)
    if rank < 3:
        reject("scores", "different in both differences", f"rank {rank} of 3", "add auxiliary tasks of another kind")
    return OTCECoefficients(*(solution / scale).tolist())


def _check_not_negative(argument: str, value: float) -> None:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and value >= 0):
        reject(argument, "a finite number >= 0", repr(value), "give 0 for the exact plan")
