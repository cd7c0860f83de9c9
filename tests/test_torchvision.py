"""torchvision is there whether or not it was built for this torch; what is wrong otherwise is not hidden."""

import builtins
import subprocess
import sys

import pytest

from metricopt import _torchvision
from metricopt._torchvision import import_torchvision


@pytest.mark.slow
def test_models_and_transforms_work():
    code = """
import torch
from metricopt._torchvision import import_torchvision
torchvision = import_torchvision()
assert import_torchvision() is torchvision
import torchvision.transforms.v2
model = torchvision.models.resnet18().eval()
with torch.no_grad():
    print(tuple(model(torchvision.transforms.v2.Resize(32)(torch.zeros(1, 3, 40, 40))).shape))
"""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (ran.stdout.strip(), ran.returncode) == ("(1, 1000)", 0), ran.stderr


@pytest.mark.parametrize(
    "error", [RuntimeError("something else"), ModuleNotFoundError("No module named 'torchvision'")]
)
def test_other_errors_are_not_hidden(error, monkeypatch):
    plain, before = builtins.__import__, list(_torchvision._schemas)

    def fail(name, *rest):
        if name == "torchvision":
            raise error
        return plain(name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", fail)
        with pytest.raises(type(error), match=str(error)):
            import_torchvision()
    assert _torchvision._schemas == before
    assert import_torchvision().__name__ == "torchvision"
