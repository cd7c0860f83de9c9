import inspect
import json
from typing import get_args, get_type_hints

import numpy as np
import pytest
from scipy.stats import beta as beta_distribution

from metricopt import FPOR, FROP, OAP, OFBS, InvalidInputError, RecallAtAlarmRate, RecallAtFPR
from metricopt.evidence.by_label import OfOnlyLabel
from metricopt.evidence.certificates import Certificate, LabelCertificate, ProgramCertificate
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.reports import LabelReport, Report
from metricopt.evidence.saved_numbers import with_nan, without_nan
from metricopt.problem.prevalence import weights_at

RNG = np.random.default_rng(0)
LABELS = (RNG.random((200, 2)) < [0.3, 0.1]).astype(np.float32)
SCORES = (LABELS + RNG.normal(size=LABELS.shape)).astype(np.float32)
THRESHOLD = np.array([0.5, 1.5])
NAMES = ["sick", "dead"]
BY_LABEL = FPOR((0.5, 0.3))


def report_of(objective=BY_LABEL, scores=SCORES, labels=LABELS, threshold=THRESHOLD, **arguments):
    names = NAMES[: scores.shape[1]]
    return evaluate(scores, labels, threshold, objective, label_names=names, data="test", **arguments)


def one_label(objective, scores=SCORES, labels=LABELS, threshold=0.5, **arguments):
    return report_of(objective, scores[:, :1], labels[:, :1], np.array([threshold]), **arguments)


def clopper_pearson(hits, of):
    """The textbook formula: quantiles of the beta distribution."""
    low = beta_distribution.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta_distribution.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return low, high


@pytest.mark.parametrize("threshold", [-9.0, 0.5, 1.5, 2.5])
@pytest.mark.parametrize("objective", [FPOR(0.5), FROP(0.5), OFBS(2.0), RecallAtFPR(0.1), RecallAtAlarmRate(0.1)])
def test_intervals_are_clopper_pearson(objective, threshold):
    report = one_label(objective, threshold=threshold)
    tp, fp = report.true_positives, report.false_positives
    positives, negatives = report.counts.positives, report.counts.negatives
    assert report.intervals["precision"] == pytest.approx(clopper_pearson(tp, tp + fp))
    assert report.intervals["recall"] == pytest.approx(clopper_pearson(tp, positives))
    if isinstance(objective, RecallAtFPR):
        assert report.intervals["false_positive_rate"] == pytest.approx(clopper_pearson(fp, negatives))
    elif isinstance(objective, RecallAtAlarmRate):
        assert report.intervals["alarm_rate"] == pytest.approx(clopper_pearson(tp + fp, 200))
    else:
        assert set(report.intervals) == {"precision", "recall"}


def test_intervals_of_all_and_nothing_reach_the_end():
    labels = np.array([[1.0], [1.0], [0.0]], np.float32)
    report = one_label(FPOR(0.5), labels, labels)
    assert report.intervals["precision"] == pytest.approx(clopper_pearson(2, 2)) and report.intervals["recall"][1] == 1
    none = one_label(FPOR(0.5), labels, labels, threshold=9.0)
    assert "precision" not in none.intervals and none.intervals["recall"][0] == 0


def test_weighted_samples_have_no_intervals():
    report = report_of(sample_weight=np.random.default_rng(0).uniform(0.5, 1, LABELS.shape))
    assert [label.intervals for label in report] == [{}, {}]


def test_samples_of_one_weight_have_the_intervals_of_samples_without():
    report = report_of(sample_weight=np.full(LABELS.shape, 0.5))
    assert [label.intervals for label in report] == [label.intervals for label in report_of()]
    assert report[0].true_positives == report_of()[0].true_positives / 2
    assert report[0].precision == report_of()[0].precision


def test_each_label_has_its_own_threshold_bound_and_name():
    report = report_of()
    assert len(report) == 2 and [label.label for label in report] == NAMES
    for number, name in enumerate(NAMES):
        alarm, y = SCORES[:, number] >= THRESHOLD[number], LABELS[:, number]
        assert report[name] is report[number]
        assert report[name].recall == pytest.approx(alarm[y == 1].mean())
        assert report[name].precision == pytest.approx(y[alarm].mean())
        assert (report[name].bound, report[name].threshold) == ((0.5, 0.3)[number], THRESHOLD[number])
        assert report[name].met == (report[name].precision >= report[name].bound)


