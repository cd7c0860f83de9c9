"""Every data set that is installed, against counts written down here."""

from functools import cache

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.data import DATASETS, DEVELOPMENT, LABEL_CONTEXT, SMALL, TABLES, load
from metricopt._validation import InvalidInputError

SETS = {  # rows, features, positives, sum of all features: the thinned sets must always be the same rows
    "toy": (570, 2, 120, 0.0),
    "hypothyroid": (3_163, 28, 151, 975098.12),
    "chexpert_pneumonia": (11_044, 41, 364, 718295),
    "chexpert_fracture": (11_949, 41, 599, 780997),
    "chexpert_pleural_other": (11_854, 41, 171, 774275),
    "chexpert_lung_lesion": (11_902, 41, 537, 775349),
    "support": (9_105, 46, 905, 29727428.6118),
    "wilms_tumour": (3_648, 5, 499, 165299),
    "light_chains": (7_773, 7, 439, 16058560.494),
    "rotterdam": (2_954, 12, 328, 7024021),
    "infarction": (1_869, 6, 178, 130515.024),
    "page_blocks": (5_472, 10, 559, 13865758.174),
    "yeast3": (1_484, 8, 163, 4525.57),
    "satimage": (6_435, 36, 626, 19337086),
    "spambase": (3_085, 57, 300, 726518.016),
    "magic": (10_000, 10, 1_500, 3007703.2308),
    "letter": (8_734, 16, 734, 828484),
    "abalone19": (4_174, 10, 32, 15356.4295),
    "yeast_me2": (1_484, 8, 51, 4525.57),
    "red_wine": (1_599, 11, 53, 143072.78194),
    "breast_cancer": (397, 30, 40, 569447.283601),
    "colon_cancer": (929, 15, 78, 61821),
    "aids": (921, 16, 77, 227008.666663),
    "phoneme": (4_118, 5, 300, 13315.43),
    "optical_digits": (5_620, 62, 554, 1766476),
    "pen_digits": (10_992, 16, 1_055, 8918653),
    "segment": (2_310, 18, 330, 1060358.69902),
    "vehicle": (729, 18, 100, 1528945),
    "german_credit": (800, 59, 100, 2553842),
    "pima": (600, 8, 100, 206034.789),
    "mammographic": (527, 5, 100, 33577),
    "nih_effusion": (12_000, 16, 666, 562828),
    "nih_atelectasis": (12_000, 16, 781, 563058),
    "pneumonia_context": (59_153, 41, 1_893, 3840697),
    "fracture_context": (64_213, 41, 3_169, 4197154),
    "pleural_other_context": (63_751, 41, 946, 4162934),
    "lung_lesion_context": (64_011, 41, 2_823, 4180150),
}
MEDICAL = {
    *("hypothyroid", "support", "wilms_tumour", "light_chains", "rotterdam", "infarction", "breast_cancer"),
    *("chexpert_pneumonia", "chexpert_fracture", "chexpert_pleural_other", "chexpert_lung_lesion", "colon_cancer"),
    *("aids", "pima", "mammographic", "nih_effusion", "nih_atelectasis", *LABEL_CONTEXT),
}


@cache
def loaded(name):
    try:
        return load(name)
    except ModuleNotFoundError as missing:
        pytest.skip(str(missing))


def test_every_data_set_is_checked_here():
    assert SETS.keys() == DATASETS.keys() and SETS.keys() > MEDICAL


def test_groups_part_the_data_sets():
    assert sorted((*TABLES, *SMALL, *DEVELOPMENT, *LABEL_CONTEXT, "toy")) == sorted(DATASETS)
    assert len(TABLES) >= 14 and len(SMALL) >= 4 and len(DEVELOPMENT) >= 8
    assert 2 * len(MEDICAL.intersection(TABLES)) >= len(TABLES)


@pytest.mark.parametrize("name", SETS)
def test_counts(name):
    data = loaded(name)
    num_rows, num_features, num_positives, total = SETS[name]
    assert data.name == name
    assert data.features.shape == (num_rows, num_features) and data.features.dtype == np.float64
    assert data.features.sum() == pytest.approx(total, rel=1e-11, abs=1e-9)
    assert data.labels.shape == (num_rows,) and data.labels.dtype == np.float64
    assert set(data.labels) == {0.0, 1.0} and data.labels.sum() == num_positives
    assert data.medical == (name in MEDICAL)
    assert data.task and data.source and data.licence


@pytest.mark.parametrize("name", SETS)
def test_features_can_be_trained_on(name):
    features = loaded(name).features
    assert np.isfinite(features).all() and (features.std(axis=0) > 0).all()
    assert len({column.tobytes() for column in features.T}) == features.shape[1]  # no column twice


@pytest.mark.parametrize("name", SETS)
def test_label_is_not_among_the_features(name):
    data = loaded(name)
    some = slice(None, None, -(-len(data.labels) // 5000))
    areas = np.array([roc_auc_score(data.labels[some], column) for column in data.features[some].T])
    assert np.maximum(areas, 1 - areas).max() < 0.999


@pytest.mark.parametrize("name", [*TABLES, *SMALL, *DEVELOPMENT, *LABEL_CONTEXT])
def test_positives_are_rare(name):
    _, _, num_positives, _ = SETS[name]
    assert loaded(name).labels.mean() <= 0.2
    assert (num_positives >= 100) == (name not in SMALL)


@pytest.mark.parametrize("name", DEVELOPMENT)
def test_development_shares_no_row_with_the_benchmark(name):
    rows = {row.tobytes() for row in loaded(name).features}
    for other in (*TABLES, *SMALL):
        assert rows.isdisjoint(row.tobytes() for row in loaded(other).features), other


def test_unknown_name_is_corrected():
    with pytest.raises(InvalidInputError, match="name must be one of .* got 'spambas'; did you mean 'spambase'?"):
        load("spambas")
