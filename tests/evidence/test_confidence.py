import math
from dataclasses import astuple, dataclass, fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, norm

from metricopt import (
    FPOR,
    FROP,
    OAP,
    OFBS,
    InvalidInputError,
    RecallAtAlarmRate,
    RecallAtFPR,
    ThresholdChoice,
    choose_threshold,
)
from metricopt.evidence.limits import EffectiveRate, LimitOfTwoRates
from metricopt.evidence.rule import MIN_ALARMS
from metricopt.evidence.thresholds import reachable_bound
from metricopt.problem import metrics, ratios
from tests.evidence import brute_force


@dataclass(frozen=True)
class RecallAtSpecificity(FPOR):
    bounded = ratios.SPECIFICITY


@dataclass(frozen=True)
class RecallAtFalseDiscoveryRate(RecallAtFPR):
    bounded = ratios.Ratio("false_discovery_rate", ratios.LinearForm(fp=1.0), ratios.LinearForm(tp=1.0, fp=1.0))


@dataclass(frozen=True)
class PrecisionAtMinAlarmRate(RecallAtAlarmRate):
    """False alarms help to meet the bound."""

    maximised = ratios.PRECISION
    bound_direction = "min"


OBJECTIVES = (
    *(FPOR, FROP, RecallAtFPR, RecallAtAlarmRate),
    *(RecallAtSpecificity, RecallAtFalseDiscoveryRate, PrecisionAtMinAlarmRate),
)
BOUNDS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def random_case(rng):
    """Scores with ties, labels of which some are missing, and whatever else a row may come with."""
    n = int(rng.integers(1, 60))
    labels = (rng.random(n) < rng.choice([0.0, 0.1, 0.3, 0.5, 0.8, 1.0], p=[0.02, 0.28, 0.3, 0.2, 0.18, 0.02])) * 1.0
    scores = np.round(rng.normal(size=n) + labels * rng.choice([0, 1, 2.5]), int(rng.integers(0, 2)))
    if rng.random() < 0.3:
        labels[rng.random(n) < 0.2] = np.nan
    given = {}
    if (kind := rng.choice(["none", "by class", "within a class"], p=[0.6, 0.15, 0.25])) != "none":
        by_class = np.where(labels == 1, rng.choice([0.25, 2.0]), 1.0)
        given["sample_weight"] = by_class if kind == "by class" else rng.integers(0, 9, n) / 4
    if rng.random() < 0.35:
        given["groups"] = [f"patient {number}" for number in rng.integers(0, max(1, n // 2), n)]
    if rng.random() < 0.25:
        given["prevalence"] = float(rng.choice([0.02, 0.1, 0.5]))
    if rng.random() < 0.2 and n > 1:
        given["folds"] = [0, 1, *rng.integers(0, 2, n - 2).tolist()]
    return scores, labels, given


def rows_of(scores, labels, given):
    weights = given.get("sample_weight")
    return brute_force.rows_of(
        *(scores.tolist(), labels.tolist(), None if weights is None else weights.tolist()),
        *(given.get("groups"), given.get("prevalence"), given.get("folds")),
    )


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_equals_brute_force_over_all_cuts(objective):
    rng = np.random.default_rng(OBJECTIVES.index(objective))
    seen, num_close = [], 0
    for _ in range(60):
        scores, labels, given = random_case(rng)
        bound, confidence = float(rng.choice(BOUNDS)), float(rng.choice([0.3, 0.5, 0.7, 0.9]))
        rows = rows_of(scores, labels, given)
        choice = choose_threshold(scores, labels, objective(bound), confidence=confidence, **given)
        if not any(row.label for row in rows):
            assert math.isnan(choice.threshold) and not choice.supported and not choice.feasible
            continue
        prevalence = given.get("prevalence")
        best = brute_force.choose(objective.__name__, rows, bound, confidence, prevalence, "folds" in given)
        num_close += best.is_close
        if best.is_close:
            continue
        assert (choice.threshold, choice.supported, choice.feasible) == (best.threshold, best.supported, best.supported)
        np.testing.assert_allclose([choice.value, choice.limit], [best.value, best.limit], rtol=0, atol=1e-3)
        again = metrics.confusion_counts(scores, labels, choice.threshold, given.get("sample_weight"))
        if prevalence is None:
            np.testing.assert_allclose(astuple(choice.counts), astuple(again), rtol=1e-12)
        seen.append((best.supported, *sorted(given)))
    assert num_close < 4
    assert {True, False} == {each[0] for each in seen}
    assert {"sample_weight", "groups", "prevalence", "folds"} <= {name for each in seen if each[0] for name in each[1:]}


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_reachable_bound_equals_brute_force(objective):
    rng = np.random.default_rng(20 + OBJECTIVES.index(objective))
    found = []
    for _ in range(20):
        scores, labels, given = random_case(rng)
        confidence = float(rng.choice([0.5, 0.7, 0.9]))
        rows = rows_of(scores, labels, given)
        reached = reachable_bound(scores, labels, objective(0.5), confidence=confidence, **given)
        best = brute_force.reachable(objective.__name__, rows, confidence, given.get("prevalence"), "folds" in given)
        np.testing.assert_allclose(reached, best, rtol=0, atol=1e-3)
        found.append(math.isnan(best))
        if objective is FPOR and 0.01 < best < 0.99 and any(row.label for row in rows):
            for bound, supported in ((best - 2e-3, True), (best + 2e-3, False)):
                choice = choose_threshold(scores, labels, FPOR(bound), confidence=confidence, **given)
                assert choice.supported == supported
    assert 0 < sum(found) < 20


@pytest.mark.parametrize("objective", [OFBS(2.0), OAP()])
def test_objective_without_a_bound_is_chosen_for_as_without_confidence(objective):
    rng = np.random.default_rng(3)
    labels = (rng.random(100) < 0.3) * 1.0
    scores = rng.normal(size=100) + labels
    plain, sure = (choose_threshold(scores, labels, objective, confidence=c) for c in (None, 0.9))
    assert (sure.threshold, sure.value, sure.feasible) == (plain.threshold, plain.value, True)
    assert sure.limit is sure.supported is sure.num_more_positives is sure.advice is None
    assert sure.confidence == 0.9 and sure.empirical.threshold == plain.threshold


@pytest.mark.parametrize("objective", [FPOR(0.6), FROP(0.9), RecallAtFPR(0.2), RecallAtAlarmRate(0.2)])
def test_empirical_is_the_choice_without_confidence(objective):
    rng = np.random.default_rng(4)
    for _ in range(20):
        scores, labels, given = random_case(rng)
        plain = choose_threshold(scores, labels, objective, **given)
        empirical = choose_threshold(scores, labels, objective, confidence=0.9, **given).empirical
        for name in ("threshold", "value", "bounded_value", "feasible", "num_alarms"):
            np.testing.assert_array_equal(getattr(plain, name), getattr(empirical, name))
        assert astuple(plain.counts) == astuple(empirical.counts)
        assert plain.confidence is plain.limit is plain.supported is plain.empirical is None


cases = st.integers(0, 10_000).map(np.random.default_rng).map(lambda rng: (rng, *random_case(rng)))
objectives = st.sampled_from([FPOR(0.3), FPOR(0.7), FROP(0.6), RecallAtFPR(0.3), RecallAtAlarmRate(0.5)])


def numbers_of(choice, *left_out):
    """The numbers of a choice, its counts one by one; rounded, since sums of weights depend on their order."""
    found = {}
    for field in fields(choice):
        value = getattr(choice, field.name)
        if field.name == "counts":
            found.update(("counts " + name, float(number)) for name, number in vars(value).items())
        elif value is None or isinstance(value, (str, tuple, ThresholdChoice)):
            found[field.name] = value if isinstance(value, str) else None
        else:
            found[field.name] = float(value)
    return {
        name: round(value, 9) if isinstance(value, float) and not math.isnan(value) else str(value)
        for name, value in found.items()
        if name not in left_out and not ("counts" in left_out and name.startswith("counts"))
    }


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(cases, objectives)
def test_order_of_rows_does_not_matter(case, objective):
    rng, scores, labels, given = case
    order = rng.permutation(len(scores))
    moved = {k: v if k == "prevalence" else [v[i] for i in order] for k, v in given.items()}
    choices = choose_threshold(scores, labels, objective, confidence=0.8, **given)
    shuffled = choose_threshold(scores[order], labels[order], objective, confidence=0.8, **moved)
    assert numbers_of(choices) == numbers_of(shuffled)


@settings(max_examples=25, deadline=None)
@given(cases, objectives)
def test_rising_transform_of_scores_changes_the_threshold_alone(case, objective):
    _, scores, labels, given = case
    choice = choose_threshold(scores, labels, objective, confidence=0.8, **given)
    risen = choose_threshold(np.exp(scores) - 7, labels, objective, confidence=0.8, **given)
    assert numbers_of(choice, "threshold") == numbers_of(risen, "threshold")


@settings(max_examples=25, deadline=None)
@given(cases, objectives)
def test_equal_weights_and_groups_of_one_change_nothing(case, objective):
    _, scores, labels, given = case
    given = {name: value for name, value in given.items() if name in ("prevalence", "folds")}
    plain = choose_threshold(scores, labels, objective, confidence=0.8, **given)
    weighted = choose_threshold(
        scores, labels, objective, confidence=0.8, sample_weight=np.full(len(scores), 4.0), **given
    )
    alone = choose_threshold(scores, labels, objective, confidence=0.8, groups=np.arange(len(scores)), **given)
    unlike = ("by_group", "num_more_positives")  # the latter is looked for among more cuts where there are groups
    assert numbers_of(plain, *unlike) == numbers_of(alone, *unlike)
    assert numbers_of(plain, "counts", "by_group") == numbers_of(weighted, "counts", "by_group")


@settings(max_examples=25, deadline=None)
@given(cases, objectives)
def test_rows_repeated_within_their_group_add_nothing(case, objective):
    _, scores, labels, given = case
    given = {name: value for name, value in given.items() if name == "prevalence"}
    rows = np.repeat(np.arange(len(scores)), 3)
    once = choose_threshold(scores, labels, objective, confidence=0.8, **given)
    thrice = choose_threshold(scores[rows], labels[rows], objective, confidence=0.8, groups=rows, **given)
    unlike = ("counts", "by_group", "num_more_positives")
    assert numbers_of(once, *unlike) == numbers_of(thrice, *unlike)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(cases, objectives)
def test_more_confidence_never_promises_more(case, objective):
    _, scores, labels, given = case
    found = [choose_threshold(scores, labels, objective, confidence=c, **given) for c in (0.5, 0.7, 0.9, 0.99)]
    if not math.isnan(found[0].threshold):
        assert sorted((bool(choice.supported) for choice in found), reverse=True) == [bool(c.supported) for c in found]
        values = [float(choice.value) for choice in found if choice.supported]
        assert values == sorted(values, reverse=True)


def test_one_column_and_several_labels_agree_with_each_label_alone():
    rng = np.random.default_rng(5)
    labels = (rng.random((150, 3)) < [0.5, 0.2, 0.0]) * 1.0
    scores = rng.normal(size=(150, 3)) + 2 * labels
    labels[:20, 0] = np.nan
    given = {"groups": np.arange(150) // 2, "confidence": 0.8}
    objective = FPOR((0.7, 0.3, 0.5))
    choice = choose_threshold(scores, labels, objective, prevalence=(0.3, 0.2, 0.1), **given)
    assert choice.threshold.shape == choice.supported.shape == choice.empirical.threshold.shape == (3,)
    assert len(choice.advice) == 3 and str(choice).count("label ") == 3
    for k in range(3):
        alone = {"prevalence": (0.3, 0.2, 0.1)[k], **given}
        flat = choose_threshold(scores[:, k], labels[:, k], FPOR(objective.bound[k]), **alone)
        column = choose_threshold(scores[:, [k]], labels[:, [k]], FPOR(objective.bound[k]), **alone)
        assert numbers_of(choice[k]) == numbers_of(flat) == numbers_of(column[0])
        assert str(flat) in str(choice)


@pytest.mark.parametrize("kind", [np, torch])
def test_result_is_of_the_kind_that_came_in(kind):
    rng = np.random.default_rng(6)
    labels = (rng.random((80, 2)) < 0.4) * 1.0
    scores = rng.normal(size=(80, 2)) + labels
    choice = choose_threshold(kind.asarray(scores), kind.asarray(labels), FROP(0.5), confidence=0.7)
    arrays = (choice.limit, choice.supported, choice.num_alarms, choice.num_more_positives, choice.empirical.threshold)
    assert all(isinstance(array, torch.Tensor) == (kind is torch) and array.shape == (2,) for array in arrays)
    assert str(choice) == str(choose_threshold(scores, labels, FROP(0.5), confidence=0.7))


def test_limits_are_those_of_clopper_and_pearson():
    labels = np.repeat([0.0, 1.0, 0.0, 1.0], [50, 10, 5, 35])  # above the cut: 35 right, 5 wrong
    scores = np.repeat([0.0, 0.0, 1.0, 1.0], [50, 10, 5, 35])
    for objective, limit in (
        (FPOR(0.7), beta.ppf(0.1, 35, 6)),
        (FROP(0.6), beta.ppf(0.1, 35, 11)),
        (RecallAtFPR(0.3), beta.ppf(0.9, 6, 50)),
        (RecallAtAlarmRate(0.5), beta.ppf(0.9, 41, 60)),
    ):
        choice = choose_threshold(scores, labels, objective, confidence=0.9)
        assert choice.threshold == 0.5 and choice.supported
        assert choice.limit == pytest.approx(limit, rel=1e-12)


def test_two_rates_agree_with_draws_from_their_beta_distributions():
    rng = np.random.default_rng(7)
    for direction, ratio in (("min", ratios.PRECISION), ("max", ratios.ALARM_RATE)):
        for tp, fn, fp, tn in ((12, 8, 3, 400), (30, 70, 0, 900), (1, 9, 5, 95), (300, 200, 40, 20_000)):
            rates = [EffectiveRate(np.array([float(k)]), np.array([float(m)])) for k, m in ((tp, fn), (fp, tn))]
            limit = LimitOfTwoRates(ratio, direction, *rates, 0.05, 0.95)
            up = direction == "max"
            recall = rng.beta(tp + up, fn + 1 - up, 400_000)
            wrong = rng.beta(fp + 1, tn, 400_000)
            drawn = 0.05 * recall / (0.05 * recall + 0.95 * wrong) if not up else 0.05 * recall + 0.95 * wrong
            for confidence in (0.5, 0.9):
                found = limit.value(confidence, np.array([0]))[0]
                share = np.mean(drawn <= found) if up else np.mean(drawn >= found)
                assert share == pytest.approx(confidence, abs=0.004)


def test_no_claim_on_fewer_alarms_than_ten():
    for num_right, supported in ((MIN_ALARMS - 1, False), (MIN_ALARMS, True)):
        labels = np.append(np.zeros(200), np.ones(num_right))
        choice = choose_threshold(np.arange(len(labels)), labels, FPOR(0.95), confidence=0.1)
        assert choice.supported == supported
    # Nine right alarms alone are too few; with the wrong one below them there are ten.
    scores, labels = [5.0] * 9 + [4.0] + [1.0] * 50, [1.0] * 9 + [0.0] * 51
    choice = choose_threshold(scores, labels, FPOR(0.3), confidence=0.9)
    assert choice.supported and choice.num_alarms == 10 and choice.counts.false_positives == 1


@pytest.mark.parametrize(
    ("objective", "flags"),
    [
        (FPOR(0.9), "nothing"),
        (RecallAtFPR(0.02), "nothing"),
        (RecallAtAlarmRate(0.02), "nothing"),
        (FROP(0.99), "all"),
    ],
)
def test_unsupported_is_a_safe_threshold(objective, flags):
    rng = np.random.default_rng(8)
    labels = np.append(np.zeros(100), np.ones(8))
    scores = rng.normal(size=108) + labels
    choice = choose_threshold(scores, labels, objective, confidence=0.9)
    assert not choice.supported and not choice.feasible
    alarms = scores >= choice.threshold
    assert alarms.all() if flags == "all" else not alarms.any()
    assert np.isnan(choice.limit) if objective.name == "FPOR" else choice.limit == (flags == "all")
    assert choice.empirical.threshold != choice.threshold


def test_flagging_every_row_is_for_rows_below_the_lowest_score_too():
    # Only the lowest cut finds all positives, of which there are enough.
    scores, labels = np.arange(100.0), np.append(np.ones(40), np.zeros(60))
    choice = choose_threshold(scores, labels, FROP(0.94), confidence=0.9)
    assert choice.supported and choice.counts.false_negatives == 0 and choice.limit == 1
    assert choice.threshold == -np.inf and "1.000 by definition" in str(choice)
    # The best cut on these rows is a finite threshold, below which new positives may lie.
    assert np.isfinite(choice.empirical.threshold) and choice.empirical.limit == pytest.approx(0.1 ** (1 / 40))


def test_no_alarm_at_the_best_cut_is_said():
    choice = choose_threshold(np.arange(100.0), np.arange(100) < 40, RecallAtAlarmRate(0.001), confidence=0.9)
    assert not choice.supported
    assert "best cut on these rows" not in str(choice)
    assert choice.advice == "The best cut raises no alarm: it meets the bound, but finds no positive."


def scaled_support(objective, scores, labels, times, cuts):
    """Whether any of the cuts would be supported with as many times each count."""
    name, is_least = objective.bounded.name, objective.bound_direction == "min"
    judge = brute_force.Judge(name, brute_force.rows_of(scores, labels), 0.9)
    for cut in cuts:
        hits, misses = (times * count for count in judge.rate(cut))
        own = beta.sf(objective.bound, hits, misses + 1) if is_least else beta.cdf(objective.bound, hits + 1, misses)
        if own >= 0.9 and times * judge.num_alarms(cut) >= MIN_ALARMS:
            return True
    return False


@pytest.mark.parametrize("objective", [FPOR(0.6), FPOR(0.4), FROP(0.8), RecallAtFPR(0.1), RecallAtAlarmRate(0.15)])
def test_number_of_positives_that_would_do(objective):
    rng = np.random.default_rng(9)
    checked = 0
    for _ in range(40):
        labels = np.repeat([0.0, 1.0], [30, 6])
        scores = rng.normal(size=36) + 2 * labels
        choice = choose_threshold(scores, labels, objective, confidence=0.9)
        if choice.supported or not choice.empirical.feasible or np.isnan(choice.num_more_positives):
            continue
        more = float(choice.num_more_positives)
        given = (objective, scores.tolist(), labels.tolist())
        assert scaled_support(*given, 1 + more / 6, scores)
        assert not scaled_support(*given, 1 + (more - 1.5) / 6, scores[labels == 1])
        checked += 1
    assert checked > 5


def test_no_number_of_rows_helps_where_no_cut_beats_the_bound():
    labels = np.array([0.0] * 8 + [1.0, 0.0] * 4)
    choice = choose_threshold(np.repeat([0.0, 1.0], 8), labels, FPOR(0.5), confidence=0.9)
    assert choice.empirical.feasible and np.isnan(choice.num_more_positives)
    assert "no cut is better than the bound" in choice.advice
    missed = choose_threshold(np.repeat([0.0, 1.0], 8), labels, FPOR(0.8), confidence=0.9)
    assert missed.advice == "No cut meets the bound on these rows: the nearest precision is 0.500."


def test_every_fold_must_hold_where_folds_are_given():
    rng = np.random.default_rng(10)
    labels = np.tile(np.repeat([0.0, 1.0], [80, 20]), 3)
    scores = rng.normal(size=300) + 2.5 * labels
    folds = np.repeat([0, 1, 2], 100)
    pooled = choose_threshold(scores, labels, FPOR(0.7), confidence=0.6)
    each = choose_threshold(scores, labels, FPOR(0.7), confidence=0.6, folds=folds)
    precisions = [
        [float(metrics.precision(scores[folds == k], labels[folds == k], choice.threshold)) for k in range(3)]
        for choice in (pooled, each)
    ]
    assert min(precisions[0]) < 0.7 <= min(precisions[1])
    assert pooled.threshold < each.threshold
    none = choose_threshold(scores, labels, FPOR(0.7), confidence=0.6, folds=np.where(labels == 0, folds, 3))
    assert not none.supported and "in every fold" in none.advice


def test_reads_as_a_person_would_say_it():
    labels = np.repeat([0.0, 1.0, 0.0, 1.0], [50, 10, 5, 35])
    scores = np.repeat([0.0, 0.0, 1.0, 1.0], [50, 10, 5, 35])
    assert str(choose_threshold(scores, labels, FPOR(0.7), confidence=0.9)).splitlines() == [
        "precision >= 0.7 is supported with confidence 0.9",
        "  threshold  0.5",
        "  alarms     40: 35 right, 5 wrong; 10 positives missed",
        "  recall     0.778",
        "  precision  0.875, on new rows at least 0.780 with confidence 0.9",
    ]
    unsupported = str(choose_threshold(scores, labels, FPOR(0.85), confidence=0.9)).splitlines()
    assert unsupported[0] == "precision >= 0.85 is not supported with confidence 0.9, so no alarm is raised"
    assert unsupported[5].startswith("  40 alarms stand behind the best cut; about ")
    assert unsupported[6].startswith(
        "  The best cut on these rows, which this does not support: threshold 0.5, recall 0.778"
    )
    plain = str(choose_threshold(scores, labels, RecallAtFPR(0.2))).splitlines()
    assert plain[0] == "false positive rate <= 0.2 holds on these rows" and plain[-1].endswith("0.091")
    everything = str(choose_threshold(scores, labels, FROP(0.99), confidence=0.9))
    assert "so every row is flagged" in everything and "1.000 by definition" in everything
    assert str(choose_threshold([1.0, 2.0], [0, 0], FPOR(0.5), confidence=0.9)).splitlines()[0] == "no threshold"
    assert str(choose_threshold(scores, labels, OFBS())).startswith("the best f1 on these rows")
    grouped = choose_threshold(scores, labels, FPOR(0.7), confidence=0.9, groups=np.arange(100) // 4)
    assert "10 groups" in str(grouped) and "groups with positives" in str(grouped)


ROWS = {"scores": np.arange(30.0), "labels": np.arange(30) >= 15, "objective": "FPOR", "alpha": 0.5}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"confidence": 1.0}, r"confidence must be in \(0, 1\), got 1.0; give e\.g\. 0\.9"),
        ({"confidence": 0}, r"confidence must be in \(0, 1\), got 0"),
        ({"confidence": "high"}, r"confidence must be in \(0, 1\), got 'high'"),
        ({"confidence": True}, r"confidence must be in \(0, 1\), got True"),
        ({"confidence": math.nan}, r"confidence must be in \(0, 1\), got nan"),
        ({"groups": [1, 2]}, r"groups must be one value a row \(30\), got 2 values; give one group a row"),
        ({"groups": [None] * 30}, r"groups must be given for every row, got None in row 0"),
        ({"groups": [math.nan] + [0.0] * 29}, r"groups must be given for every row, got nan in row 0"),
        ({"folds": np.arange(29)}, r"folds must be one value a row \(30\), got 29 values; give one fold a row"),
        ({"folds": [0.0] * 29 + [math.nan]}, r"folds must be given for every row, got nan in row 29"),
        ({"folds": 5}, r"folds must be one value a row \(30\), got 5"),
        ({"folds": [3] * 30}, r"folds must be of two folds at least, got the same for all rows"),
        ({"prevalence": 1.5}, r"prevalence must be in \(0, 1\), got 1.5"),
        ({"objective": "FPR"}, r"objective must be one of"),
        ({"sample_weight": [1.0]}, r"sample_weight must be of shape \(30,\)"),
        ({"alpha": None}, r"alpha must be given for FPOR"),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(InvalidInputError, match=message):
        choose_threshold(**{**ROWS, **given})
    fine = {"confidence": 0.9, "groups": list("ab") * 15, "folds": [0, 1] * 15, "prevalence": 0.2}
    assert choose_threshold(**ROWS, **fine).confidence == 0.9


def test_bad_input_of_reachable_bound():
    with pytest.raises(InvalidInputError, match="objective must be one with a bound, got OFBS"):
        reachable_bound(ROWS["scores"], ROWS["labels"], "OFBS", confidence=0.9)
    with pytest.raises(InvalidInputError, match="confidence must be in"):
        reachable_bound(**ROWS, confidence=90)
    assert reachable_bound(**ROWS, confidence=0.9) == pytest.approx(0.1 ** (1 / 15))


def draws(num_draws, per_group=1, weigh=None, prevalence=None, bound=0.6):
    """In how many draws an alarm is raised, and in how many of these the precision holds on new rows.

    Negatives are N(0, 1), positives N(2, 1); rows of a group share four fifths of what varies.
    """
    rng = np.random.default_rng(11)
    raised = met = 0
    for _ in range(num_draws):
        labels = np.repeat([0.0, 1.0], [950 // per_group, 60 // per_group])
        shared = rng.normal(size=len(labels))
        own = rng.normal(size=(len(labels), per_group))
        noise = own if per_group == 1 else math.sqrt(0.8) * shared[:, np.newaxis] + math.sqrt(0.2) * own
        scores = (noise + 2 * labels[:, np.newaxis]).ravel()
        labels = np.repeat(labels, per_group)
        weight = None if weigh is None else weigh(rng, labels)
        choice = choose_threshold(
            *(scores, labels, FPOR(bound)),
            confidence=0.9,
            sample_weight=weight,
            groups=np.repeat(np.arange(len(labels) // per_group), per_group),
            prevalence=prevalence,
        )
        share = prevalence if prevalence is not None else labels.mean()
        recall, wrong = share * norm.sf(choice.threshold - 2), (1 - share) * norm.sf(choice.threshold)
        raised += bool(choice.supported)
        met += bool(choice.supported and recall >= bound * (recall + wrong))
    return raised / num_draws, met / max(raised, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"per_group": 4, "bound": 0.4},
        {"prevalence": 0.03, "bound": 0.4},
        {"weigh": lambda rng, labels: rng.gamma(2.0, size=len(labels)), "bound": 0.4},
    ],
    ids=["plain", "four rows a patient", "prevalence", "weights"],
)
def test_nominal_confidence_holds(given):
    raised, met = draws(60, **given)
    assert raised > 0.3
    assert met >= 0.83
