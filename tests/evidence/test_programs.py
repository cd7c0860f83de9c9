import time

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

from metricopt import FPOR, FROP, OFBS, Program, RecallAtAlarmRate, RecallAtFPR, choose_threshold
from metricopt._validation import InvalidInputError
from metricopt.evidence import subgroup_thresholds
from metricopt.evidence.lagrangian_bound import SeparableProgram
from metricopt.evidence.thresholds import selection_criterion
from tests.evidence import program_judge as judge
from tests.evidence.program_judge import Row, Wanted

LEAST = ["recall", "precision", "specificity", "negative_predictive_value", "accuracy", "balanced_accuracy"]
LARGEST = ["false_positive_rate", "alarm_rate"]
MAXIMISED = ["recall", "precision", "f1", "accuracy", "net_benefit(0.2)", "balanced_accuracy", "specificity"]


def random_rows(rng, num_subgroups, most=12, weighted=True):
    """Few rows, many ties; weights are multiples of 1/4, so that every sum is exact."""
    n = int(rng.integers(num_subgroups + 2, most))
    scores = rng.integers(-3, 4, n) / 4 if rng.random() < 0.5 else rng.normal(size=n)
    labels = (rng.random(n) < rng.choice([0.2, 0.5, 0.8])).astype(int)
    labels[:2] = [1, 0]
    weights = rng.integers(1, 6, n) / 4 if weighted and rng.random() < 0.3 else np.ones(n)
    sites = np.append(np.arange(num_subgroups), rng.integers(0, num_subgroups, n - num_subgroups))
    sexes = np.append([0, 1], rng.integers(0, 2, n - 2))
    return [
        Row(float(s), int(y), float(w), {"site": f"s{a}", "sex": f"x{b}"})
        for s, y, w, a, b in zip(scores, labels, weights, sites, sexes, strict=True)
    ]


def random_bounds(rng, columns=("site",), most=3):
    names = list(rng.choice(LEAST + LARGEST, size=int(rng.integers(1, most + 1)), replace=False))
    bounds = []
    for name in map(str, names):
        number = float(rng.choice([0.25, 1 / 3, 0.5, 0.6, 0.75]))
        column = str(rng.choice(columns)) if rng.random() < 0.4 else None
        bounds.append(Wanted(name, -1 if name in LARGEST else 1, number, column))
    return bounds


def chosen(rows, metric, bounds, per=None, confidence=None):
    objective = Program(metric, [str(bound) for bound in bounds], threshold_per=per)
    return choose_threshold(
        np.array([row.score for row in rows]),
        np.array([row.label for row in rows]),
        objective,
        sample_weight=np.array([row.weight for row in rows]),
        subgroups={name: [row.columns[name] for row in rows] for name in ("site", "sex")},
        confidence=confidence,
    )


def assert_equal(choice, best):
    assert bool(choice.feasible) == best.feasible
    np.testing.assert_allclose(float(choice.value), best.value, rtol=1e-12)
    if not best.feasible and np.isfinite(best.shortfall):
        np.testing.assert_allclose(choice.program.shortfall, best.shortfall, atol=1e-12)


@pytest.mark.slow
def test_shared_threshold_equals_brute_force_over_all_cuts():
    rng, seen = np.random.default_rng(0), set()
    for _ in range(1500):
        rows = random_rows(rng, int(rng.integers(2, 4)))
        bounds, metric = random_bounds(rng, ("site", "sex")), str(rng.choice(MAXIMISED))
        best = judge.best_shared(rows, metric, bounds)
        assert_equal(chosen(rows, metric, bounds), best)
        seen.add(best.feasible)
    assert seen == {True, False}


@pytest.mark.slow
def test_thresholds_of_subgroups_equal_brute_force_over_all_products_of_cuts():
    rng, seen = np.random.default_rng(1), set()
    for _ in range(500):
        rows = random_rows(rng, int(rng.integers(2, 4)), most=9)
        bounds, metric = random_bounds(rng, ("site", "sex")), str(rng.choice(MAXIMISED))
        best = judge.best_by_subgroup(rows, metric, bounds, "site")
        choice = chosen(rows, metric, bounds, per="site")
        if best.feasible:
            assert_equal(choice, best)
        assert bool(choice.feasible) == best.feasible
        seen.add(best.feasible)
        own = choice.program.thresholds
        alarms = [row.score >= own[row.columns["site"]] for row in rows]
        reached = judge.judge(rows, alarms, metric, bounds)
        np.testing.assert_allclose(float(choice.value), reached.value, rtol=1e-12)
        assert reached.feasible == bool(choice.feasible)
    assert seen == {True, False}


