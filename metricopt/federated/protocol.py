"""The protocol of a federation: what sites are asked, in which order, and what their answers change.

The questions, in order:

1. ``join``, once;
2. ``score`` for the model as it begins, by training and by held-out rows, so that a federation that cannot end well
   ends before it trains;
3. ``train`` and ``score`` in every round, by training rows alone, which choose the round;
4. ``testify`` for the weights of that round, by held-out rows, which choose the threshold: a few times, in bins that
   get finer around it;
5. ``finish``.

Held-out rows take no part in training, nor in the choice of the round. Of many rounds the one that does best on some
rows looks better on these than it is, and a threshold that the same rows choose would keep its bound less often than
its confidence says.

This file decides that order. It leaves who is asked and whose answers are taken to :mod:`metricopt.federated.server`,
aggregation to :mod:`metricopt.federated.aggregation`, and multipliers and thresholds to
:mod:`metricopt.federated.guide`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from metricopt.evidence.subgroups import bounds_of_rows
from metricopt.evidence.thresholds import selection_criterion
from metricopt.federated.aggregation import Aggregation
from metricopt.federated.checks import PARTS, check_counted
from metricopt.federated.choosing import choice_of
from metricopt.federated.guidance import Guidance
from metricopt.federated.guide import Guide
from metricopt.federated.histograms import first_edges
from metricopt.federated.message import Message, under
from metricopt.federated.plan import plan_of, stage_at
from metricopt.federated.refinement import refined
from metricopt.federated.result import Testimony
from metricopt.federated.server_state import State
from metricopt.federated.task import Task
from metricopt.federated.weights import weights_of
from metricopt.solvers import Stage
from metricopt.training.optimizers import is_linear
from metricopt.training.records import records_of

MOST_REFINEMENTS = 3


@dataclass(frozen=True)
class Effort:
    """How much is trained.

    Attributes
    ----------
    rounds, local_epochs : int
    local_steps : int or None
        How many batches a site trains in a round, instead of whole epochs.
    extends_warmup : bool
        Whether rounds are added to the warm-up while the model has not begun to learn.
    """

    rounds: int
    local_epochs: int
    local_steps: int | None
    extends_warmup: bool


class Protocol:
    """The questions, and the state that answers change.

    Parameters
    ----------
    model : Module
        The model with the weights that training begins with.
    task : Task
    aggregation : Aggregation
    effort : Effort
    warmup_rounds : int

    Attributes
    ----------
    state : State
    guide : Guide
    travelling : dict of str to ndarray
        Weights of the names, shapes and kinds that leave a site.
    """

    def __init__(
        self, model: nn.Module, task: Task, aggregation: Aggregation, effort: Effort, warmup_rounds: int
    ) -> None:
        self.task, self.aggregation, self.effort = task, aggregation, effort
        self._weights = weights_of(model)
        self.travelling = {name: self._weights[name] for name in aggregation.travelling(model)}
        self._has_paths = is_linear(model) and aggregation.is_whole(model)
        self.guide = Guide(task.objective, task.solver)
        self.state = State(warmup_rounds=warmup_rounds, levels=[first_edges(len(task.label_names))])
        self.state.shared = dict(self.travelling)

    @property
    def is_alone(self) -> bool:
        """Whether one site has joined alone, whose solver needs no guidance (:mod:`metricopt.federated.alone`)."""
        return len(self.state.num_rows) == 1 and self.task.solver.warms_up

    @property
    def identity(self) -> str:
        """What federation this is, for its checkpoints."""
        number = sum(array.size for array in self._weights.values())
        length = f"{self.effort.rounds} rounds of {self.effort.local_steps or self.effort.local_epochs}"
        task = self.task
        return f"{task.objective!r} by {task.solver!r} and {self.aggregation!r}, {length}, {number} weights"

    def question(self, site: str) -> Message:
        """Return what to ask a site now."""
        state, kind = self.state, self.state.phase
        arrays, info = {"join": self._to_join, "train": self._to_train, "finish": self._to_finish}.get(
            kind, self._to_count
        )(site)
        about = {"task": self.task.to_dict(), "round": state.round, "best_round": state.best_round}
        alone = {"is_alone": True} if self.is_alone else {}
        return Message(kind, arrays, about | alone | info)

    def take(self, answers: Mapping[str, Message]) -> None:
        """Go on by the answers of the sites that gave one.

        Raises
        ------
        InvalidInputError
            If the sites together count no label with positives and negatives.
        """
        steps = {"join": self._joined, "train": self._trained, "score": self._scored, "testify": self._testified}
        steps |= {"finish": self._finished}
        steps[self.state.phase](answers)

    def testimony(self) -> Testimony:
        """Return what sites told of the weights of the best round."""
        state = self.state
        stages = {record["epoch"]: record["stage"] for record in state.history}
        chosen = state.best_round + 1
        return Testimony(
            train=state.train,
            train_edges=state.levels[0],
            held_out=state.held_out,
            held_out_edges=state.levels[-1],
            sites=tuple(state.held_out),
            history=[{**record, "chosen": record["epoch"] == chosen} for record in state.history],
            selected_stage=stages[chosen],
            seconds=state.seconds,
        )

    def _stage_of(self, round_number: int) -> tuple[Stage, int]:
        """Return the stage of a round, and how many of its rounds come before."""
        rounds, warmup_rounds = self.effort.rounds, self.state.warmup_rounds
        plan = plan_of(self.task.solver, rounds, warmup_rounds, has_paths=self._has_paths, is_alone=self.is_alone)
        return stage_at(plan, round_number)

    def _to_join(self, site: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return under("weights", self._weights), {}

    def _to_train(self, site: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        state, guidance = self.state, Guidance()
        stage, before = self._stage_of(state.round)
        if stage.is_direct:
            progress = before / stage.epochs, (before + 1) / stage.epochs
            guidance = self.guide.guidance(site, progress, is_alone=self.is_alone)
        arrays, words = guidance.to_message()
        info = words | {
            "epochs": self.effort.local_epochs,
            "steps": self.effort.local_steps,
            "proximal": self.aggregation.proximal,
            "replaces": self.aggregation.replaces_weights,
            "begins": before == 0 and not stage.goes_on,
            "travelling": list(self.travelling),
        }
        return under("weights", state.of_sites.get(site, state.shared)) | arrays, info

    def _to_count(self, site: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        state = self.state
        is_score = state.phase == "score"
        arrays = self._global_weights("shared" if is_score else "best")
        arrays |= {f"edges.{number}": level for number, level in enumerate(state.levels)}
        parts = list(PARTS) if state.round < 0 else ["train" if is_score else "held_out"]
        return arrays, {"parts": parts}

    def _to_finish(self, site: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays, words = self.testimony().for_sites(is_summed=not self.task.objective.columns).to_message()
        return self._global_weights("best") | arrays, words

    def _global_weights(self, which: str) -> dict[str, np.ndarray]:
        """Return the weights of the server that sites take over; none where each has weights of its own."""
        return under("weights", getattr(self.state, which)) if self.aggregation.is_global else {}

    def _joined(self, answers: Mapping[str, Message]) -> None:
        for site, answer in answers.items():
            self.state.num_rows[site] = {part: answer.info["num_rows"][part] for part in PARTS}
            for text in answer.info.get("told", []):
                self.state.note(site, str(text))
        self.state.phase = "score"

    def _trained(self, answers: Mapping[str, Message]) -> None:
        state = self.state
        updates = {site: answer.under("weights") for site, answer in answers.items()}
        combined = self.aggregation.combine(updates, {site: state.num_rows[site]["train"] for site in updates})
        if self.aggregation.is_global:
            state.shared = next(iter(combined.values()))
        else:
            state.of_sites |= combined
        if self.is_alone:
            self.guide.moving |= answers[next(iter(answers))].under("moving")
        state.steps = round(np.mean([answer.info["steps"] for answer in answers.values()]))
        state.phase = "score"

    def _scored(self, answers: Mapping[str, Message]) -> None:
        state = self.state
        train = {site: answer.under("counts")["train"] for site, answer in answers.items()}
        self._see(train)
        if state.round < 0:
            held_out = {site: answer.under("counts")["held_out"] for site, answer in answers.items()}
            check_counted({"train": train, "held-out": held_out})
        else:
            stage, before = self._stage_of(state.round)
            if stage.is_direct and not self.is_alone:
                self.guide.move((before + 1) / stage.epochs, state.steps)
            keys = [answer.under("judged")["key"].tolist() for answer in answers.values() if self.is_alone]
            self._judge(train, stage, *keys)
        if state.round + 1 == self.effort.rounds:
            state.phase = "testify"
            return
        state.round += 1
        self._extend_warmup()
        stage, before = self._stage_of(state.round)
        if stage.is_direct and before == 0:
            self._begin(stage, train)
        state.phase = "train"

    def _extend_warmup(self) -> None:
        """Add a round to the warm-up where it would end now, the model has not begun to learn, and rounds are left."""
        state, effort = self.state, self.effort
        is_over = state.round == state.warmup_rounds and state.warmup_rounds < effort.rounds // 2
        if effort.extends_warmup and not self._has_paths and is_over and not self.guide.has_begun_to_learn:
            state.warmup_rounds += 1

    def _see(self, train: Mapping[str, np.ndarray]) -> None:
        num_rows = sum(self.state.num_rows[site]["train"] for site in train)
        self.guide.see(train, self.state.levels[0], num_rows)

    def _begin(self, stage: Stage, train: dict[str, np.ndarray]) -> None:
        """Begin a path: from the end of the warm-up or the best weights, which its first round sends to the sites."""
        state = self.state
        if not state.warm_train:
            state.warm, state.warm_train = state.shared, train
        if not stage.goes_on and self.aggregation.is_global:
            is_warm = stage.start == "warm" or not state.best
            state.shared, seen = (state.warm, state.warm_train) if is_warm else (state.best, state.train)
            self._see(seen)
        self.guide.hand_over(stage.name)

    def _judge(self, train: dict[str, np.ndarray], stage: Stage, key: list[float] | None = None) -> None:
        """Compare the round with the best so far, by counts unless a site that is alone has told the exact key."""
        state, objective = self.state, self.task.objective
        choice = choice_of(train, state.levels[0], objective, "middle")
        multiplier = self.guide.moving.get("multiplier") if stage.is_direct and objective.bounds else None
        names, number = self.task.label_names, state.round + 1
        bounds = [[name for _, name, _ in bounds_of_rows(objective, {})]] * len(names)
        records = records_of(choice, objective, names, bounds, multiplier, number, stage.name, math.nan)
        state.history += [{**record, "num_bytes": state.num_bytes} for record in records]
        key = key or list(selection_criterion(choice, objective))
        is_better = key > state.best_key or (key == state.best_key and not stage.is_direct)
        if state.best_round < 0 or is_better:
            state.best_key, state.best_round, state.best, state.train = key, state.round, state.shared, train

    def _testified(self, answers: Mapping[str, Message]) -> None:
        """Divide the bins around the threshold further, or go on to the end where nothing more can be gained."""
        state, finer = self.state, None
        state.held_out = {site: answer.under("counts")["held_out"] for site, answer in answers.items()}
        if len(state.levels) <= MOST_REFINEMENTS:
            finer = refined(state.held_out, state.levels[-1], self.task.objective, self.task.confidence)
        if finer is None:
            state.phase = "finish"
        else:
            state.levels.append(finer)

    def _finished(self, answers: Mapping[str, Message]) -> None:
        self.state.phase = "done"
