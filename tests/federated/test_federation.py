"""Whole federations in one process, beside pooled training and plain ``fit``."""

import copy

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt.federated import FedAMP, FedAvg, FedBN, FedProx, LocalOnly, Message, Site, federate
from metricopt.federated.protocol import Protocol
from metricopt.training.checkpoint import Checkpoints
from tests.federated.small_federation import (
    NAMES,
    loader_of,
    new_linear,
    new_network,
    rows_of,
    server_of,
    sites_of,
)


def in_steps(server, sites, asked=None):
    """Let a federation go one exchange further at a time; the questions to the first site are added to a list."""
    by_name = {site.name: site for site in sites}
    while not server.finished:
        questions = server.questions(list(by_name))
        if asked is not None:
            asked.append(questions[sites[0].name])
        server.receive({name: by_name[name].answer(question) for name, question in questions.items()})
        yield


def copies(weights):
    return {name: np.array(array) for name, array in weights.items()}


@pytest.mark.parametrize(
    ("new_model", "objective", "options", "num_stages"),
    [
        (new_network, "FPOR", {"alpha": 0.8}, 2),
        (new_network, "OAP", {}, 3),
        (new_network, "FPOR", {"alpha": 0.8, "solver": "cross_entropy"}, 1),
        (new_linear, "FROP", {"alpha": 0.8}, 3),  # two paths, the second from the end of the warm-up
    ],
    ids=["network", "ranking", "cross-entropy", "paths"],
)
def test_one_site_trains_as_fit_does_bit_for_bit(new_model, objective, options, num_stages, tmp_path, monkeypatch):
    x, y = rows_of(0)
    rounds, steps, by_fit, written, made = 11, 5, [], [], []

    def new_model_of_fit():  # a module that is passed could be returned as it began
        made.append(new_model())
        return made[-1]

    monkeypatch.setattr(Checkpoints, "write", lambda _, content, step: written.append((step, copy.deepcopy(content))))
    fitted = metricopt.fit(
        new_model_of_fit,
        loader_of(x, y),
        objective,
        folds=None,
        val_fraction=0,
        epochs=rounds,
        warmup_epochs=None if "solver" in options else 2,
        callbacks=[lambda _: by_fit.append(copy.deepcopy(made[-1].state_dict())) or False],
        checkpoint_dir=tmp_path,
        checkpoint_every=rounds * steps,
        learning_rate=0.03,
        **options,
    )
    server = server_of(new_model, objective, rounds=rounds, **options)
    site = Site("north", new_model, loader_of(x, y), val_loader=loader_of(*rows_of(1)), learning_rate=0.03)
    by_site = []
    for _ in in_steps(server, [site]):
        if server._state.phase == "score" and server.round >= 0:
            by_site.append(copies(server._state.shared))
    assert len(by_fit) == len(by_site) == rounds
    for expected, found in zip(by_fit, by_site, strict=True):
        assert all(np.array_equal(expected[name].numpy(), found[name]) for name in expected)
    told, own = server.result.history.to_frame(), fitted.history.to_frame()
    assert len(set(told["stage"])) == len(set(own["stage"])) == num_stages
    direct = told["stage"] != "warm-up"
    np.testing.assert_array_equal(told["multiplier"][direct], own["multiplier"][direct])
    np.testing.assert_array_equal(told["chosen"], own["chosen"])  # the same round is the best
    for name, expected in server._state.best.items():
        assert np.array_equal(fitted.model.state_dict()[name].numpy(), expected)
    # All that moves: threshold, spread, value, multiplier, position, scale, scores, and the state of the optimizer.
    (end,) = (content for step, content in written if step == rounds * steps and content["optimizer"] is not None)
    if "solver" not in options:
        for owner in ("solver", "memory", "progress"):
            for name, expected in end["loss"]["_extra_state"][owner].items():
                found = {**site._now.loss.arrays, **site._now.loss.info}[f"{owner}.{name}"]
                assert name == "warmup_batches" or np.array_equal(found, expected)
    for number, state in end["optimizer"]["state"].items():
        assert all(np.array_equal(site._now.optimizer[f"{number}.{name}"], value) for name, value in state.items())


