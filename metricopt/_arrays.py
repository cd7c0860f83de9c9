"""Arrays in, arrays out: what users pass is read into NumPy once, and results go back as the kind that came.

This file decides which kinds, shapes and values of scores, labels and sample weights the library accepts. It leaves to
its callers what is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from metricopt._validation import check_finite, check_labels, reject

Array: TypeAlias = Any
"""numpy.ndarray or torch.Tensor: same kind in, same kind out."""


@dataclass(frozen=True)
class Samples:
    """Scores with their labels and weights, checked, as NumPy arrays with one column a label.

    Attributes
    ----------
    scores : ndarray, shape (n, L), float32 or float64
        In the precision that they came in (half precisions, exactly, in float32).
    labels : ndarray, shape (n, L), float
        0, 1 or NaN (missing).
    weight : ndarray, shape (n, L), float64, or None
        None where every sample weighs 1.
    dtype : torch.dtype
        What the scores came in, which a threshold has to be representable in.
    device : torch.device or None
        Where results go as tensors; None for NumPy.
    has_label_axis : bool
        Whether results are (L,) rather than scalars.
    """

    scores: np.ndarray
    labels: np.ndarray
    weight: np.ndarray | None
    dtype: torch.dtype
    device: torch.device | None
    has_label_axis: bool

    @classmethod
    def read(cls, scores: Any, labels: Any, sample_weight: Any = None) -> Samples:
        """Check and convert what a user passed.

        Parameters
        ----------
        scores : array or list, shape (n,) or (n, L)
            Finite numbers.
        labels : array or list, shape of ``scores``
            0, 1 or NaN (missing); booleans will do.
        sample_weight : array or list, shape (n,) or that of ``scores``, optional
            Finite numbers >= 0. A sample of weight 0 counts nowhere, like one with a missing label.

        Raises
        ------
        InvalidInputError
            If a shape, kind or value is not as above.
        """
        values, truth = to_numpy("scores", scores), to_numpy("labels", labels)
        if values.ndim not in (1, 2):
            reject("scores", "of shape (n,) or (n, L)", f"shape {values.shape}", "give one row a sample")
        if truth.shape != values.shape:
            reject("labels", f"of the scores' shape {values.shape}", f"shape {truth.shape}", "give one label a score")
        check_finite("scores", values)
        check_labels(truth)
        weight = None if sample_weight is None else to_numpy("sample_weight", sample_weight).astype(np.float64)
        if weight is not None:
            if weight.shape not in (values.shape, values.shape[:1]):
                rule = f"of shape {values.shape[:1]}" + (f" or {values.shape}" if values.ndim == 2 else "")
                reject("sample_weight", rule, f"shape {weight.shape}", "give one weight a sample")
            check_finite("sample_weight", weight)
            if (weight < 0).any():
                reject("sample_weight", ">= 0", f"{weight.min():g}", "give 0 to leave a sample out")
            if weight.ndim == 1:
                weight = weight[:, np.newaxis]  # (n,) -> (n, 1)
        columns = values.shape if values.ndim == 2 else (len(values), 1)
        return cls(
            scores=values.astype(np.promote_types(values.dtype, np.float32), copy=False).reshape(columns),
            labels=truth.reshape(columns),
            weight=None if weight is None else np.broadcast_to(weight, columns),
            dtype=scores.dtype if _is_float_tensor(scores) else torch.from_numpy(np.empty(0, values.dtype)).dtype,
            device=scores.device if isinstance(scores, torch.Tensor) else None,
            has_label_axis=values.ndim == 2,
        )

    @property
    def num_labels(self) -> int:
        """How many columns there are."""
        return self.scores.shape[1]

    def give_back(self, per_label: Sequence[Any] | np.ndarray) -> Array:
        """Return one result a label as (L,) or a scalar, of the kind that the scores came in."""
        return self.give_back_array(np.asarray(per_label) if self.has_label_axis else np.asarray(per_label)[0])

    def give_back_array(self, array: np.ndarray) -> Array:
        """Return an array of whatever shape as the kind that the scores came in.

        Tensors are float64, or float32 on a device without float64 such as Apple's MPS. A threshold is the same number
        in both, for it is representable in the precision of the scores.
        """
        if self.device is None:
            return array
        array = np.asarray(array)
        try:
            return torch.as_tensor(array, device=self.device)
        except TypeError:  # this is what torch raises for a float64 that the device does not have
            if array.dtype != np.float64:
                raise
            return torch.as_tensor(array.astype(np.float32), device=self.device)


def to_numpy(argument: str, values: Any) -> np.ndarray:
    """Return ``values`` as a float array: in their own precision if floating-point (bfloat16 in float32), else float64.

    Nullable columns of pandas and polars become float64, with NaN where a value is missing.

    Raises
    ------
    InvalidInputError
        If they are not numbers.
    """
    if isinstance(values, torch.Tensor):
        tensor = values.detach().cpu()
        values = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    try:
        array = np.asarray(values)
        if array.dtype in (np.float16, np.float32, np.float64):
            return array
        if array.dtype == object:  # a column with missing values of its own kind
            listed = [np.nan if is_missing(value) else value for value in array.ravel().tolist()]
            if any(isinstance(value, str) for value in listed):
                raise TypeError("text is no number")
            return np.array(listed, dtype=np.float64).reshape(array.shape)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{array.dtype} is no kind of real number")
        return array.astype(np.float64)
    except (TypeError, ValueError):
        reject(argument, "an array of real numbers", type(values).__name__, "give a NumPy array, tensor or list")


def columns_of(values: Any) -> tuple[list[Any], list[str] | None]:
    """Return the columns of an array, a tensor, a list, or a column or a frame of pandas or polars, and their names.

    One dimension is one column. The names are None where the columns have none.
    """
    if hasattr(values, "columns"):
        return [values[name] for name in values.columns], [str(name) for name in values.columns]
    if hasattr(values, "to_numpy"):  # a column
        return [values], None if values.name in (None, "") else [str(values.name)]
    array = values.detach().cpu() if isinstance(values, torch.Tensor) else values
    if isinstance(values, (list, tuple)):
        array = np.array(values, dtype=object)  # else NumPy would make text of numbers beside text
    if np.ndim(array) > 1:
        return [array[:, column] for column in range(array.shape[1])], None
    return [array], None


def numbered(argument: str, values: Any, num_rows: int) -> np.ndarray:
    """Return the number of each row's group or fold, from 0 in the order in which they appear.

    Parameters
    ----------
    argument : str
        What the user passed them as.
    values : sequence, shape (n,)
        Any hashable values, tuples as well.
    num_rows : int

    Raises
    ------
    InvalidInputError
        If there is not one value a row, or one is missing or not hashable.

    Examples
    --------
    >>> numbered("groups", ["b", "a", "b"], 3)
    array([0, 1, 0])
    """
    one = argument.rstrip("s")
    try:
        num_values = len(values)
    except TypeError:
        num_values = None
    if num_values != num_rows:
        got = repr(values) if num_values is None else f"{num_values} values"
        reject(argument, f"one value a row ({num_rows})", got, f"give one {one} a row")
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iu":  # in a fraction of the time
        _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[inverse]
    listed = values.tolist() if isinstance(values, torch.Tensor) else list(values)  # tensors are equal by identity
    for row, value in enumerate(listed):
        if is_missing(value):
            reject(argument, "given for every row", f"{value!r} in row {row}", f"give such a row a {one} of its own")
    numbers: dict[Any, int] = {}
    try:
        return np.array([numbers.setdefault(value, len(numbers)) for value in listed], dtype=np.intp)
    except TypeError as error:
        reject(argument, "hashable values, one a row", str(error), "give text, numbers or tuples")


def is_missing(value: Any) -> bool:
    """Say whether a value stands for a missing one: None, NaN or pandas.NA, or a tuple with one of them."""
    if isinstance(value, tuple):
        return any(map(is_missing, value))
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA has no truth value
        return True
    except ValueError:  # nor has an array, which is rejected as not hashable
        return False


def _is_float_tensor(values: Any) -> bool:
    return isinstance(values, torch.Tensor) and values.dtype.is_floating_point


def is_on_host(tensor: torch.Tensor) -> bool:
    """Say whether a tensor lies where NumPy can read it, so that nothing has to wait for another device."""
    return tensor.device.type == "cpu"
