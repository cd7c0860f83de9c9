import numpy as np
import pytest
import torch

from metricopt._arrays import Samples
from tests.devices import WITHOUT_FLOAT64, NoFloat64


def samples_on(device, has_label_axis=True):
    columns = np.zeros((3, 2), np.float32)
    return Samples(columns, columns, None, torch.float32, device, has_label_axis)


@pytest.mark.parametrize("has_label_axis", [True, False])
def test_results_for_a_device_without_float64_are_float32(has_label_axis):
    samples = samples_on(WITHOUT_FLOAT64, has_label_axis)
    with NoFloat64():
        with pytest.raises(TypeError, match="float64"):
            torch.as_tensor(np.zeros(2), device=WITHOUT_FLOAT64)
        back = samples.give_back(np.array([0.5, 1.5]))
        assert back.dtype == torch.float32 and back.device == WITHOUT_FLOAT64
        assert back.shape == ((2,) if has_label_axis else ())
        assert samples.give_back(np.array([True, False])).dtype == torch.bool
        with pytest.raises(TypeError):
            samples.give_back_array(np.array([object()]))
    assert samples.give_back(np.array([0.5, 1.5])).dtype == torch.float64


def test_results_are_float64_elsewhere():
    back = samples_on(torch.device("cpu")).give_back([0.1, 0.2])
    assert back.dtype == torch.float64 and back.tolist() == [0.1, 0.2]
    assert samples_on(None).give_back([0.1, 0.2]).dtype == np.float64
