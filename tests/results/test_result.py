import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from metricopt import FPOR, FROP, OAP, OFBS, InvalidInputError, RecallAtFPR, Status, choose_threshold
from metricopt.solvers.agreement import SlackAgreement
from tests.held_out import fit
from tests.results.made import Scores, result_of


def blobs(seed=0, num_rows=200, num_labels=1):
    draw = torch.Generator().manual_seed(seed)
    y = (torch.rand(num_rows, num_labels, generator=draw) < 0.3).float()
    x = torch.randn(num_rows, 2, generator=draw)
    x[:, 0] += 1.5 * y[:, 0]
    return x, y


X, Y = blobs()
X_NEW, Y_NEW = blobs(1, 90)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, a, b):
        return self.layer(torch.cat([a, b], dim=1))


class Pairs(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


class Stream(IterableDataset):
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


def trained(objective="FPOR", number=0.7, num_labels=1, **arguments):
    x, y = blobs(num_labels=num_labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(2, num_labels)
    short = "beta" if objective == "OFBS" else "alpha"
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    return fit(model, loader, objective, **({short: number, "epochs": 8} | arguments))


# Scores and predictions


ITEMS = [(X[row], Y[row]) for row in range(len(X))]
FORMS = {
    "tensor": X,
    "array": X.numpy().astype(np.float64),
    "dataset": TensorDataset(X, Y),
    "pairs": Pairs(ITEMS),
    "inputs alone": Pairs(list(X)),
    "loader": DataLoader(TensorDataset(X, Y), batch_size=7),
    "shuffled loader": DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True, drop_last=True),
    "batch sampler": DataLoader(Pairs(ITEMS), batch_sampler=BatchSampler(RandomSampler(ITEMS), 7, drop_last=True)),
    "stream": DataLoader(Stream(ITEMS), batch_size=7),
    "workers": DataLoader(Pairs(ITEMS), batch_size=100, num_workers=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_scores_and_predictions_of_all_data_in_order(form):
    result = trained()
    scores = result.scores(FORMS[form])
    assert scores.shape == (200,) and scores.dtype == np.float32
    np.testing.assert_allclose(scores, result.model(X)[:, 0].detach().numpy(), rtol=1e-5, atol=1e-6)
    predicted = result.predict(FORMS[form])
    assert predicted.dtype == np.int64
    np.testing.assert_array_equal(predicted, scores >= result.threshold)


def test_scores_of_several_labels_have_a_column_each():
    result = trained(num_labels=2)
    assert result.scores(X).shape == result.predict(X).shape == (200, 2)
    np.testing.assert_array_equal(result.predict(X), result.scores(X) >= result.threshold)


@pytest.mark.parametrize("as_array", [False, True])
def test_tuples_and_dicts_are_inputs(as_array):
    a, b = (part.double().numpy() if as_array else part for part in (X[:, :1], X[:, 1:]))
    result = dataclasses.replace(trained(), model=TwoInputs())
    expected = result.model(X[:, :1], X[:, 1:])[:, 0].detach().numpy()
    np.testing.assert_allclose(result.scores((a, b)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result.scores({"b": b, "a": a}), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["scores", "predict"])
@pytest.mark.parametrize("data", [(X, Y), [X, Y], {"input": X, "labels": Y}], ids=["tuple", "list", "dict"])
def test_labels_beside_the_inputs_are_named_as_the_fault(method, data):
    result = trained()
    with pytest.raises(
        InvalidInputError, match=r"data must be inputs that the model takes, without labels, got a .* 2"
    ):
        getattr(result, method)(data)
    assert getattr(result, method)({"input": X}).shape == getattr(result, method)((X,)).shape == (200,)


def test_compiled_code_that_does_not_tell_its_arguments_is_called():
    class Compiled(nn.Module):
        forward = torch.relu

    result = dataclasses.replace(trained(), model=Compiled())
    assert (result.scores((X[:, 0],)) == X[:, 0].relu().numpy()).all()


def test_arrays_take_the_precision_of_the_weights_and_integers_stay():
    result = result_of([0.0, 1.0], [0, 1], FPOR(0.5), model=Scores().double())
    assert result.scores(np.array([0.1])).dtype == np.float64 and result.scores(np.array([0.1]))[0] == 0.1
    embedding = result_of([0.0, 1.0], [0, 1], FPOR(0.5), model=nn.Sequential(nn.Embedding(3, 1), nn.Flatten(0)))
    assert embedding.scores(np.array([2, 0])).shape == (2,)
    read_only = np.array([0.5])
    read_only.flags.writeable = False
    assert result.scores(read_only) == [0.5]


def test_scoring_leaves_modes_and_gradients_alone():
    result = dataclasses.replace(trained(), model=nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 1)).train())
    assert (result.scores(X) == result.scores(X)).all()
    assert result.model.training and result.model[0].training


def test_inputs_and_scores_that_are_not_finite_are_rejected():
    result = trained()
    with pytest.raises(InvalidInputError, match="features must be finite, got NaN or infinity in x of batch 0; impute"):
        result.scores(torch.full((1, 2), torch.nan))
    with pytest.raises(InvalidInputError, match="data must be non-empty, got no sample; pass at least one"):
        result.scores(DataLoader(Stream([])))
    assert result.scores(torch.zeros(1, 2)).shape == (1,)


def test_the_threshold_parts_neighbouring_float32_numbers():
    one = np.float32(1.0)
    above = np.nextafter(one, np.float32(2))
    result = result_of([one, above, above], [0, 1, 1], FPOR(1.0))
    assert result.train.recall == result.train.precision == 1
    assert result.predict(torch.tensor([one, above])).tolist() == [0, 1]
    assert result.threshold == float(above)


def test_a_score_at_the_threshold_is_an_alarm():
    result = result_of([0.0, 1.0], [0, 1], FPOR(1.0))
    assert result.threshold == 0.5
    assert result.predict(torch.tensor([0.5, np.nextafter(np.float32(0.5), np.float32(0))])).tolist() == [1, 0]


@pytest.mark.parametrize("scale", [1e-38, 1.0, 1e30])
def test_predictions_make_the_reported_counts_whatever_the_scale(scale):
    draw = np.random.default_rng(0)
    labels = (draw.random(300) < 0.3).astype(np.float32)
    scores = ((draw.integers(0, 40, 300) + 8 * labels) * np.float32(scale)).astype(np.float32)
    for objective in (FPOR(0.6), FROP(0.8), OFBS(1.0), RecallAtFPR(0.1)):
        result = result_of(scores, labels, objective)
        alarms = result.predict(torch.from_numpy(scores)) == 1
        assert result.train.true_positives == alarms[labels == 1].sum()
        assert result.train.false_positives == alarms[labels == 0].sum()


# Statuses


@pytest.mark.parametrize(
    ("labels", "objective", "status"),
    [
        ([0, 0, 1, 1], FPOR(0.9), Status.FEASIBLE),
        ([1, 1, 0, 0], FPOR(0.9), Status.INFEASIBLE),
        ([1, 1, 0, 0], OFBS(1.0), Status.OPTIMIZED),
        ([1, 0, 1, 0], OAP(), Status.OPTIMIZED),
        ([0, 0, 0, 0], OAP(), Status.NO_POSITIVES),
        ([1, 1, 1, 1], OAP(), Status.NO_POSITIVES),
        ([0, 0, 0, 0], FPOR(0.9), Status.NO_POSITIVES),
        ([1, 1, 1, 1], FPOR(0.9), Status.NO_POSITIVES),
        ([np.nan] * 4, OFBS(1.0), Status.NO_POSITIVES),
    ],
)
def test_statuses(labels, objective, status):
    result = result_of([0.0, 1.0, 2.0, 3.0], labels, objective)
    assert result.status is status and result.advice().startswith(status.advice) and len(status.advice) > 20
    assert str(status) in result.summary() and str(status) in repr(result)
    assert result_of([0.0, 1.0, 2.0, 3.0], labels, objective, diverged=True).status is Status.DIVERGED


def test_average_precision_is_reported_with_the_threshold_of_the_best_f1():
    result = result_of([0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1], OAP())
    assert result.train.metric == "average_precision"
    assert result.train.value == result.train.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert result.threshold == 0.5 and result.train.f_beta == pytest.approx(0.8)
    assert "maximise average_precision" in result.summary()
    assert "(score >= threshold is an alarm; chosen for the best f1)" in result.summary()
    assert "chosen for" not in result_of([0.0, 1.0], [0, 1], FPOR(0.5)).summary()
    with pytest.raises(InvalidInputError, match="objective must be one with a bound, got OAP; "):
        result.with_bound(0.5)
    assert result_of([0.0, 1.0], [0, 1], FPOR(0.5)).with_bound(0.6).objective == FPOR(0.6)
    assert len(result.plot().lines) >= 4


def test_constant_scores_are_judged_by_their_counts():
    """Slacks that equal the labels would satisfy every link of this model; the counts do not."""
    constant = result_of([0.0] * 10, [1] * 3 + [0] * 7, FPOR(0.9))
    assert constant.status is Status.INFEASIBLE and constant.train.precision == 0.3
    assert "Best achievable precision: 0.300 (asked 0.9)" in constant.advice()


def test_several_labels_have_a_status_and_a_threshold_each():
    scores, labels = np.array([[0, 0], [1, 1], [2, 2]]), [[0, 1], [1, 1], [1, 0]]
    result = result_of(scores, labels, FPOR((0.9, 0.8)))
    assert result.status == {"a": Status.FEASIBLE, "b": Status.INFEASIBLE}
    assert result.threshold.shape == (2,)
    assert result.advice("a").startswith(Status.FEASIBLE.advice) and "New data can miss it" in result.advice("a")
    assert "Best achievable" in result.advice("b")


AGREES, DIFFERS = SlackAgreement("a", 1.0, 0.0, 0.5, 0.5), SlackAgreement("b", 0.9, 0.3, 0.5, 0.75)


def test_slacks_that_disagree_are_a_status_of_their_own_below_the_others():
    scores, reached, missed = [0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1], [1, 1, 0, 0]
    for labels, objective, agrees, differs in (
        (reached, FPOR(0.9), Status.FEASIBLE, Status.SLACK_GAP),
        (reached, OFBS(1.0), Status.OPTIMIZED, Status.SLACK_GAP),
        (missed, FPOR(0.9), Status.INFEASIBLE, Status.INFEASIBLE),
        ([0] * 4, FPOR(0.9), Status.NO_POSITIVES, Status.NO_POSITIVES),
    ):
        for slack, status in ((None, agrees), ((AGREES,), agrees), ((DIFFERS,), differs)):
            result = result_of(scores, labels, objective, slack=slack)
            assert result.status is status and result.slack is slack
            assert result_of(scores, labels, objective, diverged=True, slack=slack).status is Status.DIVERGED
            lines = [line for line in result.summary().splitlines() if line.startswith("Slacks")]
            shown = () if agrees is Status.NO_POSITIVES else slack or ()
            assert lines == [f"Slacks    {compared.label}: {compared}" for compared in shown]


def test_each_label_has_slacks_of_its_own():
    result = result_of(np.array([[0, 0], [1, 1]]), [[0, 0], [1, 1]], FPOR(0.9), slack=(AGREES, DIFFERS))
    assert result.status == {"a": Status.FEASIBLE, "b": Status.SLACK_GAP}
    assert result.advice("b") == Status.SLACK_GAP.advice and "solver='profiled'" in result.advice("b")
    other = result.with_bound(0.5)  # slacks say nothing about a threshold that is chosen afterwards
    assert other.slack is None and set(other.status.values()) == {Status.FEASIBLE}
    assert result.slack == (AGREES, DIFFERS)


# Another bound, other data


@pytest.mark.parametrize("alpha", [0.3, 0.6, 0.95])
def test_with_bound_chooses_on_the_selection_scores(alpha):
    result = trained()
    other, scored = result.with_bound(alpha), result.data_scores["validation"]
    choice = choose_threshold(scored.scores, scored.labels, FPOR(alpha))
    assert other.threshold == choice.threshold[0] and other.objective == FPOR(alpha)
    assert other.validation.recall == choice.value[0] and other.validation.met == choice.feasible[0]
    assert other.status is (Status.FEASIBLE if choice.feasible[0] else Status.INFEASIBLE)
    baseline = choose_threshold(scored.baseline_scores, scored.labels, FPOR(alpha))
    assert other.baseline.recall == baseline.value[0]
    assert other.model is result.model and other.history is result.history
    assert result.objective == FPOR(0.7)  # the first one stays


def test_with_bound_keeps_the_weights_of_samples():
    weight = np.arange(1.0, 201)[:, np.newaxis]
    scores, labels = X[:, 0].numpy(), Y[:, 0].numpy()
    other = result_of(scores, labels, FPOR(0.9), weight=weight).with_bound(0.5)
    choice = choose_threshold(scores[:, np.newaxis], Y.numpy(), FPOR(0.5), sample_weight=weight)
    assert other.threshold == choice.threshold[0]


def test_with_bound_of_several_labels():
    result = trained(num_labels=2, label_names=["a", "b"])
    for alpha in ((0.5, 0.4), [0.5, 0.4], {"b": 0.4, "a": 0.5}):
        assert result.with_bound(alpha).objective == FPOR((0.5, 0.4))
    assert result.with_bound(0.5).objective == FPOR(0.5)


def test_with_bound_faults():
    result = trained(num_labels=2, label_names=["a", "b"])
    for alpha, message in (
        ({"a": 0.5}, r"alpha must be given for every label, got nothing for \['b'\]; add the missing labels"),
        ({"a": 0.5, "c": 0.5}, "alpha's labels must be one of 'a', 'b', got 'c'"),
        (1.5, r"min_precision must be in \(0, 1\], got 1.5; give a fraction"),
        ((0.5, 0.5, 0.5), r"min_precision must be one number or one per label \(2\), got 3 numbers"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            result.with_bound(alpha)
    with pytest.raises(InvalidInputError, match="objective must be one with a bound, got OFBS; "):
        result_of([0.0, 1.0], [0, 1], OFBS(1.0)).with_bound(0.5)


def test_evaluate_on_other_data():
    result = trained()
    alarm, y = result.predict(X_NEW) == 1, Y_NEW[:, 0].numpy()
    for data in (
        (X_NEW, Y_NEW),
        (X_NEW.numpy().astype(np.float64), Y_NEW[:, 0].numpy()),
        TensorDataset(X_NEW, Y_NEW),
        DataLoader(TensorDataset(X_NEW, Y_NEW), batch_size=7, shuffle=True),
    ):
        report = result.evaluate(data)
        assert report.data == "test" and report.num_samples == 90 and report.threshold == result.threshold
        assert report.recall == pytest.approx(alarm[y == 1].mean())
        assert report.precision == pytest.approx(y[alarm].mean())
        assert report.met == (report.precision >= 0.7) and set(report.intervals) == {"precision", "recall"}


def test_evaluate_by_subgroup():
    result = trained()
    site = np.where(np.arange(90) < 30, "north", "south")
    report = result.evaluate((X_NEW, Y_NEW), by=site, data="external")
    assert report.data == "external" and list(report.subgroups) == ["north", "south"]
    assert report.subgroups["north"].labels == result.evaluate((X_NEW[:30], Y_NEW[:30])).labels


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        ((X_NEW, Y_NEW, Y_NEW), {}, r"test_data must be a loader, a data set or a pair \(x, y\), got 3 items; pass"),
        ((X_NEW, 2 * Y_NEW), {}, r"labels must be 0, 1 or NaN \(missing\), got \[2.0\]"),
        (
            (X_NEW, torch.cat([Y_NEW, Y_NEW], dim=1)),
            {},
            r"with 1 label\(s\), got logits \(90, 1\) for labels \(90, 2\)",
        ),
        ((X_NEW, Y_NEW), {"by": ["a"]}, r"by must be one value a sample \(90\), got shape \(1,\)"),
        ((X_NEW / 0, Y_NEW), {}, "features must be finite, got NaN or infinity in x of batch 0"),
    ],
)
def test_evaluate_faults(data, arguments, message):
    result = trained()
    with pytest.raises(InvalidInputError, match=message):
        result.evaluate(data, **arguments)


# What a person reads


def test_summary_says_what_was_asked_reached_on_which_data_and_against_what():
    result = trained()
    lines = result.summary().splitlines()
    assert lines[0] == "Asked     maximise recall subject to precision >= 0.7"
    assert lines.pop(1) == "Judged by 20% of the rows, which were held out"
    assert lines[1] == f"Status    {result.status}. {result.advice()}"
    assert lines[2].startswith(f"Threshold {result.threshold:.6g} (score >= threshold")
    positives = result.validation.counts.positives
    assert lines[3] == f"On validation data ({result.validation.num_samples} samples, {positives:g} positive)"
    assert lines[4].split() == ["FPOR", "(profiled)", *reached(result.validation)]
    assert re.fullmatch(r"warm-up, \d+ of \d+ epochs of cross-entropy", result.baseline_name)
    assert lines[5].split() == [
        *f"{result.baseline_name} + tuned threshold".split(),
        *reached(result.baseline_validation),
    ]
    assert lines[6].startswith("On train data (") and lines[7].split()[2:] == reached(result.train)
    assert lines[-1].startswith(f"Weights from the stage {result.selected_stage!r}, after ")


def reached(report):
    met = "met" if report.met else "MISSED"
    return f"recall {report.with_interval('recall')}, precision {report.with_interval('precision')} {met}".split()


def test_summary_without_a_bound_and_of_several_labels():
    assert "maximise f2" in trained("OFBS", 2.0).summary().splitlines()[0]
    text = trained(num_labels=2, label_names=["sick", "dead"]).summary()
    assert "Status    sick: " in text and "Status    dead: " in text and "On dead: validation data" in text


@pytest.mark.parametrize("num_labels", [1, 2])
def test_the_choice_calls_labels_by_their_names(num_labels):
    names = ("sick", "dead")[:num_labels]
    scores, labels = np.array([[2.0] * num_labels, [1.0] * num_labels, [0.0] * num_labels]), np.eye(3)[:, :num_labels]
    said = str(result_of(scores, labels, FPOR(0.5), names=names).choice)
    assert [line.partition(":")[0] for line in said.splitlines() if not line.startswith(" ")] == list(names)


@pytest.mark.parametrize(("labels", "is_said"), [([1, 1, 1, 0], True), ([1, 1, 0, 0], False), ([1, 0, 0, 0], False)])
def test_the_summary_says_that_1_is_the_more_common_class(labels, is_said):
    text = result_of(np.arange(4.0)[::-1], labels, FPOR(0.5)).summary()
    assert ("Positive  1, as of 0 and 1 everywhere, though it is the more common class." in text) == is_said


def test_repr_is_one_line():
    result = trained()
    assert repr(result) == (
        f"FitResult(FPOR(min_precision=0.7), label: {result.status}, recall {result.validation.recall:.3f}, "
        f"precision {result.validation.precision:.3f} on validation data)"
    )
    assert repr(trained("OFBS", 1.0, val_fraction=0)).endswith(" on train data)")


def test_history_is_a_table():
    result = trained(epochs=8, warmup_epochs=3, num_labels=2)
    frame = result.history.to_frame()
    assert isinstance(frame, pd.DataFrame) and len(frame) == len(result.history)
    assert frame["epoch"].is_monotonic_increasing and frame["label"].tolist()[:4] == ["0", "1", "0", "1"]
    assert frame["stage"].tolist()[:6] == ["warm-up"] * 6
    expected = {"epoch", "stage", "label", "loss", "metric", "value", "bounded_metric", "bounded_value", "bound",
                "feasible", "threshold", "multiplier", "agreement", "chosen"}  # fmt: skip
    assert set(frame.columns) == expected and np.isfinite(frame["loss"]).all()


def test_plot_draws_both_curves():
    result = trained(num_labels=2, label_names=["a", "b"])
    axes = result.plot(label="b")
    assert axes.get_title().startswith("b: maximise recall") and "on validation data" in axes.get_title()
    (band,) = axes.collections
    assert band.get_label() == "FPOR: 95% band (bootstrap)"
    for draw in (result.plot, result.plot_scores, result.plot_history):
        with pytest.raises(InvalidInputError, match="label must be one of 'a', 'b', got 'c'"):
            draw(label="c")


def test_other_pictures_show_the_selection_data():
    result = trained(num_labels=2, label_names=["a", "b"], epochs=8, warmup_epochs=3)
    assert [ax.get_title().partition("\n")[0] for ax in result.plot_labels()] == ["a", "b"]
    axes = result.plot_history(label="b")
    values = [record["value"] for record in result.history if record["label"] == "b"]
    assert axes[0].texts[0].get_text() == "warm-up"
    assert list(axes[0].lines[0].get_xdata()) == list(range(1, len(values) + 1))
    scores, report = result.plot_scores(label="b"), result.validation["b"]
    assert scores.get_title().endswith("on validation data")
    found = f"{report.counts.positives:g} positives: {report.true_positives:g} found"
    assert found in scores.get_legend().get_texts()[1].get_text()


def test_slack_agreement_by_epoch():
    result = trained(epochs=8, warmup_epochs=3, solver="augmented_lagrangian")
    shares = [record["agreement"] for record in result.history]
    assert shares[:3] == [None] * 3 and len(shares) > 3
    assert all(0.5 < share <= 1 for share in shares[3:])
    assert [ax.get_ylabel() for ax in result.plot_history()][-1] == "slack\nagreement"


def test_weighted_samples_have_no_band():
    result = trained(sample_weight=np.linspace(1, 2, 200))
    assert len(result.plot().collections) == 0
    assert result.plot_scores().get_ylabel() == "weight of samples"


def test_large_inputs_reach_the_model_in_parts():
    sizes = []

    class Watched(torch.nn.Linear):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    result = result_of([0.0, 1.0], [0, 1], FPOR(0.5), model=Watched(1, 1))
    x = torch.arange(10_000.0)[:, None]
    assert result.scores(x).shape == (10_000,) and max(sizes) < 10_000
    sizes.clear()
    report = result.evaluate((x, (x[:, 0] > 5_000).float()))
    assert report.num_samples == 10_000 and max(sizes) < 10_000
    with pytest.raises(InvalidInputError, match="test_data must be of one length"):
        result.evaluate((x, torch.zeros(9_999)))
