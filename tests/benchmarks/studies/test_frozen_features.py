"""What is said of heads, and which work there is."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from benchmarks.data.problem import BenchmarkData
from benchmarks.reporting import delivered
from benchmarks.reporting import heads as heads_shown
from benchmarks.running.heads import DIRECT, PLAIN, rows_of
from benchmarks.studies import frozen_features
from benchmarks.studies.frozen_features import Heads, cells_of, longer_cells

BOUND = "recall at precision .8"


def made_up():
    random = np.random.RandomState(0)
    labels = (random.rand(600) < 0.15).astype(np.float64)
    features = random.randn(600, 5) + 2 * labels[:, np.newaxis]
    return BenchmarkData("made_up", features, labels, "", "", "")


def test_differences_are_paired_over_the_splits():
    rows = [row for method in (DIRECT, PLAIN) for row in rows_of(made_up(), method, (BOUND,), 4, 20)]
    frame = pd.DataFrame(rows)
    found = heads_shown.tables(frame)
    by_split = frame.pivot(index="split", columns="method", values="test_curve_value")
    gain = by_split[DIRECT] - by_split[PLAIN]
    interval = ttest_1samp(gain, 0).confidence_interval()
    shown = found[f"{BOUND}: {DIRECT} minus the other, paired over the splits"].loc["made_up", PLAIN]
    assert shown == f"{gain.mean():+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
    got = found[f"{BOUND}: delivered at the deployed threshold"].loc["made_up", DIRECT]
    assert got == pytest.approx(delivered.delivered(frame[frame["method"] == DIRECT]).mean())
    assert "above on" in heads_shown.conclusions(frame)[0]


def test_more_steps_stand_beside_few_where_there_are_some():
    made = [
        {"dataset": "made_up", "asked": asked, "method": method, "split": split, "steps": steps, "stage": "warm-up"}
        | {"test_curve_value": 0.5 + 0.1 * (method == DIRECT) * (steps == 1000) + 0.01 * split}
        | {"bounded": "precision", "bound": 0.8, "test_value": 0.5 + 0.3 * (method == DIRECT)}
        | {"test_tp": 8, "test_fp": 2 * (steps == 1000), "test_fn": 2, "test_tn": 90}
        for asked, budgets in ((BOUND, (300, 1000)), ("F1", (300,)))
        for steps in budgets
        for method in (DIRECT, PLAIN)
        for split in range(3)
    ]
    table = heads_shown.by_steps(pd.DataFrame(made), frozen_features.MORE_STEPS)
    assert list(table.index) == [f"made_up, {BOUND}, 1000 steps", f"made_up, {BOUND}, 300 steps"]
    assert [cell.split()[0] for cell in table["difference"]] == ["+0.1000", "+0.0000"]
    assert [cell.split()[0] for cell in table["delivered, difference"]] == ["+0.3000", "+0.3000"]


def test_what_the_results_hold_is_known_by_its_cell(tmp_path):
    cells = [*cells_of(root=tmp_path), *longer_cells()]
    assert len({cell.key for cell in cells}) == len(cells)
    for cell in cells:
        known = {"dataset": cell.dataset, "method": cell.method, "steps": cell.num_steps, "bounded": "", "split": 0}
        published = pd.DataFrame([{"asked": name, **known} for name in cell.objectives])
        rows = frozen_features.with_cells(published)
        assert {row["cell"] for row in rows} == {cell.key} and "steps" not in rows[0]


def test_a_set_of_a_folder_is_there_if_the_folder_is(tmp_path):
    sets = {cell.dataset for cell in cells_of(root=tmp_path)}
    assert sets - {cell.dataset for cell in cells_of()} == {"spam"}
    with pytest.raises(FileNotFoundError, match="no mails in"):
        Heads("spam", PLAIN, (BOUND,), root=tmp_path).run()
