"""Labels as text or other numbers become 0, 1 and missing, and the positive class is the one that users mean."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from metricopt import InvalidInputError
from metricopt.problem.classes import Classes


@pytest.mark.parametrize(
    ("column", "positive", "expected"),
    [
        (["well", "sick", "well"], None, Classes("sick", ("well",), is_rarer=True)),
        (["well", "sick", "well"], "well", Classes("well", ("sick",))),
        (["1", "0", "1"], None, Classes("1", ("0",))),
        (["True", "False", "True"], None, Classes("True", ("False",))),
        (["TRUE", "false", "true"], None, Classes("True", ("False",))),
        (["0", "0"], None, Classes("1", ("0",))),
        ([" sick", "sick ", "well", "", None, np.nan], "sick", Classes("sick", ("well",))),
        ([1, 2, 2], 2, Classes("2", ("1",))),
        ([1.0, 2.0, 2.0], "2", Classes("2", ("1",))),
        ([True, False], "False", Classes("False", ("True",))),
        (["a", "b", "c", "c"], "b", Classes("b", ("a", "c"))),
        ([-1, 1, -1, np.nan], None, Classes("1", ("-1",), is_rarer=True)),
        ([2.0, 1.0, 2.0], None, Classes("1", ("2",), is_rarer=True)),
        ([0, 1, 1], None, None),
        ([1.0, np.nan, 1.0], None, None),
        ([0, 1, 2], None, None),
        ([0.5, 1.0, 1.0], None, None),
        ([True, None, False], None, None),
    ],
)
def test_classes_of_a_column(column, positive, expected):
    assert Classes.of(column, positive) == expected
    assert Classes.of(np.array(column), positive) == expected or None in column or "" in column
    assert Classes.of(np.array(column, object), positive) == expected


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["well", "sick", None, "well"]),
        pd.Series(["well", "sick", None, "well"], dtype="category"),
        pd.Series(["well", "sick", pd.NA, "well"], dtype="string"),
        pl.Series(["well", "sick", None, "well"]),
        pl.Series(["well", "sick", None, "well"], dtype=pl.Categorical),
        ("well", "sick", float("nan"), "well"),
    ],
    ids=["pandas", "categories", "nullable", "polars", "polars categories", "tuple"],
)
def test_columns_of_all_kinds(column):
    classes = Classes.of(column)
    assert classes == Classes("sick", ("well",), is_rarer=True)
    np.testing.assert_array_equal(classes.encode(column), [0, 1, np.nan, 0])


def test_numbers_as_they_are_saved_are_the_same_class():
    classes = Classes.of([1, 2, 2], 2)
    np.testing.assert_array_equal(classes.encode(torch.tensor([2.0, 1.0])), [1, 0])
    assert Classes.from_dict(classes.to_dict()) == classes


@pytest.mark.parametrize(
    ("column", "positive", "message"),
    [
        (["a", "b", "c"], None, r"label 'label' must be of two classes, got 'a' \(1 rows\), 'b' .*; say which one is"),
        (["a", "a"], None, r"label 'label' must be of two classes, got 'a' \(2 rows\); say which"),
        (["a", "b"], None, r"label 'label' must be of two classes with one rarer, got 'a' \(1 rows\), 'b' \(1 rows\)"),
        (["sick", "well"], "Sick", r"positive .* must be one of 'sick', 'well', got 'Sick'; did you mean 'sick'"),
        ([["a"], ["b"]], None, "labels must be text, numbers or booleans"),
        (None, None, "labels must be text, numbers or booleans"),
    ],
)
def test_a_column_that_does_not_tell_is_rejected(column, positive, message):
    with pytest.raises(InvalidInputError, match=message):
        Classes.of(column, positive)


def test_a_new_class_is_rejected():
    classes = Classes("sick", ("well",))
    with pytest.raises(InvalidInputError, match="label 'flu' must be of the classes 'sick', 'well', got 'Sick'"):
        classes.encode(["well", "Sick"], label="flu")
    assert classes.encode(["well", "well"]).tolist() == [0, 0]
