"""Results with classifiers come back as they were, and a folder made to harm is refused before anything runs."""

import io
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from metricopt import DirectMetricClassifier, InvalidInputError, load

RANDOM = np.random.default_rng(0)
Y = (RANDOM.random(200) < 0.4).astype(int)
X = RANDOM.normal(size=(200, 3)) + Y[:, np.newaxis]
FRAME = pd.DataFrame(X[:, :2], columns=["age", "pressure"]).assign(site=np.where(X[:, 2] > 0, "north", "south"))
TEXTS = [f"{'pain fever' if sick else 'walk'} word{number % 7}" for number, sick in enumerate(Y)]
MIXED = make_column_transformer((StandardScaler(), ["age", "pressure"]), (OneHotEncoder(), ["site"]))
BOOSTING = HistGradientBoostingClassifier(max_iter=5)


def fitted(model, features=X, **given):
    asked = {"folds": 2, "confidence": None, "random_state": 0, **given}
    return DirectMetricClassifier("FPOR", alpha=0.4, model=model, **asked).fit(features, Y)


@pytest.mark.parametrize(
    ("model", "features"),
    [
        (BOOSTING, X),
        (RandomForestClassifier(3), X),
        (LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1), X),
        (make_pipeline(MIXED, LogisticRegression()), FRAME),
        (LogisticRegression(), TfidfVectorizer().fit_transform(TEXTS)),
    ],
    ids=["boosting", "forest", "lightgbm", "mixed columns", "sparse"],
)
def test_classifiers_come_back(model, features, tmp_path):
    classifier = fitted(model, features)
    result = classifier.result_
    back = load(result.save(tmp_path / "x"))
    np.testing.assert_array_equal(back.scores(features), result.scores(features))
    np.testing.assert_array_equal(back.predict(features), classifier.predict(features))
    np.testing.assert_array_equal(back.probabilities(features), classifier.predict_proba(features)[:, 1])
    assert back.summary() == result.summary() and str(back.model) == str(result.model)
    assert back.evaluate((features, Y)) == result.evaluate(features, Y)
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        *("classifiers.skops", "result.json", "scores.safetensors")
    }
    with pytest.raises(InvalidInputError, match="model must be left out for a result with classifiers of its own"):
        load(tmp_path / "x", nn.Linear(3, 1))


def test_one_classifier_whose_part_was_held_out_comes_back(tmp_path):
    result = fitted(LogisticRegression(), folds=None, val_fraction=0.3).result_
    back = load(result.save(tmp_path / "x"))
    np.testing.assert_array_equal(back.scores(X), result.scores(X))
    assert len(back.model.models) == 1 and back.model.frames is None


@pytest.mark.slow
def test_the_table_of_candidates_comes_back(tmp_path):
    result = fitted("auto", epochs=5).result_
    back = load(result.save(tmp_path / "x"))
    np.testing.assert_array_equal(back.scores(X), result.scores(X))
    assert [each.name for each in back.candidates] == ["linear", "mlp", "boosting", "mlp + boosting"]
    assert back.candidates == result.candidates and sum(each.is_chosen for each in back.candidates) == 1
    assert all(f"Tried     {each}" in back.summary() for each in result.candidates)


def test_what_cannot_be_read_again_is_not_written(tmp_path):
    result = fitted(KNeighborsClassifier()).result_
    with pytest.raises(InvalidInputError, match="without a pickle, got KNeighborsClassifier, which needs sklearn.metr"):
        result.save(tmp_path / "x")
    assert not (tmp_path / "x" / "result.json").exists()


def test_export_and_wrong_features_say_what_is_wrong():
    result = fitted(LogisticRegression()).result_
    with pytest.raises(InvalidInputError, match="one with a torch model to export, got 2 x LogisticRegression"):
        result.export("x.onnx")
    with pytest.raises(ValueError, match="has 2 features, but LogisticRegression is expecting 3"):
        result.scores(X[:, :2])


# A hostile folder


