"""Certificates of several bounds, against a judge that enumerates, and over draws whose truth is known."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from metricopt import FPOR, Program, RecallAtFPR, choose_threshold
from metricopt.evidence.certificates import ProgramCertificate, certificate_from_dict
from metricopt.evidence.certification import NUM_THRESHOLDS, certify_label
from metricopt.evidence.program_certification import certify_program, program_thresholds_to_test
from metricopt.evidence.rows import Rows
from metricopt.evidence.subgroups import read_subgroups

ASKED = Program("recall", ["precision >= 0.6", "false_positive_rate <= 0.1", "recall >= 0.5 in every site"])
SITES = np.array(list("ABC"))
DISTANCE = {"A": 2.2, "B": 2.6, "C": 3.0}


def drawn(random, num_rows, prevalence=0.3):
    labels = (random.random(num_rows) < prevalence).astype(float)
    sites = SITES[random.integers(0, 3, num_rows)]
    return random.normal(size=num_rows) + np.vectorize(DISTANCE.get)(sites) * labels, labels, sites


def as_rows(scores, labels, sites=None, objective=ASKED):
    columns = read_subgroups({"site": sites}, objective.columns, len(labels), strict=False)
    (rows,) = Rows.unweighted(np.asarray(scores), np.asarray(labels), columns).of_labels()
    return rows


def truth(threshold, prevalence=0.3):
    """Whether all bounds of ASKED hold on new rows: exact, for the scores are normal."""
    recalls = np.array([norm.sf(threshold - each) for each in DISTANCE.values()])
    recall, wrong = recalls.mean(), norm.sf(threshold)
    precision = prevalence * recall / (prevalence * recall + (1 - prevalence) * wrong)
    return precision >= 0.6 and wrong <= 0.1 and recalls.min() >= 0.5


def judged_p(scores, labels, sites, threshold):
    """The largest p-value, by summing binomial terms of plain counts."""
    alarm, sick = scores >= threshold, labels == 1
    found = [
        sum(binom.pmf(k, alarm.sum(), 0.6) for k in range((alarm & sick).sum(), alarm.sum() + 1)),
        sum(binom.pmf(k, (~sick).sum(), 0.1) for k in range((alarm & ~sick).sum() + 1)),
    ]
    for site in SITES:
        own = sick & (sites == site)
        found.append(sum(binom.pmf(k, own.sum(), 0.5) for k in range((alarm & own).sum(), own.sum() + 1)))
    return max(found)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_best_of_those_before_the_first_that_some_bound_does_not_pass(seed):
    random = np.random.default_rng(seed)
    selection, calibration = drawn(random, 300), drawn(random, 120 + 60 * seed)
    tuned = float(choose_threshold(*selection[:2], ASKED, subgroups=selection[2]).threshold)
    certificate = certify_program(ASKED, as_rows(*calibration), as_rows(*selection), tuned, 0.9)
    thresholds = program_thresholds_to_test(ASKED, as_rows(*selection), tuned)
    best, value = math.nan, -1.0
    for threshold in thresholds:
        if judged_p(*calibration, threshold) > 0.1:
            break
        recall = (calibration[0][calibration[1] == 1] >= threshold).mean()
        if (recall, threshold) > (value, best) or math.isnan(best):
            best, value = threshold, recall
    assert certificate.threshold == pytest.approx(best, nan_ok=True)
    at = best if certificate.is_certified else thresholds[0]
    assert max(each.p_value for each in certificate.bounds) == pytest.approx(judged_p(*calibration, at))
    assert len(certificate.bounds) == 5 and certificate.num_tested == len(thresholds)


def test_the_order_begins_where_the_bounds_are_surest_and_ends_at_the_tuned_threshold():
    random = np.random.default_rng(10)
    for _ in range(5):
        selection = drawn(random, 500)
        tuned = float(choose_threshold(*selection[:2], ASKED, subgroups=selection[2]).threshold)
        tested = program_thresholds_to_test(ASKED, as_rows(*selection), tuned)
        steps = np.diff(tested)
        assert 1 <= len(tested) <= NUM_THRESHOLDS and tested[-1] == tuned and ((steps > 0).all() or (steps < 0).all())
        p = [judged_p(*selection, threshold) for threshold in tested]
        assert p[0] == min(p)


def test_all_bounds_hold_together_on_new_data_as_often_as_it_says_where_tuned_thresholds_fail():
    random, draws = np.random.default_rng(11), 100
    missed, found, tuned_missed = 0, 0, 0
    for _ in range(draws):
        selection, calibration = drawn(random, 400), drawn(random, 600)
        tuned = float(choose_threshold(*selection[:2], ASKED, subgroups=selection[2]).threshold)
        one = certify_program(ASKED, as_rows(*calibration), as_rows(*selection), tuned, 0.9)
        tuned_missed += not truth(tuned)
        found += one.is_certified
        missed += one.is_certified and not truth(one.threshold)
    assert found > draws / 2 and tuned_missed > draws / 4
    assert missed <= binom.ppf(0.999, draws, 0.1)


@pytest.mark.parametrize("missing", ["precision", "site"])
def test_it_is_wrong_as_rarely_as_it_says_where_one_bound_misses_by_a_hair_and_the_others_hold(missing):
    """At every threshold from 1 on, so that whatever is certified is wrong."""
    random, draws = np.random.default_rng(12), 200
    recall = {"A": 0.599 if missing == "site" else 0.75, "B": 0.85, "C": 0.85}
    false = 0.05 if missing == "site" else 1.003 * 0.25 * np.mean(list(recall.values())) * 0.4 / 0.6
    asked = Program("recall", ["precision >= 0.8", "recall >= 0.6 in every site", "false_positive_rate <= 0.3"])

    def flat(num_rows):
        labels = (random.random(num_rows) < 0.4).astype(float)
        sites = SITES[random.integers(0, 3, num_rows)]
        rate = np.where(labels == 1, np.vectorize(recall.get)(sites), false)
        return 1.0 * (random.random(num_rows) < rate) + 0.001 * random.random(num_rows), labels, sites

    wrong = 0
    for _ in range(draws):
        selection, calibration = as_rows(*flat(300)), as_rows(*flat(900))
        wrong += certify_program(asked, calibration, selection, 1.0, 0.9).is_certified
    assert 2 <= wrong <= binom.ppf(0.999, draws, 0.1)


def test_one_bound_on_precision_is_certified_like_fpor_where_the_thresholds_are_the_same():
    random = np.random.default_rng(13)
    selection, calibration = drawn(random, 500)[:2], drawn(random, 800)[:2]
    tuned = float(choose_threshold(*selection, FPOR(0.7)).threshold)
    program, ours = Program("recall", ["precision >= 0.7"]), FPOR(0.7)
    several = certify_program(
        program, as_rows(*calibration, objective=ours), as_rows(*selection, objective=ours), tuned, 0.9
    )
    one = certify_label(
        ours, as_rows(*calibration, objective=ours).ranking, as_rows(*selection, objective=ours).ranking, tuned, 0.9
    )
    assert several.is_certified and one.is_certified
    assert several.value == pytest.approx(one.value, abs=0.05) and several.tuned_value == one.tuned_value
    assert several.bounds[0].num_needed == one.num_needed


def test_other_single_bounds_are_certified_too_and_at_another_prevalence():
    random = np.random.default_rng(14)
    selection, calibration = drawn(random, 800)[:2], drawn(random, 1500)[:2]
    for asked, prevalence in (
        (RecallAtFPR(0.1), None),
        (Program("recall", ["net_benefit(0.3) >= 0.1"]), None),
        (Program("recall", ["precision >= 0.3", "recall >= 0.6"]), 0.05),
    ):
        rows = [as_rows(*part, objective=asked) for part in (calibration, selection)]
        tuned = 1.6
        one = certify_program(asked, *rows, tuned, 0.9, prevalence=prevalence)
        assert one.is_certified and one.prevalence == prevalence, str(one)
        if prevalence:
            assert "of a prevalence of 0.05" in one.guarantee
            weight = np.where(calibration[1] == 1, 0.05 / calibration[1].mean(), 0.95 / (1 - calibration[1].mean()))
            alarm = calibration[0] >= one.threshold
            assert one.bounds[0].value == pytest.approx((weight * calibration[1])[alarm].sum() / weight[alarm].sum())


def test_what_lacks_evidence_is_named_with_the_rows_that_it_takes():
    random = np.random.default_rng(15)
    selection, (scores, labels, sites) = drawn(random, 500), drawn(random, 400)
    few = (sites != "C") | (np.cumsum((sites == "C") * labels) <= 3)
    one = certify_program(ASKED, as_rows(scores[few], labels[few], sites[few]), as_rows(*selection), 1.8, 0.9)
    assert not one.is_certified and math.isnan(one.value)
    assert "recall in site=C" in one.guarantee and "on 3 rows where it takes 4 at least" in one.guarantee  # .5^4 <= .1
    assert "precision" not in one.guarantee.partition("unsure")[2]
    gone = sites != "C"
    absent = certify_program(ASKED, as_rows(scores[gone], labels[gone], sites[gone]), as_rows(*selection), 1.8, 0.9)
    assert "recall in site=C undefined (asked >= 0.5), p = 1 on 0 rows" in absent.guarantee
    healthy = certify_program(ASKED, as_rows(scores, 0 * labels, sites), as_rows(*selection), 1.8, 0.9)
    assert healthy.num_tested == 0 and "lacks a class" in healthy.guarantee


def test_a_certificate_survives_json():
    random = np.random.default_rng(16)
    selection, calibration = as_rows(*drawn(random, 500)), as_rows(*drawn(random, 900))
    for rows, is_certified in ((calibration, True), (as_rows(*drawn(random, 30)), False)):
        one = certify_program(ASKED, rows, selection, 1.8, 0.9, num_groups=7)
        read = certificate_from_dict(one.to_dict())
        assert isinstance(read, ProgramCertificate) and read.is_certified == is_certified
        assert str(read) == str(one) and read.to_dict() == one.to_dict()
