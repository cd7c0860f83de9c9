"""The one training loop: stages of epochs of batches, the exact metric after every epoch, the best weights kept.

This file decides the order of things. It leaves losses and multipliers to the solver, thresholds to
:mod:`metricopt.thresholds`, devices and precision to accelerate, and arguments to :mod:`metricopt.training`.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import reject
from metricopt.agreement import SlackAgreement
from metricopt.data.indexed import as_label_columns, split_batch
from metricopt.objectives import Objective
from metricopt.partition import Partition
from metricopt.progress import Display
from metricopt.result import FitResult, History, Scored
from metricopt.scoring import forward, score_loader, to_device
from metricopt.solvers import Solver, Stage
from metricopt.thresholds import ThresholdChoice, choose_threshold

MIN_REFRESH_STEPS = 10
REFRESHES_AN_EPOCH = 2

Callback: TypeAlias = "Callable[[list[dict[str, Any]]], bool | None]"


class Loop:
    """The one training loop: stages of epochs of batches, the exact metric after every epoch, the best weights kept."""

    def __init__(
        self,
        model: nn.Module,
        parts: Partition,
        objective: Objective,
        solver: Solver,
        label_names: tuple[str, ...],
        *,
        accelerator: Any,
        device: torch.device,
        make_optimizer: Callable[[], torch.optim.Optimizer],
        make_scheduler: Callable[[torch.optim.Optimizer], Any] | None,
        gradient_clip: float | None,
        callbacks: Sequence[Callback],
        display: Display,
        seed: int,
    ) -> None:
        self._model, self._parts, self._objective, self._solver = model, parts, objective, solver
        self._label_names, self._callbacks, self._display, self._seed = label_names, callbacks, display, seed
        self._accelerator, self._device, self._gradient_clip = accelerator, device, gradient_clip
        self._make_optimizer, self._make_scheduler = make_optimizer, make_scheduler
        self._history = History()
        self._epoch = self._step = 0
        self._stopped = self._diverged = self._is_direct = False
        train = parts.train
        self._weight = None if train.sample_weight is None else torch.from_numpy(np.array(train.sample_weight)).float()
        # The latest score of every training sample, from whichever pass saw it last.
        self._latest, self._latest_labels = np.zeros_like(train.labels), train.labels
        self._refresh_steps = max(MIN_REFRESH_STEPS, len(parts.train_loader) // REFRESHES_AN_EPOCH)

    def run(self, plan: Sequence[tuple[Solver, Stage]]) -> FitResult:
        """Train stage by stage and return the best."""
        began = time.perf_counter()
        self._check_parts()
        start = self._candidate("start")
        self._solver.prepare(self._objective, self._parts.train.labels, self._parts.train.sample_weight)
        self._display.begin(sum(stage.epochs for _, stage in plan))
        best, baseline, warm = start, start, start.weights
        for solver, stage in plan:
            is_warmup = solver is not self._solver
            self._is_direct = not is_warmup
            self._model.load_state_dict(best.weights if stage.start == "best" else warm)
            unimproved = 0
            for candidate in self._epochs(solver, stage):
                if is_warmup and (baseline is start or candidate.key >= baseline.key):
                    best = baseline = candidate
                elif not is_warmup and candidate.key > best.key:
                    best, unimproved = candidate, 0
                else:
                    unimproved += 1
                self._display.show(self._epoch, stage.name, self._records(best, stage.name, math.nan)[0])
                # A stage that polishes the best model has nothing left to find; one on a path of its own may.
                if self._stopped or (stage.start == "best" and unimproved > stage.epochs // 2):
                    break
            if is_warmup:
                warm = self._weights()
            if self._stopped or (self._is_perfect(best) and not is_warmup):
                break
        seconds = time.perf_counter() - began
        return self._result(best, baseline, start, seconds)

    def _check_parts(self) -> None:
        """Score all samples once before training, so that bad features, labels or outputs cost nobody an epoch."""
        for part in filter(None, (self._parts.train, self._parts.validation)):
            batches = self._display.watch(part.batches, "checking the data")
            _, labels = score_loader(self._model, batches, self._device, part.labels.shape[1])
            if not self._parts.is_stream and not np.array_equal(labels, part.labels, equal_nan=True):
                remedy = "let y agree with the data set's attribute `labels` or `targets`"
                reject("loader", "one that yields the labels of its data set", "other values", remedy)

    def _epochs(self, solver: Solver, stage: Stage) -> Iterator[_Candidate]:
        """Train for the epochs of a stage; yield what each leads to, until one diverges."""
        optimizer = self._make_optimizer()
        if self._accelerator.mixed_precision != "no":
            self._accelerator.free_memory()  # the optimizers of earlier stages
            optimizer = self._accelerator.prepare(optimizer)
        scheduler = None if self._make_scheduler is None else self._make_scheduler(optimizer)
        for number in range(stage.epochs):
            self._epoch += 1
            try:
                if number == 0 and solver is self._solver:
                    self._start(stage)
                loss = self._train_epoch(solver, optimizer)
                candidate = self._candidate(stage.name)
            except _DivergedError:
                self._diverged = self._stopped = True
                return
            if scheduler is not None:
                scheduler.step()
            records = self._records(candidate, stage.name, loss)
            self._history.extend(records)
            self._stopped = any([bool(callback(records)) for callback in self._callbacks])
            yield candidate

    def _start(self, stage: Stage) -> None:
        """Begin a stage of the solver, with the scores that its first weights give."""
        train = self._parts.train
        self._latest, labels = score_loader(self._model, train.batches, self._device, must_be_finite=False)
        self._latest_labels = labels if self._parts.is_stream else train.labels
        self._solver.start(stage, stage.epochs * len(self._parts.train_loader))
        self._refresh()

    def _train_epoch(self, solver: Solver, optimizer: torch.optim.Optimizer) -> float:
        """Take one step a batch; return the mean loss."""
        self._parts.order.manual_seed(self._seed * 1_000_003 + self._epoch)
        self._model.train()
        total, num_batches = 0.0, 0
        for batch, index in self._parts.train_loader:
            x, y = split_batch(batch)
            labels = torch.as_tensor(as_label_columns(y), device=self._device)
            optimizer.zero_grad()
            with self._accelerator.autocast():
                scores = forward(self._model, to_device(x, self._device))
            weight = None if self._weight is None else self._weight[index].to(self._device)
            loss = solver.loss(scores, labels, weight, index)
            total, num_batches = total + loss.item(), num_batches + 1
            if not math.isfinite(total):
                raise _DivergedError
            self._accelerator.backward(loss)
            if self._gradient_clip is not None:
                if self._accelerator.mixed_precision != "no":
                    self._accelerator.unscale_gradients(optimizer)
                torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._gradient_clip)
            optimizer.step()
            solver.step()
            if self._is_direct:
                self._remember(scores, labels, index)
        return total / max(num_batches, 1)

    def _remember(self, scores: Tensor, labels: Tensor, index: Tensor) -> None:
        """Keep the scores of a batch, and let the solver see all of them now and then."""
        rows = index.numpy()
        if self._parts.is_stream:
            rows = rows % len(self._latest)
            self._latest_labels[rows] = labels.cpu().numpy()
        self._latest[rows] = scores.detach().cpu().numpy()
        self._step += 1
        if self._step % self._refresh_steps == 0:
            self._refresh()

    def _refresh(self) -> None:
        if not np.isfinite(self._latest).all():
            raise _DivergedError
        self._solver.refresh(self._latest, self._latest_labels, self._parts.train.sample_weight)

    def _candidate(self, stage: str) -> _Candidate:
        """Return the weights as they are, with the exact metric that they reach on the selection data."""
        part = self._parts.selection
        scores, labels = score_loader(self._model, part.batches, self._device, must_be_finite=False)
        if not np.isfinite(scores).all():
            raise _DivergedError
        choice = choose_threshold(scores, labels, self._objective, part.sample_weight)
        slack = self._solver.slacks() if self._is_direct else None
        return _Candidate(choice, _key(choice, self._objective), self._weights(), stage, slack)

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._model.state_dict().items()}

    def _is_perfect(self, candidate: _Candidate) -> bool:
        return bool((np.nan_to_num(candidate.choice.value, nan=1.0) == 1).all() and candidate.choice.feasible.all())

    def _records(self, candidate: _Candidate, stage: str, loss: float) -> list[dict[str, Any]]:
        """Return what the history keeps of an epoch, one record a label."""
        choice, multiplier = candidate.choice, self._solver.multiplier()
        return [
            {
                "epoch": self._epoch,
                "stage": stage,
                "label": name,
                "loss": loss,
                "metric": single.metric_name,
                "value": float(choice.value[label]),
                "bounded_metric": None if single.bounded is None else single.bounded.name,
                "bounded_value": None if choice.bounded_value is None else float(choice.bounded_value[label]),
                "bound": single.bound,
                "feasible": bool(choice.feasible[label]),
                "threshold": float(choice.threshold[label]),
                "multiplier": None if multiplier is None else float(multiplier[label]),
            }
            for label, (name, single) in enumerate(
                zip(self._label_names, self._objective.for_labels(len(self._label_names)), strict=True)
            )
        ]

    def _result(self, best: _Candidate, baseline: _Candidate, start: _Candidate, seconds: float) -> FitResult:
        """Score both parts with the best weights and with candidate zero's."""
        scored = {}
        for data, part in (("train", self._parts.train), ("validation", self._parts.validation)):
            if part is None:
                continue
            scores, truth = [], []
            for candidate in (baseline, best):
                self._model.load_state_dict(candidate.weights)
                own, labels = score_loader(self._model, part.batches, self._device, must_be_finite=False)
                if not np.isfinite(own).all():  # on training data that did not select; the start is known to be sound
                    self._diverged = True
                    sound = start if candidate is baseline else baseline
                    return self._result(sound, sound, start, seconds)
                scores.append(own)
                truth.append(labels)
            scored[data] = Scored(data, scores[1], scores[0], truth[1], truth[0], part.sample_weight)
        return FitResult.from_scores(
            self._model,
            self._objective,
            scored,
            slack=self._agreement(best, scored["train"]),
            diverged=self._diverged,
            label_names=self._label_names,
            baseline_name="the model as passed" if baseline is start else "cross-entropy",
            history=self._history,
            selected_stage=best.stage,
            solver=self._solver.name,
            seconds=seconds,
            versions={"python": platform.python_version(), **{name: version(name) for name in ("metricopt", "torch")}},
        )

    def _agreement(self, best: _Candidate, train: Scored) -> tuple[SlackAgreement, ...] | None:
        """Put the slacks that belong to the best weights beside what these weights do."""
        if not self._solver.needs_index:
            return None
        return self._solver.compare(best.slack, train.scores, train.labels, train.sample_weight, self._label_names)


@dataclass(frozen=True)
class _Candidate:
    """Weights that could be returned, and what the exact threshold makes of them on the selection data."""

    choice: ThresholdChoice
    key: tuple[float, float]
    weights: dict[str, Tensor]
    stage: str
    slack: np.ndarray | None


class _DivergedError(Exception):
    """A score or a loss is NaN or infinite."""


def _key(choice: ThresholdChoice, objective: Objective) -> tuple[float, float]:
    """Return what candidates are compared by: the value where feasible, below it how near the bound comes.

    Averaged over the labels that have a value.
    """
    safety = np.zeros_like(choice.value) if choice.bounded_value is None else np.nan_to_num(choice.bounded_value)
    safety = safety if objective.sense == "min" else -safety
    value = np.where(choice.feasible, choice.value, safety - 2)
    learnable = ~np.isnan(choice.value)
    if not learnable.any():
        return (-np.inf, -np.inf)
    return float(value[learnable].mean()), float(safety[learnable].mean())
