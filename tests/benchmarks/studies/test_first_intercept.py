"""Which heads begin with the log odds, and that differences are over the sets of a group."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp

import metricopt
from benchmarks.data.catalogue import FROZEN_FEATURES, OTHER_FROZEN_FEATURES
from benchmarks.running.heads import FROM_LOG_ODDS, PLAIN, train
from benchmarks.studies import frozen_features
from benchmarks.studies.first_intercept import (
    ADJUSTED,
    ALL_OTHERS,
    ASKED,
    METHODS,
    OTHERS_1,
    OTHERS_5,
    PUBLISHED,
    cells_of,
    differences,
    group_of,
)
from metricopt.evidence.folds import make_folds
from metricopt.problem.objectives import OFBS


def test_heads_begin_with_the_log_odds_of_their_labels(monkeypatch):
    labels = np.stack([np.arange(200) % 10 == 0, np.arange(200) % 4 == 0], axis=1).astype(float)
    labels[:5, 1] = np.nan
    begun = []

    def fit(model, *arguments, **named):
        begun.append((model().bias.detach(), named["solver"], named["warmup_epochs"]))

    monkeypatch.setattr(metricopt, "fit", fit)
    for method in METHODS:
        rows = torch.randn(200, 3)
        train(rows, labels, make_folds(5, labels[:, 0], seed=0), method, OFBS(1.0), 20)
    biases, solvers, warmups = zip(*begun, strict=True)
    wanted = torch.from_numpy(np.nanmean(labels, axis=0)).logit().float()
    assert [bool(torch.allclose(bias, wanted)) for bias in biases] == [method == FROM_LOG_ODDS for method in METHODS]
    assert solvers[:3] == ("profiled", "profiled", "cross_entropy") and warmups[0] == warmups[1] and warmups[2] is None


def test_what_is_published_is_taken_over_and_the_others_are_other_sets(tmp_path):
    cells = cells_of(tmp_path)
    assert len({cell.key for cell in cells}) == len(cells)
    published = {cell.key for cell in frozen_features.cells_of(root=tmp_path)}
    new = [cell for cell in cells if cell.key not in published]
    assert {cell.method for cell in new if group_of(cell.dataset) == PUBLISHED} == {FROM_LOG_ODDS}
    assert not {str(make) for make in FROZEN_FEATURES.values()} & {str(make) for make in OTHER_FROZEN_FEATURES.values()}
    assert {group_of(name) for name in OTHER_FROZEN_FEATURES} == {OTHERS_5, OTHERS_1}


def test_differences_are_over_the_sets_of_a_group():
    draw = np.random.RandomState(0)
    rows = [
        {"asked": name, "dataset": dataset, "split": split, "method": method, "test_curve_value": draw.rand()}
        | {"test_value": 0.5, "bounded": "", "bound": np.nan, "test_tp": 1, "test_fp": 1, "test_fn": 1, "test_tn": 1}
        for name in ASKED
        for dataset in ("eights", "coats", "autos", "guns", "autos_1", "guns_1")
        for split in range(2)
        for method in METHODS
    ]
    table = differences(pd.DataFrame(rows))
    assert len(table) == len(ASKED) * 4 * 5
    own = pd.DataFrame([row for row in rows if row["asked"] == "F1" and row["dataset"] not in ("eights", "coats")])
    means = own.groupby(["dataset", "method"])["test_curve_value"].mean().unstack()
    gain = means[ADJUSTED] - means[PLAIN]
    interval = ttest_1samp(gain, 0).confidence_interval()
    line = table.loc[f"F1, {ALL_OTHERS}: {ADJUSTED} minus {PLAIN}"]
    assert line["what test scores allow"] == f"{gain.mean():+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
    assert line["above"] == f"{(gain > 0).sum()} of 4"
    assert float(line["median"]) == pytest.approx(gain.median(), abs=1e-4)
