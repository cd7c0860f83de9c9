"""What is collected batch by batch equals what whole data give, in every division into batches."""

import numpy as np
import pytest
import torch

from metricopt.transfer.scatter import CrossScatter


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [7, 1, 30, 12], [49, 1]])
@pytest.mark.parametrize("mean", [0.0, 1e5])
def test_batches_equal_the_whole(sizes, mean):
    random = np.random.default_rng(0)
    x, y = mean + random.normal(size=(50, 3)), random.normal(size=(50, 4)) - mean
    y[:, 0] += x[:, 0] - mean
    scatter, start = CrossScatter(), 0
    for size in sizes:
        scatter.update(torch.from_numpy(x[start : start + size]), torch.from_numpy(y[start : start + size]))
        start += size
    whole = 49 * np.cov(x.T, y.T)[:3, 3:]
    assert scatter.num_samples == 50
    np.testing.assert_allclose(scatter.sums, whole, rtol=1e-9, atol=1e-7 if mean else 1e-11)


def test_the_coarsest_precision_is_remembered():
    scatter = CrossScatter()
    assert scatter.resolution == np.finfo(np.float64).eps
    scatter.update(torch.zeros(2, 1), torch.zeros(2, 1, dtype=torch.float64))
    assert scatter.resolution == np.finfo(np.float32).eps and scatter.sums.dtype == torch.float64
    scatter.update(torch.zeros(2, 1).half(), torch.zeros(2, 1))
    scatter.update(torch.zeros(2, 1), torch.zeros(2, 1))
    assert scatter.resolution == np.finfo(np.float16).eps
