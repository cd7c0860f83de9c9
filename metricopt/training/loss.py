r"""The objective as a loss for one's own training loop, which is the loss of :func:`~metricopt.fit` too.

This file decides what may be passed, and what is told. It leaves what happens with a batch to
:mod:`metricopt.training.driver`, and what surrounds a loss (optimizers, selection, several paths) to
:mod:`metricopt.training.loop` or to the user's loop.

How it is used with Lightning and with a ``Trainer`` of Hugging Face is in the guide, on the page on one's own loop.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._arrays import Samples, to_numpy
from metricopt._validation import Faults, check_finite, check_labels, reject
from metricopt.data.loader_labels import as_label_columns
from metricopt.evidence.subgroups import read_subgroups
from metricopt.problem.labels import has_both_classes
from metricopt.problem.registry import Asked, get_objective
from metricopt.scoring.misfits import check_logits
from metricopt.scoring.outputs import logits_of
from metricopt.solvers import Solver, Stage, get_solver
from metricopt.training.batches import check_index, columns_of_batch, of_all_processes
from metricopt.training.driver import Driver
from metricopt.training.plan import default_warmup_epochs
from metricopt.training.schedule import Schedule


class DirectMetricLoss(nn.Module):
    r"""An objective as a torch loss: ``loss(logits, labels)`` in place of cross-entropy, in any training loop.

    It begins with epochs of cross-entropy (the warm-up) and goes on with one path of the solver, whose ramps narrow to
    the exact count over ``epochs * steps_per_epoch`` batches in all; after these it stays as it is at the end. The
    exact threshold, around which the ramps lie, is refreshed twice an epoch from the latest score of every sample.

    - **Every step** ``loss(logits, labels)``, on any device and in any precision. A batch moves the state by one step
      if gradients are recorded and the loss is finite: validation under ``torch.no_grad()`` leaves the state alone.
    - **Every epoch**, or less often, or never, ``loss.update(scores)`` with the scores of all training samples in
      evaluation mode. Without it the scores that the batches brought are used. It is needed before the first step if
      there is no warm-up.
    - **At the end** ``metricopt.choose_threshold(scores, labels, loss.objective)`` on held-out samples gives the exact
      threshold, what it reaches and whether the bound holds; ``loss.threshold`` is that of the training samples.

    Pass the row of each sample, ``index``, to solvers with explicit slacks, with ``sample_weight`` or ``subgroups``,
    and where a sampler draws some rows more often than others; else the scores of the last n samples stand for the
    training set. While these hold no positive or no negative of a label, its threshold stays where it was.

    All that moves is in ``state_dict()``, which ``torch.load`` reads with ``weights_only=True``. A loss of
    your own (``solver``) may have weights, ``loss.parameters()``, which the optimizer must hold; others have none.
    With the default solver and an objective of counts, scores, counts, thresholds and multipliers stay on the device of
    the logits, and no step waits for it but the first, and those that end the warm-up; other solvers fetch the scores.

    Its gradient begins on the path as long as that of cross-entropy (:mod:`metricopt.training.hand_over`), so that
    any optimizer, schedule or limit on the gradient that suits cross-entropy suits the whole training. Where gradients
    of several batches are accumulated, divide the loss by their number as usual.

    :func:`~metricopt.fit` trains with this very loss. Beyond one's own loop it judges every epoch by the exact metric
    on held-out samples and returns the best weights. For a network the weights after each epoch are the same if one's
    own loop draws the same batches with their ``index``. A linear model takes several paths there, each with a fresh
    optimizer.

    Parameters
    ----------
    objective : str, Objective or {label name: str or Objective}
        ``"FPOR"``, ``"FROP"``, ``"OFBS"``, ``"OAP"``, ``"RecallAtFPR"``, ``"RecallAtAlarmRate"``, or an instance; a
        :class:`~metricopt.Program`, or its sentence. Or one for each label, in the order of the columns.
    labels : array, shape (n,) or (n, L)
        The labels of all training samples: 0, 1 or NaN (missing). A label without positives or negatives is left out.
    epochs : int, >= 1
        The number of epochs of the whole training, warm-up included.
    steps_per_epoch : int, >= 1
        The number of batches in an epoch, ``len(loader)``, also where gradients of several batches are accumulated.
    alpha : float, sequence or {label name: float}, in (0, 1]
        The bound of an objective that is asked for by name: one number for all labels, or one for each.
    beta : float, > 0
        The beta of the F-beta score, where OFBS is asked for by name.
    label_names : sequence of str, length L
        The names of the labels, by which ``alpha`` can be given.
    solver : str, Solver or loss
        A solver as for :func:`~metricopt.fit`; an instance is copied, so that it can serve several losses. The path is
        the one for networks, "guided ramp", which keeps some cross-entropy (for average precision "ramp"), or the one
        that an instance names: ``metricopt.solvers.Profiled(path="hinge")``.
    warmup_epochs : int
        The number of these epochs that train with cross-entropy. The default is a quarter; 0 is for a model that is
        trained already. The default is extended epoch by epoch, to half of them at most, while the model has not begun
        to learn: while its cross-entropy is not 5 % below that of the best constant. In a training of one or two epochs
        it is a quarter of the batches, or none where ``update`` has given scores before the first batch that have begun
        to learn.
    sample_weight : array, shape (n,) or (n, L)
        The weights of the training samples, >= 0.
    subgroups : mapping of str to array of shape (n,), or a frame
        The columns that a :class:`~metricopt.Program` names, such as ``{"site": sites}``; if it names one, its array.
        Every batch then comes with its ``index``.

    Attributes
    ----------
    objective : Objective
    solver : Solver
    sees_all_processes : bool
        Whether batches hold the rows of all processes, so that nothing is exchanged here; :func:`~metricopt.fit` does.

    Raises
    ------
    InvalidInputError
        If an argument cannot be used, or the first batch does not fit; before training.
    DivergedError
        If the scores have become infinite.

    Notes
    -----
    In several processes (a process group of torch, which Lightning and accelerate set up in a launch) each makes the
    loss with the labels of the whole training set and passes its own rows. The scores of all are exchanged in each
    step, so that there is one threshold and one multiplier, and each process returns the loss of all rows. Gradients
    are those of that loss where the loop takes their mean over the processes, as ``DistributedDataParallel`` does. All
    processes must take as many batches.

    Examples
    --------
    >>> import metricopt
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> _ = torch.manual_seed(0)
    >>> x = torch.linspace(-1, 1, 200)[:, None]
    >>> y = (x[:, 0] > 0.8).float()
    >>> model, loader = nn.Linear(1, 1), DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    >>> loss = DirectMetricLoss("FPOR", y, alpha=0.9, epochs=40, steps_per_epoch=len(loader))
    >>> for epoch in range(40):
    ...     for inputs, labels in loader:
    ...         optimizer.zero_grad()
    ...         loss(model(inputs), labels).backward()
    ...         optimizer.step()
    >>> choice = metricopt.choose_threshold(model(x)[:, 0], y, loss.objective)
    >>> choice.feasible.item(), choice.value.item()
    (True, 1.0)
    """

    sees_all_processes: bool
    losses: nn.ModuleList

    def __init__(
        self,
        objective: Asked,
        labels: Any,
        *,
        epochs: int,
        steps_per_epoch: int,
        alpha: float | Sequence[float] | Mapping[str, float] | None = None,
        beta: float | None = None,
        label_names: Sequence[str] | None = None,
        solver: str | Solver | Callable[[Tensor, Tensor], Tensor] = "profiled",
        warmup_epochs: int | None = None,
        sample_weight: Any = None,
        subgroups: Any = None,
    ) -> None:
        super().__init__()
        self.objective = get_objective(objective, alpha=alpha, beta=beta, label_names=label_names)
        self.solver = copy.copy(get_solver(solver, self.objective))  # what it learns of these labels is its own
        faults = Faults()
        faults.check_integer("epochs", epochs, 1)
        faults.check_integer("steps_per_epoch", steps_per_epoch, 1)
        if warmup_epochs is not None:
            faults.check_integer("warmup_epochs", warmup_epochs, 0)
        faults.raise_if_any()
        epochs = int(epochs)
        planned = default_warmup_epochs(self.solver, epochs) if warmup_epochs is None else int(warmup_epochs)
        if planned >= epochs:
            reject("warmup_epochs", f"below epochs ({epochs})", warmup_epochs, "leave epochs for the objective")
        truth = as_label_columns(labels)
        samples = Samples.read(np.zeros_like(truth), truth, sample_weight)
        if not has_both_classes(truth).any():
            remedy = "check the labels, or add samples of the other class"
            reject("labels", "of both classes", f"{len(truth)} of one class or missing", remedy)
        self.objective.for_labels(truth.shape[1])
        columns = read_subgroups(subgroups, self.objective.columns, len(truth))
        schedule = Schedule.of(
            epochs, int(steps_per_epoch), planned, is_default=warmup_epochs is None, warms_up=self.solver.warms_up
        )
        self._labels = truth
        self._driver = Driver(self.objective, self.solver, truth, samples.weight, columns, schedule)
        epochs_on_path = epochs - planned
        self._path = replace(self.solver.stages(epochs_on_path, is_linear=False)[0], epochs=epochs_on_path)
        self.sees_all_processes = False
        self.losses = nn.ModuleList(self.solver.losses)

    def forward(self, logits: Tensor, labels: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of a batch, differentiable in the logits.

        Parameters
        ----------
        logits : Tensor, shape (B,), (B, 1) or (B, L), float, or an output with ``logits``
            The model's logits; those in half precision are widened to float32. For one label they may be those of two
            classes, (B, 2), whose difference is the score.
        labels : Tensor, shape (B,) or (B, L)
            0, 1 or NaN (missing).
        index : Tensor, shape (B,), int, optional
            The row of each sample among the labels that the loss was made with. Give it for every batch or for none.

        Returns
        -------
        Tensor, scalar
            A batch without a sample has loss 0 and moves nothing.
        """
        logits = logits_of(logits)
        scores, truth = columns_of_batch(logits, labels, self._labels.shape[1])
        check_index(index, len(scores))
        moves = self.training and torch.is_grad_enabled() and scores.requires_grad
        if moves and not self.sees_all_processes:
            scores, truth, index = of_all_processes(scores, truth, index)
        if not len(scores):
            return scores.sum()
        if not moves:
            return self._loss_of_others(scores, truth)
        if not self._driver.schedule.batches and self.solver.takes_logits:
            check_logits(logits)
        return self._driver.step(scores, truth, index, self._path)

    def update(self, scores: Any, labels: Any = None) -> None:
        """Take over the scores of all training samples, and refresh the threshold.

        Parameters
        ----------
        scores : array or Tensor, shape (n,) or (n, L)
        labels : array or Tensor, of the same shape, optional
            The labels that belong to the scores, if these come in another order than the labels that the loss was made
            with. This is possible only if batches are given without ``index``.

        Raises
        ------
        InvalidInputError
            If shapes or values do not fit.
        """
        shape = self._labels.shape
        values = to_numpy("scores", scores)
        columns = values[:, np.newaxis] if values.ndim == 1 else values  # (n,) -> (n, 1)
        truth = self._labels if labels is None else as_label_columns(labels)
        for name, array in (("scores", columns), ("labels", truth)):
            if array.shape != shape:
                reject(name, f"of shape {shape}", f"shape {array.shape}", "give those of every training sample")
        check_finite("scores", columns)
        check_labels(truth)
        columns = columns.astype(np.promote_types(columns.dtype, np.float32), copy=False)
        is_in_order = np.array_equal(truth, self._labels, equal_nan=True)
        if not is_in_order and self._driver.needs_index:
            remedy = "give the scores in the order of those labels"
            reject("labels", "left out, or those that the loss was made with", "others", remedy)
        self._driver.memory.replace(columns, None if is_in_order else truth)
        if self._driver.schedule.is_on_path:
            self._driver.refresh()

    def start(self, path: Stage, scores: np.ndarray | None = None, labels: np.ndarray | None = None) -> None:
        """Begin a path of the solver, in loops that take several; the first path begins by itself.

        In a training of one or two epochs it does so after a quarter of the batches, unless the scores have begun to
        learn.

        Parameters
        ----------
        path : Stage
            A path from ``loss.solver.stages(...)``.
        scores, labels : ndarray, shape (n, L), optional
            The scores of all training samples with the weights that the path begins with, and their labels if these
            are in another order, as in :meth:`update`. The default are the scores that the batches brought.

        Raises
        ------
        DivergedError
            If a score is NaN or infinite.
        """
        driver, schedule = self._driver, self._driver.schedule
        if scores is not None:
            driver.memory.replace(scores, labels)
        if driver.is_warm or not schedule.may_skip_warmup:
            driver.start(path, path.epochs * schedule.steps_per_epoch)

    @property
    def warmup_epochs(self) -> int:
        """The number of epochs of the warm-up, with those by which it was extended."""
        return self._driver.schedule.warmup_epochs

    @property
    def latest_scores(self) -> np.ndarray:
        """The latest score of every training sample, shape (n, L); in the order of the labels if ``index`` is given."""
        return self._driver.memory.scores

    @property
    def threshold(self) -> Any:
        """The exact threshold for the latest scores of the training samples: a float, or with several labels (L,).

        On these samples it is optimistic, as is any threshold on the data that chose it. It is NaN while no positive is
        among them. Where each subgroup has a threshold of its own, this is the one that they would share;
        ``metricopt.choose_threshold(loss.latest_scores, labels, loss.objective, subgroups=...)`` has all of them.
        """
        if self._driver.memory.is_empty:
            reject("scores", "known for a threshold", "none", "train first, or call loss.update(scores)")
        threshold = self._driver.threshold
        return float(threshold[0]) if len(threshold) == 1 else threshold

    @property
    def multiplier(self) -> Any:
        """The multiplier of the bound: a float, (L,) with several labels, (K, L) of K bounds; None without a bound."""
        multiplier = self.solver.multiplier()
        return multiplier if multiplier is None or multiplier.size > 1 else float(multiplier[0])

    def extra_repr(self) -> str:
        return f"{self.objective!r}, solver={self.solver!r}, warmup_epochs={self.warmup_epochs}, path={self._path}"

    def get_extra_state(self) -> dict[str, Any]:
        """Return everything that moves, as tensors and numbers; it is part of :meth:`state_dict`."""
        return {"of": self._identity, **self._driver.state_dict()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`get_extra_state` returned.

        Raises
        ------
        InvalidInputError
            If the state is that of another objective, solver or number of samples.
        """
        if state["of"] != self._identity:
            reject("state_dict", f"that of {self._identity}", state["of"], "make the loss with the same arguments")
        self._driver.load_state_dict(state)

    @property
    def _identity(self) -> str:
        num_samples, num_labels = self._labels.shape
        return f"{self.objective!r} by {self.solver!r} on {num_samples} samples of {num_labels} label(s)"

    def _loss_of_others(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of samples that need not be those of the training set."""
        if self.solver.needs_index:
            remedy = "judge other data by metricopt.choose_threshold"
            reject("loss", f"called on training batches alone for {self.solver.name}", "one without gradients", remedy)
        return self._driver.loss_of(scores, labels)
