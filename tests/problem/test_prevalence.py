import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import metricopt
from metricopt import FPOR, OFBS, InvalidInputError, RecallAtAlarmRate, RecallAtFPR
from metricopt.evidence.evaluation import evaluate
from metricopt.problem.metrics import confusion_counts
from metricopt.problem.prevalence import counts_at, prevalence_of_labels, read_prevalence, weights_at
from metricopt.problem.ratios import PRECISION, Counts
from tests.held_out import fit

ASKED = FPOR(0.5)


def drawn(num_rows, prevalence, seed=0, num_labels=1):
    random = np.random.default_rng(seed)
    labels = (random.random((num_rows, num_labels)) < prevalence).astype(np.float32)
    return (random.normal(size=labels.shape) + 2 * labels).astype(np.float32), labels


def report_of(scores, labels, objective=ASKED, threshold=1.0, weight=None, prevalence=None):
    names = [f"label {k}" for k in range(labels.shape[1])]
    thresholds = np.full(labels.shape[1], threshold)
    return evaluate(
        *(scores, labels, thresholds, objective),
        label_names=names, data="test", sample_weight=weight, prevalence=prevalence,
    )  # fmt: skip


def test_weights_give_each_label_its_prevalence_and_keep_the_total():
    _, labels = drawn(500, 0.4, num_labels=2)
    labels[:50, 1] = np.nan
    weight = weights_at((0.1, 0.7), labels)
    for label, wanted in enumerate((0.1, 0.7)):
        positive, negative = labels[:, label] == 1, labels[:, label] == 0
        total = weight[positive | negative, label].sum()
        assert weight[positive, label].sum() / total == pytest.approx(wanted)
        assert total == pytest.approx((positive | negative).sum())


def test_sample_weights_are_kept_within_a_class():
    _, labels = drawn(200, 0.4)
    own = np.random.default_rng(1).uniform(0.1, 3, labels.shape)
    weight = weights_at(0.02, labels, own)
    for truth in (0, 1):
        ratio = weight[labels == truth] / own[labels == truth]
        np.testing.assert_allclose(ratio, ratio[0])
    assert weight[labels == 1].sum() / weight.sum() == pytest.approx(0.02)


def test_another_prevalence_replaces_the_first():
    _, labels = drawn(300, 0.3)
    own = np.random.default_rng(1).uniform(0.1, 3, labels.shape)
    np.testing.assert_allclose(
        weights_at(0.05, labels, weights_at(0.6, labels, own)), weights_at(0.05, labels, own), rtol=1e-12
    )
    np.testing.assert_allclose(weights_at(float(labels.mean(dtype=np.float64)), labels), 1.0)


def test_a_label_without_both_classes_keeps_its_weights():
    labels = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, np.nan]])
    weight = weights_at(0.5, labels)
    assert weight[:, 1].tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(weight[:, 0], [1.5, 0.75, 0.75])


@pytest.mark.parametrize(
    ("given", "names", "read"),
    [
        (None, None, None),
        (0.01, None, 0.01),
        (np.float32(0.5), None, 0.5),
        ([0.1, 0.2], None, (0.1, 0.2)),
        (np.array([0.1, 0.2]), None, (0.1, 0.2)),
        ({"b": 0.1, "a": 0.2}, ["a", "b"], (0.2, 0.1)),
    ],
)
def test_reading(given, names, read):
    assert read_prevalence(given, names) == read


@pytest.mark.parametrize("wrong", [0, 1, 0.0, 1.0, -0.1, 1.5, True, "0.1", [0.1, 2], float("nan")])
def test_shares_outside_are_rejected(wrong):
    with pytest.raises(InvalidInputError, match=r"prevalence must be in \(0, 1\)"):
        read_prevalence(wrong)


def test_one_for_each_label():
    assert prevalence_of_labels(0.1, 2) == (0.1, 0.1) and prevalence_of_labels((0.1, 0.2), 2) == (0.1, 0.2)
    assert prevalence_of_labels(None, 2) == (None, None)
    with pytest.raises(InvalidInputError, match=r"one number or one per label \(3\), got 2 numbers"):
        weights_at((0.1, 0.2), np.ones((4, 3)))
    with pytest.raises(InvalidInputError, match=r"did you mean 'Edema'"):
        read_prevalence({"edema": 0.1}, ["Edema"])


