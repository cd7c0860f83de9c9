"""Long tables: read in pieces, they give what they give as a whole, and numbers are held as floats."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from metricopt.data import Findings, TablePreprocessor, make_table, read_pieces, read_table
from metricopt.data.tables import parquet_files, preprocessing, text_files
from metricopt.data.tables.compact import read_compact

NUM_ROWS = 500


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(text_files, "PIECE_BYTES", 1 << 12)
    monkeypatch.setattr(text_files, "_PIECE_LINES", 8)
    monkeypatch.setattr(parquet_files, "_PIECE_CELLS", 700)


@pytest.fixture(params=["csv", "tsv", "csv.gz", "parquet"])
def path(request, tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "number": random.normal(size=NUM_ROWS),
            "few": np.where(random.random(NUM_ROWS) < 0.1, None, random.integers(0, 4, NUM_ROWS).astype(str)),
            "long": (2**60 + random.integers(0, 9, NUM_ROWS)).astype(str),
            "code": random.choice(["001", "250.00", "V10"], NUM_ROWS),
            "late": [*random.normal(size=NUM_ROWS - 1).round(3).astype(str), "128 mmHg"],
            "comma": [f"{number:.2f}".replace(".", ",") for number in random.normal(size=NUM_ROWS)],
            "y": random.choice(["sick", "well", "well"], NUM_ROWS),
        }
    )
    path = tmp_path / f"table.{request.param}"
    if request.param == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if request.param == "tsv" else ",")
    return path


def test_pieces_are_the_table(path):
    pieces = list(read_pieces(path))
    assert len(pieces) > 3
    pd.testing.assert_frame_equal(pd.concat(pieces), read_table(path))
    some = pd.concat(read_pieces(path, {"few", "y"}))
    pd.testing.assert_frame_equal(some, read_table(path)[["few", "y"]])


def test_pieces_give_the_features_and_findings_of_the_table(path):
    whole = read_table(path)
    preprocessor = TablePreprocessor.fit(whole.iloc[:100])
    features, findings = preprocessor.transform_with_findings(whole)
    parts = [preprocessor.transform_with_findings(piece) for piece in read_pieces(path)]
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), features)
    added = sum((own for _, own in parts), Findings(0))
    assert added == findings and added.strange == {"late": {NUM_ROWS - 1: "128 mmHg"}}


def test_numbers_are_held_as_floats_without_a_change_to_what_is_learnt(path):
    whole, compact = read_table(path), read_compact(path, {"y"})
    assert list(compact.columns) == list(whole.columns)
    if path.suffix != ".parquet":
        assert compact.select_dtypes("float64").columns.tolist() == ["number", "few"]
    expected = make_table(whole, "y")
    found = make_table(compact, "y")
    np.testing.assert_array_equal(found.labels, expected.labels)
    rows = np.arange(0, NUM_ROWS, 2)
    learnt = TablePreprocessor.fit(expected.features.iloc[rows])
    assert TablePreprocessor.fit(found.features, rows) == learnt
    (own, said), (other, said_of_other) = (learnt.transform_with_findings(t.features) for t in (found, expected))
    np.testing.assert_array_equal(own, other)
    assert said == said_of_other


def test_a_table_is_transformed_block_by_block(path, monkeypatch):
    whole = read_table(path)
    preprocessor = TablePreprocessor.fit(whole)
    features, findings = preprocessor.transform_with_findings(whole)
    monkeypatch.setattr(preprocessing, "_BLOCK_CELLS", 100)
    again, found = preprocessor.transform_with_findings(whole)
    np.testing.assert_array_equal(again, features)
    assert found == findings and again.flags.c_contiguous
    assert preprocessor.transform(whole.iloc[:0]).shape == (0, features.shape[1])


def test_text_stays_text_where_it_is_asked_for(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("group,x\n" + "1.00,1\n1,2\n1.0,3\n" * 1000)
    assert read_compact(path, {"group"})["group"].tolist()[:3] == ["1.00", "1", "1.0"]
    assert read_compact(path)["group"].tolist()[:3] == [1.0, 1.0, 1.0]


def test_findings_of_two_tables():
    one = Findings(2, {"a": 1}, {"a": {0: "x"}}, {"c": Counter("vw")}, ["d", "e"])
    other = Findings(3, {"a": 2, "b": 1}, {"b": {4: "y"}}, {"c": Counter("v")}, ["e", "f"])
    both = Findings(5, {"a": 3, "b": 1}, {"a": {0: "x"}, "b": {4: "y"}}, {"c": Counter("vwv")}, ["e"])
    assert one + other == both
    assert Findings(0) + one == one == one + Findings(0)
