import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metricopt import InvalidInputError
from metricopt.data.chexpert import decoding
from metricopt.data.chexpert.decoding import ResizedCache, fault_of, read_gray

ROOT = Path(__file__).parents[3]


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    return (128 + 60 * np.sin(3 * y / height) * np.cos(5 * x / width)).astype(np.uint8)


@pytest.fixture
def saved(tmp_path):
    def save(name, image=None, **options):
        path = tmp_path / name
        Image.fromarray(smooth(150, 180) if image is None else image).save(path, **options)
        return str(path)

    return save


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("size", [8, 40, 150])
def test_the_whole_image_becomes_a_square(saved, name, size):
    gray = read_gray(saved(name), size)
    assert gray.shape == (size, size) and gray.dtype == np.uint8
    whole = Image.fromarray(smooth(150, 180)).resize((size, size), Image.Resampling.BOX)
    assert np.abs(gray.astype(int) - np.asarray(whole)).mean() < 2


def test_a_large_jpeg_decoded_in_part_is_the_same_picture(saved):
    path = saved("large.jpg", smooth(1200, 1400), quality=95)
    whole = np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BOX))
    assert np.abs(read_gray(path, 32).astype(int) - whole).mean() < 2


def test_other_modes_are_the_same_gray(saved):
    gray = smooth(60, 60)
    wanted = read_gray(saved("gray.png", gray), 30)
    colour, deep = np.repeat(gray[..., None], 3, axis=2), gray.astype(np.uint16) * 257
    assert np.abs(read_gray(saved("colour.png", colour), 30).astype(int) - wanted).max() <= 1
    assert np.abs(read_gray(saved("deep.png", deep), 30).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_truncated_jpeg_is_a_fault(saved, share, options):
    path = saved("cut.jpg", quality=90, **options)
    assert fault_of(path) is None and read_gray(path, 16).shape == (16, 16)
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: int(share * len(data))])
    assert fault_of(path)
    with pytest.raises(InvalidInputError, match=r"an image must be a whole file, got .*cut\.jpg \(.+\); run"):
        read_gray(path, 16)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\xff\xd8\xff\xe0"])
def test_a_file_that_is_no_image_is_a_fault(tmp_path, content):
    path = tmp_path / "other.jpg"
    path.write_bytes(content)
    assert fault_of(str(path))


def test_a_truncated_png_is_a_fault(saved):
    path = saved("cut.png")
    assert fault_of(path) is None
    Path(path).write_bytes(Path(path).read_bytes()[:-200])
    assert fault_of(path)


def test_the_cache_gives_what_the_file_does_and_decodes_once(saved, tmp_path, monkeypatch):
    path, cache = saved("a.jpg"), ResizedCache(tmp_path / "cache", 24)
    calls = []
    monkeypatch.setattr(decoding, "read_gray", lambda *arguments: calls.append(arguments) or read_gray(*arguments))
    for _ in range(3):
        np.testing.assert_array_equal(cache.read(path), read_gray(path, 24))
    np.testing.assert_array_equal(ResizedCache(tmp_path / "cache", 24).read(path), read_gray(path, 24))
    assert calls == [(path, 24)]


def test_entries_are_told_apart_by_size_and_source(saved, tmp_path):
    path = saved("a.png")
    small, large = (ResizedCache(tmp_path / "cache", size) for size in (8, 16))
    assert small.read(path).shape == (8, 8) and large.read(path).shape == (16, 16)
    before = small.read(path).copy()
    saved("a.png", 255 - smooth(150, 180))
    os.utime(path, ns=(1, 1))
    assert (small.read(path) != before).any()
    np.testing.assert_array_equal(small.read(path), read_gray(path, 8))
    assert (small.read(saved("b.png")) == before).all()


def test_an_entry_cut_short_is_made_anew(saved, tmp_path):
    path, cache = saved("a.png"), ResizedCache(tmp_path / "cache", 8)
    wanted = cache.read(path)
    (entry,) = (tmp_path / "cache").glob("*/*.gray")
    entry.write_bytes(entry.read_bytes()[:10])
    np.testing.assert_array_equal(cache.read(path), wanted)
    assert entry.stat().st_size == 64


def test_many_processes_fill_one_cache(saved, tmp_path):
    """Two processes go through the same files at once; every entry is whole, and nothing else is left behind."""
    paths = [saved(f"{number}.png", np.roll(smooth(64, 64), number, axis=1)) for number in range(12)]
    code = """
import sys
from metricopt.data import ResizedCache
print("ready", flush=True)
cache = ResizedCache(sys.argv[1], 16)
for path in sys.argv[2:]:
    cache.read(path)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), *paths]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"ready\n"
        own = ResizedCache(tmp_path / "cache", 16)
        images = [own.read(path) for path in paths]
        assert other.communicate()[1] == b"" and other.returncode == 0
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(left) == 12 and all(path.suffix == ".gray" and path.stat().st_size == 256 for path in left)
    for path, image in zip(paths, images, strict=True):
        np.testing.assert_array_equal(image, read_gray(path, 16))
        np.testing.assert_array_equal(ResizedCache(tmp_path / "cache", 16).read(path), image)


def test_faults_of_the_cache(saved, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cache_dir must be a folder that can be written, got .*file"):
        ResizedCache(tmp_path / "file", 8)
    cache = ResizedCache(tmp_path / "made" / "here", 8)
    with pytest.raises(InvalidInputError, match="an image must be a whole file, got .*none.jpg"):
        cache.read(str(tmp_path / "none.jpg"))
    assert cache.read(saved("a.png")).shape == (8, 8)


def test_pixels_are_those_of_the_file_not_of_its_name(saved):
    path = saved("a.png")
    buffer = io.BytesIO()
    Image.open(path).save(buffer, "PNG")
    Path(path).with_suffix(".jpg").write_bytes(buffer.getvalue())  # a PNG that is called .jpg
    np.testing.assert_array_equal(read_gray(path.replace(".png", ".jpg"), 12), read_gray(path, 12))