@pytest.mark.parametrize("deployed", [0.02, 0.2])
def test_metrics_are_those_of_positives_dropped_at_random(deployed):
    """The mean over many draws: all but the noise of a ratio of counts."""
    scores, labels = drawn(8000, 0.5)
    weighted = report_of(scores, labels, OFBS(2.0), weight=weights_at(deployed, labels))[0]
    random = np.random.default_rng(2)
    positives, negatives = (np.flatnonzero(labels[:, 0] == truth) for truth in (1, 0))
    num_kept = round(len(negatives) * deployed / (1 - deployed))
    found = []
    for _ in range(60):
        rows = np.concatenate([negatives, random.choice(positives, num_kept, replace=False)])
        one = report_of(scores[rows], labels[rows], OFBS(2.0))[0]
        found.append((one.precision, one.recall, one.f_beta, one.average_precision))
    means, errors = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    mine = (weighted.precision, weighted.recall, weighted.f_beta, weighted.average_precision)
    for metric, (own, mean, error) in enumerate(zip(mine, means, errors, strict=True)):
        assert abs(own - mean) < 4 * error + 0.004, metric
    assert report_of(scores, labels)[0].precision - weighted.precision > 0.1


def test_precision_is_what_its_formula_says():
    scores, labels = drawn(3000, 0.3)
    counts = confusion_counts(scores[:, 0], labels[:, 0], 1.0)
    recall, wrong = counts.true_positives / counts.positives, counts.false_positives / counts.negatives
    expected = 0.01 * recall / (0.01 * recall + 0.99 * wrong)
    own = report_of(scores, labels, weight=weights_at(0.01, labels), prevalence=0.01)[0]
    assert own.precision == pytest.approx(expected) and own.recall == pytest.approx(recall)
    assert PRECISION(counts_at(0.01, counts)) == pytest.approx(expected)
    assert own.prevalence == 0.01 and own.size == "3000 samples, weighted to a prevalence of 0.01"


def test_intervals_of_one_class_stay_and_precision_moves():
    scores, labels = drawn(600, 0.5)
    plain = report_of(scores, labels, RecallAtFPR(0.1))[0]
    own = report_of(scores, labels, RecallAtFPR(0.1), weight=weights_at(0.05, labels))[0]
    for metric in ("recall", "false_positive_rate"):
        assert own.intervals[metric] == pytest.approx(plain.intervals[metric])
    low, high = own.intervals["precision"]
    assert low < own.precision < high < plain.intervals["precision"][0]
    rate = report_of(scores, labels, RecallAtAlarmRate(0.1), weight=weights_at(0.05, labels))[0]
    assert rate.intervals["alarm_rate"][0] < rate.bounded_value < rate.intervals["alarm_rate"][1] < 0.5


def test_intervals_hold_the_truth_often_enough():
    """Of precision at prevalence .02; by the normal distributions that the scores come from."""
    from scipy.stats import norm

    recall, wrong = norm.sf(1.0 - 2), norm.sf(1.0)
    truth = 0.02 * recall / (0.02 * recall + 0.98 * wrong)
    held = []
    for seed in range(100):
        scores, labels = drawn(150, 0.5, seed)
        low, high = report_of(scores, labels, weight=weights_at(0.02, labels))[0].intervals["precision"]
        held.append(low <= truth <= high)
    assert np.mean(held) >= 0.93


def test_every_alarm_right_leaves_no_doubt_above():
    labels = np.repeat([[1.0], [0.0]], 20, axis=0)
    low, high = report_of(labels, labels, weight=weights_at(0.1, labels)).intervals["precision"]
    assert 0 < low < 0.6 and high == 1


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(1), torch.tensor(float(row % 2))) for row in range(20)])


