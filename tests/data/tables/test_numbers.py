"""Numbers that are written as text, in the ways in which people write them."""

import numpy as np
import pandas as pd
import pytest

from metricopt.data import TablePreprocessor, TableWarning, read_table
from metricopt.data.tables.columns import NumericColumn, learn_column
from metricopt.data.tables.numbers import find_decimal, parse, read_cells, read_numbers


def in_style(numbers, decimal, thousands):
    """Return numbers as text, with two digits behind the decimal mark."""
    return [f"{number:,.2f}".replace(",", "t").replace(".", decimal).replace("t", thousands) for number in numbers]


def numbers_of(texts):
    column = pd.Series(texts, dtype=object)
    decimal, _ = find_decimal(read_cells(column))
    return read_numbers(column, decimal)


RANDOM = np.random.default_rng(0)
NUMBERS = np.concatenate([RANDOM.normal(0, 3000, 200), RANDOM.normal(0, 5, 200), [0.0, -0.25, 1_234_567.5]]).round(2)


@pytest.mark.parametrize(
    ("decimal", "thousands"),
    [
        *((".", mark) for mark in ("", ",", " ", "'", "\u00a0", "\u2019")),
        *((",", mark) for mark in ("", ".", " ", "\u202f")),
    ],
)
def test_each_style_is_seen_by_the_column(decimal, thousands):
    read = numbers_of(in_style(NUMBERS, decimal, thousands))
    assert read.strange == {}
    np.testing.assert_array_equal(read.values, NUMBERS)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1,5", "2,25", "3"], [1.5, 2.25, 3]),
        (["6,234", "7,120", "812"], [6234, 7120, 812]),
        (["6,234", "1,5"], [6.234, 1.5]),
        (["0,125", "6,234"], [0.125, 6.234]),
        (["1.234,5", "1.234"], [1234.5, 1234]),
        (["1.234", "2.5"], [1.234, 2.5]),
        (["1e3", "+2", ".5", "5.", "-1E-2"], [1000, 2, 0.5, 5, -0.01]),
        (["1,5", "2.5", "3"], [1.5, 2.5, 3]),
        (["0.5", "1 234", "1'234.5", "1,234,567"], [0.5, 1234, 1234.5, 1234567]),
        (["0,5", "1 234", "1'234,5", "1.234.567"], [0.5, 1234, 1234.5, 1234567]),
        (["TRUE", "false", "NA"], [1, 0, np.nan]),
        (["1,12,345", "12,34,56,789.5", "1,234"], [112345, 123456789.5, 1234]),
        (["\u0663\u066b\u0665", "\u0661\u066c\u0662\u0663\u0664", "7"], [3.5, 1234, 7]),
        (["\uff11\uff12.\uff15", "-\u0967\u0968"], [12.5, -12]),
    ],
)
def test_the_numbers_of_columns(texts, values):
    read = numbers_of(texts)
    assert read.strange == {}
    np.testing.assert_array_equal(read.values, values)


