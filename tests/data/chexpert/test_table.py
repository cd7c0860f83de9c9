import csv

import numpy as np
import pandas as pd
import pytest

from metricopt import InvalidInputError
from metricopt.data import CHEXPERT_LABELS, read_chexpert_table, stratified_split, write_synthetic_chexpert

FRONTAL = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Male,61,Frontal,AP,1.0,,-1.0"
LATERAL = "CheXpert-v1.0-small/train/patient00002/study3/view2_lateral.jpg,Female,0,Lateral,,,0.0,1.0"
HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Pneumonia"
WANTED = ["No Finding", "Edema", "Pneumonia"]


@pytest.mark.parametrize("prefix", ["CheXpert-v1.0-small/", "CheXpert-v1.0/", ""])
def test_reads_both_prefixes(write_csv, prefix):
    path = write_csv(*(line.replace("CheXpert-v1.0-small/", prefix) for line in (FRONTAL, LATERAL)))
    table = read_chexpert_table(path, labels=WANTED)
    names = ["train/patient00001/study1/view1_frontal.jpg", "train/patient00002/study3/view2_lateral.jpg"]
    assert table.paths.tolist() == names
    assert table.patients.tolist() == [1, 2] and table.studies.tolist() == [1, 3]
    assert table.views.tolist() == ["frontal", "lateral"]
    assert table.raw_labels.dtype == np.float32
    np.testing.assert_array_equal(table.raw_labels, [[1, np.nan, -1], [np.nan, 0, 1]])
    assert not table.is_synthetic and table.folder == path.parent


def test_unknown_covariates_are_missing(write_csv):
    lines = [FRONTAL, LATERAL]
    lines += [FRONTAL.replace("Male", "Unknown").replace("AP", shot).replace(",61,", ",,") for shot in ("LL", "RL")]
    covariates = read_chexpert_table(write_csv(*lines), labels=WANTED).covariates
    assert covariates["age"].tolist()[:1] == [61] and covariates["age"].isna().tolist() == [False, True, True, True]
    assert covariates["sex"].tolist()[:2] == ["Male", "Female"]
    assert covariates["sex"].isna().tolist() == [False, False, True, True]
    assert covariates["projection"].isna().tolist() == [False, True, False, False]
    assert covariates["projection"].tolist()[2:] == ["LL", "RL"]


@pytest.mark.parametrize("prefix", ["CheXpert-v1.0/", ""])
def test_a_table_of_paths_and_labels_alone_has_no_covariates(write_csv, prefix):
    """That of the test set."""
    lines = [f"{prefix}test/patient{number}/study1/view1_frontal.jpg,0,1,{number % 2}" for number in (64741, 64742)]
    file = write_csv(*lines, header="Path,No Finding,Edema,Pneumonia", name="test.csv")
    table = read_chexpert_table(file, labels=WANTED, view="frontal")
    assert table.paths[0] == "test/patient64741/study1/view1_frontal.jpg" and table.patients.tolist() == [64741, 64742]
    assert table.raw_labels.tolist() == [[0, 1, 1], [0, 1, 0]]
    assert table.covariates.columns.tolist() == ["age", "sex", "projection"]
    assert table.covariates.isna().all(axis=None) and table.covariates["age"].dtype == float
    assert table.take(np.array([1])).patients.tolist() == [64742]


@pytest.mark.parametrize(("view", "patients"), [("both", [1, 2]), ("frontal", [1]), ("lateral", [2])])
def test_views(write_csv, view, patients):
    table = read_chexpert_table(write_csv(FRONTAL, LATERAL), labels=WANTED, view=view)
    assert table.patients.tolist() == patients
    assert len(table) == len(table.raw_labels) == len(table.covariates) == len(patients)
    assert table.covariates.index.tolist() == list(range(len(patients)))


