"""What the solvers with explicit slacks have in common, judged by their Lagrangians written out plainly in float64."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt._validation import InvalidInputError
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import FPOR, FROP, OAP, OFBS, Objective, RecallAtAlarmRate, RecallAtFPR
from metricopt.solvers.exact_penalty import ExactPenalty
from metricopt.solvers.explicit import SLACK_STEP
from metricopt.solvers.lagrangian import AugmentedLagrangian, Lagrangian
from metricopt.solvers.paths import PATHS
from tests.solvers.driving import SOLVERS, loss_and_gradient, problem, started, train

OBJECTIVES = [FPOR(0.8), FROP(0.7), OFBS(2.0), RecallAtFPR(0.1), RecallAtAlarmRate(0.3)]
STAGES = list(PATHS)
EACH = pytest.mark.parametrize("kind", SOLVERS)
FORMS = pytest.mark.parametrize("links", ["equality", "inequality"])
TERMS = pytest.mark.parametrize("terms", ["exact", "anchor", "both"])


# The judge


class Plain:
    """The Lagrangian of one label's samples at fixed multipliers, term by term, and all that it depends on."""

    def __init__(self, solver, objective, scores, labels, weight, terms, links):
        state, path = solver.state_dict(), PATHS[solver.state_dict()["position"]["path"]]
        self.progress = state["position"]["step"] / (state["position"]["num_steps"] - 1)
        self.kind, self.links, self.terms, self.path = type(solver), links, terms, path
        self.strength, self.margin = path.strength(self.progress), path.margin(self.progress)
        self.quadratic = 2 * self.strength**2
        self.multipliers = state["penalties" if self.kind is ExactPenalty else "of_links"].double().numpy().ravel()
        choice = choose_threshold(scores, labels, objective, sample_weight=weight)
        self.sign = np.where(labels == 1, 1.0, -1.0)[:, 0]
        weights = None if weight is None else weight[:, 0]
        self.threshold, self.spread = choice.threshold[0], np.sqrt(np.cov(scores[:, 0], aweights=weights, ddof=0))
        multiplier = np.zeros(1) if solver.multiplier() is None else solver.multiplier()
        w_plus, w_minus = (max(w[0], 0.0) for w in objective.class_weights(multiplier, choice.value))
        own = np.ones(len(labels)) if weight is None else weight[:, 0]
        per_positive = own / own[labels[:, 0] == 1].sum()
        self.weight = np.where(self.sign > 0, w_plus, w_minus) / max(w_plus, w_minus) * per_positive
        self.present = ~np.isnan(labels[:, 0])

    def distance(self, scores):
        """In each sample's own direction, margin not subtracted."""
        return self.sign * (scores[:, 0].astype(np.float64) - self.threshold) / self.spread

    def __call__(self, right, u):
        """What each sample adds to the Lagrangian if it is counted as right so far and lies at u."""
        d = u - self.margin
        g = np.maximum(right + d - 1, 0) - np.maximum(-right, d)
        m, rho, is_equality = self.multipliers, self.quadratic, self.links == "equality"
        of_link = {
            Lagrangian: m * g,
            AugmentedLagrangian: m * g + rho / 2 * g**2
            if is_equality
            else (np.maximum(m + rho * g, 0) ** 2 - m**2) / (2 * rho),
            ExactPenalty: m * np.abs(g) if is_equality else m * np.maximum(g, 0),
        }[self.kind]
        anchor = {"exact": 0.0, "anchor": 1.0, "both": 0.1}[self.terms] * self.strength
        of_anchor = anchor * (np.logaddexp(0, u) - right * u)  # cross-entropy of the score to its slack
        of_label = self.path.anchor * np.logaddexp(0, -u)
        return 1 - right + (self.terms != "anchor") * of_link + of_anchor + of_label


def right_of(slack, labels):
    """Slacks (n,) as "counted as right"."""
    return np.where(labels[:, 0] == 1, slack, 1 - slack.astype(np.float64))


