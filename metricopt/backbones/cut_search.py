"""A search for the best place to cut a network, in two stages, with its table and its picture.

This file decides which cuts are tried and in what order. The caller decides what a cut is worth: ``evaluate`` trains a
network and returns its validation metric.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from metricopt._validation import InvalidInputError, check_integer, reject
from metricopt.backbones.backbone import IMAGE_SIZE, Backbone
from metricopt.backbones.counting import count_macs, count_parameters
from metricopt.backbones.families import as_backbone
from metricopt.backbones.truncation import truncate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COARSE, FINE = "coarse", "fine"
# Okabe and Ito (2008); told apart in grey print by their markers.
_MARKS = {COARSE: ("#0072B2", "o"), FINE: ("#D55E00", "s")}


@dataclass(frozen=True)
class Cut:
    """A cut that was tried.

    Attributes
    ----------
    stage : str
        ``"coarse"`` or ``"fine"``.
    cut : str
        The point at which the network was cut.
    parameters, macs : int
        The parameters of the truncated network with its head, and its multiply-accumulates as the paper counts them.
    metric : float
        The metric that ``evaluate`` returned, which can be NaN.
    seconds : float
        The time that ``evaluate`` took.
    """

    stage: str
    cut: str
    parameters: int
    macs: int
    metric: float
    seconds: float


@dataclass(frozen=True)
class CutSearch:
    """The cuts that were tried, in their order.

    Attributes
    ----------
    cuts : tuple of Cut
        One entry for each cut.
    metric_name : str
        The name of the metric in the table and the picture.
    """

    cuts: tuple[Cut, ...]
    metric_name: str = "metric"

    @property
    def best(self) -> Cut:
        """The cut with the highest metric, and with the fewest parameters if several have that metric."""
        return _best(self.cuts)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row for each cut, from the image upwards, that also says which cut is the best."""
        import pandas as pd

        rows = [{**vars(each), "best": each == self.best} for each in sorted(self.cuts, key=lambda each: each.macs)]
        return pd.DataFrame(rows).rename(columns={"metric": self.metric_name})

    def plot(self, *, ax: Axes | None = None, title: str = "") -> Axes:
        """Draw the metric against the number of parameters, with a mark for each cut and a ring around the best.

        Parameters
        ----------
        ax : Axes, optional
            The axes to draw into. The default is those of a new figure.
        title : str
            The title of the picture.

        Returns
        -------
        Axes
            ``.figure.savefig("cuts.png")`` writes the picture.
        """
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(7, 4.8), layout="constrained").subplots()
        known = sorted((each for each in self.cuts if not math.isnan(each.metric)), key=lambda each: each.parameters)
        ax.plot([each.parameters for each in known], [each.metric for each in known], color="0.75", zorder=1)
        for stage, (color, marker) in _MARKS.items():
            own = [each for each in known if each.stage == stage]
            if own:
                x, y = [each.parameters for each in own], [each.metric for each in own]
                ax.plot(x, y, marker, color=color, label=f"{stage} search", zorder=2)
        best = self.best
        label = f"best: {best.cut}, {best.metric:.3f}, {best.parameters:,} parameters"
        ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": "black", "markersize": 13}
        ax.plot(best.parameters, best.metric, "o", **ring, label=label, zorder=3)
        for number, each in enumerate(known):
            # Upright, in turn above and below: neighbours among the fine cuts are close.
            above = number % 2 == 0
            ax.annotate(
                each.cut,
                (each.parameters, each.metric),
                xytext=(0, 10 if above else -10),
                textcoords="offset points",
                rotation="vertical",
                ha="center",
                va="bottom" if above else "top",
                fontsize="x-small",
                color="black" if each == best else "0.35",
            )
        ax.set_xscale("log")
        ax.margins(x=0.06, y=0.25)
        ax.set(xlabel="parameters", ylabel=self.metric_name)
        ax.set_title(title, fontsize="medium")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False, fontsize="small")
        return ax


