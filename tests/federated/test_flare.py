"""Projects on NVIDIA FLARE: once with real processes that talk over the loopback, else with its facade stood in for."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

import metricopt
from metricopt import InvalidInputError
from metricopt.cli.commands import app
from metricopt.federated import Message, flare
from metricopt.federated.flare import FlareServer, FlareSite
from metricopt.federated.folder import LOG, read_state
from metricopt.federated.project import Project

HERE = Path(__file__).parent
PROJECT = HERE / "project_with_faults.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder, exit code and what was printed of one run in which the site "south" is killed."""
    out = tmp_path_factory.mktemp("run") / "out"
    command = [sys.executable, "-m", "metricopt", "federate", str(PROJECT), "--sites", "north,south", "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--timeout", "6"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        text, _ = process.communicate(timeout=240)
    finally:  # a site's process ends when that which started it does
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return out, process.returncode, text


class TestRealProcesses:
    def test_the_rounds_go_on_without_the_killed_site_and_the_log_names_it(self, run):
        out, code, text = run
        assert code == 0, text
        lines = (out / "server" / LOG).read_text(encoding="utf-8").splitlines()
        rejected, silent = [line for line in lines if line.startswith("south")][-2:]
        assert rejected.startswith("south, in round 2 (train): rejected:") and "must be finite" in rejected
        assert silent.startswith("south, in round 3 (train): did not answer") and "timed out after 6" in silent
        assert rejected in text and silent in text

    def test_the_same_in_one_process_gives_the_same_weights_bit_for_bit(self, run, alone):
        out, _, _ = run
        reference = alone(PROJECT, ["north", "south"])
        reference.sites["south"].stop_when = lambda question: question.kind == "train" and question.info["round"] == 2
        reference.run()
        expected, found = read_state(reference.folder / "server"), read_state(out / "server")
        assert set(expected.arrays) == set(found.arrays)
        assert all(np.array_equal(array, found.arrays[name]) for name, array in expected.arrays.items())

    def test_server_and_site_hold_the_same_result(self, run):
        out, _, _ = run
        at_server, at_site = (
            metricopt.load(folder, torch.nn.Linear(2, 1)) for folder in (out / "model", out / "north/model")
        )
        assert at_server.threshold == at_site.threshold and np.isfinite(at_server.threshold)
        weights = [load_file(folder / "model.safetensors") for folder in (out / "model", out / "north/model")]
        assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
        assert "recall" in (out / "north" / "summary.txt").read_text(encoding="utf-8")
        assert (out / "report.html").stat().st_size > 0

    def test_all_connections_stay_on_the_loopback(self, run):
        out, _, _ = run
        logs = "".join(path.read_text(encoding="utf-8") for path in (out / "flare").rglob("log.txt"))
        connections = re.findall(r"Connection \[\w+ ([\d.]+):\d+ (?:=>|<=) ([\d.]+):\d+\] is created", logs)
        assert {address for both in connections for address in both} == {"127.0.0.1"}


class Interruption(Exception):
    """What stops a server between two answers."""


class Alone:
    """What FLARE's facade gives to components, with the server and all sites in this process."""

    def __init__(self, folder, project, names, *, resume=False, answers_of=None, interrupt_after=None):
        self.folder, self.timeouts = folder, []
        self.server = FlareServer(project, "", 5.0, resume)
        self.sites = {name: AloneSite(FlareSite(project, "", resume, "")) for name in names}
        self.answers_of = answers_of or {}
        self.interrupt_after = interrupt_after
        self.num_answers = 0
        self.site_name, self.is_aborted = "", False
        self.clients = [SimpleNamespace(name=name) for name in names]
        self.workspace = SimpleNamespace(get_root_dir=lambda: str(folder), get_run_dir=lambda _: str(folder / "run"))
        self.fl_ctx = SimpleNamespace(get_job_id=lambda: "run")

    def get_clients(self, names):
        (name,) = names

        def call(blocking, timeout):
            assert not blocking
            self.timeouts.append(timeout)
            return SimpleNamespace(answer=lambda raw: self._answer(name, raw))

        return call

    def _answer(self, name, raw):
        self.num_answers += 1
        if self.num_answers == self.interrupt_after:
            raise Interruption
        self.site_name = name
        site, asked = self.sites[name], Message.from_bytes(raw)
        if site.is_silent or site.stop_when(asked):
            site.is_silent = True
            return Call([], {name: SimpleNamespace(cause=TimeoutError("function answer timed out"))})
        answer = site.component.answer(raw)
        return Call([(name, self.answers_of[name](asked, answer) if name in self.answers_of else answer)], {})

    def run(self):
        self.server.run()

    @property
    def log(self):
        path = self.folder / "server" / LOG
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


class AloneSite:
    def __init__(self, component):
        self.component, self.is_silent = component, False

    def stop_when(self, question):
        return False


class Call(list):
    """The answers to one call, as FLARE gives them, with what failed."""

    def __init__(self, answers, failures):
        super().__init__(answers)
        self.failures = failures


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Return what makes a federation in this process from the file of a project."""
    imported = set(sys.modules)

    def make(path, names, folder="alone", **options):
        monkeypatch.syspath_prepend(str(Path(path).parent))
        (tmp_path / folder).mkdir(exist_ok=True)
        made = Alone(tmp_path / folder, Path(path).stem, names, **options)
        monkeypatch.setattr(flare, "collab", made)
        return made

    yield make
    for name in set(sys.modules) - imported:
        if name.startswith("project_"):
            del sys.modules[name]


@pytest.fixture
def write_project(tmp_path):
    """Return what writes a project like that with faults, with some lines replaced."""

    def write(name, replaced=(), text=None):
        path = tmp_path / f"{name}.py"
        text = PROJECT.read_text(encoding="utf-8") if text is None else text
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        return path

    return write


SOUND = ('{"south": Faulty}.get(name, Site)', "Site")


class TestResumed:
    def test_is_the_same_bit_for_bit_wherever_it_was_interrupted(self, alone, write_project):
        path = write_project("project_sound", [SOUND, ("rounds=4", "rounds=2")])
        names = ["north", "south"]
        whole = alone(path, names, "whole")
        whole.run()
        expected = read_state(whole.folder / "server")
        for interrupt_after in (6, 9):  # with one of two answers to a question there, and with none
            folder = f"interrupted-{interrupt_after}"
            with pytest.raises(Interruption):
                alone(path, names, folder, interrupt_after=interrupt_after).run()
            resumed = alone(path, names, folder, resume=True)
            resumed.run()
            found = read_state(resumed.folder / "server")
            assert set(found.arrays) == set(expected.arrays)
            assert all(np.array_equal(array, found.arrays[name]) for name, array in expected.arrays.items())
            assert resumed.log[-1] == "The server went on from where it was."
            assert 0 < resumed.num_answers < whole.num_answers

    def test_begins_anew_without_being_asked_to_resume(self, alone, write_project):
        path = write_project("project_sound", [SOUND, ("rounds=4", "rounds=3")])
        first, second = (alone(path, ["north"], "same") for _ in range(2))
        for each in (first, second):
            flare.collab = each
            each.run()
        assert first.num_answers == second.num_answers


def test_a_run_that_is_ended_blames_no_site_and_can_be_resumed(alone, write_project):
    path = write_project("project_sound", [SOUND, ("rounds=4", "rounds=2")])
    ended = alone(path, ["north", "south"])

    def is_ended(question):
        ended.is_aborted = question.kind == "train"
        return ended.is_aborted

    ended.sites["south"].stop_when = is_ended
    with pytest.raises(RuntimeError, match="FLARE ended the run while these sites were to answer: south"):
        ended.run()
    assert len(ended.log) == 1 and ended.log[0].startswith("The server stopped: FLARE ended the run")
    resumed = alone(path, ["north", "south"], resume=True)
    resumed.run()
    assert resumed.log[1:] == ["The server went on from where it was."]


class TestFaultySites:
    @pytest.fixture
    def log(self, alone, write_project):
        """Return the log of a run with sites of which each has another fault."""
        unlike = """
    if name == "another-model":
        return Site(name, torch.nn.Linear(3, 1), loader)
    if name == "two-labels":
        loader = DataLoader(TensorDataset(x, y[:, None].repeat(1, 2)), batch_size=50)
    if name == "no-positives":
        loader = DataLoader(TensorDataset(x, torch.zeros(400)), batch_size=50)
    if name == "broken":
        raise ValueError("patient 17 has no age")
"""
        path = write_project("project_faulty", [SOUND, ("shuffle=True)\n", f"shuffle=True)\n{unlike}"), ("=4", "=2")])

        def below_zero(asked, raw):
            answer = Message.from_bytes(raw)
            arrays = {name: -array if name.startswith("counts") else array for name, array in answer.arrays.items()}
            return Message(answer.kind, arrays, answer.info).to_bytes()

        def too_many(asked, raw):
            answer = Message.from_bytes(raw)
            arrays = {name: array * 9 if name.startswith("counts") else array for name, array in answer.arrays.items()}
            return Message(answer.kind, arrays, answer.info).to_bytes()

        def of_another_shape(asked, raw):
            answer = Message.from_bytes(raw)
            arrays = {name: array[:, :1] if array.ndim == 2 else array for name, array in answer.arrays.items()}
            return Message(answer.kind, arrays if asked.kind == "train" else answer.arrays, answer.info).to_bytes()

        answers_of = {
            "garbage": lambda asked, raw: b"\x80\x04 no message",
            "below-zero": below_zero,
            "too-many": too_many,
            "other-shape": of_another_shape,
        }
        names = ["north", "another-model", "two-labels", "no-positives", "broken", *answers_of]
        made = alone(path, names, answers_of=answers_of)
        made.run()
        assert set(made.timeouts) == {5.0}
        return made.log

    def test_each_is_named_with_its_fault(self, log):
        wanted = {
            "another-model": "refused: .*model must be that of the server",
            "two-labels": "refused: .*agree on the labels",
            "no-positives": "refused: loader must be one with positives and negatives",
            "broken": "refused: ValueError; the log of the site says more",
            "garbage": "did not answer.*bytes",
            "below-zero": "rejected: the counts of .* must be 0 or more",
            "too-many": "rejected: the counts of .* must sum to at most",
            "other-shape": r"rejected: 0?\.?weight must have the shape \(1, 2\)",
        }
        for name, pattern in wanted.items():
            told = [line for line in log if line.startswith(f"{name}, ")]
            assert any(re.search(pattern, line) for line in told), (name, told)
        assert not any(line.startswith("north, ") for line in log)

    def test_what_a_site_raises_stays_there(self, log):
        assert "patient 17" not in "\n".join(log)


def test_what_was_sent_arrives_in_the_same_order():
    sent = Message("score", {f"counts.{number * 7 % 50}": np.zeros(1) for number in range(50)})
    assert list(Message.from_bytes(sent.to_bytes()).arrays) == list(sent.arrays)


class TestLateSites:
    @pytest.fixture
    def carry(self, monkeypatch):
        """Return what asks two sites, where "slow" answers, fails or goes on as a list says, one entry a question."""

        def make(courses):
            server, asked = FlareServer("project", "", 1.0, False), []
            answer = Message("score").to_bytes()

            def get_clients(names):
                (name,) = names
                asked.append(name)
                course = courses.pop(0) if name == "slow" else "answers"
                failures = {name: SimpleNamespace(cause="timed out")} if course == "fails" else {}
                call = Call([(name, answer)] if course == "answers" else [], failures)
                return lambda **options: SimpleNamespace(answer=lambda raw: call)

            monkeypatch.setattr(flare, "collab", SimpleNamespace(get_clients=get_clients))

            def ask():
                asked.clear()
                answers, failures = server._carry({name: Message("score") for name in ("slow", "quick")})
                return list(answers), failures, list(asked)

            return ask, server

        return make

    def test_one_that_let_a_question_time_out_is_not_waited_for(self, carry):
        ask, server = carry(["fails", "goes on", "answers", "answers"])
        unheard = {"slow": "nothing was heard of it since"}
        assert ask() == (["quick"], {"slow": "timed out"}, ["slow", "quick"])
        assert ask() == (["quick"], unheard, ["slow", "quick"])
        assert ask() == (["quick"], unheard, ["quick"])  # the last question is still before it
        server._open["slow"].append(("slow", b"too late"))
        assert ask() == (["slow", "quick"], {}, ["slow", "quick"])
        assert not server._late

    def test_all_are_waited_for_where_all_are_late(self, carry):
        ask, server = carry(["fails", "answers"])
        ask()
        server._late.add("quick")
        assert ask() == (["slow", "quick"], {}, ["slow", "quick"])


def test_an_answer_that_nobody_waits_for_is_not_worked_out(tmp_path, monkeypatch):
    site = FlareSite("project", "", False, "")
    asked = Message("score", {}, {"round": 0}).to_bytes()
    begun, go_on, worked_out = threading.Event(), threading.Event(), []

    def slow(question):
        worked_out.append(question.kind)
        begun.set()
        go_on.wait(10)
        return Message(question.kind)

    monkeypatch.setattr(site, "_answer", slow)
    answers = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.update({n: Message.from_bytes(site.answer(asked))}))
        for n in range(3)
    ]
    threads[0].start()
    begun.wait(10)
    for number, thread in enumerate(threads[1:], 2):
        thread.start()
        while site._newest < number:
            pass
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert worked_out == ["score", "score"]
    assert answers[1].info == {"refused": "a newer question came"} and not answers[0].info and not answers[2].info


class TestProject:
    def test_is_read_from_its_file(self):
        project = Project.at(PROJECT)
        assert project.name == "project_with_faults"
        assert project.new_server().round == -1 and project.new_site("north").name == "north"

    @pytest.mark.parametrize(
        ("name", "text", "told"),
        [
            ("project_empty", "", r"new_server\(\).*\n.*new_site\(name\)"),
            ("project_wrong", "1 / 0", "raised ZeroDivisionError: division by zero"),
            ("json", "", "whose name no other module has"),
            ("numpy", "", "whose name no other module has"),
            ("my-project", "", "in letters, digits and underscores"),
        ],
    )
    def test_is_refused_where_it_cannot_be_used(self, write_project, name, text, told):
        with pytest.raises(InvalidInputError, match=told):
            Project.at(write_project(name, text=text))

    def test_must_return_a_server_and_the_site_of_the_name(self, write_project):
        text = "def new_server():\n    return 1\n\n\ndef new_site(name):\n    return None\n"
        project = Project.at(write_project("project_of_numbers", text=text))
        with pytest.raises(InvalidInputError, match="returns a Server, got a int"):
            project.new_server()
        with pytest.raises(InvalidInputError, match="returns the Site named 'north', got a NoneType"):
            project.new_site("north")


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["no.py", "--sites", "north"], "project must be a Python file"),
            ([str(PROJECT)], "sites must be the names of one or more sites"),
            ([str(PROJECT), "--sites", "north,north"], "sites must be of different names"),
            ([str(PROJECT), "--sites", "north,server"], "the name of a site must be"),
            ([str(PROJECT), "--sites", "Model,north"], "none of server, model, flare"),
            ([str(PROJECT), "--sites", "north", "--timeout", "0"], "timeout must be a positive number"),
            ([str(PROJECT), "--sites", "north", "--resume"], "one with the state of a server, to resume"),
            ([str(PROJECT), "--startup-kit", "nowhere"], "startup_kit must be a folder"),
            ([str(PROJECT), "--startup-kit", ".", "--sites", "north"], "sites must be left out with --startup-kit"),
        ],
    )
    def test_is_named_before_a_process_begins(self, tmp_path, arguments, told):
        result = CliRunner().invoke(app, ["federate", *arguments, "--out", str(tmp_path / "out")])
        assert result.exit_code == 2 and told in " ".join(result.output.split())
