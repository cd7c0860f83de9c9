"""OTCE against independent values, and what theory says of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt import InvalidInputError
from metricopt.transfer import OTCECoefficients, Score, TransferWarning, fit_otce, otce
from tests.transfer.vectors import CASES, blobs

pytestmark = pytest.mark.filterwarnings("ignore::metricopt.transfer.TransferWarning")
CASE = CASES["otce"]
SIDES = [np.array(CASE[name]) for name in ("xs", "ys", "xt", "yt")]
LARGEST_COST = ((SIDES[0][:, None] - SIDES[2][None]) ** 2).sum(axis=2).max()


def check(score, expected, rel=1e-9):
    assert score == pytest.approx(-expected["W_T"], rel=rel)
    assert score.details["task_difference"] == pytest.approx(expected["W_T"], rel=rel)
    assert score.details["domain_difference"] == pytest.approx(expected.get("W_D", expected.get("W")), rel=rel)


def test_independent_values():
    check(otce(*SIDES), CASE["emd"])


def test_independent_values_of_the_joint_cost():
    check(otce(*SIDES, label_weight=0.5), CASE["jc_emd_gamma0.5"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASE if name.startswith("sinkhorn")])
def test_independent_values_with_regularisation(name):
    regularisation = float(name.removeprefix("sinkhorn_reg").split("_")[0])
    score = otce(*SIDES, regularisation=regularisation * (LARGEST_COST if name.endswith("max") else 1))
    check(score, CASE[name])


@pytest.mark.slow
def test_single_precision_sinkhorn_missed_its_marginals():
    published = CASE["seg_repo_sinkhorn_eps0.1_float32"]
    score = otce(*SIDES, regularisation=0.1)
    check(score, CASE["sinkhorn_reg0.1_rawcost"])
    assert abs(score.details["task_difference"] - published["W_T"]) > 1e-3


def test_a_task_tells_itself():
    features, labels = SIDES[:2]
    score = otce(features, labels, features, labels)
    assert (score, score.details["domain_difference"]) == pytest.approx((0, 0), abs=1e-12)


@given(st.integers(0, 1000), st.booleans(), st.sampled_from([0.0, 0.5]), st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_rigid_maps_units_and_order_change_nothing(seed, balanced, label_weight, unit):
    source, target = blobs(seed, 30, num_classes=2), blobs(seed + 1, 36)
    options = {"balanced": balanced, "label_weight": label_weight}
    score = otce(*source, *target, **options)
    counts = np.bincount(target[1])
    share = np.full(3, 1 / 3) if balanced else counts / counts.sum()
    assert share @ np.log(share) - 1e-9 <= score <= 0
    random = np.random.default_rng(seed)
    rotation = np.linalg.qr(random.normal(size=(4, 4)))[0]
    moved = otce(unit * source[0] @ rotation + 7, source[1], unit * target[0] @ rotation + 7, target[1], **options)
    assert moved == pytest.approx(score, abs=1e-9)
    domain = score.details["domain_difference"]
    assert moved.details["domain_difference"] == pytest.approx(unit**2 * domain, rel=1e-6)
    order, other = random.permutation(30), random.permutation(36)
    mixed = otce(source[0][order], 5 - source[1][order], target[0][other], target[1][other], **options)
    assert mixed == pytest.approx(score, abs=1e-9)


def test_one_feature_and_duplicates():
    labels = np.arange(40) % 2
    features = labels[:, None] * 3.0
    assert otce(features, labels, features, labels) == 0
    assert otce(features, labels, np.r_[features, features], np.r_[labels, labels]) == pytest.approx(0, abs=1e-12)


def test_balanced_gives_every_target_class_its_share():
    source, labels = blobs(0, 100, num_classes=2)
    target = np.random.default_rng(1).normal(size=(100, 4))
    rare = np.arange(100) < 10
    assert otce(source, np.zeros(100), target, rare, balanced=True) == pytest.approx(-np.log(2))
    assert otce(source, np.zeros(100), target, rare) == pytest.approx(0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    assert otce(source, labels, target, rare, balanced=True) < otce(source, labels, target, rare)


def test_a_source_of_one_class_is_doubted():
    source, _ = blobs(0, 50)
    with pytest.warns(TransferWarning, match="the source has one class"):
        otce(source, np.zeros(50), *blobs(1, 60))
    assert otce(*blobs(0, 50), *blobs(1, 60)).caveats == ()


def test_what_is_drawn_is_what_is_counted():
    source, target = blobs(0, 300), np.random.default_rng(0).normal(size=(400, 4))
    rare = np.arange(400) < 40
    assert otce(*source, target, rare, max_samples=100, balanced=True).class_counts == {0: 60, 1: 40}
    plain = otce(*source, target, rare, max_samples=100)
    assert plain.num_samples == 100
    assert 2 <= plain.num_positives <= 20
    assert plain == otce(*source, target, rare, max_samples=100, seed=0)
    assert plain != otce(*source, target, rare, max_samples=100, seed=1)


def test_classes_that_were_not_drawn_are_told():
    source, target = blobs(0, 50), np.random.default_rng(0).normal(size=(1000, 4))
    labels = np.where(np.arange(1000) < 2, 2, np.arange(1000) % 2)
    with pytest.warns(TransferWarning, match=r"target classes \[2\] were not drawn: pass balanced=True"):
        otce(*source, target, labels, max_samples=50)
    lonely = np.arange(1000) < 2
    with pytest.raises(
        InvalidInputError, match=r"max_samples must be enough .* pass balanced=True or raise max_samples"
    ):
        otce(*source, target, lonely, max_samples=50)
    assert otce(*source, target, lonely, max_samples=50, balanced=True).num_positives == 2


def test_coefficients_of_auxiliary_tasks():
    tried = [otce(*blobs(seed, 40), *blobs(seed + 50, 40, distance=seed / 2)) for seed in range(6)]
    true = OTCECoefficients(-0.01, -0.3, 0.9)
    reached = [-0.01 * t.details["domain_difference"] - 0.3 * t.details["task_difference"] + 0.9 for t in tried]
    fit = fit_otce(tried, reached)
    assert fit == pytest.approx(true, rel=1e-6)
    score = otce(*blobs(0, 40), *blobs(50, 40, distance=0), coefficients=fit)
    assert score == pytest.approx(reached[0])
    assert score.details == tried[0].details


def auxiliary(*differences):
    return [Score(0, details={"domain_difference": d, "task_difference": t}) for d, t in differences]


@pytest.mark.parametrize(
    ("scores", "accuracies", "message"),
    [
        (auxiliary((1, 0), (0, 1)), [0.5, 0.6], "at least 3, with an accuracy for each, got 2 scores"),
        (auxiliary((1, 0), (0, 1), (0, 0)), [0.5, 0.6], "got 3 scores and 2 accuracies"),
        (auxiliary((1, 0), (2, 0), (3, 0)), [0.5, 0.6, 0.7], "different in both differences, got rank 2 of 3"),
        ([Score(1), Score(2), Score(3)], [0.5, 0.6, 0.7], "results of otce"),
        ([1.0, 2.0, 3.0], [0.5, 0.6, 0.7], "results of otce"),
        (auxiliary((1, 0), (0, 1), (0, 0)), [0.5, 0.6, np.nan], "accuracies must be finite"),
    ],
)
def test_auxiliary_tasks_that_tell_nothing(scores, accuracies, message):
    with pytest.raises(InvalidInputError, match=message):
        fit_otce(scores, accuracies)
    assert fit_otce(auxiliary((1, 0), (0, 1), (0, 0)), [0.5, 0.6, 0.7]).bias == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_weight": 1.5}, "label_weight must be in"),
        ({"regularisation": -1.0}, "regularisation must be a finite number >= 0"),
        ({"regularisation": np.nan}, "regularisation must be a finite number >= 0"),
        ({"max_samples": 1}, "max_samples must be an integer >= 2"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(InvalidInputError, match=message):
        otce(*SIDES, **options)


@pytest.mark.parametrize("side", ["source", "target"])
def test_both_sides_are_checked(side):
    sides = dict(zip(("source_features", "source_labels", "target_features", "target_labels"), SIDES, strict=True))
    with pytest.raises(InvalidInputError, match=f"{side}_labels must be one a sample of {side}_features"):
        otce(**sides | {f"{side}_labels": sides[f"{side}_labels"][1:]})
    with pytest.raises(InvalidInputError, match=f"{side}_features must be different for some samples"):
        otce(**sides | {f"{side}_features": np.ones_like(sides[f"{side}_features"])})
    with pytest.raises(InvalidInputError, match="target_features must be as wide as the source's"):
        otce(**sides | {f"{side}_features": sides[f"{side}_features"][:, :2]})