def test_where_products_are_not_all_tried_the_best_is_found_and_the_gap_is_never_too_small(monkeypatch):
    rng, exact, stated, shown = np.random.default_rng(11), 0, 0, set()
    for _ in range(60):
        rows = random_rows(rng, int(rng.integers(2, 4)), most=12)
        bounds, metric = random_bounds(rng, ("site", "sex")), str(rng.choice(MAXIMISED))
        every = chosen(rows, metric, bounds, per="site")
        monkeypatch.setattr(subgroup_thresholds, "MOST_PRODUCTS", 0)
        found = chosen(rows, metric, bounds, per="site")
        monkeypatch.undo()
        gap = found.program.gap
        assert every.program.gap == 0 and bool(found.feasible) == bool(every.feasible)
        if not every.feasible:
            shown.add(gap)
        elif not np.isnan(every.value):
            np.testing.assert_allclose(float(found.value), float(every.value), rtol=1e-12)
            exact += gap == 0
            stated += gap > 0
    assert exact > 3 * stated > 0 and shown == {0.0, np.inf}


def random_forms(rng, num_bounds):
    """Three subgroups of few cuts, with whatever they add to numerator, denominator and excesses."""
    sizes = rng.integers(2, 6, 3)
    forms = [np.vstack([rng.normal(size=(1, m)), rng.random((1, m)), rng.normal(size=(num_bounds, m))]) for m in sizes]
    return SeparableProgram(forms, np.append([0.0, 0.1], rng.normal(size=num_bounds) - 0.5))


def test_the_lagrangian_bound_is_no_smaller_than_the_best_of_all_products_and_drops_none_that_is_better():
    rng, tight = np.random.default_rng(13), 0
    for _ in range(60):
        program = random_forms(rng, int(rng.integers(0, 4)))
        products = np.indices([own.shape[1] for own in program.forms]).reshape(3, -1)
        total = program.constant[:, None] + sum(own[:, at] for own, at in zip(program.forms, products, strict=True))
        values = np.where((total[2:] <= 0).all(axis=0), total[0] / total[1], -np.inf)
        bound = program.least_bound(lambda met: -np.inf, -1e4)
        assert bound.value >= values.max() - 1e-9
        tight += bound.value <= values.max() + 1e-9
        for value in values[np.isfinite(values)][:5]:
            left = program.may_be_better(bound.multipliers, float(value))
            better = products[:, values > value]
            assert all(np.isin(own, kept).all() for own, kept in zip(better, left, strict=True))
    assert tight > 15


def test_each_bound_reports_its_own_value():
    rng = np.random.default_rng(2)
    for _ in range(100):
        rows, bounds = random_rows(rng, 3), random_bounds(rng)
        choice = chosen(rows, "f1", bounds)
        alarms = [row.score >= float(choice.threshold) for row in rows]
        found = judge.judge(rows, alarms, "f1", bounds)
        np.testing.assert_allclose([each.value for each in choice.program.bounds], found.values, rtol=1e-12)
        assert all(each.feasible for each in choice.program.bounds) == found.feasible


def large_rows(rng, n, num_subgroups=2):
    labels = (rng.random(n) < 0.4).astype(int)
    scores = np.round(rng.normal(size=n) + 2.5 * labels, 1)
    sites = rng.integers(0, num_subgroups, n)
    return [
        Row(float(s), int(y), 1.0, {"site": f"s{a}", "sex": "x"}) for s, y, a in zip(scores, labels, sites, strict=True)
    ]


RATES = [
    [Wanted("precision", 1, 0.7), Wanted("false_positive_rate", -1, 0.3)],
    [Wanted("recall", 1, 0.6, "site")],
    [Wanted("precision", 1, 0.6), Wanted("recall", 1, 0.6, "site"), Wanted("alarm_rate", -1, 0.6)],
    [Wanted("specificity", 1, 0.6, "site"), Wanted("negative_predictive_value", 1, 0.6)],
    [Wanted("recall", 1, 0.9), Wanted("alarm_rate", -1, 0.999)],
]


@pytest.mark.parametrize("bounds", RATES, ids=lambda bounds: " and ".join(map(str, bounds)))
def test_supported_cuts_are_those_of_the_judge(bounds):
    rng, seen = np.random.default_rng(3), set()
    for _ in range(25):
        rows = large_rows(rng, int(rng.integers(50, 160)))
        for row in rows:
            row.columns["sex"] = "x" if row.score < 100 else "y"
        objective = Program("recall" if bounds[0].metric != "recall" else "precision", [str(each) for each in bounds])
        choice = choose_threshold(
            [row.score for row in rows],
            [row.label for row in rows],
            objective,
            confidence=0.9,
            subgroups=[row.columns["site"] for row in rows],
        )
        best = judge.best_supported(rows, objective.maximised.name, bounds, 0.9)
        assert bool(choice.supported) == (best == best)
        if choice.supported:
            np.testing.assert_allclose(float(choice.value), best, rtol=1e-12)
        seen.add(bool(choice.supported))
    assert True in seen


