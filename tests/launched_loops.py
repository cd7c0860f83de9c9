"""Own loops for launches of several processes, in each of which :mod:`tests.launched` runs them.

The outcome of each loop is written to ``FOLDER/LOOP-POSITION.json``.
"""

import importlib.util
import json
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from metricopt import DirectMetricLoss
from metricopt._torchvision import import_torchvision

EPOCHS, STEPS, BATCH = 6, 5, 20


def blobs():
    draw = torch.Generator().manual_seed(0)
    y = (torch.rand(2 * STEPS * BATCH, 1, generator=draw) < 0.3).float()
    return torch.randn(len(y), 3, generator=draw) + 1.2 * y, y


def network():
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def batches_of(epoch):
    return torch.randperm(2 * STEPS * BATCH, generator=torch.Generator().manual_seed(epoch)).chunk(STEPS)


def train(with_index, position=0, number=1, wrap=lambda model, optimizer: (model, optimizer), step=None):
    """Train on one part of the rows of each batch; return all that must be the same in all processes."""
    torch.manual_seed(0)
    x, y = blobs()
    model = network()
    model, optimizer = wrap(model, torch.optim.Adam(model.parameters(), lr=0.02))
    loss = DirectMetricLoss("FPOR", y, alpha=0.8, epochs=EPOCHS, steps_per_epoch=STEPS)
    values = []
    for epoch in range(EPOCHS):
        for batch in batches_of(epoch):
            own = batch.chunk(number)[position]
            optimizer.zero_grad()
            value = loss(model(x[own]), y[own], own if with_index else None)
            value.backward() if step is None else step(value)
            optimizer.step()
            values.append(value.item())
    if not position:  # validation is no matter of all processes
        with torch.no_grad():
            assert loss.eval()(getattr(model, "module", model)(x[:7]), y[:7]).isfinite()
    return outcome_of(model, loss, values)


def outcome_of(model, loss, values):
    weights = [weight.tolist() for weight in model.parameters()]
    return {"losses": values, "threshold": loss.threshold, "multiplier": loss.multiplier, "weights": weights}


def import_lightning():
    """Return Lightning; None where it is not installed."""
    if importlib.util.find_spec("lightning") is None:
        return None
    with suppress(ImportError):
        import_torchvision()  # which Lightning looks for where it is installed
    import lightning

    return lightning


def train_in_lightning(position, number):
    """The same, where Lightning's trainer has the loop."""
    lightning = import_lightning()
    from lightning.pytorch.strategies import DDPStrategy

    values = []

    class Own:
        """The rows of this process in each batch, epoch by epoch."""

        epoch = -1

        def __len__(self):
            return STEPS

        def __iter__(self):
            self.epoch += 1
            return iter([batch.chunk(number)[position].tolist() for batch in batches_of(self.epoch)])

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = network()
            self.loss = DirectMetricLoss("FPOR", blobs()[1], alpha=0.8, epochs=EPOCHS, steps_per_epoch=STEPS)

        def training_step(self, batch, _):
            inputs, labels, index = batch
            loss = self.loss(self.model(inputs), labels, index)
            values.append(loss.item())
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.model.parameters(), lr=0.02)

    torch.manual_seed(0)
    module, dataset = Module(), TensorDataset(*blobs(), torch.arange(2 * STEPS * BATCH))
    lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", devices=number, strategy=DDPStrategy(process_group_backend="gloo"),
        use_distributed_sampler=False, logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    ).fit(module, DataLoader(dataset, batch_sampler=Own()))  # fmt: skip
    return outcome_of(module.model, module.loss, values)


def main(folder):
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)  # which sets up the process group
    position, number = accelerator.process_index, accelerator.num_processes
    loops = {
        "plain": {"with_index": False, "wrap": lambda model, optimizer: (DistributedDataParallel(model), optimizer)},
        "accelerate": {"with_index": True, "wrap": accelerator.prepare, "step": accelerator.backward},
    }
    for name, arguments in loops.items():
        outcome = train(position=position, number=number, **arguments)
        (Path(folder) / f"{name}-{position}.json").write_text(json.dumps(outcome))
    if import_lightning() is not None:
        outcome = train_in_lightning(position, number)
        (Path(folder) / f"lightning-{position}.json").write_text(json.dumps(outcome))
