"""The table that torchxrayvision carries is the published one."""

import numpy as np
import pytest

from benchmarks.data.chexpert_labels import FINDINGS, load_chexpert_labels, read_chexpert_labels

COUNTS = {  # positive, uncertain, ruled out
    "No Finding": (22381, 0, 0),
    "Enlarged Cardiomediastinum": (10798, 12403, 21638),
    "Cardiomegaly": (27000, 8087, 11116),
    "Lung Opacity": (105581, 5598, 6599),
    "Lung Lesion": (9186, 1488, 1270),
    "Edema": (52246, 12984, 20726),
    "Consolidation": (14783, 27742, 28097),
    "Pneumonia": (6039, 18770, 2799),
    "Atelectasis": (33376, 33739, 1328),
    "Pneumothorax": (19448, 3145, 56341),
    "Pleural Effusion": (86187, 11628, 35396),
    "Pleural Other": (3523, 2653, 316),
    "Fracture": (9040, 642, 2512),
    "Support Devices": (116001, 1079, 6137),
}


@pytest.fixture
def table():
    try:
        return read_chexpert_labels()
    except ModuleNotFoundError as missing:
        pytest.skip(str(missing))


def test_published_counts(table):
    assert len(table) == 223_414 and (table["Frontal/Lateral"] == "Frontal").sum() == 191_027
    assert table["Path"].str.extract(r"(patient\d+)")[0].nunique() == 64_540
    assert tuple(table.columns[5:]) == FINDINGS == tuple(COUNTS)
    for finding, counts in COUNTS.items():
        assert tuple(int((table[finding] == value).sum()) for value in (1, -1, 0)) == counts


def test_label_moves_no_feature(table, monkeypatch):
    data = load_chexpert_labels("x", finding="Pneumonia", part=0)
    changed = table.assign(Pneumonia=table["Pneumonia"].where(table["Pneumonia"] == -1))  # the same rows are left out
    monkeypatch.setattr("benchmarks.data.chexpert_labels.read_chexpert_labels", lambda: changed)
    without = load_chexpert_labels("x", finding="Pneumonia", part=0)
    np.testing.assert_array_equal(data.features, without.features)
    assert without.labels.sum() == 0 < data.labels.sum()
