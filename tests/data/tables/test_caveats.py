import numpy as np
import pandas as pd
import pytest

from metricopt.data import TableWarning, load_thyroid, make_table, read_table
from metricopt.data.tables.caveats import caveats_of


def sick(num_rows=300, seed=0):
    return (np.random.default_rng(seed).random(num_rows) < 0.2).astype(float)


def frame(**columns):
    """Return a table with a useful column, a label and these columns."""
    labels = sick()
    noise = np.random.default_rng(1).normal(size=len(labels))
    return pd.DataFrame({"marker": labels + noise, "y": np.where(labels == 1, "sick", "well"), **columns})


def caveats(table):
    with pytest.warns(TableWarning) as caught:
        made = make_table(table, "y")
    assert [str(each.message) for each in caught] == list(made.caveats)
    return made.caveats


# A feature that gives the label away


def nearly(labels):
    """Return labels of which one is wrong."""
    return np.where(np.arange(len(labels)) == 5, 1 - labels, labels)


@pytest.mark.parametrize(
    "column",
    [
        sick(),
        -3 * sick() + np.random.default_rng(0).random(300),
        np.where(sick() == 1, "K70.1", "Z00"),
        np.array(["a", "b", "c", "d"])[(2 * sick() + np.random.default_rng(0).integers(0, 2, 300)).astype(int)],
        np.where(sick() == 1, 30.0 + np.arange(300) % 7, np.nan),
        np.where(sick() == 1, None, "alive"),
        nearly(sick()),
        np.where(sick() == 1, "1,5", "2,5"),
    ],
    ids=["equal", "shifted", "codes", "several codes", "missing else", "missing then", "nearly", "text"],
)
def test_a_column_that_separates_the_classes_is_named(column):
    (caveat,) = caveats(frame(given=column))
    assert caveat.startswith("given alone separates the classes of 'y' (balanced accuracy ")
    assert caveat.endswith("if it is not known before 'y' is, leave it out (--drop given)")


@pytest.mark.parametrize(
    "column",
    [
        np.where(np.random.default_rng(2).random(300) < 0.05, 1 - sick(), sick()),
        np.array([f"ward {i % 40}" for i in range(300)]),
        [f"{i:04x}" for i in range(300)],
        np.random.default_rng(2).normal(sick() * 2, 1),
    ],
    ids=["one of twenty wrong", "categories", "every row", "overlap"],
)
def test_a_column_that_does_not_is_not(column):
    assert make_table(frame(given=column), "y").caveats == ()


def test_too_few_rows_say_nothing():
    few = frame(given=sick())
    few = pd.concat([few[few["y"] == "sick"].head(4), few[few["y"] == "well"]])
    assert make_table(few, "y").caveats == ()


def test_long_and_wide_tables_are_looked_at_in_part():
    labels = sick(40_000)
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(40_000, 5)))
    wide["y"], wide["given"] = labels, labels * 2
    assert len(caveats(wide)) == 1
    assert load_thyroid().caveats == ()


# Rows without a label


@pytest.mark.parametrize("blank", [None, "", "?", "NA", " n/a "])
def test_many_rows_without_a_label_are_said(blank):
    table = frame()
    table.loc[:59, "y"] = blank
    (caveat,) = caveats(table)
    assert caveat.startswith("60 of 300 rows (20%) have no value in 'y' and do not count")
    table = frame()
    table.loc[:14, "y"] = blank  # 5 %
    assert make_table(table, "y").caveats == ()


@pytest.mark.parametrize(("word", "num_missing"), [("None", 0), ("unknown", 0), ("NULL", 168), ("", 168)])
def test_words_are_classes_and_values(tmp_path, word, num_missing):
    words = [word] * 168 + ["mild"] * 87 + ["severe"] * 45
    path = tmp_path / "table.csv"
    pd.DataFrame({"stage": words[::-1], "x": np.arange(300) % 7, "y": words}).to_csv(path, index=False)
    read = read_table(path)
    if num_missing:
        with pytest.warns(TableWarning, match="168 of 300 rows .56%. have no value in 'y'"):
            table = make_table(read, "y", "severe")
    else:
        table = make_table(read, "y", "severe")
    assert np.isnan(table.labels).sum() == num_missing == read["stage"].isna().sum()
    assert np.nanmean(table.labels) == 45 / (300 - num_missing)


