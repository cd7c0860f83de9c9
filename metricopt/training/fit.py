"""The front door: :func:`fit` reads its arguments, prepares a training and runs it.

This file decides the signature and in what order things happen. It leaves arguments to
:mod:`metricopt.training.request`, what a training is made of to :mod:`metricopt.training.preparation`, and training to
:mod:`metricopt.training.loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from metricopt.problem.objectives import Objective
from metricopt.processes import join_launch
from metricopt.progress import Display
from metricopt.results.result import FitResult
from metricopt.scoring.modes import modes_kept
from metricopt.solvers import Solver
from metricopt.training.checkpoint import claim_folder
from metricopt.training.loop import Loop
from metricopt.training.optimizers import OptimizerLike
from metricopt.training.preparation import prepare
from metricopt.training.random_states import seeded
from metricopt.training.records import Callback
from metricopt.training.request import read_request


def fit(
    model: nn.Module | Callable[[], nn.Module],
    loader: DataLoader[Any],
    objective: str | Objective,
    *,
    alpha: float | Sequence[float] | Mapping[str, float] | None = None,
    beta: float | None = None,
    label_names: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    val_loader: DataLoader[Any] | None = None,
    eval_dataset: Dataset[Any] | None = None,
    folds: Any = None,
    val_fraction: float | None = None,
    confidence: float | str | None = None,
    solver: str | Solver | Callable[[Tensor, Tensor], Tensor] = "profiled",
    epochs: int | None = None,
    warmup_epochs: int | None = None,
    learning_rate: float | None = None,
    optimizer: OptimizerLike | None = None,
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
    gradient_clip: float | None = None,
    sample_weight: Any = None,
    prevalence: float | Sequence[float] | Mapping[str, float] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint_dir: str | Path | None = None,
    checkpoint_every: int = 1000,
    resume: bool = False,
) -> FitResult:
    r"""Train a model on the metric that its users answer for.

    .. math:: \max_{\theta, t} \; \text{objective}(f_\theta, t) \quad \text{s.t.} \quad \text{its bound}

    A warm-up with cross-entropy comes first and gives candidate zero. The solver then trains on the objective itself,
    in stages. Which weights are returned, and with which threshold, is decided on rows that did not train:

    - **Folds**, the default for tables whose model can be made afresh (a ``torch.nn.Linear`` or a callable). One model
      for each fold trains without it, all side by side, so that every row trains and every row testifies. The model
      that is returned is their average: one linear layer, or a
      :class:`~metricopt.training.replicas.Ensemble` of networks. The threshold is chosen on the out-of-fold scores
      (:mod:`metricopt.training.selection`).
    - **A held-out part**, the default for everything else. After every epoch the exact metric is computed on it, and
      the best weights are returned, or the average of the best weights of several stages where that keeps up with
      them (:mod:`metricopt.training.averaging`): there the result is never below candidate zero.
    - **The training rows** themselves, with ``val_fraction=0``: the setting of the paper. What the result then says of
      the bound says nothing about new rows.

    With a ``confidence``, the threshold is the best at which these rows support the bound with that confidence; where
    they support it nowhere, the status says so, and the threshold is one that breaks no bound
    (:func:`metricopt.choose_threshold`).

    In a launch of several processes (``torchrun --nproc_per_node 2 script.py``, ``accelerate launch``) all of them
    train as one would on batches as large as theirs together (:mod:`metricopt.processes`). Each returns the same
    result; the main one shows progress, calls callbacks and writes files. If a process is lost, the others end with a
    ``ProcessLostError`` that names the checkpoints. Any number of processes can resume with the same batches together.

    Parameters
    ----------
    model : Module or callable ``() -> Module``
        Maps x to logits of shape (B,), (B, 1) or (B, L). A tuple x is passed as positional, a dict as keyword
        arguments. A module is trained in place; with folds it is started afresh, and keeps the average of the folds'
        models where it can hold it (a ``torch.nn.Linear``). A callable makes the model: ``lambda: MyModel()``.
    loader : DataLoader
        Yields (x, y), y of shape (B,) or (B, L) with 0, 1 or NaN (missing). Its batch size (that of each process, in a
        launch), workers, collate function and order are kept.
    objective : str or Objective
        ``"FPOR"``, ``"FROP"``, ``"OFBS"``, ``"OAP"``, ``"RecallAtFPR"``, ``"RecallAtAlarmRate"``, or an instance.
    alpha : float, sequence or {label name: float}, in (0, 1]
        The bound of a bounded objective asked for by name; one for all labels, or one for each.
    beta : float, > 0
        The beta of OFBS asked for by name.
    label_names : sequence of str, length L
        Names for reports; by default those that the data set has as its ``label_names``, if any. A label that lacks
        positives or negatives in a part is left out: it gets no threshold, its status says why.
    groups : sequence, shape (n,)
        Rows of equal value (a patient's images) are held out together, and testify as one.
    val_loader : DataLoader
        The rows that decide; nothing is held out then.
    eval_dataset : Dataset
        The rows of ``loader.dataset`` without training augmentation, for scoring.
    folds : "auto", int, splitter, array or None
        With a number K, K stratified folds; or a splitter of scikit-learn, or the fold of each row. ``"auto"`` takes 5
        for a model that can be made afresh and data in memory (a ``TensorDataset``), unless ``val_loader`` or
        ``val_fraction`` is given; else a part is held out, and the summary says why. None never takes folds.
    val_fraction : float, in [0, 1)
        The fraction of the rows that is held out, stratified and seeded, instead of folds. The default without folds is
        0.2. With 0 the training rows decide.
    confidence : "auto", float in (0, 1), or None
        How sure the bound must be on new rows. ``"auto"`` takes 0.9
        (:data:`metricopt.evidence.rule.DEFAULT_CONFIDENCE`) where other rows decide than those that trained, and None
        with ``val_fraction=0``. None takes the exact optimum of the rows that decide.
    solver : str, Solver or loss
        ``"profiled"`` (default), ``"augmented_lagrangian"``, ``"lagrangian"`` or ``"exact_penalty"`` (explicit slacks,
        one a sample and label; for OAP one a pair, of which at most 4,000,000) or ``"cross_entropy"``; an instance; or
        any loss ``(scores, labels) -> scalar``, to compare with.
    epochs : int
        In total, warm-up included. By default as many as make about 6,000 steps, at least 20.
    warmup_epochs : int
        Of these, with cross-entropy; a quarter by default. 0 starts from the model as it is.
    learning_rate : float, > 0
        Of Adam. By default 0.02 for a linear model, 0.003 for small networks and 0.001 above 100,000 parameters.
    optimizer : Optimizer or callable ``(parameters) -> Optimizer``
        Instead of Adam; every stage begins with its initial state.
    scheduler : callable ``(optimizer) -> LRScheduler``
        Made for every stage anew and stepped once an epoch.
    gradient_clip : float, > 0
        The largest norm of the gradient.
    sample_weight : array, shape (n,) or (n, L)
        Weights >= 0 of the rows of ``loader.dataset``, held-out ones too, in training, thresholds and reports. Rows of
        ``val_loader`` are not weighted.
    prevalence : float, sequence or {label name: float}, in (0, 1)
        The share of positives where the model will be used, if the data are enriched: metrics in training, thresholds
        and reports are those at this prevalence (:mod:`metricopt.problem.prevalence`). By default that of the data.
    seed : int
        The same seed gives the same result, bit for bit on one CPU.
    device : str or device
        Where to train; accelerate's choice by default.
    progress : bool
        Show a progress bar; by default if standard error is a terminal.
    callbacks : sequence of callable
        Called after every epoch with its records (one a label, as in the history); one that returns True ends training.
    checkpoint_dir : str or Path
        Keep the state of the training in this folder, so that it can be resumed.
    checkpoint_every : int, >= 1
        Steps between two checkpoints. There is one after an epoch as well, about once a second at most.
    resume : bool
        Go on from the newest checkpoint in ``checkpoint_dir``, with the same arguments; from the beginning where there
        is none, and not at all where training was finished: its result is returned. On one CPU the result is bit for
        bit that of a run without interruption. Random draws may come from the global generators of Python, NumPy and
        torch, and from a generator that a loader, sampler or data set holds as an attribute; with workers from their
        global ones alone. Callbacks are called again for an epoch that ended after the checkpoint.

    Returns
    -------
    FitResult
        Also where the bound cannot be met or the loss diverges: its status says so, with advice.

    Raises
    ------
    InvalidInputError
        On bad arguments, data, model outputs or checkpoints, before training starts.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> x = torch.linspace(-1, 1, 200)[:, None]
    >>> y = (x[:, 0] > 0.8).float()
    >>> loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    >>> result = fit(torch.nn.Linear(1, 1), loader, "FPOR", alpha=0.9, epochs=40)
    >>> result.status, result.validation.recall
    (<Status.FEASIBLE: 'feasible'>, 1.0)

    References
    ----------
    L. Peng, Y. Travadi, C. He, Y. Cui, J. Sun (2025). Exact reformulation and optimization for direct metric
    optimization in binary imbalanced classification.
    """
    request = read_request(
        model=model,
        loader=loader,
        objective=objective,
        alpha=alpha,
        beta=beta,
        label_names=label_names,
        groups=groups,
        val_loader=val_loader,
        eval_dataset=eval_dataset,
        folds=folds,
        val_fraction=val_fraction,
        confidence=confidence,
        solver=solver,
        epochs=epochs,
        warmup_epochs=warmup_epochs,
        learning_rate=learning_rate,
        optimizer=optimizer,
        scheduler=scheduler,
        gradient_clip=gradient_clip,
        sample_weight=sample_weight,
        prevalence=prevalence,
        seed=seed,
        device=device,
        progress=progress,
        callbacks=callbacks,
        checkpoint_dir=checkpoint_dir,
        checkpoint_every=checkpoint_every,
        resume=resume,
    )
    processes = join_launch(device)
    with processes.in_step():
        if checkpoint_dir is not None and processes.is_main:
            claim_folder(checkpoint_dir, resume=resume)
    with (
        seeded(request.seed + processes.position),
        modes_kept(model if isinstance(model, nn.Module) else nn.Module()),
        Display(progress if processes.is_main else False) as display,
        processes.watched(checkpoint_dir),
    ):
        return Loop(prepare(request, processes, display), display, request.callbacks).run()