def test_a_site_alone_resumes_bit_for_bit():
    ends = []
    for stop in (None, 9):
        server, site = server_of(), Site("north", new_network, loader_of(*rows_of(0)))
        for step, _ in enumerate(in_steps(server, [site])):
            if step == stop:
                before, kept = server.state().to_bytes(), site.state().to_bytes()
                server, site = server_of(), Site("north", new_network, loader_of(*rows_of(0)))
                server.load_state(Message.from_bytes(before))
                site.load_state(Message.from_bytes(kept))
                federate(server, [site])
                break
        ends.append((server._state.best, server.history.to_frame()))
    (whole, history), (resumed, other) = ends
    assert all(np.array_equal(resumed[name], array) for name, array in whole.items())
    assert other.equals(history)


@pytest.mark.parametrize("objective", ["FPOR", "OAP"])
def test_one_step_a_round_is_pooled_training(objective, monkeypatch):
    # The pooled scores are known by their bins, as those of several sites are.
    monkeypatch.setattr(Protocol, "is_alone", False)

    def site(name, seeds):
        x, y = (torch.cat(each) for each in zip(*map(rows_of, seeds), strict=True))
        val_x, val_y = (torch.cat(each) for each in zip(*(rows_of(seed + 50) for seed in seeds), strict=True))
        val_loader = DataLoader(TensorDataset(val_x, val_y), batch_size=500)
        options = {"val_loader": val_loader, "optimizer": lambda weights: torch.optim.SGD(weights, lr=0.3)}
        return Site(name, new_linear, loader_of(x, y, batch_size=len(x)), **options)

    ends = []
    for sites in ([site(name, [seed]) for seed, name in enumerate(NAMES)], [site("all", range(3))]):
        server = server_of(new_linear, objective, rounds=8, local_steps=1, warmup_rounds=3)
        ends.append((federate(server, sites).result, copies(server._state.shared)))
    (result, weights), (pooled, pooled_weights) = ends
    for name, expected in pooled_weights.items():
        np.testing.assert_allclose(weights[name], expected, rtol=1e-4, atol=1e-5)
        assert np.abs(expected - new_linear().state_dict()[name].numpy()).max() > 0.1
    assert result.status == pooled.status
    np.testing.assert_allclose(result.empirical_threshold, pooled.empirical_threshold, atol=1e-3)