def search_cut(
    model: nn.Module,
    evaluate: Callable[[Backbone], float],
    *,
    num_outputs: int = 1,
    max_fine: int = 8,
    input_size: int | tuple[int, int] = IMAGE_SIZE,
    seed: int = 0,
    metric_name: str = "metric",
    progress: bool | None = None,
) -> CutSearch:
    """Find where to cut a network: first among the ends of its blocks, then around the best of these.

    The two stages take fewer trainings than all cuts: for a ResNet-50 at most 13 of 17, for a DenseNet-201 13 of 103.

    Parameters
    ----------
    model : Backbone, or a network of torchvision
        The network with the weights to start from. It stays as it is, because each cut gets a copy.
    evaluate : callable ``(Backbone) -> float``
        A function that trains a truncated network and returns its metric on validation data, where higher is better. It
        can also call :func:`metricopt.backbones.freeze` and set learning rates. NaN counts as worse than any value.
    num_outputs : int, >= 1
        The number of outputs, one for each label.
    max_fine : int, >= 0
        How many cuts the second stage tries at most. They are evenly spread if there are more. With 8 a ResNet-50 has
        all its cuts tried; with 0 there is no second stage.
    input_size : int or (height, width)
        The size of the images for which multiply-accumulates are counted.
    seed : int
        The seed of the weights of every head.
    metric_name : str
        The name of the metric in the table and the picture.
    progress : bool
        Whether to print a line for every cut on standard error. The default is to do so if that is a terminal.

    Returns
    -------
    CutSearch
        All cuts that were tried.

    Raises
    ------
    InvalidInputError
        If ``evaluate`` returns something that is not a number, or NaN for all cuts of the first stage.

    Examples
    --------
    >>> from metricopt.backbones import load_backbone
    >>> search = search_cut(load_backbone("resnet18"), lambda model: -abs(count_parameters(model) - 2e6))
    >>> [(each.stage, each.cut) for each in search.cuts if each.stage == "fine"], search.best.cut
    ([('fine', 'layer3.0'), ('fine', 'layer4.0')], 'layer3.0')

    ``evaluate`` can be a training by metricopt::

        def evaluate(model):
            result = fit(model, loader, "FPOR", alpha=0.9, val_loader=val_loader, progress=False)
            return result.validation.average_precision

    References
    ----------
    L. Peng, H. Liang, G. Luo, T. Li, J. Sun (2023). Rethinking transfer learning for medical image classification.
    BMVC.
    """
    max_fine = check_integer("max_fine", max_fine, 0, "give 0 for the ends of blocks alone")
    source = as_backbone(model)
    points, ends = source.points, [block[-1] for block in source.blocks.values()]
    tell = _teller(progress)
    cuts: list[Cut] = []

    def try_out(stage: str, candidates: Sequence[str]) -> None:
        for number, point in enumerate(candidates, 1):
            network = truncate(source, point, num_outputs, seed=seed)
            parameters, macs = count_parameters(network), count_macs(network, input_size).paper
            tell(f"{stage} search, {number} of {len(candidates)}: {point}, {parameters:,} parameters ...")
            began = time.perf_counter()
            metric = _as_number(evaluate(network), point)
            cuts.append(Cut(stage, point, parameters, macs, metric, time.perf_counter() - began))
            tell(f"    {metric_name} {metric:.4f} in {cuts[-1].seconds:.0f} s; best so far: {_best(cuts).cut}")

    try_out(COARSE, ends)
    if all(math.isnan(each.metric) for each in cuts):
        reject("evaluate", "one that returns a metric", "NaN for all blocks", "check its validation data and labels")
    around = ends.index(_best(cuts).cut)
    low = points.index(ends[around - 1]) if around > 0 else -1
    high = points.index(ends[around + 1]) if around + 1 < len(ends) else len(points)
    between = [point for point in points[low + 1 : high] if point not in ends]
    spread = np.linspace(0, len(between) - 1, min(max_fine, len(between))).round().astype(int)
    try_out(FINE, [between[index] for index in spread])
    return CutSearch(tuple(cuts), metric_name)


def _best(cuts: Sequence[Cut]) -> Cut:
    return max(cuts, key=lambda each: (not math.isnan(each.metric), each.metric, -each.parameters))


def _as_number(metric: Any, point: str) -> float:
    try:
        return float(metric)
    except (TypeError, ValueError) as error:
        fault = f"evaluate must be one that returns a number, got {metric!r} for {point}; return a validation metric"
        raise InvalidInputError(fault) from error


def _teller(progress: bool | None) -> Callable[[str], None]:
    """Return a function that prints a line. No bar is shown, because ``evaluate`` may show one of its own."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    is_shown = console.is_terminal if progress is None else progress
    return console.print if is_shown else lambda _: None
