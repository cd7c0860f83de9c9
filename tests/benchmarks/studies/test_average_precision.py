import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import ttest_1samp

from benchmarks.peers import soap
from benchmarks.studies import average_precision
from benchmarks.studies.average_precision import SigmoidSums


def test_sums_of_sigmoids_have_the_slope_of_the_ramp_at_a_tie():
    random = np.random.default_rng(0)
    stored, weightings, at = np.sort(random.normal(5, 1, 30)), random.random((2, 30)), random.normal(5, 2, 40)
    sums, slopes = SigmoidSums.of(stored, weightings).at(at, 0.5)
    risen = expit(8 * (at[:, np.newaxis] - stored))
    np.testing.assert_allclose(sums, weightings @ risen.T, atol=1e-4)
    np.testing.assert_allclose(slopes, weightings @ (8 * risen * (1 - risen)).T, atol=1e-3)
    one = SigmoidSums.of(np.array([1.0]), np.ones((1, 1))).at(np.array([1.0]), 0.5)
    assert (one[0].item(), one[1].item()) == (0.5, 2.0)


def test_differences_are_paired_by_split():
    random = np.random.default_rng(1)
    rows = [
        {"dataset": name, "split": split, "method": method, "train": random.random()}
        for name in ("b", "a")
        for split in range(5)
        for method in ("cross-entropy", "profiled OAP")
    ]
    means, ahead = average_precision.summaries(rows).values()
    assert list(means.index) == list(ahead.index) == ["b", "a", "mean"]
    values = pd.DataFrame(rows).pivot(index=["dataset", "split"], columns="method", values="train")
    differences = (values["profiled OAP"] - values["cross-entropy"]).xs("a", level="dataset")
    low, high = ttest_1samp(differences, 0).confidence_interval()
    assert ahead.loc["a", "cross-entropy"] == f"{differences.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
    assert means.loc["mean", "profiled OAP"] == pytest.approx(values["profiled OAP"].mean())


def test_soap_is_left_out_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(soap, "missing", lambda: ["libauc"])
    tried = average_precision.methods()
    assert list(tried) == ["cross-entropy", "profiled OAP", "sigmoid"]
    monkeypatch.setattr(soap, "missing", lambda: [])
    assert [*tried, "SOAP"] == list(average_precision.methods())
    assert len({len(settings) for settings in average_precision.methods().values()}) == 1
