"""What a cell writes down, and that nothing but its test columns depends on test labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from benchmarks.data import BenchmarkData
from benchmarks.peers import tuned_threshold
from benchmarks.running import cells
from benchmarks.running.called import Classifier
from benchmarks.running.cells import Cell, cells_of
from benchmarks.running.roster import METHODS, NUM_SETTINGS
from benchmarks.running.rules import RULES, thresholds_by_rule
from benchmarks.running.task import make_task
from benchmarks.suites import SUITES, Plan, Suite
from benchmarks.suites.suite import OBJECTIVES
from metricopt import DirectMetricClassifier
from metricopt.evidence.candidates import best_candidate
from metricopt.evidence.thresholds import choose_threshold
from metricopt.training.replicas import fresh_models

pytestmark = pytest.mark.usefixtures("small_forests")


def problem(name="made up"):
    random = np.random.default_rng(0)
    labels = (random.random(400) < 0.2).astype(float)
    features = random.standard_normal((400, 3)) + 2 * labels[:, None]
    return BenchmarkData(name, features, labels, "made up", "none", "none")


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    monkeypatch.setattr(cells, "load", problem)


def cell(method, *objectives, model="linear"):
    return Cell("made up", 3, model, method, objectives, num_steps=30, batch_size=64)


def without_time(row):
    return {name: value for name, value in row.items() if name != "seconds"}


RUNNABLE = [name for name, method in METHODS.items() if not method.missing()]


@pytest.mark.parametrize("name", RUNNABLE)
def test_test_labels_move_nothing_but_test_columns(name, monkeypatch):
    model = "linear" if METHODS[name].supports(OBJECTIVES["FPOR .8"], "linear") or name == "SOAP" else "mlp"
    asked = [each for each in ("FPOR .8", "F1", "AP") if METHODS[name].supports(OBJECTIVES[each], model)][:1]
    if name == "auto":  # the quickest of what it trains
        monkeypatch.setitem(METHODS, name, Classifier("boosting", "mlp"))
    monkeypatch.setattr(tuned_threshold, "NUM_FOLDS", 2)
    monkeypatch.setattr(tuned_threshold, "FOREST_SETTINGS", ({"n_estimators": 5}, {"n_estimators": 10}))
    honest = cell(name, *asked, model=model).run()

    def with_shuffled_test_labels(*arguments, **rest):
        task, labels = make_task(*arguments, **rest)
        order = torch.randperm(len(labels["test"]), generator=torch.Generator().manual_seed(1))
        return task, {**labels, "test": labels["test"][order]}

    monkeypatch.setattr(cells, "make_task", with_shuffled_test_labels)
    shuffled = cell(name, *asked, model=model).run()
    for before, after in zip(honest, shuffled, strict=True):
        before, after = without_time(before), without_time(after)
        changed = {key for key in before if before[key] != after[key] and before[key] == before[key]}
        assert changed or after["test_tp"] + after["test_fp"] == 0, "labels at random are harder to find"
        assert all(key.startswith("test_") for key in changed)


def test_scores_of_another_method_are_not_judged_twice():
    (row,) = cell("MAPIE", "FPOR .8").run()
    assert np.isnan(row["test_curve_value"]) and 0 <= row["test_value"] <= 1
    (own,) = cell("cross-entropy", "FPOR .8").run()
    assert own["test_curve_value"] > 0


def test_task_holds_no_test_labels():
    task, labels = make_task(problem(), 0, "linear", num_steps=10, batch_size=64)
    assert len(task.test_features) == len(labels["test"])
    held = [tensor for part in (task.train, task.validation) for tensor in part.tensors] + [task.test_features]
    assert not any(
        tensor.ndim == 1 and len(tensor) == len(labels["test"]) != len(labels["validation"]) for tensor in held
    )
    assert sum(len(own) for own in labels.values()) == 400
    rates = [float(own.mean()) for own in labels.values()]
    assert max(rates) - min(rates) < 0.02


def test_features_are_standardised_on_the_training_part_alone():
    data = problem()
    task, _ = make_task(data, 0, "linear", num_steps=10, batch_size=64)
    features = task.train.tensors[0]
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(features.std(dim=0, correction=0), torch.ones(3))
    assert task.test_features.mean(dim=0).abs().max() > 1e-3
    constant = replace(data, features=np.column_stack([data.features, np.full(400, 7.0)]))
    assert (make_task(constant, 0, "linear", num_steps=10, batch_size=64)[0].test_features[:, 3] == 0).all()


def test_row_can_be_recomputed():
    (row,) = cell("cross-entropy", "FPOR .8").run()
    assert row["test_tp"] + row["test_fn"] + row["test_fp"] + row["test_tn"] == 80
    assert row["test_value"] == pytest.approx(row["test_tp"] / (row["test_tp"] + row["test_fn"]))
    assert row["test_bounded"] == pytest.approx(row["test_tp"] / (row["test_tp"] + row["test_fp"]))
    assert row["test_met"] == (row["test_bounded"] >= 0.8)
    assert row["test_curve_value"] >= row["test_value"] * row["test_met"]
    assert row["steps"] >= 30 and row["torch"] and row["setting"]


def test_method_without_objective_is_trained_once_and_as_good_as_alone(monkeypatch):
    trained = []
    original = type(METHODS["cross-entropy"]).train

    def counted(self, *arguments):
        trained.append(arguments)
        return original(self, *arguments)

    monkeypatch.setattr(type(METHODS["cross-entropy"]), "train", counted)
    together = cell("cross-entropy", "FPOR .8", "F1").run()
    assert len(trained) == NUM_SETTINGS
    (alone,) = cell("cross-entropy", "F1").run()
    same = [key for key in alone if key not in ("seconds", "status", "stage")]
    assert {key: together[1][key] for key in same} == {key: alone[key] for key in same}


def test_setting_is_chosen_by_validation_data():
    (row,) = cell("cross-entropy", "F1").run()
    task, labels = make_task(problem(), 3, "linear", num_steps=30, batch_size=64)
    objective = OBJECTIVES["F1"]
    reached = []
    for setting in METHODS["cross-entropy"].settings:
        scores = METHODS["cross-entropy"].train(task, {"F1": objective}, setting)["F1"].scores["validation"]
        reached.append(float(choose_threshold(scores, labels["validation"].numpy(), objective).value))
    assert row["validation_value"] == pytest.approx(max(reached))


@pytest.mark.parametrize("objective", ["FPOR .8", "F1"])
def test_a_method_on_folds_writes_a_row_for_each_rule_of_one_training(objective):
    """Recomputed from the classifiers themselves: frames, winner, honest scores, thresholds, counts on test rows."""
    written = cell("logistic, folds", objective).run()
    assert [row["rule"] for row in written] == (list(RULES) if objective == "FPOR .8" else [""])
    task, labels = make_task(problem(), 3, "linear", num_steps=30, batch_size=64)
    x, y = (torch.cat([task.train.tensors[i], task.validation.tensors[i]]).numpy() for i in (0, 1))
    new, truth = task.test_features.numpy(), labels["test"].numpy()
    out_of_fold, of_new = [], []
    for setting in METHODS["logistic, folds"].settings:
        own, average = np.zeros(len(y)), np.zeros(len(truth))
        for fold in range(5):
            trains = task.folds != fold
            score = LogisticRegression(max_iter=5000, **setting).fit(x[trains], y[trains]).decision_function
            ordered = np.sort(score(x[trains]))
            cut = int((y[trains] == 0).sum())
            centre, spread = ordered[cut - 1 : cut + 1].mean(), ordered.std()
            own[~trains] = (score(x[~trains]) - centre) / spread
            average += (score(new) - centre) / spread / 5
        out_of_fold.append(own)
        of_new.append(average)
    winner, honest = best_candidate(out_of_fold, y, task.folds, OBJECTIVES[objective])
    thresholds = thresholds_by_rule(honest, y, task.folds, OBJECTIVES[objective])
    for row in written:
        assert row["threshold"] == pytest.approx(thresholds[row["rule"]], abs=1e-4)
        alarms = of_new[winner] >= row["threshold"]
        assert (row["test_tp"], row["test_fp"]) == ((alarms & (truth == 1)).sum(), (alarms & (truth == 0)).sum())


def test_folds_of_fit_begin_from_different_weights_and_hold_all_known_rows():
    task, _ = make_task(problem(), 3, "mlp", num_steps=30, batch_size=64)
    assert len(task.folds) == len(task.known) == 320 and np.bincount(task.folds).min() >= 60
    first, second = fresh_models(task.make_fresh_model, 2, seed=task.seed)
    assert not torch.equal(first[0].weight, second[0].weight)
    (trained,) = METHODS["profiled, folds"].train(task, {"F1": OBJECTIVES["F1"]}, {}).values()
    assert trained.out_of_fold.shape == (320,) and np.isfinite(trained.out_of_fold).all()


def test_other_rules_make_another_cell_of_methods_on_folds_alone(monkeypatch):
    on_folds, other = cell("logistic, folds", "F1").key, cell("cross-entropy", "F1").key
    monkeypatch.setitem(RULES, "one more", None)
    assert cell("logistic, folds", "F1").key != on_folds and cell("cross-entropy", "F1").key == other


def test_classifier_is_judged_at_its_own_predictions():
    task, labels = make_task(problem(), 0, "mlp", num_steps=30, batch_size=64)
    objective = OBJECTIVES["FPOR .5"]
    trained = Classifier("boosting", "mlp").train(task, {"FPOR .5": objective}, {})["FPOR .5"]
    own = DirectMetricClassifier(objective, model="boosting", random_state=0)
    own.fit(*(tensor.numpy() for tensor in task.known.tensors))
    predicted = own.predict(task.test_features.numpy())
    np.testing.assert_array_equal(trained.scores["test"] >= trained.threshold, predicted == 1)
    assert 0 < predicted.sum() < len(predicted) == len(labels["test"]) and trained.status == own.result_.status


def test_every_method_has_as_many_settings():
    others = [name for name in METHODS if "threshold" not in name and name != "auto"]
    assert {name: len(METHODS[name].settings) for name in others} == {name: NUM_SETTINGS for name in others}


@pytest.mark.parametrize(
    "suite", [*SUITES.values(), *(suite.quick() for suite in SUITES.values())], ids=lambda s: s.name
)
def test_suites_name_what_there_is(suite):
    for plan in suite.plans:
        assert set(plan.methods) <= METHODS.keys() and set(plan.objectives) <= OBJECTIVES.keys()
    listed = cells_of(suite)
    assert len({each.key for each in listed}) == len(listed) > 0
    assert {each.dataset for each in listed} == set(suite.datasets)


def test_cells_share_training_across_plans_and_come_plan_by_plan():
    suite = Suite(
        "x",
        "X",
        ("a", "b"),
        (Plan(("F1",), ("profiled", "focal"), ("linear",)), Plan(("F2",), ("profiled", "focal"), ("linear",))),
        num_splits=2,
        num_steps=10,
        batch_size=8,
    )
    listed = cells_of(suite)
    assert [each.objectives for each in listed if each.method == "focal"] == [("F1", "F2")] * 4
    direct = [(each.objectives, each.split, each.dataset) for each in listed if each.method == "profiled"]
    assert direct == [((name,), split, data) for name in ("F1", "F2") for split in (0, 1) for data in ("a", "b")]
