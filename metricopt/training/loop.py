"""The one training loop: stages of epochs of batches, the exact metric after every epoch, the best weights kept.

This file decides the order of things. It leaves the loss, with all that moves the solver, to
:mod:`metricopt.training.loss`, what the weights of an epoch are worth to :mod:`metricopt.training.judge`, devices and
precision to accelerate, and what a training is made of to :mod:`metricopt.training.preparation`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricopt import _arrays
from metricopt._validation import reject
from metricopt.data.loader_labels import as_label_columns
from metricopt.data.loaders import split_batch
from metricopt.evidence.subgroups import bounds_of_rows
from metricopt.progress import Display
from metricopt.results.result import FitResult
from metricopt.scoring.forward import forward, score_loader, to_device
from metricopt.scoring.modes import left_in_evaluation, train_as_left
from metricopt.solvers import Stage
from metricopt.solvers.agreement import SlackAgreement
from metricopt.training.conclusion import conclude, conclude_folds
from metricopt.training.copies import warn_of_copies
from metricopt.training.driver import DivergedError
from metricopt.training.judge import Judge
from metricopt.training.partition import OTHER_LABELS
from metricopt.training.preparation import Training
from metricopt.training.records import Callback, records_of
from metricopt.training.replicas import without_diverged
from metricopt.training.scales import FeatureScales
from metricopt.training.selection import OutOfFold
from metricopt.training.state import Candidate, State


class Loop:
    """The one training loop: stages of epochs of batches, the exact metric after every epoch, the best weights kept."""

    def __init__(self, training: Training, display: Display, callbacks: Sequence[Callback]) -> None:
        self._model, self._parts, self._label_names = training.model, training.parts, training.label_names
        self._training, self._loss, self._objective = training, training.loss, training.objective
        self._solver = training.loss.solver
        self._left_in_evaluation = left_in_evaluation(training.model)
        self._set_plan(training.plan)
        self._stepping = training.stepping
        self._processes, self._accelerator = training.processes, training.processes.accelerator
        self._device = training.processes.device
        self._checkpoints, self._random_states = training.checkpoints, training.random_states
        self._display, self._callbacks = display, callbacks
        self._at_epoch_start: dict[str, Any] | None = None
        self._loss_there: Tensor | None = None
        self._learnable, self._selection = training.parts.learnable, training.selection
        self._judge = Judge(training)
        self._num_replicas = 1 if training.parts.folded is None else training.parts.folded.num_replicas
        # A module may have been trained before; one that was made for this training was not.
        self._may_return_start = isinstance(training.given_model, nn.Module) and training.parts.folded is None

    def run(self) -> FitResult:
        """Train stage by stage, or go on where a checkpoint ends, and return the best."""
        self._clock = time.perf_counter()
        if not self._resume():
            self._begin()
        state = self._state
        self._display.begin(sum(stage.epochs for stage in self._plan))
        while not state.finished:
            try:
                if not state.begun:
                    self._begin_stage()
                if state.step == 0:
                    self._save()  # what cannot be stored, or where it cannot be, costs nobody a step
                is_over = self._end_epoch(self._train_epoch())
            except DivergedError:
                state.diverged = state.stopped = is_over = True
            if is_over:
                self._end_stage()
            if state.finished or self._is_save_due():
                self._save()
        if isinstance(self._selection, OutOfFold):
            best, evidence = self._selection.best(self._judge.candidates(state))
            return conclude_folds(self._training, state, best, evidence, self._judge.scores_of)
        return conclude(self._training, state, self._judge.average_or_best(state), self._judge.scores_of)

    def _set_plan(self, plan: Sequence[Stage]) -> None:
        self._plan = [stage for stage in plan if stage.epochs]

    @property
    def _is_one_path(self) -> bool:
        """Whether all stages go on from one another, so that none comes back to weights from before."""
        return all(stage.goes_on for stage in self._plan[1:])

    @property
    def _warms_up_alone(self) -> bool:
        """Whether training begins with cross-entropy and goes on from there, on the scores that its batches bring."""
        return bool(self._plan) and not self._plan[0].is_direct and self._is_one_path

    def _follow_warmup(self) -> None:
        """Let the plan have the warm-up that the loss has, which extends it where it has not begun to learn."""
        if self._plan and not self._plan[0].is_direct and self._loss.warmup_epochs > self._plan[0].epochs:
            self._set_plan(self._training.plan_with_warmup(self._loss.warmup_epochs))

    def _begin(self) -> None:
        """Set up a training from its beginning."""
        start = self._judge.with_weights(self._judge.candidate("start", 0, scored=self._check_parts()))
        self._state = State(start, start, start, start.weights)
        self._state.finished = not self._plan
        if self._is_one_path:
            self._state.start, self._state.warm = replace(start, weights={}), {}

    def _resume(self) -> bool:
        """Take over the state of the newest checkpoint; say whether there was one."""
        saved = None if self._checkpoints is None else self._checkpoints.read()
        if len(set(self._processes.all_of(None if saved is None else saved["state"].step))) > 1:
            remedy = "put it on storage that all machines can reach"
            reject("checkpoint_dir", "the same folder for all processes", "different checkpoints", remedy)
        if saved is None:
            return False
        self._state = saved["state"]
        self._loss.load_state_dict(saved["loss"])
        self._follow_warmup()
        self._model.load_state_dict(saved["model"])
        self._stepping.load_state_dict(saved, has_stepped=self._state.batch > 0)
        # One state a process; a process that was not there before goes on as it was seeded.
        self._at_epoch_start = self._random_states.capture()
        for states in saved["random"][self._processes.position :][:1]:
            self._at_epoch_start = states["at_epoch_start"]
            self._random_states.restore(states["now"])
        return True

    def _is_save_due(self) -> bool:
        """Say whether a checkpoint is due after an epoch."""
        checkpoints = self._checkpoints
        return checkpoints is not None and self._processes.from_main(checkpoints.is_due_after_epoch)

    def _save(self) -> None:
        """Take the time, and write a checkpoint where these are wanted."""
        now = time.perf_counter()
        self._state.seconds, self._clock = self._state.seconds + now - self._clock, now
        if self._checkpoints is None:
            return
        content = {
            "state": self._state,
            "model": self._model.state_dict(),
            "loss": self._loss.state_dict(),
            **self._stepping.state_dict(),
            "random": self._processes.all_of(
                {"at_epoch_start": self._at_epoch_start, "now": self._random_states.capture()}
            ),
        }
        with self._processes.in_step():
            if self._processes.is_main:
                self._checkpoints.write(content, self._state.step)

    def _check_parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Score all samples once before training, so that bad features, labels or outputs cost nobody an epoch.

        Training rows that were read to know their labels are scored in two batches alone, unless their scores are
        needed before the first step. Return scores and labels of the rows that choose.
        """
        train_is_sampled = self._parts.is_checked and self._parts.validation is not None and self._warms_up_alone
        scales = FeatureScales(self._model)
        for part in filter(None, (self._parts.train, self._parts.validation)):
            batches = self._display.watch(part.batches, "checking the data")
            if part is self._parts.train:
                batches = _seen(batches, scales)
            is_sampled = part is self._parts.train and train_is_sampled
            if is_sampled:
                batches = islice(batches, 2)
            with self._processes.in_step():
                scores, labels = score_loader(
                    self._model, batches, self._device, part.labels.shape[1], num_replicas=self._num_replicas
                )
            if is_sampled:
                continue
            scores, labels = self._processes.concatenated(scores), self._processes.concatenated(labels)
            if not self._parts.is_stream and not np.array_equal(labels, part.labels, equal_nan=True):
                reject("loader", *OTHER_LABELS)
            if part is self._parts.train and not self._parts.is_stream:
                self._loss.update(scores)
        if self._processes.is_main:
            scales.warn()
        if (folded := self._parts.folded) is not None and folded.groups is None:
            warn_of_copies(scores[:, 0], folded.labels[:, 0])
        return scores, labels

    def _begin_stage(self) -> None:
        """Begin a stage: its weights, its optimizer, and for the solver the scores that these weights give.

        A stage that goes on has all three: the scores are those that the batches of the stage before it brought.
        """
        state, stage = self._state, self._plan[self._state.stage]
        state.begun = True
        if stage.goes_on:
            self._loss.start(stage)
            return
        if state.stage:  # the first begins with the model as it is
            self._model.load_state_dict(state.best.weights if stage.start == "best" else state.warm)
        self._stepping.begin_stage()
        if stage.is_direct:
            scores, labels = self._judge.scores(self._parts.train)
            if self._num_replicas > 1:  # a replica that diverged counts nowhere
                scores = np.where(np.isfinite(scores), scores, 0.0)
            self._loss.start(stage, scores, labels if self._parts.is_stream else None)

    def _train_epoch(self) -> float:
        """Take one step a batch; return the mean loss."""
        state = self._state
        for batch, index in self._batches():
            self._stepping.zero_grad()
            scores, labels, index = self._scores_and_labels(batch, index)
            if self._num_replicas > 1:
                scores, labels = without_diverged(scores, labels, self._num_replicas)
            loss = self._loss(scores, labels, None if self._parts.is_stream else index)
            self._add_loss(loss)
            self._accelerator.backward(loss)
            self._processes.average_gradients(self._model)
            self._processes.average_gradients(self._loss)
            self._stepping.step()
            state.batch, state.step = state.batch + 1, state.step + 1
            if self._checkpoints is not None and self._checkpoints.is_due(state.step):
                self._fetch_loss()
                self._save()
        self._fetch_loss()
        return state.loss_sum / max(state.batch, 1)

    def _add_loss(self, loss: Tensor) -> None:
        """Add the loss of a batch; where fetching it would wait for an accelerator, it is fetched with others later."""
        own = loss.detach() / self._num_replicas
        self._loss_there = own if self._loss_there is None else self._loss_there + own
        if _arrays.is_on_host(loss):
            self._fetch_loss()

    def _fetch_loss(self) -> None:
        if self._loss_there is None:
            return
        self._state.loss_sum += self._loss_there.item()
        self._loss_there = None
        if not math.isfinite(self._state.loss_sum):
            raise DivergedError

    def _scores_and_labels(self, batch: Any, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores, labels and index of a batch: of all processes', where several train."""
        if len(index):
            x, y = split_batch(batch)
            labels = torch.as_tensor(as_label_columns(y), device=self._device)
            with self._accelerator.autocast():
                num_labels = len(self._label_names) if self._num_replicas == 1 else None
                scores = forward(self._model, to_device(x, self._device), num_labels)
        else:  # too few rows for all processes
            labels = torch.empty(0, len(self._label_names), device=self._device)
            scores = torch.empty_like(labels, requires_grad=True)
        return self._processes.whole_batch(scores, labels, index)

    def _batches(self) -> Iterator[Any]:
        """Return the batches of an epoch, or of the rest of one that was interrupted, in the same order."""
        state, now = self._state, None
        if state.batch:
            assert self._at_epoch_start is not None
            now = self._random_states.capture()
            self._random_states.restore(self._at_epoch_start)
        else:
            state.epoch += 1
            self._at_epoch_start = None if self._checkpoints is None else self._random_states.capture()
        self._parts.begin_epoch(state.epoch)
        train_as_left(self._model, self._left_in_evaluation)
        batches = iter(self._parts.train_loader)
        if now is not None:
            # Loaded, not only counted: workers draw as they load.
            if sum(1 for _ in islice(batches, state.batch)) < state.batch:
                reject("loader", f"of {state.batch} batches or more, as before", "fewer", "pass the same data")
            self._random_states.restore(now)
        return batches

    def _end_epoch(self, loss: float) -> bool:
        """Judge what the epoch led to; say whether its stage is over."""
        self._follow_warmup()
        state, stage = self._state, self._plan[self._state.stage]
        candidate = None
        if self._selection.is_due(stage, state.stage_epoch + 1):
            slack = self._solver.slacks() if stage.is_direct else None
            candidate = self._judge.candidate(stage.name, state.epoch, slack)
        self._stepping.end_epoch(None if candidate is None else _mean_of_known(candidate.choice.value))
        if candidate is not None:
            self._consider(candidate, stage, loss)
        state.stage_epoch, state.batch, state.loss_sum = state.stage_epoch + 1, 0, 0.0
        # A stage that polishes the best model has nothing left to find; one on a path of its own may.
        is_in_vain = stage.start == "best" and state.unimproved > stage.epochs // 2
        return state.stopped or is_in_vain or state.stage_epoch == stage.epochs

    def _consider(self, candidate: Candidate, stage: Stage, loss: float) -> None:
        """Tell of a candidate, and keep it if it is good enough."""
        state = self._state
        records = self._records(candidate, stage.name, loss, self._agreement_by_latest(candidate.slack))
        state.history.extend(records)
        state.stopped = self._processes.from_main(lambda: any([bool(each(records)) for each in self._callbacks]))
        self._keep(candidate, stage)
        self._display.show(state.epoch, stage.name, self._records(state.best, stage.name, math.nan))

    def _keep(self, candidate: Candidate, stage: Stage) -> None:
        """Copy the weights of a candidate if it may be returned, once those that it takes the place of are gone."""
        state = self._state
        is_baseline = not stage.is_direct and self._selection.becomes_baseline(candidate, state.baseline)
        if stage.is_direct:
            is_best = candidate.key > state.best.key
        else:
            start_wins = state.best.epoch == 0 and self._may_return_start and state.best.key > candidate.key
            is_best = is_baseline and not start_wins
        finalists = self._selection.with_finalist(state.finalists, candidate, stage)
        is_finalist = any(each is candidate for each in finalists)
        state.finalists = [each for each in finalists if each is not candidate]
        state.unimproved = 0 if is_best else state.unimproved + 1
        if not (is_baseline or is_best or is_finalist):
            return
        if is_baseline:
            state.baseline = candidate
        if is_best:
            state.best = candidate
        kept = self._judge.with_weights(candidate)
        state.baseline = kept if is_baseline else state.baseline
        state.best = kept if is_best else state.best
        state.finalists = [kept if each is candidate else each for each in finalists]

    def _end_stage(self) -> None:
        """Go on to the next stage, or finish."""
        state, is_warmup = self._state, not self._plan[self._state.stage].is_direct
        if is_warmup and not self._is_one_path:
            state.warm = self._judge.weights()
        state.stage, state.stage_epoch, state.unimproved, state.begun = state.stage + 1, 0, 0, False
        is_done = state.stopped or (self._is_perfect(state.best) and not is_warmup)
        state.finished = is_done or state.stage == len(self._plan)
        if state.finished or not self._plan[state.stage].goes_on:
            self._stepping.end_stage()

    def _is_perfect(self, candidate: Candidate) -> bool:
        return bool((np.nan_to_num(candidate.choice.value, nan=1.0) == 1).all() and candidate.choice.feasible.all())

    def _records(
        self, candidate: Candidate, stage: str, loss: float, slack: tuple[SlackAgreement, ...] | None = None
    ) -> list[dict[str, Any]]:
        multiplier, epoch = self._solver.multiplier(), self._state.epoch
        if multiplier is not None:
            multiplier = multiplier.reshape(*multiplier.shape[:-1], self._num_replicas, -1).mean(axis=-2)
        kept = None if multiplier is None else np.where(self._learnable, multiplier, np.nan)
        bounds = [
            [name for _, name, _ in bounds_of_rows(single, self._parts.train.subgroups)]
            for single in self._objective.for_labels(len(self._label_names))
        ]
        return records_of(candidate.choice, self._objective, self._label_names, bounds, kept, epoch, stage, loss, slack)

    def _agreement_by_latest(self, slack: np.ndarray | None) -> tuple[SlackAgreement, ...] | None:
        """Put the slacks of an epoch beside the scores that the samples had when last seen, without another pass."""
        if slack is None:
            return None
        train = self._parts.train
        return self._solver.compare(
            slack, self._loss.latest_scores, train.labels, train.sample_weight, self._label_names
        )


def _seen(batches: Iterator[Any], scales: FeatureScales) -> Iterator[Any]:
    for batch in batches:
        scales.see(split_batch(batch)[0])
        yield batch


def _mean_of_known(values: np.ndarray) -> float | None:
    """Return the mean over the labels that have a value; None where none has one."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
