import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import DirectMetricClassifier, ObjectiveScorer, Program, Status
from metricopt._validation import InvalidInputError
from metricopt.problem.ratios import Counts
from metricopt.solvers.class_weighting import ClassWeighting

TWO = Program("recall", ["precision >= 0.7", "false_positive_rate <= 0.04"])


def loader(n=400):
    rng = np.random.default_rng(0)
    labels = (rng.random(n) < 0.25).astype(np.float32)
    features = rng.normal(size=(n, 2)).astype(np.float32) + np.outer(labels, [2.0, 0.5]).astype(np.float32)
    return DataLoader(TensorDataset(torch.tensor(features), torch.tensor(labels)), batch_size=200, shuffle=True)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["profiled", "augmented_lagrangian", "lagrangian", "exact_penalty"])
def test_every_solver_keeps_two_bounds_with_a_multiplier_for_each(solver):
    torch.manual_seed(0)
    result = metricopt.fit(
        torch.nn.Linear(2, 1), loader(), TWO, solver=solver, epochs=12, val_fraction=0, progress=False
    )
    assert result.status in (Status.FEASIBLE, Status.SLACK_GAP)
    assert all(bound.met for bound in result.train.bounds) and result.train.value > 0.3
    assert set(result.multiplier) == {"precision >= 0.7", "false_positive_rate <= 0.04"}
    assert max(result.multiplier.values()) > 0


def test_folds_judge_all_bounds(tmp_path):
    result = metricopt.fit(lambda: torch.nn.Linear(2, 1), loader(), TWO, epochs=8, progress=False)
    assert len(result.validation.bounds) == 2
    assert "precision" in result.summary() and len(result.choice.program[0].bounds) == 2
    again = metricopt.load(result.save(tmp_path / "run"), torch.nn.Linear(2, 1))
    assert again.multiplier == result.multiplier and again.objective == TWO


def test_a_program_of_one_bound_trains_as_its_name_does():
    values = []
    for objective in (metricopt.FPOR(0.7), Program("recall", ["precision >= 0.7"])):
        torch.manual_seed(0)
        found = metricopt.fit(torch.nn.Linear(2, 1), loader(), objective, epochs=6, val_fraction=0, progress=False)
        values.append((found.threshold, found.train.value, found.multiplier))
    assert values[0] == values[1]


@pytest.mark.parametrize(
    "program",
    [
        Program("recall", ["precision >= 0.6", "alarm_rate <= 0.2", "npv >= 0.7"]),
        Program("balanced_accuracy", ["youdens_j >= 0.2", "specificity >= 0.8"]),
        Program("net_benefit(0.2)", ["recall >= 0.3", "nne <= 3"]),
    ],
    ids=str,
)
def test_weights_and_violations_follow_from_the_lagrangian(program):
    """Derivatives of value * denominator and of each violation in errors, by differences."""
    rng = np.random.default_rng(0)
    labels = (rng.random((500, 1)) < 0.3).astype(float)
    weighting = ClassWeighting(program, labels, None)
    positives, negatives = labels.sum(), (1 - labels).sum()
    value, multiplier = np.array([0.4]), rng.random((len(program.bounds), 1))
    weighting.set_value(value)

    def counts(missed, wrong):
        return Counts(positives - missed, wrong, missed, negatives - wrong)

    def violations(missed, wrong):
        return np.array([float(bound.violation(counts(missed, wrong))) for bound in program.bounds])

    def lagrangian(missed, wrong):
        own = counts(missed, wrong)
        own = own.by_class() if program.maximised.by_class else own
        gain = program.maximised.numerator(own) - 0.4 * program.maximised.denominator(own)
        scale = 1 if program.maximised.by_class else 1 / positives
        return gain * scale - multiplier[:, 0] @ violations(missed, wrong)

    found = weighting.violation(np.array([[40.0], [30.0]]), 500)
    np.testing.assert_allclose(found[:, 0], violations(30.0, 40.0), atol=1e-12)
    of_negative, of_positive = (lagrangian(30.0, 40.0) - lagrangian(*moved) for moved in ((30.0, 41.0), (31.0, 40.0)))
    expected = np.maximum([of_negative, of_positive], 0)
    np.testing.assert_allclose(weighting.class_weights(multiplier)[:, 0], expected / expected.max(), atol=1e-9)


@pytest.mark.slow
def test_the_classifier_takes_programs_and_sentences():
    x, y = make_classification(300, random_state=0, class_sep=2.0)
    model = DirectMetricClassifier("maximise recall subject to precision >= 0.6 and fpr <= 0.3", epochs=30,
                                   random_state=0).fit(x, y)  # fmt: skip
    assert model.result_.status is Status.FEASIBLE and len(model.result_.validation.bounds) == 2
    other = DirectMetricClassifier(TWO, model=DummyClassifier(), folds=2)
    with pytest.warns(UserWarning):
        other.fit(x, y)
    with pytest.raises(InvalidInputError, match="subgroups must be given for bounds in every 'site'"):
        DirectMetricClassifier("maximise f1 subject to recall >= 0.5 in every site").fit(x, y)


def test_the_scorer_puts_all_bounds_first():
    x, y = np.zeros((4, 1)), [0, 1, 1, 1]
    always = DummyClassifier(strategy="constant", constant=1).fit(x, y)
    met = ObjectiveScorer(Program("recall", ["precision >= 0.7", "alarm_rate >= 0.5"]))(always, x, y)
    missed = ObjectiveScorer(Program("recall", ["precision >= 0.8", "fpr <= 0.9"]))(always, x, y)
    assert met == 1.0 and missed == pytest.approx(-2 - 0.05 - 0.1)
