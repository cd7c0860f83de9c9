"""Fine-tuning by OTCE, towards features in which the source's classes predict the target's, before training a head."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from metricopt._validation import check_integer, check_positive, reject
from metricopt.scoring.forward import device_of
from metricopt.scoring.modes import modes_kept
from metricopt.transfer.transport import import_pot


def tune_by_otce(
    model: nn.Module,
    source: Iterable[tuple[Tensor, Tensor]],
    target: Iterable[tuple[Tensor, Tensor]],
    *,
    embed: Callable[[Tensor], Tensor] | None = None,
    epochs: int = 5,
    learning_rate: float = 1e-4,
    regularisation: float = 0.1,
    balanced: bool = True,
) -> list[float]:
    r"""Tune the features of a network, in place, so that the source's classes predict the target's.

    .. math:: \min_\theta \; H(Y_t \mid Y_s) \quad\text{under}\quad
              \pi_\theta = \arg\min_\pi \langle \pi, c_\theta \rangle + \lambda \, \mathrm{KL}(\pi \,\|\, a b^T)

    with the squared distances :math:`c_\theta` between the features of a batch of each side. Gradients go through the
    plan. Only the features change; the head stays as it is. Train the whole network with :func:`metricopt.fit`
    afterwards.

    Parameters
    ----------
    model : Module
        The network. Those of its parameters that take gradients are changed.
    source, target : DataLoader
        Batches (inputs, classes), with the classes as whole numbers of shape (B,) or (B, 1). An epoch is one pass
        through ``target``. The source is repeated as often as needed.
    embed : callable, optional
        A function from inputs to features (B, d). The default is ``model.embed``, which every network of
        ``metricopt.backbones`` has.
    epochs : int, >= 1
        The number of epochs.
    learning_rate : float, > 0
        Learning rate of the Adam optimizer.
    regularisation : float, > 0
        The weight :math:`\lambda`, in units of the mean cost of a batch. Smaller values give sharper plans, which take
        more steps to find.
    balanced : bool
        Whether every class of a batch weighs the same on both sides. Otherwise a rare class has hardly any effect.

    Returns
    -------
    list of float
        For each epoch, the mean entropy of its batches in nats, each taken before the step.

    Raises
    ------
    InvalidInputError
        If the network has no ``embed`` and none is given, labels have another shape, numbers are out of range, or no
        batch of the target has two classes.
    ImportError
        If POT is not installed (``pip install 'metricopt[transfer]'``).

    References
    ----------
    Y. Tan, E. Zhang, Y. Li, S.-L. Huang, X.-P. Zhang (2022). Transferability-guided cross-domain cross-task transfer
    learning. arXiv:2207.05510.

    Examples
    --------
    >>> import metricopt
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> _ = torch.manual_seed(0)
    >>> def loader(shift):
    ...     labels = (torch.arange(200) % 5 == 0).float()
    ...     inputs = torch.randn(200, 4) + torch.stack([2 * labels, *[torch.zeros(200)] * 3], dim=1)
    ...     return DataLoader(TensorDataset(inputs + shift, labels), batch_size=100)
    >>> model = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 1))
    >>> before, *_, after = tune_by_otce(
    ...     model, loader(0.0), loader(0.5), embed=model[0], epochs=5, learning_rate=0.03
    ... )
    >>> after < before
    True
    >>> result = metricopt.fit(model, loader(0.5), "FPOR", alpha=0.5, epochs=10, progress=False)
    """
    if embed is None:
        embed = getattr(model, "embed", None)
    if embed is None:
        reject("embed", "given for a network without a method embed", None, "pass a callable from inputs to features")
    epochs = check_integer("epochs", epochs, 1, "give for example 5")
    check_positive("learning_rate", learning_rate)
    check_positive("regularisation", regularisation)
    device = device_of(model)
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], learning_rate)
    with modes_kept(model):
        model.train()
        batches = _endless(source)
        return [_one_epoch(optimizer, embed, batches, target, regularisation, balanced, device) for _ in range(epochs)]


def transported_entropy(
    source_features: Tensor,
    source_classes: Tensor,
    target_features: Tensor,
    target_classes: Tensor,
    regularisation: float,
    *,
    balanced: bool = False,
) -> Tensor:
    """Return H(Y_t | Y_s) under the entropic plan between two batches, differentiable in the features of both.

    Parameters
    ----------
    source_features, target_features : Tensor, shapes (n, d) and (m, d), float
        The features of both batches. The plan is found in float64.
    source_classes, target_classes : Tensor, shapes (n,) and (m,)
        The classes of both batches.
    regularisation : float, > 0
        The weight of the entropy of the plan, in units of the cost.
    balanced : bool
        Whether every class weighs the same on both sides.

    Returns
    -------
    Tensor, shape (), float64
        The entropy in nats.
    """
    ot = import_pot()
    from_source, to_target = _one_hot(source_classes), _one_hot(target_classes)
    source_mass, target_mass = _mass(from_source, balanced), _mass(to_target, balanced)
    cost = _squared_distances(source_features.double(), target_features.double())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a plan short of convergence is a gradient all the same
        plan = ot.solve(cost, source_mass, target_mass, reg=regularisation, grad="autodiff").plan
    joint = from_source.T @ plan @ to_target
    given = joint / joint.sum(dim=1, keepdim=True)
    return -torch.special.xlogy(joint, given).sum()


def _one_epoch(
    optimizer: torch.optim.Optimizer,
    embed: Callable[[Tensor], Tensor],
    batches: Iterator[tuple[Tensor, Tensor]],
    target: Iterable[tuple[Tensor, Tensor]],
    regularisation: float,
    balanced: bool,
    device: torch.device,
) -> float:
    entropies = []
    for inputs, labels in target:
        classes = _classes_of("target", labels, device)
        if len(classes.unique()) < 2:
            continue
        source_inputs, source_labels = next(batches)
        source_features, features = embed(source_inputs.to(device)), embed(inputs.to(device))
        scale = float(_squared_distances(source_features.detach().double(), features.detach().double()).mean())
        entropy = transported_entropy(
            source_features,
            _classes_of("source", source_labels, device),
            features,
            classes,
            regularisation * (scale or 1.0),
            balanced=balanced,
        )
        optimizer.zero_grad()
        entropy.backward()
        optimizer.step()
        entropies.append(entropy.item())
    if not entropies:
        remedy = "use larger batches or metricopt.data.BalancedBatchSampler"
        reject("target", "batches of which some have two classes", "one class in every batch", remedy)
    return sum(entropies) / len(entropies)


def _squared_distances(source: Tensor, target: Tensor) -> Tensor:
    middle = target.mean(dim=0).detach()  # what features have in common would cancel
    return import_pot().dist(source - middle, target - middle)


def _mass(one_hot: Tensor, balanced: bool) -> Tensor:
    """Return the weight of each sample, shape (B,), summing to 1."""
    if not balanced:
        return torch.full_like(one_hot[:, 0], 1 / len(one_hot))
    return (one_hot / (one_hot.sum(dim=0) * one_hot.shape[1])).sum(dim=1)


def _one_hot(classes: Tensor) -> Tensor:
    """Return indicators of the classes that occur, (B, C) in float64."""
    return (classes[:, None] == classes.unique()).double()


def _classes_of(side: str, labels: Tensor, device: torch.device) -> Tensor:
    if labels.ndim != 1 and labels.shape[1:] != (1,):
        remedy = "pass one label of several at a time"
        reject(f"{side} labels", "of shape (B,) or (B, 1)", f"shape {tuple(labels.shape)}", remedy)
    labels = labels.double()
    if (labels != labels.floor()).any():
        got = labels[labels != labels.floor()][:3].tolist()
        reject(f"{side} labels", "whole numbers", got, "number the classes, and leave out rows whose label is missing")
    return labels.reshape(-1).to(device)


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield batches, from the beginning again after the last."""
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            reject("source", "a loader with batches", "an empty one", "pass source data")
