"""Beats are read from files made up here; no package need be installed."""

import numpy as np

from benchmarks.data import heartbeats
from benchmarks.data.heartbeats import read_all_beats


def test_the_kind_comes_first_and_three_kinds_are_rare(tmp_path, monkeypatch):
    (tmp_path / "ECG5000_TRAIN.tsv").write_text("1\t0.5\t-1.5\n3\t2.5\t0\n")
    (tmp_path / "ECG5000_TEST.tsv").write_text("2\t1\t2\n5\t3\t4\n4\t5\t6\n")
    monkeypatch.setattr(heartbeats, "installed_file", lambda package, path: tmp_path / path.rpartition("/")[2])
    beats, labels = read_all_beats()
    np.testing.assert_array_equal(beats, [[0.5, -1.5], [2.5, 0], [1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(labels, [0, 1, 0, 1, 1])
