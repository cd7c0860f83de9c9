"""Dates that are read as numbers of days where their owner asks for it."""

import numpy as np
import pandas as pd
import pytest

from metricopt import InvalidInputError
from metricopt.data import TablePreprocessor, TableWarning

DAYS = pd.to_datetime(pd.Series(["2020-01-31", "2021-12-24", "1969-06-01", "2020-02-01"]))


def table_of(dates):
    return pd.DataFrame({"day": dates, "x": [0.5, 1.0, 2.0, 4.0]})


@pytest.mark.parametrize(
    "date_format",
    [
        "%Y-%m-%d",
        "%d.%m.%Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%Y%m%d",
        "%d %b %Y",
        "%Y-%m-%d %H:%M:%S",
        "%m/%d/%Y %H:%M",
        "%a, %d %b %Y",
        "%d%m%Y",
        None,
    ],
)
def test_dates_in_each_format_are_days(date_format):
    table = table_of(DAYS if date_format is None else DAYS.dt.strftime(date_format))
    assert TablePreprocessor.fit(table).feature_names == ["x"]
    preprocessor = TablePreprocessor.fit(table, dates=["day"])
    (column, _) = preprocessor.numeric
    features = preprocessor.transform(table)
    days = [18292, 18985, -214, 18293]
    np.testing.assert_allclose(features[:, 0] * column.scale + column.mean, days, rtol=1e-4)
    assert TablePreprocessor.from_dict(preprocessor.to_dict()) == preprocessor
    for row in range(4):
        np.testing.assert_array_equal(preprocessor.transform(table.iloc[[row]])[0], features[row])


def test_new_cells_that_are_no_dates_are_named():
    preprocessor = TablePreprocessor.fit(table_of(DAYS.dt.strftime("%d.%m.%Y")), dates=["day"])
    new = table_of(["31.01.2020", "01/31/2020", None, "unknown"])
    with pytest.warns(TableWarning, match="day: 2 cells are no numbers and count as missing: '01/31/2020' in row 1"):
        features = preprocessor.transform(new)
    assert features[1, 0] == features[2, 0] == features[3, 0]


@pytest.mark.parametrize(
    ("dates", "names", "fault"),
    [
        (["01/02/2020", "03/04/2021", "05/06/2020", "1/1/2020"], ["day"], "which could be %d/%m/%Y or %m/%d/%Y; write"),
        (["soon", "later", "2020-01-31", "never"], ["day"], "date column 'day' must be of dates, got 'soon'"),
        (["2020-01-31"] * 4, ["days"], "dates must be one of 'day', 'x', got 'days'"),
    ],
)
def test_dates_that_cannot_be_read(dates, names, fault):
    with pytest.raises(InvalidInputError, match=fault):
        TablePreprocessor.fit(table_of(dates), dates=names)