def on_the_way(kind, objective, stage="ramp", terms="exact", links="equality", slack_step="exact", num_steps=12):
    """A solver after some steps with weights and missing labels, its judge, and the scores that come next."""
    scores, labels = problem(has_missing=True)
    weight = np.random.default_rng(1).random(labels.shape) + 0.1
    solver = started(kind(terms, links, slack_step), objective, scores, labels, weight, STAGES.index(stage))
    train(solver, scores, labels, num_steps, weight, batch_size=25)
    scores, _ = problem(seed=5)  # whatever was learnt: right and wrong ones
    solver.refresh(scores, labels, weight)
    judge = Plain(solver, objective, scores, labels, weight, terms, links)
    near = judge.threshold + np.linspace(0.02, 1, len(labels))[:, np.newaxis] * (scores - judge.threshold)
    return solver, judge, near.astype(np.float32), labels, weight


def between_the_sides(found, function, x, tolerance):
    """Whether derivatives are those of a function, elementwise: at its kinks anything between those of either side."""
    # Steps far beyond the rounding of scores.
    sides = [(function(x + step) - function(x)) / step for step in (1e-4, -1e-4)]
    low, high = np.sort(sides, axis=0)
    return (low - tolerance <= found) & (found <= high + tolerance), high - low < tolerance


# The slack step


@pytest.mark.slow
@FORMS
@TERMS
@pytest.mark.parametrize("stage", ["anchored ramp", "hinge", "polish"])
@EACH
def test_stored_slacks_minimise_the_lagrangian(kind, stage, terms, links):
    solver, judge, scores, labels, weight = on_the_way(kind, FPOR(0.8), stage, terms, links)
    loss, _ = loss_and_gradient(solver, scores, labels, weight)
    right, u = right_of(solver.slacks(), labels), judge.distance(scores)
    grid = np.min([judge(slack, u) for slack in np.linspace(0, 1, 401)], axis=0)
    assert ((right >= 0) & (right <= 1)).all()
    assert (judge(right, u) <= grid + 1e-5 * (1 + np.abs(judge.multipliers)))[judge.present].all()
    assert loss == pytest.approx((judge.weight * (1 - right))[judge.present].sum(), rel=1e-5)


@TERMS
@EACH
def test_a_gradient_step_goes_down_the_same_lagrangian(kind, terms):
    solver, judge, scores, labels, weight = on_the_way(kind, FPOR(0.8), terms=terms, slack_step="gradient")
    before, u = right_of(solver.slacks(), labels), judge.distance(scores)
    exact = copy.deepcopy(solver)
    exact._slack_step = "exact"
    for each in (solver, exact):
        loss_and_gradient(each, scores, labels, weight)
    after = right_of(solver.slacks(), labels)
    is_moving = judge.present & (after > 0) & (after < 1)
    tolerance = 1e-2 * (1 + np.abs(judge.multipliers))
    holds, _ = between_the_sides((before - after) / SLACK_STEP, lambda right: judge(right, u), before, tolerance)
    assert is_moving.any() and holds[is_moving].all()
    assert (solver.slacks() != exact.slacks()).any()
    least = judge(right_of(exact.slacks(), labels), u)
    assert (least <= judge(after, u) + 1e-4)[judge.present].all()


def test_small_gradient_steps_lower_the_lagrangian_until_the_exact_slacks_are_near():
    """With the anchor alone the Lagrangian is linear in each slack: no flat part stops the steps."""
    solver, judge, scores, labels, weight = on_the_way(ExactPenalty, FPOR(0.8), terms="anchor", slack_step="gradient")
    costs = []
    for _ in range(400):
        loss_and_gradient(solver, scores, labels, weight)
        costs.append(
            (judge.weight * judge(right_of(solver.slacks(), labels), judge.distance(scores)))[judge.present].sum()
        )
    assert (np.diff(costs) <= 1e-9).all() and costs[-1] < costs[0]
    exact = copy.deepcopy(solver)
    exact._slack_step = "exact"
    loss_and_gradient(exact, scores, labels, weight)
    np.testing.assert_allclose(solver.slacks()[judge.present], exact.slacks()[judge.present], atol=1e-3)