# Repeated identifiers


@pytest.mark.parametrize("name", ["patient_id", "PatientID", "MRN", "id", "subject", "patientid"])
def test_repeated_identifiers_want_to_be_a_group(name):
    (caveat,) = caveats(frame(**{name: [f"P{i // 3}" for i in range(300)]}))
    assert caveat == (
        f"{name} repeats (100 values in 300 rows): the same one may be in training and test; add --group {name}"
    )
    assert make_table(frame(**{name: range(300)}), "y").caveats == ()


@pytest.mark.parametrize("name", ["patient_age", "acid", "site_id", "visit"])
def test_other_names_do_not(name):
    assert make_table(frame(**{name: [i // 3 for i in range(300)]}), "y").caveats == ()


NUMBERS_OF_UNITS = np.random.default_rng(0).normal(50, 9, 60).round(1)


@pytest.mark.parametrize("form", ["{}%", "{} mg", "${}", "<{}", "{} mmHg", "{} kg/m²", "({})"])
def test_numbers_with_marks_beside_them(form):
    column = [form.format(number) for number in NUMBERS_OF_UNITS]
    features = pd.DataFrame({"v": column})
    (said,) = caveats_of(features, np.zeros(60), "y")
    assert said == f"v holds numbers with marks beside them ({column[0]!r}), which are text: write the numbers alone"


@pytest.mark.parametrize(
    "column",
    [
        NUMBERS_OF_UNITS,
        [str(number) for number in NUMBERS_OF_UNITS],
        [f"K{number}" for number in range(60)],
        [f"{number}{'ABCDEFGHIJ'[number % 10]}" for number in range(60)],
        ["10 mg", "20 mg", "30 mg"] * 20,
        ["<0.1", *[str(number) for number in NUMBERS_OF_UNITS[1:]]],
        [f"2020-01-{day:02d}" for day in range(1, 31)] * 2,
    ],
)
def test_numbers_codes_and_few_doses_are_no_numbers_with_marks(column):
    assert caveats_of(pd.DataFrame({"v": column}), np.zeros(60), "y") == []


@pytest.mark.parametrize("word", ["not done", "see note"])
def test_numbers_among_as_many_words(word):
    column = [str(number) if row % 2 else word for row, number in enumerate(NUMBERS_OF_UNITS)]
    (said,) = caveats_of(pd.DataFrame({"v": column}), np.zeros(60), "y")
    assert said.startswith(f"v holds as many words as numbers ({word!r} the most), so that each number is a category")
    codes = pd.DataFrame(
        {"v": [f"{number:g}" if row % 9 == 0 else f"V{row % 7}" for row, number in enumerate(range(60))]}
    )
    assert caveats_of(codes, np.zeros(60), "y") == []


@pytest.mark.parametrize("code", [-9, -99.0, -999, "-9999"])
def test_codes_that_stand_for_missing_numbers(code):
    numbers = np.abs(NUMBERS_OF_UNITS)
    column = pd.Series([code if row % 5 == 0 else number for row, number in enumerate(numbers)])
    column = column.astype("string") if isinstance(code, str) else column.astype(float)
    (said,) = caveats_of(pd.DataFrame({"v": column}), np.zeros(60), "y")
    assert said.startswith(f"v is {code:g} in 12 of 60 rows" if code != "-9999" else "v is -9999 in 12 of 60 rows")
    below = column.astype(float).where(np.arange(60) != 1, -3.0)
    once = pd.Series(numbers).where(np.arange(60) != 1, float(code))
    for harmless in (below, once, -column.astype(float)):
        assert caveats_of(pd.DataFrame({"v": harmless}), np.zeros(60), "y") == []
