import json

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from metricopt._validation import InvalidInputError
from metricopt.data import TablePreprocessor, load_hypothyroid, make_table, read_table
from metricopt.data.tables import MAX_CATEGORIES

FRAME = pd.DataFrame(
    {
        "age": [61, 47, 50, 38],
        "dose": [0.5, None, 2.5, 1.0],
        "sex": ["F", "M", None, "F"],
        "outcome": ["sick", "well", None, "well"],
    }
)


def read_text(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return read_table(path)


# Reading


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".parquet", ".CSV"])
def test_reads_each_format_alike(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    if suffix == ".parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    read = read_table(path)
    expected = TablePreprocessor.fit(FRAME)
    assert TablePreprocessor.fit(read) == expected
    np.testing.assert_array_equal(expected.transform(read), expected.transform(FRAME))


def test_question_marks_and_blanks_are_missing(tmp_path):
    frame = read_text(tmp_path, "a,b , c\n1, x,?\n?,,  ?\n,y,3\n")
    assert list(frame.columns) == ["a", "b", "c"]
    assert frame.isna().to_numpy().tolist() == [[False, False, True], [True, True, True], [True, False, False]]
    assert frame["b"].dropna().tolist() == ["x", "y"]


@pytest.mark.parametrize("rows", ["1,2\n1,2,3\n", "1,2,3\n4,5,6\n"])
def test_rows_with_too_many_cells_do_not_shift_the_columns(tmp_path, rows):
    with pytest.raises(InvalidInputError, match="path must be a readable table, got .*every row has the columns"):
        read_text(tmp_path, "a,b\n" + rows)
    assert read_text(tmp_path, "a,b\n1,2\n")["a"].tolist() == [1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("table.xlsx", b"", "path must be a .csv, .tsv or .parquet file, got .*table.xlsx; convert"),
        ("table", b"a,b\n1,2\n", "path must be a .csv, .tsv or .parquet file"),
        ("table.gz", b"", "path must be a .csv, .tsv or .parquet file"),
        ("empty.csv", b"", "path must be a readable table, got .*empty.csv"),
        ("header.csv", b"a,b\n", "path must be a table with at least one row, got no rows in"),
        ("text.parquet", b"a,b\n1,2\n", "path must be a readable table"),
        ("latin.csv", b"a,b\n\xff,2\n", "path must be a readable table"),
        ("table.csv.gz", b"a,b\n1,2\n", "path must be a readable table"),
    ],
)
def test_unreadable_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=message):
        read_table(tmp_path / name)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_text_in_another_encoding(tmp_path, encoding):
    path = tmp_path / "table.csv"
    path.write_bytes("name,y\nJosé,1\n".encode(encoding))
    with pytest.raises(InvalidInputError, match="path must be a readable table, got .*table.csv .*; save it as UTF-8"):
        read_table(path)
    path.write_bytes("name,y\nJosé,1\n".encode())
    assert read_table(path)["name"].tolist() == ["José"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_with_another_separator(tmp_path, separator):
    text = "age,y\n1,0\n2,1\n3,0\n"
    message = "label must be a column of the table, got 'y' with the single column 'age.*y'; separate columns by commas"
    with pytest.raises(InvalidInputError, match=message):
        make_table(read_text(tmp_path, text.replace(",", separator)), "y")
    assert len(make_table(read_text(tmp_path, text), "y")) == 3
    with pytest.raises(InvalidInputError, match="label must be one of 'age', got 'y'; choose"):
        make_table(read_text(tmp_path, "age\n1\n"), "y")


def test_missing_file(tmp_path):
    with pytest.raises(InvalidInputError, match="path must be an existing file, got .*no.csv; check"):
        read_table(tmp_path / "no.csv")


# Labels


@pytest.mark.parametrize(
    ("values", "positive", "labels", "text"),
    [
        ([0, 1, 0], None, [0, 1, 0], "1"),
        ([1.0, None, 0.0], None, [1, np.nan, 0], "1"),
        ([True, False, True], None, [1, 0, 1], "True"),
        ([True, False, None], None, [1, 0, np.nan], "True"),
        (["1", "0", " "], None, [1, 0, np.nan], "1"),
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
        InvalidInputError, match="frame must be a table whose columns have different names, got twice .'a'"
    ):
        make_table(frame.set_axis(["a", "a", "y"], axis=1), "y")
    assert list(make_table(frame, "2").features.columns) == ["0", "1"]  # names are text, as in a file


def test_take_keeps_rows_together():
    table = make_table(FRAME, "outcome").take(np.array([3, 0]))
    assert len(table) == 2
    assert table.features["age"].tolist() == [38, 61] and table.labels.tolist() == [0, 1]


# Preprocessing


def sklearn_reference(train, new, numeric, categorical):
    """The same preprocessing as a scikit-learn pipeline, applied to new rows."""
    transformer = ColumnTransformer(
        [
            ("values", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            ("missing", MissingIndicator(error_on_new=False), numeric),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categorical),
        ]
    )
    return transformer.fit(train).transform(new)


def random_frame(seed, num_rows):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "normal": random.normal(5, 3, num_rows),
            "skewed": random.lognormal(0, 2, num_rows),
            "constant": np.full(num_rows, 7.0),
            "whole": random.integers(0, 9, num_rows),
            "letter": pd.Series(random.choice(list("abc"), num_rows), dtype=object),
            "word": pd.Series(random.choice(["yes", "no"], num_rows), dtype=object),
        }
    )
    for name in ("skewed", "word"):
        frame.loc[random.random(num_rows) < 0.2, name] = np.nan
    return frame


