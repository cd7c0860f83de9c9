"""ChestX-ray14: one column of findings becomes labels, and lists of files become splits."""

import numpy as np
import pytest

from metricopt import InvalidInputError
from metricopt.data import COMMON_POLICY, apply_policy, check_images, read_nih_table, soft_targets

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
ROWS = [
    "00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,AP,2894,2729,0.143,0.143",
    "00000002_000.png,No Finding,0,2,411,F,PA,2500,2048,0.168,0.168",
    "00000003_000.png,Hernia|Effusion,0,3,81,F,PA,2582,2991,0.143,0.143",
]
WANTED = ["Effusion", "Cardiomegaly"]


@pytest.fixture(params=["Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv"])
def folder(request, tmp_path):
    write(tmp_path, *ROWS, name=request.param)
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n00000002_000.png\n")
    (tmp_path / "test_list.txt").write_text("00000003_000.png")
    return tmp_path


def write(folder, *rows, header=HEADER, name=None):
    path = folder / (name or next(folder.glob("Data_Entry*")).name)
    path.write_text("\n".join([header, *rows]) + "\n")


def test_findings_become_labels(folder):
    table = read_nih_table(folder, labels=WANTED)
    assert table.paths.tolist() == [f"images/{row[:16]}" for row in ROWS[:3]]
    assert table.patients.tolist() == [1, 1, 2] and table.studies.tolist() == [0, 1, 0]
    assert table.raw_labels.tolist() == [[0, 1], [0, 1], [0, 0]] and table.label_names == tuple(WANTED)
    assert set(table.views) == {"frontal"}
    np.testing.assert_array_equal(table.covariates["age"], [58, 58, np.nan])
    assert table.covariates["sex"].tolist() == ["Male", "Male", "Female"]
    assert table.covariates["projection"].tolist() == ["PA", "AP", "PA"]


@pytest.mark.parametrize(("split", "patients"), [("train", [1, 1, 2]), ("test", [3]), ("all", [1, 1, 2, 3])])
def test_splits(folder, split, patients):
    table = read_nih_table(str(folder), split=split)
    assert table.patients.tolist() == patients and table.raw_labels.shape == (len(patients), 14)
    for policy in (COMMON_POLICY, "ignore", "smoothed_ones"):
        np.testing.assert_array_equal(apply_policy(table, policy)[0], table.raw_labels)
        np.testing.assert_array_equal(soft_targets(table, policy), table.raw_labels)


def test_images_in_parts(folder):
    image = folder / "images_001" / "images" / ROWS[1][:16]
    image.parent.mkdir(parents=True)
    image.write_bytes(b"no image")
    table = read_nih_table(folder)
    assert table.paths[1] == "images_001/images/00000001_001.png"
    assert [check_images(table).faults[path] == "missing" for path in table.paths] == [True, False, True]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Emphysema", "Oedema", "findings must be those of ChestX-ray14, got 'Oedema' in line 3 of Data_Entry_2017"),
        ("00000001_001.png", "00000001_000.png", "must be one with a row for each image, got 00000001_000.png twice"),
        ("0000000", "1000000", "train_val_list.txt must be a list of images of the table, got none of them"),
    ],
)
def test_rows_that_do_not_fit(folder, old, new, message):
    assert len(read_nih_table(folder)) == 3
    write(folder, *(row.replace(old, new) for row in ROWS))
    with pytest.raises(InvalidInputError, match=message):
        read_nih_table(folder)


def test_what_is_not_there(folder, tmp_path):
    with pytest.raises(InvalidInputError, match="labels must be one of .* got 'Efusion'; did you mean 'Effusion'"):
        read_nih_table(folder, labels="Efusion")
    with pytest.raises(InvalidInputError, match="split must be one of"):
        read_nih_table(folder, split="valid")
    write(folder, *ROWS, header=HEADER.replace("Patient ID", "Patient"))
    with pytest.raises(InvalidInputError, match="without 'Patient ID'"):
        read_nih_table(folder)
    write(folder, *ROWS)
    (folder / "test_list.txt").unlink()
    with pytest.raises(InvalidInputError, match="folder must be one that holds test_list.txt, .* or pass split='all'"):
        read_nih_table(folder, split="test")
    next(folder.glob("Data_Entry*")).unlink()
    with pytest.raises(InvalidInputError, match="folder must be one that holds Data_Entry_2017.csv"):
        read_nih_table(folder)
