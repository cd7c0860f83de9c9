import pytest
import torch

from metricopt._validation import InvalidInputError
from metricopt.data import rath_hughes_toy
from metricopt.losses import (
    HingePrecisionAtRecall,
    HingeRecallAtPrecision,
    SoftPrecisionAtRecall,
    SoftRecallAtPrecision,
)
from metricopt.losses.bounded import MAX_MULTIPLIER
from tests.held_out import fit

LABELS = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])
GOOD, ALL, NONE = (torch.tensor(scores) for scores in ([9.0, 9, -9, -9, -9], [9.0] * 5, [-9.0] * 5))
BOUNDED = [SoftRecallAtPrecision, SoftPrecisionAtRecall, HingeRecallAtPrecision, HingePrecisionAtRecall]
every_bound = pytest.mark.parametrize("kind", BOUNDED)


def broken(kind):
    """Scores that break the bound: alarms for all break precision, alarms for none recall."""
    return (ALL if "RecallAtPrecision" in kind.__name__ else NONE).clone().requires_grad_()


@every_bound
def test_the_multiplier_climbs_while_the_bound_is_violated_and_falls_while_it_holds(kind):
    loss = kind(0.8).prepare(LABELS)
    seen = [loss.multiplier.item()]
    for scores in [broken(kind)] * 3 + [GOOD.clone().requires_grad_()] * 3:
        loss(scores, LABELS)
        seen.append(loss.multiplier.item())
    assert seen[0] == 1
    assert seen[:4] == sorted(set(seen[:4])) and seen[3:] == sorted(set(seen[3:]), reverse=True)


@every_bound
def test_the_multiplier_stays_between_its_limits(kind):
    loss = kind(0.5, multiplier_step=1e6).prepare(LABELS)
    loss(broken(kind), LABELS)
    assert loss.multiplier.item() == MAX_MULTIPLIER
    loss(GOOD.clone().requires_grad_(), LABELS)
    assert loss.multiplier.item() == 0


@every_bound
def test_the_multiplier_rests_in_evaluation_and_without_gradients(kind):
    loss = kind(0.8).prepare(LABELS)
    with torch.no_grad():
        loss(broken(kind), LABELS)
    loss.eval()(broken(kind), LABELS)
    assert loss.multiplier.item() == 1
    loss.train()(broken(kind), LABELS)
    assert loss.multiplier.item() > 1


def test_the_multiplier_moves_by_its_step_times_the_violation():
    loss = SoftRecallAtPrecision(0.75, multiplier_step=0.1).prepare(LABELS)
    loss(torch.zeros(5, requires_grad=True), LABELS)
    assert loss.multiplier.item() == pytest.approx(1 + 0.1 * (0.75 * 1.5 - 0.25 * 1.0) / 2)


def test_the_loss_is_that_of_the_multiplier_before_its_move():
    loss = SoftPrecisionAtRecall(0.75).prepare(LABELS)
    scores = torch.zeros(5, requires_grad=True)
    first, second = (loss(scores, LABELS).item() for _ in range(2))
    assert first == pytest.approx(1.5 / 2 + 0.25)
    assert second == pytest.approx(1.5 / 2 + 0.25 * (1 + 0.05 * 0.25))


@every_bound
def test_batches_add_up_to_the_whole(kind):
    """Per expected positive, so batches without positives count as they should."""
    scores, loss = torch.linspace(-2, 2, 5), kind(0.8).prepare(LABELS).eval()
    batches = [slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 4), slice(4, 5)]
    by_batch = torch.stack([loss(scores[rows], LABELS[rows]) for rows in batches])
    torch.testing.assert_close(by_batch.mean(), loss(scores, LABELS))


@every_bound
def test_preparing_anew_starts_anew(kind):
    loss = kind(0.8).prepare(LABELS)
    loss(broken(kind), LABELS)
    assert loss.multiplier.item() != 1
    assert loss.prepare(torch.stack([LABELS, 1 - LABELS], dim=1)).multiplier.tolist() == [1, 1]


@every_bound
def test_it_must_be_prepared(kind):
    with pytest.raises(InvalidInputError, match=f"{kind.__name__} must be prepared with the training labels"):
        kind(0.8)(GOOD, LABELS)
    assert kind(0.8).prepare(LABELS)(GOOD, LABELS).isfinite()


@every_bound
def test_its_scores_may_be_of_any_precision(kind):
    for dtype in (torch.float16, torch.float32, torch.float64):
        loss = kind(0.8).prepare(LABELS)
        loss(broken(kind).detach().to(dtype).requires_grad_(), LABELS)
        assert loss.multiplier.dtype == torch.float32 and loss.multiplier.item() > 1


def test_a_killed_training_goes_on_with_its_multiplier(tmp_path):
    features, labels = rath_hughes_toy()
    data = torch.utils.data.TensorDataset(torch.from_numpy(features).float(), torch.from_numpy(labels).float())

    def train(callbacks=(), **arguments):
        torch.manual_seed(0)
        model, loss = torch.nn.Linear(2, 1), SoftRecallAtPrecision(0.8)
        loader = torch.utils.data.DataLoader(data, batch_size=190, shuffle=True)
        arguments |= {"solver": loss, "epochs": 6, "val_fraction": 0, "progress": False, "callbacks": callbacks}
        fit(model, loader, "FPOR", alpha=0.8, **arguments)
        return loss.multiplier, model.weight.detach()

    def kill(records):
        if records[0]["epoch"] == 4:
            raise KeyboardInterrupt

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train([kill], checkpoint_dir=tmp_path, checkpoint_every=2)
    resumed = train(checkpoint_dir=tmp_path, checkpoint_every=2, resume=True)
    assert whole[0] != 1 and all(map(torch.equal, whole, resumed))


@pytest.mark.parametrize(("kind", "objective"), list(zip(BOUNDED, ["FPOR", "FROP"] * 2, strict=True)))
def test_fit_on_a_hard_problem_ends_with_a_status(kind, objective):
    features, labels = rath_hughes_toy()
    data = torch.utils.data.TensorDataset(torch.from_numpy(features).float(), torch.from_numpy(labels).float())
    loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
    torch.manual_seed(0)
    loss = kind(0.8)
    result = fit(
        torch.nn.Linear(2, 1), loader, objective, alpha=0.8, solver=loss, epochs=10, val_fraction=0, progress=False
    )
    assert result.status.value in ("feasible", "infeasible")
    assert len(result.history) == 10
    assert loss.multiplier.item() != 1
