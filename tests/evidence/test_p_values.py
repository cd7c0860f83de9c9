"""P-values of bounds, by the exact distribution of all counts that few rows can have."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, multinomial

from metricopt.evidence.p_values import num_decisive, num_needed, p_values
from metricopt.problem.bounds import MetricBound
from metricopt.problem.prevalence import counts_at
from metricopt.problem.ratios import Counts

NUM_ROWS = 14
TABLES = np.array([cells for cells in product(range(NUM_ROWS + 1), repeat=4) if sum(cells) == NUM_ROWS], float)
LEVELS = (0.02, 0.1, 0.3, 0.6)

RATES = ["precision", "recall", "specificity", "negative_predictive_value", "accuracy", "f1", "jaccard"]
OTHERS = ["f2", "balanced_accuracy", "youdens_j", "net_benefit(0.2)"]
LOWER = ["false_positive_rate", "alarm_rate", "number_needed_to_evaluate", "expected_cost(1, 3)"]


def counts_of(tables):
    return Counts(*np.asarray(tables, float).T)


def bound_at(metric, cells, slack):
    """Return a bound that rows of these probabilities miss by ``slack``, or meet exactly."""
    relation = "<=" if metric in LOWER else ">="
    bound = MetricBound(metric, relation, 0.0)
    reached = float(bound.metric(Counts(*cells)))
    return MetricBound(metric, relation, reached + slack * (1 if relation == ">=" else -1))


@pytest.mark.parametrize("metric", RATES + OTHERS + LOWER)
def test_no_bound_that_is_missed_passes_more_often_than_its_p_value_says(metric):
    for cells in ((0.3, 0.1, 0.2, 0.4), (0.1, 0.3, 0.05, 0.55)):
        p = p_values(bound_at(metric, cells, 1e-9), counts_of(TABLES))
        mass = multinomial.pmf(TABLES, NUM_ROWS, cells)
        for level in LEVELS:
            assert mass[p <= level].sum() <= level
        assert mass[p <= 0.6].sum() > 0.01  # or the p-values would be worth nothing


@pytest.mark.parametrize("subgroup", [False, True])
@pytest.mark.parametrize("metric", ["precision", "accuracy", "net_benefit(0.2)", "expected_cost(1, 3)"])
def test_the_same_at_another_prevalence_where_each_class_is_drawn_by_itself(metric, subgroup):
    """Of a subgroup, half of either class: its metric weighs the classes as all rows do."""
    positives, negatives, recall, wrong, prevalence = (6, 7, 0.7, 0.2, 0.15) if subgroup else (12, 14, 0.7, 0.2, 0.15)
    part = 0.5 if subgroup else 1.0
    cells = [prevalence * part * recall, (1 - prevalence) * part * wrong]
    cells += [prevalence * part - cells[0], (1 - prevalence) * part - cells[1]]
    sizes = (float(positives), float(negatives)) if subgroup else None
    numbers = [range(n + 1) if subgroup else [n] for n in (positives, negatives)]
    tables = np.array(
        [
            (right, false, of_positives - right, of_negatives - false)
            for of_positives, of_negatives in product(*numbers)
            for right, false in product(range(of_positives + 1), range(of_negatives + 1))
        ],
        float,
    )
    mass = np.ones(len(tables))
    for right, of, rate, size in ((0, 2, recall, positives), (1, 3, wrong, negatives)):
        own = tables[:, right] + tables[:, of]
        mass *= binom.pmf(own, size, part) * binom.pmf(tables[:, right], own, rate)
    assert mass.sum() == pytest.approx(1)
    p = p_values(bound_at(metric, cells, 1e-9), counts_of(tables), prevalence, sizes)
    for level in LEVELS:
        assert mass[p <= level].sum() <= level


def test_a_rate_has_its_exact_binomial_tail():
    counts = counts_of([(22, 1, 8, 70), (5, 0, 25, 71), (0, 0, 30, 71)])
    tails = {
        ("precision", ">=", 0.8): binom.sf(np.array([22, 5, 0]) - 1, [23, 5, 0], 0.8),
        ("recall", ">=", 0.5): binom.sf(np.array([22, 5, 0]) - 1, 30, 0.5),
        ("false_positive_rate", "<=", 0.05): binom.cdf([1, 0, 0], 71, 0.05),
        ("alarm_rate", "<=", 0.3): binom.cdf([23, 5, 0], 101, 0.3),
        ("number_needed_to_evaluate", "<=", 1.25): binom.sf(np.array([22, 5, 0]) - 1, [23, 5, 0], 0.8),
        # F1 >= 2/3 is a Jaccard index of at least 1/2: of found, false and missed rows half are found
        ("f1", ">=", 2 / 3): binom.sf(np.array([22, 5, 0]) - 1, [31, 30, 30], 0.5),
        # net benefit above 0 at the threshold probability .25: three false alarms for a right one are too many
        ("net_benefit(0.25)", ">=", 0.0): binom.sf(np.array([22, 5, 0]) - 1, [23, 5, 0], 0.25),
    }
    for asked, tail in tails.items():
        assert p_values(MetricBound(*asked), counts) == pytest.approx(tail, rel=1e-9), asked


def test_more_right_rows_are_never_less_sure():
    right = np.arange(31.0)
    counts = Counts(right, 0 * right + 3, 30 - right, 0 * right + 67)
    for metric, number in (("net_benefit(0.1)", 0.1), ("balanced_accuracy", 0.7), ("f2", 0.5), ("recall", 0.6)):
        p = p_values(MetricBound(metric, ">=", number), counts)
        assert (np.diff(p) <= 1e-9).all() and p[0] == 1 and p[-1] < 1e-3


def test_what_decides_and_how_much_of_it_is_enough():
    bound, counts = MetricBound("precision", ">=", 0.9), counts_of([(20, 2, 5, 60)])
    assert num_decisive(bound, counts)[0] == 22 and num_needed(bound, counts, 0.1) == 22  # .9^22 <= .1 < .9^21
    healthy = MetricBound("false_positive_rate", "<=", 0.05)
    assert num_decisive(healthy, counts)[0] == 62 and num_needed(healthy, counts, 0.1) == 45
    assert p_values(healthy, counts_of([(20, 0, 5, 45)]))[0] <= 0.1 < p_values(healthy, counts_of([(20, 0, 5, 44)]))[0]
    benefit = MetricBound("net_benefit(0.1)", ">=", 0.1)
    assert num_decisive(benefit, counts)[0] == 87 and num_needed(benefit, counts, 0.1) is None


def test_nothing_to_judge_is_never_sure():
    empty = counts_of([(0, 0, 0, 0)])
    for metric in RATES + OTHERS:
        assert p_values(MetricBound(metric, ">=", 0.1), empty)[0] == 1
        assert p_values(MetricBound(metric, ">=", 0.1), empty, 0.1, (50.0, 50.0))[0] == 1
    assert (counts_at(0.1, counts_of([(5, 5, 5, 5)]), (20.0, 20.0)).positives == 2).all()