@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn_after_the_round_trip_through_json(seed):
    train, new = random_frame(seed, 60), random_frame(seed + 100, 40)
    new.loc[0, "letter"] = "unseen"
    new.loc[1, "normal"] = np.nan
    numeric, categorical = ["normal", "skewed", "constant", "whole"], ["letter", "word"]
    expected = sklearn_reference(train, new, numeric, categorical)
    learnt = TablePreprocessor.fit(train)
    restored = TablePreprocessor.from_dict(json.loads(json.dumps(learnt.to_dict(), allow_nan=False)))
    assert restored == learnt
    got = restored.transform(new)
    assert got.dtype == np.float32 and got.shape == (40, len(restored.feature_names))
    # ours puts the mark of a missing value behind its column
    order = ["normal", "skewed", "constant", "whole", "skewed missing"]
    order += ["letter = a", "letter = b", "letter = c", "word = no", "word = yes", "word missing"]
    np.testing.assert_allclose(
        got[:, [restored.feature_names.index(name) for name in order]], expected, rtol=1e-6, atol=1e-6
    )


def test_training_features_are_standardised_and_one_hot():
    frame = random_frame(0, 200)
    preprocessor = TablePreprocessor.fit(frame)
    features = dict(zip(preprocessor.feature_names, preprocessor.transform(frame).T, strict=True))
    for name in ("normal", "skewed", "whole"):
        assert features[name].mean() == pytest.approx(0, abs=1e-6)
        assert features[name].std() == pytest.approx(1, abs=1e-5)
    assert (features["constant"] == 0).all()
    assert (features["letter = a"] + features["letter = b"] + features["letter = c"] == 1).all()
    np.testing.assert_array_equal(features["skewed missing"], frame["skewed"].isna())


def test_numbers_written_as_text_are_numeric():
    as_text = pd.DataFrame({"x": ["1", " 2.5", None, "-3e1"], "flag": ["True", None, "False", "True"]})
    as_numbers = pd.DataFrame({"x": [1, 2.5, None, -30], "flag": [1, None, 0, 1]})
    learnt = TablePreprocessor.fit(as_text)
    assert [column.name for column in learnt.numeric] == ["x", "flag"]
    assert learnt == TablePreprocessor.fit(as_numbers)
    np.testing.assert_array_equal(learnt.transform(as_text), learnt.transform(as_numbers))


def test_kinds_of_columns_that_parquet_brings():
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "plain flag": [True, False, True],
            "group": pd.Categorical(["a", None, "b"]),
            "text": pd.array(["u", None, "v"], dtype="string"),
            "day": pd.to_datetime(["2020-01-01", None, "2020-01-02"]),
        }
    )
    preprocessor = TablePreprocessor.fit(frame)
    assert [column.name for column in preprocessor.numeric] == ["nullable", "flag", "plain flag"]
    assert [column.name for column in preprocessor.categorical] == ["group", "text", "day"]
    assert np.isfinite(preprocessor.transform(frame)).all()


