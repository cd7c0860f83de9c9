"""Groups of negatives: clusters, a head with one score outside, and a loss that tells the groups apart."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import FPOR, DirectMetricLoss, InvalidInputError
from metricopt.solvers import GroupedHead, Regrouping
from metricopt.solvers.clusters import balanced_clusters, matched
from tests.held_out import fit

CENTERS = torch.tensor([[4.0, 0.0], [0.0, 4.0], [-4.0, -4.0]])


def blobs(seed=0):
    """40 positives around the origin, among 120 negatives in three groups."""
    draw = torch.Generator().manual_seed(seed)
    groups = torch.arange(160) % 4
    places = torch.cat([CENTERS, torch.zeros(1, 2)])
    return places[groups] + torch.randn(160, 2, generator=draw), (groups == 3).float(), groups.numpy()


def network(num_groups=5):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 12), nn.ReLU(), GroupedHead(12, num_groups))


def test_clusters_find_groups_and_none_is_larger_than_its_part():
    x, y, groups = blobs()
    found = balanced_clusters(x[y == 0].numpy(), 3, seed=1)
    for group in range(3):
        names, sizes = np.unique(found[groups[groups < 3] == group], return_counts=True)
        assert sizes.max() >= 37, names
    random = np.random.default_rng(0)
    uneven = np.concatenate([random.normal(size=(90, 2)), 9 + random.normal(size=(10, 2))])
    assert np.bincount(balanced_clusters(uneven, 4, seed=0), minlength=4).max() <= np.ceil(1.25 * 25)
    same = balanced_clusters(np.ones((8, 2)), 2, seed=0)
    assert sorted(np.bincount(same, minlength=2)) == [3, 5]


def test_groups_keep_their_names():
    random = np.random.default_rng(0)
    before = random.integers(0, 4, 50)
    renamed = np.array([2, 0, 3, 1])[before]
    renamed[:5] = random.integers(0, 4, 5)
    assert (matched(renamed, before, 4) == before)[5:].all()
    assert sorted(set(matched(renamed, np.full(50, -1), 4))) == [0, 1, 2, 3]


@pytest.mark.parametrize("in_use", [2, 5])
def test_the_score_is_the_logit_of_the_positives(in_use):
    head = GroupedHead(6, num_groups=5)
    head.in_use.fill_(in_use)
    features = torch.randn(7, 6)
    probabilities = head.linear(features)[:, : in_use + 1].softmax(dim=1)
    torch.testing.assert_close(head(features)[:, 0].sigmoid(), probabilities[:, 0])


def test_the_loss_is_softmax_cross_entropy_over_positives_and_groups():
    x, y, _ = blobs()
    model = network()
    loss = DirectMetricLoss(FPOR(0.5), y, epochs=4, steps_per_epoch=2, warmup_epochs=1, solver=Regrouping(model))
    halves = torch.arange(160).split(80)
    for step in range(6):  # a warm-up, and two epochs of which the first makes the groups
        value = loss(model(x[halves[step % 2]]), y[halves[step % 2]], halves[step % 2])
        value.backward()
    groups = loss.solver._groups
    assert (groups[y == 1] == -1).all() and set(groups[y == 0]) == {0, 1, 2}  # three negatives for each positive
    rows = halves[0]
    classes = torch.from_numpy(np.where(y[rows] == 1, 0, groups[rows] + 1))
    wanted = nn.functional.cross_entropy(model[-1].linear(model[:-1](x[rows]))[:, :4], classes)
    torch.testing.assert_close(loss(model(x[rows]), y[rows], rows), wanted)


def test_fit_takes_it_as_any_other_solver(tmp_path):
    x, y, _ = blobs()
    model = network()
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    given = {"alpha": 0.7, "epochs": 16, "learning_rate": 0.02, "progress": False}
    result = fit(model, loader, "FPOR", solver=Regrouping(model), **given)
    assert result.solver == "regrouping" and {record["stage"] for record in result.history} == {"warm-up", "regrouping"}
    assert result.validation.recall > 0.5 and result.scores(x).shape == (160,)
    checkpoints = {"checkpoint_dir": tmp_path, "checkpoint_every": 7}
    killed, resumed = network(), network()

    class KilledError(Exception):
        pass

    def die(records):
        if records[0]["epoch"] == 9:
            raise KilledError

    with pytest.raises(KilledError):
        fit(killed, loader, "FPOR", solver=Regrouping(killed), **given, **checkpoints, callbacks=[die])
    again = fit(resumed, loader, "FPOR", solver=Regrouping(resumed), **given, **checkpoints, resume=True)
    assert again.threshold == result.threshold
    assert all(map(torch.equal, model.state_dict().values(), resumed.state_dict().values()))


def test_the_groups_inside_become_those_of_the_negatives():
    x, y, groups = blobs()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    loss = DirectMetricLoss(FPOR(0.5), y, epochs=20, steps_per_epoch=4, warmup_epochs=2, solver=Regrouping(model))
    for epoch in range(20):
        for rows in torch.randperm(160, generator=torch.Generator().manual_seed(epoch)).split(40):
            optimizer.zero_grad()
            loss(model(x[rows]), y[rows], rows).backward()
            optimizer.step()
    inside = model[-1].linear(model[:-1](x)).detach()[:, 1:4].argmax(dim=1).numpy()
    purity = sum(np.bincount(groups[(inside == k) & (groups < 3)], minlength=3).max() for k in range(3)) / 120
    assert purity > 0.9


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Regrouping(nn.Linear(2, 1)), "network must be one with one GroupedHead, got 0 of them; end it with"),
        (lambda: Regrouping(nn.Sequential(network(), network())), "got 2 of them"),
        (lambda: Regrouping(network(), every=0), "every must be an integer >= 1, got 0"),
        (lambda: GroupedHead(3, num_groups=1), "num_groups must be an integer >= 2, got 1"),
    ],
)
def test_bad_arguments(make, text):
    with pytest.raises(InvalidInputError, match=text):
        make()
    assert Regrouping(network()).name == "regrouping"


def test_what_it_cannot_train_is_said():
    x, y, _ = blobs()
    given = {"epochs": 2, "steps_per_epoch": 1, "warmup_epochs": 0}
    with pytest.raises(InvalidInputError, match="of one column for regrouping, got 2 columns"):
        DirectMetricLoss("OFBS", torch.stack([y, y], dim=1), **given, solver=Regrouping(network()))
    with pytest.raises(InvalidInputError, match="sample_weight must be left out for regrouping"):
        DirectMetricLoss("OFBS", y, **given, solver=Regrouping(network()), sample_weight=np.ones(160))
    model = network()
    loss = DirectMetricLoss("OFBS", y, **given, solver=Regrouping(model))
    with torch.no_grad():
        loss.update(model(x))
    with pytest.raises(InvalidInputError, match="those of the network's latest batch for regrouping, got others"):
        loss(torch.zeros(160, requires_grad=True), y, torch.arange(160))
    assert loss(model(x), y, torch.arange(160)) > 0
    assert metricopt.solvers.GroupedHead is GroupedHead