def test_slacks_start_anew_from_the_predictions_with_each_stage_and_not_with_each_refresh():
    scores, labels = problem()
    solver = started(AugmentedLagrangian(), FPOR(0.8), scores, labels)
    np.testing.assert_array_equal(
        solver.slacks(), (scores >= choose_threshold(scores, labels, FPOR(0.8)).threshold)[:, 0]
    )
    loss_and_gradient(solver, scores, labels)
    moved = solver.slacks()
    solver.refresh(-scores, labels, None)
    np.testing.assert_array_equal(solver.slacks(), moved)
    solver.start(solver.stages(200)[1], 10)
    solver.refresh(-scores, labels, None)
    np.testing.assert_array_equal(
        solver.slacks(), (-scores >= choose_threshold(-scores, labels, FPOR(0.8)).threshold)[:, 0]
    )
    assert (solver.slacks() != moved).any()


# The derivative in the scores


@pytest.mark.slow
@FORMS
@TERMS
@pytest.mark.parametrize("stage", ["anchored ramp", "ramp", "hinge", "polish"])
@EACH
def test_the_derivative_is_that_of_the_lagrangian_at_the_exact_slacks(kind, stage, terms, links):
    """Between the one-sided differences: equal to both, but at the kinks of the link."""
    solver, judge, scores, labels, weight = on_the_way(kind, FPOR(0.8), stage, terms, links)
    _, gradient = loss_and_gradient(solver, scores, labels, weight)
    right, u = right_of(solver.slacks(), labels), judge.distance(scores)
    found = gradient[:, 0] / (judge.weight * judge.sign / judge.spread)
    tolerance = 2e-3 * (1 + np.abs(judge.multipliers) + 0.1 * judge.quadratic)
    holds, is_smooth = between_the_sides(found, lambda u: judge(right, u), u, tolerance)
    assert holds[judge.present].all() and is_smooth[judge.present].mean() > 0.7
    assert (gradient[~judge.present] == 0).all() and np.abs(gradient).max() > 0


@pytest.mark.parametrize("objective", [*OBJECTIVES, FPOR(1.0)], ids=str)
@EACH
def test_the_derivative_serves_every_objective(kind, objective):
    solver, judge, scores, labels, weight = on_the_way(kind, objective)
    _, gradient = loss_and_gradient(solver, scores, labels, weight)
    right, u = right_of(solver.slacks(), labels), judge.distance(scores)
    found = gradient[:, 0] / (judge.weight * judge.sign / judge.spread)
    tolerance = 2e-3 * (1 + np.abs(judge.multipliers) + 0.1 * judge.quadratic)
    holds, _ = between_the_sides(found, lambda u: judge(right, u), u, tolerance)
    assert holds[judge.present].all()


@EACH
def test_positives_are_pulled_up_and_negatives_down(kind):
    """Equality multipliers alone may push the other way: they go below zero where slacks and scores are right."""
    solver, _, scores, labels, weight = on_the_way(kind, FPOR(0.8), links="inequality")
    _, gradient = loss_and_gradient(solver, scores, labels, weight)
    assert (gradient[labels == 1] <= 0).all() and (gradient[labels == 0] >= 0).all()
    assert (gradient[labels == 1] < 0).any() and (gradient[labels == 0] > 0).any()


# Ties: the constant model at the threshold, where slacks that equal the labels satisfy every link


