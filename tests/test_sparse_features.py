"""Sparse features: the same models as with dense ones, without a dense copy of them."""

import pickle
import resource
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.preprocessing import MaxAbsScaler
from torch import nn

from metricopt import DirectMetricClassifier, InvalidInputError, load
from metricopt.data.sparse_rows import SparseRows
from metricopt.scoring.standardize import Standardize

RANDOM = np.random.default_rng(0)
X = sp.random(500, 30, density=0.2, format="csr", random_state=0, data_rvs=lambda n: RANDOM.normal(0, 5, n))
Y = (X @ RANDOM.normal(size=30) + RANDOM.normal(0, 4, 500) > 8).astype(int)
ASKED = {"objective": "FPOR", "alpha": 0.4, "epochs": 6, "batch_size": 100, "folds": 3, "random_state": 0}
FORMATS = [sp.csr_array, sp.csc_matrix, sp.coo_array, sp.lil_matrix]


def linear(num_features):
    return nn.Linear(num_features, 1)


def two_layers(num_features):
    return nn.Sequential(nn.Linear(num_features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


@pytest.mark.parametrize(
    ("name", "same", "options"),
    [
        ("linear", linear, {}),
        ("linear", linear, {"dtype": "float32"}),
        ("mlp", two_layers, {}),
        ("mlp", two_layers, {"folds": None, "val_fraction": 0.3}),
    ],
)
def test_sparse_and_dense_features_give_the_same_model(name, same, options):
    asked = {**ASKED, **options}
    sparse = DirectMetricClassifier(model=name, **asked).fit(X, Y)
    scaled = MaxAbsScaler().fit_transform(X).toarray()
    dense = DirectMetricClassifier(model=same, **asked).fit(scaled, Y)
    close = {"atol": 1e-4 if asked.get("dtype") == "float32" else 1e-9}
    assert sparse.result_.status == dense.result_.status
    np.testing.assert_allclose(sparse.decision_function(X), dense.decision_function(scaled), **close)
    np.testing.assert_allclose(sparse.predict_proba(X), dense.predict_proba(scaled), **close)
    np.testing.assert_allclose(sparse.decision_function(X.toarray()), sparse.decision_function(X), **close)


@pytest.mark.parametrize("convert", FORMATS, ids=lambda convert: convert.__name__)
def test_every_format_is_taken(convert):
    whole = DirectMetricClassifier(**ASKED).fit(X, Y)
    given = convert(X)
    other = clone(whole).fit(given, Y)
    np.testing.assert_array_equal(other.decision_function(given), whole.decision_function(X))
    np.testing.assert_array_equal(other.predict(given), whole.predict(X))


def test_duplicates_are_summed_and_the_callers_matrix_stays():
    doubled = sp.csr_matrix((np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape)
    stored = doubled.nnz
    whole = DirectMetricClassifier(**ASKED).fit(X, Y)
    other = clone(whole).fit(doubled, Y)
    np.testing.assert_allclose(other.decision_function(doubled), whole.decision_function(X), atol=1e-9)
    assert doubled.nnz == stored


def test_weights_groups_and_integers():
    counts = (abs(X) > 2).astype(np.int64)
    given = {"sample_weight": np.where(np.arange(500) % 3 == 0, 2.0, 1.0), "groups": np.arange(500) // 2}
    asked = {**ASKED, "alpha": 0.25}
    fitted = DirectMetricClassifier(**asked).fit(counts, Y, **given)
    dense = DirectMetricClassifier(**{**asked, "model": linear}).fit(counts.toarray(), Y, **given)
    np.testing.assert_allclose(fitted.decision_function(counts), dense.decision_function(counts.toarray()), atol=1e-9)


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_it_is_pickled_saved_and_judged(name, tmp_path):
    fitted = DirectMetricClassifier(model=name, **{**ASKED, "epochs": 4}).fit(X, Y)
    expected = fitted.decision_function(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).decision_function(X), expected)
    result = fitted.result_
    back = load(result.save(tmp_path / "x"))
    np.testing.assert_array_equal(back.scores(X), result.scores(X))
    assert back.evaluate((X, Y)) == result.evaluate((X, Y))
    assert fitted.predict_proba(X[:1]).shape == (1, 2)
    with pytest.raises(ValueError, match="0 sample"):
        fitted.predict(X[:0])
    with pytest.raises(ValueError, match="X has 29 features, but DirectMetricClassifier is expecting 30"):
        fitted.predict(X[:, :29])


def test_auto_leaves_boosting_out_and_says_so():
    fitted = DirectMetricClassifier(model="auto", **{**ASKED, "epochs": 4}).fit(X, Y)
    assert [each.split(":")[0] for each in fitted.candidates_] == ["linear", "mlp", "boosting"]
    assert fitted.candidates_[-1] == "boosting: left out, because it takes no sparse matrix"


@pytest.mark.parametrize(("model", "what"), [("boosting", "dense for boosting"), (linear, "dense for a module")])
def test_models_that_take_no_sparse_matrix_say_so(model, what):
    with pytest.raises(InvalidInputError, match=f"X must be {what}, got a sparse matrix; give X.toarray"):
        DirectMetricClassifier(**{**ASKED, "model": model}).fit(X, Y)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_entries_that_are_not_finite_are_rejected(bad):
    broken = X.copy()
    broken.data[3] = bad
    with pytest.raises(ValueError, match="NaN|infinity"):
        DirectMetricClassifier(**ASKED).fit(broken, Y)


def test_rows_are_sparse_tensors():
    rows = SparseRows(X, torch.float32)
    chosen = torch.tensor([3, 0, 3])
    assert rows[chosen].is_sparse and rows[chosen].dtype == torch.float32 and len(rows) == rows.size(0) == 500
    np.testing.assert_array_equal(rows[chosen].to_dense(), X[chosen.numpy()].toarray().astype(np.float32))
    np.testing.assert_array_equal(rows[5:9].to_dense(), X[5:9].toarray().astype(np.float32))


def test_scaling_of_sparse_rows():
    weight = np.ones(500)
    weight[abs(X).sum(axis=1).A1.argmax()] = 0  # a row that does not count
    empty = sp.hstack([X, sp.csr_matrix((500, 1))]).tocsr()
    scaling = Standardize.of(empty, weight, torch.float64)
    expected = MaxAbsScaler().fit(empty[weight > 0]).scale_
    np.testing.assert_array_equal(scaling.scale, expected)
    batch = SparseRows(empty, torch.float64)[0:50]
    assert scaling(batch).is_sparse
    np.testing.assert_array_equal(scaling(batch).to_dense(), empty[:50].toarray() / expected)
    centred = Standardize.of(empty.toarray(), None, torch.float64)
    np.testing.assert_array_equal(centred(batch), centred(batch.to_dense()))


@contextmanager
def room_for(num_bytes):
    """Let this process take no more memory than so much beyond what it has."""
    had = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (had + num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="reads how much memory the process has from /proc")
def test_a_wide_matrix_is_never_dense():
    num_rows, num_columns, in_row = 20_000, 50_000, 20  # 8 GB as a dense matrix; 4,096 rows of it are 1.6 GB
    random = np.random.default_rng(0)
    y = (random.random(num_rows) < 0.1).astype(int)
    columns = random.integers(0, num_columns, (num_rows, in_row))
    columns[y == 1, :3] = random.integers(0, 50, (int(y.sum()), 3))
    wide = sp.csr_matrix((np.ones(columns.size), columns.ravel(), np.arange(0, columns.size + 1, in_row)))
    assert wide.shape == (num_rows, num_columns)
    with room_for(2**30):
        with pytest.raises(MemoryError):
            wide.toarray()
        asked = {"epochs": 2, "batch_size": 1000, "learning_rate": 0.2, "random_state": 0}
        fitted = DirectMetricClassifier("FPOR", 0.5, **asked).fit(wide, y)
        alarms = fitted.predict(wide)
    assert fitted.result_.status == "feasible" and y[alarms == 1].mean() > 0.5
