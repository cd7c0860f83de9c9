"""Which rows judge a model that others trained: folds, a part held out, a loader of their own, or the training rows.

With folds every row trains and every row testifies, at the price of several models. Folds are the default where these
are cheap and can be made afresh. This file decides that, and says why. Which row lies in which fold is decided in
:mod:`metricopt.evidence.folds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import TensorDataset

from metricopt._validation import Faults, InvalidInputError
from metricopt.data.loaders import has_own_order, is_iterable
from metricopt.evidence.folds import DEFAULT_FOLDS, make_divisions
from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.training.replicas import trains_whole
from metricopt.training.request import Request

DEFAULT_FRACTION = 0.2
MAX_CELLS = 20_000_000
"""Rows times labels times folds, of each of which scores and labels are kept: some 12 bytes a cell."""


@dataclass(frozen=True)
class Holdout:
    """Which rows judge.

    Attributes
    ----------
    fraction : float, in [0, 1)
        The part of the rows that is held out; 0 where there are folds, a loader of their own, or none.
    folds : int, splitter, array, or None
        The folds, as :func:`~metricopt.evidence.folds.make_divisions` takes them; None without folds.
    is_default : bool
        Whether the folds were not asked for: where they cannot be dealt out, a part is held out instead.
    reason : str
        Why it is so, for people; "" where it was asked for.
    """

    fraction: float
    folds: Any = None
    is_default: bool = False
    reason: str = ""

    def text(self, divisions: NDArray[np.intp] | None, *, has_loader: bool) -> str:
        """Return which rows judge, and why, as the summary says it.

        Parameters
        ----------
        divisions : ndarray, shape (n, D), int, or None
            The fold of each row in each division; None without folds.
        has_loader : bool
            Whether the caller gave a loader of rows that judge.
        """
        if divisions is not None:
            number = divisions.shape[1]
            dealt = f"{divisions[:, 0].max() + 1} folds" + (f", dealt out {number} times" if number > 1 else "")
            return f"{dealt}: every row trains, and is judged by models that did not see it"
        if has_loader:
            return "the rows of val_loader"
        if not self.fraction:
            return "the training rows themselves, which say little of new rows"
        why = "there are too few rows of a class for folds" if self.folds is not None else self.reason
        return f"{self.fraction:.0%} of the rows, which were held out" + (f", because {why}" if why else "")

    def deal(
        self, labels: np.ndarray, groups: Any, subgroups: Mapping[str, SubgroupColumn], seed: int
    ) -> NDArray[np.intp] | None:
        """Return the fold of each row in each division, shape (n, D), or None where there are no folds.

        Raises
        ------
        InvalidInputError
            If folds that were asked for cannot be dealt out.
        """
        if self.folds is None:
            return None
        try:
            return make_divisions(self.folds, labels, groups=groups, subgroups=subgroups, seed=seed)
        except InvalidInputError:
            if self.is_default:
                return None
            raise


def choose_holdout(request: Request, num_processes: int = 1) -> Holdout:
    """Return which rows judge, by what was asked and what the model and the data allow.

    Raises
    ------
    InvalidInputError
        If folds were asked for and cannot be.
    """
    folds, fraction = request.folds, request.val_fraction
    if isinstance(folds, str) and folds == "auto":
        if request.val_loader is not None:
            return Holdout(0.0)
        if fraction is not None:
            return Holdout(float(fraction))
        hindrance = _hindrance(request, num_processes)
        if hindrance is None:
            return Holdout(DEFAULT_FRACTION, DEFAULT_FOLDS, is_default=True)
        return Holdout(DEFAULT_FRACTION, reason=hindrance)
    if folds is None:
        held_out = DEFAULT_FRACTION if fraction is None else float(fraction)
        return Holdout(0.0 if request.val_loader is not None else held_out)
    _check_folds(request, num_processes)
    return Holdout(0.0, folds)


def _hindrance(request: Request, num_processes: int) -> str | None:
    """Return why folds are not the default here, None where they are."""
    loader, model = request.loader, request.model
    if isinstance(model, nn.Module) and not (type(model) is nn.Linear and trains_whole(model)):
        return "the model may have seen all rows before: pass a callable that makes it to use folds"
    if type(loader.dataset) is not TensorDataset:
        return "folds are the default for data in memory alone (a TensorDataset)"
    if num_processes > 1:
        return "several processes train one model"
    if has_own_order(loader):
        return "the loader has a sampler of its own"
    if request.warmup_epochs == 0:
        return "without a warm-up the model starts from weights that may have seen all rows"
    if isinstance(request.optimizer, torch.optim.Optimizer):
        return "the optimizer belongs to one model: pass a callable (parameters) -> Optimizer to use folds"
    if request.solver.needs_index:
        return f"{request.solver.name} keeps a slack for every row and fold: pass folds=5 to use folds"
    labels = loader.dataset.tensors[-1]
    if labels.numel() * DEFAULT_FOLDS > MAX_CELLS:
        return f"folds of {len(labels):,} rows need much memory: pass folds=5 to use them all the same"
    return None


def _check_folds(request: Request, num_processes: int) -> None:
    """Reject folds that do not fit the other arguments; all such faults at once."""
    faults, loader = Faults(), request.loader
    for name, is_left_out in (
        ("val_loader", request.val_loader is None),
        ("val_fraction", request.val_fraction is None),
    ):
        faults.check(is_left_out, name, "left out beside folds", "given", "give one of the two")
    is_map_style = not is_iterable(loader)
    remedy = "pass val_loader instead of folds"
    faults.check(is_map_style, "loader", "over a map-style data set for folds", "an iterable one", remedy)
    has_plain_order = not (is_map_style and has_own_order(loader))
    remedy = "give shuffle=True, or val_loader instead of folds"
    faults.check(has_plain_order, "loader", "without a sampler of its own for folds", "one", remedy)
    remedy = "pass folds=None to go on from the weights that the model has"
    has_warmup = request.warmup_epochs != 0
    faults.check(has_warmup, "warmup_epochs", "above 0 with folds, which start afresh", "0", remedy)
    is_alone = num_processes == 1
    faults.check(is_alone, "folds", "left out in a launch of several processes", "given", "pass val_fraction instead")
    is_made = not isinstance(request.optimizer, torch.optim.Optimizer)
    remedy = "pass a callable (parameters) -> Optimizer"
    faults.check(is_made, "optimizer", "made for each fold's model", "an Optimizer of one model", remedy)
    faults.raise_if_any()
