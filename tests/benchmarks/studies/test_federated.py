"""The study of federations: what its columns say of scores and rows, without any training."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies.federated import AGGREGATIONS, _judged, table_of_bounds, table_of_differences, table_of_methods
from benchmarks.studies.federated_mixtures import table_of_mixtures


def test_judged_by_precision_and_recall():
    scores, labels = np.float32([0.1, 0.4, 0.6, 0.8]), np.float32([0, 1, 0, 1])
    assert _judged("in", [(scores, labels)], 0.7, 0.9) == {
        "in": pytest.approx(5 / 6),
        "in_delivered": 0.5,
        "in_kept": 1.0,
    }
    assert _judged("in", [(scores, labels)], 0.5, 0.9)["in_delivered"] == 0.0
    silent = _judged("in", [(scores, labels)], np.inf, 0.9)
    assert silent["in_delivered"] == 0.0 and np.isnan(silent["in_kept"])
    assert _judged("in", [(scores, labels), (scores - 9, labels)], 0.7, 0.9)["in_kept"] == 1.0


def test_tables_compare_on_the_same_rows():
    rows = [
        {
            **{"part": "institutions", "seed": seed, "sites": 2, "split": split, "method": method, "rounds": 8},
            **{"external": seed + 0.1 * place, "internal": seed, "external_delivered": 0.0, "internal_delivered": 0.0},
            **{"claimed": method != "FedBN", "internal_kept": float(seed > 0), "external_kept": np.nan, "bytes": 2000},
            **{"kept_at_sites": 0.5, "kept_at_every_site": seed > 0},
        }
        for seed in range(4)
        for split in ("equal", "skewed")
        for place, method in enumerate(AGGREGATIONS)
    ]
    frame = pd.DataFrame(rows)
    differences = table_of_differences(frame)
    assert differences.loc["2, equal, FedAvg", "external"] == "-0.400 ± 0.000"
    assert differences.loc["2, skewed, pooled", "external"] == "+0.100 ± 0.000"
    bounds = table_of_bounds(frame)
    assert bounds.loc["2, equal, FedAvg", "claimed"] == "4 of 4"
    assert bounds.loc["2, equal, FedAvg", "internal"] == "0.750 ± 0.250"
    assert bounds.loc["2, equal, FedBN", "claimed"] == "0 of 4" and bounds.loc["2, equal, FedBN", "internal"] == "none"
    assert bounds.loc["2, all of them", "claimed"] == "40 of 48"
    methods = table_of_methods(frame)
    assert list(methods.loc[2, "equal"].index) == list(AGGREGATIONS)
    assert methods.loc[(2, "equal", "FedAvg"), ["seeds", "kept_at_every_site"]].tolist() == [4, 0.75]


def test_mixtures_are_compared_with_pooled_rows_of_the_same_problem():
    rows = [
        {
            **{"objective": "FPOR", "seed": seed, "sites": sites, "min_cell": 1, "optimum": 0.9, "value": value},
            **{"claimed": seed == 0, "holds_on_held_out": True, "holds_on_new": seed == 1},
        }
        for seed, values in enumerate(((0.8, 0.79), (0.7, 0.65)))
        for sites, value in zip((1, 5), values, strict=True)
    ]
    line = table_of_mixtures(pd.DataFrame(rows)).loc["FPOR, 5, 1"]
    assert line["below_pooled"] == "+0.030 ± 0.020" and line["within_0.02_of_pooled"] == "1 of 2"
    assert line["most_below_pooled"] == pytest.approx(0.05) and line["below_optimum"] == pytest.approx(0.18)
    assert line["claimed"] == "1 of 2" and line["holds_on_held_out"] == "1 of 1" and line["holds_on_new"] == "0 of 1"
