"""The server and a site of a project as components of NVIDIA FLARE's Collab API, which carries what they say.

FLARE starts a process for the server and one for each site, on this machine or on those of a federation that was set
up with it. What travels is one block of bytes in the format of safetensors for each question and each answer
(:class:`~metricopt.federated.Message`); no object of Python is made from it.

Each component keeps a folder on its machine: the server its state and its log; a site its own state and its own result,
which stay there.

This file decides how questions become calls of FLARE, and when what is kept is written. It leaves what is asked and
answered to :mod:`metricopt.federated.server` and :mod:`metricopt.federated.site`, and how a run begins to
:mod:`metricopt.federated.runs`.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nvflare.collab import collab

from metricopt._validation import InvalidInputError
from metricopt.federated.folder import ENDED_BY_FLARE, KEPT, MODEL, SERVER, add_to_log, clear, read_state, write_state
from metricopt.federated.message import Message
from metricopt.federated.project import Project
from metricopt.federated.result import entry_in_words
from metricopt.federated.server import Server
from metricopt.federated.site import Site

# FLARE shows on the terminal what loggers under this name say.
_logger = logging.getLogger("custom.metricopt")


class FlareServer:
    """The server of a project, as a component that FLARE runs.

    Parameters
    ----------
    project : str
        The name of the project's module.
    folder : str
        The folder of the federation, absolute or below FLARE's own folder on the machine.
    timeout : float
        How many seconds a question waits for the answer of a site.
    resume : bool
        Go on from the state in the folder.
    """

    def __init__(self, project: str, folder: str, timeout: float, resume: bool) -> None:
        # FLARE reads the arguments of a component from attributes of their names.
        self.project, self.folder, self.timeout, self.resume = project, folder, timeout, resume
        self._late: set[str] = set()
        self._open: dict[str, Any] = {}

    @collab.main
    def run(self) -> None:
        """Ask the sites until the server is finished."""
        folder = _own_folder(self.folder, SERVER)
        try:
            server = Project.imported(self.project).new_server()
            if self.resume:
                server.load_state(read_state(folder))
                _tell(folder, ["The server went on from where it was."])
            else:
                clear(folder)
            self._lead(server, folder)
        except Exception as error:  # FLARE ends the run; this log is what a user reads
            _tell(folder, [f"The server stopped: {error}"])
            raise
        finally:
            # FLARE hands the folder of a run to the machine that began it.
            run = Path(collab.workspace.get_run_dir(collab.fl_ctx.get_job_id()))
            shutil.copytree(folder, run / KEPT, dirs_exist_ok=True)

    def _lead(self, server: Server, folder: Path) -> None:
        told = len(server.log)
        while not server.finished:
            answers, failures = self._carry(server.questions([site.name for site in collab.clients]))
            if collab.is_aborted:  # then no site can be reached, which says nothing of the sites
                raise RuntimeError(f"{ENDED_BY_FLARE} while these sites were to answer: {', '.join(failures)}")
            try:
                server.receive(answers, failures)
            finally:
                _tell(folder, [entry_in_words(entry) for entry in server.log[told:]])
                told = len(server.log)
            write_state(folder, server.state())

    def _carry(self, questions: Mapping[str, Message]) -> tuple[dict[str, Message], dict[str, str]]:
        """Return the answers that came in time, and why others did not, both in the order of the questions.

        A site that let one question wait until the timeout holds up no further one: it is asked on, but its answers
        count only if they come before those of the others.
        """
        calls = {
            name: collab.get_clients([name])(blocking=False, timeout=self.timeout).answer(question.to_bytes())
            for name, question in questions.items()
            if self._can_be_asked(name)
        }
        on_time = [name for name in calls if name not in self._late] or list(calls)
        answers, failures = dict[str, Message](), dict[str, str]()
        for name in sorted(questions, key=lambda name: name not in on_time):
            call = calls.get(name)
            if call is None or (name not in on_time and not _has_ended(call)):
                failures[name] = "nothing was heard of it since"
                self._open.setdefault(name, call)
                continue
            try:
                for _, raw in call:
                    self._late.discard(name)
                    answers[name] = Message.from_bytes(raw)
            except InvalidInputError as error:
                failures[name] = str(error)
            if failure := call.failures.get(name):
                failures[name] = str(failure.cause)
                self._late.add(name)
        return {name: answers[name] for name in questions if name in answers}, failures

    def _can_be_asked(self, name: str) -> bool:
        """Return whether a site has no question before it; one that answers again is waited for again."""
        call = self._open.get(name)
        if call is None:
            return True
        if not _has_ended(call):
            return False
        if len(call):
            self._late.discard(name)
        del self._open[name]
        return True


class FlareSite:
    """The site of a project, as a component that FLARE runs where its rows are.

    Parameters
    ----------
    project, folder, resume
        The same as for :class:`FlareServer`.
    working_folder : str
        The folder that relative paths in the project begin at; empty for the one in which FLARE was started.
    """

    def __init__(self, project: str, folder: str, resume: bool, working_folder: str) -> None:
        self.project, self.folder, self.resume, self.working_folder = project, folder, resume, working_folder
        self._site: Site | None = None
        self._turn = threading.Lock()
        self._arrivals = itertools.count(1)
        self._newest = 0

    @collab.publish
    def answer(self, question: bytes) -> bytes:
        """Answer a question of the server; the only thing that it can ask for."""
        asked, arrival = Message.from_bytes(question), next(self._arrivals)
        self._newest = arrival
        with self._turn:
            if arrival < self._newest:  # the server no longer waits for this answer
                return _refusal(asked, "a newer question came").to_bytes()
            try:
                return self._answer(asked).to_bytes()
            except Exception as error:  # its text could hold values of rows: it stays at the site
                _logger.exception("The site could not answer a question of kind %r", asked.kind)
                return _refusal(asked, f"{type(error).__name__}; the log of the site says more").to_bytes()

    def _answer(self, question: Message) -> Message:
        name = collab.site_name
        folder = _own_folder(self.folder, name)
        if self._site is None:
            if self.working_folder:
                os.chdir(self.working_folder)
            self._site = Project.imported(self.project).new_site(name)
            if self.resume and question.kind != "join":
                self._site.load_state(read_state(folder))
        answer = self._site.answer(question)
        write_state(folder, self._site.state())
        if self._site.result is not None:
            self._site.result.save(folder / MODEL)
            told = f"{self._site.result.summary()}\n\n{self._site.report}\n"
            (folder / "summary.txt").write_text(told, encoding="utf-8")
        return answer


def _has_ended(call: Any) -> bool:
    """Return whether a call of one site has its answer or has failed."""
    return len(call) + len(call.failures) > 0


def _refusal(question: Message, why: str) -> Message:
    return Message(question.kind, {}, {"refused": why})


def _own_folder(folder: str, name: str) -> Path:
    """Return, and make, what a component keeps on its machine."""
    own = Path(collab.workspace.get_root_dir()) / folder / name
    own.mkdir(parents=True, exist_ok=True)
    return own


def _tell(folder: Path, lines: Sequence[str]) -> None:
    for line in lines:
        _logger.info(line)
    add_to_log(folder, lines)
