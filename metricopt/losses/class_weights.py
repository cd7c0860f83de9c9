"""How much a sample of each class weighs, from the numbers of samples that the classes have.

This file decides the weights of all losses that reweight the classes. It leaves the losses to the files beside it.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from metricopt._validation import check_choice, reject

Weighting = Literal["inverse_frequency", "effective_number"]


def check_weighting(weighting: Weighting, decay: float) -> None:
    """Reject what :func:`class_weights` does not know."""
    check_choice("weighting", weighting, ["inverse_frequency", "effective_number"])
    if not 0 < decay < 1:
        reject("decay", "in (0, 1)", repr(decay), "give for example 0.999")


def class_weights(
    num_positives: Tensor, num_negatives: Tensor, weighting: Weighting, decay: float
) -> tuple[Tensor, Tensor]:
    r"""Return the weights of a positive and of a negative, ``(L,)`` each.

    A class of :math:`n_c` samples weighs :math:`1/n_c`, or one over its effective number of samples

    .. math:: E_c = (1 - \beta^{n_c}) / (1 - \beta)

    where :math:`\beta` is ``decay``: nearly :math:`n_c` for small classes, at most :math:`1 / (1 - \beta)` for large.
    Both are scaled so that the mean weight of the training samples is 1.

    Parameters
    ----------
    num_positives, num_negatives : Tensor, shape (L,), float, >= 1
    weighting : "inverse_frequency" or "effective_number"
    decay : float, in (0, 1)
        Only the effective number has it.

    Examples
    --------
    >>> import torch
    >>> class_weights(torch.tensor([10.0]), torch.tensor([30.0]), "inverse_frequency", 0.9)
    (tensor([2.]), tensor([0.6667]))

    References
    ----------
    Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie (2019). Class-balanced loss based on effective number of samples.
    CVPR. Proposition 1. Differs from the paper: there the weights of the classes, not of the samples, have mean 1; this
    way the size of the loss, and with it a sound learning rate, does not hang on the imbalance.
    """
    counts = torch.stack([num_positives, num_negatives])
    # The factor 1 / (1 - decay) cancels in the scale; expm1 keeps the digits that 1 - decay**n loses for small n.
    size = counts if weighting == "inverse_frequency" else -torch.expm1(counts * math.log(decay))
    mean = (counts / size).sum(dim=0) / counts.sum(dim=0)
    of_positives, of_negatives = 1 / (size * mean)
    return of_positives, of_negatives
