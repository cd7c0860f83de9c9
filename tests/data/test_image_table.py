"""Tables of image files: squares of three channels, normalised, with classes in sorted order."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from metricopt import InvalidInputError
from metricopt.data.image_table import ImageTable, read_color

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 1.0)


@pytest.fixture
def frame(tmp_path):
    Image.fromarray(np.full((6, 9, 3), (255, 51, 0), np.uint8)).save(tmp_path / "color.png")
    Image.fromarray(np.full((5, 5), 102, np.uint8)).save(tmp_path / "gray.png")
    Image.fromarray(np.full((5, 5), 257 * 102, np.uint16)).save(tmp_path / "deep.png")
    files = ["color.png", "gray.png", "deep.png", "missing.png"]
    return pd.DataFrame({"file": files, "finding": ["b", "a", "b", None]})


def test_images_and_classes(frame, tmp_path):
    images = ImageTable(frame, "file", "finding", tmp_path, 4, MEAN, STD)
    assert len(images) == 3 and images.classes == ["a", "b"] and images.labels.tolist() == [1, 0, 1]
    x, y = images[0]
    assert x.shape == (3, 4, 4) and x.dtype == torch.float32 and int(y) == 1
    torch.testing.assert_close(x[:, 2, 1], torch.tensor([(1 - 0.1) / 0.5, 0.0, -0.3]))
    torch.testing.assert_close(images[1][0], images[2][0])  # 8 and 16 bits
    assert read_color(tmp_path / "gray.png", 3).tolist() == np.full((3, 3, 3), 102).tolist()


def test_numbers_as_classes(frame, tmp_path):
    frame["finding"] = [0, 1, 1, None]
    assert ImageTable(frame, "file", "finding", tmp_path, 4, MEAN, STD).labels.tolist() == [0, 1, 1]


def test_bad_input(frame, tmp_path):
    with pytest.raises(InvalidInputError, match="image must be one of 'file', 'finding', got 'path'"):
        ImageTable(frame, "path", "finding", tmp_path, 4, MEAN, STD)
    with pytest.raises(InvalidInputError, match=r"label must be a column of at least two classes, got .* with \['a'\]"):
        ImageTable(frame[1:2], "file", "finding", tmp_path, 4, MEAN, STD)
    with pytest.raises(InvalidInputError, match=r"got 1 of 4 that do not exist, such as .*missing\.png"):
        ImageTable(frame.fillna("a"), "file", "finding", tmp_path, 4, MEAN, STD)
    (tmp_path / "gray.png").write_bytes(b"no image")
    images = ImageTable(frame, "file", "finding", tmp_path, 4, MEAN, STD)
    with pytest.raises(InvalidInputError, match=r"an image must be a whole file, got .*gray\.png"):
        images[1]
    assert images[0][0].isfinite().all()
