"""Trainings along a list of bounds: what each starts from, which model serves which bound, and in which process."""

import functools
import runpy
import sys

import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import FPOR, FROP, InvalidInputError, RecallAtFPR, Status, Tradeoff, choose_threshold, tradeoff
from metricopt.evidence.candidates import best_candidate
from metricopt.evidence.probabilities import line_to_log_odds
from metricopt.evidence.thresholds import selection_criterion
from metricopt.tradeoff.training import _best_at
from metricopt.training.fit import fit
from tests.results.made import result_of

RANDOM = np.random.default_rng(0)
LABELS = torch.from_numpy((RANDOM.random(400) < 0.25).astype(np.float32))
FEATURES = torch.from_numpy(RANDOM.normal(size=(400, 3)).astype(np.float32)) + 1.2 * LABELS[:, None]
BOUNDS = [0.8, 0.5, 0.6, 0.7]


ONE_MODEL = torch.nn.Linear(3, 1)


def new_model():
    return torch.nn.Linear(3, 1)


def loader(labels=LABELS, **options):
    return DataLoader(TensorDataset(FEATURES, labels), batch_size=100, shuffle=True, **options)


def run(objective="FPOR", alphas=BOUNDS, **options):
    given = {"epochs": 6, "num_workers": 1, "folds": None, "confidence": None, **options}
    return tradeoff(new_model, loader(), objective, alphas=alphas, **given)


@pytest.fixture(scope="module")
def calls():
    """Arguments of every training behind the fixture below."""
    return []


