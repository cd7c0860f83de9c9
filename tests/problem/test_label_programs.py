"""A program for each label: chosen for and trained as if each label were alone."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import FPOR, Program, Status
from metricopt._validation import InvalidInputError
from metricopt.problem.registry import get_objective, objective_from_dict, objective_to_dict

ASKED = {
    "Edema": Program("precision", ["recall >= 0.4 in every site", "alarm_rate <= 0.4"]),
    "Fracture": FPOR(0.6),
    "Effusion": "maximise f1",
}


def rows(n=300):
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 3)) < [0.3, 0.2, 0.4]).astype(np.float32)
    scores = (rng.normal(size=(n, 3)) + 1.5 * labels).astype(np.float32)
    return scores, labels, {"site": rng.integers(0, 2, n).astype(str)}


@pytest.mark.parametrize("confidence", [None, 0.8])
def test_each_label_gets_the_choice_of_its_own_program(confidence):
    scores, labels, sites = rows()
    together = metricopt.choose_threshold(scores, labels, ASKED, confidence=confidence, subgroups=sites)
    for label, own in enumerate(ASKED.values()):
        alone = metricopt.choose_threshold(
            scores[:, label], labels[:, label], own, confidence=confidence, subgroups=sites
        )
        mine = together[label]
        assert (mine.threshold, mine.value, mine.feasible) == (alone.threshold, alone.value, alone.feasible)
        assert mine.metric_name == alone.metric_name
    assert "f1" in str(together) and "recall in site=0" in str(together)


def test_results_tell_each_label_what_it_was_asked(tmp_path):
    scores, labels, sites = rows()
    names = list(ASKED)
    result = metricopt.from_scores(scores, labels, ASKED, label_names=names, subgroups=sites, confidence=None)
    assert result.status == {"Edema": Status.FEASIBLE, "Fracture": Status.FEASIBLE, "Effusion": Status.OPTIMIZED}
    assert [report.metric for report in result.train] == ["precision", "recall", "f1"]
    again = metricopt.load(result.save(tmp_path / "run"))
    assert again.objective == result.objective and again.summary() == result.summary()
    assert objective_from_dict(objective_to_dict(result.objective)) == result.objective
    report = result.evaluate(scores, labels, subgroups=sites)
    assert all(bound.met for label in report for bound in label.bounds)


@pytest.mark.slow
@pytest.mark.parametrize("given", [{"val_fraction": 0}, {"folds": 3}, {"val_fraction": 0, "solver": "exact_penalty"}])
def test_training_serves_every_label(given):
    scores, labels, sites = rows()
    torch.manual_seed(0)
    data = DataLoader(TensorDataset(torch.from_numpy(scores), torch.from_numpy(labels)), batch_size=100, shuffle=True)
    result = metricopt.fit(
        torch.nn.Linear(3, 3), data, ASKED, subgroups=sites, epochs=24, confidence=None, progress=False, **given
    )
    assert result.label_names == tuple(ASKED)
    assert Status.INFEASIBLE not in result.status.values()
    assert list(result.multiplier["Edema"]) == [
        *(f"recall >= 0.4 in every site ({site})" for site in "01"), "alarm_rate <= 0.4",
    ]  # fmt: skip
    assert list(result.multiplier["Fracture"]) == ["precision >= 0.6"] and result.multiplier["Effusion"] is None
    assert all(bound.met for label in result.selection for bound in label.bounds)


def test_the_loss_of_several_programs_is_the_mean_of_theirs():
    scores, labels, sites = rows(60)
    given = {"epochs": 2, "steps_per_epoch": 1, "warmup_epochs": 0, "solver": metricopt.solvers.Profiled("ramp")}
    everyone = torch.arange(60)

    def gradient(objective, columns):
        loss = metricopt.DirectMetricLoss(objective, labels[:, columns], subgroups=sites, **given)
        loss.update(scores[:, columns])
        own = torch.from_numpy(scores[:, columns]).requires_grad_()
        loss(own, torch.from_numpy(labels[:, columns]), everyone).backward()
        return own.grad / loss._driver.schedule.scales[0]

    together = gradient(ASKED, [0, 1, 2])
    for label, own in enumerate(ASKED.values()):
        torch.testing.assert_close(together[:, [label]] * 3, gradient(own, [label]), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"Edema": FPOR(0.5)}, r"given for each label \(Edema, Fracture\), got Edema"),
        ({}, "got an empty dict"),
        ({"Edema": "OAP", "Fracture": "maximise f1"}, "the objective of 'Edema' must be one with counts"),
        ({"Edema": Program("f1", threshold_per="site"), "Fracture": "maximise f1"}, "the threshold of 'Edema'"),
        ({"Edema": "FPOR", "Fracture": "maximise f1"}, "alpha must be given for FPOR"),
    ],
)
def test_bad_programs_are_named(asked, told):
    with pytest.raises(InvalidInputError, match=told):
        get_objective(asked, label_names=["Edema", "Fracture"])
    with pytest.raises(InvalidInputError, match="a program for each of 3 labels"):
        metricopt.choose_threshold(np.zeros((2, 3)), np.eye(2, 3), {"a": FPOR(0.5), "b": FPOR(0.5)})
