"""Images are read from a gzipped IDX file made up here; no package need be installed."""

import gzip

import numpy as np
import pytest

from benchmarks.data import fashion, installed
from benchmarks.data.fashion import draw_clothes, load_kind, read_idx
from benchmarks.data.installed import debian_file


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def clothes(tmp_path, monkeypatch):
    """A thousand images whose pixels are their numbers, of ten kinds in turn."""
    numbers = np.arange(1000)
    images = np.zeros((1000, 2, 3), dtype=np.uint8)
    images[:, 0, 0], images[:, 1, 2] = numbers % 256, numbers // 256
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", (numbers % 10).astype(np.uint8))
    monkeypatch.setitem(installed.DEBIAN, "dataset-fashion-mnist", tmp_path)
    monkeypatch.setattr(fashion, "MOST_POSITIVES", 20)
    monkeypatch.setattr(fashion, "MOST_NEGATIVES", 50)
    return tmp_path


def test_idx_files_have_the_shape_that_they_name(clothes):
    images = read_idx(clothes / "train-images-idx3-ubyte.gz")
    assert images.shape == (1000, 2, 3)
    assert images[999, 0, 0] == 999 % 256 and images[999, 1, 2] == 999 // 256


def test_kinds_are_told_apart(clothes):
    images, labels = draw_clothes("coat")
    assert (labels.sum(), len(labels)) == (20, 70)
    numbers = images[:, 0, 0] + 256 * images[:, 1, 2].astype(int)
    np.testing.assert_array_equal(numbers % 10 == fashion.KINDS.index("coat"), labels == 1)


def test_sets_of_all_kinds_share_what_is_encoded(clothes, monkeypatch):
    encoded = []

    def encode(images):
        encoded.append(len(images))
        return images.reshape(len(images), -1).astype(np.float32)

    monkeypatch.setattr(fashion, "encode_images", encode)
    monkeypatch.setattr(fashion, "KIND_POSITIVES", 30)
    monkeypatch.setattr(fashion, "KIND_NEGATIVES", 570)
    for kind in ("coat", "bag"):
        data = load_kind(kind)
        assert (data.labels.sum(), len(data.labels)) == (30, 600)
        numbers = data.features[:, 0] + 256 * data.features[:, 5]
        np.testing.assert_array_equal(numbers % 10 == fashion.KINDS.index(kind), data.labels == 1)
    assert encoded == [1000, 1000]  # the same images each time, so that they are found where they were kept


def test_a_missing_package_of_debian_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(installed.DEBIAN, "dataset-fashion-mnist", tmp_path)
    with pytest.raises(
        ModuleNotFoundError, match=r"Debian's dataset-fashion-mnist.*apt-get install dataset-fashion-mnist"
    ):
        debian_file("dataset-fashion-mnist", "train-images-idx3-ubyte.gz")
