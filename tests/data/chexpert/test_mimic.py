"""MIMIC-CXR-JPG: three tables become one, for all that takes a table of CheXpert."""

import gzip

import numpy as np
import pytest

from metricopt import InvalidInputError
from metricopt.data import CHEXPERT_LABELS, apply_policy, check_images, read_mimic_cxr_table

LABELED = """subject_id,study_id,Atelectasis,Edema,Pneumonia
10000032,50414267,1.0,,0.0
10000032,53189527,,-1.0,1.0
11000935,51000001,0.0,1.0,
11000935,51000002,,,1.0
"""
SPLIT = """dicom_id,study_id,subject_id,split
02aa-1,50414267,10000032,train
02aa-2,50414267,10000032,train
2a2b-3,53189527,10000032,train
9c9d-4,51000001,11000935,test
9c9d-5,51999999,11000935,test
9c9d-6,51000002,11000935,test
"""
METADATA = """dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows
02aa-1,10000032,50414267,CHEST (PA AND LAT),PA,3056
02aa-2,10000032,50414267,CHEST (PA AND LAT),LATERAL,3056
2a2b-3,10000032,53189527,,,2544
9c9d-4,11000935,51000001,CHEST,AP,2544
9c9d-5,11000935,51999999,CHEST,AP,2544
9c9d-6,11000935,51000002,CHEST,LL,2544
"""
WANTED = ["Pneumonia", "Edema"]
FILES = {"chexpert": LABELED, "negbio": LABELED.replace("-1.0", "0.0"), "split": SPLIT, "metadata": METADATA}


@pytest.fixture(params=["csv", "csv.gz"])
def folder(request, tmp_path):
    for name, text in FILES.items():
        path = tmp_path / f"mimic-cxr-2.0.0-{name}.{request.param}"
        path.write_bytes(gzip.compress(text.encode()) if request.param == "csv.gz" else text.encode())
    return tmp_path


def change(folder, name, old, new):
    (path,) = folder.glob(f"*-{name}.*")
    text = FILES[name].replace(old, new)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_three_tables_are_one(folder):
    table = read_mimic_cxr_table(folder, labels=WANTED)
    first = "files/p10/p10000032/s50414267/02aa-1.jpg"
    assert table.paths[0] == first and len(table) == 3 and table.folder == folder and not table.is_synthetic
    assert table.patients.tolist() == [10000032] * 3 and table.studies.tolist() == [50414267, 50414267, 53189527]
    assert table.views.tolist() == ["frontal", "lateral", "other"]
    np.testing.assert_array_equal(table.raw_labels, [[0, np.nan], [0, np.nan], [1, -1]])
    assert table.covariates["projection"].tolist()[0] == "PA" and table.covariates["projection"][1:].isna().all()
    assert table.covariates[["age", "sex"]].isna().all(axis=None)


@pytest.mark.parametrize(("view", "paths"), [("frontal", [4]), ("lateral", [6]), ("both", [4, 6])])
def test_splits_views_and_studies_without_labels(folder, view, paths):
    table = read_mimic_cxr_table(str(folder), split="test", view=view, labels="Pneumonia")
    assert [int(path[-5]) for path in table.paths] == paths and table.patients.tolist() == [11000935] * len(paths)


def test_either_labeler(folder):
    by = [read_mimic_cxr_table(folder, labeler=name, labels=WANTED).raw_labels[2, 1] for name in ("chexpert", "negbio")]
    assert by == [-1, 0]


def test_it_serves_as_a_table_of_chexpert(folder):
    table = read_mimic_cxr_table(folder, labels=WANTED)
    assert apply_policy(table, "ones")[0].tolist() == [[0, 0], [0, 0], [1, 1]]
    assert np.isnan(apply_policy(table, "ignore")[0][2, 1])
    with pytest.raises(
        InvalidInputError, match="such as files/p10/p10000032/s50414267/02aa-1.jpg; pass .* holds files/"
    ):
        check_images(table)
    image = folder / table.paths[1]
    image.parent.mkdir(parents=True)
    image.write_bytes(b"no image")
    assert [check_images(table).faults[path] == "missing" for path in table.paths] == [True, False, True]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "chexpert",
            "-1.0",
            "2",
            "column 'Edema' must be 1, 0, -1 or blank, got '2.*' in line 3 of mimic-cxr-2.0.0-chex",
        ),
        ("chexpert", "Edema", "Oedema", "without 'Edema'; take the table as it was published"),
        (
            "chexpert",
            "53189527",
            "50414267",
            "table of chexpert must be one with a row each, got subject_id 10000032 tw",
        ),
        ("split", "02aa-2", "02aa-1", "the table of split must be one with a row each, got dicom_id 02aa-1 twice"),
        ("metadata", "02aa-2", "02aa-1", "the table of metadata must be one with a row each"),
        ("split", ",train", ",validate", "split must be one with labelled images, got none of 'train' in"),
        ("metadata", "ViewPosition", "View", "without 'ViewPosition'"),
    ],
)
def test_tables_that_do_not_fit(folder, name, old, new, message):
    assert len(read_mimic_cxr_table(folder, labels=WANTED)) == 3
    change(folder, name, old, new)
    with pytest.raises(InvalidInputError, match=message):
        read_mimic_cxr_table(folder, labels=WANTED)


@pytest.mark.parametrize("name", FILES)
def test_a_table_that_is_not_there(folder, name):
    arguments = {"labels": WANTED, "labeler": "negbio" if name == "negbio" else "chexpert"}
    next(folder.glob(f"*-{name}.*")).unlink()
    with pytest.raises(InvalidInputError, match=f"folder must be one that holds mimic-cxr-2.0.0-{name}.csv or .csv.gz"):
        read_mimic_cxr_table(folder, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "valid"}, "split must be one of .* did you mean 'validate'"),
        ({"labeler": "chexbert"}, "labeler must be one of .* did you mean 'chexpert'"),
        ({"view": "side"}, "view must be one of"),
        ({}, f"without .*{CHEXPERT_LABELS[0]}"),
    ],
)
def test_arguments(folder, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        read_mimic_cxr_table(folder, **arguments)
