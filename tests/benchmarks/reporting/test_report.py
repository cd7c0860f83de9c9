"""The report says what the rows say, whatever is missing of them."""

import re

import numpy as np
import pandas as pd
import pytest

from benchmarks.reporting import report, statistics
from benchmarks.reporting.comparison import DELIVERED, NET, SCORES, Comparison, reference_of
from tests.benchmarks.synthetic import DATASETS, OBJECTIVES, rows


def write(frame, tmp_path, skipped=None, **tables):
    page = report.write_report(frame, "Title", "python -m x", skipped or {}, tmp_path / "suite.md", **tables)
    text = page.read_text()
    shown = set(re.findall(r"!\[[^]]*\]\(([^)]*)\)", text))
    assert shown == {
        f"suite/{file.name}" for file in (tmp_path / "suite").iterdir()
    }  # every picture is there, and used
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in shown)
    assert "nan" not in text
    return text


def comparison(frame):
    ((model, objective),) = frame[["model", "objective"]].drop_duplicates().to_numpy()
    return Comparison(model, objective, frame)


def small(**changes):
    return rows(**{"models": ("linear",), "objectives": ("FPOR .8",), **changes})


def few(**changes):
    """As many methods and data sets as a page needs for all its parts: drawing their names takes the time."""
    return small(
        **{"methods": ("cross-entropy", "profiled", "class weights", "SMOTE"), "datasets": DATASETS[:3], **changes}
    )


def test_whole_page(tmp_path, undrawn):
    objectives = {"linear": tuple(OBJECTIVES), "mlp": ("FROP .8",)}
    frame = pd.concat([few(models=(model,), objectives=objectives[model], num_splits=2) for model in objectives])
    about = pd.DataFrame({"positives": 100, "licence": "CC BY 4.0"}, index=DATASETS[:3])
    published = pd.DataFrame({"F1": [0.5]}, index=["AP-Perf"])
    text = write(frame, tmp_path, {"MAPIE": "not installed"}, datasets=about, published=published)
    assert "`python -m x` with python 3.12.3, torch 2.13.0. Training took" in text
    assert f"{len(frame)} cells: 3 data sets, 2 splits." in text and "missing" not in text
    assert "no row is of a direct method" not in text
    assert (
        "- MAPIE: not installed" in text and "| AP-Perf | 0.500 |" in text and "| satimage | 100 | CC BY 4.0 |" in text
    )
    for model in objectives:
        for objective in objectives[model]:
            assert f"### {model}, {objective}\n" in text
            assert f"- **{model}, {objective}**: profiled minus cross-entropy" in text
    names = {file.name for file in (tmp_path / "suite").iterdir()}
    assert {"linear_profiled_differences.png", "mlp_FROP_8_ranks.png", "mlp_FROP_8_pareto.png"} <= names
    assert not any("pareto" in name for name in names if "F1" in name or "AP" in name)  # no bound, no violation


def test_rows_read_back_from_a_file_give_the_same_page(tmp_path):
    frame = few(objectives=("FPOR .8", "AP"), num_splits=2)
    text = write(frame, tmp_path)
    pictures = {file.name: file.read_bytes() for file in (tmp_path / "suite").iterdir()}
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert write(pd.read_csv(tmp_path / "rows.csv"), tmp_path) == text
    assert pictures == {file.name: file.read_bytes() for file in (tmp_path / "suite").iterdir()}


def test_what_follows_names_wins_and_losses(tmp_path):
    frame = small(ahead=0.1)
    behind = (frame["dataset"] == "abalone") & (frame["method"] == "profiled")
    frame.loc[behind, "test_curve_value"] -= 0.25
    (sentence,) = report.conclusions(comparison(frame))
    assert "significantly above on 6; significantly below on 1 (abalone); lower in the mean on 1 (abalone)" in sentence
    assert re.search(r"Scores: mean rank \d\.\d\d, place 1 of 10", sentence)
    assert "Precision bound met on test: profiled" in sentence
    line = report.glance([comparison(frame)]).loc[("linear", "FPOR .8", "profiled")]
    assert line["above / below / sets"] == "6 / 1 / 7" and line["place of scores"] == "1 of 10"
    (lost,) = report.conclusions(comparison(small(ahead=-0.1)))
    assert "significantly below on 7" in lost and "place 10 of 10, significantly behind" in lost
    (nothing,) = report.conclusions(comparison(small(ahead=0.0, num_splits=3)))
    assert re.search(r"place \d+ of 10", nothing) and "significantly behind" not in nothing


