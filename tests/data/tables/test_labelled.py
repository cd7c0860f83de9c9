import numpy as np
import pandas as pd
import pytest

from metricopt._validation import InvalidInputError
from metricopt.data import make_table

FRAME = pd.DataFrame(
    {
        "age": [61, 47, 50, 38],
        "dose": [0.5, None, 2.5, 1.0],
        "sex": ["F", "M", None, "F"],
        "outcome": ["sick", "well", None, "well"],
    }
)


@pytest.mark.parametrize(
    ("values", "positive", "labels", "text"),
    [
        ([0, 1, 0], None, [0, 1, 0], "1"),
        ([1.0, None, 0.0], None, [1, np.nan, 0], "1"),
        ([True, False, True], None, [1, 0, 1], "True"),
        ([True, False, None], None, [1, 0, np.nan], "True"),
        (["1", "0", " "], None, [1, 0, np.nan], "1"),
        (["1.0", "0", "0.0", "NA"], None, [1, 0, 0, np.nan], "1"),
        (["TRUE", "false", "False", "?"], None, [1, 0, 0, np.nan], "True"),
        (["None", "None", "mild", ""], None, [0, 0, 1, np.nan], "mild"),
        (["None", "mild", "severe", "null"], "None", [1, 0, 0, np.nan], "None"),
        (["no", "yes", "no"], None, [0, 1, 0], "yes"),
        (["no", "yes", "no"], "no", [1, 0, 1], "no"),
        (["a", "b", "c", None], "b", [0, 1, 0, np.nan], "b"),
        ([1, 2, 3], 3, [0, 0, 1], "3"),
        ([1, 2, 3], "3", [0, 0, 1], "3"),
        ([1.0, 2.0, None], 2, [0, 1, np.nan], "2"),
        ([0, 1, 1], "0", [1, 0, 0], "0"),
    ],
)
def test_labels(values, positive, labels, text):
    frame = pd.DataFrame({"x": range(len(values)), "y": values})
    table = make_table(frame, "y", positive)
    assert table.positive == text and table.label == "y"
    assert list(table.features.columns) == ["x"]
    assert table.labels.dtype == np.float64
    np.testing.assert_array_equal(table.labels, labels)


@pytest.mark.parametrize(
    ("values", "positive", "meaning"),
    [
        (
            ["normal", "abnormal", "normal"],
            None,
            "Positive: 'abnormal' (1 rows), the rarer class. Negative: 'no",
        ),
        ([-1, 1, 1], None, "Positive: '-1' (1 rows), the rarer class. Negative: '1' (2 rows)."),
        (
            ["1.0", "0.0", "1"],
            None,
            "Positive: '1' (2 rows), though it is not the rarer class. Neg",
        ),
        (["yes", "no", "no"], "no", "Positive: 'no' (2 rows). Negative: 'yes' (1 rows)."),
        (pd.array([True, None, False, False], dtype="boolean"), None, "Positive: 'True' (1 rows), the rarer class."),
        (list("abcab"), "b", "Positive: 'b' (2 rows). Negative: 'a' (2 rows), 'c' (1 rows)."),
        (list("abcab"), ["b", "c"], "Positive: 'b' and 'c' (3 rows). Negative: 'a' (2 rows)."),
        ([1, 2, 3], [2, "3"], "Positive: '2' and '3' (2 rows). Negative: '1' (1 rows)."),
    ],
)
def test_it_is_said_which_class_is_positive(values, positive, meaning):
    table = make_table(pd.DataFrame({"x": range(len(values)), "y": values}), "y", positive)
    assert table.meaning.startswith(meaning)
    chosen = table.positive.split(" or ")
    texts = [str(value).removesuffix(".0") for value in values]
    expected = [np.nan if text in ("None", "<NA>") else float(text in chosen) for text in texts]
    np.testing.assert_array_equal(table.labels, expected)


