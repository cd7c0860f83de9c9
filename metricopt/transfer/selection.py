"""Transferability scores of all networks, or of all places to cut a network, from one pass of the data.

This file decides by which features a candidate is judged, and collects its scores and their times. It leaves the scores
to the files beside it, and how the result is shown to :mod:`metricopt.transfer.ranking`.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metricopt._arrays import to_numpy
from metricopt._validation import InvalidInputError, check_choice, reject
from metricopt.backbones.backbone import Backbone, Normalisation
from metricopt.backbones.counting import count_parameters
from metricopt.backbones.families import as_backbone
from metricopt.backbones.truncation import truncate
from metricopt.data.loaders import split_batch
from metricopt.problem.classes import is_blank
from metricopt.progress import Display
from metricopt.transfer.activations import LayerOutputs, spatial_mean
from metricopt.transfer.h_score import h_score
from metricopt.transfer.inputs import read_classes
from metricopt.transfer.leep import leep
from metricopt.transfer.log_me import log_me
from metricopt.transfer.n_leep import n_leep
from metricopt.transfer.nce import nce
from metricopt.transfer.ranking import Candidate, TransferRanking
from metricopt.transfer.rescaling import Rescaling
from metricopt.transfer.score import Score, TransferWarning

ScoreFunction: TypeAlias = "Callable[[NDArray[Any], NDArray[Any]], float]"

FEATURE_SCORES: dict[str, Callable[..., Score]] = {
    "h_score": h_score,
    "h_score_shrunk": partial(h_score, shrinkage=True),
    "log_me": log_me,
    "n_leep": n_leep,
}
"""The scores that are computed from features (n, d) and labels (n,), by name."""

SOURCE_SCORES: dict[str, ScoreFunction] = {
    "leep": leep,
    "nce": lambda probabilities, labels: nce(probabilities.argmax(axis=1), labels),
}
"""The scores that are computed from the source model's probabilities (n, Z) and labels (n,), by name."""


def rank_cuts(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    scores: Sequence[str] | Mapping[str, ScoreFunction] = tuple(FEATURE_SCORES),
    points: Sequence[str] | None = None,
    progress: bool | None = None,
) -> TransferRanking:
    """Rank the places where a pretrained network can be cut, without training anything.

    One pass of the data through the whole network gives the features of every cut. They are the input of the head of
    ``truncate(model, point)``: the feature maps of the point under a global average pool. A score says how well a
    linear head would do on them.

    Parameters
    ----------
    model : Backbone, or a network of torchvision
        The network with the weights to start from. It stays as it is, and is used in evaluation mode.
    loader : iterable of (x, y)
        Training data without augmentation, where y is the class of each sample: numbers, of shape (B,) or (B, 1), with
        NaN where it is missing, or B names. All features are kept in memory, which takes 4 bytes times the number of
        rows times the sum of the widths of all cuts.
    scores : sequence of str, or dict of str to callable
        The names of scores in ``FEATURE_SCORES``: ``"h_score"``, ``"h_score_shrunk"``, ``"log_me"``, ``"n_leep"``. Or
        functions ``(features (n, d), labels (n,)) -> float`` under names of your own, where higher is better.
    points : sequence of str, optional
        Some of :func:`metricopt.backbones.cut_points`, or names of blocks for their last points. The default is all.
    progress : bool, optional
        Whether to show a progress bar. The default is to show one if standard error is a terminal.

    Returns
    -------
    TransferRanking
        The ranking, with a candidate for each point, from the image upwards.

    Warns
    -----
    TransferWarning
        If a score cannot be trusted for some candidates. There is one warning for each score, with the reason.

    Raises
    ------
    InvalidInputError
        If a point or a score does not exist, the labels are not classes or all the same, features are not finite, or a
        score fails for all candidates.

    Examples
    --------
    >>> from metricopt.backbones import CBRDesign, build_cbr
    >>> random = torch.Generator().manual_seed(0)
    >>> x, y = torch.randn(60, 3, 32, 32, generator=random), torch.arange(60) % 2
    >>> x[y == 1] *= 3
    >>> ranking = rank_cuts(build_cbr(CBRDesign(3, (4, 8))), [(x[:30], y[:30]), (x[30:], y[30:])], scores=["log_me"])
    >>> [(each.name, each.width, each.parameters) for each in ranking.candidates]
    [('block1', 4, 125), ('block2', 8, 441)]
    """
    functions = _functions(scores, FEATURE_SCORES)
    source = as_backbone(model)
    chosen = source.points if points is None else [source.resolve("points", point) for point in points]
    outline = _outline(source)
    sizes = {point: count_parameters(truncate(outline, point)) for point in chosen}
    with Display(progress) as display:
        began = time.perf_counter()
        with LayerOutputs(source, chosen, spatial_mean, "points") as listener:
            pooled, _, labels = _gather({"": listener}, loader, display, None)
        features = {point: pooled["", point] for point in chosen}
        return _rank("cut", functions, features, {}, labels, sizes, time.perf_counter() - began, display)