def test_infeasible_method_does_not_win_by_its_recall():
    one = comparison(small())
    for name in (NET, DELIVERED):
        assert one.rankings[name].mean_ranks.index[-1] == "class weights"
    assert one.points()["objective"].idxmax() == "class weights"  # as its recall alone would have it
    cells = one.delivered_by_set()["class weights"]
    assert cells.str.match(r"^0\.000 / 0\.\d{3} / 0 of 10$").all()  # never in bold
    line = one.delivered_overview().loc["class weights"]
    assert line["met given raised"] == "0%" and line["sets met, splits pooled"] == "0 of 7"


def test_tables_hold_the_means_of_the_rows():
    frame = small()
    one = comparison(frame)
    of = frame[(frame["dataset"] == "yeast3") & (frame["method"] == "SMOTE")]
    half = statistics.t_interval(of["test_curve_value"]).half
    assert one.scores().loc["yeast3", "SMOTE"].strip("*") == f"{of['test_curve_value'].mean():.3f} ± {half:.3f}"
    value = of["test_value"].where(of["test_met"].astype(bool), 0.0).mean()
    precision = of["test_tp"].sum() / (of["test_tp"] + of["test_fp"]).sum()
    cell = one.delivered_by_set().loc["yeast3", "SMOTE"].strip("*")
    assert cell == f"{value:.3f} / {precision:.3f} / {of['test_met'].sum()} of 10"
    assert (one.scores().apply(lambda line: line.str.startswith("**").sum(), axis=1) == 1).all()
    assert one.scores()["profiled"].str.startswith("**").sum() >= 6
    paired = one.paired("profiled")
    assert list(paired.index) == [*DATASETS, "all sets"] and set(paired["splits"]) == {"10", "7 sets"}
    scores, deployed = one.scores_overview(), one.delivered_overview()
    assert scores.index[0] == "profiled" and scores.loc["SMOTE", "rank"] != ""
    assert scores.loc["profiled", "profiled minus it"] == "" and scores.loc["SMOTE", "p"] != ""
    own = frame[frame["method"] == "SMOTE"]
    met, net = own["test_met"].astype(bool), own["test_tp"] - 4 * own["test_fp"]
    assert deployed.loc["SMOTE", "net value"] == f"{(net / 500).mean():+.3f}"
    assert deployed.loc["SMOTE", "delivered recall"] == f"{own['test_value'].where(met, 0.0).mean():.3f}"
    assert deployed.loc["SMOTE", "met given raised"] == f"{met.mean():.0%}"
    assert deployed.loc["SMOTE", "shortfall"] == f"{(0.8 - own['test_bounded']).clip(lower=0).mean():.3f}"
    assert deployed.loc["profiled", "net: profiled minus it"] == "" != deployed.loc["SMOTE", "net: profiled minus it"]


def test_silence_is_left_out_of_what_is_met_and_costs_nothing_where_precision_is_bounded():
    frame = small(methods=("cross-entropy", "profiled"))
    silent = (frame["method"] == "profiled") & (frame["split"] < 5)
    frame.loc[silent, ["test_tp", "test_fp", "test_value", "test_bounded", "test_met"]] = [0, 0, 0.0, np.nan, False]
    frame.loc[silent, ["test_fn", "test_tn"]] = [500, 4500]
    heard = frame[(frame["method"] == "profiled") & (frame["split"] >= 5)]
    line = comparison(frame).delivered_overview().loc["profiled"]
    assert line["alarms raised"] == "50%" and line["met given raised"] == f"{heard['test_met'].astype(bool).mean():.0%}"
    assert line["shortfall"] == f"{(0.8 - heard['test_bounded'].astype(float)).clip(lower=0).mean() / 2:.3f}"
    (sentence,) = report.conclusions(comparison(frame))
    assert f"profiled in {line['met given raised']} of the 50% of trials with alarms" in sentence


