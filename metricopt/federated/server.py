"""The server of a federation: what it asks sites, and what it makes of their answers.

It holds no rows. An engine asks for its questions, carries them to the sites, and brings back what they answered::

    while not server.finished:
        server.receive(carry(server.questions(names_of_sites_that_can_be_reached)))

The questions, in order: ``join`` once; ``score`` for the model as it begins; then ``train`` and ``score`` in every
round; ``refine`` a few times for the weights of the best round; and ``finish``.

This file decides the order of things. It leaves aggregation to :mod:`metricopt.federated.aggregation`, multipliers and
thresholds to :mod:`metricopt.federated.guide`, and what is wrong with an answer to :mod:`metricopt.federated.checks`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from metricopt._validation import Faults, reject
from metricopt.evidence.rule import check_confidence, read_confidence
from metricopt.evidence.subgroups import bounds_of_rows
from metricopt.evidence.thresholds import selection_criterion
from metricopt.federated.aggregation import Aggregation, FedAvg
from metricopt.federated.checks import PARTS, check_counted, fault_of
from metricopt.federated.choosing import choice_of
from metricopt.federated.guidance import Guidance, solver_for
from metricopt.federated.guide import Guide
from metricopt.federated.histograms import first_edges
from metricopt.federated.message import Message, under
from metricopt.federated.plan import plan_of
from metricopt.federated.refinement import refined
from metricopt.federated.result import FederatedResult, Testimony
from metricopt.federated.server_state import State
from metricopt.federated.task import Task, check_columns, names_of
from metricopt.federated.weights import put_weights, weights_of
from metricopt.problem.objectives import Objective
from metricopt.problem.registry import check_registered, get_objective
from metricopt.results.history import History
from metricopt.solvers import Solver, Stage
from metricopt.training.optimizers import is_linear
from metricopt.training.plan import default_warmup_epochs
from metricopt.training.records import records_of

MOST_REFINEMENTS = 3


class TooFewSitesError(RuntimeError):
    """Too few sites answered, again and again."""


class Server:
    r"""Trains one model on the rows of many sites, for an objective over all of their rows.

    .. math:: \max_{\theta, t} \; \text{objective}\Bigl(\sum_k c_k(\theta, t)\Bigr) \quad \text{s.t.} \quad
              \text{its bound on} \; \sum_k c_k(\theta, t)

    with the counts :math:`c_k` of true and false alarms at site k. A bound "in every site" of a
    :class:`~metricopt.Program` is one on each :math:`c_k`.

    One site alone trains as :func:`metricopt.fit` does with ``folds=None``, bit for bit, until the hand-over from
    cross-entropy. From there on threshold and multipliers move once a round, from histograms; in ``fit`` they move
    within an epoch, from the scores themselves.

    Parameters
    ----------
    model : Module
        The model with the weights that training begins with. It has the global weights in the end.
    objective, alpha, beta, label_names
        The same as for :func:`metricopt.fit`; the only subgroups that a program may name are those of ``site``.
    aggregation : Aggregation
        How weights of sites become those that each goes on with.
    rounds : int, >= 1
    local_epochs : int, >= 1
        How many epochs a site trains in a round.
    local_steps : int, optional
        How many batches instead.
    warmup_rounds : int, optional
        How many of the rounds train with cross-entropy. The default is a quarter, and up to a half while the model has
        not begun to learn.
    solver : "profiled", "cross_entropy" or an instance of ``Profiled``
    confidence : "auto", float in (0, 1), or None
        How sure the bound must be on new rows, by the held-out rows of all sites. "auto" is 0.9.
    min_sites : int, >= 1
        How many sites must answer, at least 2 where a bound speaks of every site. With fewer, the same questions are
        asked again.
    retries : int, >= 0
        How often, before :class:`TooFewSitesError` is raised.

    Raises
    ------
    InvalidInputError
        If an argument cannot be used.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: str | Objective,
        *,
        alpha: float | Sequence[float] | Mapping[str, float] | None = None,
        beta: float | None = None,
        label_names: Sequence[str] | None = None,
        aggregation: Aggregation | None = None,
        rounds: int = 40,
        local_epochs: int = 1,
        local_steps: int | None = None,
        warmup_rounds: int | None = None,
        solver: str | Solver = "profiled",
        confidence: float | str | None = "auto",
        min_sites: int = 1,
        retries: int = 3,
    ) -> None:
        names = names_of(label_names) or ("label",)
        asked = get_objective(objective, alpha=alpha, beta=beta, label_names=names)
        check_registered(asked)
        asked.for_labels(len(names))
        check_columns(asked)
        if isinstance(confidence, (int, float)):
            check_confidence(confidence)
        faults = Faults()
        faults.check(isinstance(model, nn.Module), "model", "a Module", type(model).__name__, "make it: MyModel()")
        kind = type(aggregation).__name__
        is_rule = aggregation is None or isinstance(aggregation, Aggregation)
        faults.check(is_rule, "aggregation", "an Aggregation", kind, "give e.g. FedAvg()")
        for argument, number, least in (
            ("rounds", rounds, 1),
            ("local_epochs", local_epochs, 1),
            ("local_steps", 1 if local_steps is None else local_steps, 1),
            ("warmup_rounds", 0 if warmup_rounds is None else warmup_rounds, 0),
            ("min_sites", min_sites, 1),
            ("retries", retries, 0),
        ):
            faults.check_integer(argument, number, least)
        faults.raise_if_any()
        own_solver = solver_for(solver, asked)
        planned = default_warmup_epochs(own_solver, rounds) if warmup_rounds is None else warmup_rounds
        if planned >= rounds and own_solver.warms_up:
            reject("warmup_rounds", f"below rounds ({rounds})", warmup_rounds, "leave rounds for the objective")
        if asked.columns and min_sites < 2:
            min_sites = 2
        self._model, self._aggregation = model, aggregation or FedAvg()
        self._task = Task(asked, names, own_solver, read_confidence(confidence, judges_itself=False))
        self._rounds, self._local_epochs, self._local_steps = int(rounds), int(local_epochs), local_steps
        self._min_sites, self._retries = min_sites, retries
        self._travelling = self._aggregation.travelling(model)
        self._expected = weights_of(model)
        self._has_paths = is_linear(model) and self._aggregation.is_whole(model)
        self._can_extend = warmup_rounds is None and planned > 0 and not self._has_paths
        self._guide = Guide(asked, own_solver)
        self._state = State(warmup_rounds=planned, levels=[first_edges(len(names))])
        self._state.shared = {name: self._expected[name] for name in self._travelling}
        self._asked: dict[str, int] = {}
        self._clock = time.perf_counter()
        self._result: FederatedResult | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to ask."""
        return self._state.phase == "done"

    @property
    def round(self) -> int:
        """The round under way, from 0; -1 before the first."""
        return self._state.round

    @property
    def log(self) -> list[dict[str, Any]]:
        """What sites refused, missed or were told: a dict with round, kind, site and what, for each."""
        return self._state.log

    @property
    def history(self) -> History:
        """A record for each round and label, on the held-out rows of all sites."""
        return History(self._state.history)

    @property
    def result(self) -> FederatedResult:
        """What the federation led to.

        Raises
        ------
        InvalidInputError
            If the federation is not finished.
        """
        if self._result is None:
            if not self.finished:
                reject("the federation", "finished, for a result", self._state.phase, "go on until server.finished")
            self._result = self._conclude()
        return self._result

    def questions(self, sites: Sequence[str]) -> dict[str, Message]:
        """Return what to ask which site now.

        Parameters
        ----------
        sites : sequence of str
            The names of the sites that can be reached. Those that did not join when asked are left out.
        """
        state = self._state
        known = list(sites) if state.phase == "join" else [site for site in sites if site in state.num_rows]
        asked = {site: self._question(site) for site in known} if not self.finished else {}
        self._asked = {site: question.num_bytes for site, question in asked.items()}
        return asked

    def receive(self, answers: Mapping[str, Message], failures: Mapping[str, str] | None = None) -> None:
        """Take the answers that came in time, and go on; sites that were to answer and did not are named in the log.

        Parameters
        ----------
        answers : mapping of str to Message
            The answers by the name of the site.
        failures : mapping of str to str, optional
            Why other sites did not answer, as far as the engine knows: for the log.

        Raises
        ------
        TooFewSitesError
            If fewer than ``min_sites`` gave an answer that can be used, for the last time.
        InvalidInputError
            If the sites together count no label with positives and negatives.
        """
        if self.finished:
            return
        self._take_time()
        state, taken = self._state, dict[str, Message]()
        state.num_bytes += sum(self._asked.values()) + sum(answer.num_bytes for answer in answers.values())
        expected = list(self._asked) if state.phase == "join" else list(state.num_rows)
        for site in expected:
            if site not in answers:
                if site not in state.silent:
                    why = f" ({failures[site]})" if failures and site in failures else ""
                    self._note(site, f"did not answer{why}; the round goes on without it")
                    state.silent.append(site)
                continue
            if site in state.silent:
                self._note(site, "answers again")
                state.silent.remove(site)
            if fault := self._fault_of(site, answers[site]):
                self._note(site, fault)
            else:
                taken[site] = answers[site]
        if len(taken) < self._min_sites:
            state.tries += 1
            if state.tries > self._retries:
                told = "\n".join(f"{entry['site']}: {entry['what']}" for entry in state.log)
                wanted = f"{self._min_sites} site(s) must answer a question of kind {state.phase!r}"
                raise TooFewSitesError(f"{wanted}, but {len(taken)} did, {state.tries} times.\n{told}")
            return
        state.tries = 0
        steps = {"join": self._joined, "train": self._trained, "score": self._scored}
        steps |= {"refine": self._refined, "finish": self._finished_all}
        steps[state.phase](taken)

    def state(self) -> Message:
        """Return all that moves at the server; ``state().to_bytes()`` is a checkpoint."""
        return self._state.to_message(self._guide, self._identity)

    def load_state(self, state: Message) -> None:
        """Go on from what :meth:`state` returned.

        Raises
        ------
        InvalidInputError
            If it is the state of another federation.
        """
        if state.kind != "state" or state.info.get("of") != self._identity:
            rule, got = f"that of {self._identity}", state.info.get("of")
            reject("state", rule, got, "make the server with the same arguments")
        self._state, self._result = State.from_message(state, self._guide), None
        self._clock = time.perf_counter()

    def _take_time(self) -> None:
        now = time.perf_counter()
        self._state.seconds, self._clock = self._state.seconds + now - self._clock, now

    @property
    def _identity(self) -> str:
        number = sum(array.size for array in self._expected.values())
        length = f"{self._rounds} rounds of {self._local_steps or self._local_epochs}"
        return (
            f"{self._task.objective!r} by {self._task.solver!r} and {self._aggregation!r}, {length}, {number} weights"
        )

    def _stage_of(self, round_number: int) -> tuple[Stage, int]:
        """Return the stage of a round, and how many of its rounds come before."""
        plan = plan_of(self._task.solver, self._rounds, self._state.warmup_rounds, has_paths=self._has_paths)
        for stage in plan:
            if round_number < stage.epochs:
                break
            round_number -= stage.epochs
        return stage, round_number

    def _question(self, site: str) -> Message:
        state = self._state
        info: dict[str, Any] = {"task": self._task.to_dict(), "round": state.round, "best_round": state.best_round}
        if state.phase == "join":
            return Message("join", under("weights", self._expected), info)
        if state.phase == "train":
            guidance, (stage, before) = Guidance(), self._stage_of(state.round)
            if stage.is_direct:
                guidance = self._guide.guidance(site, (before / stage.epochs, (before + 1) / stage.epochs))
            arrays, words = guidance.to_message()
            info |= words | {
                "epochs": self._local_epochs,
                "steps": self._local_steps,
                "proximal": self._aggregation.proximal,
                "replaces": self._aggregation.replaces_weights,
                "begins": before == 0 and not stage.goes_on,
                "travelling": self._travelling,
            }
            weights = state.of_sites.get(site, state.shared)
            return Message("train", under("weights", weights) | arrays, info)
        judged = state.shared if state.phase == "score" else state.best
        arrays = under("weights", judged if self._aggregation.is_global else {})
        if state.phase == "finish":
            told, words = self._testimony().for_sites(is_summed=not self._task.objective.columns).to_message()
            return Message("finish", arrays | told, info | words)
        levels = state.levels[:1] if state.phase == "score" else state.levels
        return Message(state.phase, arrays | {f"edges.{number}": level for number, level in enumerate(levels)}, info)

    def _fault_of(self, site: str, answer: Message) -> str:
        """Return why an answer is not taken; empty if it is."""
        state = self._state
        if "refused" in answer.info:
            return f"refused: {answer.info['refused']}"
        if answer.kind != state.phase or answer.info.get("round") != state.round:
            got = f"{answer.kind!r} of round {answer.info.get('round')}"
            return f"rejected: it must answer {state.phase!r} of round {state.round}, got {got}"
        expected = {name: self._expected[name] for name in self._travelling}
        fault = fault_of(answer, expected, state.levels, state.num_rows.get(site, {}))
        return f"rejected: {fault}" if fault else ""

    def _note(self, site: str, what: str) -> None:
        entry = {"round": self._state.round, "kind": self._state.phase, "site": site, "what": what}
        if entry not in self._state.log:  # questions may be asked again
            self._state.log.append(entry)

    def _joined(self, answers: Mapping[str, Message]) -> None:
        for site, answer in answers.items():
            self._state.num_rows[site] = {part: answer.info["num_rows"][part] for part in PARTS}
            for text in answer.info.get("told", []):
                self._note(site, str(text))
        self._state.phase = "score"

    def _trained(self, answers: Mapping[str, Message]) -> None:
        state = self._state
        updates = {site: answer.under("weights") for site, answer in answers.items()}
        combined = self._aggregation.combine(updates, {site: state.num_rows[site]["train"] for site in updates})
        if self._aggregation.is_global:
            state.shared = next(iter(combined.values()))
        else:
            state.of_sites |= combined
        state.steps = round(np.mean([answer.info["steps"] for answer in answers.values()]))
        state.phase = "score"

    def _scored(self, answers: Mapping[str, Message]) -> None:
        state = self._state
        train, held_out = ({site: answer.under("counts")[part] for site, answer in answers.items()} for part in PARTS)
        self._guide.see(train, state.levels[0], sum(state.num_rows[site]["train"] for site in answers))
        if state.round < 0:
            check_counted({"train": train, "held-out": held_out})
        else:
            stage, before = self._stage_of(state.round)
            if stage.is_direct:
                self._guide.move((before + 1) / stage.epochs, state.steps)
            self._judge(train, held_out, stage)
        state.round += 1
        is_late = state.warmup_rounds + 1 > self._rounds // 2
        is_due = self._can_extend and state.round == state.warmup_rounds and not is_late
        if is_due and not self._guide.has_begun_to_learn:
            state.warmup_rounds += 1
        if state.round == self._rounds:
            state.round, state.phase = self._rounds - 1, "refine"
            self._refine(state.held_out)
            return
        stage, before = self._stage_of(state.round)
        if stage.is_direct and before == 0:
            self._begin(stage, train)
        state.phase = "train"

    def _begin(self, stage: Stage, train: dict[str, np.ndarray]) -> None:
        """Begin a path: from the end of the warm-up or the best weights, which its first round sends to the sites."""
        state = self._state
        if not state.warm_train:
            state.warm, state.warm_train = state.shared, train
        if not stage.goes_on and self._aggregation.is_global:
            is_warm = stage.start == "warm" or not state.best
            state.shared, seen = (state.warm, state.warm_train) if is_warm else (state.best, state.train)
            self._guide.see(seen, state.levels[0], sum(state.num_rows[site]["train"] for site in seen))
        self._guide.hand_over(stage.name)

    def _judge(self, train: dict[str, np.ndarray], held_out: dict[str, np.ndarray], stage: Stage) -> None:
        """Compare the round with the best so far by the held-out rows of all sites."""
        state, objective = self._state, self._task.objective
        choice = choice_of(held_out, state.levels[0], objective, "worst")
        multiplier = self._guide.moving.get("multiplier") if stage.is_direct and objective.bounds else None
        names, number = self._task.label_names, state.round + 1
        bounds = [[name for _, name, _ in bounds_of_rows(objective, {})]] * len(names)
        records = records_of(choice, objective, names, bounds, multiplier, number, stage.name, math.nan)
        state.history += [{**record, "num_bytes": state.num_bytes} for record in records]
        key = list(selection_criterion(choice, objective))
        if state.best_round < 0 or key > state.best_key:
            state.best_key, state.best_round, state.best = key, state.round, state.shared
            state.train, state.held_out = train, held_out

    def _refine(self, held_out: dict[str, np.ndarray]) -> None:
        """Divide the bins around the threshold further, or go on to the end where nothing more can be gained."""
        state, finer = self._state, None
        state.final = held_out
        if len(state.levels) <= MOST_REFINEMENTS:
            finer = refined(held_out, state.levels[-1], self._task.objective, self._task.confidence)
        if finer is None:
            state.phase = "finish"
        else:
            state.levels.append(finer)

    def _refined(self, answers: Mapping[str, Message]) -> None:
        self._refine({site: answer.under("counts")["held_out"] for site, answer in answers.items()})

    def _finished_all(self, answers: Mapping[str, Message]) -> None:
        self._state.phase = "done"

    def _testimony(self) -> Testimony:
        state = self._state
        stages = {record["epoch"]: record["stage"] for record in state.history}
        chosen = state.best_round + 1
        return Testimony(
            train=state.train,
            train_edges=state.levels[0],
            held_out=state.final,
            held_out_edges=state.levels[-1],
            sites=tuple(state.final),
            history=[{**record, "chosen": record["epoch"] == chosen} for record in state.history],
            selected_stage=stages[chosen],
            seconds=state.seconds,
        )

    def _conclude(self) -> FederatedResult:
        state, model = self._state, None
        if self._aggregation.is_whole(self._model):
            put_weights(self._model, state.best)
            model = self._model
        return FederatedResult.of(
            model, self._task, self._testimony(), log=tuple(state.log), rounds=self._rounds, num_bytes=state.num_bytes
        )
