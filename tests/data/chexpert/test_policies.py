"""Labels by policy against counts that the plain csv module makes of the file, and soft targets against their laws."""

import csv
import gzip
from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy as three_class_cross_entropy

from metricopt import InvalidInputError
from metricopt.data import CHEXPERT_LABELS, COMMON_POLICY, apply_policy, read_chexpert_table, soft_targets
from metricopt.data.chexpert import POLICIES
from metricopt.losses import cross_entropy

SOFT = ("self_trained", "smoothed_zeros", "smoothed_ones")


def counts_of(file):
    """How often each label is stated, uncertain, ruled out and not mentioned: [label][number]."""
    number = {"1.0": 1, "0.0": 0, "-1.0": -1, "": None}
    rows = csv.reader(file)
    header, counts = next(rows), {name: Counter() for name in CHEXPERT_LABELS}
    places = [(counts[name], header.index(name)) for name in CHEXPERT_LABELS]
    for row in rows:
        for count, place in places:
            count[number[row[place]]] += 1
    return counts


@pytest.fixture(scope="session")
def synthetic(tree):
    with (tree / "train.csv").open() as file:
        return read_chexpert_table(tree), counts_of(file)


@pytest.fixture(scope="session")
def real(published, published_file):
    with gzip.open(published_file, "rt") as file:
        return published, counts_of(file)


@pytest.fixture(params=["synthetic", "real"])
def table_and_counts(request):
    return request.getfixturevalue(request.param)


def tally(column):
    """Positives, negatives and missing."""
    return int((column == 1).sum()), int((column == 0).sum()), int(np.isnan(column).sum())


@pytest.mark.parametrize("unmentioned", ["negative", "missing"])
@pytest.mark.parametrize("policy", POLICIES)
def test_counts_by_policy(table_and_counts, policy, unmentioned):
    table, counts = table_and_counts
    labels, names = apply_policy(table, policy, unmentioned=unmentioned)
    assert labels.dtype == np.float32 and len(labels) == len(table) and labels.shape[1] == len(names)
    assert names[:14] == CHEXPERT_LABELS
    for column, name in enumerate(CHEXPERT_LABELS):
        count = counts[name]
        blank_negative, blank_missing = (count[None], 0) if unmentioned == "negative" else (0, count[None])
        expected = {
            "ones": (count[1] + count[-1], count[0] + blank_negative, blank_missing),
            "zeros": (count[1], count[0] + count[-1] + blank_negative, blank_missing),
        }.get(policy, (count[1], count[0] + blank_negative, count[-1] + blank_missing))
        assert tally(labels[:, column]) == expected
        if policy == "multiclass":
            assert names[14 + column] == f"{name} (uncertain)"
            certain = count[1] + count[0] + blank_negative
            assert tally(labels[:, 14 + column]) == (count[-1], certain, blank_missing)
    assert len(names) == (28 if policy == "multiclass" else 14)


def test_counts_of_the_common_mix(table_and_counts):
    table, counts = table_and_counts
    labels, _ = apply_policy(table)
    for column, name in enumerate(CHEXPERT_LABELS):
        extra = counts[name][-1] if name in ("Edema", "Atelectasis") else 0
        assert tally(labels[:, column]) == (counts[name][1] + extra, len(table) - counts[name][1] - extra, 0)
    assert set(COMMON_POLICY) == set(CHEXPERT_LABELS) and set(COMMON_POLICY.values()) == {"ones", "zeros"}


def test_every_label_may_have_its_own(tree):
    table = read_chexpert_table(tree, labels=["Pneumonia", "Edema", "Consolidation"])
    mixed = {"Consolidation": "ones", "Edema": "ignore", "Pneumonia": "multiclass", "Fracture": "zeros"}
    labels, names = apply_policy(table, mixed)
    assert names == ("Pneumonia", "Edema", "Consolidation", "Pneumonia (uncertain)")
    for column, policy in enumerate(("multiclass", "ignore", "ones")):
        np.testing.assert_array_equal(labels[:, column], apply_policy(table, policy)[0][:, column])
    np.testing.assert_array_equal(labels[:, 3], table.raw_labels[:, 0] == -1)


def test_the_table_stays_as_it_was(tree):
    table = read_chexpert_table(tree)
    before = table.raw_labels.copy()
    for policy in POLICIES:
        for unmentioned in ("negative", "missing"):
            apply_policy(table, policy, unmentioned=unmentioned)[0][:] = 7
    np.testing.assert_array_equal(table.raw_labels, before)


