"""OTCE: the distance of two domains, and how well the source's classes predict the target's once both are matched."""

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
    """The coefficients with which the two differences of OTCE predict an accuracy (:func:`fit_otce`).

    Attributes
    ----------
    domain, task : float
        The coefficients of the domain difference and of the task difference.
    bias : float
        The constant term.
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
    r"""Return the negative entropy of the target's classes given the source's, matched by optimal transport.

    .. math:: \pi = \arg\min_\pi \langle \pi, c \rangle, \quad W_D = \langle \pi, c \rangle, \quad
              W_T = H(Y_t \mid Y_s) \text{ under } P(y_s, y_t) = \sum_{i: y_s^i = y_s} \sum_{j: y_t^j = y_t} \pi_{ij}

    with the squared Euclidean distance c between features. The score is :math:`-W_T`. With coefficients that were
    fitted to auxiliary tasks it is :math:`\lambda_1 W_D + \lambda_2 W_T + b`.

    Parameters
    ----------
    source_features, target_features : array, shapes (n, d) and (m, d)
        The features of both data sets, from the same layer of the source network.
    source_labels, target_labels : array, shapes (n,) and (m,)
        The classes of the samples, as whole numbers or names.
    coefficients : OTCECoefficients, optional
        The result of :func:`fit_otce`. Without it the score is the negative task difference.
    label_weight : float, in [0, 1]
        The weight, within the cost of two samples, of the transport cost between their classes. It is 0.5 in JC-OTCE.
        Classes whose features lie close together are then matched as wholes.
    regularisation : float, >= 0
        The weight of the entropy of the plan, in units of the cost. With 0 the plan is exact.
    max_samples : int
        How many samples of each side are used at most. They are drawn from larger data sets. Time and memory grow with
        the square of this number, or faster.
    balanced : bool
        Whether every class weighs the same on both sides, and equally many samples of each class are drawn as far as
        there are enough. The paper does not have this option.
    seed : int
        The seed by which samples are drawn.

    Returns
    -------
    Score
        A number in nats, without coefficients in [-H(Y_t), 0]. It depends only on the geometry of the features: it does
        not change under rotations, translations and changes of the unit of all features. ``details`` holds
        ``domain_difference`` and ``task_difference``. The class counts are those of the target's samples that were
        drawn.

    Warns
    -----
    TransferWarning
        If the transport plan is not reliable, the source has one class, a target class was not drawn, or one has fewer
        than 10 samples.

    Raises
    ------
    InvalidInputError
        If values are not finite, lengths or widths differ, there is only one target class, or all features are equal.
    ImportError
        If POT is not installed (``pip install 'metricopt[transfer]'``).

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
    """The result of transport between two samples: both differences, and reasons to doubt them."""

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
    """Match all samples of the source with all samples of the target, and return both differences."""
    cost = squared_distances(source, target)
    if label_weight > 0:
        between = distances_between_classes(cost, source_classes, target_classes)
        cost = (1 - label_weight) * cost + label_weight * between[source_classes.index][:, target_classes.index]
    plan = transport(cost, source_classes.weights(balanced), target_classes.weights(balanced), regularisation)
    joint = joint_of_classes(plan.mass, source_classes, target_classes)
    caveats = list(plan.caveats)
    if len(source_classes.names) == 1:
        caveats.append("the source has one class, which tells nothing of the target's: the score is the same for all")
    return Matching(float((plan.mass * cost).sum()), conditional_entropy(joint), caveats)


def lost_classes(before: Classes, drawn: Classes, argument: str) -> list[str]:
    """Return a caveat if some classes were not drawn.

    Raises
    ------
    InvalidInputError
        If only one class was drawn, because then there is no score.
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
        The scores of :func:`otce` for pairs of a source and a target on which a transfer was tried.
    accuracies : sequence of float
        The accuracy that each transfer reached, or any metric where more is better.

    Returns
    -------
    OTCECoefficients
        The coefficients, for the argument ``coefficients`` of :func:`otce`.

    Raises
    ------
    InvalidInputError
        If the scores are not from :func:`otce`, lengths differ, there are fewer than 3 tasks, or the tasks do not
        determine the coefficients.

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
