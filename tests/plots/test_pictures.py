"""Each picture looks like the one that was looked at and stored, and a wrong one does not."""

import pytest
from matplotlib.testing.compare import compare_images

from tests.plots.pictures import BASELINE, PICTURES, write

TOLERANCE = 5  # root mean square over all pixels, of 255; the wrong ones below differ by three times as much


@pytest.mark.parametrize("name", PICTURES)
def test_looks_as_it_did(name, tmp_path):
    assert compare_images(str(BASELINE / f"{name}.png"), str(write(name, tmp_path)), tol=TOLERANCE) is None


@pytest.mark.parametrize("name", PICTURES)
def test_another_one_is_told_apart(name, tmp_path):
    changed = write(name, tmp_path, PICTURES[name][1])
    assert "RMS" in compare_images(str(BASELINE / f"{name}.png"), str(changed), tol=TOLERANCE)


def test_every_baseline_is_compared():
    assert {path.stem for path in BASELINE.glob("*.png")} >= set(PICTURES)
