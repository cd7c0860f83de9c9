"""A site: where rows are, and what it answers to the server's questions.

Rows and scores stay here. What leaves are weights, counts of rows by class in bins of the scores
(:mod:`metricopt.federated.histograms`), numbers of rows and steps, and words.

An answer depends on the question and on the state of the site alone. A question that comes again, because the server
went back to a checkpoint, gets the same answer.

This file decides what is answered and what a site keeps. It leaves training to
:mod:`metricopt.federated.local_training`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from metricopt._validation import Faults, InvalidInputError, check_integer, reject
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.reports import Report
from metricopt.federated.alone import driver_alone, exact_key, state_of
from metricopt.federated.guidance import Guidance, Loss
from metricopt.federated.histograms import count_scores
from metricopt.federated.local_training import LocalRound, train_round
from metricopt.federated.message import Message, under
from metricopt.federated.result import Testimony, result_of
from metricopt.federated.task import Task, names_of
from metricopt.federated.weights import Arrays, difference_of_models, put_weights, shapes_of, weights_of
from metricopt.results.result import FitResult
from metricopt.scoring.forward import score_loader
from metricopt.scoring.modes import left_in_evaluation
from metricopt.solvers import Stage
from metricopt.training.driver import DivergedError, Driver
from metricopt.training.optimizers import OptimizerLike, check_trainable, optimizer_maker
from metricopt.training.partition import make_partition
from metricopt.training.parts import Part, Partition
from metricopt.training.random_states import seeded
from metricopt.training.replicas import fresh_models


@dataclass(frozen=True)
class _Kept:
    """What a site keeps between questions: the weights of its model, the states of its optimizer and of its loss."""

    weights: Arrays = field(default_factory=dict)
    optimizer: Arrays = field(default_factory=dict)
    loss: Message | None = None  # of a site that is the only one


class Site:
    """The rows of one institution, with a model that trains on them.

    Parameters
    ----------
    name : str
    model : Module or callable ``() -> Module``
        The same architecture as the server's, whose weights it gets.
    loader : DataLoader
        A loader of pairs (x, y), as for :func:`metricopt.fit`.
    val_loader : DataLoader, optional
        A loader of the rows that choose and testify. By default a part of ``loader`` is held out.
    val_fraction : float, in (0, 1)
        That part, stratified and seeded.
    groups : sequence, shape (n,), optional
        Rows of equal value (a patient's images) are held out together.
    label_names : sequence of str, optional
        The names of the labels, which the server's must equal.
    min_cell : int, >= 1
        The fewest rows of a class that a count may tell of; bins with fewer are merged
        (:mod:`metricopt.federated.histograms`). The default merges none. Since merged bins are counted as is worst for
        the bound, a minimum of m rows costs up to m - 1 false alarms and m - 1 positives a site in what can be claimed.
    learning_rate : float, optional
        The learning rate of Adam; the default is that of :func:`metricopt.fit`.
    optimizer : callable ``(parameters) -> Optimizer``, optional
        An optimizer to use instead. Its state stays at the site from round to round.
    gradient_clip : float, optional
        The largest norm of the gradient.
    seed : int
        The seed of what is held out, of the order of rows and of all random draws.
    device : str or device, optional
        By default an accelerator of CUDA, where there is one.

    Attributes
    ----------
    result : FitResult or None
        After the last question: the site's model with the global threshold, and the evidence of all sites.
    report : Report or None
        What that threshold reaches on the held-out rows of this site.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module | Callable[[], nn.Module],
        loader: DataLoader[Any],
        *,
        val_loader: DataLoader[Any] | None = None,
        val_fraction: float = 0.2,
        groups: Sequence[Any] | None = None,
        label_names: Sequence[str] | None = None,
        min_cell: int = 1,
        learning_rate: float | None = None,
        optimizer: Callable[[Any], torch.optim.Optimizer] | None = None,
        gradient_clip: float | None = None,
        seed: int = 0,
        device: str | torch.device | None = None,
    ) -> None:
        faults = Faults()
        faults.check(isinstance(name, str) and bool(name), "name", "a name", repr(name), "give e.g. 'north'")
        for argument, given in (("loader", loader), ("val_loader", val_loader)):
            is_loader = isinstance(given, DataLoader) or (argument == "val_loader" and given is None)
            got = type(given).__name__
            faults.check(is_loader, argument, "a DataLoader", got, "give e.g. DataLoader(TensorDataset(x, y), 64)")
        inside = isinstance(val_fraction, float) and 0 < val_fraction < 1
        faults.check(inside, "val_fraction", "in (0, 1)", repr(val_fraction), "give e.g. 0.2")
        faults.check_seed(seed)
        faults.check(
            optimizer is None or (callable(optimizer) and not isinstance(optimizer, torch.optim.Optimizer)),
            "optimizer",
            "a callable (parameters) -> Optimizer",
            repr(optimizer),
            "give e.g. lambda parameters: torch.optim.SGD(parameters, lr=0.1)",
        )
        faults.raise_if_any()
        self.name, self._given_model, self._loader, self._val_loader = name, model, loader, val_loader
        self._val_fraction, self._groups, self._seed = val_fraction, groups, int(seed)
        self._label_names = names_of(label_names)
        self._min_cell = check_integer("min_cell", min_cell, 1)
        self._optimizer: OptimizerLike | None = optimizer
        self._learning_rate, self._gradient_clip = learning_rate, gradient_clip
        default = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(default if device is None else device)
        self._now, self._before, self._round = _Kept(), _Kept(), -1
        self._judged, self._best, self._best_round = -1, dict[str, np.ndarray](), -1
        self.result: FitResult | None = None
        self.report: Report | None = None

    def answer(self, question: Message) -> Message:
        """Return the answer to a question of the server.

        A site that cannot answer (other labels, another model, no positives, a loss that is not finite) says why in
        ``info["refused"]``.
        """
        kinds = {
            "join": self._join,
            "train": self._train,
            "score": self._score,
            "testify": self._testify,
            "finish": self._finish,
        }
        try:
            task = Task.from_dict(question.info["task"])
            with seeded(self._seed + 1_000_003 * (question.info["round"] + 1)):
                arrays, info = kinds[question.kind](question, task)
        except (InvalidInputError, DivergedError) as error:
            return Message(question.kind, {}, {"site": self.name, "refused": str(error)})
        return Message(question.kind, arrays, {"site": self.name, "round": question.info["round"], **info})

    def state(self) -> Message:
        """Return all that moves at the site, to be stored there: personal weights and the state of the optimizer."""
        arrays, losses = under("best", self._best), {}
        for name, kept in (("now", self._now), ("before", self._before)):
            arrays |= under(f"{name}.weights", kept.weights) | under(f"{name}.optimizer", kept.optimizer)
            if kept.loss is not None:
                arrays |= under(f"{name}.loss", kept.loss.arrays)
                losses[name] = kept.loss.info
        rounds = {"round": self._round, "judged": self._judged, "best_round": self._best_round}
        return Message("state", arrays, {"site": self.name, **rounds, "losses": losses})

    def load_state(self, state: Message) -> None:
        """Take over what :meth:`state` returned.

        Raises
        ------
        InvalidInputError
            If it is that of another site.
        """
        if state.kind != "state" or state.info.get("site") != self.name:
            reject("state", f"that of the site {self.name!r}", state.info.get("site"), "load the site's own state")
        losses = {
            name: Message("state", state.under(f"{name}.loss"), info) for name, info in state.info["losses"].items()
        }
        self._now, self._before = (
            _Kept(state.under(f"{name}.weights"), state.under(f"{name}.optimizer"), losses.get(name))
            for name in ("now", "before")
        )
        self._best, self._round = state.under("best"), state.info["round"]
        self._judged, self._best_round = state.info["judged"], state.info["best_round"]

    @cached_property
    def _parts(self) -> Partition:
        return make_partition(
            self._loader,
            val_loader=self._val_loader,
            eval_dataset=None,
            val_fraction=0.0 if self._val_loader is not None else self._val_fraction,
            groups=self._groups,
            sample_weight=None,
            seed=self._seed,
            watch=lambda batches, _: iter(batches),
        )

    @property
    def _held_out(self) -> Part:
        assert self._parts.validation is not None
        return self._parts.validation

    @cached_property
    def _model(self) -> nn.Module:
        given = self._given_model
        model = given if isinstance(given, nn.Module) else fresh_models(given, 1, self._seed)[0]
        check_trainable(model, None)
        self._left_in_evaluation = left_in_evaluation(model)
        return model.to(self._device)

    def _join(self, question: Message, task: Task) -> tuple[Arrays, dict[str, Any]]:
        names = self._label_names
        if names is not None and names != task.label_names:
            reject("label_names", f"those of the server, {list(task.label_names)}", list(names), "agree on the labels")
        if self._parts.num_labels != len(task.label_names):
            rule = f"with one column for each of the server's labels {list(task.label_names)}"
            reject("y", rule, f"{self._parts.num_labels}", "agree on the labels")
        weights = question.under("weights")
        if difference := difference_of_models(shapes_of(weights_of(self._model)), shapes_of(weights)):
            reject("model", "that of the server", difference, "build the same model at every site")
        self._now = self._before = _Kept(weights)
        self._round = self._judged = self._best_round = -1
        self._best = {}
        parts = {"train": self._parts.train, "held_out": self._held_out}
        told = [text for name, part in parts.items() for text in self._left_out(name, part, task)]
        return {}, {"num_rows": {name: len(part) for name, part in parts.items()}, "told": told}

    def _left_out(self, name: str, part: Part, task: Task) -> list[str]:
        """Say which labels are not counted in a part."""
        told = []
        for label, of_label in enumerate(task.label_names):
            numbers = [int((part.labels[:, label] == truth).sum()) for truth in (0, 1)]
            if any(0 < number < self._min_cell for number in numbers):
                fewer = f"a class of fewer than {self._min_cell} rows"
                told.append(f"{of_label!r} has {fewer} in its {name.replace('_', '-')} rows, which are not counted")
        return told

    def _train(self, question: Message, task: Task) -> tuple[Arrays, dict[str, Any]]:
        info, received = question.info, question.under("weights")
        self._keep_best(info["best_round"], received if info["replaces"] else {})
        if info["round"] == self._round:  # asked again
            self._now = self._before
        before = self._now
        of_round = LocalRound(info["round"], info["epochs"], info["steps"], info["proximal"])
        start = {**before.weights, **received} if info["replaces"] else before.weights
        put_weights(self._model, start)
        guidance, num_steps = Guidance.from_message(question), of_round.num_steps(self._parts)
        loss: Loss
        if info.get("is_alone"):
            driver = driver_alone(task, self._parts.train.labels, num_steps, before.loss)
            loss = partial(driver.step, path=self._path_alone(driver, guidance, num_steps, begins=info["begins"]))
        else:
            driver = None
            loss = guidance.loss(task.solver, task.objective, self._parts.train.labels, num_steps)
        optimizer = optimizer_maker(self._model, self._optimizer, self._learning_rate)()
        if not info["begins"]:
            _put_state(optimizer, before.optimizer)
        train_round(
            self._model,
            self._parts,
            loss,
            optimizer,
            of_round,
            received,
            gradient_clip=self._gradient_clip,
            left_in_evaluation=self._left_in_evaluation,
        )
        weights = weights_of(self._model)
        kept_loss = None if driver is None else state_of(driver)
        self._now, self._before = _Kept(weights, _state_of(optimizer), kept_loss), before
        self._round = info["round"]
        leaving = under("weights", {name: weights[name] for name in info["travelling"]})
        if kept_loss is not None:
            told = question.under("guidance")
            leaving |= under("moving", {name: kept_loss.arrays[f"solver.{name}"] for name in told})
        return leaving, {"num_rows": len(self._parts.train), "steps": num_steps}

    def _path_alone(self, driver: Driver, guidance: Guidance, num_steps: int, *, begins: bool) -> Stage:
        """Return the path of a round, and begin it where this is its first: like the stages of ``fit``."""
        path = Stage(guidance.path, 1)
        if guidance.is_direct and guidance.progress[0] == 0:
            if begins:
                scores, labels = self._scores(self._parts.train)
                driver.memory.replace(scores, labels if self._parts.is_stream else None)
            driver.start(path, guidance.steps_of_path(num_steps))
        return path

    def _score(self, question: Message, task: Task) -> tuple[Arrays, dict[str, Any]]:
        received = question.under("weights")
        self._put_received(received)
        self._keep_best(question.info["best_round"], received)
        self._judged = question.info["round"]
        scored = self._scored(question)
        arrays = self._counts(question, scored)
        if question.info.get("is_alone"):
            arrays |= under("judged", {"key": exact_key(*scored["train"], task.objective)})
        return arrays, {}

    def _testify(self, question: Message, task: Task) -> tuple[Arrays, dict[str, Any]]:
        self._put_best(question)
        return self._counts(question, self._scored(question)), {}

    def _finish(self, question: Message, task: Task) -> tuple[Arrays, dict[str, Any]]:
        self._put_best(question)
        testimony = Testimony.from_message(question)
        self.result = result_of(self._model, task, testimony)
        scores, labels = self._scores(self._held_out)
        self.report = evaluate(
            scores,
            labels,
            self.result.thresholds,
            task.objective,
            label_names=task.label_names,
            data=f"held-out rows of {self.name}",
            subgroups=None if not task.objective.columns else {"site": np.repeat(self.name, len(scores))},
        )
        return {}, {}

    def _put_received(self, received: Mapping[str, np.ndarray]) -> None:
        """Let the model be the one to be judged: what was received, with what is the site's own."""
        put_weights(self._model, {**self._now.weights, **received})

    def _put_best(self, question: Message) -> None:
        received = question.under("weights")
        self._keep_best(question.info["best_round"], received)
        put_weights(self._model, {**self._now.weights, **self._best, **received})

    def _keep_best(self, best_round: int, received: Mapping[str, np.ndarray]) -> None:
        """Keep the site's own weights of the best round, which was judged last; those of the server it keeps itself."""
        if best_round == self._judged and best_round != self._best_round:
            self._best = {name: array for name, array in self._now.weights.items() if name not in received}
            self._best_round = best_round

    def _scores(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        return score_loader(self._model, part.batches, self._device, part.labels.shape[1])

    def _scored(self, question: Message) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return scores and labels of the parts that are asked for, by the model as it is."""
        parts = {"train": self._parts.train, "held_out": self._held_out}
        return {name: self._scores(parts[name]) for name in question.info["parts"]}

    def _counts(self, question: Message, scored: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Arrays:
        levels = question.numbered("edges")
        return under("counts", {name: count_scores(*own, levels, self._min_cell) for name, own in scored.items()})


def _state_of(optimizer: torch.optim.Optimizer) -> Arrays:
    """Return the state of an optimizer as arrays, by the number of the weight and the name of the state."""
    return {
        f"{number}.{name}": value.detach().to("cpu", copy=True).numpy()
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def _put_state(optimizer: torch.optim.Optimizer, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a new optimizer the state that :func:`_state_of` returned."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for full, array in arrays.items():
        number, _, name = full.partition(".")
        state.setdefault(int(number), {})[name] = torch.from_numpy(np.array(array))
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
