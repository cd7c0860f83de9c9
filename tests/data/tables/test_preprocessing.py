import json

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from metricopt._validation import InvalidInputError
from metricopt.data import TablePreprocessor, TableWarning, load_hypothyroid
from metricopt.data.tables import MAX_CATEGORIES


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
    numeric, categorical = ["normal", "skewed", "whole"], ["letter", "word"]
    expected = sklearn_reference(train, new, numeric, categorical)
    learnt = TablePreprocessor.fit(train)
    restored = TablePreprocessor.from_dict(json.loads(json.dumps(learnt.to_dict(), allow_nan=False)))
    assert restored == learnt
    with pytest.warns(TableWarning, match="letter: 1 row matches no category that training kept: 'unseen' .1."):
        got = restored.transform(new)
    assert got.dtype == np.float32 and got.shape == (40, len(restored.feature_names))
    # ours puts the mark of a missing value behind its column
    order = ["normal", "skewed", "whole", "skewed missing"]
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
    assert [column.name for column in preprocessor.categorical] == ["group", "text"]
    assert preprocessor.dropped == {"day": "dates or times"}
    assert np.isfinite(preprocessor.transform(frame)).all()


def test_categories_do_not_depend_on_how_the_file_wrote_numbers():
    train = pd.DataFrame({"grade": ["1", "2", "x"]})
    preprocessor = TablePreprocessor.fit(train)
    for same in ([1, 2, 1], [1.0, 2.0, 1.0], ["1", " 2 ", "1"]):
        got = preprocessor.transform(pd.DataFrame({"grade": same}))
        np.testing.assert_array_equal(got, [[1, 0, 0], [0, 1, 0], [1, 0, 0]])


def test_unseen_categories_and_newly_missing_values_pass():
    preprocessor = TablePreprocessor.fit(pd.DataFrame({"x": [1.0, 3.0], "c": ["a", "b"]}))
    with pytest.warns(TableWarning, match="c: 1 row matches no category that training kept: 'z' .1."):
        got = preprocessor.transform(pd.DataFrame({"x": [None, 2.0], "c": ["z", None], "extra": [1, 2]}))
    np.testing.assert_array_equal(got, np.zeros((2, 3)))
    assert preprocessor.transform(pd.DataFrame({"x": [], "c": []})).shape == (0, 3)


def test_rare_categories_are_cut_and_said():
    many = [f"common {i % MAX_CATEGORIES}" for i in range(200)] + [f"rare {i}" for i in range(10)]
    frame = pd.DataFrame({"many": many, "empty": [None] * 210, "x": [i % 7 for i in range(210)]})
    preprocessor = TablePreprocessor.fit(frame)
    assert preprocessor.dropped == {"empty": "holds no value"}
    (group,) = preprocessor.categorical
    assert len(group.categories) == MAX_CATEGORIES and all(name.startswith("common") for name in group.categories)
    with pytest.warns(TableWarning, match="many: 10 rows match no category .*: 'rare 0' .1., .*5 more"):
        assert (preprocessor.transform(frame)[-10:, 1:] == 0).all()
    assert preprocessor.summary == (
        "Features used: 1 numeric (x), 1 categorical (many); left out: empty (holds no value). "
        "many has 60 categories: the 50 most frequent are features."
    )


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"c": ["a"]}, "table must be one with the columns of the training table, got none named .'x'.; add them"),
        ({"x": [1], "c": ["a"], "x ": [2]}, "table must be one whose columns have different names, got twice .'x'."),
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
