"""The server of a federation, as an engine uses it: whom it asks, and whose answers it takes.

It holds no rows. An engine asks for its questions, carries them to the sites, and brings back what they answered::

    while not server.finished:
        server.receive(carry(server.questions(names_of_sites_that_can_be_reached)))

This file decides what follows when sites are silent or answer wrongly, and what a checkpoint is. It leaves what is
asked, and what answers change, to :mod:`metricopt.federated.protocol`, and what is wrong with an answer to
:mod:`metricopt.federated.checks`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from metricopt._validation import Faults, reject
from metricopt.evidence.rule import check_confidence, read_confidence
from metricopt.federated.aggregation import Aggregation, FedAvg
from metricopt.federated.checks import fault_of
from metricopt.federated.guidance import solver_for
from metricopt.federated.message import Message
from metricopt.federated.protocol import Effort, Protocol
from metricopt.federated.result import FederatedResult
from metricopt.federated.server_state import State
from metricopt.federated.task import Task, check_columns, names_of
from metricopt.federated.weights import put_weights
from metricopt.problem.objectives import Objective
from metricopt.problem.registry import check_registered, get_objective
from metricopt.results.history import History
from metricopt.solvers import Solver
from metricopt.training.plan import default_warmup_epochs


class TooFewSitesError(RuntimeError):
    """Too few sites answered, again and again."""


class Server:
    r"""Trains one model on the rows of many sites, for an objective over all of their rows.

    .. math:: \max_{\theta, t} \; \text{objective}\Bigl(\sum_k c_k(\theta, t)\Bigr) \quad \text{s.t.} \quad
              \text{its bound on} \; \sum_k c_k(\theta, t)

    with the counts :math:`c_k` of true and false alarms at site k. A bound "in every site" of a
    :class:`~metricopt.Program` is one on each :math:`c_k`.

    Of all rounds the one that does best on the training rows gives the weights. Held-out rows are asked for these
    weights alone, and choose the threshold: so that its bound holds on new rows as often as the confidence says.

    A site that is the only one trains as :func:`metricopt.fit` does with ``folds=None`` and ``val_fraction=0``, bit for
    bit, if a round is an epoch and the model draws nothing at random: weights, optimizer, threshold and multipliers
    are alike after each round, and so is the round that is chosen. Two things differ. ``fit`` ends paths early where
    they are in vain. And it sees by the scores of batches whether a warm-up is to be extended, a server by counts, so
    give ``warmup_rounds`` where that matters.

    With several sites, threshold and multipliers move once a round; in ``fit`` they move within an epoch. Nobody there
    has the scores of all rows, and counts come when a round is over.

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
        self._model, self._min_sites, self._retries = model, min_sites, retries
        task = Task(asked, names, own_solver, read_confidence(confidence, judges_itself=False))
        effort = Effort(int(rounds), int(local_epochs), local_steps, warmup_rounds is None and planned > 0)
        self._protocol = Protocol(model, task, aggregation or FedAvg(), effort, planned)
        self._asked: dict[str, Message] = {}
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
        """A record for each round and label, on the training rows of all sites."""
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
        self._asked = {} if self.finished else {site: self._protocol.question(site) for site in known}
        return dict(self._asked)

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
        state = self._state
        state.num_bytes += sum(each.num_bytes for each in (*self._asked.values(), *answers.values()))
        taken = self._taken(answers, failures or {})
        if len(taken) >= self._min_sites:
            state.tries = 0
            self._protocol.take(taken)
            return
        state.tries += 1
        if state.tries > self._retries:
            told = "\n".join(f"{entry['site']}: {entry['what']}" for entry in state.log)
            wanted = f"{self._min_sites} site(s) must answer a question of kind {state.phase!r}"
            raise TooFewSitesError(f"{wanted}, but {len(taken)} did, {state.tries} times.\n{told}")

    def state(self) -> Message:
        """Return all that moves at the server; ``state().to_bytes()`` is a checkpoint."""
        return self._state.to_message(self._protocol.guide, self._protocol.identity)

    def load_state(self, state: Message) -> None:
        """Go on from what :meth:`state` returned.

        Raises
        ------
        InvalidInputError
            If it is the state of another federation.
        """
        identity = self._protocol.identity
        if state.kind != "state" or state.info.get("of") != identity:
            rule, got = f"that of {identity}", state.info.get("of")
            reject("state", rule, got, "make the server with the same arguments")
        self._protocol.state, self._result = State.from_message(state, self._protocol.guide), None
        self._clock = time.perf_counter()

    @property
    def _state(self) -> State:
        return self._protocol.state

    def _take_time(self) -> None:
        now = time.perf_counter()
        self._state.seconds, self._clock = self._state.seconds + now - self._clock, now

    def _taken(self, answers: Mapping[str, Message], failures: Mapping[str, str]) -> dict[str, Message]:
        """Return the answers that can be used; the log names the sites of which there is none, and why."""
        state, taken = self._state, dict[str, Message]()
        for site in self._asked if state.phase == "join" else state.num_rows:
            if site not in answers or site not in self._asked:
                if site not in state.silent:
                    why = f" ({failures[site]})" if site in failures else ""
                    state.note(site, f"did not answer{why}; the round goes on without it")
                    state.silent.append(site)
                continue
            if site in state.silent:
                state.note(site, "answers again")
                state.silent.remove(site)
            if fault := self._fault_of(site, answers[site]):
                state.note(site, fault)
            else:
                taken[site] = answers[site]
        return taken

    def _fault_of(self, site: str, answer: Message) -> str:
        """Return why an answer is not taken; empty if it is."""
        state = self._state
        if "refused" in answer.info:
            return f"refused: {answer.info['refused']}"
        if answer.kind != state.phase or answer.info.get("round") != state.round:
            got = f"{answer.kind!r} of round {answer.info.get('round')}"
            return f"rejected: it must answer {state.phase!r} of round {state.round}, got {got}"
        fault = fault_of(answer, self._asked[site], self._protocol.travelling, state.num_rows.get(site, {}))
        return f"rejected: {fault}" if fault else ""

    def _conclude(self) -> FederatedResult:
        protocol, model = self._protocol, None
        if protocol.aggregation.is_whole(self._model):
            put_weights(self._model, self._state.best)
            model = self._model
        return FederatedResult.of(
            model,
            protocol.task,
            protocol.testimony(),
            log=tuple(self._state.log),
            rounds=protocol.effort.rounds,
            num_bytes=self._state.num_bytes,
        )
