"""What the tests of CheXpert share: a small synthetic tree, and the real table where its package is installed."""

from importlib.metadata import PackageNotFoundError, files

import pytest

from metricopt.data import read_chexpert_table, write_synthetic_chexpert


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A synthetic folder, not to be changed."""
    return write_synthetic_chexpert(tmp_path_factory.mktemp("synthetic"), num_patients=60, image_size=16)


@pytest.fixture
def own_tree(tmp_path):
    """A synthetic folder of one's own, to damage."""
    return write_synthetic_chexpert(tmp_path, num_patients=6, image_size=64)


@pytest.fixture(scope="session")
def published_file():
    """The real training table, as it lies in an installed package."""
    try:
        paths = files("torchxrayvision") or []
    except PackageNotFoundError:
        paths = []
    found = [path for path in paths if path.name == "chexpert_train.csv.gz"]
    if not found:
        pytest.skip("the package torchxrayvision, which holds the real table, is not installed")
    return found[0].locate()


@pytest.fixture(scope="session")
def published(published_file):
    return read_chexpert_table(published_file)


@pytest.fixture
def write_csv(tmp_path):
    """Write a table from its lines."""

    def write(*lines, header="Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Pneumonia", name="train.csv"):
        path = tmp_path / name
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    return write
