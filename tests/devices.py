"""Devices for tests: one without float64 (that of shapes alone, "meta"), and the CPU as an accelerator.

The first raises the error that Apple's MPS raises.
"""

from contextlib import contextmanager
from unittest.mock import patch

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


@contextmanager
def as_accelerator(is_one=True):
    """Let the library take the CPU for an accelerator, so that the code for those runs here."""
    if not is_one:
        yield
        return
    with patch("metricopt._arrays.is_on_host", lambda tensor: False):
        yield


class NoHost(TorchDispatchMode):
    """Counts what would make the host wait for an accelerator: numbers, truth values and copies that are fetched."""

    FETCH = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero", "aten::masked_select")

    def __init__(self):
        super().__init__()
        self.transfers = 0
        self._patches = [self._counting("cpu"), self._counting("numpy")]

    def __enter__(self):
        for each in self._patches:
            each.start()
        return super().__enter__()

    def __exit__(self, *raised):
        for each in self._patches:
            each.stop()
        return super().__exit__(*raised)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        indexes = args[1] if function.name() in ("aten::index.Tensor", "aten::index_put_") else ()
        by_mask = any(isinstance(each, torch.Tensor) and each.dtype == torch.bool for each in indexes)
        self.transfers += function.name() in self.FETCH or by_mask
        return function(*args, **(kwargs or {}))

    def _counting(self, name):
        fetch = getattr(torch.Tensor, name)

        def counted(tensor, *args, **kwargs):
            self.transfers += 1
            return fetch(tensor, *args, **kwargs)

        return patch.object(torch.Tensor, name, counted)
