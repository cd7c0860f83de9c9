"""The page says what the result says, needs nothing but itself, and a browser shows all of it, also on a phone."""

import base64
import dataclasses
import json
import os
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import FPOR, OAP, DirectMetricClassifier, InvalidInputError, from_scores
from metricopt.evidence.decision_curve import DecisionCurve
from metricopt.results.verdict import verdict_of
from metricopt.results.words import per_thousand
from tests.held_out import fit
from tests.results.made import result_of

RANDOM = np.random.default_rng(0)
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(400, 3, generator=GENERATOR)
Y = (X + 0.8 * torch.randn(400, 3, generator=GENERATOR) > 1).float()
Y[:40, 1] = torch.nan
Y[:, 2] = 0
NAMES = ["Edema <b>&amp;", 'a "quoted" $x^2$ label', "never"]
SITE = np.where(np.arange(400) % 2, "north", "<script>alert(1)</script>")


def trained(y, objective, **options):
    loader = DataLoader(TensorDataset(X[:300], y[:300]), batch_size=64)
    torch.manual_seed(0)
    return fit(nn.Linear(3, y[0].numel()), loader, objective, epochs=4, **options)


@pytest.fixture(scope="module")
def result():
    return trained(Y[:, 0], FPOR(0.7), label_names=["sick"])


@pytest.fixture(scope="module")
def test_data(result):
    return result.evaluate((X[300:], Y[300:, 0]), by=SITE[300:])


@pytest.fixture(scope="module")
def several():
    return trained(Y, FPOR((0.7, 0.6, 0.5)), label_names=NAMES)


