"""The rows of a sparse matrix in the place of a tensor: only the entries of a batch are ever copied.

This file decides how rows of SciPy's matrices become sparse tensors of torch. It leaves batches to
:mod:`metricopt.data.loaders`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def is_sparse(values: Any) -> bool:
    """Say whether these are a sparse matrix or array of SciPy, of any format."""
    return hasattr(values, "tocsr")


def without_duplicates(matrix: Any) -> Any:
    """Return a sparse matrix by rows, each with its entries in order and one for a column; leave what is given alone.

    Parameters
    ----------
    matrix : sparse matrix or array of SciPy, of any format
    """
    rows = matrix.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


class SparseRows:
    """A sparse matrix that a :class:`~torch.utils.data.TensorDataset` takes as it takes a tensor.

    Parameters
    ----------
    matrix : sparse matrix or array of SciPy, shape (n, d)
        It is not changed.
    dtype : torch.dtype
        The precision of the batches.
    """

    def __init__(self, matrix: Any, dtype: torch.dtype) -> None:
        self._matrix, self._dtype = without_duplicates(matrix), dtype

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        return self._matrix.shape

    def __len__(self) -> int:
        return self.shape[0]

    def size(self, dim: int) -> int:
        """Return n for 0 and d for 1, as a tensor does."""
        return self.shape[dim]

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Return chosen rows as a coalesced sparse tensor, shape (B, d)."""
        own = self._matrix[rows.numpy() if isinstance(rows, Tensor) else rows]
        of_row = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr))
        places = torch.from_numpy(np.stack([of_row, own.indices.astype(np.int64, copy=False)]))
        values = torch.from_numpy(own.data).to(self._dtype)
        return torch.sparse_coo_tensor(places, values, own.shape, is_coalesced=True, check_invariants=False)

    def divided_by(self, scale: Tensor) -> SparseRows:
        """Return the matrix with each column divided by a number, shape (d,)."""
        divided = self._matrix.copy()
        divided.data = divided.data / scale.numpy()[divided.indices]
        return SparseRows(divided, self._dtype)
