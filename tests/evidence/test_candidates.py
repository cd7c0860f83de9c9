"""The winner among candidates, against plain loops; what it is worth on scores that did not choose it."""

import numpy as np
import pytest

from metricopt.evidence.candidates import best_candidate, choose_known
from metricopt.evidence.folds import make_folds
from metricopt.evidence.rule import Rule
from metricopt.evidence.standard_error import standard_error
from metricopt.evidence.thresholds import choose_threshold, selection_criterion
from metricopt.problem.objectives import FPOR, FROP, OAP, OFBS


def candidates(number=5, num_rows=150, seed=0):
    random = np.random.default_rng(seed)
    labels = (random.random(num_rows) < 0.3).astype(float)
    return [labels * random.uniform(0, 2) + random.normal(size=num_rows) for _ in range(number)], labels


@pytest.mark.parametrize("objective", [FPOR(0.7), FROP(0.8), OFBS(1.0), OAP()], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_rows_of_a_fold_testify_with_the_winner_of_the_others(objective, seed):
    scores, labels = candidates(seed=seed)
    folds = make_folds(5, labels, seed=seed)

    def winner_on(rows):
        keys = [
            selection_criterion(choose_threshold(each[rows], labels[rows], objective), objective) for each in scores
        ]
        return keys.index(max(keys))

    winner, honest = best_candidate(scores, labels, folds, objective)
    assert winner == winner_on(np.ones(150, bool))
    for fold in range(5):
        own = folds == fold
        assert np.array_equal(honest[own], scores[winner_on(~own)][own])


def test_of_equals_the_first_wins():
    scores, labels = candidates(1)
    folds = make_folds(3, labels)
    assert best_candidate([scores[0], 2 * scores[0]], labels, folds, FPOR(0.7))[0] == 0


@pytest.mark.parametrize("objective", [FPOR(0.5), FROP(0.6), OFBS(1.0)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_with_a_rule_the_first_wins_unless_another_is_better_by_more_than_its_standard_error(objective, seed):
    scores, labels = candidates(4, num_rows=400, seed=seed)
    scores[1] = scores[0] + 0.4 * labels  # better
    scores[2] = scores[0] + 0.01 * labels  # hardly better
    folds, groups = make_folds(5, labels, seed=seed), np.arange(400) // 2

    def keys_on(rows):
        for number, each in enumerate(scores):
            own = labels[rows][:, np.newaxis]
            evidence = {"confidence": 0.8, "groups": groups[rows], "folds": folds[rows]}
            choice = choose_threshold(each[rows][:, np.newaxis], own, objective, **evidence)
            value, safety = selection_criterion(choice, objective)
            yield value - (standard_error(choice, objective, own) if number else 0), safety

    def winner_on(rows):
        keys = list(keys_on(rows))
        return keys.index(max(keys))

    winner, honest = best_candidate(scores, labels, folds, objective, groups=groups, rule=Rule(0.8))
    assert winner == winner_on(np.ones(400, bool)) != 2
    assert all(np.array_equal(honest[own], scores[winner_on(~own)][own]) for own in (folds == k for k in range(5)))
    assert best_candidate([scores[0], scores[2]], labels, folds, objective, groups=groups, rule=Rule(0.8))[0] == 0


def test_with_a_rule_the_first_wins_where_nothing_is_supported():
    scores, labels = candidates(2, num_rows=40)
    scores[1] = scores[0] + labels
    folds = make_folds(4, labels)
    assert best_candidate(scores, labels, folds, FPOR(0.9))[0] == 1
    assert best_candidate(scores, labels, folds, FPOR(0.9), rule=Rule())[0] == 0


@pytest.mark.slow
def test_the_luckiest_of_many_like_candidates_looks_better_than_its_honest_scores():
    """What 40 candidates of pure noise promise on the rows that chose one, and on rows that did not."""
    random, gain = np.random.default_rng(0), []
    for _ in range(10):
        labels = np.repeat([1.0, 0.0], [40, 160])
        scores = list(random.normal(size=(40, 200)))
        winner, honest = best_candidate(scores, labels, make_folds(5, labels), OAP())
        of_winner, of_honest = (choose_threshold(each, labels, OAP()).value for each in (scores[winner], honest))
        gain.append(of_winner - of_honest)
    assert np.mean(gain) > 0.05


def test_rows_without_a_score_say_nothing():
    scores, labels = candidates(2)
    folds = make_folds(3, labels)
    scores[0][folds == 1] = np.nan
    known = folds != 1
    choice = choose_known(scores[0], labels, FPOR(0.7))
    expected = choose_threshold(scores[0][known], labels[known], FPOR(0.7))
    assert (choice.threshold, choice.value) == (expected.threshold, expected.value)
    weight = np.random.default_rng(1).integers(0, 3, 150).astype(float)
    repeated = np.repeat(np.arange(150), weight.astype(int))
    weighted = best_candidate(scores, labels, folds, FPOR(0.7), sample_weight=weight)
    again = best_candidate([each[repeated] for each in scores], labels[repeated], folds[repeated], FPOR(0.7))
    assert weighted[0] == again[0]
    assert np.array_equal(weighted[1][repeated], again[1], equal_nan=True)