class Page(HTMLParser):
    """Tags with their attributes, and the text of each table cell, section and the whole page."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.rows, self.captions, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
        elif tag == "caption":
            self.captions.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if self.open[-1:] == ["small"] or "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += f" {data.strip()}" if "small" in self.open else data.strip()
        elif "caption" in self.open:
            self.captions[-1] += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def rows_of(self, first):
        return [row[1:] for row in self.rows if row[0] == first]


def page_of(path):
    return Page(path.read_text(encoding="utf-8"))


def cells(report, metrics):
    """What a row must show, straight from the numbers of a report."""
    shown = []
    for metric in metrics:
        value = report.value if metric == report.metric else getattr(report, metric)
        low, high = report.intervals.get(metric, (None, None))
        text = ("undefined" if np.isnan(value) else f"{value:.3f}") + (
            f" {low:.3f}–{high:.3f}" if low is not None else ""
        )
        is_said = metric == report.bounded_metric and not np.isnan(value)
        met = f" bound {'met' if report.met else 'missed'}" if is_said else ""
        shown.append(text + met)
    tp, fp, fn = report.true_positives, report.false_positives, report.false_negatives
    return [*shown, f"{tp:g} of {tp + fn:g}", f"{fp:g} of {tp + fp:g}"]


def test_figures_are_those_of_the_result(result, test_data, tmp_path, undrawn):
    page = page_of(result.report(str(tmp_path / "new" / "report.html"), test_data))
    metrics = ["recall", "precision"]
    parts = [test_data, result.validation, result.train]
    assert page.rows_of("FPOR (profiled)") == [cells(part[0], metrics) for part in parts]
    baselines = [result.baseline_validation, result.baseline_train]
    name = f"{result.baseline_name} + tuned threshold"
    assert page.rows_of(name) == [cells(part[0], metrics) for part in baselines]
    for group, part in test_data.subgroups.items():
        assert page.rows_of(group) == [cells(part[0], metrics)]
    assert [f"{part[0].num_samples} samples, {part[0].counts.positives:g} positive" for part in parts] == [
        caption.partition(": ")[2].strip(". ") for caption in page.captions[:3]
    ]
    assert per_thousand(test_data[0]) in page.text
    assert os.listdir(tmp_path / "new") == ["report.html"]


def test_measures_of_a_clinic_are_those_of_the_test_rows(result, tmp_path, undrawn):
    test = result.evaluate((X, Y[:, 0]))
    text = " ".join(page_of(result.report(tmp_path / "r.html", test)).text.split())
    counts = test[0].counts
    quiet = counts.negatives - counts.false_positives
    sure = binomtest(int(quiet), int(counts.negatives)).proportion_ci(method="exact")
    assert f"specificity {quiet / counts.negatives:.3f} {sure.low:.3f}–{sure.high:.3f}" in text
    assert f"negative predictive value {quiet / (quiet + counts.false_negatives):.3f}" in text
    low, high = test.intervals["precision"]
    assert f"number needed to evaluate {1 / test.precision:.3g} {1 / high:.3g}–{1 / low:.3g}" in text
    weighted = result.evaluate((X, Y[:, 0]), prevalence=0.05)
    text = " ".join(page_of(result.report(tmp_path / "r.html", weighted)).text.split())
    assert re.search(r"specificity [\d.]+ negative predictive value [\d.]+ [A-Z]", text)


def test_pictures_are_of_the_rows_that_did_not_train(result, test_data, tmp_path, undrawn):
    said = [image["alt"] for image in page_of(result.report(tmp_path / "r.html", test_data)).of("img")]
    assert ["on test data" in text for text in said] == [True] * 4 and "Probabilities beside" in said[1]
    assert "Net benefit" in said[2] and "Risks of the rows of either class" in said[3]
    said = [image["alt"] for image in page_of(result.report(tmp_path / "r.html")).of("img")]
    assert ["on validation data" in text for text in said] == [True, True] and "calibrated by others" in said[1]
    alone = trained(Y[:, 0], FPOR(0.7), val_fraction=0)
    assert len(page_of(alone.report(tmp_path / "r.html")).of("img")) == 1


def test_the_decision_curve_and_the_risks_are_those_of_the_rows_given(result, test_data):
    risks = result.probabilities(X[300:])
    pictures = dict(result.pictures("sick", test_data, {"cross-entropy": risks**2}))
    curve, scores = list(pictures.values())[2:]
    drawn = {line.get_label(): line.get_ydata() for line in curve.lines}
    at = curve.lines[0].get_xdata()
    for name, own in ((result._methods[0], risks), ("cross-entropy", risks**2)):
        assert drawn[name] == pytest.approx(DecisionCurve.of(own, Y[300:, 0], at).net_benefit)
    assert scores.get_xlabel() == "risk"
    texts = [text.get_text() for text in scores.get_legend().get_texts()]
    counts = test_data.counts
    assert f": {int(counts.false_positives)} false alarm" in texts[0]
    assert f"{int(counts.true_positives)} found, {int(counts.false_negatives)} missed" in texts[1]


def test_probabilities_of_other_models_must_be_of_the_rows_that_are_reported(
    result, test_data, several, tmp_path, undrawn
):
    other = {"cross-entropy": np.full(100, 0.2)}
    assert "Net benefit" in result.report(tmp_path / "r.html", test_data, probabilities=other).read_text("utf-8")
    with pytest.raises(
        InvalidInputError, match=r"probabilities\['x'\] must be one a row of test \(100\), got 7 values"
    ):
        result.report(tmp_path / "r.html", test_data, probabilities={"x": np.zeros(7)})
    for made, report in ((result, None), (several, several.evaluate((X[300:], Y[300:])))):
        with pytest.raises(InvalidInputError, match="probabilities must be given with a report on new rows"):
            made.report(tmp_path / "r.html", report, probabilities=other)


def test_reliability_is_drawn_of_rows_that_others_calibrated(result):
    ax = result.plot_reliability(label="sick")
    assert "on validation data" in ax.get_title()
    with pytest.raises(InvalidInputError, match="the result must be one with rows of both classes that did not train"):
        trained(Y[:, 0], FPOR(0.7), val_fraction=0).plot_reliability()


def test_columns_notes_and_groups_are_said(tmp_path, undrawn):
    groups = np.arange(300) // 2
    result = trained(Y[:, 0], FPOR(0.5), folds=2, groups=groups)
    columns, notes = {"numeric (2)": "age, <b>", "left out (1)": "id (an identifier)"}, ["Divided by visit & more."]
    page = page_of(result.report(tmp_path / "r.html", columns=columns, notes=notes))
    assert page.rows_of("numeric (2)") == [["age, <b>"]] and page.rows_of("left out (1)") == [["id (an identifier)"]]
    text = " ".join(page.text.split())
    assert "Divided by visit & more." in text
    assert "The 300 rows are of 150 groups (patients). Rows of one group are not independent" in text
    page = page_of(trained(Y[:, 0], FPOR(0.5), folds=2, groups=np.arange(300)).report(tmp_path / "r.html"))
    assert "groups (patients)" not in page.text and "Columns" not in page.text


def test_the_table_of_candidates_is_on_the_page(tmp_path, undrawn):
    asked = {"folds": 2, "epochs": 3, "confidence": None, "random_state": 0}
    result = DirectMetricClassifier("FPOR", alpha=0.5, model="auto", **asked).fit(X[:, :2].numpy(), Y[:, 0]).result_
    page = page_of(result.report(tmp_path / "r.html", result.evaluate(X[:, :2].numpy(), Y[:, 0].numpy())))
    for each in result.candidates:
        row = page.rows_of(f"{each.name} (chosen)" if each.is_chosen else each.name)[-1]
        assert row == [
            each.status.value,
            *(cell.partition(" bound")[0] for cell in cells(each.report[0], ["recall", "precision"])[:2]),
            f"{each.seconds:.1f} s",
        ]
    assert (tmp_path / "r.html").stat().st_size < 2e6


@pytest.mark.slow
def test_a_page_of_many_labels_is_small(tmp_path):
    labels = (RANDOM.random((2000, 6)) < 0.1).astype(float)
    scores = RANDOM.normal(labels)
    result = from_scores(scores[:1000], labels[:1000], "FPOR", alpha=0.2)
    path = result.report(tmp_path / "r.html", result.evaluate(scores[1000:], labels[1000:]))
    assert path.stat().st_size < 2e6 / 14 * 6 and len(page_of(path).of("img")) == 12  # 14 labels stay below 2 MB


def test_subgroups_at_a_prevalence_state_their_own(result, tmp_path, undrawn):
    weighted = result.evaluate((X[300:], Y[300:, 0]), by=SITE[300:], prevalence=0.05)
    page = page_of(result.report(tmp_path / "r.html", weighted))
    for group, part in weighted.subgroups.items():
        row = page.rows_of(f"{group} (prevalence {part.prevalence:.3g})")
        assert row == [cells(part[0], ["recall", "precision"])]


def test_the_rest_is_said(result, test_data, tmp_path, undrawn):
    page = page_of(result.report(tmp_path / "r.html", test_data))
    text = " ".join(page.text.split())
    first = test_data[0]
    found, alarms = first.true_positives, first.true_positives + first.false_positives
    for said in (
        "Asked: maximise recall subject to precision >= 0.7.",
        result.advice(),
        f"{result.threshold:.6g}: {result.alarm_rule}.",
        f"{verdict_of(first, 'min')} on test data",
        f"On {first.num_samples} test rows {found:g} of {alarms:g} alarms are right, and {found:g} of",
        f"Precision {first.with_interval('precision')}, asked >= 0.7: the bound",
        f"Status: {result.status}.",
        "Validation data, which chose model and threshold",
        "Train data, which fitted the weights:",
        'metricopt.load("model", model)',
    ):
        assert said in text
    assert "optimistic" not in text
    rows = {row[0]: row[1:] for row in page.rows}
    assert rows["model"] == ["Linear, 4 weights"] and rows["solver"] == ["profiled"]
    assert {name: rows[name] for name in result.versions} == {name: [v] for name, v in result.versions.items()}
    assert rows["train"] == [
        str(result.train[0].num_samples),
        f"{result.train[0].counts.positives:g}",
        *rows["train"][2:],
    ]
    assert (rows["train"][-1], rows["test"][-1]) == ("0", "not recorded")


def test_without_test_data_it_says_so(result, tmp_path, undrawn):
    text = " ".join(page_of(result.report(tmp_path / "r.html")).text.split())
    assert "No test data are in this report: figures on validation data are optimistic" in text
    assert f"{result.status} On {result.validation.num_samples} validation rows" in text


def test_what_folds_do_not_support_is_said_truly(tmp_path, undrawn):
    result = trained(Y[:, 0], FPOR(0.99), folds=3, confidence=0.9)
    assert np.isinf(result.threshold)
    page = page_of(result.report(tmp_path / "r.html"))
    text = " ".join(page.text.split())
    assert "where they support it nowhere, it raises no alarm" in text and "Threshold inf" in text
    assert "out-of-fold" in [row[0] for row in page.rows] and "validation" not in text


def test_a_certificate_is_on_the_page(tmp_path, undrawn):
    scores, labels = RANDOM.normal(size=40), np.repeat([0.0, 1.0], 20)
    certified = result_of(scores, labels, FPOR(0.9)).certify((torch.randn(40, 1), torch.from_numpy(labels))).result
    certified = dataclasses.replace(certified, versions={"metricopt": "1"})
    text = " ".join(page_of(certified.report(tmp_path / "r.html")).text.split())
    assert f"Certificate of {certified.certificates[0]}" in text and "No threshold could be certified" in text


@pytest.mark.slow
def test_several_labels(several, tmp_path, undrawn):
    page = page_of(several.report(tmp_path / "r.html", several.evaluate((X[300:], Y[300:]))))
    rows = {(row[0], row[1]): row[2:] for row in page.rows if len(row) == 6}
    for which, name in enumerate(NAMES):
        for part in (several.train, several.validation):
            labelled, positives = part[which].num_samples, part[which].counts.positives
            whole = len(several.data_scores[part.data].labels)
            shown = [str(labelled), f"{positives:g}", f"{positives / labelled:.2%}", str(whole - labelled)]
            assert rows[part.data, name] == shown
    assert len(page.of("img")) == 4  # none of the label that was left out
    assert page.rows_of("never")[0] == ["no_positives", "-", "-", "-"]
    assert several.advice("never") in " ".join(page.text.split())


@pytest.mark.slow
def test_names_are_escaped(several, tmp_path):
    path = several.report(tmp_path / "r.html", several.evaluate((X[300:], Y[300:]), by=SITE[300:]))
    page = page_of(path)
    assert {name for name, _ in page.tags} & {"script", "iframe", "object", "link"} == set()
    assert page.rows_of("<script>alert(1)</script>") != [] and page.rows_of(NAMES[0]) != []
    names = [name for name in NAMES[:2] for _ in range(2)]
    assert [image["alt"].startswith(name) for image, name in zip(page.of("img"), names, strict=True)] == [True] * 4


def test_nothing_is_loaded_from_elsewhere(result, tmp_path):
    page = page_of(result.report(tmp_path / "r.html"))
    policy = [meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    for image in page.of("img"):
        kind, _, content = image["src"].partition(",")
        assert kind == "data:image/png;base64" and base64.b64decode(content).startswith(b"\x89PNG")
    assert not [
        value for _, attributes in page.tags for value in attributes.values() if re.match("(https?:)?//", value)
    ]
    assert "url(" not in (tmp_path / "r.html").read_text()


def test_a_ranking_on_weighted_samples_without_validation(tmp_path, undrawn):
    weight = torch.rand(300, generator=GENERATOR) + 0.5
    result = trained(Y[:, 0], OAP(), val_fraction=0, sample_weight=weight)
    page = page_of(result.report(tmp_path / "r.html"))
    assert page.rows_of("OAP (profiled)") == [cells(result.train[0], ["average_precision", "precision", "recall"])]
    assert "Train data, which fitted the weights and chose model and threshold" in page.captions[0]
    assert page.rows_of("train (weighted)")[0][0] == "300"


def test_slacks_and_other_methods(tmp_path, undrawn):
    result = trained(Y[:, 0], FPOR(0.7), solver="augmented_lagrangian")
    other = trained(Y[:, 0], FPOR(0.7), solver="cross_entropy")
    reports = [other.train, other.validation]
    page = page_of(result.report(tmp_path / "r.html", compare={"rival": reports}, usage="run <this>"))
    assert page.rows_of("rival") == [cells(part[0], ["recall", "precision"]) for part in reversed(reports)]
    assert f"Slacks and model: {result.slack[0]}." in page.text and "run <this>" in page.text


@pytest.mark.parametrize("test", [3, "several"])
def test_other_reports_are_refused(result, several, test_data, test, tmp_path, undrawn):
    wrong = several.evaluate((X, Y)) if test == "several" else test
    with pytest.raises(InvalidInputError, match=r"test must be a report on the labels \['sick'\], got .*; pass what"):
        result.report(tmp_path / "r.html", wrong)
    assert os.listdir(tmp_path) == []
    result.report(tmp_path / "r.html", test_data)


def test_a_folder_is_no_file(result, tmp_path):
    with pytest.raises(InvalidInputError, match="path must be a file, got the folder .*; name a file in it"):
        result.report(tmp_path)


@pytest.mark.slow
def test_a_failed_report_leaves_the_old_one(result, tmp_path, monkeypatch, undrawn):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    path = result.report(tmp_path / "r.html")
    old = path.read_bytes()
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        result.report(path)
    monkeypatch.undo()
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["r.html"]


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
MEASURE = """<!DOCTYPE html><iframe src="r.html" style="width: {width}px; height: 2000px; border: 0"></iframe>
<p id="seen"></p><script>
addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  const pictures = [...page.images].map(image => [image.complete, image.naturalWidth, image.width]);
  document.getElementById("seen").textContent = JSON.stringify({{
    heading: page.querySelector("h1").innerText, width: page.documentElement.scrollWidth, pictures,
    wide: [...page.querySelectorAll(".wide")].map(box => box.scrollWidth - box.clientWidth),
    cell: page.querySelector("table.reached tbody td").innerText}});
}});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason=f"needs a browser to look with: one of {', '.join(BROWSERS)}")
@pytest.mark.parametrize("width", [360, 1000])
def test_a_browser_shows_it(several, width, tmp_path):
    several.report(tmp_path / "r.html")
    (tmp_path / "measure.html").write_text(MEASURE.format(width=width))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    folder = f"--user-data-dir={tmp_path / 'profile'}"
    page = f"file://{tmp_path}/measure.html"
    ran = subprocess.run(
        [BROWSER, *options, folder, "--dump-dom", page], capture_output=True, text=True, check=True, timeout=120
    )
    seen = json.loads(unescape(re.search(r'id="seen">(.*?)</p>', ran.stdout, re.S)[1]))
    assert seen["heading"] == ", ".join(NAMES)
    assert seen["width"] <= width and max(seen["wide"]) <= 0  # nothing to scroll sideways for
    assert len(seen["pictures"]) == 4
    for complete, own_width, shown_width in seen["pictures"]:
        assert complete and own_width > 500 and 250 < shown_width <= width
    assert seen["cell"].split()[0] == f"{several.validation[0].recall:.3f}"