def rank_sources(
    models: Mapping[str, nn.Module],
    loader: Iterable[Any],
    *,
    scores: Sequence[str] | Mapping[str, ScoreFunction] = tuple(FEATURE_SCORES),
    normalisation: Normalisation | None = None,
    progress: bool | None = None,
) -> TransferRanking:
    """Rank pretrained networks by how well they suit a task, without training anything.

    Each network is judged by its pooled features, the input of its head. The data pass once through all networks.

    Parameters
    ----------
    models : dict of str to Backbone, or network of torchvision
        The networks, under names of your own. They stay as they are, and are used in evaluation mode.
    loader : iterable of (x, y)
        Training data, as for :func:`rank_cuts`.
    scores : sequence of str, or dict of str to callable
        The scores, as for :func:`rank_cuts`. Two more are ``"leep"`` and ``"nce"``, for networks with the head of their
        own source task: they use the probabilities of the source classes (the softmax of the outputs, or the sigmoid of
        a single one).
    normalisation : Normalisation, optional
        The scale of the loader's images. Each network then gets them in the scale that it expects. By default all
        networks get the images as they are.
    progress : bool, optional
        Whether to show a progress bar. The default is to show one if standard error is a terminal.

    Returns
    -------
    TransferRanking
        The ranking, with a candidate for each network, in the order given.

    Warns
    -----
    TransferWarning
        If :func:`rank_cuts` would warn.

    Raises
    ------
    InvalidInputError
        If :func:`rank_cuts` would raise, or ``models`` is not a dict of networks.

    Examples
    --------
    >>> from metricopt.backbones import CBRDesign, build_cbr
    >>> sources = {f"seed {seed}": build_cbr(CBRDesign(3, (4, 8)), seed=seed) for seed in (0, 1)}
    >>> random = torch.Generator().manual_seed(0)
    >>> data = [(torch.randn(40, 3, 32, 32, generator=random), torch.arange(40) % 2)]
    >>> rank_sources(sources, data, scores=["log_me", "h_score"]).to_frame().columns.tolist()[:3]
    ['source', 'width', 'parameters']
    """
    if not isinstance(models, Mapping) or not models:
        reject("models", "a dict of names to networks", type(models).__name__, "give for example {'resnet18': model}")
    functions = _functions(scores, FEATURE_SCORES | SOURCE_SCORES)
    sources = {name: as_backbone(model) for name, model in models.items()}
    sizes = {name: count_parameters(truncate(_outline(source))) for name, source in sources.items()}
    ends = {name: source.points[-1:] for name, source in sources.items()}
    rescale = {name: Rescaling(normalisation, source.normalisation) for name, source in sources.items()}
    with Display(progress) as display, ExitStack() as stack:
        began = time.perf_counter()
        listeners = {
            name: stack.enter_context(LayerOutputs(source, ends[name], spatial_mean, "models"))
            for name, source in sources.items()
        }
        pooled, outputs, labels = _gather(listeners, loader, display, rescale)
        features = {name: values for (name, _), values in pooled.items()}
        return _rank("source", functions, features, outputs, labels, sizes, time.perf_counter() - began, display)


def _functions(scores: Any, known: Mapping[str, ScoreFunction]) -> dict[str, ScoreFunction]:
    if isinstance(scores, Mapping) and scores and all(callable(function) for function in scores.values()):
        return dict(scores)
    if isinstance(scores, (str, Mapping)) or not scores or len(set(scores)) < len(scores):
        remedy = f"choose from {', '.join(known)}"
        reject("scores", "different names, or functions by name", repr(scores), remedy)
    for name in scores:
        check_choice("scores", name, known)
    return {name: known[name] for name in scores}


def _outline(source: Backbone) -> Backbone:
    """Return a copy of a network that has shapes but no numbers, for counting."""
    return copy.deepcopy(source).to("meta")


