"""Histograms: what they claim holds for the true rows, cells are never too small, and the exact threshold is found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt.evidence.thresholds import choose_threshold
from metricopt.federated import refinement
from metricopt.federated.histograms import PseudoRows, bins_of, count_scores, first_edges
from metricopt.federated.protocol import MOST_REFINEMENTS
from metricopt.federated.refinement import refined
from metricopt.problem.metrics import confusion_counts
from metricopt.problem.registry import get_objective
from metricopt.training.hand_over import has_begun_to_learn


def random_rows(num_rows, num_cases, seed):
    """Scores and labels of many cases, one a column, of different scales and difficulty, with ties in some."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((num_rows, num_cases)) < rng.uniform(0.05, 0.5, num_cases)).astype(np.float32)
    labels[:2] = [[0], [1]]
    scores = rng.normal(size=labels.shape) * rng.choice([0.1, 1, 10], num_cases)
    scores = scores + labels * rng.uniform(0, 3, num_cases)
    scores[:, ::5] = scores[:, ::5].round(1)
    return scores.astype(np.float32), labels


def histograms_of(scores, labels, levels, num_sites=3, minimum=1):
    site_of = np.arange(len(scores)) % num_sites
    return {
        str(site): count_scores(scores[site_of == site], labels[site_of == site], levels, minimum)
        for site in range(num_sites)
    }


@pytest.mark.parametrize(
    ("name", "options"),
    [("FPOR", {"alpha": 0.7}), ("FROP", {"alpha": 0.8}), ("OFBS", {}), ("RecallAtFPR", {"alpha": 0.1})],
)
def test_threshold_is_that_of_the_pooled_scores(name, options, monkeypatch):
    # 4 objectives of 250 cases: the value is never above the exact one, and equal in at least 99 %. Where scores tie,
    # the best that seems possible may lie in a bin that no refining divides; then a little may be missing.
    # Fewer bins than by default, so that refining has more to find in less time.
    monkeypatch.setattr(refinement, "PARTS_OF_BIN", 40)
    scores, labels = random_rows(30, 250, seed=len(name))
    objective = get_objective(name, **options)
    exact, levels = choose_threshold(scores, labels, objective), [first_edges(250, 128)]
    for number in range(MOST_REFINEMENTS + 1):
        counts = histograms_of(scores, labels, levels)
        finer = refined(counts, levels[-1], objective, None)
        if finer is None or number == MOST_REFINEMENTS:
            break
        levels.append(finer)
    told, truth, _ = PseudoRows.of(counts, levels[-1], "worst").one_by_one()
    found = choose_threshold(told, truth, objective)
    assert (found.feasible == exact.feasible).all()
    assert (found.value <= exact.value + 1e-12).all()
    missing = exact.value - found.value
    assert missing.max() <= 0.02
    assert (missing <= 1e-12).mean() >= 0.99
    # The true counts at the threshold that was found are those that the histograms tell of, or better.
    counted = confusion_counts(scores, labels, found.threshold)
    for label, own in enumerate(counted):
        assert own.true_positives >= found.counts.true_positives[label]
        assert own.false_positives <= found.counts.false_positives[label]
        same = missing[label] <= 1e-12
        if same:  # then the threshold lies in the same gap between scores, or in one that is as good
            assert objective.for_labels(250)[label].value(own) >= exact.value[label] - 1e-12


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), minimum=st.integers(2, 12), num_rows=st.integers(1, 80))
def test_no_cell_below_the_minimum(seed, minimum, num_rows):
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(num_rows, 1)), (rng.random((num_rows, 1)) < 0.4).astype(np.float32)
    levels = [first_edges(1)]
    coarse = count_scores(scores, labels, levels, minimum)
    at = int(np.argmax(coarse.sum(axis=(0, 1)))) if coarse.any() else 256
    inner = np.linspace(levels[0][0, at], levels[0][0, at + 1], 20)[1:-1]
    levels.append(np.sort(np.concatenate([levels[0][0], inner]))[np.newaxis])
    fine = count_scores(scores, labels, levels, minimum)
    totals = [(labels == truth).sum() for truth in (0, 1)]
    is_told = all(total == 0 or total >= minimum for total in totals)
    for counts, edges in ((coarse, levels[0]), (fine, levels[1])):
        assert ((counts == 0) | (counts >= minimum)).all()
        assert counts.sum(axis=2)[0].tolist() == (totals if is_told else [0, 0])
        if not is_told:
            continue
        # Whatever the threshold, no more true alarms are told of than there are, and no fewer false ones.
        told, truth, _ = PseudoRows.of({"": counts}, edges, "worst").one_by_one()
        for threshold in rng.normal(size=5):
            assert (told[truth == 1] >= threshold).sum() <= (scores[labels == 1] >= threshold).sum()
            assert (told[truth == 0] >= threshold).sum() >= (scores[labels == 0] >= threshold).sum()
    # No difference of sums of both tells of fewer rows, but of none.
    for truth in (0, 1) if is_told else ():
        ends = [np.cumsum(counts[0, truth]) for counts in (coarse, fine)]
        differences = np.abs(np.subtract.outer(*ends))
        assert ((differences == 0) | (differences >= minimum)).all()


def test_bins_hold_every_score():
    edges = first_edges(1, 8)[0]
    scores = np.array([-1e9, edges[0], edges[3], np.nextafter(edges[3], -np.inf), 0.0, edges[-1], 1e9])
    assert bins_of(scores, edges).tolist() == [0, 0, 3, 2, 4, 7, 7]


def test_a_class_below_the_minimum_is_not_told_of():
    scores, labels = np.arange(10.0)[:, np.newaxis], (np.arange(10) < 2).astype(np.float32)[:, np.newaxis]
    edges = [first_edges(1)]
    assert count_scores(scores, labels, edges, 3).sum() == 0
    assert count_scores(scores, labels, edges, 2).sum() == 10
    without = np.zeros_like(labels)
    assert count_scores(scores, without, edges, 3)[0].sum(axis=1).tolist() == [10, 0]


def test_rows_of_histograms_serve_as_weights():
    scores, labels = random_rows(40, 2, seed=3)
    counts = histograms_of(scores, labels, [first_edges(2)])
    rows = PseudoRows.of(counts, first_edges(2), "middle").filled()
    one_by_one, truth, sites = PseudoRows.of(counts, first_edges(2), "middle").one_by_one()
    assert sorted(sites.tolist()) == sorted([str(k % 3) for k in range(40)])
    for label in range(2):
        expanded = np.repeat(rows.scores[:, label], rows.weight[:, label].astype(int))
        assert sorted(expanded) == sorted(one_by_one[:, label])
        assert truth[:, label].sum() == labels[:, label].sum()
    assert has_begun_to_learn(rows.scores, rows.labels, rows.weight) == has_begun_to_learn(one_by_one, truth, None)
