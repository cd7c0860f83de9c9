"""Weights and violations of bounds in subgroups, against the Lagrangian and against sums row by row."""

import numpy as np
import pytest
import torch

from metricopt import Program
from metricopt._validation import InvalidInputError
from metricopt.evidence.subgroups import bounds_of_rows, read_subgroups
from metricopt.problem.ratios import Counts
from metricopt.solvers import Profiled
from metricopt.solvers.cells import Cells
from metricopt.solvers.class_weighting import ClassWeighting
from tests.solvers.driving import SOLVERS, loss_and_gradient, started

PROGRAMS = [
    Program("recall", ["precision >= 0.6", "recall >= 0.4 in every site", "fpr <= 0.3 in every age"]),
    Program("net_benefit(0.2)", ["youdens_j >= 0.2 in every site"]),
    Program("f1", ["alarm_rate <= 0.3"], threshold_per="site"),
]


def rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 1)) < 0.3).astype(np.float32)
    columns = {"site": rng.integers(0, 3, n).astype(str), "age": rng.integers(0, 2, n).astype(str)}
    scores = (labels + rng.normal(size=(n, 1))).astype(np.float32)
    return scores, labels, columns


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_cells_are_the_rows_of_equal_subgroups_and_sums_are_those_of_their_rows(program):
    scores, labels, columns = rows()
    subgroups = read_subgroups(columns, program.columns, len(labels))
    cells = Cells.of(program, subgroups)
    keys = ["".join(columns[name][row] for name in program.columns) for row in range(len(labels))]
    assert len(set(zip(keys, cells.of_row, strict=True))) == cells.number == len(set(keys))
    batch = np.arange(0, 400, 3)
    sums = cells.sums(scores[batch], labels[batch] == 1, cells.of_row[batch])
    for cell in range(cells.number):
        for kind in (0, 1):
            own = batch[(cells.of_row[batch] == cell) & (labels[batch, 0] == kind)]
            assert sums[kind, cell, 0] == pytest.approx(scores[own].sum(), abs=1e-5)
    for (bound, _, at), has in zip(bounds_of_rows(program, subgroups), cells.has, strict=True):
        expected = np.ones(400) if at is None else subgroups[bound.within].of_row == at
        np.testing.assert_array_equal(has[cells.of_row], expected)


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_weights_and_violations_of_cells_follow_from_the_lagrangian(program):
    """Differences of the numerator less value times denominator, and of each bound's excess, by one error more."""
    _, labels, columns = rows()
    subgroups = read_subgroups(columns, program.columns, len(labels))
    weighting = ClassWeighting(program, labels, None, subgroups)
    cells, value, rng = weighting.cells, np.array([0.4]), np.random.default_rng(1)
    multiplier = rng.random((len(cells.bounds), 1))
    weighting.set_value(value)
    sizes = cells.sums(np.ones_like(labels), labels == 1, cells.of_row)[:, :, 0]  # (2, C)
    errors = np.floor(rng.random(sizes.shape) * sizes / 2)

    def counts(wrong, has):
        missed, false = (wrong[1] * has).sum(), (wrong[0] * has).sum()
        negatives, positives = (sizes * has).sum(axis=1)
        return Counts(positives - missed, false, missed, negatives - false)

    def excess(wrong, bound, has):
        own = counts(wrong, has)
        form = bound.excess(np.zeros(()))
        return float(form(own.by_class()) * own.positives if bound.metric.by_class else form(own))

    def lagrangian(wrong):
        own = counts(wrong, np.ones(cells.number))
        gain = program.maximised.numerator(own) - 0.4 * program.maximised.denominator(own)
        of_bounds = [excess(wrong, *each) for each in zip(cells.bounds, cells.has, strict=True)]
        return float(gain) - multiplier[:, 0] @ of_bounds

    one_more = np.zeros((*sizes.shape, *sizes.shape))
    for kind, cell in np.ndindex(sizes.shape):
        one_more[kind, cell, kind, cell] = 1
    expected = np.array([[lagrangian(errors) - lagrangian(errors + more) for more in of] for of in one_more])
    expected = np.maximum(expected, 0)
    own = multiplier if len(cells.bounds) > 1 else multiplier[0]
    np.testing.assert_allclose(weighting.class_weights(own)[:, :, 0], expected / expected.max(), atol=1e-9)
    found = np.atleast_2d(weighting.violation(errors[:, :, np.newaxis], 400))[:, 0]
    per_positive = [float(b.violation(counts(errors, h))) for b, h in zip(cells.bounds, cells.has, strict=True)]
    np.testing.assert_allclose(np.ravel(found), per_positive, atol=1e-12)


@pytest.mark.parametrize("kind", [Profiled, *SOLVERS])
def test_a_step_weighs_rows_by_their_cells(kind):
    """A subgroup far below its bound gains weight against those that meet theirs."""
    scores, labels, columns = rows()
    scores[columns["site"] == "0"] -= 3  # hardly any of its positives is found
    program = Program("precision", ["recall >= 0.6 in every site"])
    solver = kind()
    solver.subgroups = read_subgroups(columns, ["site"], 400)
    started(solver, program, scores, labels, num_steps=40)
    if kind is Profiled:
        solver._threshold = np.array([1.0])
    else:
        solver._slacks._threshold[:] = 1.0
        solver._slacks.restart(scores, None)
    before = None
    for step in range(40):
        index = np.random.default_rng(step).integers(0, 400, 100)
        _, gradient = loss_and_gradient(solver, scores, labels, index=index)
        before = solver.multiplier() if before is None else before
        solver.step()
    gained = (solver.multiplier() - before)[:, 0]
    assert gained[0] > max(gained[1:]) + 0.2
    weighting = solver._weighting if kind is Profiled else solver._slacks._weighting
    weights = weighting.class_weights(solver.multiplier())
    assert weights[1, 0] == 1 > weights[1, 1:].max() and np.isfinite(gradient).all() and gradient.any()


def test_the_gradient_is_that_of_the_loss_in_each_cell():
    scores, labels, columns = rows(60)
    solver = Profiled("hinge")
    solver.subgroups = read_subgroups(columns, ["site", "age"], 60)
    started(solver, PROGRAMS[0], scores, labels, num_steps=10)
    solver._multiplier = np.random.default_rng(0).random(solver._multiplier.shape)
    batch = scores.astype(np.float64)
    _, gradient = loss_and_gradient(solver, batch, labels)
    for row in range(0, 60, 7):
        moved = [batch.copy() for _ in range(2)]
        moved[0][row] -= 1e-6
        moved[1][row] += 1e-6
        low, high = (loss_and_gradient(solver, each, labels)[0] for each in moved)
        assert gradient[row, 0] == pytest.approx((high - low) / 2e-6, abs=1e-6)


def test_rows_without_an_index_are_refused():
    scores, labels, columns = rows(60)
    solver = Profiled()
    solver.subgroups = read_subgroups(columns, ["site"], 60)
    started(solver, Program("f1", ["recall >= 0.3 in every site"]), scores, labels)
    with pytest.raises(InvalidInputError, match="index must be given for bounds in subgroups"):
        solver.loss(torch.zeros(3, 1), torch.ones(3, 1))
