"""The judges judged: enumerated optima against mixed-integer programs, and against a dense sweep of directions."""

import math

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from sklearn.metrics import average_precision_score

from tests import oracle
from tests.small_problems import (
    GRID,
    MAX_SAMPLES,
    SmallProblem,
    average_precision,
    generic_directions,
    optimum,
    small_problem,
)

NUMBERS = {"FPOR": (0.6, 0.8, 0.9), "FROP": (0.6, 0.8, 1.0), "OFBS": (0.5, 1.0, 2.0)}
DRAWN = [(num_features, seed) for num_features, seeds in ((1, 11), (2, 5)) for seed in range(seeds)]
MANY = [(num_features, seed) for num_features in (1, 2) for seed in range(30)]


class MixedInteger:
    """Alarms z of a linear model: z_i = 1 where w.x_i - t >= margin, z_i = 0 where w.x_i - t <= -margin, w in a box.

    Features lie on a grid: a line that parts two sets of them can be moved until all are at least ``margin`` away.
    """

    def __init__(self, problem):
        kept = [row for row in zip(*vars(problem).values(), strict=True) if row[1] == row[1]]
        self.points, self.labels, self.weights = (np.array(column) for column in zip(*kept, strict=True))
        num_samples, self.num_features = self.points.shape
        length = 1 + np.ptp(self.points, axis=0).max() * math.sqrt(2)
        self.margin = 0.49 / GRID**2 / length
        reach = np.abs(self.points).sum(axis=1).max() + 1
        big = 2 * reach + self.margin
        margins = np.hstack([self.points, -np.ones((num_samples, 1))])
        linked = np.hstack([margins, -big * np.eye(num_samples)])
        # w.x - t >= margin - big (1 - z) and w.x - t <= -margin + big z
        self.links = [LinearConstraint(linked, lb=self.margin - big), LinearConstraint(linked, ub=-self.margin)]
        free = self.num_features + 1
        self.integrality = np.repeat([0, 1], [free, num_samples])
        self.bounds = Bounds(
            np.r_[-np.ones(self.num_features), -reach, np.zeros(num_samples)],
            np.r_[np.ones(self.num_features), reach, np.ones(num_samples)],
        )
        self.of_tp = np.r_[np.zeros(free), self.weights * (self.labels == 1)]
        self.of_fp = np.r_[np.zeros(free), self.weights * (self.labels == 0)]
        self.positives = self.of_tp.sum()

    def maximise(self, gain, at_least=None):
        """Return the counts at the alarms that maximise ``gain``, recounted with the model that gives them."""
        links = self.links if at_least is None else [*self.links, LinearConstraint(at_least[0], lb=at_least[1] - 1e-6)]
        solved = milp(-gain, constraints=links, integrality=self.integrality, bounds=self.bounds)
        assert solved.success
        w, t = solved.x[: self.num_features], solved.x[self.num_features]
        counts = oracle.tally((self.points @ w).tolist(), self.labels.tolist(), self.weights.tolist(), t)
        assert counts[0] == pytest.approx(self.of_tp @ solved.x) and counts[1] == pytest.approx(self.of_fp @ solved.x)
        return counts

    def best(self, name, number):
        """Return the value at the optimum, None where nothing is feasible.

        A ratio is raised by Dinkelbach's steps until no alarms gain over its value.
        """
        wanted = oracle.program(name, number)
        if name == "FPOR":
            counts = self.maximise(self.of_tp, ((1 - number) * self.of_tp - number * self.of_fp, 0.0))
            return wanted.value(counts) if counts[0] else None
        of_tp = 1 if name == "FROP" else 1 + number**2
        at_least = (self.of_tp, number * self.positives) if name == "FROP" else None
        value, found = -1.0, 0.0
        while found > value + 1e-9:
            value = found
            found = wanted.value(self.maximise((of_tp - value) * self.of_tp - value * self.of_fp, at_least))
        return value


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMBERS)
def test_optima_equal_those_of_a_mixed_integer_program(name):
    outcomes = set()
    for num_features, seed in DRAWN:
        problem, number = small_problem(num_features, seed), NUMBERS[name][seed % 3]
        best = optimum(problem, name, number)
        outcomes.add(best.feasible)
        found = MixedInteger(problem).best(name, number)
        assert (found is not None) == best.feasible, (num_features, seed)
        if best.feasible:
            assert found == pytest.approx(best.value, abs=1e-9), (num_features, seed)
    assert outcomes == ({True, False} if name == "FPOR" else {True})


