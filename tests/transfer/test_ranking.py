"""Rankings of known scores: the best, ranks, agreement, time and the picture."""

import math

import pandas as pd
import pytest
from scipy.stats import spearmanr

from metricopt import InvalidInputError
from metricopt.transfer import Candidate, TransferRanking

ONE, OTHER = [0.1, 0.5, 0.4, 0.5], [-3.0, -2.0, -1.0, math.nan]


@pytest.fixture
def ranking():
    candidates = [
        Candidate(
            name, 8, size, {"one": one, "other": other}, {"one": 1.0, "other": 0.5}, {"one": (), "other": ("why",)}
        )
        for name, size, one, other in zip("abcd", (10, 40, 30, 20), ONE, OTHER, strict=True)
    ]
    return TransferRanking("cut", tuple(candidates), {0: 90, 1: 10}, 2.0)


def test_best(ranking):
    assert ranking.best("one").name == "d"  # as good as b, with fewer parameters
    assert ranking.best("other").name == "c"
    assert ranking.best().name == "d"  # ranks 1.5; b (1.5, 2), c (3, 1), a (4, 3)
    with pytest.raises(InvalidInputError, match="score must be one of 'one', 'other', got 'two'"):
        ranking.best("two")


def test_table(ranking):
    frame = ranking.to_frame()
    assert frame["cut"].tolist() == list("abcd") and frame["parameters"].tolist() == [10, 40, 30, 20]
    assert frame["one_rank"].tolist() == [4, 1.5, 3, 1.5]
    pd.testing.assert_series_equal(frame["other_rank"], pd.Series([3, 2, 1, math.nan], name="other_rank"))
    assert frame["mean_rank"].tolist() == [3.5, 1.75, 2, 1.5] and frame["caveats"][0] == "other: why"
    assert ranking.seconds() == {"one": 4, "other": 2} and ranking.num_positives == 10


def test_agreement(ranking):
    agreement = ranking.agreement()
    assert agreement.loc["one", "other"] == pytest.approx(spearmanr(ONE[:3], OTHER[:3])[0])
    assert agreement.loc["other", "other"] == 1


def test_picture(ranking, tmp_path):
    ax = ranking.plot(title="cuts")
    assert [label.get_text() for label in ax.get_xticklabels()] == list("abcd")
    lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["one (0.1 to 0.5)", "other (-3 to -1)"]
    assert lines["other (-3 to -1)"].get_ydata()[:3].tolist() == [0, 0.5, 1]
    ax.figure.savefig(tmp_path / "ranking.png")
    assert (tmp_path / "ranking.png").stat().st_size > 1000
    sources = TransferRanking("source", ranking.candidates, {0: 1, 1: 1}, 1.0).plot()
    assert {line.get_linestyle() for line in sources.lines if not line.get_label().startswith("_")} == {"None"}