@pytest.mark.slow
@pytest.mark.parametrize(("per", "num_draws"), [(None, 80), ("site", 12)])
def test_supported_bounds_hold_together_in_the_population(per, num_draws):
    """Two normal classes, in one site with shifted scores: the true rates at a threshold are known."""
    rng, kept, supported = np.random.default_rng(12), 0, 0
    program = Program("f1", ["false_positive_rate <= 0.2", "recall >= 0.7 in every site"], threshold_per=per)
    shift = np.array([0.0, 0.5])
    for _ in range(num_draws):
        labels, sites = rng.random(500) < 0.4, rng.integers(0, 2, 500)
        scores = rng.normal(size=500) + 2.2 * labels + shift[sites]
        choice = choose_threshold(scores, labels.astype(float), program, confidence=0.9, subgroups=sites)
        if not choice.supported:
            continue
        supported += 1
        own = [float(choice.threshold)] * 2
        if per is not None:
            own = [choice.program.thresholds[name] for name in ("0", "1")]
        beyond = np.array(own) - shift
        recall, wrong = norm.sf(beyond - 2.2), norm.sf(beyond).mean()
        kept += bool(recall.min() >= 0.7 and wrong <= 0.2)
    assert supported >= num_draws / 2 and kept / supported >= 0.9


@pytest.mark.slow
def test_supported_thresholds_of_subgroups_pass_the_judge():
    rng, bounds = np.random.default_rng(4), RATES[2]
    supported, better = 0, 0
    for _ in range(12):
        rows = large_rows(rng, 150)
        arguments = [[row.score for row in rows], [row.label for row in rows]]
        options = {"confidence": 0.9, "subgroups": [row.columns["site"] for row in rows]}
        asked = [str(each) for each in bounds]
        shared = choose_threshold(*arguments, Program("recall", asked), **options)
        choice = choose_threshold(*arguments, Program("recall", asked, threshold_per="site"), **options)
        assert float(choice.threshold) == float(shared.threshold)
        if choice.supported:
            alarms = [row.score >= choice.program.thresholds[row.columns["site"]] for row in rows]
            assert judge.is_supported(rows, alarms, bounds, 0.9)
            supported += 1
            better += not shared.supported or float(choice.value) >= float(shared.value)
    assert supported >= 3 and better >= supported - 1


@pytest.mark.parametrize(
    ("name", "program"),
    [
        (FPOR(0.7), Program("recall", ["precision >= 0.7"])),
        (FROP(0.7), Program("precision", ["recall >= 0.7"])),
        (RecallAtFPR(0.1), Program("recall", ["false_positive_rate <= 0.1"])),
        (RecallAtAlarmRate(0.3), Program("recall", ["alarm_rate <= 0.3"])),
        (OFBS(1.0), Program("f1")),
        (FPOR(0.5), Program("recall", ["number_needed_to_evaluate <= 2"])),
    ],
    ids=str,
)
def test_programs_of_one_bound_choose_as_their_names_do(name, program):
    rng = np.random.default_rng(5)
    for confidence in (None, 0.8):
        for _ in range(20):
            labels = (rng.random(80) < 0.4).astype(float)
            scores, folds = rng.normal(size=80) + 2 * labels, np.arange(80) % 2
            options = {"confidence": confidence, "folds": folds} if confidence else {}
            one, other = (choose_threshold(scores, labels, each, **options) for each in (name, program))
            assert float(one.threshold) == float(other.threshold) and bool(one.feasible) == bool(other.feasible)
            if "needed" not in str(program) and one.limit is not None:
                np.testing.assert_array_equal(one.limit, other.limit)


def test_a_subgroup_without_evidence_is_named():
    rng = np.random.default_rng(6)
    labels = (rng.random(400) < 0.5).astype(float)
    scores = rng.normal(size=400) + 6 * labels
    sites = np.where(np.arange(400) < 385, "large", "small")
    choice = choose_threshold(scores, labels, Program("precision", ["recall >= 0.8 in every site"]), confidence=0.9,
                              subgroups={"site": sites})  # fmt: skip
    assert not choice.supported and np.isinf(float(choice.threshold))
    assert "recall in site=small" in choice.advice and "site=large" not in choice.advice
    assert "more positives" in choice.advice
    assert "recall in site=small" in str(choice)