@pytest.fixture(scope="module")
def found(calls):
    @functools.wraps(fit)  # options are checked against its signature
    def spied(model, loader, objective, **options):
        made = model if isinstance(model, torch.nn.Module) else model()
        start = {name: value.clone() for name, value in made.state_dict().items()}
        result = fit(model, loader, objective, **options)
        calls.append((objective, options, start, result))
        return result

    module = sys.modules["metricopt.tradeoff.training"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", spied)
        return run()


def test_a_seed_of_numpy_is_the_same_seed():
    (first,), (second,) = (run(alphas=[0.6], epochs=2, seed=seed).results for seed in (3, np.int64(3)))
    assert first.threshold == second.threshold


def test_one_result_a_bound_in_order(found):
    assert found.bounds == (0.5, 0.6, 0.7, 0.8)
    for results in (found.results, found.cross_entropy):
        assert [result.objective.bound for result in results] == [0.5, 0.6, 0.7, 0.8]
    assert {result.solver for result in found.results} == {"profiled"}
    assert {result.solver for result in found.cross_entropy} == {"cross_entropy"}


def test_chains_lead_from_strict_to_loose(found, calls):
    assert [objective.bound for objective, *_ in calls] == [0.8, 0.7, 0.6, 0.5] * 2
    for place, (_, options, start, _) in enumerate(calls):
        if place in (0, 3, 4, 7):  # the first of a chain
            assert "warmup_epochs" not in options
            torch.testing.assert_close(start, calls[0][2], rtol=0, atol=0)
        else:
            assert options["warmup_epochs"] == 0
            end = dict(calls[place - 1][3].model.state_dict())
            torch.testing.assert_close(dict(start), end, rtol=0, atol=0)
    assert {len(result.history) for *_, result in calls} == {6}


def test_every_bound_takes_the_best_model(found, calls):
    direct = [result for *_, result in calls[:4]]
    for own in found.results:
        reached = [
            selection_criterion(choose_threshold(part.scores, part.labels, own.objective), own.objective)
            for part in (result.data_scores["validation"] for result in direct)
        ]
        report = own.validation[0]
        assert report.met == (max(reached)[0] >= 0)
        if report.met:
            assert report.value == pytest.approx(max(reached)[0])
    values = [result.validation.value for result in found.results if result.validation.met]
    assert values == sorted(values, reverse=True)


def test_bounds_on_the_other_side_begin_with_the_least():
    found = run(RecallAtFPR(0.5), alphas=[0.2, 0.05], epochs=3)
    assert found.bounds == (0.05, 0.2)
    low, high = (result.validation.value for result in found.results)
    assert low <= high
    assert (found.to_frame()["bound_direction"] == "max").all()


def test_frame_says_what_the_reports_say(found):
    frame = found.to_frame()
    assert len(frame) == 2 * 4 * 2  # methods, bounds, data
    for method, results in (("FPOR", found.results), ("cross-entropy", found.cross_entropy)):
        for bound, result in zip(found.bounds, results, strict=True):
            chosen = frame[(frame["method"] == method) & (frame["bound"] == bound)].set_index("data")
            assert list(chosen.index) == ["train", "validation"]
            for report in (result.train, result.validation):
                row = chosen.loc[report.data]
                assert (row["value"], row["bounded_value"], row["met"]) == (
                    report.value,
                    report.bounded_value,
                    report.met,
                )
                assert (row["low"], row["high"]) == report[0].intervals["recall"]
            assert chosen["status"].unique() == [result.status.value]
            assert set(chosen["trained_for"]) <= set(found.bounds)


def test_other_data(found):
    frame = found.evaluate((FEATURES[:100], LABELS[:100]), data="clinic")
    assert set(frame["data"]) == {"clinic"} and len(frame) == 2 * 4
    report = found.results[2].evaluate((FEATURES[:100], LABELS[:100]))
    assert frame.query("method == 'FPOR' and bound == 0.7")["value"].item() == report.recall


def test_plot(found):
    ax = found.plot()
    (line,) = [line for line in ax.lines if line.get_label() == "FPOR"]
    shown = [result.validation.value if result.validation.met else np.nan for result in found.results]
    np.testing.assert_array_equal(line.get_ydata(), shown)
    assert ax.get_title() == "label: FPOR on validation data"


def test_several_labels():
    both = torch.stack([LABELS, (FEATURES[:, 0] > 1).float()], dim=1)
    model, given = (lambda: torch.nn.Linear(3, 2)), loader(both)
    found = tradeoff(
        model, given, "FROP", alphas=[0.6], epochs=3, num_workers=1, label_names=["a", "b"], val_fraction=0
    )
    frame = found.to_frame()
    assert list(frame["label"]) == ["a", "b"] * 2 and set(frame["data"]) == {"train"}
    assert found.plot(label="b").get_title() == "b: FROP on train data"
    assert found.plot(label="a").get_ylabel() == "precision"
    with pytest.raises(InvalidInputError, match="label must be one of 'a', 'b'"):
        found.plot(label="c")


def test_callers_random_numbers_and_threads_are_left_alone():
    generator = torch.Generator()
    before = generator.get_state(), torch.get_rng_state(), torch.get_num_threads()
    tradeoff(new_model, loader(generator=generator), "FPOR", alphas=[0.5], epochs=2, num_workers=1)
    assert torch.equal(generator.get_state(), before[0]) and torch.equal(torch.get_rng_state(), before[1])
    assert torch.get_num_threads() == before[2]


def test_by_default_folds_train_every_bound_and_testify_for_it():
    found = tradeoff(new_model, loader(), alphas=[0.3, 0.45], epochs=6, learning_rate=0.1, num_workers=1)
    for bound, result in zip(found.bounds, found.results, strict=True):
        assert type(result.model) is torch.nn.Linear and result.holdout.startswith("5 folds")
        assert result.objective.bound == bound and result.confidence == 0.9
        part = result.selection_scores
        own = choose_threshold(part.scores, part.labels, result.objective, confidence=0.9)
        assert result.threshold == own.threshold and result.validation.recall == own.value
    assert set(found.to_frame()["data"]) == {"train", "out-of-fold"}


def test_what_is_said_of_the_best_on_folds_is_the_choice_of_the_other_folds():
    trained = [fit(new_model, loader(), FPOR(bound), epochs=4, seed=seed) for bound, seed in ((0.4, 0), (0.5, 1))]
    best = _best_at(FPOR(0.4), trained)
    parts = [result.selection_scores for result in trained]
    lines = [line_to_log_odds(part.scores[:, 0], part.labels[:, 0]) for part in parts]
    evidence = [slope * part.scores + intercept for part, (slope, intercept) in zip(parts, lines, strict=True)]
    winner, honest = best_candidate(evidence, parts[0].labels, parts[0].folds, FPOR(0.4))
    slope, intercept = lines[winner]
    np.testing.assert_allclose(best.selection_scores.scores, (honest - intercept) / slope, rtol=1e-6, atol=1e-7)
    assert np.isin(best.selection_scores.scores, parts[winner].scores.astype(np.float32)).any()
    assert best.model is trained[winner].model and best.objective == FPOR(0.4)


@pytest.mark.slow
def test_a_script_without_main_guard_gets_the_same_from_several_processes(tmp_path, capsys):
    script = tmp_path / "script.py"
    script.write_text(
        """
import torch, metricopt
from torch.utils.data import DataLoader, TensorDataset

class Own(torch.nn.Linear):
    pass

torch.manual_seed(0)
y = (torch.rand(200) < 0.3).float()
x = torch.randn(200, 2) + y[:, None]
loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True, generator=torch.Generator())
found = [
    metricopt.tradeoff(lambda: Own(2, 1), loader, "FPOR", alphas=[0.5, 0.8], epochs=2, folds=None, num_workers=number)
    for number in (1, 2)
]
first, second = (each.to_frame() for each in found)
assert first.equals(second), (first, second)
for one, other in zip(*(each.results for each in found)):
    assert isinstance(other.model, Own) and torch.equal(one.model.weight, other.model.weight)
print("the same")
"""
    )
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        get_reusable_executor().shutdown(wait=True)
    assert capsys.readouterr().out == "the same\n"


class Locked(TensorDataset):
    def __reduce__(self):
        raise TypeError("cannot be pickled")


def test_what_cannot_be_sent_trains_here():
    given = DataLoader(Locked(FEATURES, LABELS), batch_size=100)
    with pytest.raises(InvalidInputError, match="num_workers=1"):
        tradeoff(new_model, given, "FPOR", alphas=[0.5], epochs=2, num_workers=2)
    found = tradeoff(new_model, given, "FPOR", alphas=[0.5], epochs=2)
    assert found.bounds == (0.5,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphas": []}, "alphas must be a sequence of bounds, got []; give e.g. [0.7, 0.8, 0.9]"),
        ({"alphas": [0.5, 1.5]}, "alphas must be in (0, 1], got 1.5"),
        ({"alphas": [0.5, 0.5]}, "alphas must be different, got [0.5, 0.5]; give each bound once"),
        ({"num_workers": 0}, "num_workers must be an integer >= 1, got 0"),
        ({"objective": "OFBS"}, "alpha must be left out for OFBS"),
        ({"epoch": 3}, "option must be one of"),
        ({"checkpoint_dir": "x"}, "option must be one of"),
        ({"seed": -1}, "seed must be an integer in [0, 2**32), got -1"),
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(InvalidInputError) as error:
        run(**arguments)
    assert str(error.value).startswith(message)


def test_rejects_an_objective_without_a_bound_and_takes_an_instance():
    with pytest.raises(InvalidInputError, match="objective must be one with a bound, got OAP"):
        run(metricopt.OAP(), epochs=2)
    assert run(FROP(0.3), alphas=[0.5], epochs=2).results[0].objective == FROP(0.5)


@pytest.mark.parametrize("factory", [None, ONE_MODEL, lambda: ONE_MODEL, lambda: "linear"])
def test_rejects_a_factory_of_one_model(factory):
    with pytest.raises(InvalidInputError, match="model_factory must be a callable that returns a new Module each time"):
        tradeoff(factory, loader(), alphas=[0.5])


def test_public_name_is_the_function():
    assert callable(metricopt.tradeoff) and metricopt.Tradeoff is Tradeoff


def test_a_model_whose_rows_support_the_bound_wins_over_a_better_empirical_cut():
    labels = np.tile([1.0, 1.0, 1.0, 0, 0, 0, 0, 0, 0, 0], 30)  # 90 of 300: every tenth part has precision .3
    even = np.arange(300)[::-1] // 10 + 0.0
    sharp = np.where(labels == 1, np.arange(300) < 150, np.arange(300) < 60) + 0.0
    unsupported, supported = (result_of(scores, labels, FPOR(0.3), confidence=0.9) for scores in (even, sharp))
    assert unsupported.status is Status.UNSUPPORTED and supported.status is Status.FEASIBLE
    assert unsupported.choice.empirical.value[0] > supported.selection.recall
    assert _best_at(FPOR(0.3), [unsupported, supported]) is supported