def test_methods_on_folds_are_held_against_the_reference_on_folds():
    frame = small(ahead=0.1)
    on_folds = small(ahead=0.1, methods=("cross-entropy", "profiled"), seed=1)
    on_folds["method"] += ", folds"
    both = comparison(pd.concat([frame, on_folds]))
    assert both.direct == ["profiled", "profiled, folds"] and reference_of("profiled, folds") == "cross-entropy, folds"
    assert list(report.glance([both]).index) == [("linear", "FPOR .8", name) for name in both.direct]
    assert "profiled, folds minus cross-entropy, folds" in list(report.conclusions(both))[1]
    assert "net: profiled, folds minus it" in both.delivered_overview()
    alone = comparison(pd.concat([frame, on_folds[on_folds["method"] == "profiled, folds"]]))
    assert alone.direct == ["profiled"]  # its own reference is not there


def test_the_choice_among_models_is_held_against_what_most_people_do():
    usual = small(ahead=0.1, methods=("cross-entropy", "profiled"))
    chosen = small(ahead=0.1, methods=("cross-entropy", "profiled"), seed=1)
    chosen["method"] = chosen["method"].map({"profiled": "auto", "cross-entropy": "boosting + tuned threshold"})
    both = comparison(pd.concat([usual, chosen]))
    assert both.direct == ["profiled", "auto"] and both.deployed_direct == ["auto"]
    assert "auto minus boosting + tuned threshold" in list(report.conclusions(both))[1]
    deployed = both.delivered_overview()
    assert deployed.loc["auto", "net: auto minus it"] == "" != deployed.loc["profiled", "net: auto minus it"]


def test_unfinished_run_counts_what_is_missing_and_uses_complete_pairs(tmp_path, undrawn):
    frame = small()
    kept = frame[~((frame["dataset"] == "yeast3") & (frame["split"] >= 4) & (frame["method"] != "cross-entropy"))]
    kept = kept[~((kept["method"] == "SMOTE") & (kept["dataset"] != "abalone"))]
    about = pd.DataFrame({"positives": 1}, index=[*DATASETS, "not begun"])
    text = write(kept, tmp_path, datasets=about)
    assert f"**{8 * 10 * 10 - len(kept)} of 800 cells are missing**" in text
    assert "64 of 70 splits of 7 data sets have all methods, SMOTE apart, which lacks more than half." in text
    assert comparison(kept).paired("profiled").loc["yeast3", "splits"] == "4"
    ranking = comparison(kept).rankings[SCORES]
    assert "SMOTE" not in ranking.mean_ranks and ranking.num_datasets == 7
    assert comparison(kept).scores_overview().loc["SMOTE", "rank"] == ""


@pytest.mark.parametrize(
    "frame",
    [
        few(num_splits=1, datasets=("yeast3",)),
        few(num_splits=3).assign(
            test_curve_value=0.0, test_tp=0, test_fp=0, test_value=0.0, test_bounded=np.nan, test_met=False
        ),
        pd.concat([few(num_splits=2), few(num_splits=2, methods=("SMOTE",)).assign(method="x" * 45)]),
    ],
    ids=["one cell", "all silent", "long name"],
)
def test_draws(frame, tmp_path):
    assert "## What follows" in write(frame, tmp_path)


@pytest.mark.parametrize(
    "frame",
    [
        few(num_splits=2, methods=("cross-entropy", "profiled")),
        few(num_splits=2).query("(method == 'profiled') == (split == 1)"),  # never both on one split
        few(num_splits=2).assign(seconds=np.nan),
        pd.concat([few(num_splits=2), few(models=("trees",), methods=("LibAUC APLoss",), num_splits=2)]),
    ],
    ids=["two methods", "no pair", "no times", "trees"],
)
def test_copes_with(frame, tmp_path, undrawn):
    assert "## What follows" in write(frame, tmp_path)


def test_no_interval_for_one_split(tmp_path, undrawn):
    text = write(few(num_splits=1), tmp_path)
    assert " ± " not in text and "3 data sets, 1 split." in text and "## What follows" in text


def test_page_without_a_direct_method_says_so(tmp_path, undrawn):
    frame = few(num_splits=2, methods=("cross-entropy", "SMOTE", "hinge bounds"))
    assert "no row is of a direct method" in write(frame, tmp_path)
