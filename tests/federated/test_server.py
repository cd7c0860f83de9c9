"""What the server makes of sites that are silent, that do not fit or that answer wrongly; and each rule by itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from metricopt import InvalidInputError
from metricopt.evidence.thresholds import choose_threshold
from metricopt.federated import FedAMP, FedAvg, FedBN, FedProx, Message, Server, Site, TooFewSitesError, federate
from metricopt.federated.guidance import solver_from_dict
from metricopt.federated.guide import Guide
from metricopt.federated.histograms import PseudoRows, count_scores, first_edges
from metricopt.problem.objectives import FPOR, OAP
from metricopt.solvers import Profiled, ProfiledRanking
from tests.federated.small_federation import (
    NAMES,
    loader_of,
    new_linear,
    new_network,
    rows_of,
    server_of,
    sites_of,
)


def run(server, sites, spoil):
    """Let a federation end while ``spoil`` may replace or drop (None) each answer."""
    by_name = {site.name: site for site in sites}
    while not server.finished:
        answers = {
            name: spoil(name, question, by_name[name].answer(question))
            for name, question in server.questions(list(by_name)).items()
        }
        server.receive({name: answer for name, answer in answers.items() if answer is not None})
    return server.result


def told_of(server, site):
    return [entry["what"] for entry in server.log if entry["site"] == site]


def test_a_site_that_falls_silent_is_named_and_left_out():
    server = server_of(new_linear)
    found = run(
        server,
        sites_of(new_linear),
        lambda name, question, answer: None if name == "west" and question.info["round"] == 1 else answer,
    )
    assert told_of(server, "west") == ["did not answer; the round goes on without it", "answers again"]
    assert told_of(server, "north") == []
    assert "west, in round 2 (train): did not answer" in found.summary()


def test_too_few_sites_are_asked_again_and_then_named():
    server, asked = server_of(new_linear, min_sites=3, retries=2), []

    def spoil(name, question, answer):
        asked.append((name, question.kind))
        return None if name == "west" and question.kind == "train" else answer

    with pytest.raises(TooFewSitesError, match=r"3 site\(s\) must answer .*'train', but 2 did, 3 times\.\nwest: did"):
        run(server, sites_of(new_linear), spoil)
    assert asked.count(("west", "train")) == 3


def spoiled_arrays(prefix, change):
    def spoil(answer):
        arrays = {name: change(array) if name.startswith(prefix) else array for name, array in answer.arrays.items()}
        return replace(answer, arrays=arrays)

    return spoil


FAULTS = {
    "NaN": ("train", spoiled_arrays("weights.weight", lambda array: array * np.nan), "weight must be finite, got NaN"),
    "shape": (
        "train",
        spoiled_arrays("weights.weight", lambda array: array[:, :1]),
        "weight must have the shape (1, 2)",
    ),
    "kind": ("train", spoiled_arrays("weights.bias", lambda array: array.astype(float)), "bias must be of float32"),
    "missing": ("train", lambda answer: replace(answer, arrays={}), "bias is missing"),
    "rows": (
        "train",
        lambda answer: replace(answer, info={**answer.info, "num_rows": 10**9}),
        "num_rows must be the 128 that it joined with",
    ),
    "below 0": ("score", spoiled_arrays("counts.train", lambda array: array - 1), "counts of train must be 0 or more"),
    "above": ("testify", spoiled_arrays("counts.held", lambda array: array + 1), "must sum to at most its 32 rows"),
    "overflow": (
        "score",
        spoiled_arrays("counts.train", lambda array: np.full_like(array, 2**62)),
        "must sum to at most its 128 rows",
    ),
    "fractions": ("score", spoiled_arrays("counts.", lambda array: array * 0.5), "must be integers, got float64"),
    "old": ("train", lambda answer: replace(answer, info={**answer.info, "round": 7}), "must answer 'train' of round"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_answer_is_rejected_and_named(fault):
    kind, change, what = FAULTS[fault]

    def spoil(name, question, answer):
        return change(answer) if (name, question.kind) == ("south", kind) and question.info["round"] >= 0 else answer

    server = server_of(new_linear, rounds=1, warmup_rounds=0)
    found = run(server, sites_of(new_linear), spoil)
    told = told_of(server, "south")
    assert told and all(text.startswith("rejected: ") and what in text for text in told)
    assert told_of(server, "north") == [] and np.isfinite(found.result.model.weight.detach().numpy()).all()


@pytest.mark.parametrize(
    ("kind", "name", "change", "what"),
    [
        ("train", "moving.multiplier", lambda array: array[:0], r"multiplier must have the shape \(1,\)"),
        ("score", "judged.key", lambda array: array * np.nan, "key must be finite"),
    ],
)
def test_what_a_site_tells_when_it_is_alone_is_checked(kind, name, change, what):
    def spoil(_, question, answer):
        return spoiled_arrays(name, change)(answer) if question.kind == kind else answer

    with pytest.raises(TooFewSitesError, match=what):
        run(server_of(new_linear, warmup_rounds=0), sites_of(new_linear, names=["north"]), spoil)


def test_sites_that_do_not_fit_are_refused_and_named():
    def no_positives():
        x, y = rows_of(9)
        return loader_of(x, torch.zeros_like(y))

    others = [
        Site("other model", lambda: torch.nn.Linear(2, 1, bias=False), loader_of(*rows_of(1))),
        Site("other labels", new_linear, loader_of(*rows_of(1)), label_names=("Edema",)),
        Site("more labels", new_linear, loader_of(*rows_of(1, num_labels=3))),
        Site("no positives", new_linear, no_positives()),
    ]
    server = server_of(new_linear, rounds=2, warmup_rounds=1)
    found = federate(server, [*sites_of(new_linear), *others])
    said = {
        "other model": "bias is there and not here",
        "other labels": "label_names must be those of the server, ['label']",
        "more labels": "one column for each of the server's labels",
        "no positives": "no positives among 160 samples",
    }
    for name, what in said.items():
        (told,) = told_of(server, name)
        assert told.startswith("refused: ") and what in told
    assert set(found.sites.subgroups) == set(NAMES)


def test_a_diverging_site_is_named():
    sites = sites_of(new_linear)
    sites[1] = Site(
        "south", new_linear, loader_of(*rows_of(1)), optimizer=lambda w: torch.optim.SGD(w, lr=float("inf"))
    )
    server = server_of(new_linear)
    federate(server, sites)
    assert any("finite" in text or "NaN" in text for text in told_of(server, "south"))


def test_the_same_question_has_the_same_answer():
    server, site = server_of(), sites_of()[0]
    for _ in range(9):
        (question,) = server.questions(["north"]).values()
        first, second = site.answer(question), site.answer(question)
        assert first.to_bytes() == second.to_bytes()
        server.receive({"north": first})


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"rounds": 0}, "rounds must be an integer >= 1"),
        ({"warmup_rounds": 4}, "warmup_rounds must be below rounds"),
        ({"aggregation": "FedAvg"}, "aggregation must be an Aggregation"),
        ({"solver": "lagrangian"}, "solver must be one that histograms can guide"),
        ({"confidence": 1.5}, "confidence must be in"),
        ({"label_names": "Edema"}, "label_names must be a sequence of names"),
        ({"label_names": ["Edema", "Edema"]}, "label_names must be different"),
        ({"objective": "maximise recall subject to precision >= 0.8 in every ward"}, "only subgroups are those of"),
        ({"objective": "maximise recall subject to precision >= 0.8 with a threshold per site"}, "one threshold"),
    ],
)
def test_arguments_are_checked_first(options, what):
    with pytest.raises(InvalidInputError, match=what):
        server_of(new_linear, **options)
    with pytest.raises(InvalidInputError, match="min_cell must be an integer >= 1"):
        Site("north", new_linear, loader_of(*rows_of(0)), min_cell=0)


def test_sites_that_count_too_few_rows_are_told_what_to_do():
    with pytest.raises(InvalidInputError, match=r"positives and negatives among the train and .* lower min_cell"):
        federate(server_of(new_linear), sites_of(new_linear, min_cell=20))
    with pytest.raises(InvalidInputError, match="loader must be a DataLoader, got str"):
        Site("north", new_linear, "rows.csv")


def test_states_of_others_are_refused():
    with pytest.raises(InvalidInputError, match="make the server with the same arguments"):
        server_of(new_linear, rounds=9).load_state(server_of(new_linear).state())
    north, south, _ = sites_of()
    with pytest.raises(InvalidInputError, match="load the site's own state"):
        north.load_state(south.state())
    with pytest.raises(InvalidInputError, match="finished, for a result"):
        _ = server_of(new_linear).result
    with pytest.raises(InvalidInputError, match="bytes that Message.to_bytes wrote"):
        Message.from_bytes(b"no message at all, but long enough to be one")
    with pytest.raises(InvalidInputError, match="of different names"):
        federate(server_of(), [north, north])


def test_means():
    updates = {"a": {"w": np.float32([1, 2]), "n": np.int64(3)}, "b": {"w": np.float32([4, 8]), "n": np.int64(5)}}
    combined = FedAvg().combine(updates, {"a": 1, "b": 2})
    assert combined["a"] is combined["b"]
    np.testing.assert_array_equal(combined["a"]["w"], np.float32([3, 6]))
    assert combined["a"]["w"].dtype == np.float32 and combined["a"]["n"] == 5


def test_sites_that_resemble_each_other_count_more():
    near, nearer, far = ({"w": np.float32(values)} for values in ([0, 0], [0, 1], [9, 9]))
    parts = FedAMP(others=0.6).parts([near, nearer, far])
    np.testing.assert_allclose(parts.sum(axis=1), 1)
    assert parts[0, 1] > parts[0, 2] > 0 and parts[2, 2] > parts[0, 0] >= 0.4
    flat = np.float64([[0, 0], [0, 1], [9, 9]])
    squares = ((flat[:, None] - flat) ** 2).sum(axis=2)
    np.testing.assert_allclose(parts[0, 1], 0.3 * np.exp(-squares[0, 1] / squares[~np.eye(3, dtype=bool)].mean()))
    np.testing.assert_allclose(FedAMP().parts([near, near])[0], [0.2, 0.8])


def test_what_travels():
    assert FedBN().travelling(new_network()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert FedBN().travelling(new_linear()) == ["weight", "bias"] and FedBN().is_whole(new_linear())
    assert not FedBN().is_whole(new_network()) and FedProx(0.5).is_whole(new_network())
    with pytest.raises(InvalidInputError, match="proximal"):
        FedProx(0.0)


def histograms(num_rows=400, seed=0):
    """Scores at the middle of bins, so that histograms know them exactly, and the histograms of two halves."""
    rng, edges = np.random.default_rng(seed), first_edges(1)
    middles = (edges[0, 1:] + edges[0, :-1]) / 2
    labels = (rng.random((num_rows, 1)) < 0.3).astype(np.float32)
    at = 256 + np.rint(20 * rng.normal(size=num_rows) + 25 * labels[:, 0]).astype(int)
    scores = middles[at][:, np.newaxis]
    halves = {
        name: count_scores(scores[half], labels[half], [edges])
        for name, half in (("a", slice(0, num_rows // 2)), ("b", slice(num_rows // 2, None)))
    }
    return scores, labels, edges, halves


def test_guidance_is_what_the_solver_finds_in_all_rows():
    scores, labels, edges, halves = histograms()
    objective = FPOR(0.8)
    guide = Guide(objective, Profiled())
    guide.see(halves, edges, len(scores))
    guide.hand_over("guided ramp")
    plain = Profiled()
    plain.prepare(objective, labels, None)
    plain.start(plain.stages(1, is_linear=False)[0], 50)
    plain.refresh(scores, labels, None)
    state = plain.state_dict()
    for name in ("threshold", "spread", "value", "multiplier"):
        np.testing.assert_allclose(guide.moving[name], state[name].numpy(), rtol=1e-9)
    # A site's loss of a batch is that of a solver that knows all rows, and so is the move of the multiplier.
    at_site = guide.guidance("a", (0.0, 1.0), is_alone=False).applied(
        solver_from_dict({"name": "profiled", "path": None}, objective), objective, 50
    )
    batch = torch.tensor(scores[:64], requires_grad=True), torch.tensor(labels[:64])
    gradients = []
    for solver in (plain, at_site):
        for _ in range(10):
            loss = solver.loss(*batch)
            solver.step()
            if solver is plain:
                plain.load_state_dict({**plain.state_dict(), "multiplier": state["multiplier"]})
        gradients.append(torch.autograd.grad(loss, batch[0])[0].numpy())
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-6)
    assert np.abs(gradients[0]).max() > 0
    plain.load_state_dict({**state, "step": 0})
    plain.loss(torch.tensor(scores), torch.tensor(labels))
    for _ in range(7):
        plain.step()
    guide.move(0.0, 7)
    np.testing.assert_allclose(guide.moving["multiplier"], plain.multiplier(), rtol=1e-6)


def test_guidance_of_a_ranking_is_the_pairs_of_all_rows():
    scores, labels, edges, halves = histograms()
    guide = Guide(OAP(), ProfiledRanking())
    guide.see(halves, edges, len(scores))
    guide.hand_over("ramp")
    plain = ProfiledRanking()
    plain.prepare(OAP(), labels, None)
    plain.refresh(scores, labels, None)
    plain.start(plain.stages(1, is_linear=False)[0], 50)
    at_site = guide.guidance("b", (0.0, 1.0), is_alone=False).applied(
        solver_from_dict({"name": "profiled", "path": None}, OAP()), OAP(), 50
    )
    gradients = []
    for solver in (plain, at_site):
        leaf = torch.tensor(scores[:64], requires_grad=True)
        gradients.append(torch.autograd.grad(solver.loss(leaf, torch.tensor(labels[:64])), leaf)[0].numpy())
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-6)
    assert guide.scale > 0


def test_the_multiplier_of_a_site_moves_by_its_own_violation():
    _, _, edges, _ = histograms()
    rng = np.random.default_rng(1)
    labels = (np.arange(200) % 4 == 0).astype(np.float32)[:, np.newaxis]
    good, poor = (rng.normal(size=(200, 1)) + shift * labels for shift in (4.0, 0.2))
    from metricopt.problem.registry import get_objective

    objective = get_objective("maximise precision subject to recall >= 0.8 in every site and alarm_rate <= 0.5")
    guide = Guide(objective, Profiled())
    counts = {"good": count_scores(good, labels, [edges]), "poor": count_scores(poor, labels, [edges])}
    guide.see(counts, edges, 400)
    guide.hand_over("guided ramp")
    before = guide.moving["multiplier"].copy()
    guide.move(0.0, 10)
    rows = PseudoRows.of(counts, edges, "middle")
    choice = choose_threshold(
        rows.scores, rows.labels, objective, sample_weight=rows.weight, subgroups={"site": rows.site_of}
    )
    np.testing.assert_array_equal(guide.moving["threshold"], choice.threshold)
    of_good, of_poor = guide.multipliers["good"], guide.multipliers["poor"]
    assert of_good.shape == of_poor.shape == before.shape
    assert of_poor[0] > of_good[0]
    assert of_poor[1] == of_good[1] == guide.moving["multiplier"][1]


def test_server_says_what_it_is_for():
    with pytest.raises(InvalidInputError, match="model must be a Module"):
        Server(new_linear, "FPOR", alpha=0.8)
