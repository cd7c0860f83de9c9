"""Averages of weights: which are averaged, how, and when the average takes the place of the best."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import FPOR, FROP, OAP, OFBS
from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.thresholds import selection_criterion
from metricopt.problem.ratios import Counts
from metricopt.training.averaging import MAX_FINALISTS, average_weights, is_as_good, with_finalist
from metricopt.training.state import Candidate
from tests.held_out import fit


def labels_of(num_positives, num_negatives=1000):
    return np.repeat([[1.0], [0.0]], [num_positives, num_negatives], axis=0)


def candidate(value, *, bounded=None, feasible=True, stage="ramp", epoch=1, weights=None, counts=None):
    value, feasible = np.atleast_1d(np.array(value, dtype=float)), np.atleast_1d(feasible)
    bounded = None if bounded is None else np.atleast_1d(np.array(bounded, dtype=float))
    counts = Counts(value, value, 1 - value, value) if counts is None else counts
    choice = ThresholdChoice(np.zeros_like(value), value, bounded, counts, feasible)
    safety = np.zeros_like(value) if bounded is None else bounded
    learnable = ~np.isnan(value)
    key = float(np.where(feasible, value, safety - 2)[learnable].mean()), float(safety[learnable].mean())
    return Candidate(choice, key, weights or {}, stage, epoch)


def test_finalists_are_the_best_of_every_stage():
    finalists = []
    for stage, value in (
        ("a", 0.5),
        ("a", 0.7),
        ("a", 0.6),
        ("b", 0.9),
        ("c", 0.1),
        ("d", 0.2),
        ("e", 0.3),
        ("b", 0.8),
    ):
        finalists = with_finalist(finalists, candidate(value, stage=stage))
    assert [(each.stage, each.key[0]) for each in finalists] == [("b", 0.9), ("a", 0.7), ("e", 0.3), ("d", 0.2)]
    assert len(finalists) == MAX_FINALISTS


def test_weights_are_averaged_and_counts_are_not():
    first = {"weight": torch.tensor([1.0, 3.0]), "half": torch.tensor([2.0]).half(), "batches": torch.tensor(7)}
    other = {"weight": torch.tensor([3.0, 5.0]), "half": torch.tensor([4.0]).half(), "batches": torch.tensor(9)}
    averages = average_weights([candidate(0.5, weights=first), candidate(0.4, weights=other)])
    torch.testing.assert_close(averages["weight"], torch.tensor([2.0, 4.0]))
    assert averages["half"].item() == 3 and averages["half"].dtype == torch.float16
    assert averages["batches"].item() == 7
    assert first["weight"].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("num_positives", [20, 2_000])
def test_average_may_fall_behind_by_one_standard_error(num_positives):
    fraction = (0.8 * num_positives + 2) / (num_positives + 4)
    error = np.sqrt(fraction * (1 - fraction) / (num_positives + 4))
    best, start = candidate(0.8, bounded=0.9), candidate(0.1, bounded=0.9)
    asked = FPOR(0.9), labels_of(num_positives)
    assert is_as_good(candidate(0.8 - 0.99 * error, bounded=0.9), best, start, *asked)
    assert not is_as_good(candidate(0.8 - 1.01 * error, bounded=0.9), best, start, *asked)


def test_a_rare_precision_may_not_fall_by_a_quarter():
    counts = Counts(*np.array([[80.0], [3920.0], [20.0], [1080.0]]))
    best, start = candidate(0.02, bounded=0.8, counts=counts), candidate(0.001, bounded=0.8)
    asked = FROP(0.5), labels_of(100, 5000)
    assert is_as_good(candidate(0.0185, bounded=0.8), best, start, *asked)
    assert not is_as_good(candidate(0.014, bounded=0.8), best, start, *asked)


def test_average_is_never_below_candidate_zero():
    best, start, asked = candidate(0.8), candidate(0.79), (OAP(), labels_of(20))
    assert is_as_good(candidate(0.79), best, start, *asked)
    assert not is_as_good(candidate(0.789), best, start, *asked)


def test_average_must_meet_what_the_best_meets():
    asked = FPOR(0.9), labels_of(50)
    best, start = candidate(0.3, bounded=0.9), candidate(0.0, bounded=0.5, feasible=False)
    missed = candidate(0.9, bounded=0.89, feasible=False)
    assert not is_as_good(missed, best, start, *asked)
    # Where nothing meets the bound, what counts is how near it comes.
    counts = Counts(*np.array([[35.0], [15.0], [15.0], [985.0]]))
    nearest = candidate(0.2, bounded=0.7, feasible=False, counts=counts)
    assert is_as_good(candidate(0.4, bounded=0.69, feasible=False), nearest, start, *asked)
    assert not is_as_good(candidate(0.4, bounded=0.55, feasible=False), nearest, start, *asked)


def test_labels_without_positives_do_not_matter():
    best, start = candidate([0.8, np.nan], feasible=[True, False]), candidate([0.1, np.nan], feasible=[True, False])
    asked = OAP(), labels_of(50) * [1.0, 0.0]
    assert is_as_good(candidate([0.79, np.nan], feasible=[True, False]), best, start, *asked)
    assert not is_as_good(candidate([0.5, np.nan], feasible=[True, False]), best, start, *asked)


@pytest.fixture(autouse=True)
def same_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def made_up(num=900, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(num, generator=generator) < 0.15).float()
    return torch.randn(num, 4, generator=generator) + 0.9 * labels[:, None], labels


def loader_of(rows):
    return DataLoader(TensorDataset(*rows), batch_size=64, shuffle=True)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["FPOR", "OFBS"])
def test_fit_returns_an_average_that_its_report_describes(objective):
    alpha = 0.6 if objective == "FPOR" else None
    seen = {}
    model = nn.Linear(4, 1)

    def remember(records):
        seen.setdefault(records[0]["stage"], []).append(
            (records[0]["value"] if records[0]["feasible"] else -1, model.weight.detach().clone())
        )

    result = fit(model, loader_of(made_up()), objective, alpha=alpha, epochs=60, callbacks=[remember], progress=False)
    assert result.selected_stage.startswith("average of ")
    number = int(result.selected_stage.split()[2])
    bests = [max(epochs, key=lambda pair: pair[0])[0] for stage, epochs in seen.items() if stage != "warm-up"]
    assert 2 <= number <= min(MAX_FINALISTS, len(bests))
    assert result.validation.value <= max(bests) + 1e-12
    assert not any(torch.equal(model.weight, weight) for epochs in seen.values() for _, weight in epochs)
    again = result.evaluate(made_up(seed=1))
    assert again.threshold == result.threshold and again.average_precision > 0.3


@pytest.mark.slow
def test_training_data_that_select_and_a_single_path_keep_the_best():
    rows = made_up()
    assert not fit(nn.Linear(4, 1), loader_of(rows), "OFBS", epochs=40, val_fraction=0).selected_stage.startswith("av")
    for solver in ("cross_entropy", nn.BCEWithLogitsLoss()):
        result = fit(nn.Linear(4, 1), loader_of(rows), "OFBS", epochs=10, solver=solver)
        assert result.selected_stage == "training"
        assert result.validation.value == max(record["value"] for record in result.history)


@pytest.mark.slow
def test_slacks_are_not_averaged():
    result = fit(nn.Linear(4, 1), loader_of(made_up()), "OFBS", epochs=40, solver="augmented_lagrangian")
    assert not result.selected_stage.startswith("average") and result.slack is not None


def test_merit_is_what_finalists_are_sorted_by():
    single = candidate(0.7)
    assert single.key == (0.7, 0.0)
    assert selection_criterion(single.choice, OFBS()) == single.key
