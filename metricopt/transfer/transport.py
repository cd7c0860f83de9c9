"""Optimal transport between two samples, by POT, and the joint distribution of classes that a plan gives.

This file decides how a plan is found and whether it can be relied on. It leaves the choice of samples and costs to the
scores.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import NamedTuple

import numpy as np

from metricopt._validation import reject
from metricopt.transfer.inputs import Classes, Floats

# Total mass that may lie beside the marginals; exact plans keep to 1e-12.
_TOLERANCE = 1e-6
_SINKHORN_STEPS = 10_000
# Far more than any problem that fits into memory takes; POT's own limit cuts 1,000 samples a side short.
_PIVOTS = 2**62


def import_pot() -> ModuleType:
    """Return the module POT, which ``pip install 'metricopt[transfer]'`` installs.

    Raises
    ------
    ImportError
        If POT is not installed.

    Examples
    --------
    >>> import_pot().unif(4)
    array([0.25, 0.25, 0.25, 0.25])
    """
    try:
        import ot
    except ModuleNotFoundError as error:
        if error.name != "ot":
            raise
        raise ImportError("optimal transport needs POT: run pip install 'metricopt[transfer]'") from error
    return ot


class Plan(NamedTuple):
    """A transport plan.

    Attributes
    ----------
    mass : ndarray, shape (n, m)
        The mass that goes from each source sample to each target sample, summing to 1.
    caveats : list of str
        The reasons not to rely on the plan. The list is empty if there are none.
    """

    mass: Floats
    caveats: list[str]


def squared_distances(source: Floats, target: Floats) -> Floats:
    """Return squared Euclidean distances (n, m), computed after a common mean is subtracted, which could cancel."""
    if source.shape[1] != target.shape[1]:
        rule = f"as wide as the source's ({source.shape[1]} features)"
        reject("target_features", rule, target.shape[1], "take both from the same layer of the same network")
    middle = target.mean(axis=0)
    return import_pot().dist(source - middle, target - middle)


def transport(cost: Floats, source_mass: Floats, target_mass: Floats, regularisation: float = 0.0) -> Plan:
    """Return the cheapest plan, exact or with entropic regularisation in the log domain.

    Parameters
    ----------
    cost : ndarray, shape (n, m)
        The cost of each pair of samples.
    source_mass, target_mass : ndarray, shapes (n,) and (m,)
        The marginals, each summing to 1.
    regularisation : float, >= 0
        The weight of the entropy, in units of the cost. With 0 the plan is exact.
    """
    ot = import_pot()
    scale = cost.max() or 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said below, as caveats
        if regularisation == 0:
            mass, log = ot.emd(source_mass, target_mass, cost / scale, numItermax=_PIVOTS, log=True)
            caveats = [f"the transport plan is not optimal: {log['warning']}"] if log["warning"] else []
        else:
            mass = ot.sinkhorn(
                source_mass,
                target_mass,
                cost / scale,
                regularisation / scale,
                method="sinkhorn_log",
                numItermax=_SINKHORN_STEPS,
                stopThr=1e-10,
            )
            caveats = []
    error = float(np.abs(mass.sum(axis=1) - source_mass).sum() + np.abs(mass.sum(axis=0) - target_mass).sum())
    if not error <= _TOLERANCE:
        caveats.append(f"the transport plan misses its marginals by {error:.1g}; raise regularisation")
    return Plan(mass, caveats)


def joint_of_classes(mass: Floats, source: Classes, target: Classes) -> Floats:
    """Return the mass from each source class to each target class, shape (source classes, target classes)."""
    return source.one_hot().T @ mass @ target.one_hot()


def distances_between_classes(cost: Floats, source: Classes, target: Classes) -> Floats:
    """Return the exact transport cost between classes, shape (source classes, target classes)."""
    emd2 = import_pot().emd2
    distances = np.empty((len(source.names), len(target.names)))
    for row in range(len(source.names)):
        for column in range(len(target.names)):
            block = cost[np.ix_(source.index == row, target.index == column)]
            distances[row, column] = emd2([], [], block, numItermax=_PIVOTS)
    return distances
