"""Which stages a training has: those of wide linear models, where it goes on from its warm-up, and where not."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt.solvers import Profiled
from metricopt.solvers.paths import FOLD_PATHS, WIDE_PATHS
from metricopt.solvers.profiled_ranking import ProfiledRanking
from metricopt.training.plan import make_plan


def plan_of(solver, **arguments):
    stages = make_plan(solver, 100, None, steps_per_epoch=4, **{"is_linear": True, "with_folds": True, **arguments})
    return [stage.name for stage in stages], [stage.goes_on for stage in stages[1:]]


def test_wide_models_of_folds_go_on_from_the_warm_up_on_one_path():
    assert plan_of(Profiled(), is_wide=True) == (["warm-up", *WIDE_PATHS], [True])
    assert plan_of(Profiled()) == (["warm-up", *FOLD_PATHS], [False] * len(FOLD_PATHS))
    assert plan_of(Profiled(), is_wide=True, with_folds=False) == plan_of(Profiled(), with_folds=False)
    assert plan_of(ProfiledRanking(), is_wide=True) == plan_of(ProfiledRanking())


@pytest.mark.parametrize(
    ("num_rows", "num_columns", "paths"),
    [(120, 4, FOLD_PATHS), (120, 30, WIDE_PATHS), (2400, 59, FOLD_PATHS), (2400, 60, WIDE_PATHS)],
)
def test_columns_and_positives_decide(num_rows, num_columns, paths):
    draw = torch.Generator().manual_seed(0)
    y = (torch.arange(num_rows) % 6 == 0).float()
    x = torch.randn(num_rows, num_columns, generator=draw) + 2 * y[:, None] / num_columns**0.5
    loader = DataLoader(TensorDataset(x, y), batch_size=num_rows // 2)
    result = metricopt.fit(nn.Linear(num_columns, 1), loader, "OFBS", beta=1.0, folds=3, epochs=16, progress=False)
    assert {record["stage"] for record in result.history} == {"warm-up", *paths}
