"""The tables of three institutions in the same columns."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.data import institutions
from benchmarks.data.installed import installed_file
from benchmarks.data.institutions import FINDINGS, INSTITUTIONS, load_institution


@pytest.fixture(scope="module", autouse=True)
def tables():
    try:
        return institutions._table("NIH")
    except ModuleNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", INSTITUTIONS)
def test_columns_are_alike(name):
    features, labels = load_institution(name, "Effusion", num_patients=500)
    assert features.shape == (500, 9) and features.dtype == labels.dtype == np.float32
    assert set(np.unique(features[:, 1:])) == {0.0, 1.0} and set(np.unique(labels)) == {0.0, 1.0}
    assert np.abs(features[:, 0]).max() < 4
    others, _ = load_institution(name, "Effusion", num_patients=500, part=1)
    assert not np.array_equal(others, features)
    # The finding that is asked for is the label and no feature.
    edema, _ = load_institution(name, "Edema", num_patients=500)
    np.testing.assert_array_equal(edema[:, 3 + FINDINGS.index("Effusion") - 1], labels)


def test_findings_are_those_of_the_table():
    path = "torchxrayvision/data/PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    whole = pd.read_csv(installed_file("torchxrayvision", path), usecols=["Labels", "Projection"])
    frontal = whole[whole["Projection"].isin(["PA", "AP", "AP_horizontal"])]
    listed = frontal["Labels"].dropna().str.strip("[]").str.replace("'", "").str.split(", ")
    expected = listed.map(lambda names: any("pleural effusion" in name for name in names)).mean()
    table = institutions._table("PadChest")
    assert abs(table["Effusion"].mean() - expected) < 0.002
    assert table["patient"].nunique() > 50_000
