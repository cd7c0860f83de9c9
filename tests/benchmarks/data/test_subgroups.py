import numpy as np
import pytest

from benchmarks.data.subgroups import GROUPED
from benchmarks.packages import LABELS, SURVIVAL, missing


@pytest.mark.parametrize(("name", "package"), [("support", SURVIVAL), ("light_chains", SURVIVAL), ("edema", LABELS)])
def test_each_row_has_its_own_subgroup(name, package):
    if missing([package]):
        pytest.skip(f"{package} is not installed")
    grouped = GROUPED[name]()
    names, sizes = np.unique(grouped.subgroup, return_counts=True)
    assert len(grouped.subgroup) == len(grouped.data.labels) and 2 <= len(names) <= 4 and sizes.min() >= 500
    # A feature that is known of each row says the same: coma, sex, or age and sex.
    features = grouped.data.features
    telling = {
        "support": lambda: grouped.subgroup == "Coma",
        "light_chains": lambda: grouped.subgroup == names[1],
        "edema": lambda: np.char.startswith(grouped.subgroup, "women"),
    }[name]()
    assert any(np.array_equal(column, telling) or np.array_equal(column, ~telling) for column in features.T)