@pytest.mark.parametrize(
    ("objective", "metric", "bounded"),
    [
        (FPOR(0.5), "recall", "precision"),
        (FROP(0.5), "precision", "recall"),
        (OFBS(2.0), "f2", None),
        (OAP(), "average_precision", None),
        (RecallAtFPR(0.1), "recall", "false_positive_rate"),
        (RecallAtAlarmRate(0.1), "recall", "alarm_rate"),
    ],
)
def test_metric_and_bound_are_named(objective, metric, bounded):
    report = one_label(objective)
    assert (report.metric, report.bounded_metric, report.bound) == (metric, bounded, objective.bound)
    assert report.value == (report.f_beta if metric == "f2" else getattr(report, metric))
    if bounded is None:
        assert report.bounded_value is report.met is None
        p, r, square = report.precision, report.recall, 4 if metric == "f2" else 1
        assert report.f_beta == pytest.approx((1 + square) * p * r / (square * p + r))
    else:
        holds = (
            report.bounded_value >= report.bound
            if objective.bound_direction == "min"
            else report.bounded_value <= report.bound
        )
        assert report.met == holds


def test_missing_labels_count_nowhere():
    labels = LABELS.copy()
    labels[:50, 0] = np.nan
    report, rest = report_of(labels=labels), report_of(scores=SCORES[50:], labels=LABELS[50:])
    assert report[0] == rest[0] and report[0].num_samples == 150
    assert report[1] == report_of()[1]


def test_metrics_that_are_not_defined_are_nan_and_say_so():
    report = one_label(FPOR(0.5), labels=np.zeros_like(LABELS), threshold=9.0)
    assert np.isnan([report.precision, report.recall, report.value, report.bounded_value]).all() and report.met is False
    assert report.with_interval("recall") == "undefined"


def test_metrics_as_text():
    report = one_label(RecallAtFPR(0.1))
    low, high = report.intervals["false_positive_rate"]
    assert report.with_interval("false_positive_rate") == f"{report.bounded_value:.3f} ({low:.3f}-{high:.3f})"
    assert report.with_interval("recall").startswith(f"{report.recall:.3f} (")
    f2 = one_label(OFBS(2.0))
    assert f2.with_interval("f2") == f"{f2.value:.3f}"


def test_metrics_as_text_want_a_known_name():
    report = one_label(RecallAtFPR(0.1))
    for unknown in ("specificity", "threshold", "f2"):
        with pytest.raises(
            InvalidInputError, match=f"metric must be one of 'average_precision', .*, got '{unknown}'; "
        ):
            report.with_interval(unknown)
    assert report.with_interval("average_precision") == f"{report.average_precision:.3f}"
    assert report.with_interval("f_beta") == f"{report.f_beta:.3f}"


def test_reports_print_one_line_a_label():
    report = report_of(by=np.arange(200) % 2)
    head, *lines, groups = repr(report).split("\n")
    assert (head, groups) == ("Report on 'test'", "  subgroups: 2")
    assert len(lines) == 2
    for line, own in zip(lines, report, strict=True):
        recall, precision = own.with_interval("recall"), own.with_interval("precision")
        state = "met" if own.precision >= own.bound else "missed"
        assert line == f"  {own.label} (200 samples): recall {recall}, precision {precision}, bound {own.bound} {state}"
    assert {
        line.split()[-1]
        for threshold in (-9.0, 1.5)
        for line in repr(report_of(threshold=np.full(2, threshold))).split("\n")[1:]
    } == {"met", "missed"}
    assert repr(one_label(OFBS(2.0))) == f"Report on 'test'\n  sick (200 samples): f2 {one_label(OFBS(2.0)).value:.3f}"
    assert report == report_of(by=np.arange(200) % 2) != report_of()


def test_a_bound_on_an_undefined_metric_is_not_called_missed():
    without_positives = np.zeros_like(LABELS)
    line = repr(one_label(FROP(0.5), labels=without_positives)).split("\n")[1]
    assert line.endswith(", recall undefined, bound 0.5")
    assert repr(one_label(FROP(0.5), threshold=9.0)).endswith(", bound 0.5 missed")


def test_a_single_label_speaks_for_the_report_and_several_do_not():
    assert one_label(FPOR(0.5)).recall == report_of()[0].recall
    with pytest.raises(AttributeError, match=r"has 2 labels: choose one, e.g. report\['sick'\].recall"):
        _ = report_of().recall
    with pytest.raises(AttributeError, match="'Report' object has no attribute 'recal'"):
        _ = report_of().recal
    with pytest.raises(InvalidInputError, match="label must be one of 'dead', 'sick', got 'sik'; did you mean 'sick'?"):
        _ = report_of()["sik"]


@pytest.mark.parametrize(
    ("whole", "entries"), [(Report, [LabelReport]), (Certificate, [ProgramCertificate, LabelCertificate])]
)
def test_a_single_label_lends_all_that_it_has_under_the_same_type(whole, entries):
    """Then a type checker knows ``report.recall`` and rejects ``report.recal``: nothing is looked up by name."""
    types = {}
    for entry in entries:
        types |= get_type_hints(entry)
        for name, value in inspect.getmembers(entry, lambda member: isinstance(member, property)):
            types[name] = get_type_hints(value.fget)["return"]
    lent = {name: value for name, value in vars(whole).items() if isinstance(value, OfOnlyLabel)}
    methods = {"with_interval"} if whole is Report else set()
    assert lent.keys() == types.keys() | methods
    several = {name for name, of in types.items() if get_args(lent[name].__orig_class__) != (of,)}
    assert several == ({"bounds"} if whole is Certificate else set())  # of types of a module above
    assert not hasattr(whole, "__getattr__")


