"""How much a sample of each class weighs, computed from the sizes of the classes.

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
    """Reject a weighting or a decay that :func:`class_weights` cannot use."""
    check_choice("weighting", weighting, ["inverse_frequency", "effective_number"])
    if not 0 < decay < 1:
        reject("decay", "in (0, 1)", repr(decay), "give for example 0.999")


def class_weights(
    num_positives: Tensor, num_negatives: Tensor, weighting: Weighting, decay: float
) -> tuple[Tensor, Tensor]:
    r"""Return the weight of a positive and the weight of a negative, of shape (L,) each.

    A sample of a class with :math:`n_c` samples weighs :math:`1/n_c`, or one over the effective number of samples

    .. math:: E_c = (1 - \beta^{n_c}) / (1 - \beta),

    where :math:`\beta` is ``decay``. The effective number is nearly :math:`n_c` for small classes, and never above
    :math:`1 / (1 - \beta)`. Both weights are scaled so that the mean weight of the training samples is 1.

    Parameters
    ----------
    num_positives, num_negatives : Tensor, shape (L,), float, >= 1
        The sizes of the classes in the training set.
    weighting : "inverse_frequency" or "effective_number"
        The kind of weight that is used.
    decay : float, in (0, 1)
        The constant :math:`\beta`, which only the effective number uses.

    Examples
    --------
    >>> import torch
    >>> class_weights(torch.tensor([10.0]), torch.tensor([30.0]), "inverse_frequency", 0.9)
    (tensor([2.]), tensor([0.6667]))

    References
    ----------
    Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie (2019). Class-balanced loss based on effective number of samples.
    CVPR. Proposition 1. Differs from the paper: there the weights of the classes have mean 1, here those of the
    samples. So the scale of the loss, and with it a good learning rate, does not depend on the imbalance.
    """
    counts = torch.stack([num_positives, num_negatives])
    # The factor 1 / (1 - decay) cancels in the scale; expm1 keeps the digits that 1 - decay**n loses for small n.
    size = counts if weighting == "inverse_frequency" else -torch.expm1(counts * math.log(decay))
    mean = (counts / size).sum(dim=0) / counts.sum(dim=0)
    of_positives, of_negatives = 1 / (size * mean)
    return of_positives, of_negatives