def test_categories_do_not_depend_on_how_the_file_wrote_numbers():
    train = pd.DataFrame({"grade": ["1", "2", "x"]})
    preprocessor = TablePreprocessor.fit(train)
    for same in ([1, 2, 1], [1.0, 2.0, 1.0], ["1", " 2 ", "1"]):
        got = preprocessor.transform(pd.DataFrame({"grade": same}))
        np.testing.assert_array_equal(got, [[1, 0, 0], [0, 1, 0], [1, 0, 0]])


def test_unseen_categories_and_newly_missing_values_pass():
    preprocessor = TablePreprocessor.fit(pd.DataFrame({"x": [1.0, 3.0], "c": ["a", "b"]}))
    got = preprocessor.transform(pd.DataFrame({"x": [None, 2.0], "c": ["z", None], "extra": [1, 2]}))
    np.testing.assert_array_equal(got, np.zeros((2, 3)))
    assert preprocessor.transform(pd.DataFrame({"x": [], "c": []})).shape == (0, 3)


def test_rare_categories_are_cut_and_free_text_is_dropped():
    many = [f"common {i % MAX_CATEGORIES}" for i in range(200)] + [f"rare {i}" for i in range(10)]
    frame = pd.DataFrame(
        {"many": many, "free": [f"note {i}" for i in range(210)], "empty": [None] * 210, "x": range(210)}
    )
    preprocessor = TablePreprocessor.fit(frame)
    assert preprocessor.dropped == {"free": "holds a different text in every row", "empty": "holds no value"}
    (group,) = preprocessor.categorical
    assert len(group.categories) == MAX_CATEGORIES and all(name.startswith("common") for name in group.categories)
    assert (preprocessor.transform(frame)[-10:, 1:] == 0).all()
    few = TablePreprocessor.fit(frame.iloc[:MAX_CATEGORIES])  # distinct, but no more than fit
    assert few.dropped == {"empty": "holds no value"}


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"c": ["a"]}, "table must be one with the columns of the training table, got none named .'x'.; add them"),
        ({"x": ["1", "many"], "c": ["a", "b"]}, "column 'x' must be numeric as in training, got 'many'; correct it"),
        ({"x": [1, -np.inf], "c": ["a", "b"]}, "column 'x' must be finite or missing, got 1 infinite values; leave"),
    ],
)
def test_tables_that_do_not_fit_the_training_table(frame, message):
    preprocessor = TablePreprocessor.fit(pd.DataFrame({"x": [1.0, 3.0], "c": ["a", "b"]}))
    with pytest.raises(InvalidInputError, match=message):
        preprocessor.transform(pd.DataFrame(frame))
    assert preprocessor.transform(pd.DataFrame({"x": ["1"], "c": ["a"]})).shape == (1, 3)


def test_training_tables_without_anything_to_learn_from():
    with pytest.raises(InvalidInputError, match="features must be a table with at least one usable column, got .*'a'"):
        TablePreprocessor.fit(pd.DataFrame({"a": [None, None]}))
    with pytest.raises(InvalidInputError, match="column 'a' must be finite or missing"):
        TablePreprocessor.fit(pd.DataFrame({"a": [1.0, np.inf]}))


# The bundled table


def test_hypothyroid():
    table = load_hypothyroid()
    assert table.features.shape == (3163, 25)
    assert len(table) == 3163 and table.labels.sum() == 151 and not np.isnan(table.labels).any()
    assert (table.label, table.positive) == ("diagnosis", "hypothyroid")
    first = table.features.iloc[0]
    assert (first["age"], first["sex"], first["TSH"], first["FTI"]) == (72, "M", 30, 10)
    assert table.features.isna().sum()[["age", "sex", "TSH", "TBG"]].tolist() == [446, 73, 468, 2903]
    preprocessor = TablePreprocessor.fit(table.features)
    assert [column.name for column in preprocessor.numeric] == ["age", "TSH", "T3", "TT4", "T4U", "FTI", "TBG"]
    assert preprocessor.dropped == {}
    assert np.isfinite(preprocessor.transform(table.features)).all()