def test_held_out_rows_have_no_say_in_the_choice_of_the_round():
    ends = []  # of weights that all share, and of some that sites keep
    for held_out in (rows_of(8), rows_of(9, shift=0.5)):
        val_loader = DataLoader(TensorDataset(*held_out), batch_size=200)
        server, asked = server_of(aggregation=FedBN()), []
        sites = sites_of(names=NAMES[:2], val_loader=val_loader)
        for _ in in_steps(server, sites, asked):
            pass
        ends.append((server._protocol.state, [site._model.state_dict() for site in sites]))
        parts = {(question.kind, question.info["round"] < 0): question.info.get("parts") for question in asked}
        assert parts[("score", False)] == ["train"] and parts[("testify", False)] == ["held_out"]
    (one, of_one), (other, of_other) = ends
    assert one.best_round == other.best_round and one.best_key == other.best_key
    assert any(not np.array_equal(one.held_out[name], other.held_out[name]) for name in one.held_out)
    for before, after in zip(of_one, of_other, strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("objective", ["FPOR", "FROP"])
def test_claims_hold_for_the_rows_themselves(objective):
    sites = sites_of(min_cell=2)
    found = federate(server_of(objective=objective, confidence=None), sites)
    threshold, counts = found.result.threshold, np.zeros(3)
    for site in sites:
        assert site.result.threshold == threshold
        counts += [site.report.true_positives, site.report.false_positives, site.report.false_negatives]
        assert site.report.subgroups == {}
    claimed = found.result.validation
    assert counts[0] >= claimed.true_positives > 0
    assert counts[1] <= claimed.false_positives
    assert counts[0] + counts[2] == claimed.true_positives + claimed.false_negatives
    assert set(found.sites.subgroups) == set(NAMES)
    assert sum(report.true_positives for report in found.sites.subgroups.values()) == claimed.true_positives
    assert all(name in found.summary() for name in NAMES)


def test_result_is_saved_and_shown(tmp_path, undrawn):
    found = federate(server_of(), sites_of())
    again = metricopt.load(found.result.save(tmp_path / "result"), new_network())
    assert again.summary() == found.result.summary()
    page = found.report(tmp_path / "page.html").read_text()
    assert all(name in page for name in NAMES)
    assert len(found.history) == 4 and found.rounds == 4
    assert found.num_bytes > 4 * 3 * 2 * sum(array.nbytes for array in found.result.model.state_dict().values())


@pytest.mark.parametrize("aggregation", [FedAvg(), FedBN(), FedAMP()])
def test_resumes_bit_for_bit(aggregation):
    options = {"aggregation": aggregation, "rounds": 3, "warmup_rounds": 1}
    whole = server_of(**options)
    ends = []
    for _ in in_steps(whole, sites := sites_of()):
        ends.append(whole.state().to_bytes())
    for stop in (3, len(ends) - 2):
        server, first = server_of(**options), sites_of()
        steps = in_steps(server, first)
        for _ in range(stop):
            next(steps)
        checkpoint = server.state().to_bytes()
        next(steps)  # the sites have answered once more than the server knows
        again, restarted = server_of(**options), sites_of()
        again.load_state(Message.from_bytes(checkpoint))
        for site, before in zip(restarted, first, strict=True):
            site.load_state(Message.from_bytes(before.state().to_bytes()))
        federate(again, restarted)
        for name, expected in whole._state.best.items():
            assert np.array_equal(again._state.best[name], expected)
        assert again.result.result.threshold == whole.result.result.threshold
        assert again.history.to_frame().equals(whole.history.to_frame())
        for one, other in zip(sites, restarted, strict=True):
            own, expected = one._model.state_dict(), other._model.state_dict()
            assert all(torch.equal(own[name], expected[name]) for name in own)


def test_what_stays_at_home():
    def ends_of(aggregation):
        sites = sites_of()
        found = federate(server_of(aggregation=aggregation), sites)
        return found.result.model, [site._model.state_dict() for site in sites]

    model, (one, other, _) = ends_of(FedBN())
    norms = [name for name in one if name.startswith("1.") and "num" not in name]
    assert model is None and len(norms) == 4
    assert not any(torch.equal(one[name], other[name]) for name in norms)
    assert all(torch.equal(one[name], other[name]) for name in one if not name.startswith("1."))
    model, (one, other, _) = ends_of(FedAMP())
    assert model is None and not torch.equal(one["0.weight"], other["0.weight"])
    model, (one, other, _) = ends_of(FedProx(1.0))
    assert all(torch.equal(one[name], other[name]) and torch.equal(one[name], model.state_dict()[name]) for name in one)


def test_local_only_trains_each_site_alone():
    sites = sites_of()
    federate(server_of(aggregation=LocalOnly(), solver="cross_entropy"), sites)
    (alone,) = sites_of(names=NAMES[:1])
    server = server_of(aggregation=LocalOnly(), solver="cross_entropy")
    federate(server, [alone])
    assert all(np.array_equal(alone._now.weights[name], array) for name, array in sites[0]._now.weights.items())


def test_a_strong_proximal_term_holds_weights():
    moved = []
    for aggregation in (FedAvg(), FedProx(0.1), FedProx(30.0)):
        sites = sites_of(new_linear, names=NAMES[:1], optimizer=lambda weights: torch.optim.SGD(weights, lr=0.03))
        server = server_of(new_linear, aggregation=aggregation, rounds=2, solver="cross_entropy", warmup_rounds=1)
        federate(server, sites)
        change = sites[0]._now.weights["weight"] - sites[0]._before.weights["weight"]
        moved.append(float(np.abs(change).max()))
    assert moved[0] > moved[1] > 3 * moved[2] > 0


def test_a_bound_in_every_site():
    program = "maximise precision subject to recall >= 0.8 in every site"
    sites = sites_of(new_linear)
    server = server_of(new_linear, program, rounds=8, confidence=None)
    found = federate(server, sites)
    multipliers = server._protocol.guide.multipliers
    assert set(multipliers) == set(NAMES) and len({float(each[0]) for each in multipliers.values()}) > 1
    assert found.result.status == metricopt.Status.FEASIBLE
    assert found.met_at() == dict.fromkeys(NAMES, True)
    for site in sites:
        assert site.report.recall >= 0.8


def test_several_labels_and_one_that_a_site_lacks():
    sites = [
        Site(name, lambda: torch.nn.Linear(2, 2), loader_of(*rows_of(seed, num_labels=2)))
        for seed, name in enumerate(NAMES)
    ]
    x, y = rows_of(7, num_labels=2)
    y[:, 1] = float("nan")
    sites.append(Site("east", lambda: torch.nn.Linear(2, 2), loader_of(x, y)))
    server = server_of(lambda: torch.nn.Linear(2, 2), label_names=("Edema", "Effusion"), alpha=(0.7, 0.6))
    found = federate(server, sites)
    of_edema, of_effusion = found.sites.subgroups["east"]
    assert (of_edema.num_samples, of_effusion.num_samples) == (32, 0)
    assert found.result.thresholds.shape == (2,)
