"""What is timed beside each other computes the same."""

import numpy as np
import pytest

from benchmarks.studies import transfer_speed
from metricopt.transfer import h_score, log_me, otce


def test_published_algorithms_agree_where_they_are_right():
    features, labels = transfer_speed.features_and_labels(600, 20)
    assert labels.sum() >= 10
    wide = features.astype(np.float64)
    assert transfer_speed.published_h_score(wide, labels) == pytest.approx(h_score(features, labels), rel=1e-6)
    shrunk = h_score(features, labels, shrinkage=True)
    assert transfer_speed.published_shrunk_h_score(wide, labels) == pytest.approx(shrunk, rel=1e-6)
    assert transfer_speed.published_log_me(wide, labels) == pytest.approx(log_me(features, labels), rel=1e-4)
    others = transfer_speed.features_and_labels(300, 20, seed=1)
    theirs = transfer_speed.published_otce(wide[:300], labels[:300], others[0].astype(np.float64), others[1])
    assert theirs == pytest.approx(otce(features[:300], labels[:300], *others), rel=1e-9)


def test_budgets_are_judged_on_own_seconds():
    row = transfer_speed._row("a score", lambda: 1.0, lambda: 2.0, 0.5, 1)
    assert (row["value"], row["published_value"], row["within_budget"]) == (1.0, 2.0, True)
    assert not transfer_speed._row("a score", lambda: 1.0, lambda: 2.0, -1.0, 1)["within_budget"]