class Harm:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def folder(tmp_path):
    return fitted(BOOSTING).result_.save(tmp_path / "x")


def rewritten(folder, change, compression=zipfile.ZIP_STORED):
    """Write the model's archive again, with its schema changed as text."""
    path = folder / "classifiers.skops"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["schema.json"] = change(members["schema.json"].decode()).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_pickle_is_not_read(folder, tmp_path):
    (folder / "classifiers.skops").write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    with pytest.raises(InvalidInputError, match="the saved model must be a file of skops, .*a pickle is never read"):
        load(folder)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"HistGradientBoostingClassifier"', '"KDTree"', "KDTree"),
        (
            '"__module__": "sklearn.ensemble._hist_gradient_boosting.predictor"',
            '"__module__": "os"',
            "os.TreePredictor",
        ),
    ],
)
def test_a_type_that_is_not_trusted_is_refused(folder, old, new, named):
    def change(schema):
        text = json.dumps(json.loads(schema))
        assert old in text
        return text.replace(old, new)

    rewritten(folder, change)
    with pytest.raises(InvalidInputError, match=f"the saved model must be of types that are trusted, got .*{named}"):
        load(folder)


def test_a_path_out_of_the_archive_is_refused(folder, tmp_path):
    np.save(tmp_path / "secret.npy", np.ones(3))

    def change(schema):
        inside = next(part for part in schema.split('"') if part.endswith(".npy"))
        return schema.replace(inside, "../secret.npy")

    rewritten(folder, change)
    with pytest.raises(InvalidInputError, match=r"a file there is damaged or not metricopt's: KeyError: .*\.\./secret"):
        load(folder)


def test_an_array_of_pickled_objects_is_refused(folder, tmp_path):
    written = io.BytesIO()
    np.save(written, np.array([Harm(tmp_path / "harm")], dtype=object), allow_pickle=True)
    path = folder / "classifiers.skops"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, written.getvalue() if name.endswith(".npy") else content)
    with pytest.raises(InvalidInputError, match="a file there is damaged or not metricopt's"):
        load(folder)
    assert not (tmp_path / "harm").exists()


def test_what_fills_the_memory_is_refused(folder):
    rewritten(folder, lambda schema: schema + " " * 10**8, zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidInputError, match="the saved model must be a file of its own size, got 100,"):
        load(folder)


@pytest.mark.parametrize("number", [-1, 0, 10**6])
@pytest.mark.parametrize("kind", ["boosting", "forest"])
def test_a_tree_that_points_elsewhere_is_refused(kind, number, tmp_path):
    result = fitted(BOOSTING if kind == "boosting" else RandomForestClassifier(2, random_state=0)).result_
    model = result.model.models[0]
    if kind == "boosting":
        model._predictors[0][0].nodes["left"][0] = max(number, 0)
    else:
        model.estimators_[0].tree_.children_right[0] = number
    with pytest.raises(InvalidInputError, match="the saved model must be of whole trees, got a node that points"):
        load(result.save(tmp_path / "x"))


@pytest.mark.parametrize("kind", ["boosting", "forest"])
def test_a_tree_of_a_feature_that_is_not_there_is_refused(kind, tmp_path):
    result = fitted(BOOSTING if kind == "boosting" else RandomForestClassifier(2, random_state=0)).result_
    model = result.model.models[1]
    if kind == "boosting":
        model._predictors[0][0].nodes["feature_idx"][0] = 3
    else:
        model.estimators_[0].tree_.feature[0] = 3
    with pytest.raises(InvalidInputError, match="the saved model must be of whole trees"):
        load(result.save(tmp_path / "x"))


def test_another_number_of_classifiers_is_refused(folder):
    saved = json.loads((folder / "result.json").read_text())
    saved["classifiers"]["centre"].append(0.0)
    saved["classifiers"]["spread"].append(1.0)
    (folder / "result.json").write_text(json.dumps(saved))
    with pytest.raises(InvalidInputError, match="the saved model must be 3 classifiers"):
        load(folder)
