import pickle
from unittest import SkipTest

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from lightgbm import LGBMClassifier
from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, fbeta_score, precision_score, recall_score
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_predict, cross_val_score, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import FPOR, DirectMetricClassifier, InvalidInputError, ObjectiveScorer, Status
from metricopt.losses import WeightedCrossEntropy
from metricopt.problem.classes import as_text
from metricopt.problem.registry import REGISTRY
from metricopt.scoring.ensemble import Ensemble
from metricopt.solvers import Profiled

SHORT = {"epochs": 20, "learning_rate": 0.1, "random_state": 0}
CHECKED = {
    "a bound that is supported": DirectMetricClassifier(alpha=0.05, epochs=6, learning_rate=0.15),
    "logistic regression": DirectMetricClassifier(model=LogisticRegression(), alpha=0.05),
    "training rows": DirectMetricClassifier(epochs=12, learning_rate=0.15, folds=None, val_fraction=0),
}
CHECKS = [
    pytest.param(
        estimator, check, id=f"{name}-{check.func.__name__}", marks=[] if name == "training rows" else pytest.mark.slow
    )
    for name, one in CHECKED.items()
    for estimator, check in estimator_checks_generator(one)
]
SKIPPED = {"check_array_api_input": "wants SCIPY_ARRAY_API set before SciPy is imported"}
# As in scikit-learn's own estimators that cross-validate: a row repeated lies in several folds, one of weight 2 in one.
FAILS_WITH_FOLDS = {
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
}
# It asks, among much else, that the more probable class is predicted: calibrated probabilities and a threshold for a
# bound cannot both do that.
WANTS_THE_LARGER_PROBABILITY = "check_classifiers_train"
ALPHAS = {"RecallAtFPR": 0.1, "RecallAtAlarmRate": 0.3}


def problem(num_rows=120, seed=0):
    return make_classification(
        num_rows, 4, n_informative=3, n_redundant=0, weights=[0.7], flip_y=0.1, random_state=seed
    )


def classifier(objective="FPOR", **parameters):
    """Return a classifier whose training rows choose, so that few rows are enough."""
    given = {"alpha": ALPHAS.get(objective, 0.8), "val_fraction": 0, **SHORT, **parameters}
    return DirectMetricClassifier(objective, **given)


class WithoutProbabilities(DirectMetricClassifier):
    @property
    def predict_proba(self):
        raise AttributeError("predict_proba")


