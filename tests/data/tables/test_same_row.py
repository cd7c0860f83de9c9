"""The features of a row depend on its own cells, not on its neighbours in a file."""

import json

import numpy as np
import pandas as pd
import pytest

from metricopt.data import TablePreprocessor, read_table

HEADER = "s,c,x,flag\n"
ROWS = [
    *("TRUE,001,1,true", "FALSE,250.00,2.50,false", "UNK,V10,,true", "true,001,4,false", "False,250.00,1e1,TRUE"),
    *("UNK,V10,7,False", "TRUE, 001,3,true", "FALSE,V10,NA,false", "?,V10,-3,true", "UNK,250.00,0.5,false"),
]


def read(tmp_path, rows, header=HEADER):
    path = tmp_path / "table.csv"
    path.write_text(header + "\n".join(rows) + "\n")
    return read_table(path)


@pytest.mark.parametrize("order", [[0], [4], [8], [0, 3], [9, 1, 6], [2, 2, 5], list(range(9, -1, -1))])
def test_a_file_of_some_rows_gives_them_the_same_features(tmp_path, order):
    frame = read(tmp_path, ROWS)
    preprocessor = TablePreprocessor.fit(frame)
    assert [column.name for column in preprocessor.numeric] == ["x", "flag"]
    assert preprocessor.feature_names[3:] == [
        *("s = False", "s = True", "s = UNK", "s missing"),
        *("c = 001", "c = 250.00", "c = V10"),
    ]
    features = preprocessor.transform(frame)
    assert (features[:, 3:].sum(axis=1) == 2).all()
    again, _ = preprocessor.transform_with_findings(read(tmp_path, [ROWS[row] for row in order]))
    np.testing.assert_array_equal(again, features[order])
    held, _ = preprocessor.transform_with_findings(frame.iloc[order])
    np.testing.assert_array_equal(held, features[order])


@pytest.mark.parametrize(
    ("cells", "same"), [("TRUE,001,4,1", 3), (" true , 001 ,4.0,0", 3), ("unk,V10,7,0", None), ("UNK,1,7,0", None)]
)
def test_booleans_and_blanks_are_read_alike_and_codes_as_they_are_written(tmp_path, cells, same):
    header, rows = HEADER.replace(",flag", ""), [row.rpartition(",")[0] for row in ROWS]
    frame = read(tmp_path, rows, header)
    preprocessor = TablePreprocessor.fit(frame)
    features, findings = preprocessor.transform_with_findings(read(tmp_path, [cells.rpartition(",")[0]], header))
    if same is None:
        assert features[0, 2:].sum() == 1 and len(findings.unknown) == 1
    else:
        np.testing.assert_array_equal(features[0], preprocessor.transform(frame)[same])
        assert findings.sentences == []


@pytest.mark.parametrize(
    ("rows", "sentences"),
    [
        (["TRUE,001,1,true"], []),
        (
            ["maybe,001,,true", "maybe,V10,NA,false", "True,V11,2,true"],
            [
                "s: 2 rows match no category that training kept: 'maybe' (2)",
                "c: 1 row matches no category that training kept: 'V11' (1)",
                "Missing cells of 3 rows: x 2",
            ],
        ),
        (["UNK,001,,true", "UNK,V10,,"], ["Without any value: x", "Missing cells of 2 rows: flag 1"]),
        (
            ["UNK,001,much,true", "UNK,V10,<1,true", "UNK,V10,5,true"],
            ["x: 2 cells are no numbers and count as missing: 'much' in row 0, '<1' in row 1"],
        ),
    ],
)
def test_it_is_said_what_could_not_be_used(tmp_path, rows, sentences):
    preprocessor = TablePreprocessor.fit(read(tmp_path, ROWS))
    assert preprocessor.transform_with_findings(read(tmp_path, rows))[1].sentences == sentences


def test_preprocessing_that_an_older_version_saved_is_read():
    saved = {
        "numeric": [{"name": "x", "median": 2.0, "mean": 2.0, "scale": 1.0, "has_missing": False}],
        "categorical": [{"name": "s", "categories": ["FALSE", "TRUE", "UNK", None]}],
        "dropped": {},
    }
    preprocessor = TablePreprocessor.from_dict(json.loads(json.dumps(saved)))
    frame = pd.DataFrame({"x": ["3", "1"], "s": ["true", "UNK"]})
    np.testing.assert_array_equal(preprocessor.transform(frame), [[1, 0, 1, 0, 0], [-1, 0, 0, 1, 0]])
