"""The time that a network takes for one image on the CPU."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from metricopt._validation import check_integer
from metricopt.backbones.counting import one_image

_WARMUP_ROUNDS = 3


def cpu_latency(
    model: nn.Module, input_size: int | tuple[int, int] = 224, *, repeats: int = 20, threads: int | None = None
) -> float:
    """Return the median time of a forward pass of one image on the CPU.

    Parameters
    ----------
    model : Module
        The network. A copy of it is timed, in evaluation mode.
    input_size, repeats, threads
        The arguments of :func:`cpu_latencies`.

    Returns
    -------
    float
        The time in milliseconds.
    """
    times = cpu_latencies({"model": model}, input_size, repeats=repeats, threads=threads)
    return float(np.median(times["model"]))


def cpu_latencies(
    models: Mapping[str, nn.Module],
    input_size: int | tuple[int, int] = 224,
    *,
    repeats: int = 20,
    threads: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the times of forward passes of one image on the CPU, with the models timed in turn.

    Timed in turn, all models meet the same load of the machine.

    Parameters
    ----------
    models : dict of str to Module
        The networks by name. Copies of them are timed, in evaluation mode.
    input_size : int or (height, width)
        The size of the image in pixels.
    repeats : int, >= 1
        The number of rounds, after 3 rounds that are not counted.
    threads : int, optional
        The number of torch's threads. The default leaves it as it is.

    Returns
    -------
    dict of str to ndarray, shape (repeats,), float
        The milliseconds of each model. The n-th times of all models are from one round, so the median of their ratios
        is a fair ratio.

    Raises
    ------
    InvalidInputError
        If ``repeats`` or ``threads`` is not an integer >= 1.

    Examples
    --------
    >>> from metricopt.backbones import load_backbone, truncate
    >>> model = load_backbone("resnet18")
    >>> times = cpu_latencies({"whole": model, "stem": truncate(model, at="stem")}, 64, repeats=3)
    >>> {name: values.shape for name, values in times.items()}
    {'whole': (3,), 'stem': (3,)}
    """
    repeats = check_integer("repeats", repeats, 1, "give for example 20")
    threads = None if threads is None else check_integer("threads", threads, 1, "give 1")
    images = {name: one_image(model, input_size, "cpu") for name, model in models.items()}
    timed = {name: copy.deepcopy(model).cpu().eval() for name, model in models.items()}
    milliseconds: dict[str, list[float]] = {name: [] for name in models}
    with _threads(threads), torch.inference_mode():
        for _ in range(_WARMUP_ROUNDS + repeats):
            for name, model in timed.items():
                began = time.perf_counter()
                model(images[name])
                milliseconds[name].append(1000 * (time.perf_counter() - began))
    return {name: np.array(values[_WARMUP_ROUNDS:]) for name, values in milliseconds.items()}


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
