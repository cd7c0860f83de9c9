"""Own loops for launches of several processes: ``python -m tests.launched_loops FOLDER`` in each process.

The outcome of each loop is written to ``FOLDER/LOOP-POSITION.json``.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from metricopt import DirectMetricLoss

EPOCHS, STEPS, BATCH = 6, 5, 20


def blobs():
    draw = torch.Generator().manual_seed(0)
    y = (torch.rand(2 * STEPS * BATCH, 1, generator=draw) < 0.3).float()
    return torch.randn(len(y), 3, generator=draw) + 1.2 * y, y


def train(with_index, position=0, number=1, wrap=lambda model, optimizer: (model, optimizer), step=None):
    """Train on one part of the rows of each batch; return all that must be the same in all processes."""
    torch.manual_seed(0)
    x, y = blobs()
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    model, optimizer = wrap(model, torch.optim.Adam(model.parameters(), lr=0.02))
    loss = DirectMetricLoss("FPOR", y, alpha=0.8, epochs=EPOCHS, steps_per_epoch=STEPS)
    values = []
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch)).chunk(STEPS):
            own = batch.chunk(number)[position]
            optimizer.zero_grad()
            value = loss(model(x[own]), y[own], own if with_index else None)
            value.backward() if step is None else step(value)
            optimizer.step()
            values.append(value.item())
    if not position:  # validation is no matter of all processes
        with torch.no_grad():
            assert loss.eval()(getattr(model, "module", model)(x[:7]), y[:7]).isfinite()
    weights = [weight.tolist() for weight in model.parameters()]
    return {"losses": values, "threshold": loss.threshold, "multiplier": loss.multiplier, "weights": weights}


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


if __name__ == "__main__":
    main(*sys.argv[1:])
