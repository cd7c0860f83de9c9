r"""The objective as a loss for one's own training loop, which is the loss of :func:`~metricopt.fit` too.

It puts together what a solver needs beside batches: a schedule, the latest scores of all training samples
(:mod:`metricopt.training.score_memory`), and the moments at which the exact threshold is taken from them. This file
decides those moments. It leaves every algorithm to :mod:`metricopt.solvers`, and what surrounds a loss (optimizers,
selection, several paths) to :mod:`metricopt.training.loop` or to the user's loop.

How it is used with Lightning and with a ``Trainer`` of Hugging Face is in the guide, on the page on one's own loop.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricopt import _arrays
from metricopt._arrays import Samples, to_numpy
from metricopt._validation import Faults, check_finite, check_labels, message, reject
from metricopt.data.loaders import as_label_columns
from metricopt.evidence.subgroups import read_subgroups
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.labels import has_both_classes
from metricopt.problem.registry import Asked, get_objective
from metricopt.scoring.misfits import check_logits
from metricopt.scoring.outputs import logits_of
from metricopt.solvers import Solver, Stage, Surrogate, get_solver
from metricopt.training.batches import columns_of_batch, of_all_processes
from metricopt.training.hand_over import has_begun_to_learn, scales_at_hand_over, with_rescaled_gradient
from metricopt.training.plan import default_warmup_epochs
from metricopt.training.schedule import Schedule
from metricopt.training.score_memory import DeviceScoreMemory, ScoreMemory


class DivergedError(ArithmeticError):
    """Scores or losses became NaN or infinite."""


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
        self._subgroups = read_subgroups(subgroups, self.objective.columns, len(truth))
        self.solver.subgroups = self._subgroups or None
        self.solver.prepare(self.objective, truth, samples.weight)
        self._warm_up = self.solver.beside(Surrogate())
        self._warm_up.prepare(self.objective, truth, samples.weight)
        self._memory: ScoreMemory = ScoreMemory(truth)
        self._labels, self._sample_weight = truth, samples.weight
        self._weight = None if samples.weight is None else torch.from_numpy(np.array(samples.weight)).float()
        self._needs_index = self.solver.needs_index or samples.weight is not None or bool(self._subgroups)
        epochs_on_path = epochs - planned
        self._path = replace(self.solver.stages(epochs_on_path, is_linear=False)[0], epochs=epochs_on_path)
        self._schedule = Schedule.of(
            epochs, int(steps_per_epoch), planned, is_default=warmup_epochs is None, warms_up=self.solver.warms_up
        )
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
        moves = self.training and torch.is_grad_enabled() and scores.requires_grad
        if moves and not self.sees_all_processes:
            scores, truth, index = of_all_processes(scores, truth, index)
        if not len(scores):
            return scores.sum()
        if not moves:
            return self._loss_of_others(scores, truth)
        if index is None and self._needs_index:
            what = "sample_weight" if self._weight is not None else self.solver.name
            what = "bounds in subgroups" if self._subgroups else what
            reject("index", f"given for {what}", None, "pass the row of each sample of the batch")
        schedule, stays = self._schedule, self.solver.works_on_device and not _arrays.is_on_host(scores)
        index = index if index is None or stays else index.cpu()
        self._keep_memory_at(scores.device if stays else None)
        if not stays or not schedule.batches:
            self._memory.check(truth, None if index is None else index.cpu())
        if not schedule.batches and self.solver.takes_logits:
            check_logits(logits)
        if not schedule.is_on_path and self._is_warm:
            if self._memory.is_empty and self.solver.warms_up:
                remedy = "call loss.update(scores) with those of the training samples, or give warmup_epochs"
                reject("scores", "known before a training without warm-up", "none", remedy)
            self._start(self._path, max(schedule.num_batches - schedule.batches, 1))
        weight = self._weights_of(index, scores.device)
        loss = self._loss_of(scores, truth, weight, index)
        if stays or math.isfinite(loss.item()):  # there the state of a batch that is not finite is left out by itself
            self._move(scores, truth, index)
        return loss

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
        if not is_in_order and self._needs_index:
            remedy = "give the scores in the order of those labels"
            reject("labels", "left out, or those that the loss was made with", "others", remedy)
        self._memory.replace(columns, None if is_in_order else truth)
        if self._schedule.is_on_path:
            self._refresh()

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
        if scores is not None:
            self._memory.replace(scores, labels)
        if self._is_warm or not self._schedule.may_skip_warmup:
            self._start(path, path.epochs * self._schedule.steps_per_epoch)

    @property
    def warmup_epochs(self) -> int:
        """The number of epochs of the warm-up, with those by which it was extended."""
        return self._schedule.warmup_epochs

    @property
    def latest_scores(self) -> np.ndarray:
        """The latest score of every training sample, shape (n, L); in the order of the labels if ``index`` is given."""
        return self._memory.scores

    @property
    def threshold(self) -> Any:
        """The exact threshold for the latest scores of the training samples: a float, or with several labels (L,).

        On these samples it is optimistic, as is any threshold on the data that chose it. It is NaN while no positive is
        among them. Where each subgroup has a threshold of its own, this is the one that they would share;
        ``metricopt.choose_threshold(loss.latest_scores, labels, loss.objective, subgroups=...)`` has all of them.
        """
        if self._memory.is_empty:
            reject("scores", "known for a threshold", "none", "train first, or call loss.update(scores)")
        memory = self._memory
        threshold = choose_threshold(
            memory.scores,
            memory.labels,
            self.objective,
            sample_weight=self._sample_weight,
            subgroups=self._subgroups,
        ).threshold
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
        memory, solver = self._memory.state_dict(), self.solver.state_dict()
        return {"of": self._identity, "progress": self._schedule.state_dict(), "memory": memory, "solver": solver}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`get_extra_state` returned.

        Raises
        ------
        InvalidInputError
            If the state is that of another objective, solver or number of samples.
        """
        if state["of"] != self._identity:
            reject("state_dict", f"that of {self._identity}", state["of"], "make the loss with the same arguments")
        self._schedule.load_state_dict(state["progress"])
        self._memory.load_state_dict(state["memory"])
        self.solver.load_state_dict(state["solver"])

    @property
    def _identity(self) -> str:
        num_samples, num_labels = self._labels.shape
        return f"{self.objective!r} by {self.solver!r} on {num_samples} samples of {num_labels} label(s)"

    def _keep_memory_at(self, device: torch.device | None) -> None:
        """Keep the latest scores on an accelerator, or on the host (None)."""
        memory = self._memory
        if device is None:
            self._memory = memory.fetch() if isinstance(memory, DeviceScoreMemory) else memory
        elif not isinstance(memory, DeviceScoreMemory) or memory.device != device:
            self._memory = DeviceScoreMemory(memory, device)

    def _weights_of(self, index: Tensor | None, device: torch.device) -> Tensor | None:
        """Return the weights of the samples of a batch, on a device."""
        if self._weight is None or index is None:
            return None
        if self._weight.device != device:
            self._weight = self._weight.to(device)
        return self._weight[index.to(device, non_blocking=True)]

    def _loss_of_others(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of samples that need not be those of the training set."""
        if self.solver.needs_index:
            remedy = "judge other data by metricopt.choose_threshold"
            reject("loss", f"called on training batches alone for {self.solver.name}", "one without gradients", remedy)
        return self._loss_of(scores, labels)

    def _loss_of(
        self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None
    ) -> Tensor:
        """Return the loss of a batch, on the scale of cross-entropy."""
        schedule = self._schedule
        if not schedule.is_on_path:
            return self._warm_up.loss(scores, labels, weight, index)
        scales = schedule.scales
        if len(scales) == 1:
            if not self.solver.scales_itself:
                return self.solver.loss(scores, labels, weight, index) * scales[0]
            self.solver.scale = scales[0]
            return self.solver.loss(scores, labels, weight, index)
        loss = self.solver.loss(with_rescaled_gradient(scores, scales), labels, weight, index)
        return loss + (sum(scales) / len(scales) - 1) * loss.detach()

    def _move(self, scores: Tensor, labels: Tensor, index: Tensor | None) -> None:
        """Go one step on, after the loss of a batch."""
        schedule = self._schedule
        if schedule.is_on_path:
            self.solver.step()
        self._memory.put(scores, labels, index)
        if schedule.advance():
            self._refresh()
        elif schedule.may_extend_warmup and not self._has_begun_to_learn:
            schedule.extend_warmup()

    @property
    def _is_warm(self) -> bool:
        """Whether the warm-up is over, or one of less than an epoch is not needed as the model is trained already."""
        schedule, knows_scores = self._schedule, not self._memory.is_empty
        if schedule.may_skip_warmup and knows_scores and (schedule.is_warmup_alone or self._has_begun_to_learn):
            return True
        return schedule.is_warm

    @property
    def _has_begun_to_learn(self) -> bool:
        memory = self._memory
        return has_begun_to_learn(memory.scores, memory.labels, self._sample_weight)

    def _start(self, path: Stage, num_steps: int) -> None:
        self.solver.start(path, num_steps)
        self._schedule.is_on_path = True
        self._refresh()
        memory, solver = self._memory, self.solver
        if not memory.is_empty and not solver.keeps_its_scale:
            known = memory.scores, memory.labels, self._sample_weight
            knows_rows = memory.is_in_order_of_rows
            self._schedule.scales = scales_at_hand_over(solver, self._warm_up, *known, knows_rows=knows_rows)

    def _refresh(self) -> None:
        """Let the solver see the latest scores of all training samples."""
        memory = self._memory
        if memory.is_empty:
            return
        if isinstance(memory, DeviceScoreMemory):
            weight = None
            if self._sample_weight is not None:
                weight = self._weights_of(torch.arange(len(self._labels)), memory.device)
            self.solver.refresh_on_device(*memory.tensors(), weight)
            return
        scores = memory.scores
        if not np.isfinite(scores).all():
            steps, remedy = self._schedule.batches, "lower the learning rate or clip the gradient"
            raise DivergedError(message("scores", "finite", f"NaN or infinity after {steps} batches", remedy))
        self.solver.refresh(scores, self._memory.labels, self._sample_weight)
