"""Columns that are no features are left out, and listed with the reason."""

import datetime

import numpy as np
import pandas as pd
import pytest

from metricopt.data import TablePreprocessor

NUM_ROWS = 400
RANDOM = np.random.default_rng(0)
SHUFFLED = RANDOM.permutation(NUM_ROWS)
DAYS = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(NUM_ROWS) * 17, unit="D")


def reason(name, values):
    """Return why a column is left out of a table, None if it is a feature."""
    frame = pd.DataFrame({"age": np.arange(NUM_ROWS) % 50, name: values})
    preprocessor = TablePreprocessor.fit(frame)
    features, _ = preprocessor.transform_with_findings(frame)
    assert features.shape[1] == len(preprocessor.feature_names)
    left_out = f"{name or 'unnamed'} ({preprocessor.dropped[name]})" if preprocessor.dropped else "none"
    assert f"; left out: {left_out}." in preprocessor.summary
    return preprocessor.dropped.get(name)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "anything"])
@pytest.mark.parametrize("values", [np.arange(NUM_ROWS), np.arange(1.0, NUM_ROWS + 1), SHUFFLED, SHUFFLED.astype(str)])
def test_row_numbers(name, values):
    assert reason(name, values) == "row numbers"


def test_row_numbers_of_the_training_rows_alone():
    rows = np.sort(RANDOM.choice(NUM_ROWS, NUM_ROWS // 2, replace=False))
    preprocessor = TablePreprocessor.fit(
        pd.DataFrame({"n": np.arange(NUM_ROWS), "x": np.arange(NUM_ROWS) % 9}).iloc[rows]
    )
    assert preprocessor.dropped == {"n": "row numbers"}


@pytest.mark.parametrize(
    "name", ["id", "ID", "patient_id", "PatientID", "mrn", "uuid", "caseNo", "record", "patientid"]
)
@pytest.mark.parametrize(
    "values",
    [
        1_000_000 + SHUFFLED * 7919,
        1_600_000_000 + SHUFFLED * 7919,
        [f"P{number:05d}" for number in SHUFFLED],
        [f"P{number // 3}" for number in SHUFFLED],
        SHUFFLED * 1000 // 3000 * 977,
    ],
    ids=["unique numbers", "unique numbers like seconds", "unique text", "repeated text", "repeated numbers"],
)
def test_identifiers_by_name(name, values):
    assert reason(name, values) in ("an identifier", "row numbers")


@pytest.mark.parametrize(
    "values",
    [
        [f"{number:08x}" for number in RANDOM.integers(0, 2**32, NUM_ROWS)],
        [f"A-{number}" for number in np.where(np.arange(NUM_ROWS) < 20, 0, np.arange(NUM_ROWS))],
        [f"Ms {chr(65 + number % 26)}{number}" for number in SHUFFLED],
    ],
    ids=["unique", "nearly unique", "names"],
)
def test_text_that_differs_in_every_row(values):
    assert reason("code", values) == "a different text in nearly every row"


@pytest.mark.parametrize(
    "values",
    [
        DAYS,
        DAYS.date,
        DAYS.astype(str),
        DAYS.strftime("%d/%m/%Y"),
        DAYS.strftime("%d.%m.%y"),
        DAYS.strftime("%Y-%m-%dT%H:%M:%SZ"),
        DAYS.strftime("%d %b %Y"),
        DAYS.strftime("%Y%m%d"),
        DAYS.strftime("%Y%m%d").astype(int),
        pd.Series(DAYS.astype(str)).where(np.arange(NUM_ROWS) % 2 == 0),
        [f"{i % 24}:{i % 60:02d}" for i in range(NUM_ROWS)],
        [datetime.time(i % 24, i % 60) for i in range(NUM_ROWS)],
        DAYS - DAYS[0],
        DAYS.strftime("%Y-%m"),
        DAYS.strftime("%m/%Y"),
        DAYS.strftime("%d%m%Y"),
        DAYS.strftime("%a, %d %b %Y %H:%M:%S"),
        [
            f"{1 + i % 28}. {month} 2020"
            for i, month in zip(range(NUM_ROWS), ["M\u00e4rz", "Mai", "Okt."] * 200, strict=False)
        ],
        [f"{1 + i % 28} de {('enero', 'agosto')[i % 2]} de 2020" for i in range(NUM_ROWS)],
        [f"2020\u5e74{1 + i % 12}\u6708{1 + i % 28}\u65e5" for i in range(NUM_ROWS)],
        1_600_000_000 + SHUFFLED * 7919 % 10**6,
        1000 * (1_600_000_000 + SHUFFLED * 7919 % 10**6),
    ],
)
def test_dates_and_times(values):
    assert reason("when", values) == "dates or times"


@pytest.mark.parametrize("value", [7, "yes", 1.5, True])
def test_columns_of_one_value(value):
    assert reason("always", [value] * NUM_ROWS) == "holds one value alone"
    assert reason("now and then", [value, None] * (NUM_ROWS // 2)) is None


@pytest.mark.parametrize("value", [None, "", "NA", np.nan, pd.NaT])
def test_columns_without_a_value(value):
    assert reason("never", [value] * NUM_ROWS) == "holds no value"


def test_free_text():
    words = np.array(["the", "patient", "was", "seen", "today", "and", "feels", "much", "better", "than", "before"])
    notes = [" ".join(words[RANDOM.integers(0, len(words), 6)]) for _ in range(NUM_ROWS // 2)]
    assert reason("note", notes * 2) == "free text"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("income", RANDOM.permutation(10**6)[:NUM_ROWS]),
        ("platelets", RANDOM.normal(250, 50, NUM_ROWS)),
        ("id ratio", RANDOM.normal(size=NUM_ROWS)),
        ("site_id", np.arange(NUM_ROWS) % 12),
        ("patient_age", 18 + np.arange(NUM_ROWS) % 60),
        ("acid", np.arange(NUM_ROWS) % 70),
        ("year", 1990 + np.arange(NUM_ROWS) % 30),
        ("zip", [f"{i % 80:05d}" for i in range(NUM_ROWS)]),
        ("city", [f"city {i % 60}" for i in range(NUM_ROWS)]),
        ("part", [f"{i % 9} items {i % 7}" for i in range(NUM_ROWS)]),
        ("ratio", [f"{i % 9}/{i % 7}" for i in range(NUM_ROWS)]),
    ],
)
def test_features_are_kept(name, values):
    assert reason(name, values) is None


def test_few_rows_say_little():
    frame = pd.DataFrame({"x": [3, 1, 2, 5], "c": ["a", "b", "c", "d"], "id": [1, 2, 3, 4]})
    preprocessor = TablePreprocessor.fit(frame)
    assert preprocessor.dropped == {"id": "an identifier"}
    assert preprocessor.summary == "Features used: 1 numeric (x), 1 categorical (c); left out: id (an identifier)."
