import numpy as np
import pandas as pd
import pytest

from benchmarks.data.encoding import encode


def test_missing_numbers_take_the_normal_value_and_an_indicator():
    table = pd.DataFrame({"age": [40.0, np.nan, 60.0], "lab": [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(encode(table, {"age": 50.0}), [[40, 0, 1], [50, 1, 2], [60, 0, 3]])


def test_few_missing_numbers_have_no_indicator():
    table = pd.DataFrame({"age": [np.nan, *range(199)]})
    np.testing.assert_array_equal(encode(table, {"age": 50.0})[:, 0], [50, *range(199)])


def test_missing_number_without_normal_value_is_rejected():
    with pytest.raises(KeyError, match="age"):
        encode(pd.DataFrame({"age": [40.0, np.nan]}), {"lab": 1.0})


def test_categories_have_a_column_each_and_missing_ones_too():
    table = pd.DataFrame({"sex": ["F", "M", "F", "M"], "stage": pd.Categorical([2, 1, None, 3])})
    np.testing.assert_array_equal(encode(table), [[0, 0, 0, 1, 0], [1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 1]])


def test_column_that_never_varies_is_left_out():
    table = pd.DataFrame({"a": [1, 1], "b": ["x", "x"], "c": [1, 2]})
    np.testing.assert_array_equal(encode(table), [[1], [2]])


def test_no_row_depends_on_another():
    table = pd.DataFrame({"age": [40.0, np.nan, 60.0, np.nan], "sex": ["F", "M", None, "F"]})
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(encode(table.iloc[order], {"age": 50.0}), encode(table, {"age": 50.0})[order])
    table.loc[2, "age"] = 1000.0
    np.testing.assert_array_equal(encode(table, {"age": 50.0})[1], [50, 1, 0, 0, 1])