def test_multiclass_is_a_model_of_three_classes(tree):
    """Cross-entropy on both columns is that of the three-class model whose chances the docstring gives."""
    table = read_chexpert_table(tree, labels=["Atelectasis"])
    labels, _ = apply_policy(table, "multiclass")
    of_label, of_uncertain = scores = torch.randn(2, len(table), dtype=torch.float64)
    uncertain, positive = torch.sigmoid(of_uncertain), torch.sigmoid(of_label)
    chances = torch.stack([(1 - uncertain) * (1 - positive), (1 - uncertain) * positive, uncertain], dim=1)
    classes = torch.from_numpy(np.nan_to_num(table.raw_labels[:, 0]).astype(np.int64)) % 3  # -1 -> 2
    assert set(classes.tolist()) == {0, 1, 2}
    columns = torch.from_numpy(labels).double()
    number = [int((~column.isnan()).sum()) for column in columns.T]
    total = sum(
        cross_entropy(score[:, None], column[:, None]) * count
        for score, column, count in zip(scores, columns.T, number, strict=True)
    )
    torch.testing.assert_close(total, three_class_cross_entropy(chances.log(), classes, reduction="sum"))


@pytest.mark.parametrize(("policy", "low", "high"), [("smoothed_zeros", 0.0, 0.3), ("smoothed_ones", 0.55, 0.85)])
def test_smoothed_targets(tree, policy, low, high):
    table = read_chexpert_table(tree)
    targets = soft_targets(table, policy, seed=4)
    uncertain = table.raw_labels == -1
    drawn = targets[uncertain]
    assert len(np.unique(drawn)) == len(drawn) > 50
    assert drawn.min() >= low and drawn.max() <= high
    assert abs(drawn.mean() - (low + high) / 2) < 4 * (high - low) / np.sqrt(12 * len(drawn))
    np.testing.assert_array_equal(targets[~uncertain], apply_policy(table, policy)[0][~uncertain])
    np.testing.assert_array_equal(targets, soft_targets(table, policy, seed=4))
    assert (targets != soft_targets(table, policy, seed=5))[uncertain].all()


def test_draws_do_not_depend_on_the_other_labels(tree):
    all_of_them = soft_targets(read_chexpert_table(tree), "smoothed_ones")
    two = soft_targets(read_chexpert_table(tree, labels=["Pneumonia", "Edema"]), "smoothed_ones")
    np.testing.assert_array_equal(two, all_of_them[:, [CHEXPERT_LABELS.index("Pneumonia"), 5]])


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_self_trained_targets(tree, kind):
    table = read_chexpert_table(tree)
    predicted = np.random.RandomState(0).uniform(size=table.raw_labels.shape)
    targets = soft_targets(table, "self_trained", probabilities=kind(predicted), unmentioned="missing")
    expected = np.where(table.raw_labels == -1, predicted, table.raw_labels)
    np.testing.assert_allclose(targets, expected, atol=1e-7)


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy not in SOFT])
def test_hard_policies_have_hard_targets(tree, policy):
    table = read_chexpert_table(tree)
    np.testing.assert_array_equal(soft_targets(table, policy), apply_policy(table, policy)[0])


def test_soft_targets_train_cross_entropy(tree):
    table = read_chexpert_table(tree, labels=["Edema"])
    targets = torch.from_numpy(soft_targets(table, "smoothed_ones", unmentioned="missing"))
    score = torch.zeros(1, requires_grad=True)
    cross_entropy(score.expand(len(targets))[:, None], targets).backward()
    present = targets[~targets.isnan()]
    assert 0 < len(present) < len(targets)
    torch.testing.assert_close(score.grad, (0.5 - present).mean()[None])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "one"}, "policy must be one of .*, got 'one'; did you mean 'ones'?"),
        ({"policy": {**COMMON_POLICY, "Edema": "zero"}}, "policy of 'Edema' must be .*; did you mean 'zeros'?"),
        ({"policy": {**COMMON_POLICY, "Oedema": "ones"}}, "policy's labels must be .*; did you mean 'Edema'?"),
        ({"policy": {"Edema": "ones"}}, r"policy must be given for every label, got nothing for \['No Finding', "),
        ({"unmentioned": "nan"}, "unmentioned must be one of 'missing', 'negative', got 'nan'; "),
    ],
)
def test_faults(tree, arguments, message):
    table = read_chexpert_table(tree)
    with pytest.raises(InvalidInputError, match=message):
        apply_policy(table, **arguments)
    assert len(apply_policy(table, {**COMMON_POLICY, "Edema": "zeros"}, unmentioned="missing")[0]) == len(table)


def test_faults_of_probabilities(tree):
    table = read_chexpert_table(tree)
    shape = table.raw_labels.shape
    for wrong, message in (
        (None, "probabilities must be given for the policy 'self_trained', got None; train a model with 'ignore'"),
        (np.zeros(shape[0]), f"probabilities must be of shape \\({shape[0]}, 14\\), got shape \\({shape[0]},\\); "),
        (
            np.full(shape, 1.5),
            r"probabilities must be in \[0, 1\], got other values in uncertain rows; apply",
        ),
        (np.full(shape, np.nan), r"probabilities must be in \[0, 1\]"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            soft_targets(table, "self_trained", probabilities=wrong)
    only_needed = np.where(table.raw_labels == -1, 0.5, np.nan)
    assert (soft_targets(table, "self_trained", probabilities=only_needed)[table.raw_labels == -1] == 0.5).all()