@pytest.mark.parametrize("positive", [["a", "b"], "d", ["a", "d"]])
def test_values_that_cannot_be_positive(positive):
    with pytest.raises(InvalidInputError, match="positive must be (some of the values of the label column|one of 'a')"):
        make_table(pd.DataFrame({"x": range(4), "y": list("abab")}), "y", positive)


@pytest.mark.parametrize("values", [list("abcd"), [0, 1, 2, 2]])
def test_several_classes_want_one_against_the_rest(values):
    message = r"say which one is positive \(--positive, .*: it is then told from the rest. .*OneVsRestClassifier"
    with pytest.raises(InvalidInputError, match=message):
        make_table(pd.DataFrame({"x": range(4), "y": values}), "y")


@pytest.mark.parametrize("values", [np.linspace(0, 1, 40), [f"{row}.5" for row in range(30)], list(range(21))])
def test_numbers_want_a_limit(values):
    message = f"and {len(values) - 8} more values; make two values of them, such as 1 above a limit and 0 below it"
    with pytest.raises(InvalidInputError, match=message):
        make_table(pd.DataFrame({"x": range(len(values)), "y": values}), "y")


@pytest.mark.parametrize(
    ("written", "given"),
    [(" y ", "y"), ("y\u00a0", "y"), ("y", "y "), ("\ufeffy", "y"), ("\u200by", "y"), ("e\u0301", "\u00e9")],
)
def test_names_without_what_cannot_be_seen(written, given):
    table = make_table(pd.DataFrame({"x": [1, 2, 3], written: [0, 1, 0]}), given)
    assert table.labels.tolist() == [0, 1, 0]
    with pytest.raises(InvalidInputError, match="different names, got twice"):
        make_table(pd.DataFrame([[1, 2, 3]], columns=["x", written, given.strip()]), given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "outcom"}, "label must be one of .*, got 'outcom'; did you mean 'outcome'?"),
        ({"label": "age"}, "label column 'age' must be of two values with one rarer, got '61' .1 rows.*say which one"),
        (
            {"label": "outcome", "positive": "sik"},
            "positive must be one of 'sick', 'well', got 'sik'; did you mean 'sick'",
        ),
    ],
)
def test_label_faults(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        make_table(FRAME, **arguments)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["a", "a", "a"], "label column 'y' must be of two values at least, got 'a' .3 rows.; choose"),
        ([None, None, None], "label column 'y' must be of two values at least, got only missing values"),
        (["a", "b", None], "label column 'y' must be of two values with one rarer"),
    ],
)
def test_labels_of_one_class(column, message):
    with pytest.raises(InvalidInputError, match=message):
        make_table(pd.DataFrame({"x": [1, 2, 3], "y": column}), "y")
    assert np.nansum(make_table(pd.DataFrame({"x": [1, 2, 3], "y": ["a", "b", "b"]}), "y").labels) == 1


def test_tables_without_rows_or_features():
    with pytest.raises(InvalidInputError, match="frame must be a table with at least one row"):
        make_table(FRAME.iloc[:0], "outcome")
    with pytest.raises(InvalidInputError, match="frame must be a table with at least one feature"):
        make_table(FRAME[["outcome"]], "outcome")


def test_columns_of_the_same_name():
    frame = pd.DataFrame([[1, 2, 0], [3, 4, 1]])
    with pytest.raises(
        InvalidInputError,
        match="table must be one whose columns have different names, got twice .'a'. .the first in columns 1 and 2.",
    ):
        make_table(frame.set_axis(["a", "a", "y"], axis=1), "y")
    assert list(make_table(frame, "2").features.columns) == ["0", "1"]  # names are text, as in a file


def test_take_keeps_rows_together():
    table = make_table(FRAME, "outcome").take(np.array([3, 0]))
    assert len(table) == 2
    assert table.features["age"].tolist() == [38, 61] and table.labels.tolist() == [0, 1]
