"""A device without float64 for tests: that of shapes alone ("meta"), with the error that Apple's MPS raises."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WITHOUT_FLOAT64 = torch.device("meta")


class NoFloat64(TorchDispatchMode):
    """While it is entered, no float64 tensor can be made on the device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.device == WITHOUT_FLOAT64 and tensor.dtype == torch.float64:
                raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it")
        return made