def _gather(
    listeners: Mapping[str, LayerOutputs],
    loader: Iterable[Any],
    display: Display,
    rescale: Mapping[str, Callable[[Tensor], Tensor]] | None,
) -> tuple[dict[tuple[str, str], NDArray[np.float32]], dict[str, NDArray[np.float64]], NDArray[Any]]:
    """Return the features by network and point, the probabilities by network, and the labels, of all labelled rows."""
    pooled: dict[tuple[str, str], list[Tensor]] = {}
    outputs: dict[str, list[Tensor]] = {name: [] for name in listeners}
    labels: list[NDArray[Any]] = []
    for batch in display.watch(loader, "features"):
        x, y = split_batch(batch)
        classes, is_known = _classes_of(y)
        labels.append(classes[is_known])
        known = torch.from_numpy(is_known)
        for name, listener in listeners.items():
            found, final = listener(x if rescale is None else rescale[name](x))
            for point, values in found.items():
                pooled.setdefault((name, point), []).append(values.cpu().float()[known])
            outputs[name].append(final.cpu()[known])
    if not sum(map(len, labels)):
        reject("loader", "one with labelled samples", "none", "check its data set and labels")
    features = {key: torch.cat(parts).numpy() for key, parts in pooled.items()}
    return features, {name: _probabilities(torch.cat(parts)) for name, parts in outputs.items()}, np.concatenate(labels)


def _classes_of(y: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the class of each sample of a batch, numbers or names, and whether it has one: not NaN, None or empty."""
    is_named = isinstance(y, (list, tuple, np.ndarray)) and any(isinstance(each, str) for each in y)
    classes = np.asarray(y, dtype=object) if is_named else to_numpy("labels", y).astype(np.float64)
    if classes.ndim not in (1, 2) or classes.size != len(classes):
        reject("labels", "one class for each sample", f"shape {classes.shape}", "yield one label, e.g. y[:, 2]")
    classes = classes.reshape(-1)
    return classes, np.array([not is_blank(each) for each in classes.tolist()]) if is_named else ~np.isnan(classes)


def _probabilities(logits: Tensor) -> NDArray[np.float64]:
    logits = logits.double()
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)  # whose softmax is the sigmoid
    return logits.softmax(dim=1).numpy()


def _rank(
    what: str,
    functions: Mapping[str, ScoreFunction],
    features: Mapping[str, NDArray[np.float32]],
    probabilities: Mapping[str, NDArray[np.float64]],
    labels: NDArray[Any],
    sizes: Mapping[str, int],
    seconds: float,
    display: Display,
) -> TransferRanking:
    classes = read_classes("labels", labels, len(labels), "the loader")
    for name, columns in features.items():
        if not np.isfinite(columns).all():
            reject("model", "one whose features are finite", f"NaN or infinity at {name!r}", "check weights and inputs")
    candidates = []
    for name in display.watch(list(features), "scores"):
        values: dict[str, float] = {}
        times: dict[str, float] = {}
        caveats: dict[str, tuple[str, ...]] = {}
        for score, function in functions.items():
            began = time.perf_counter()
            is_of_source = function is SOURCE_SCORES.get(score)
            basis: NDArray[Any] = probabilities[name] if is_of_source else features[name]
            values[score], caveats[score] = _value(function, basis, labels)
            times[score] = time.perf_counter() - began
        width, parameters = features[name].shape[1], sizes[name]
        candidates.append(Candidate(name, width, parameters, values, times, caveats))
    _report(functions, candidates)
    return TransferRanking(what, tuple(candidates), classes.counts, seconds)


def _value(function: ScoreFunction, basis: NDArray[Any], labels: NDArray[Any]) -> tuple[float, tuple[str, ...]]:
    """Return a score and its caveats, or NaN and the reason if it cannot be computed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TransferWarning)  # told once a score, not once a candidate
            value = function(basis, labels)
    except InvalidInputError as error:
        return float("nan"), (str(error),)
    return float(value), tuple(getattr(value, "caveats", ()))


def _report(functions: Iterable[str], candidates: Sequence[Candidate]) -> None:
    """Warn once for each score that has caveats, and reject a score that failed for all candidates."""
    for score in functions:
        doubted = [each for each in candidates if each.caveats[score]]
        if all(np.isnan(each.scores[score]) for each in candidates):
            first = f": {doubted[0].caveats[score][0]}" if doubted else ""
            reject("scores", "ones that can be computed", f"NaN from {score} for all candidates{first}", "leave it out")
        if doubted:
            text = f"{score}, for {len(doubted)} of {len(candidates)} candidates, such as {doubted[0].name}"
            warnings.warn(f"{text}: {'; '.join(doubted[0].caveats[score])}", TransferWarning, stacklevel=4)