@pytest.mark.parametrize("text", ["<0.1", "128 mmHg", "n/a?", "12,34,5", "1_000", "0x1f", "1.2.3", "--1", "e5", "1,5,"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_no_numbers(text, decimal):
    assert np.isnan(parse(read_cells(pd.Series([text])).texts, decimal)).all()


def test_the_mark_is_that_of_the_training_rows_whatever_new_rows_hold():
    training = pd.DataFrame({"comma": ["1,5", "2,5", "4"], "point": ["1.5", "2.5", "4"]})
    preprocessor = TablePreprocessor.fit(training)
    assert [column.decimal for column in preprocessor.numeric] == [",", "."]
    new = pd.DataFrame({"comma": ["1.234", "1,234"], "point": ["1.234", "1,234"]})
    features, _ = preprocessor.transform_with_findings(new)
    for place, (column, expected) in enumerate(zip(preprocessor.numeric, ([1234, 1.234], [1.234, 1234]), strict=True)):
        np.testing.assert_allclose(features[:, place] * column.scale + column.mean, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("training", "new", "value"),
    [(["1.5", "2.5", "4"], "1,234", 1234), (["1,5", "2,5", "4"], "1.234", 1234), (["1", "2", "4"], "-12,345", -12345)],
)
def test_what_could_be_thousands_or_decimals_is_named(training, new, value):
    preprocessor = TablePreprocessor.fit(pd.DataFrame({"x": training}))
    (column,) = preprocessor.numeric
    table = pd.DataFrame({"x": [training[0], new]}, index=["a", "b"])
    with pytest.warns(TableWarning, match=f"x: 1 cell is read as thousands, .* decimal: '{new}' in row b"):
        features = preprocessor.transform(table)
    assert features[1, 0] * column.scale + column.mean == pytest.approx(value)
    assert preprocessor.transform_with_findings(table.iloc[:1])[1].doubtful == {}


@pytest.mark.parametrize("training", [["6,234", "7,120", "812"], ["1.234,5", "1,5", "2"], ["1,234.5", "2", "3"]])
def test_thousands_that_training_wrote_are_no_doubt(training):
    preprocessor = TablePreprocessor.fit(pd.DataFrame({"x": training}))
    assert preprocessor.numeric[0].has_thousands
    new = pd.DataFrame({"x": ["1,234" if preprocessor.numeric[0].decimal == "." else "1.234"]})
    assert preprocessor.transform_with_findings(new)[1].warnings == []


STRANGE = {17: "<0.1", 2408: "128 mmHg", 4000: "n/a?"}


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("strange", [{}, {17: "<0.1"}, STRANGE])
@pytest.mark.parametrize("whole", [True, False])
def test_a_few_strange_cells_leave_a_column_numeric(decimal, strange, whole):
    numbers = np.random.default_rng(0).integers(0, 6, 5000) if whole else np.random.default_rng(0).normal(size=5000)
    texts = np.array([f"{number:.3f}".replace(".", decimal) for number in numbers], dtype=object)
    texts[list(strange)] = list(strange.values())
    frame = pd.DataFrame({"x": texts})
    preprocessor = TablePreprocessor.fit(frame)
    assert preprocessor.feature_names == ["x", "x missing"][: 1 + bool(strange)]
    features, findings = preprocessor.transform_with_findings(frame)
    assert findings.strange == ({"x": strange} if strange else {}) and findings.missing == {}
    kept = np.setdiff1d(np.arange(5000), list(strange))
    expected = np.round(numbers[kept], 3)
    column = preprocessor.numeric[0]
    np.testing.assert_allclose(features[kept, 0] * column.scale + column.mean, expected, atol=1e-5)
    if strange:
        median = (column.median - column.mean) / column.scale
        np.testing.assert_allclose(features[list(strange)], [[median, 1]] * len(strange), rtol=1e-6)
        assert findings.warnings[0].startswith(f"x: {len(strange)} cell") and "'<0.1' in row 17" in findings.warnings[0]


@pytest.mark.parametrize(
    "texts",
    [["1", "2", "3", "x"] * 20, ["001", "002", "250.00", "V10"] * 5 + ["001"] * 180, ["low", "12.5", "high"] * 30],
    ids=["grades", "codes with leading zeros", "words"],
)
def test_categories_that_look_like_numbers_now_and_then(texts):
    preprocessor = TablePreprocessor.fit(pd.DataFrame({"x": texts}))
    assert preprocessor.numeric == () and preprocessor.categorical[0].categories == tuple(sorted(set(texts)))


@pytest.mark.parametrize("name", ["table.csv", "table.tsv"])
def test_a_semicolon_file_with_decimal_commas(tmp_path, name):
    path = tmp_path / name
    path.write_text(
        "dose;weight;y\n" + "\n".join(f"{i % 7},{i % 10};{60 + i % 30},5;{i % 2}" for i in range(100)) + "\n"
    )
    frame = read_table(path)
    preprocessor = TablePreprocessor.fit(frame.drop(columns="y"))
    assert [(column.name, column.decimal) for column in preprocessor.numeric] == [("dose", ","), ("weight", ",")]
    features = preprocessor.transform(frame)
    dose = np.array([i % 7 + (i % 10) / 10 for i in range(100)])
    np.testing.assert_allclose(features[:, 0], (dose - dose.mean()) / dose.std(), rtol=1e-5, atol=1e-6)
    plain = pd.DataFrame({"dose": ["2.5"], "weight": [60]})
    np.testing.assert_allclose(preprocessor.transform(plain)[0, 0], (2.5 - dose.mean()) / dose.std(), rtol=1e-6)


@pytest.mark.parametrize("minus", ["\u2212", "\u2013"])
def test_minus_signs_of_typesetting(minus):
    texts = [f"{minus}{number / 4}" if number % 2 else f"{number / 4}" for number in range(40)]
    column = learn_column("v", pd.Series(texts, dtype="string"))
    assert isinstance(column, NumericColumn)
    read = column.read(pd.Series([f"{minus}1.5", "2", minus, f"3{minus}4"], dtype="string"))
    np.testing.assert_array_equal(read.values, [-1.5, 2, np.nan, np.nan])
    assert set(read.strange) == {2, 3}
