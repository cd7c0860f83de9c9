"""Learning rates that differ by block, as parameter groups for any optimizer of torch."""

from __future__ import annotations

from typing import Any

from metricopt._validation import check_fraction, check_positive, reject
from metricopt.backbones.backbone import Backbone


def parameter_groups(model: Backbone, learning_rate: float, *, decay: float = 1.0) -> list[dict[str, Any]]:
    r"""Return a group for the head and one for every block that is not frozen, each with its learning rate.

    .. math:: \eta_d = \eta \, \gamma^d

    where d is 0 for the head, 1 for the last block, 2 for the block before it, and so on.

    Parameters
    ----------
    model : Backbone
        The network.
    learning_rate : float, > 0
        The learning rate :math:`\eta` of the head.
    decay : float, in (0, 1]
        The factor :math:`\gamma` from each block to the one before it.

    Returns
    -------
    list of dict
        ``{"name": block, "params": [...], "lr": ...}`` from the head downwards, without frozen parameters. You can
        change a rate in ``group["lr"]``. For :func:`metricopt.fit`, give ``optimizer=lambda _:
        torch.optim.Adam(parameter_groups(model, 1e-4, decay=0.5))``: the groups must be made anew for each optimizer,
        because optimizers and schedulers write into them.

    Raises
    ------
    InvalidInputError
        If a rate is out of range, or the model is not a Backbone.

    Examples
    --------
    >>> from metricopt.backbones import load_backbone, truncate
    >>> groups = parameter_groups(truncate(load_backbone("resnet18"), at="layer2"), 0.01, decay=0.1)
    >>> [(group["name"], round(group["lr"], 6)) for group in groups]
    [('head', 0.01), ('layer2', 0.001), ('layer1', 0.0001), ('stem', 1e-05)]

    References
    ----------
    J. Howard, S. Ruder (2018). Universal language model fine-tuning for text classification. ACL, section 3.2.
    """
    check_positive("learning_rate", learning_rate)
    check_fraction("decay", decay)
    if not isinstance(model, Backbone):
        reject("model", "a Backbone", type(model).__name__, "pass truncate(model), which returns one")
    weights = {"head": list(model.head.parameters())}
    taken: set[int] = set()
    for name, points in model.blocks.items():
        below = [weight for module in model.split(points[-1])[0] for weight in module.parameters()]
        weights[name] = [weight for weight in below if id(weight) not in taken]
        taken.update(map(id, below))
    from_the_head = ["head", *reversed(model.blocks)]
    groups = [
        {"name": name, "params": [each for each in weights[name] if each.requires_grad], "lr": learning_rate * decay**d}
        for d, name in enumerate(from_the_head)
    ]
    return [group for group in groups if group["params"]]