@pytest.mark.slow
def test_the_optimal_average_precision_is_that_of_a_dense_sweep():
    rng = np.random.default_rng(0)
    for num_features, seed in DRAWN:
        problem = small_problem(num_features, seed)
        values = [
            average_precision(problem.scores(direction), problem.labels, problem.weights)
            for direction in rng.normal(size=(3000, num_features)).tolist()
        ]
        assert max(values) == pytest.approx(optimum(problem, "OAP", None, ties=False).value, abs=1e-12)
        assert max(values) <= optimum(problem, "OAP", None).value + 1e-12


@pytest.mark.parametrize("name", NUMBERS)
def test_cuts_gain_nothing_from_ties(name):
    for num_features, seed in DRAWN:
        problem, number = small_problem(num_features, seed), NUMBERS[name][seed % 3]
        assert optimum(problem, name, number) == optimum(problem, name, number, ties=False)


def test_average_precision_can_gain_from_ties():
    """Two positives amid four negatives: tied, both have precision 2/4; no other order reaches that on average."""
    points = ((0.25, 0.25), (-0.25, -0.25), (2.0, 0.0), (-2.0, 0.0), (0.0, 2.0), (0.0, -2.0))
    problem = SmallProblem(points, (1, 1, 0, 0, 0, 0), (1,) * 6)
    assert optimum(problem, "OAP", None).value == 0.5
    assert optimum(problem, "OAP", None, ties=False).value == pytest.approx((1 / 2 + 2 / 5) / 2)


def test_the_plain_average_precision():
    """Against scikit-learn, whose ties count together too."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(2, 12))
        scores, labels, weights = rng.integers(0, 5, n), rng.integers(0, 2, n), rng.integers(1, 4, n)
        labels[0] = 1
        found = average_precision(scores.tolist(), labels.tolist(), weights.tolist())
        assert found == pytest.approx(average_precision_score(labels, scores, sample_weight=weights))
    assert average_precision([2, 1, 0], [math.nan, 1, 0], [1, 1, 1]) == 1


def test_every_order_is_among_the_directions():
    """Whatever order a random direction gives, an enumerated one gives it too, and only one."""
    rng = np.random.default_rng(0)
    for seed in range(8):
        points = tuple(dict.fromkeys(small_problem(2, seed).features))
        problem = SmallProblem(points, (0,) * len(points), (1,) * len(points))
        orders = [tuple(np.argsort(problem.scores(direction))) for direction in generic_directions(problem)]
        assert len(set(orders)) == len(orders)
        assert {tuple(np.argsort(problem.scores(direction))) for direction in rng.normal(size=(500, 2))} <= {*orders}


def test_the_problems_are_what_the_suite_needs():
    problems = [small_problem(*drawn) for drawn in MANY]
    sizes = {len(problem.labels) for problem in problems}
    positives = {problem.labels.count(1) for problem in problems}
    assert min(sizes) >= 8 and max(sizes) == MAX_SAMPLES
    assert min(positives) >= 2 and max(positives) == 6
    assert all(problem.labels.count(0) >= 4 for problem in problems)
    separable = sum(optimum(problem, "OFBS", 1.0).value == 1 for problem in problems)
    assert 0 < separable < 0.25 * len(problems)
    doubled = sum(len(set(problem.labelled)) < len(problem.labelled) for problem in problems)
    missing = sum(len(problem.labelled) < len(problem.labels) for problem in problems)
    weighted = sum(problem.is_weighted for problem in problems)
    assert min(doubled, missing, weighted) >= 0.1 * len(problems)
    assert max(missing, weighted) <= 0.25 * len(problems)
    assert repr(small_problem(2, 0)) == repr(small_problem(2, 0)) != repr(small_problem(2, 1))  # NaN equals NaN
