"""Clusters of about equal size, and names for them that outlast a new division.

This file decides how rows are divided. What is done with the groups is decided in :mod:`metricopt.solvers.regrouping`.
"""

from __future__ import annotations

import numpy as np

NUM_PASSES = 10
ROOM = 1.25
"""How many times its equal part a cluster may hold."""


def balanced_clusters(features: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Return the cluster of each row, by k-means in which no cluster holds more than 1.25 times its equal part.

    The rows that lose most by another cluster than the nearest choose first.

    Parameters
    ----------
    features : ndarray, shape (n, d), float
        Each column is brought to standard deviation 1.
    number : int, <= n
    seed : int

    Returns
    -------
    ndarray, shape (n,), int

    Examples
    --------
    >>> clusters = balanced_clusters(np.array([[0.0], [0.1], [5.0], [5.1]]), 2, seed=0)
    >>> bool(clusters[0] == clusters[1] != clusters[2] == clusters[3])
    True
    """
    random = np.random.default_rng(seed)
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    centers = _far_apart(scaled, number, random)
    clusters = np.full(len(scaled), -1)
    for _ in range(NUM_PASSES):
        now = _with_room(_distances(scaled, centers), int(np.ceil(ROOM * len(scaled) / number)))
        if (now == clusters).all():
            break
        clusters = now
        for cluster in range(number):
            if (clusters == cluster).any():
                centers[cluster] = scaled[clusters == cluster].mean(axis=0)
    return clusters


def matched(groups: np.ndarray, before: np.ndarray, number: int) -> np.ndarray:
    """Return groups under the names before, so that as many rows as possible keep theirs (the Hungarian method).

    Parameters
    ----------
    groups, before : ndarray, shape (n,), int
        From 0 to ``number`` - 1; -1 for a row without a group before.
    number : int

    Examples
    --------
    >>> matched(np.array([0, 0, 1, 2]), np.array([2, 2, 0, -1]), 3)
    array([2, 2, 0, 1])
    """
    from scipy.optimize import linear_sum_assignment

    shared = np.zeros((number, number))
    known = before >= 0
    np.add.at(shared, (groups[known], before[known]), 1)
    names = np.empty(number, dtype=groups.dtype)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    names[rows] = columns
    return names[groups]


def _far_apart(points: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
    """Return first centers: each a point drawn by its squared distance to those before (k-means++)."""
    centers = [points[random.integers(len(points))]]
    nearest = ((points - centers[0]) ** 2).sum(axis=1)
    while len(centers) < number:
        total = nearest.sum()
        chance = nearest / total if total > 0 else None
        centers.append(points[random.choice(len(points), p=chance)])
        nearest = np.minimum(nearest, ((points - centers[-1]) ** 2).sum(axis=1))
    return np.array(centers)


def _distances(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return squared distances, shape (n, K)."""
    squares = (points**2).sum(axis=1)[:, np.newaxis] + (centers**2).sum(axis=1)
    return squares - 2 * points @ centers.T


def _with_room(distances: np.ndarray, most: int) -> np.ndarray:
    """Return for each row the nearest cluster that has room left."""
    order = np.argsort(distances, axis=1)
    ordered = np.take_along_axis(distances, order, axis=1)
    sizes, clusters = np.zeros(distances.shape[1], dtype=int), np.empty(len(distances), dtype=int)
    for row in np.argsort(ordered[:, 0] - ordered[:, 1], kind="stable"):
        cluster = next(each for each in order[row] if sizes[each] < most)
        clusters[row] = cluster
        sizes[cluster] += 1
    return clusters
