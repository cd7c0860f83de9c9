import numpy as np
import pandas as pd
import pytest

from benchmarks.data import survival
from benchmarks.data.survival import load_survival


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Event, time and a feature of six patients; the last column is the follow-up's."""
    path = tmp_path / "study.pickle"
    pd.DataFrame(
        {
            "event": [1, 1, 1, 0, 0, 0],
            "time": [5.0, 10.0, 11.0, 5.0, 10.0, 11.0],
            "num_age": [50.0, 51.0, 52.0, 53.0, 54.0, np.nan],
            "num_late": [1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        }
    ).to_pickle(path)
    monkeypatch.setattr(survival, "installed_file", lambda package, file: path)


def test_event_in_time_against_followed_for_longer(study):
    data = load_survival(
        "x", file="study", horizon=10.0, features=["num_age"], normal={"num_age": 60.0}, task="", source="", licence=""
    )
    np.testing.assert_array_equal(data.labels, [1, 1, 0, 0])  # those who left within the time are not there
    np.testing.assert_array_equal(data.features, [[50, 0], [51, 0], [52, 0], [60, 1]])