def test_subgroups_are_reports_on_their_rows():
    site = np.where(np.arange(200) % 3 == 0, "north", "south")
    report = report_of(by=site)
    assert list(report.subgroups) == ["north", "south"]
    for name, part in report.subgroups.items():
        rows = site == name
        assert part.labels == report_of(scores=SCORES[rows], labels=LABELS[rows]).labels
        assert part.data == f"test, {name}"
    assert report.labels == report_of().labels and report_of().subgroups == {}


def test_subgroups_with_weights_and_of_numbers():
    weight = RNG.random(LABELS.shape)
    report = report_of(by=(np.arange(200) % 2).tolist(), sample_weight=weight)
    even = report_of(scores=SCORES[::2], labels=LABELS[::2], sample_weight=weight[::2])
    assert report.subgroups["0"].labels == even.labels


def test_subgroups_state_the_prevalence_that_their_own_samples_have_at_the_weights_of_the_whole():
    """Two sites of different prevalence: weighted to .01 together, neither of them has it."""
    site = np.repeat(["many", "few"], 100)
    labels = np.repeat([1.0, 0.0, 1.0, 0.0], [60, 40, 10, 90])[:, np.newaxis]
    scores = labels + np.random.default_rng(1).normal(size=labels.shape)
    weight = weights_at(0.01, labels)
    report = report_of(FPOR(0.5), scores, labels, np.array([0.5]), sample_weight=weight, prevalence=0.01, by=site)
    positive, negative = 0.01 / 70, 0.99 / 130  # what one sample of each class stands for
    expected = {"many": (60, 40), "few": (10, 90)}
    assert report.prevalence == 0.01
    for name, (positives, negatives) in expected.items():
        own = positives * positive / (positives * positive + negatives * negative)
        part = report.subgroups[name]
        assert part.prevalence == pytest.approx(own) and part.size.endswith(f"a prevalence of {own:g}")
        alone = (scores[site == name], labels[site == name], np.array([0.5]))
        at_own = report_of(FPOR(0.5), *alone, sample_weight=weights_at(own, alone[1]))
        assert part.precision == pytest.approx(at_own.precision) and part.recall == pytest.approx(at_own.recall)
    assert expected.keys() == report.subgroups.keys()
    assert report.subgroups["few"].prevalence < 0.01 < report.subgroups["many"].prevalence
    assert Report.from_dict(report.to_dict()).subgroups["many"].prevalence == report.subgroups["many"].prevalence


def test_a_subgroup_without_labelled_samples_has_no_prevalence():
    labels = np.array([[1.0], [0.0], [np.nan]])
    report = report_of(FPOR(0.5), np.zeros((3, 1)), labels, np.array([0.5]), by=["a", "a", "b"], prevalence=0.1)
    assert [part.prevalence for part in report.subgroups.values()] == [0.5, None]
    assert report.subgroups["b"].size == "0 samples, 0 positive"


def test_subgroups_want_a_value_a_sample():
    with pytest.raises(InvalidInputError, match=r"by must be one value a sample \(200\), got shape \(199,\); give"):
        report_of(by=["a"] * 199)
    assert list(report_of(by=["a"] * 200).subgroups) == ["a"]


def test_reports_go_through_json():
    labels = LABELS.copy()
    labels[:, 1] = np.nan
    for objective in (FPOR((0.5, 0.3)), OFBS(1.0)):
        report = report_of(objective, labels=labels, threshold=np.array([0.5, np.nan]), by=np.arange(200) % 2)
        text = json.dumps(report.to_dict(), allow_nan=False)
        back = Report.from_dict(json.loads(text))
        for part, own in ((back, report), (back.subgroups["0"], report.subgroups["0"])):
            assert repr(part.labels) == repr(own.labels)  # NaN differs from itself, not its text
        assert json.dumps(back.to_dict()) == text


def test_a_report_is_a_table():
    frame = report_of(by=np.arange(200) % 2).to_frame()
    assert frame[["subgroup", "label"]].to_numpy().tolist() == [
        [group, name] for group in ("all", "0", "1") for name in NAMES
    ]
    assert frame["recall"][0] == report_of()[0].recall


def test_nan_and_none_and_infinity_and_text_change_places():
    values = {"value": np.nan, "bounded_metric": "recall", "bounded_value": np.inf, "bound": 0.5, "met": False}
    plain = without_nan(values)
    assert plain == values | {"value": None, "bounded_value": "inf"}
    back = with_nan(plain)
    assert np.isnan(back["value"]) and back["bounded_value"] == np.inf and back["bound"] == 0.5
    unbounded = {"value": 0.5, "bounded_metric": None, "bounded_value": None, "bound": None, "met": None}
    assert with_nan(without_nan(unbounded)) == unbounded
