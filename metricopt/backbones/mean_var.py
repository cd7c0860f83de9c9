"""Mean-var initialisation: random weights that keep the scale of pretrained ones, but none of their features."""

from __future__ import annotations

import copy

import torch
from torch import nn

from metricopt.backbones.backbone import Backbone, new_head, num_features
from metricopt.backbones.families import as_backbone


def redraw_mean_var(model: nn.Module, *, num_outputs: int = 1, seed: int = 0) -> Backbone:
    r"""Return a network whose weights are drawn anew, each tensor with its own mean and variance, under a new head.

    If a tensor holds the numbers :math:`w_1, \dots, w_m`, its new numbers are independent and

    .. math:: w_i' \sim N\Big(\bar w, \tfrac 1 m \sum_j (w_j - \bar w)^2\Big).

    If such a network trains faster than one with the usual random weights, the scale of the weights is the reason. Only
    what pretrained weights gain beyond it comes from their features. Scales and shifts of batch norms are drawn like
    other tensors. Their running statistics start anew, because they belong to activations that no longer exist.

    Parameters
    ----------
    model : Backbone, or a network of torchvision
        The pretrained network, which stays as it is.
    num_outputs : int, >= 1
        The number of outputs, one for each label.
    seed : int
        The seed of the random weights. The global random state is left alone.

    Returns
    -------
    Backbone
        A copy in which no weight is frozen.

    Examples
    --------
    >>> from metricopt.backbones import load_backbone
    >>> model = load_backbone("cbr_tiny_narrow")
    >>> before, after = model.body.block3.conv.weight, redraw_mean_var(model).body.block3.conv.weight
    >>> torch.equal(before, after), abs(float((before.std() / after.std()).detach()) - 1) < 0.01
    (False, True)

    References
    ----------
    M. Raghu, C. Zhang, J. Kleinberg, S. Bengio (2019). Transfusion: understanding transfer learning for medical
    imaging. NeurIPS, section 5.1.
    """
    source = as_backbone(model)
    body = copy.deepcopy(source.body).requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in body.parameters():
            # Drawn on the CPU, so that a seed means the same on all devices.
            normal = torch.randn(weight.shape, generator=generator, dtype=torch.float64, device="cpu").to(weight.device)
            values = weight.double()
            weight.copy_(values.mean() + values.std(correction=0) * normal)
    for module in body.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
    head = new_head(num_features(body), num_outputs, seed, like=next(body.parameters()))
    return Backbone(body, head, source.blocks, source.normalisation).train(source.training)
