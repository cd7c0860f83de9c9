import numpy as np
import torch

from metricopt.losses.soft_counts import f_beta_loss, soft_alarms, soft_counts


def test_alarms_follow_the_published_sigmoid():
    scores = np.linspace(-6, 6, 25)
    beta, eta = 1.7, -0.4  # of the paper, S(u) = 1 / (1 + exp(-beta (u + eta)))
    expected = 1 / (1 + np.exp(-beta * (scores + eta)))
    np.testing.assert_allclose(soft_alarms(torch.from_numpy(scores), beta, -eta), expected, rtol=1e-12)


def test_hard_alarms_are_counted_as_they_are():
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    present = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    alarms = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    counts = soft_counts(alarms, labels, present)
    assert [count.tolist() for count in counts] == [[1, 1], [1, 2], [1, 0]]
    # F1: 2 / (2 + 1 + 1) and 2 / (2 + 2)
    assert f_beta_loss(counts, present, 1.0).item() == 0.5