def test_a_subgroup_without_positives_is_named_and_makes_the_program_infeasible():
    labels = np.array([1, 0, 1, 0, 0, 0.0])
    choice = choose_threshold(np.arange(6.0)[::-1], labels, Program("precision", ["recall >= 0.5 in every site"]),
                              subgroups=["a", "a", "a", "a", "b", "b"])  # fmt: skip
    assert not choice.feasible
    assert choice.program.clash == ("recall >= 0.5 in every site (b)",)
    assert "undefined" in choice.program.clash_in_words


def test_bounds_that_clash_are_named_with_the_least_total_violation():
    scores, labels = [4, 3, 2, 1.0], [0, 1, 0, 1]
    asked = ["precision >= 0.5", "recall >= 0.9", "false_positive_rate <= 0.5"]
    choice = choose_threshold(scores, labels, Program("f1", asked))
    assert not choice.feasible
    assert choice.program.clash == ("recall >= 0.9", "false_positive_rate <= 0.5")
    assert choice.program.shortfall == pytest.approx(0.4)
    assert "together" in choice.program.clash_in_words and "0.400" in choice.program.clash_in_words


def test_criterion_ranks_feasible_above_infeasible_and_the_nearer_higher():
    scores, labels = np.array([4, 3, 2, 1.0]), [1, 0, 1, 0]
    cost = Program(minimize="expected_cost(100, 100)", subject_to=["recall >= 0.9"])
    impossible = Program(minimize="expected_cost(1, 1)", subject_to=["recall >= 0.9", "precision >= 0.9"])
    met = selection_criterion(choose_threshold(scores, labels, cost), cost)
    missed = selection_criterion(choose_threshold(scores, labels, impossible), impossible)
    worse = selection_criterion(choose_threshold(-scores, labels, impossible), impossible)
    assert -2 < met[0] < -1 and worse[0] < missed[0] <= -2


def test_arrays_of_every_kind_and_several_labels():
    rng = np.random.default_rng(7)
    scores, labels = rng.normal(size=(60, 2)), (rng.random((60, 2)) < 0.5).astype(float)
    frame = pd.DataFrame({"site": rng.integers(0, 2, 60), "other": range(60)})
    program = Program("recall", ["precision >= 0.4", "recall >= 0.2 in every site"])
    both = choose_threshold(torch.tensor(scores), torch.tensor(labels), program, subgroups=frame, confidence=0.6)
    assert isinstance(both.threshold, torch.Tensor) and len(both.program) == 2
    for label in range(2):
        alone = choose_threshold(scores[:, label], labels[:, label], program, subgroups=frame, confidence=0.6)
        assert float(both[label].threshold) == float(alone.threshold)
        assert both[label].program == alone.program or np.isnan([b.limit for b in alone.program.bounds]).any()
    assert "label 1" in str(both)


@pytest.mark.parametrize(
    ("subgroups", "said"),
    [
        (None, "subgroups must be given"),
        ({"sit": list("aabb")}, "did you mean 'sit'"),
        ({"site": list("aaaa")}, "one value in every row"),
        ({"site": list("abcd")}, "another value in every row"),
        ({"site": list("aab")}, "one value a row"),
        ({"site": ["a", "b", None, "a"]}, "given for every row"),
    ],
)
def test_bad_subgroups_are_rejected(subgroups, said):
    program = Program("precision", ["recall >= 0.5 in every site"])
    with pytest.raises(InvalidInputError) as raised:
        choose_threshold([4, 3, 2, 1.0], [1, 0, 1, 0], program, subgroups=subgroups)
    assert said in str(raised.value)
    assert choose_threshold([4, 3, 2, 1.0], [1, 0, 1, 0], program, subgroups=list("aabb")).feasible


@pytest.mark.slow
def test_a_million_scores_three_bounds_and_eight_subgroups_take_little_time():
    rng = np.random.default_rng(8)
    labels = rng.random(1_000_000) < 0.1
    sites = rng.integers(0, 8, len(labels))
    scores = rng.normal(size=len(labels)) + (1.5 + 0.15 * sites) * labels
    program = Program("recall", ["precision >= 0.6", "alarm_rate <= 0.08", "recall >= 0.5 in every site"], "site")
    start = time.process_time()
    choice = choose_threshold(scores, labels.astype(float), program, subgroups=sites)  # that of all rows, too
    assert choice.feasible and choice.program.gap < 5e-4
    assert time.process_time() - start < 4  # 2 s on a free core