def at_the_tie(kind, slack_step, labels):
    """A solver whose slacks are the labels, told that all scores are 0."""
    constant = np.zeros_like(labels)
    solver = started(
        kind(slack_step=slack_step), FPOR(0.8), constant, labels, stage=STAGES.index("ramp"), num_steps=300
    )
    state = solver.state_dict()
    state["slacks"]["slack"], state["slacks"]["errors"] = (
        torch.from_numpy(labels.ravel().copy()),
        torch.zeros(2, 1, 1).double(),
    )
    state["slacks"]["threshold"] = torch.zeros(1, 1).double()
    solver.load_state_dict(state)
    return solver, constant


@pytest.mark.slow
@pytest.mark.parametrize("slack_step", ["exact", "gradient"])
@EACH
def test_the_tie_is_reported_and_left(kind, slack_step):
    rng = np.random.default_rng(0)
    labels = (np.arange(90) < 30).astype(np.float32)[:, np.newaxis]
    x = torch.from_numpy((labels * 2.5 + rng.normal(size=(90, 2))).astype(np.float32))
    solver, constant = at_the_tie(kind, slack_step, labels)

    (compared,) = solver.compare(solver.slacks(), constant, labels, None, ["label"])
    assert compared.value == compared.bounded_value == 1 and compared.worst_violation == 0  # the slacks look perfect
    assert compared.model_bounded_value == pytest.approx(1 / 3) and not compared.holds

    model = torch.nn.Linear(2, 1)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer, everyone, found = torch.optim.Adam(model.parameters(), lr=0.02), torch.arange(90), []
    for number in range(150):
        optimizer.zero_grad()
        scores = model(x)
        solver.loss(scores, torch.from_numpy(labels), None, everyone).backward()
        optimizer.step()
        solver.step()
        if number % 10 == 9:
            reached = model(x).detach().numpy()
            solver.refresh(reached, labels, None)
            choice = choose_threshold(reached, labels, FPOR(0.8))
            found.append(choice.value[0] if choice.feasible[0] else 0.0)
    # Gradient steps on slacks under a penalty drift from the model later on: training keeps the best that it saw.
    assert max(found) > 0.9 and (slack_step == "gradient" or found[-1] > 0.9)


# State


@pytest.mark.slow
@pytest.mark.parametrize("objective", [FPOR((0.8, 0.6)), OFBS(1.0), OAP()], ids=str)
@pytest.mark.parametrize("links", ["equality", "inequality"])
@EACH
def test_state_dict_continues_identically(kind, links, objective):
    scores, labels = problem(num_labels=2, has_missing=True)
    weight = np.random.default_rng(1).random(labels.shape)
    solver = started(kind(links=links), objective, scores, labels, weight, stage=2)
    _, halfway = train(solver, scores, labels, 12, weight)
    state = solver.state_dict()
    kept = copy.deepcopy(state)
    expected, end = train(solver, halfway, labels, 12, weight)
    assert_equal(state, kept)  # what was taken does not move with the solver

    resumed = kind(links=links)
    resumed.prepare(objective, labels, weight)
    resumed.load_state_dict(state)
    assert_equal(resumed.state_dict(), kept)
    found, same = train(resumed, halfway, labels, 12, weight)
    assert found == expected and (same == end).all()
    assert_equal(state, kept)  # nor with the solver that took it over
    anew = started(kind(links=links), objective, halfway, labels, weight, stage=2)
    assert train(anew, halfway, labels, 12, weight)[0] != expected


def assert_equal(state, other):
    assert state.keys() == other.keys()
    for name, value in state.items():
        if isinstance(value, dict):
            assert_equal(value, other[name])
        else:
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(other[name])) if name != "path" else (
                value == other[name]
            )  # fmt: skip


def test_slacks_and_multipliers_are_given_as_copies():
    scores, labels = problem()
    for kind in SOLVERS:
        solver = started(kind(), FPOR(0.8), scores, labels)
        for get in (solver.slacks, solver.multiplier):
            before = get()
            get()[:] = 7
            np.testing.assert_array_equal(get(), before)


