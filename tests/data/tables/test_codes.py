"""Numbers with leading zeros are codes, whatever their neighbours are."""

import numpy as np
import pandas as pd
import pytest

from metricopt.data import TablePreprocessor, TableWarning, make_table, read_table
from metricopt.data.tables.caveats import caveats_of
from metricopt.data.tables.compact import read_compact
from metricopt.data.tables.numbers import has_leading_zeros

CODES = ["00120", "00250", "04019", "41401", "999", "250.01", "038.9"]


def column_of(texts):
    return pd.Series(texts, dtype=pd.StringDtype("pyarrow"))


def table_with(codes, path):
    lines = [f"{code},{row % 7},{row % 3 == 0:d}" for row, code in enumerate(codes)]
    path.write_text("\n".join(["code,x,y", *lines]) + "\n")
    return path


@pytest.mark.parametrize("kept", [CODES[:2], CODES[:5], CODES[3:]])
@pytest.mark.parametrize("read", [read_table, lambda path: read_compact(path, {"y"})])
def test_codes_are_categories_row_by_row(tmp_path, kept, read):
    path = table_with(kept * 20, tmp_path / "table.csv")
    with pytest.warns(TableWarning, match="code has leading zeros .* so that its values are codes"):
        table = make_table(read(path), "y")
    preprocessor = TablePreprocessor.fit(table.features)
    (group,) = preprocessor.categorical
    assert group.categories == tuple(sorted(kept))
    features = preprocessor.transform(read_table(path))
    for row in range(len(kept)):  # the neighbours in a file do not matter
        alone = read_table(table_with([kept[row]], tmp_path / "alone.csv")).assign(x="3")
        np.testing.assert_array_equal(preprocessor.transform(alone)[0, 1:], features[row, 1:])
    stripped = read_table(table_with(["120"], tmp_path / "stripped.csv"))
    with pytest.warns(TableWarning, match="code: 1 row matches no category that training kept: '120'"):
        assert not preprocessor.transform(stripped)[0, 1:].any()


def test_a_single_leading_zero_leaves_numbers_numbers(tmp_path):
    ages = ["05", *(str(10 + 7 * row % 90) for row in range(120))]
    path = table_with(ages, tmp_path / "table.csv")
    with pytest.warns(TableWarning, match="code has leading zeros in 1 of 121 rows .'05'., which are read as plain"):
        table = make_table(read_compact(path, {"y"}), "y")
    (column, _) = TablePreprocessor.fit(table.features).numeric
    assert column.name == "code"
    assert column.read(read_table(path)["code"]).values[0] == 5


@pytest.mark.parametrize("zeros", [["0", "5"], ["0.5", "0"], ["0", None, "-0.5"], ["10", "100", "0e3"], [], [None]])
def test_zeros_that_lead_nothing(zeros):
    assert not has_leading_zeros(column_of(zeros))
    features = pd.DataFrame({"v": column_of(zeros * 30 or [None] * 30)})
    assert caveats_of(features, np.zeros(len(features)), "y") == []


@pytest.mark.parametrize("texts", [["1", "00"], ["0", "05", "5"], [None, "007"], ["1.5", "00.5"]])
def test_leading_zeros_are_seen_in_any_part_of_a_column(texts):
    assert has_leading_zeros(column_of(texts))
    assert has_leading_zeros(column_of(["x", *texts]).iloc[1:])
    assert not has_leading_zeros(column_of([*texts, "1"]).iloc[len(texts) :])
