"""The only import of torchvision.

From the package index it is a build for GPUs; beside a torch for CPUs alone its import fails, because its compiled
operators are missing there. What metricopt uses of it needs none of them.
"""

from __future__ import annotations

from types import ModuleType

import torch

# Kept alive here: its definitions go when it goes.
_schemas: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """Return torchvision, also beside a torch that lacks its compiled operators.

    These can be called as little as before, but models, transforms and losses work.

    Raises
    ------
    ImportError
        If it is not installed.

    Examples
    --------
    >>> import_torchvision().ops.sigmoid_focal_loss(torch.zeros(1), torch.ones(1), alpha=-1)
    tensor([0.1733])
    """
    try:
        import torchvision
    except RuntimeError as error:
        if _schemas or "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _schemas.append(library)
        import torchvision
    return torchvision


def import_transforms() -> ModuleType:
    """Return ``torchvision.transforms.v2``, which torchvision does not import by itself.

    Examples
    --------
    >>> import_transforms().Resize(2)(torch.zeros(1, 4, 4)).shape
    torch.Size([1, 2, 2])
    """
    import_torchvision()
    import torchvision.transforms.v2

    return torchvision.transforms.v2
