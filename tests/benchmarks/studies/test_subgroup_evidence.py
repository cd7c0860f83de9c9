import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.studies.subgroup_evidence import THRESHOLDS, at_the_limit, expected, judged, summary
from metricopt import MetricBound, Program, choose_threshold
from metricopt.evidence.program_outcome import BoundOutcome
from metricopt.problem.ratios import Counts


def test_what_is_expected_is_what_draws_give():
    random, counts = np.random.default_rng(0), Counts(30.0, 12.0, 20.0, 88.0)
    for bound, hits, num_rows in (
        (MetricBound("recall", ">=", 0.5), counts.true_positives, 50),
        (MetricBound("false_positive_rate", "<=", 0.1), counts.false_positives, 100),
    ):
        outcome = BoundOutcome(bound, None, counts, hits / num_rows, True, limit=0.45)
        rates = random.beta(hits + 0.5, num_rows - hits + 0.5, 20_000)
        drawn = random.binomial(40, rates) / 40
        assert expected(outcome, 40) == pytest.approx(bound.holds(drawn).mean(), abs=0.02)
        by_limit = bound.holds(binom(40, 0.45).rvs(20_000, random_state=random) / 40).mean()
        assert at_the_limit(outcome, 40) == pytest.approx(by_limit, abs=0.02)


def test_claims_are_judged_bound_by_bound_and_pooled_over_splits():
    random = np.random.default_rng(1)
    labels, subgroup = (random.random(800) < 0.3).astype(float), np.array(["a", "b"])[random.integers(0, 2, 800)]
    scores = random.normal(size=800) + 2.5 * labels
    program = Program("recall", ["false_positive_rate <= 0.1 in every subgroup"], THRESHOLDS["per subgroup"])
    choice = choose_threshold(scores, labels, program, confidence=0.9, subgroups=subgroup)
    found = list(judged(choice, scores, labels, subgroup))
    assert [own.subgroup for own, *_ in found] == ["a", "b"] and all(met for *_, met in found)
    assert [hits / rows for _, hits, rows, _ in found] == pytest.approx([own.value for own, *_ in found])
    assert not any(met for *_, met in judged(choice, scores + 9, labels, subgroup))
    head = {"dataset": "x", "asked": "y", "thresholds": "z", "folds": "f", "claimed": 1, "met": 1}
    rows = [{**head, "split": at, "rates": [("fpr in a", -1.0, 0.1, hits, 10)]} for at, hits in enumerate((0, 2, 2))]
    table = summary([*rows, {**head, "split": 3, "claimed": 0, "met": None}])
    assert table["claimed"].item() == 0.75 and table["held_pooled"].item() == 0
    assert table["largest_pooled_miss"].item() == pytest.approx(4 / 30 - 0.1)