# Samples: permuted, weighted, missing, several labels


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(SOLVERS), st.sampled_from([FPOR(0.8), OAP()]), st.integers(0, 999))
def test_permuting_rows_permutes_the_state(kind, objective, seed):
    scores, labels = problem(24, seed=seed)
    order = np.random.default_rng(seed).permutation(24)
    ends = []
    for rows in (np.arange(24), order):
        own, truth = scores[rows].copy(), labels[rows]
        solver = started(kind(), objective, own, truth)
        for _ in range(6):
            own -= loss_and_gradient(solver, own, truth)[1]
            solver.step()
        slacks = solver.slacks()
        if objective == OAP():  # rows are the positives, in the order of the samples
            table = np.zeros((24, 24), dtype=np.float32)
            table[np.flatnonzero(truth[:, 0] == 1)] = slacks.reshape(-1, 24)
            slacks = table[np.ix_(np.argsort(rows), np.argsort(rows))]
        else:
            slacks = slacks[np.argsort(rows)]
        ends.append((slacks, own[np.argsort(rows)]))
    np.testing.assert_allclose(ends[0][0], ends[1][0], atol=1e-4)
    np.testing.assert_allclose(ends[0][1], ends[1][1], atol=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@EACH
def test_an_integer_weight_repeats_the_sample(kind, objective):
    scores, labels = problem()
    times = np.random.default_rng(2).integers(0, 4, len(labels))
    times[:2] = 1
    weight, of_copy = times[:, np.newaxis].astype(float), np.repeat(np.arange(len(labels)), times)
    solvers = [kind(), kind()]
    for solver, rows, own in ((solvers[0], np.arange(len(labels)), weight), (solvers[1], of_copy, None)):
        solver.prepare(objective, labels[rows], own)
        solver.start(solver.stages(200)[1], 10)
        solver._slacks._spread = np.ones(1)  # weights leave a sample its part in the spread, copies have one each
        choice = choose_threshold(scores, labels, objective, sample_weight=weight)
        solver._slacks._threshold = choice.threshold[np.newaxis]
        solver._slacks._weighting.set_value(choice.value)
        solver._slacks.restart(scores[rows], own)
    for _ in range(4):
        loss, gradient = loss_and_gradient(solvers[0], scores, labels, weight)
        expected, by_copy = loss_and_gradient(solvers[1], scores[of_copy], labels[of_copy])
        assert loss == pytest.approx(expected, rel=1e-5)
        summed = np.zeros_like(gradient)
        np.add.at(summed, of_copy, by_copy)
        np.testing.assert_allclose(gradient, summed, atol=1e-6)
        for solver in solvers:
            solver.step()
        if objective.bounded:
            np.testing.assert_allclose(*(solver.multiplier() for solver in solvers), atol=1e-6)


@pytest.mark.parametrize("objective", [FPOR((0.8, 0.6, 0.9)), FROP(0.7), OFBS(2.0), OAP()], ids=str)
@EACH
def test_labels_are_solved_column_by_column(kind, objective):
    scores, labels = problem(30, num_labels=3, has_missing=True)
    together, own = started(kind(), objective, scores, labels), scores.copy()
    singles = [np.s_[:, label : label + 1] for label in range(3)]
    alone = [
        started(kind(), single, scores[column], labels[column])
        for single, column in zip(objective.for_labels(3), singles, strict=True)
    ]
    for number in range(8):
        loss, gradient = loss_and_gradient(together, own, labels)
        each = [loss_and_gradient(solver, own[c], labels[c]) for solver, c in zip(alone, singles, strict=True)]
        assert loss == pytest.approx(np.mean([single for single, _ in each]), rel=1e-4)
        np.testing.assert_allclose(gradient, np.concatenate([g for _, g in each], axis=1) / 3, atol=1e-6)
        own -= 2 * gradient
        for solver in (together, *alone):
            solver.step()
            if number == 4:
                column = np.s_[:] if solver is together else singles[alone.index(solver)]
                solver.refresh(own[column], labels[column], None)


@pytest.mark.slow
@pytest.mark.parametrize("constant", [0.0, 1.0, np.nan])
@pytest.mark.parametrize("objective", [*OBJECTIVES, OAP()], ids=str)
@EACH
def test_a_label_of_one_class_has_no_effect(kind, objective, constant):
    scores, labels = problem(30, num_labels=2)
    labels[:, 1] = constant
    both, alone = started(kind(), objective, scores, labels), started(kind(), objective, scores[:, :1], labels[:, :1])
    for _ in range(3):
        loss, gradient = loss_and_gradient(both, scores, labels)
        expected, own = loss_and_gradient(alone, scores[:, :1], labels[:, :1])
        assert loss == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose(gradient[:, :1], own, atol=1e-7)
        assert (gradient[:, 1] == 0).all()
        for solver in (both, alone):
            solver.step()
    if both.multiplier() is not None:
        assert np.isfinite(both.multiplier()).all() and both.multiplier()[0] == pytest.approx(alone.multiplier()[0])


@pytest.mark.parametrize("truth", [0, 1, np.nan])
@pytest.mark.parametrize("objective", [FPOR(0.8), OFBS(2.0), OAP()], ids=str)
@TERMS
@EACH
def test_batches_of_one_class_and_of_none_are_fine(kind, terms, objective, truth):
    scores, labels = problem(has_missing=True)
    solver = started(kind(terms), objective, scores, labels)
    batch = np.flatnonzero(np.isnan(labels[:, 0]) if truth != truth else labels[:, 0] == truth)
    loss, gradient = loss_and_gradient(solver, scores, labels, None, batch)
    solver.step()
    assert np.isfinite(loss) and np.isfinite(gradient).all()
    has_items = truth == 1 or (truth == 0 and objective != OAP())
    assert (np.abs(gradient).max() > 0) == has_items
    assert solver.multiplier() is None or np.isfinite(solver.multiplier()).all()


@EACH
def test_infinite_scores_count_where_they_are_labelled_alone(kind):
    scores, labels = problem(has_missing=True)
    beyond = np.where(np.isnan(labels), np.inf, scores).astype(np.float32)
    ends = [loss_and_gradient(started(kind(), FPOR(0.8), scores, labels), s, labels) for s in (scores, beyond)]
    assert ends[0][0] == ends[1][0] and (ends[0][1] == ends[1][1]).all()


# What is rejected


@EACH
def test_an_index_is_needed(kind):
    scores, labels = problem()
    solver, batch = started(kind(), FPOR(0.8), scores, labels), torch.from_numpy(scores)
    message = f"index must be given for {kind.name}, got None; pass the row of each sample"
    with pytest.raises(InvalidInputError, match=message):
        solver.loss(batch, torch.from_numpy(labels))
    assert solver.needs_index
    assert solver.loss(batch, torch.from_numpy(labels), index=torch.arange(len(labels))).isfinite()


@pytest.mark.parametrize(
    ("argument", "wrong", "right"),
    [("terms", "anchors", "anchor"), ("links", "equal", "equality"), ("slack_step", "closed", "gradient")],
)
@EACH
def test_choices(kind, argument, wrong, right):
    with pytest.raises(InvalidInputError, match=f"{argument} must be one of .*, got '{wrong}'"):
        kind(**{argument: wrong})
    kind(**{argument: right})


@EACH
def test_an_objective_of_neither_kind_is_rejected(kind):
    class Ranking(Objective):
        metric_name, threshold_objective, measure = "rank", OFBS(1.0), None

    labels = np.array([[1.0], [0.0]], dtype=np.float32)
    message = "objective must be average precision or one with counts, got Ranking; choose another solver for it"
    with pytest.raises(InvalidInputError, match=message):
        kind().prepare(Ranking(), labels, None)
    kind().prepare(FPOR(0.9), labels, None)
    kind().prepare(OAP(), labels, None)
