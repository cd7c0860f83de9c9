import json

import numpy as np
import pytest

from metricopt import InvalidInputError
from metricopt.data import CHEXPERT_LABELS, read_chexpert_plus_table

PATHS = [f"train/patient{patient:05d}/study1/view{view}_frontal.jpg" for patient in (7, 8) for view in (1, 2)]
VALID = "valid/patient00009/study2/view1_lateral.jpg"
REPORT = '"Two lines\nand, a comma"'


@pytest.fixture
def table_file(tmp_path):
    path = tmp_path / "df_chexpert_plus_240401.csv"
    lines = ["path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,report,age,sex,race,split"]
    lines += [f"{each},x.dcm,Frontal,AP,patient,{REPORT},61.0,Female,White,train" for each in PATHS]
    lines += [f"{VALID},x.dcm,Lateral,,patient,{REPORT},,Unknown,,valid"]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def write_labels(tmp_path):
    def write(rows, name="impression_fixed.json"):
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
        return path

    return write


def row_of(path, **values):
    blank = dict.fromkeys(reversed(CHEXPERT_LABELS))
    return {"path_to_image": path, **blank, **values}


ROWS = [row_of(PATHS[2], Edema=1.0), row_of(PATHS[0], Edema=-1.0, Pneumonia=0.0), row_of(VALID, Edema=0.0)]


def test_labels_are_joined_on_the_path(table_file, write_labels):
    table = read_chexpert_plus_table(table_file, write_labels(ROWS), labels=["Edema", "Pneumonia"])
    assert table.paths.tolist() == [PATHS[0].replace("jpg", "png"), PATHS[2].replace("jpg", "png")]
    np.testing.assert_array_equal(table.raw_labels, [[-1, 0], [1, np.nan]])
    assert table.patients.tolist() == [7, 8] and table.covariates["age"].tolist() == [61, 61]
    assert table.folder == table_file.parent and not table.is_synthetic


def test_split_view_and_suffix(table_file, write_labels):
    path = write_labels(ROWS)
    table = read_chexpert_plus_table(table_file, path, split="valid", suffix=".jpg")
    assert table.paths.tolist() == [VALID] and table.label_names == CHEXPERT_LABELS
    assert table.covariates.isna().all(axis=None)
    assert len(read_chexpert_plus_table(table_file, path, view="lateral")) == 0
    for argument, value in (("split", "test"), ("suffix", ".dcm"), ("view", "side")):
        with pytest.raises(InvalidInputError, match=f"{argument} must be one of .*, got '{value}'"):
            read_chexpert_plus_table(table_file, path, **{argument: value})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"path_to_image": PATHS[0], "Edma": 1}], r"got nothing named \['Edema'\] in .*impression_fixed.json; take"),
        (
            [*ROWS, row_of(PATHS[2], Edema=0.0)],
            f"must be a file with one line for each image, got .* for {PATHS[2]}; keep",
        ),
        ([row_of(VALID)], "label_file must be one with labels of the images of the split 'train', got none of them"),
        (
            [row_of(PATHS[1], Edema=3)],
            f"column 'Edema' must be 1, 0, -1 or blank, got '3' in the line of {PATHS[1][:-4]}",
        ),
    ],
)
def test_faults_of_the_label_file(table_file, write_labels, rows, message):
    with pytest.raises(InvalidInputError, match=message):
        read_chexpert_plus_table(table_file, write_labels(rows), labels=["Edema"])
    twice = [*ROWS, ROWS[0]]
    assert len(read_chexpert_plus_table(table_file, write_labels(twice), labels=["Edema"])) == 2


def test_files_that_cannot_be_read(table_file, write_labels, tmp_path):
    path = write_labels(ROWS)
    broken = tmp_path / "broken.json"
    broken.write_text('{"path_to_image": ')
    with pytest.raises(InvalidInputError, match="label_file must be a file of JSON lines, got .*broken.json"):
        read_chexpert_plus_table(table_file, broken)
    with pytest.raises(InvalidInputError, match="label_file must be an existing file, got .*none.json"):
        read_chexpert_plus_table(table_file, tmp_path / "none.json")
    with pytest.raises(InvalidInputError, match="path must be an existing file, got .*none.csv"):
        read_chexpert_plus_table(tmp_path / "none.csv", path)
    with pytest.raises(InvalidInputError, match="with the published columns, got .* without 'path_to_image', "):
        read_chexpert_plus_table(path, path)
    assert len(read_chexpert_plus_table(table_file, path)) == 2