def fitted(labels, scores, **arguments):
    data = TensorDataset(torch.from_numpy(scores), torch.from_numpy(labels))
    torch.manual_seed(0)
    loader = DataLoader(data, batch_size=64, shuffle=True)
    return fit(torch.nn.Linear(1, labels.shape[1]), loader, epochs=4, progress=False, **arguments)


def test_fit_equals_the_same_weights_given_by_hand():
    """Where the training data select, so that there is one part and one observed prevalence."""
    scores, labels = drawn(400, 0.4)
    own = np.random.default_rng(0).uniform(0.5, 2, 400)
    given = {"objective": "FPOR", "alpha": 0.6, "val_fraction": 0}
    asked = fitted(labels, scores, prevalence=0.05, sample_weight=own, **given)
    by_hand = fitted(labels, scores, sample_weight=weights_at(0.05, labels, own[:, np.newaxis]), **given)
    assert asked.threshold == by_hand.threshold and asked.train.precision == by_hand.train.precision
    assert asked.prevalence == 0.05 == asked.train.prevalence and by_hand.prevalence is None
    assert asked.threshold != fitted(labels, scores, **given).threshold


def test_each_part_is_weighted_by_its_own_prevalence():
    scores, labels = drawn(400, 0.4)
    held = tuple(map(torch.from_numpy, drawn(200, 0.1, seed=3)))
    val_loader = DataLoader(TensorDataset(*held), batch_size=64)
    result = fitted(labels, scores, objective="FROP", alpha=0.6, prevalence=0.2, val_loader=val_loader)
    for report in (result.train, result.validation, result.baseline_train):
        assert report.counts.positives / (report.counts.positives + report.counts.negatives) == pytest.approx(0.2)


def test_bad_prevalence_ends_fit_before_it_trains():
    scores, labels = drawn(100, 0.4)
    with pytest.raises(InvalidInputError, match="prevalence must be in"):
        fitted(labels, scores, objective="OAP", prevalence=5)
    with pytest.raises(InvalidInputError, match="one number or one per label"):
        fitted(labels, scores, objective="OAP", prevalence=(0.1, 0.2))
    stream = DataLoader(Stream(), batch_size=5)
    for given in ({"val_loader": stream}, {}):
        loader = DataLoader(TensorDataset(*map(torch.from_numpy, (scores, labels))), batch_size=5) if given else stream
        with pytest.raises(InvalidInputError, match="prevalence must be left out for an iterable data set"):
            fit(torch.nn.Linear(1, 1), loader, "OAP", prevalence=0.1, val_fraction=0, **given)


def test_saved_and_loaded(tmp_path):
    scores, labels = drawn(300, 0.4, num_labels=2)
    result = fitted(labels[:, :1], scores[:, :1], objective="FPOR", alpha=0.6, prevalence=0.05)
    result.save(tmp_path)
    read = metricopt.load(tmp_path, torch.nn.Linear(1, 1))
    assert read.prevalence == 0.05 and read.validation == result.validation
    assert read.at_prevalence(0.2).threshold == result.at_prevalence(0.2).threshold
    moved = fitted(labels, scores[:, :1], objective="OAP", prevalence=(0.1, 0.2))
    moved.save(tmp_path)
    assert metricopt.load(tmp_path, torch.nn.Linear(1, 2)).prevalence == (0.1, 0.2)


def test_results_of_before_can_be_loaded(tmp_path):
    scores, labels = drawn(100, 0.4)
    fitted(labels, scores, objective="FPOR", alpha=0.6).save(tmp_path)
    file = tmp_path / "result.json"
    saved = json.loads(file.read_text())
    del saved["prevalence"], saved["certificates"], saved["train"]["labels"][0]["prevalence"]
    file.write_text(json.dumps(saved))
    read = metricopt.load(tmp_path, torch.nn.Linear(1, 1))
    assert read.prevalence is None and read.train.prevalence is None and read.certificates is None


def test_counts_keep_their_total():
    counts = counts_at(0.25, Counts(*map(np.array, ([4.0], [3.0], [6.0], [7.0]))))
    assert [counts.positives[0], counts.negatives[0], counts.true_positives[0]] == pytest.approx([5, 15, 2])
