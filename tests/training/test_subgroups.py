"""Training with bounds in every subgroup, from the front doors: what is returned meets them, and says where not."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import metricopt
from benchmarks.studies.program_problems import best_by_sweep, draw_problem, programs_for
from metricopt import DirectMetricClassifier, DirectMetricLoss, ObjectiveScorer, Program, Status
from metricopt._validation import InvalidInputError
from metricopt.evidence.small_subgroups import too_small
from metricopt.evidence.subgroups import read_subgroups

IN_SITES = Program("precision", ["recall >= 0.5 in every site", "false_positive_rate <= 0.3"])
OWN = Program("recall", ["precision >= 0.6 in every site"], threshold_per="site")


def rows(n=600, seed=0):
    """Sites whose positives are found by different features, so that one site pays for the other."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(np.float32)
    sites = np.array(["north", "south"])[rng.integers(0, 2, n)]
    place = np.where((sites == "north")[:, None], [2.5, 0.0], [0.3, 1.2])
    features = (rng.normal(size=(n, 2)) + place * labels[:, None]).astype(np.float32)
    return torch.from_numpy(features), torch.from_numpy(labels), sites


def loader(n=600, seed=0):
    features, labels, sites = rows(n, seed)
    return DataLoader(TensorDataset(features, labels), batch_size=200, shuffle=True), sites


def reached(model, program, sites, features, labels):
    """The metric in each site and over all rows, at the exact threshold, by a count of its own."""
    scores = model(features).detach().numpy()[:, 0]
    choice = metricopt.choose_threshold(scores, labels.numpy(), program, subgroups={"site": sites})
    alarms, sick = scores >= float(choice.threshold), labels.numpy() == 1
    recalls = [alarms[sick & (sites == site)].mean() for site in ("north", "south")]
    return recalls, alarms[~sick].mean(), sick[alarms].mean()


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["profiled", "augmented_lagrangian", "lagrangian", "exact_penalty"])
def test_every_solver_keeps_bounds_in_subgroups_with_a_multiplier_for_each(solver):
    torch.manual_seed(0)
    data, sites = loader()
    given = {"epochs": 12, "val_fraction": 0, "progress": False, "subgroups": {"site": sites}, "solver": solver}
    result = metricopt.fit(torch.nn.Linear(2, 1), data, IN_SITES, **given)
    assert result.status in (Status.FEASIBLE, Status.SLACK_GAP)
    assert [bound.name for bound in result.train.bounds if not bound.met] == []
    recalls, false_alarms, precision = reached(result.model, IN_SITES, sites, *data.dataset.tensors)
    assert min(recalls) >= 0.5 and false_alarms <= 0.3
    assert result.train.value == pytest.approx(precision) and precision > 0.6
    names = [f"recall >= 0.5 in every site ({site})" for site in ("north", "south")]
    assert list(result.multiplier) == [*names, "false_positive_rate <= 0.3"]
    assert result.multiplier[names[1]] > 0


@pytest.mark.slow
def test_a_network_keeps_bounds_in_subgroups():
    torch.manual_seed(0)
    data, sites = loader()
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    result = metricopt.fit(network, data, IN_SITES, epochs=40, val_fraction=0, progress=False, subgroups=sites)
    recalls, false_alarms, precision = reached(result.model, IN_SITES, sites, *data.dataset.tensors)
    assert result.status is Status.FEASIBLE and min(recalls) >= 0.5 and false_alarms <= 0.3 and precision > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["F1, recall in every site", "recall, own thresholds"])
def test_short_trainings_come_near_the_optimum_of_a_sweep(name):
    problem, program = draw_problem(0), programs_for(0)[name]
    torch.manual_seed(0)
    data = TensorDataset(torch.from_numpy(problem.features), torch.from_numpy(problem.labels))
    result = metricopt.fit(
        torch.nn.Linear(2, 1),
        DataLoader(data, batch_size=len(data), shuffle=True),
        program,
        epochs=150,
        val_fraction=0,
        subgroups=problem.sites,
        progress=False,
    )
    optimum = best_by_sweep(problem, program, num_directions=300)
    assert result.status is Status.FEASIBLE and all(bound.met for bound in result.train.bounds)
    assert result.train.value > optimum - 0.03 if "F1" in name else optimum - 0.1
    assert result.baseline_train.value < result.train.value or not all(b.met for b in result.baseline_train.bounds)


@pytest.mark.slow
def test_folds_and_held_out_rows_judge_each_subgroup(tmp_path):
    data, sites = loader()
    shared = {"epochs": 8, "progress": False, "confidence": None}
    folded = metricopt.fit(lambda: torch.nn.Linear(2, 1), data, IN_SITES, subgroups=sites, **shared)
    assert [bound.subgroup for bound in folded.validation.bounds] == ["site=north", "site=south", None]
    assert len(folded.multiplier) == 3
    again = metricopt.load(folded.save(tmp_path / "run"), torch.nn.Linear(2, 1))
    assert again.validation.bounds == folded.validation.bounds and again.multiplier == folded.multiplier
    others, other_sites = loader(300, seed=1)
    held_out = metricopt.fit(
        torch.nn.Linear(2, 1), data, OWN, subgroups=sites, val_loader=others, val_subgroups=other_sites, **shared
    )
    assert set(held_out.subgroup_thresholds) == {"north", "south"}
    scores = held_out.scores(others.dataset.tensors[0])
    limits = np.array([held_out.subgroup_thresholds[site] for site in other_sites])
    np.testing.assert_array_equal(
        held_out.predict(others.dataset.tensors[0], subgroups=other_sites), (scores >= limits).astype(int)
    )
    with pytest.raises(InvalidInputError, match="val_subgroups must be given"):
        metricopt.fit(torch.nn.Linear(2, 1), data, OWN, subgroups=sites, val_loader=others, **shared)