def test_labels_come_in_the_order_wanted(write_csv):
    table = read_chexpert_table(write_csv(FRONTAL, LATERAL), labels=["Pneumonia", "No Finding"])
    assert table.label_names == ("Pneumonia", "No Finding")
    np.testing.assert_array_equal(table.raw_labels, [[-1, 1], [1, np.nan]])
    assert read_chexpert_table(write_csv(FRONTAL), labels="Edema").label_names == ("Edema",)


def test_all_columns_of_a_tree(tree):
    table = read_chexpert_table(tree)
    with (tree / "train.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert table.label_names == CHEXPERT_LABELS == tuple(list(rows[0])[5:])
    assert len(table) == len(rows) and table.is_synthetic and repr(table).startswith("CheXpertTable(synthetic, ")
    for row, path, raw in zip(rows, table.paths, table.raw_labels, strict=True):
        assert row["Path"] == f"CheXpert-v1.0-small/{path}"
        told = [float(row[name]) if row[name] else np.nan for name in CHEXPERT_LABELS]
        np.testing.assert_array_equal(raw, told)
    taken = table.take(np.array([5, 2]))
    assert taken.paths.tolist() == table.paths[[5, 2]].tolist() and taken.is_synthetic
    assert taken.covariates["age"].tolist() == table.covariates["age"].iloc[[5, 2]].tolist()


def test_folder_above_it_and_file_are_the_same(tree):
    tables = [read_chexpert_table(path) for path in (tree, tree.parent, tree / "train.csv", str(tree))]
    assert all(table.folder == tree and len(table) == len(tables[0]) for table in tables)
    assert len(read_chexpert_table(tree / "valid.csv")) != len(tables[0])


def test_a_wrong_folder_is_told(tree, tmp_path):
    rule = r"path must be the folder that holds train\.csv \(CheXpert-v1\.0-small or CheXpert-v1\.0\) or the one above"
    with pytest.raises(InvalidInputError, match=f"{rule} it, got .*, which holds 'patient00001', .*, \\.\\.\\.; pass"):
        read_chexpert_table(tree / "train")
    with pytest.raises(InvalidInputError, match=f"{rule} it, got .*, which holds nothing; pass"):
        read_chexpert_table(tmp_path)
    with pytest.raises(InvalidInputError, match="path must be an existing folder or .csv file, got .*nowhere; check"):
        read_chexpert_table(tmp_path / "nowhere")
    assert len(read_chexpert_table(tree))


def test_two_folders_are_not_chosen_from(tmp_path):
    folder = write_synthetic_chexpert(tmp_path, num_patients=1, image_size=16)
    assert len(read_chexpert_table(tmp_path))
    other = tmp_path / "CheXpert-v1.0"
    other.mkdir()
    (other / "train.csv").write_text((folder / "train.csv").read_text())
    with pytest.raises(InvalidInputError, match="one of the CheXpert folders, got .*, which holds 2 of them; pass"):
        read_chexpert_table(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Edema", "edema", "without 'Edema'; did you mean 'edema' for 'Edema'?"),
        ("Edema", "Oedem", "8 columns without 'Edema'; take the table as it was published"),
        ("Path,Sex", "File,Gender", "without 'Path', 'Sex'; take the table as it was published"),
    ],
)
def test_a_missing_column_is_told(write_csv, old, new, message):
    with pytest.raises(InvalidInputError) as raised:
        read_chexpert_table(write_csv(FRONTAL, header=HEADER.replace(old, new)), labels=WANTED)
    assert "must be one with the published columns, got " in str(raised.value) and message in str(raised.value)
    assert len(read_chexpert_table(write_csv(FRONTAL), labels=WANTED)) == 1


