"""The real training table gives the published counts, and the statistics of the synthetic labels are its own."""

import dataclasses

import numpy as np

from metricopt.data import CHEXPERT_LABELS, read_chexpert_table, stratified_split
from metricopt.data.chexpert.cooccurrence import CHEXPERT_STATISTICS, estimate_statistics

# positives, uncertain, explicit zeros (Irvin et al. 2019)
COUNTS = {
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


def test_published_counts(published):
    assert published.label_names == CHEXPERT_LABELS == tuple(COUNTS)
    assert len(published) == 223_414
    assert len(np.unique(published.patients)) == 64_540
    assert (published.views == "frontal").sum() == 191_027
    for column, counts in zip(published.raw_labels.T, COUNTS.values(), strict=True):
        assert tuple(int((column == value).sum()) for value in (1, -1, 0)) == counts


def test_published_oddities(published):
    assert published.covariates.isna().sum().to_dict() == {"age": 3, "sex": 1, "projection": 223_414 - 191_027}
    assert published.covariates["age"].min() == 18
    shots = published.covariates["projection"].value_counts()
    assert shots.to_dict() == {"AP": 161_590, "PA": 29_420, "LL": 16, "RL": 1}


def test_views_of_the_published_table(published_file):
    table = read_chexpert_table(published_file, labels=["Pneumonia"], view="frontal")
    assert len(table) == 191_027 and set(table.views) == {"frontal"}


def test_patients_of_the_published_table_are_split_at_the_prevalence_of_rare_labels(published):
    labels = (published.raw_labels == 1).astype(np.float32)
    parts = stratified_split(labels, (0.8, 0.1, 0.1), seed=0, groups=published.patients)
    patients = [set(published.patients[part]) for part in parts]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 64_540
    for name in ("Pleural Other", "Pneumonia", "Fracture", "Lung Lesion"):
        column = labels[:, CHEXPERT_LABELS.index(name)]
        for part in parts:
            assert abs(column[part].mean() / column.mean() - 1) < 0.2


def test_the_committed_statistics_are_those_of_the_table(published):
    estimated = estimate_statistics(published)
    for field in dataclasses.fields(estimated):
        exact, committed = getattr(estimated, field.name), getattr(CHEXPERT_STATISTICS, field.name)
        rounding = 0.00501 if field.name == "correlation" else 0.0000501
        np.testing.assert_allclose(committed, exact, atol=rounding, err_msg=field.name)