def test_an_infeasible_program_ends_with_the_bounds_that_clash_and_the_least_violation():
    data, sites = loader(200)
    asked = Program("f1", ["recall >= 0.99 in every site", "alarm_rate <= 0.1"])
    result = metricopt.fit(
        torch.nn.Linear(2, 1), data, asked, subgroups=sites, epochs=2, val_fraction=0, progress=False
    )
    assert result.status is Status.INFEASIBLE
    told = result.choice.program[0].clash_in_words
    assert "recall >= 0.99 in every site (north) and alarm_rate <= 0.1 together" in told
    missed = {bound.name: abs(bound.value - bound.bound) for bound in result.train.bounds if not bound.met}
    assert result.choice.program[0].shortfall == pytest.approx(sum(missed.values()))
    assert f"{result.choice.program[0].shortfall:.3f}" in result.summary()


def test_the_loss_needs_the_row_of_each_sample():
    features, labels, sites = rows(60)
    loss = DirectMetricLoss(IN_SITES, labels, epochs=2, steps_per_epoch=2, subgroups={"site": sites})
    with pytest.raises(InvalidInputError, match="index must be given for bounds in subgroups"):
        loss(features[:, :1].requires_grad_(), labels)
    model = torch.nn.Linear(2, 1)
    for index in torch.randperm(60).split(30) * 2:
        loss(model(features[index]), labels[index], index).backward()
    assert loss.multiplier.shape == (3, 1) and np.isfinite(loss.threshold)


def test_bad_subgroups_are_named_before_training():
    data, sites = loader(60)
    linear = torch.nn.Linear(2, 1)
    for given, told in (
        (None, "subgroups must be given for bounds in every 'site'"),
        ({"sit": sites}, "a column of subgroups must be one of"),
        ({"site": sites[:5]}, "60"),
        ({"site": ["north"] * 60}, "of two values at least"),
        ({"site": np.arange(60)}, "one value for many rows"),
    ):
        with pytest.raises(InvalidInputError, match=told):
            metricopt.fit(linear, data, IN_SITES, subgroups=given, epochs=2, progress=False)

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(InvalidInputError, match="map-style data set for bounds in subgroups"):
        metricopt.fit(linear, DataLoader(Stream()), IN_SITES, subgroups=sites, val_fraction=0, progress=False)


def test_subgroups_that_no_scores_could_serve_are_named():
    labels = np.array([1.0] * 40 + [0.0] * 60 + [1.0] * 12 + [0.0] * 3)[:, np.newaxis]
    sites = read_subgroups(["large"] * 100 + ["small"] * 15, ["site"], 115)
    asked = Program("precision", ["recall >= 0.9 in every site", "specificity >= 0.5 in every site"])
    # 0.9 ** 12 = 0.28: twelve of twelve positives found support a recall of .9 with confidence .72 at most.
    (told,) = (each for each in too_small(asked, labels, sites, ["sick"], confidence=0.1) if "recall" in each)
    assert "recall >= 0.9 in every site (small)" in told and "12 positives and 3 negatives" in told
    assert too_small(asked, labels, sites, ["sick"], confidence=None) == []
    lone = np.where(np.arange(115)[:, np.newaxis] >= 100, 0.0, labels)
    (none,) = too_small(Program("f1", ["recall >= 0.5 in every site"]), lone, sites, ["sick"], confidence=None)
    assert none == "recall >= 0.5 in every site (small): no scores meet it there, with 0 positives and 15 negatives."
    data, sites = loader(60)
    sites[:4], sites[4:] = "north", "south"
    data.dataset.tensors[1][:4] = 0
    with pytest.warns(UserWarning, match=r"recall >= 0.5 in every site \(north\)"):
        metricopt.fit(torch.nn.Linear(2, 1), data, IN_SITES, subgroups=sites, epochs=1, val_fraction=0, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["linear", LogisticRegression()])
def test_the_classifier_keeps_bounds_in_subgroups(model):
    x, y = make_classification(300, random_state=0, class_sep=2.0)
    sites = np.array(["a", "b"])[np.arange(300) % 2]
    program = Program("recall", ["precision >= 0.6 in every site"], threshold_per="site")
    found = DirectMetricClassifier(program, model=model, epochs=30, confidence=None, random_state=0)
    found.fit(x, y, subgroups={"site": sites})
    assert found.result_.status is Status.FEASIBLE and len(found.result_.validation.bounds) == 2
    alarms = found.predict(x, subgroups={"site": sites})
    precisions = [y[(alarms == 1) & (sites == site)].mean() for site in ("a", "b")]
    recall = alarms[y == 1].mean()
    expected = recall if min(precisions) >= 0.6 else -2 - sum(max(0.6 - each, 0) for each in precisions)
    assert found.score(x, y, subgroups=sites) == pytest.approx(expected)
    assert ObjectiveScorer(program)(found, x, y, subgroups=sites) == pytest.approx(expected)
    with pytest.raises(InvalidInputError, match="subgroups must be given"):
        found.predict(x)
