"""A metric that a user makes up, in one file of their own, is as good as a built-in one everywhere."""

import sys
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

import metricopt
from metricopt.cli.commands import app
from metricopt.problem import registry
from metricopt.problem.metrics import specificity
from tests.problem.test_registry import built_in

OWN_FILE = """
import metricopt
from metricopt.problem.ratios import SPECIFICITY, LinearForm, Ratio
from metricopt.problem.objectives import CountObjective


@metricopt.register_objective
class JaccardAtSpecificity(CountObjective):
    min_specificity: float
    maximised = Ratio("jaccard", LinearForm(tp=1.0), LinearForm(fp=1.0, positives=1.0))
    bounded = SPECIFICITY


@metricopt.register_objective
class Jaccard(CountObjective):
    maximised = JaccardAtSpecificity.maximised
"""
ASKED = {
    "JaccardAtSpecificity": ({"alpha": 0.9}, "maximise jaccard subject to specificity >= 0.9"),
    "Jaccard": ({}, "maximise jaccard"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the current folder, in which ``own_metrics.py`` lies; what it registers is forgotten afterwards."""
    (tmp_path / "own_metrics.py").write_text(OWN_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(registry, "REGISTRY", built_in())
    yield tmp_path
    sys.modules.pop("own_metrics", None)


def patients():
    random = np.random.default_rng(0)
    labels = (random.random(300) < 0.2).astype(np.float32)
    return random.normal(labels[:, np.newaxis], size=(300, 2)).astype(np.float32), labels


def jaccard(result, x, labels):
    alarms = result.predict(x) == 1
    return (alarms & (labels == 1)).sum() / (alarms | (labels == 1)).sum()


@pytest.mark.parametrize("name", ASKED)
def test_fit_save_load_plot_report(folder, name):
    import_module("own_metrics")
    numbers, asked = ASKED[name]
    x, labels = patients()
    loader = DataLoader(TensorDataset(*map(torch.from_numpy, (x, labels))), batch_size=64, shuffle=True)
    result = metricopt.fit(torch.nn.Linear(2, 1), loader, name, epochs=8, val_fraction=0, **numbers)
    assert result.train.value == jaccard(result, x, labels)
    if numbers:
        reached = specificity(result.scores(x), labels, result.threshold)
        assert reached == result.train.bounded_value and result.train.met == (reached >= 0.9)
    assert str(result.objective) == asked and f"Asked     {asked}" in result.summary()
    result.save(folder / "saved")
    loaded = metricopt.load(folder / "saved", torch.nn.Linear(2, 1))
    assert loaded.objective == result.objective and loaded.train == result.train
    assert "jaccard" in loaded.report(folder / "report.html").read_text()
    assert loaded.plot().get_title().startswith(f"label: {asked}")
    loaded.plot_history()


@pytest.mark.parametrize("name", ASKED)
def test_command_line(folder, name):
    x, labels = patients()
    pd.DataFrame({"age": x[:, 0], "marker": x[:, 1], "sick": labels}).to_csv("patients.csv", index=False)

    def run(*arguments):
        outcome = CliRunner().invoke(app, [*map(str, arguments)])
        return outcome.exit_code, outcome.output

    numbers, asked = ASKED[name]
    options = ["--label", "sick", "--objective", name]
    options += [part for key, number in numbers.items() for part in (f"--{key}", number)]
    options += ["--model", "linear", "--epochs", 8, "--out", "run"]
    code, said = run("fit", "patients.csv", *options)
    assert code == 2 and "objective must be one of" in said
    code, said = run("fit", "patients.csv", *options, "--import", "own_metrics")
    assert code in (0, 3) and asked in said
    assert "jaccard" in (folder / "run" / "report.html").read_text()
    code, said = run("predict", "run", "patients.csv", "--import", "own_metrics")
    assert code == 0 and said.startswith("row,score,risk,alarm,label\n0,")
    # Another process, which has imported nothing, is told what to import.
    registry.REGISTRY.pop(name)
    code, said = run("predict", "run", "patients.csv")
    assert code == 2 and f"objective must be registered, got '{name}', which is not" in said
    assert "--import own_metrics" in said


def test_a_module_that_cannot_be_imported_is_named(folder):
    (folder / "broken.py").write_text("1 / 0")
    for module, why in (("broken", "ZeroDivisionError"), ("nowhere", "ModuleNotFoundError")):
        outcome = CliRunner().invoke(app, ["predict", "run", "patients.csv", "--import", module])
        assert outcome.exit_code == 2
        assert f"--import must be a Python module that can be imported, got '{module}', which raised {why}" in (
            outcome.output
        )
