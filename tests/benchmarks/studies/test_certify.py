import numpy as np
import pytest

from benchmarks.studies import certify
from benchmarks.studies.certify import Case
from benchmarks.studies.populations import Population
from metricopt import FPOR, FROP
from metricopt.problem.metrics import confusion_counts
from metricopt.problem.ratios import PRECISION, RECALL


@pytest.mark.parametrize("kind", ["normal", "flat"])
@pytest.mark.parametrize("threshold", [0.5, 1.4])
def test_what_a_threshold_is_worth_is_what_many_samples_say(kind, threshold):
    population = Population(kind, 0.3)
    counts = confusion_counts(*population.draw(np.random.default_rng(0), 200_000), threshold)
    for metric in (PRECISION, RECALL):
        assert metric(population.worth(threshold)) == pytest.approx(metric(counts), abs=0.01)


@pytest.mark.parametrize("deployed", [None, 0.02])
def test_flat_precision_is_just_below_the_bound(deployed):
    population = Population("flat", 0.3, deployed)
    values = [float(PRECISION(population.worth(threshold))) for threshold in (1.01, 1.5, 1.9)]
    assert all(0.7999 < value < 0.8 for value in values)


def test_coverage_has_a_row_a_procedure():
    rows = certify.coverage(Case(Population("normal", 0.3), FPOR(0.8), 300, 300), 8)
    assert [row["procedure"] for row in rows] == list(certify.PROCEDURES)
    by_name = {row["procedure"]: row for row in rows}
    assert by_name["tuned"]["found"] == 8 and by_name["certified"]["mean_value"] < by_name["tuned"]["mean_value"]
    assert by_name["certified"]["found"] >= by_name["MAPIE, Holm"]["found"]
    rare = certify.coverage(Case(Population("normal", 0.3, 0.1), FROP(0.8), 300, 300), 3)
    assert [row["procedure"] for row in rare] == ["tuned", "certified", "Holm"]


def test_mapies_errors_are_miscounted_now_and_then():
    assert 0.01 < certify.miscounted() < 0.5


def test_the_limit_is_that_of_a_sound_procedure():
    assert certify.most_allowed(500) == 72
    row = {"study": "coverage", "procedure": "certified", "missed": 72, "most_allowed": 72}
    assert certify.is_sound([row]) and not certify.is_sound([row | {"missed": 73}])


def test_weighted_metrics_are_the_resampled_ones():
    row = certify.at_prevalence(0.5, 0.1, 10)
    assert abs(row["precision"] - row["precision_resampled"]) < 0.01
    assert row["precision_enriched"] > row["precision"] + 0.1