def test_a_label_that_does_not_exist_is_told(write_csv):
    path = write_csv(FRONTAL)
    with pytest.raises(InvalidInputError, match="labels must be one of .*, got 'Pneumona'; did you mean 'Pneumonia'?"):
        read_chexpert_table(path, labels=["Edema", "Pneumona"])
    for labels in ([], ["Edema", "Edema"]):
        with pytest.raises(InvalidInputError, match="labels must be one or more different names, got "):
            read_chexpert_table(path, labels=labels)
    with pytest.raises(InvalidInputError, match="view must be one of .*, got 'front'; did you mean 'frontal'?"):
        read_chexpert_table(path, labels=WANTED, view="front")
    assert read_chexpert_table(path, labels=["Edema", "Pneumonia"], view="frontal").label_names[1] == "Pneumonia"


@pytest.mark.parametrize("value", ["2.0", "0.5", "yes", "NaN", "?", " "])
def test_other_label_values_are_told_with_line_and_column(write_csv, value):
    wrong = FRONTAL.replace(",-1.0", f",{value}")
    with pytest.raises(InvalidInputError) as raised:
        read_chexpert_table(write_csv(LATERAL, wrong), labels=WANTED)
    told = f"column 'Pneumonia' must be 1, 0, -1 or blank, got {value!r} in line 3 of train.csv; correct these cells"
    assert str(raised.value) == told
    assert read_chexpert_table(write_csv(LATERAL, FRONTAL), labels=WANTED).raw_labels[1, 2] == -1
    assert len(read_chexpert_table(write_csv(LATERAL, wrong), labels=WANTED[:2])) == 2  # a column that is not asked for


def test_all_wrong_columns_are_told_at_once(write_csv):
    lines = [FRONTAL.replace(",61,", ",old,").replace(",1.0,", ",3,")] * 7
    with pytest.raises(InvalidInputError) as raised:
        read_chexpert_table(write_csv(*lines), labels=WANTED)
    ages, labels = str(raised.value).split("\n")
    assert ages.startswith("ages must be numbers or blank, got 'old' in line 2 of train.csv, 'old' in line 3 of ")
    assert labels.endswith("in line 6 of train.csv and 2 more; correct these cells")


@pytest.mark.parametrize("path", ["patient00001/view1_frontal.jpg", "x/train/patient1/study1/view1_frontal.jpg", ""])
def test_other_paths_are_told(write_csv, path):
    wrong = FRONTAL.replace("CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg", path)
    with pytest.raises(InvalidInputError, match="paths must be like train/patient00001/.*, got .* in line 3 of train"):
        read_chexpert_table(write_csv(LATERAL, wrong), labels=WANTED)
    assert len(read_chexpert_table(write_csv(LATERAL, FRONTAL), labels=WANTED)) == 2


def test_unreadable_tables_are_told(write_csv, tmp_path):
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(b"no gzip")
    for path in (broken, write_csv(name="empty.csv")):
        with pytest.raises(InvalidInputError, match="path must be a (readable .csv )?table"):
            read_chexpert_table(path, labels=WANTED)
    good = tmp_path / "good.csv.gz"
    pd.read_csv(write_csv(FRONTAL, LATERAL)).to_csv(good, index=False)
    assert len(read_chexpert_table(good, labels=WANTED)) == 2


def test_patients_are_split_whole_with_rare_labels_in_every_part(tmp_path):
    folder = write_synthetic_chexpert(tmp_path, num_patients=150, image_size=16, seed=3)
    table = read_chexpert_table(folder, labels=["Pneumonia", "Fracture", "Pleural Effusion"])
    labels = (table.raw_labels == 1).astype(float)
    parts = stratified_split(labels, (0.7, 0.3), seed=1, groups=table.patients)
    first, second = (set(table.patients[part]) for part in parts)
    assert not first & second and len(first | second) == len(set(table.patients))
    prevalences = np.array([labels[part].mean(axis=0) for part in parts])
    assert (prevalences > 0).all() and (np.abs(prevalences[0] - prevalences[1]) < 0.1).all()
    again = stratified_split(labels, (0.7, 0.3), seed=1, groups=table.patients)
    assert [part.tolist() for part in parts] == [part.tolist() for part in again]