class Decided(ClassifierMixin, BaseEstimator):
    """Predicts, and ranks nothing."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), int)


def make_network(num_features):
    return nn.Sequential(nn.Linear(num_features, 8), nn.Tanh(), nn.Linear(8, 1))


@pytest.mark.filterwarnings("ignore:infeasible", "ignore:unsupported")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_scikit_learn_checks(estimator, check):
    if estimator.folds == "auto" and check.func.__name__ in FAILS_WITH_FOLDS:
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            check(estimator)
        return
    if check.func.__name__ == WANTS_THE_LARGER_PROBABILITY:
        estimator = WithoutProbabilities(**estimator.get_params(deep=False))
    try:
        check(estimator)
    except SkipTest:
        assert check.func.__name__ in SKIPPED
        raise


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "model"), [("FPOR", make_network), ("FROP", "linear"), ("OFBS", "linear"), ("OAP", "linear")]
)
def test_integer_weights_equal_repeated_rows(objective, model):
    x, y = problem()
    times = np.random.default_rng(0).integers(0, 4, size=len(y))
    order = np.random.default_rng(1).permutation(times.sum())
    model = classifier(objective, model=model, epochs=40)
    weighted = clone(model).fit(x, y, sample_weight=times)
    repeated = clone(model).fit(np.repeat(x, times, axis=0)[order], np.repeat(y, times)[order])
    # Sums over other numbers of rows round differently, on some processors more than on others.
    np.testing.assert_allclose(weighted.decision_function(x), repeated.decision_function(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(weighted.predict(x), repeated.predict(x))
    assert not np.allclose(weighted.decision_function(x), clone(model).fit(x, y).decision_function(x), rtol=1e-3)


def test_it_is_fit():
    x, y = problem()
    given = {"batch_size": 32, "val_fraction": 0.25, "confidence": None}
    model = classifier(model=(module := make_network(4)), **given).fit(x, y)
    loader = DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y)), batch_size=32, shuffle=True)
    result = metricopt.fit(
        module.double(),
        loader,
        "FPOR",
        alpha=0.8,
        val_fraction=0.25,
        confidence=None,
        epochs=20,
        learning_rate=0.1,
        progress=False,
    )
    for own, other in zip(model.result_.model.parameters(), result.model.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=0)
    assert model.threshold_ == result.threshold and model.result_.validation.num_samples == 30
    np.testing.assert_array_equal(model.predict(x), result.predict(x))


@pytest.mark.parametrize(
    ("module", "kind", "num_layers"),
    [("linear", nn.Sequential, 2), ("mlp", nn.Sequential, 2), (make_network, nn.Sequential, 3)],
)
def test_modules(module, kind, num_layers):
    x, y = problem()
    model = clone(classifier(model=module)).fit(x, y)
    assert type(model.result_.model) is kind and len(list(model.result_.model.children())) == num_layers
    assert {weights.dtype for weights in model.result_.model.parameters()} == {torch.float64}
    again = clone(model).fit(x, y)
    np.testing.assert_array_equal(again.decision_function(x), model.decision_function(x))
    other = clone(model).set_params(random_state=1).fit(x, y)
    assert not np.array_equal(other.decision_function(x), model.decision_function(x))


@pytest.mark.parametrize(
    ("module", "kind", "judges"),
    [
        ("linear", nn.Sequential, "5 folds"),
        (make_network, Ensemble, "5 folds"),
        (make_network(4), nn.Sequential, "20% of the"),
    ],
)
def test_rows_that_did_not_train_choose_by_default(module, kind, judges):
    x, y = problem(600)
    model = DirectMetricClassifier("FPOR", alpha=0.35, model=module, **SHORT).fit(x, y)
    result = model.result_
    assert type(result.model) is kind and result.holdout.startswith(judges)
    assert result.confidence == 0.9 and result.status is Status.FEASIBLE
    assert result.selection.num_samples == {"5 folds": 600, "20% of the": 120}[judges]
    assert precision_score(y, model.predict(x)) >= 0.35


def test_what_is_passed_is_left_as_it_was():
    x, y = problem()
    solver, loss, module = Profiled(), WeightedCrossEntropy(), make_network(4)
    before = [weights.clone() for weights in module.parameters()]
    model = classifier(solver=solver, model=module).fit(x, y)
    assert vars(solver) == vars(Profiled()) and model.result_.solver == "profiled"
    assert classifier(solver=loss).fit(x, y).result_.solver == "WeightedCrossEntropy"
    assert loss.num_positives is None
    for weights, old in zip(module.parameters(), before, strict=True):
        assert weights is not old and torch.equal(weights, old) and weights.dtype == torch.float32


def test_single_precision():
    x, y = problem()
    model = classifier(dtype="float32").fit(x, y)
    assert {weights.dtype for weights in model.result_.model.parameters()} == {torch.float32}
    np.testing.assert_array_equal(model.predict(x), model.result_.predict(x.astype(np.float32)))


def test_defaults_are_a_thousand_full_batches(monkeypatch):
    seen = []

    def spy(module, loader, objective, **rest):
        seen.append((loader.batch_size, rest["epochs"]))
        return metricopt.fit(module, loader, objective, **(rest | {"epochs": 20}))

    monkeypatch.setattr("metricopt.estimator.modules.fit", spy)
    x, y = problem()
    classifier(epochs=None).fit(x, y)
    classifier(epochs=None, batch_size=16).fit(x, y)
    classifier(epochs=7).fit(x, y)
    given = {**SHORT, "epochs": None, "alpha": 0.3, "folds": 3}
    for kind in ("linear", "mlp"):
        DirectMetricClassifier("OFBS", model=kind, **given).fit(*problem(300))
    assert seen == [(120, 1000), (16, None), (120, 7), (300, 1000), (256, None)]


@pytest.mark.filterwarnings("ignore:infeasible")
def test_search_over_alpha_and_learning_rate_in_a_pipeline():
    x, y = problem(300, seed=2)
    pipeline = Pipeline([("scale", StandardScaler()), ("classify", classifier())])
    grid = {"classify__alpha": [0.4, 0.9], "classify__learning_rate": [0.02, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring=ObjectiveScorer("FPOR", alpha=0.6)).fit(x, y)
    scores, is_loose = search.cv_results_["mean_test_score"], search.cv_results_["param_classify__alpha"] == 0.4
    assert (scores[is_loose] < -1).all() and (scores[~is_loose] > 0).all()
    best = search.best_estimator_
    assert search.best_params_["classify__alpha"] == best[-1].alpha == 0.9
    assert search.score(x, y) == ObjectiveScorer("FPOR", alpha=0.6)(best, x, y) == recall_score(y, best.predict(x))
    assert best.score(x, y) == best[-1].score(best[0].transform(x), y)


def test_cross_validated_predictions():
    x, y = problem()
    model = make_pipeline(StandardScaler(), classifier("OFBS"))
    predicted = {kind: cross_val_predict(model, x, y, cv=3, method=kind) for kind in ("predict", "decision_function")}
    np.testing.assert_array_equal(predicted["predict"], predicted["decision_function"] > 0)
    assert fbeta_score(y, predicted["predict"], beta=1) > 0.6
    assert cross_val_score(model, x, y, cv=3).mean() > 0.6


def test_pickle_and_clone():
    x, y = problem()
    model = classifier(model=make_network).fit(x, y)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict_proba(x), model.predict_proba(x))
    assert copied.result_.summary() == model.result_.summary()
    cloned = clone(model)
    assert cloned.get_params() == model.get_params() and not hasattr(cloned, "result_")
    assert not hasattr(clone(classifier(model=lambda num_features: nn.Linear(num_features, 1))), "result_")


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames(frame):
    x, y = problem()
    names = ["age", "tsh", "t3", "t4"]
    table = frame({name: column for name, column in zip(names, x.T, strict=True)})
    column = {pd.DataFrame: pd.Series, pl.DataFrame: pl.Series}[frame]
    model = classifier().fit(table, column(y), sample_weight=column(np.ones(len(y))))
    seen = getattr(StandardScaler().fit(table), "feature_names_in_", None)  # scikit-learn 1.7 finds none in polars 2
    assert seen is not None or frame is pl.DataFrame
    assert model.n_features_in_ == 4 and hasattr(model, "feature_names_in_") == (seen is not None)
    plain = classifier().fit(x, y)
    # A frame's columns lie one after the other, which changes the order of sums.
    np.testing.assert_allclose(model.decision_function(table), plain.decision_function(x), rtol=1e-6)
    assert model.score(table, column(y)) == plain.score(x, y)
    if seen is not None:
        assert model.feature_names_in_.tolist() == names
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(table[names[::-1]])


@pytest.mark.parametrize(
    "values", [("healthy", "sick"), (False, True), (-1, 1), (2.0, 5.0), ("normal", "abnormal"), (1, -1)]
)
@pytest.mark.parametrize("model", ["linear", LogisticRegression()])
def test_the_rarer_class_is_positive(values, model):
    x, y = problem()
    named = np.array(values)[y]
    model, plain = classifier(model=model).fit(x, named), classifier(model=model).fit(x, y)
    assert y.mean() < 0.5 and model.positive_ == values[1]
    assert model.classes_.tolist() == sorted(values)
    is_second = values == tuple(sorted(values))
    decisions, predicted = model.decision_function(x), model.predict(x)
    np.testing.assert_array_equal(decisions > 0, plain.predict(x) == is_second)
    np.testing.assert_allclose(decisions if is_second else -decisions, plain.decision_function(x), atol=1e-12)
    np.testing.assert_array_equal(predicted, np.array(values)[plain.predict(x)])
    np.testing.assert_array_equal(model.predict_proba(x)[:, int(is_second)], plain.predict_proba(x)[:, 1])
    assert model.score(x, named) == plain.score(x, y) == recall_score(named, predicted, pos_label=values[1])
    name = "label" if values == (False, True) else str(values[1]).removesuffix(".0")
    assert model.result_.label_names == (name,)
    said = f"Positive  {name!r}, the rarer class"
    assert (said in model.result_.summary()) == (name != "label")


@pytest.mark.parametrize("values", [(0, 1), (False, True), (0.0, 1.0)])
def test_of_0_and_1_the_positive_class_is_1(values):
    x, y = problem()
    model, other = classifier().fit(x, np.array(values)[1 - y]), classifier(pos_label=0).fit(x, 1 - y)
    assert (1 - y).mean() > 0.5 and model.positive_ == values[1]
    np.testing.assert_array_equal(other.predict(x) == 0, classifier().fit(x, y).predict(x) == 1)
    assert other.positive_ == 0 and other.classes_.tolist() == [0, 1]


def test_of_two_classes_as_frequent_the_second_is_positive():
    x, _ = problem()
    assert classifier(alpha=0.3).fit(x, np.resize(["a", "b"], len(x))).positive_ == "b"


@pytest.mark.parametrize("kind", ["Int64", "boolean", "string", "category"])
def test_columns_of_pandas_are_targets(kind):
    x, y = problem()
    column = pd.Series(y.astype(str) if kind in ("string", "category") else y).astype(kind)
    model, plain = classifier().fit(x, column), classifier().fit(x, y)
    np.testing.assert_array_equal(model.decision_function(x), plain.decision_function(x))
    column[[3, 5]] = pd.NA
    with pytest.raises(InvalidInputError, match="y must be given for every row, got 2 missing values; leave these"):
        classifier().fit(x, column)


@pytest.mark.parametrize("names", [["benign", "cyst", "malignant", "normal"], [0, 1, 2, 3]])
@pytest.mark.parametrize("place", [0, 2])
def test_one_class_against_the_rest(names, place):
    x, y = problem(200)
    several = np.where(y == 1, place, (np.arange(200) % 3 + place + 1) % 4)
    model, plain = classifier(pos_label=names[place]).fit(x, np.array(names)[several]), classifier().fit(x, y)
    np.testing.assert_array_equal(model.predict(x) == names[place], plain.predict(x) == 1)
    np.testing.assert_array_equal(model.decision_function(x), plain.decision_function(x))
    assert model.score(x, np.array(names)[several]) == plain.score(x, y)
    assert model.positive_ == names[place] == model.classes_[1]
    assert f"Positive  '{names[place]}'; negative: '" in model.result_.summary()
    assert model.classes_[0] == f"not {as_text(names[place])}" and model.result_.label_names == (as_text(names[place]),)
    with pytest.raises(ValueError, match="type of the target is multiclass. For several classes, give pos_label to fi"):
        classifier().fit(x, np.array(names)[several])


def test_the_positive_class_is_one_of_them():
    x, y = problem()
    with pytest.raises(InvalidInputError, match="pos_label must be one of 'sick', 'well', got 'sik'; did you mean 'si"):
        classifier(pos_label="sik").fit(x, np.where(y == 1, "sick", "well"))
    for positive in ("sick", "well"):
        assert classifier(pos_label=positive, alpha=0.2).fit(x, np.where(y == 1, "sick", "well")).positive_ == positive


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_the_scorer_takes_the_positive_class_of_the_classifier(wrap):
    x, y = problem()
    named = np.where(y == 1, "abnormal", "normal")
    for model in (wrap(classifier()), wrap(LogisticRegression())):
        model.fit(x, named)
        predicted = model.predict(x)
        assert ObjectiveScorer("FPOR", alpha=0.1)(model, x, named) == recall_score(
            named, predicted, pos_label="abnormal"
        )
        ranked = ObjectiveScorer("OAP")(model, x, named)
        assert ranked == pytest.approx(average_precision_score(y, -model.decision_function(x)))


@pytest.mark.parametrize("objective", REGISTRY)
def test_predictions_follow_decisions_and_probabilities_have_their_order(objective):
    x, y = problem()
    model = classifier(objective).fit(x, y)
    decisions, probabilities = model.decision_function(x), model.predict_proba(x)
    np.testing.assert_array_equal(model.predict(x), decisions > 0)
    np.testing.assert_array_equal(np.argsort(probabilities[:, 1]), np.argsort(decisions))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(x), model.result_.predict(x))


@pytest.mark.parametrize("model", ["linear", "boosting"])
def test_probabilities_are_those_of_new_rows(model):
    x, y = problem(6000, seed=1)
    fitted = DirectMetricClassifier("FPOR", alpha=0.6, model=model, random_state=0, epochs=60).fit(x[:2000], y[:2000])
    probabilities, truth = fitted.predict_proba(x[2000:])[:, 1], y[2000:]
    assert probabilities.mean() == pytest.approx(truth.mean(), abs=0.02)
    alone = brier_score_loss(truth, np.full(len(truth), y[:2000].mean()))
    assert brier_score_loss(truth, probabilities) < 0.7 * alone
    for part in np.array_split(np.argsort(probabilities), 5):
        assert probabilities[part].mean() == pytest.approx(truth[part].mean(), abs=0.1)


def test_features_need_no_scaling():
    x, y = problem(400)
    wide = x * 10.0 ** np.array([-12, 12, 0, 3]) + np.array([0, 1e12, 0, 5e6])
    wide = np.column_stack([wide, np.full(400, 7.0)])
    asked = {"alpha": 0.2, "epochs": 40, "random_state": 0}
    for kind in ("linear", "mlp"):
        scaled = make_pipeline(StandardScaler(), DirectMetricClassifier("FPOR", model=kind, **asked)).fit(wide, y)
        plain = DirectMetricClassifier("FPOR", model=kind, **asked).fit(wide, y)
        np.testing.assert_allclose(plain.decision_function(wide), scaled.decision_function(wide), atol=1e-3)


def test_rows_at_the_threshold_are_predicted_positive():
    """A constant model flags everything at its only score: half-way confidences must not turn that around."""
    x, y = np.zeros((20, 1)), np.arange(20) % 2
    model = classifier("FROP", alpha=1.0).fit(x, y)
    assert model.threshold_ == model.result_.scores(x)[0]
    assert model.predict(x).all() and (model.decision_function(x) > 0).all()
    assert (model.predict_proba(x).argmax(axis=1) == 1).all()


@pytest.mark.parametrize("objective", REGISTRY)
def test_the_score_is_the_objectives_metric(objective):
    x, y = problem()
    model = classifier(objective, alpha=0.5, beta=2.0).fit(x, y)
    predicted, report = model.predict(x), model.result_.train
    expected = {
        "FPOR": recall_score(y, predicted),
        "FROP": precision_score(y, predicted),
        "OFBS": fbeta_score(y, predicted, beta=2),
        "OAP": average_precision_score(y, model.decision_function(x)),
        "RecallAtFPR": recall_score(y, predicted),
        "RecallAtAlarmRate": recall_score(y, predicted),
    }[objective]
    assert report.met in (True, None)
    assert model.score(x, y) == pytest.approx(expected) == pytest.approx(report.value)
    weight = np.random.default_rng(0).integers(0, 3, size=len(y))
    repeated = np.repeat(np.arange(len(y)), weight)
    assert model.score(x, y, weight) == pytest.approx(model.score(x[repeated], y[repeated]))


@pytest.mark.parametrize(
    ("objective", "numbers", "score"),
    [
        ("FPOR", {"alpha": 0.25}, 1.0),
        ("FPOR", {"alpha": 0.3}, 0.25 - 2),
        ("RecallAtFPR", {"alpha": 0.9}, -1.0 - 2),
        ("RecallAtAlarmRate", {"alpha": 1.0}, 1.0),
        ("FROP", {"alpha": 1.0}, 0.25),
        ("OFBS", {"beta": 1.0}, 0.4),
        ("OAP", {}, 0.25),
        (FPOR((0.3,)), {}, 0.25 - 2),
    ],
)
def test_scores_of_a_classifier_that_always_raises_an_alarm(objective, numbers, score):
    x, y = np.zeros((8, 1)), np.arange(8) % 4 == 0
    always = DummyClassifier(strategy="constant", constant=True).fit(x, y)
    assert ObjectiveScorer(objective, **numbers)(always, x, y) == pytest.approx(score)


@pytest.mark.parametrize(("objective", "numbers"), [("FPOR", {"alpha": 0.3}), ("FROP", {"alpha": 0.3})])
def test_a_classifier_without_alarms_misses_the_bound_by_most(objective, numbers):
    x, y = np.zeros((8, 1)), np.arange(8) % 4 == 0
    never = DummyClassifier(strategy="constant", constant=False).fit(x, y)
    assert ObjectiveScorer(objective, **numbers)(never, x, y) == -2


def test_any_classifier_of_two_classes_can_be_scored():
    x, y = problem()
    model, scorer = LogisticRegression().fit(x, y), ObjectiveScorer("FPOR", alpha=0.5)
    forest = RandomForestClassifier(5, random_state=0).fit(x[:60], y[:60])
    expected = average_precision_score(y, forest.predict_proba(x)[:, 1])
    assert ObjectiveScorer("OAP")(forest, x, y) == pytest.approx(expected)
    with pytest.raises(InvalidInputError, match="estimator must be of two classes, got 3 classes; "):
        scorer(LogisticRegression().fit(x, y + (x[:, 0] > 0)), x, y)
    assert scorer(model, x, y) == recall_score(y, model.predict(x))
    assert np.isnan(scorer(model, x[y == 0], y[y == 0]))
    assert repr(pickle.loads(pickle.dumps(scorer))) == "ObjectiveScorer(FPOR(min_precision=0.5))"


def test_a_missed_bound_warns():
    x, y = np.zeros((20, 1)), np.arange(20) % 2
    with pytest.warns(UserWarning, match=r"same score.* all alike. Best achievable precision: 0.500 \(asked 0.8\)"):
        model = classifier().fit(x, y)
    assert model.result_.status is Status.INFEASIBLE and model.score(x, y) == -1.5
    assert classifier(alpha=0.5).fit(x, y).score(x, y) == 1.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"objective": "FPRO"}, "objective must be one of .*, got 'FPRO'; did you mean 'FROP'?"),
        ({"alpha": 1.5}, r"min_precision must be in \(0, 1\], got 1.5; "),
        ({"alpha": None}, "alpha must be given for FPOR"),
        ({"objective": "OFBS", "beta": 0.0}, "beta must be a finite number above 0, got 0.0; "),
        ({"batch_size": 0}, "batch_size must be None or an integer >= 1, got 0; "),
        ({"batch_size": True}, "batch_size must be None or an integer >= 1, got True; "),
        ({"dtype": "float16"}, "dtype must be one of 'float32', 'float64', got 'float16'; did you mean"),
        (
            {"model": "linaer"},
            "model must be one of 'auto', 'boosting', 'linear', 'mlp', got 'linaer'; did you mean 'linear'?",
        ),
        ({"model": LogisticRegression}, "model must be an instance, got the class LogisticRegression; "),
        ({"model": LinearRegression()}, "model must be a classifier, got LinearRegression; "),
        ({"model": Decided()}, "model must be one with decision_function or predict_proba, got"),
        ({"model": "boosting", "confidence": "high"}, r"confidence must be in \(0, 1\), got 'high'"),
        ({"model": "boosting", "val_fraction": 1}, r"val_fraction must be in \[0, 1\), got 1; "),
        ({"model": "auto", "folds": None}, "model must be the name of one model where there are no folds, got auto"),
        ({"model": 3}, "model must be a name, a classifier, a Module or a callable, got 3; "),
        ({"model": lambda num_features: None}, "model must be a callable that returns a Module, got NoneType; "),
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0; "),
        ({"val_fraction": 1.0}, r"val_fraction must be in \[0, 1\), got 1.0; "),
        ({"solver": "profield"}, "solver must be one of .*, got 'profield'; did you mean 'profiled'?"),
        ({"random_state": -1}, r"seed must be an integer in \[0, 2\*\*32\), got -1; "),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(InvalidInputError, match=message):
        classifier(**parameters).fit(*problem())


def test_numbers_that_an_objective_does_not_take_are_ignored():
    x, y = problem()
    for objective in ("OFBS", "OAP", FPOR(0.8)):
        assert classifier(objective, alpha=None).fit(x, y).score(x, y) == classifier(objective).fit(x, y).score(x, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, w: (x, y * 0, w), r"y must be of two classes, got 1 class \(.*0.*\); "),
        (lambda x, y, w: (x, y + x[:, 0], w), "Unknown label type"),
        (lambda x, y, w: (x, y + (x[:, 0] > 0), w), "Only binary classification is supported"),
        (lambda x, y, w: (x, y, w * y), "sample_weight must be above 0 for a row of each class, got none but"),
        (lambda x, y, w: (x, y, -w), "sample_weight must be >= 0, got -1; "),
        (lambda x, y, w: (x, y, w[1:]), "inconsistent numbers of samples"),
        (lambda x, y, w: (x * np.nan, y, w), "Input X contains NaN"),
    ],
)
def test_bad_data(change, message):
    x, y = problem()
    weight = np.ones(len(y))
    with pytest.raises(ValueError, match=message):
        classifier().fit(*change(x, y, weight))
    classifier().fit(x, y, weight)


# Any model


def test_a_classifier_is_trained_as_it_is_and_judged_out_of_fold():
    x, y = problem(400)
    given = LogisticRegression(C=0.5)
    model = DirectMetricClassifier("FPOR", alpha=0.3, model=given, folds=KFold(4)).fit(x, y)
    assert not hasattr(given, "coef_") and len(model.models_) == 4
    for fitted, (train, _) in zip(model.models_, KFold(4).split(x), strict=True):
        np.testing.assert_array_equal(fitted.coef_, clone(given).fit(x[train], y[train]).coef_)
    result = model.result_
    assert result.model.models is model.models_ and result.confidence == 0.9 and result.holdout.startswith("4 folds")
    judged = result.data_scores["validation"]
    folds = np.concatenate([np.full(100, fold) for fold in range(4)])
    chosen = metricopt.choose_threshold(judged.scores, judged.labels, FPOR(0.3), confidence=0.9, folds=folds)
    assert model.threshold_ == chosen.threshold
    np.testing.assert_array_equal(model.predict(x), result.predict(x))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(x), model.decision_function(x))


@pytest.mark.parametrize(
    "given",
    [
        RandomForestClassifier(20, random_state=0),  # probabilities of 0 and 1 among them
        LGBMClassifier(n_estimators=20, random_state=0, verbose=-1, n_jobs=1),
        make_pipeline(StandardScaler(), LogisticRegression()),
        "boosting",
    ],
)
def test_whatever_the_model_new_rows_meet_the_bound(given):
    x, y = problem(6000, seed=1)
    model = DirectMetricClassifier("FPOR", alpha=0.6, model=given, random_state=0).fit(x[:1000], y[:1000])
    alarms = model.predict(x[1000:])
    assert model.result_.status is Status.FEASIBLE
    assert precision_score(y[1000:], alarms) >= 0.6 and recall_score(y[1000:], alarms) > 0.3
    decisions = model.decision_function(x[1000:])
    assert len(np.unique(decisions)) > 100 and np.isfinite(decisions).all()


def test_frames_with_text_reach_the_pipeline_and_weights_its_last_step():
    x, y = problem(400)
    frame = pd.DataFrame(x[:, :2], columns=["age", "pressure"]).assign(site=np.where(x[:, 2] > 0, "north", "south"))
    columns = make_column_transformer((StandardScaler(), ["age", "pressure"]), (OneHotEncoder(), ["site"]))
    pipeline = make_pipeline(columns, LogisticRegression())
    weight = np.where(np.arange(400) < 50, 3.0, 1.0)
    folds = np.arange(400) % 2
    model = DirectMetricClassifier("FPOR", alpha=0.3, model=pipeline, folds=folds).fit(frame, y, sample_weight=weight)
    own = clone(pipeline).fit(frame[1::2], y[1::2], logisticregression__sample_weight=weight[1::2])
    np.testing.assert_array_equal(model.models_[0][-1].coef_, own[-1].coef_)
    assert list(model.feature_names_in_) == ["age", "pressure", "site"]
    assert model.result_.selection[0].num_samples == 400
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"site": "place"}))


def test_sparse_features():
    x, y = problem(400)
    dense = DirectMetricClassifier("FPOR", alpha=0.3, model=LogisticRegression(), random_state=0).fit(x, y)
    sparse = clone(dense).fit(csr_matrix(x), y)
    np.testing.assert_allclose(sparse.decision_function(csr_matrix(x)), dense.decision_function(x), atol=1e-3)


def test_a_model_without_weights_says_so():
    x, y = problem(300)
    with pytest.warns(UserWarning, match="KNeighborsClassifier takes no sample_weight, so its training ignores"):
        model = DirectMetricClassifier("FPOR", alpha=0.4, model=KNeighborsClassifier(15)).fit(x, y, np.full(300, 2.0))
    assert model.result_.data_scores["validation"].sample_weight.sum() == 600


@pytest.mark.parametrize(
    ("error", "said"), [(RuntimeError("the largest"), "the largest"), (KeyError("site"), "KeyError..site..")]
)
def test_a_fold_that_fails_is_named(error, said):
    class Fragile(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            if X[:, 0].max() > 99:
                raise error
            return super().fit(X, y, sample_weight)

    x, y = problem(100)
    x[np.flatnonzero(np.arange(100) % 4 == 2)[0], 0] = 100.0
    model = DirectMetricClassifier("FPOR", alpha=0.5, model=Fragile(), folds=np.arange(100) % 4)
    with pytest.raises(InvalidInputError, match=f"Fragile could not be trained in fold 1 of 4: {said}"):
        model.fit(x, y)


class OfThree(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), 3), 1 / 3)


def test_probabilities_of_three_classes_are_told():
    x, y = problem(100)
    model = DirectMetricClassifier("FPOR", alpha=0.5, model=OfThree(), folds=None, val_fraction=0)
    with pytest.raises(InvalidInputError, match=r"a column for each of two classes, got shape \(100, 3\) of OfThree"):
        model.fit(x, y)


@pytest.mark.parametrize("folds", [2, None])
def test_scores_that_are_not_finite_are_told(folds):
    class Broken(LogisticRegression):
        def decision_function(self, X):
            return np.full(len(X), np.nan)

    x, y = problem(100)
    with pytest.raises(InvalidInputError, match="model must be one that gives finite scores, got 100 others"):
        DirectMetricClassifier("FPOR", alpha=0.5, model=Broken(), folds=folds).fit(x, y)


@pytest.mark.filterwarnings("ignore:unsupported")
def test_a_part_held_out_or_the_training_rows_choose_where_asked():
    x, y = problem(500)
    asked = {"alpha": 0.5, "model": LogisticRegression(), "random_state": 0}
    part = DirectMetricClassifier("FPOR", folds=None, **asked).fit(x, y)
    assert part.result_.holdout == "20% of the rows, which were held out"
    assert part.result_.selection[0].num_samples == 100 and len(part.models_) == 1
    same = DirectMetricClassifier("FPOR", folds=None, val_fraction=0, **asked).fit(x, y)
    assert same.result_.confidence is None and same.result_.selection[0].num_samples == 500
    with pytest.raises(InvalidInputError, match="confidence must be left out where the training rows choose"):
        DirectMetricClassifier("FPOR", folds=None, val_fraction=0, confidence=0.9, **asked).fit(x, y)
    with pytest.raises(InvalidInputError, match="val_fraction must be left out beside folds, got 0.2"):
        DirectMetricClassifier("FPOR", folds=3, val_fraction=0.2, **asked).fit(x, y)


def test_fewer_groups_than_five_make_fewer_folds():
    x, y = problem(120)
    model = DirectMetricClassifier("OFBS", model=LogisticRegression()).fit(x, y, groups=np.arange(120) % 3)
    assert len(model.models_) == 3


def test_groups_stay_in_one_fold_and_testify_as_one():
    x, y = problem(200)
    x, y, groups = np.repeat(x, 4, axis=0), np.repeat(y, 4), np.repeat(np.arange(200), 4)
    for kind in (LogisticRegression(), "linear"):
        model = DirectMetricClassifier("FPOR", alpha=0.2, model=kind, epochs=20, random_state=0)
        judged = model.fit(x, y, groups=groups).result_.data_scores["validation"]
        assert all(len(set(judged.folds[groups == group])) == 1 for group in range(200))
        np.testing.assert_array_equal(judged.groups, groups)


def test_groups_and_weights_are_routed():
    x, y = problem(400)
    groups, weight = np.arange(400) // 2, np.full(400, 2.0)
    model = DirectMetricClassifier("FPOR", alpha=0.2, model=LogisticRegression())
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(groups=True, sample_weight=True).set_score_request(sample_weight=True)
        given = {"groups": groups, "sample_weight": weight}
        found = cross_validate(model, x, y, params=given, cv=GroupKFold(2), return_estimator=True)
    for fitted in found["estimator"]:
        judged = fitted.result_.data_scores["validation"]
        assert len(set(judged.groups)) == 100 and judged.sample_weight.sum() == 400
    assert np.isfinite(found["test_score"]).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:infeasible")
@pytest.mark.usefixtures("small_forests")
def test_auto_takes_the_model_that_the_rows_favour():
    random = np.random.default_rng(0)
    x = random.normal(size=(3000, 4))
    straight = (x[:, 0] + 0.4 * random.normal(size=3000) > 1.5).astype(int)
    bent = (np.abs(x[:, 0]) + np.abs(x[:, 1]) + 0.2 * random.normal(size=3000) < 0.6).astype(int)
    asked = {"alpha": 0.7, "model": "auto", "epochs": 12, "batch_size": 256, "random_state": 0}
    linear = DirectMetricClassifier("FPOR", **asked).fit(x, straight)
    assert [line.partition(":")[0] for line in linear.candidates_] == [*("linear", "mlp", "boosting", "mlp + boosting")]
    assert linear.candidates_[0].startswith("linear: feasible, recall 0.")
    assert linear.candidates_[0].endswith(" (chosen)") and linear.models_ == ()
    trees = DirectMetricClassifier("FPOR", **asked).fit(x, bent)
    assert not trees.candidates_[0].endswith(" (chosen)") and "infeasible" in trees.candidates_[0]
    new = random.normal(size=(3000, 4))
    truth = np.abs(new[:, 0]) + np.abs(new[:, 1]) < 0.6
    assert precision_score(truth, trees.predict(new)) >= 0.7


@pytest.mark.filterwarnings("ignore:unsupported")
def test_searches_over_the_model_inside():
    x, y = problem(300)
    model = DirectMetricClassifier("FPOR", alpha=0.3, model=LogisticRegression(), random_state=0)
    scoring = ObjectiveScorer("FPOR", alpha=0.3)
    search = GridSearchCV(model, {"model__C": [0.01, 1.0], "alpha": [0.25, 0.3]}, scoring=scoring, cv=2).fit(x, y)
    assert set(search.best_params_) == {"alpha", "model__C"} and np.isfinite(search.best_score_)
