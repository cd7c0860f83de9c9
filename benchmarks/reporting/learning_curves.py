"""What trainings with learning curves show: means with paired differences, and the curves of training and test rows.

The rows are those of :mod:`benchmarks.running.learning_curve`, with what was trained: data, network, method and seed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.reporting.statistics import t_interval

TRAINING = ["data", "network", "method", "seed"]


def means(frame: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return a line for each problem, network and method: what its scores allow, what it delivers, and the gains.

    Parameters
    ----------
    frame : DataFrame
    reference : str
        The method from which the others differ, paired over the seeds.
    """
    runs = frame.drop_duplicates(TRAINING)
    lines = {}
    for (data, size), own in runs.groupby(["data", "network"], sort=False):
        for method, of_method in own.groupby("method", sort=False):
            lines[data, size, method] = {
                "train": of_method["returned_train_value"].mean(),
                "test": of_method["returned_test_value"].mean(),
                f"test, minus {reference}": gain(own, method, reference, "returned_test_value"),
                "delivered": of_method["delivered"].mean(),
                f"delivered, minus {reference}": gain(own, method, reference, "delivered"),
                "with alarms": f"{(of_method['alarms'] > 0).sum()} of {len(of_method)}",
                "seconds": of_method["seconds"].mean(),
            }
    return pd.DataFrame.from_dict(lines, orient="index")


def gain(runs: pd.DataFrame, method: object, reference: str, column: str) -> str:
    """Return the mean difference over the seeds that both have, with its interval; nothing for a method alone."""
    values = runs.pivot(index="seed", columns="method", values=column)
    if method == reference or reference not in values:
        return ""
    paired = (values[method] - values[reference]).dropna()
    return str(t_interval(paired)) if len(paired) > 1 else ""


def curves(frame: pd.DataFrame, network: str, label: str, colors: Mapping[str, str]) -> Figure:
    """Draw the curves of one kind of network: training rows dashed, test rows solid, a panel a problem.

    Parameters
    ----------
    frame : DataFrame
    network : str
    label : str
        What the curves show.
    colors : mapping of str to str
        By method.
    """
    own = frame[frame["network"] == network]
    problems = list(dict.fromkeys(own["data"]))
    lowest = own.groupby(["data", "method", "epoch"])[["train_value", "test_value"]].mean().min(axis=None)
    figure = Figure(figsize=(3.6 * len(problems), 3.6), layout="constrained")
    for axes, data in zip(np.atleast_1d(figure.subplots(1, len(problems), sharey=True)), problems, strict=True):
        for method, rows in own[own["data"] == data].groupby("method", sort=False):
            by_epoch = rows.groupby("epoch")[["train_value", "test_value"]].mean()
            for part, style in (("train", "--"), ("test", "-")):
                axes.plot(by_epoch[f"{part}_value"], style, color=colors[str(method)], label=f"{method}, {part}")
        axes.set(title=data, xlabel="epoch", ylim=(np.floor(10 * lowest) / 10, 1.01))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="0.93", linewidth=0.6)
    figure.axes[0].set_ylabel(label)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure
