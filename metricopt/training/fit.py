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

from metricopt.problem.registry import Asked
from metricopt.processes import join_launch, precision_given_back
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
    objective: Asked,
    *,
    alpha: float | Sequence[float] | Mapping[str, float] | None = None,
    beta: float | None = None,
    label_names: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    val_loader: DataLoader[Any] | None = None,
    eval_dataset: Dataset[Any] | None = None,
    folds: Any = "auto",
    val_fraction: float | None = None,
    confidence: float | str | None = "auto",
    solver: str | Solver | Callable[[Tensor, Tensor], Tensor] = "profiled",
    epochs: int | None = None,
    warmup_epochs: int | None = None,
    learning_rate: float | None = None,
    optimizer: OptimizerLike | None = None,
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
    gradient_clip: float | None = None,
    sample_weight: Any = None,
    subgroups: Any = None,
    val_subgroups: Any = None,
    prevalence: float | Sequence[float] | Mapping[str, float] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint_dir: str | Path | None = None,
    checkpoint_every: int = 1000,
    resume: bool = False,
) -> FitResult:
    r"""Train a model on the metric by which it will be judged.

    .. math:: \max_{\theta, t} \; \text{objective}(f_\theta, t) \quad \text{s.t.} \quad \text{its bound}

    A warm-up with cross-entropy comes first and gives candidate zero. The solver then trains on the objective itself,
    in stages. Which weights are returned, and with which threshold, is decided on rows that did not train:

    - **Folds**, for a model that can be made afresh (a ``torch.nn.Linear`` or a callable) and data in memory. One model
      for each of 5 folds trains without it, all side by side, so that every row trains and every row testifies. The
      model that is returned is their average: one linear layer, or an :class:`~metricopt.training.replicas.Ensemble`
      of networks. The threshold is chosen on the out-of-fold scores (:mod:`metricopt.training.selection`).
    - **A held-out part**, elsewhere, or with ``folds=None``. After every epoch the exact metric is computed on it, and
      the best weights are returned, or the average of the best weights of several stages where that keeps up with
      them (:mod:`metricopt.training.averaging`): there the result is never below candidate zero, nor below the model
      that was passed.
    - **The training rows** themselves, with ``val_fraction=0``: the setting of the paper. What the result then says of
      the bound says nothing about new rows.

    The threshold is the best at which these rows support the bound with the ``confidence`` asked; where they support it
    nowhere, the status says so, and the threshold is one that breaks no bound (:func:`metricopt.choose_threshold`).

    In a launch of several processes (``torchrun --nproc_per_node 2 script.py``, ``accelerate launch``) all of them
    train as one would on batches as large as theirs together (:mod:`metricopt.processes`). Each returns the same
    result; the main one shows progress, calls callbacks and writes files. If a process is lost, the others end with a
    ``ProcessLostError`` that names the checkpoints. Any number of processes can resume with the same batches together.

    Parameters
    ----------
    model : Module or callable ``() -> Module``
        A model that maps x to logits of shape (B,), (B, 1) or (B, L). A tuple x is passed to it as positional
        arguments, a dict as keyword arguments. A module is trained in place; with folds it is started afresh, and keeps
        the average of the folds' models where it can hold it (a ``torch.nn.Linear``). A callable makes the model:
        ``lambda: MyModel()``.
    loader : DataLoader
        A loader of pairs (x, y) with y of shape (B,) or (B, L), whose entries are 0, 1 or NaN (missing). Its batch size
        (that of each process, in a launch), workers, collate function and order are kept.
    objective : str, Objective or {label name: str or Objective}
        ``"FPOR"``, ``"FROP"``, ``"OFBS"``, ``"OAP"``, ``"RecallAtFPR"``, ``"RecallAtAlarmRate"``, or an instance; a
        :class:`~metricopt.Program`, or its sentence. Or one for each label, with solvers that count errors.
    alpha : float, sequence or {label name: float}, in (0, 1]
        The bound of an objective that is asked for by name: one number for all labels, or one for each.
    beta : float, > 0
        The beta of the F-beta score, where OFBS is asked for by name.
    label_names : sequence of str, length L
        The names of the labels in reports. The default are those that the data set has as its ``label_names``, if any.
        A label that lacks positives or negatives in a part is left out: it gets no threshold, and its status says why.
    groups : sequence, shape (n,)
        Rows of equal value (a patient's images, say) are held out together, and testify as one.
    val_loader : DataLoader
        A loader of the rows that decide. Nothing is held out of ``loader`` then.
    eval_dataset : Dataset
        The rows of ``loader.dataset`` without training augmentation; these are scored.
    folds : "auto", int, splitter, array or None
        The default takes 5 folds for a model that can be made afresh and data in memory (a ``TensorDataset``), unless
        ``val_loader`` or ``val_fraction`` is given; else a part is held out, and the summary says why. A number K gives
        K stratified folds; a splitter of scikit-learn or an array with the fold of each row is taken as well, also one
        that divides the rows several times (``RepeatedStratifiedKFold``). None never takes folds.
    val_fraction : float, in [0, 1)
        The fraction of the rows that is held out, stratified and seeded, instead of folds. The default without folds is
        0.2. With 0 the training rows decide.
    confidence : "auto", float in (0, 1), or None
        How sure the bound must be on new rows. The default is 0.9
        (:data:`metricopt.evidence.rule.DEFAULT_CONFIDENCE`) where other rows decide than those that trained, and None
        with ``val_fraction=0``. None takes the exact optimum of the rows that decide, which new rows often miss.
    solver : str, Solver or loss
        ``"profiled"`` (default); ``"augmented_lagrangian"``, ``"lagrangian"`` or ``"exact_penalty"``, which keep one
        slack for each sample and label (for OAP one for each pair, of which there may be 4,000,000); or
        ``"cross_entropy"``. An instance is taken as well, of which a copy trains, and so is any loss
        ``(scores, labels) -> scalar``, to compare with.
    epochs : int
        The number of epochs in total, warm-up included. The default makes about 6,000 steps and at least 20 epochs;
        with folds 1,000 and 8.
    warmup_epochs : int
        The number of these epochs that train with cross-entropy. The default is a quarter, for a network up to a half
        while it has not begun to learn; 0 starts from the model as it is. In one or two epochs a network that has not
        begun to learn trains a quarter of the batches with cross-entropy.
    learning_rate : float, > 0
        The learning rate of the Adam optimizer. The default is 0.02 for a linear model, 0.003 for small networks and
        0.001 for networks of more than 100,000 parameters.
    optimizer : Optimizer or callable ``(parameters) -> Optimizer``
        An optimizer to use instead of Adam. It goes on where a network's warm-up ends. Other paths, as a linear model
        takes them, begin with its initial state.
    scheduler : callable ``(optimizer) -> LRScheduler``
        It makes a learning-rate scheduler, which takes one step each epoch, and goes on as the optimizer does.
    gradient_clip : float, > 0
        The largest norm of the gradient; longer gradients are shortened to it. The objective's gradient begins as long
        as that of cross-entropy (:mod:`metricopt.training.hand_over`).
    sample_weight : array, shape (n,) or (n, L)
        Weights >= 0 of the rows of ``loader.dataset``, held-out ones too, in training, thresholds and reports. Rows of
        ``val_loader`` are not weighted.
    subgroups : mapping of str to array of shape (n,), or a frame
        The columns that a :class:`~metricopt.Program` names, such as ``{"site": sites}``, with a value for each row of
        ``loader.dataset``; if it names one column, its array. A bound in every subgroup then has a multiplier for each
        of them, and errors weigh by subgroup and class. With ``threshold_per`` errors are counted at each subgroup's
        own threshold in training, too.
    val_subgroups
        The same for the rows of ``val_loader``.
    prevalence : float, sequence or {label name: float}, in (0, 1)
        The fraction of positives where the model will be used, if the data are enriched. Metrics in training,
        thresholds and reports are then those at this prevalence (:mod:`metricopt.problem.prevalence`). The default is
        the prevalence of the data.
    seed : int
        The seed of all random draws. The same seed gives the same result, bit for bit on one CPU. Trainings in several
        threads wait for each other, since all threads draw from the same generators.
    device : str or device
        The device to train on. By default accelerate chooses it.
    progress : bool
        Whether a progress bar is shown. The default shows it if standard error is a terminal.
    callbacks : sequence of callable
        They are called after every epoch with its records (one for each label, as in the history). One that returns
        True ends the training. None may wait for a training in another thread, which waits for this one.
    checkpoint_dir : str or Path
        A folder in which the state of the training is kept, so that it can be resumed.
    checkpoint_every : int, >= 1
        The number of steps between two checkpoints. There is one after an epoch as well, about once a second at most.
    resume : bool
        Whether to go on from the newest checkpoint in ``checkpoint_dir``, with the same arguments and data; others are
        refused (:func:`metricopt.training.fingerprint.digest_of`). Where there is no checkpoint, training starts from
        the beginning; where training was finished, its result is returned at once. On one CPU the result is bit for bit
        that of a run without interruption. Random draws may come from the global generators of Python, NumPy and torch,
        and from a generator that a loader, sampler or data set holds as an attribute; in workers, from their global
        ones alone. Callbacks are called again for an epoch that ended after the checkpoint.

    Returns
    -------
    FitResult
        There is a result also where the bound cannot be met or the loss diverges: its status says so, with advice.

    Raises
    ------
    InvalidInputError
        If arguments, data, model outputs or checkpoints cannot be used; it is raised before training starts.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> x = torch.linspace(-1, 1, 500)[:, None]
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
        subgroups=subgroups,
        val_subgroups=val_subgroups,
        prevalence=prevalence,
        seed=seed,
        device=device,
        progress=progress,
        callbacks=callbacks,
        checkpoint_dir=checkpoint_dir,
        checkpoint_every=checkpoint_every,
        resume=resume,
    )
    with precision_given_back():
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
