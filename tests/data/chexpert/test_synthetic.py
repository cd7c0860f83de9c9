import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from metricopt import InvalidInputError
from metricopt.data import CHEXPERT_LABELS, read_chexpert_table, write_synthetic_chexpert


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_layout_is_the_published_one(tree):
    names = set(files_of(tree))
    assert tree.name == "CheXpert-v1.0-small" and {"train.csv", "valid.csv", "SYNTHETIC.json"} < names
    listed = set()
    for part in ("train", "valid"):
        with (tree / f"{part}.csv").open() as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS]
        for path, sex, age, view, projection, *cells in rows[1:]:
            pattern = rf"CheXpert-v1\.0-small/{part}/patient\d{{5}}/study\d+/view\d_{view.lower()}\.jpg"
            assert re.fullmatch(pattern, path) and sex in ("Male", "Female") and 18 <= int(age) <= 90
            assert projection in (("AP", "PA") if view == "Frontal" else ("",))
            assert set(cells) <= ({"1.0", "0.0"} if part == "valid" else {"1.0", "0.0", "-1.0", ""})
            listed.add(path.split("/", 1)[1])
    assert names - {"train.csv", "valid.csv", "SYNTHETIC.json"} == listed


def test_rows_belong_together_as_in_the_real_table(tree):
    train, valid = (read_chexpert_table(tree / f"{part}.csv") for part in ("train", "valid"))
    assert len(set(train.patients)) == 60 and len(set(valid.patients)) == 6
    assert not set(train.patients) & set(valid.patients)
    assert 1.5 < len(train) / 60 < 4.5 and 0.6 < (train.views == "frontal").mean() < 1
    assert set(train.views) == {"frontal", "lateral"} and (valid.studies == 1).all()
    for table in (train, valid):
        by_study = {}
        for patient, study, raw in zip(table.patients, table.studies, table.raw_labels, strict=True):
            np.testing.assert_array_equal(by_study.setdefault((patient, study), raw), raw)
        healthy = table.raw_labels[:, 0] == 1
        assert not np.isin(table.raw_labels[healthy, 1:13], (1, -1)).any()
    assert {1, 0, -1} == set(np.unique(train.raw_labels[~np.isnan(train.raw_labels)]))


def test_it_says_that_it_is_synthetic(tree):
    mark = json.loads((tree / "SYNTHETIC.json").read_text())
    assert mark["what"].startswith("Synthetic") and (mark["num_patients"], mark["image_size"]) == (60, 16)
    assert read_chexpert_table(tree).is_synthetic and read_chexpert_table(tree / "valid.csv").is_synthetic


def test_the_word_stands_in_a_corner_of_every_image(tmp_path):
    folder = write_synthetic_chexpert(tmp_path, num_patients=60, image_size=72)
    table = read_chexpert_table(folder, view="frontal")
    corners = np.mean([np.asarray(Image.open(folder / path))[-10:, :72] for path in table.paths], axis=0)
    letters = corners - np.median(corners, axis=0)
    assert 15 < letters.max() < 60  # faint
    dark = np.mean([np.asarray(Image.open(folder / path))[-10:, -15:] for path in table.paths], axis=0)
    assert np.abs(dark - np.median(dark, axis=0)).max() < 10


def test_images_have_the_size_and_varied_shapes(own_tree):
    sizes, modes = [], set()
    for path in own_tree.rglob("*.jpg"):
        with Image.open(path) as image:
            sizes.append(image.size)
            modes.add(image.mode)
    assert all(min(size) == 64 and max(size) <= 79 for size in sizes) and len(set(sizes)) > 3
    assert modes == {"L"}


def test_the_seed_sets_every_byte(tmp_path):
    first, again, other = (
        files_of(write_synthetic_chexpert(tmp_path / name, num_patients=3, image_size=16, seed=seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again and first["train.csv"] != other["train.csv"]


def test_a_tree_of_the_same_arguments_is_kept_and_another_left_alone(tmp_path):
    folder = write_synthetic_chexpert(tmp_path, num_patients=2, image_size=16)
    before = files_of(folder)
    (folder / "note.txt").write_text("mine")
    assert write_synthetic_chexpert(tmp_path, num_patients=2, image_size=16) == folder
    assert (folder / "note.txt").read_text() == "mine"
    with pytest.raises(
        InvalidInputError, match="root must be a folder without another CheXpert-v1.0-small, got .* arguments"
    ):
        write_synthetic_chexpert(tmp_path, num_patients=3, image_size=16)
    (folder / "SYNTHETIC.json").unlink()
    with pytest.raises(InvalidInputError, match="which holds a folder that is not synthetic; give another root"):
        write_synthetic_chexpert(tmp_path, num_patients=2, image_size=16)
    assert {name: files_of(folder)[name] for name in before if name != "SYNTHETIC.json"} == {
        name: data for name, data in before.items() if name != "SYNTHETIC.json"
    }


def test_a_tree_that_was_broken_off_leaves_nothing(tmp_path, monkeypatch):
    from metricopt.data.chexpert import synthetic

    def fail(*arguments, **rest):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "draw_chest", fail)
        with pytest.raises(KeyboardInterrupt):
            write_synthetic_chexpert(tmp_path, num_patients=2, image_size=16)
    assert list(tmp_path.iterdir()) == []
    assert write_synthetic_chexpert(tmp_path, num_patients=2, image_size=16).is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_patients": 0}, "num_patients must be an integer >= 1, got 0; "),
        ({"image_size": 15}, "image_size must be an integer >= 16, got 15; "),
        ({"seed": -1}, r"seed must be an integer in \[0, 2\*\*32\), got -1; "),
    ],
)
def test_faults(tmp_path, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        write_synthetic_chexpert(tmp_path, **arguments)
    assert write_synthetic_chexpert(tmp_path, num_patients=1, image_size=16, seed=0).is_dir()
