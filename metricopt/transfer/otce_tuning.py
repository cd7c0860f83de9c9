"""Fine-tuning guided by OTCE: features in which the source's classes tell the target's, before any head is trained."""

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
    r"""Tune a network's features, in place, so that the source's classes tell the target's; then train it with ``fit``.

    .. math:: \min_\theta \; H(Y_t \mid Y_s) \quad\text{under}\quad
              \pi_\theta = \arg\min_\pi \langle \pi, c_\theta \rangle + \lambda \, \mathrm{KL}(\pi \,\|\, a b^T)

    with the squared distances :math:`c_\theta` between the features of a batch of each side. Gradients go through the
    plan. Only the features change: the head is as before, and is trained with what follows.

    Parameters
    ----------
    model : Module
        Whose parameters are stepped, those that take gradients.
    source, target : DataLoader
        Batches (inputs, classes), classes of shape (B,) or (B, 1) as whole numbers. An epoch is once through
        ``target``, the source being repeated as long as it takes.
    embed : callable, optional
        Maps inputs to features (B, d); ``model.embed`` by default, which every network of ``metricopt.backbones`` has.
    epochs : int, >= 1
    learning_rate : float, > 0
        Of Adam.
    regularisation : float, > 0
        :math:`\lambda`, in units of a batch's mean cost. Smaller means sharper plans and more steps to find them.
    balanced : bool
        Whether every class of a batch weighs the same, on either side; otherwise a rare one is hardly heard.

    Returns
    -------
    list of float
        The mean entropy of each epoch's batches in nats, before their steps.

    Raises
    ------
    InvalidInputError
        Where the network has no ``embed`` and none is given, on labels of other shapes, on numbers out of range, and if
        no batch of the target has two classes.
    ImportError
        Without POT (``pip install 'metricopt[transfer]'``).

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
        The plan is found in float64.
    source_classes, target_classes : Tensor, shapes (n,) and (m,)
    regularisation : float, > 0
        In units of the cost.
    balanced : bool
        Whether every class weighs the same, on either side.

    Returns
    -------
    Tensor, shape (), float64
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
    """Return what each sample weighs, shape (B,), 1 in all."""
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
        reject(f"{side} labels", "whole numbers, one a class", "others", "leave out rows whose label is missing")
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
