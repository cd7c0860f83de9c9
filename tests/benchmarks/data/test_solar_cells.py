"""Photographs are read from files made up here; no package need be installed but the one that reads pictures."""

import numpy as np
import pytest

from benchmarks.data import solar_cells
from benchmarks.data.solar_cells import load_solar_cells, read_cells

image = pytest.importorskip("PIL.Image")
PROBABILITIES = (0.0, 1.0, 0.3333333333333333, 1.0, *(0.0,) * 8)


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """Twelve cells, whose gray is their number: two broken ones, one of which nobody is sure, nine sound ones."""
    lines = []
    for number, probability in enumerate(PROBABILITIES):
        image.fromarray(np.full((4, 4), number, dtype=np.uint8)).save(tmp_path / f"cell{number}.png")
        lines.append(f"cell{number}.png  {probability}   mono\n")
    (tmp_path / "labels.csv").write_text("".join(lines))
    monkeypatch.setattr(solar_cells, "installed_file", lambda package, path: tmp_path / "labels.csv")
    monkeypatch.setattr(solar_cells, "encode_images", lambda images, encoder: images[:, 0, :2])
    return tmp_path


def test_cells_of_which_nobody_is_sure_are_left_out(cells):
    files, labels = read_cells(cells / "labels.csv")
    assert files[:3] == ["cell0.png", "cell1.png", "cell3.png"] and len(files) == 11
    np.testing.assert_array_equal(labels, [0, 1, 1, *(0,) * 8])


def test_broken_cells_are_thinned(cells):
    data = load_solar_cells("x", prevalence=0.1)
    assert (data.labels == 1).sum() == 1 and (data.labels == 0).sum() == 9
    np.testing.assert_array_equal(data.features[:, 0] == data.features[:, 1], True)
    assert set(data.features[data.labels == 1, 0]) <= {1.0, 3.0} and 2.0 not in data.features
