"""OTCE for segmentation: pixels are the samples, those at the borders of regions first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricopt._arrays import to_numpy
from metricopt._validation import check_finite, check_fraction, check_integer, reject
from metricopt.transfer.inputs import Classes, Floats, read_classes, read_features
from metricopt.transfer.otce import lost_classes, match
from metricopt.transfer.sampling import check_size, draw
from metricopt.transfer.score import Score, report


def segmentation_otce(
    source_features: Any,
    source_labels: Any,
    target_features: Any,
    target_labels: Any,
    *,
    ignore_label: int | None = 255,
    boundary_share: float = 0.5,
    boundary_width: int = 1,
    regularisation: float = 0.0,
    max_pixels: int = 10_000,
    balanced: bool = False,
    seed: int = 0,
) -> Score:
    """Return the negative entropy of the target pixels' classes given the source pixels', as transport matches them.

    :func:`metricopt.transfer.otce` with pixels for samples. Most pixels of a region are alike; those near its boundary
    are where segmentations differ, so that a share of the pixels is drawn there.

    Parameters
    ----------
    source_features, target_features : array, shapes (n, d, h, w) and (m, d, h', w')
        Feature maps of both data sets, out of the same layer of the source network.
    source_labels, target_labels : array, shapes (n, h, w) and (m, h', w')
        The class of each pixel, as whole numbers; scale label maps to the features' size by the nearest pixel.
    ignore_label : int, optional
        The class of pixels that are left out.
    boundary_share : float, in [0, 1]
        How many of the pixels are drawn near boundaries, as long as there are any. 0 prefers the others.
    boundary_width : int, >= 1
        How many pixels from another class is near. An ignored pixel is of no class.
    regularisation : float, >= 0
        As for ``otce``.
    max_pixels : int
        A side. 10,000 as in the paper take about 80 s and 4.3 GB, 2,000 about 1 s; time grows faster than the square.
    balanced : bool
        Whether every class weighs the same, on either side, and pixels are drawn of each alike as long as there are
        any.
    seed : int
        Of the draw.

    Returns
    -------
    Score
        In nats, in [-H(Y_t), 0]. ``details`` holds ``domain_difference``, ``task_difference`` and ``boundary_share``,
        the share of the target's drawn pixels that lie near a boundary; the class counts are those of the drawn pixels.

    Warns
    -----
    TransferWarning
        As ``otce``.

    Raises
    ------
    InvalidInputError, ImportError
        As ``otce``; also where labels and feature maps are not of one size.

    References
    ----------
    Y. Tan, Y. Li, S.-L. Huang (2021). Transferability estimation for semantic segmentation task. arXiv:2109.15242.

    Examples
    --------
    >>> labels = np.zeros((2, 8, 8), dtype=int)
    >>> labels[:, 2:6, 2:6] = 1
    >>> maps = labels[:, None] + 0.1 * np.random.default_rng(0).normal(size=(2, 3, 8, 8))
    >>> score = segmentation_otce(maps, labels, maps[::-1], labels)
    >>> score, round(score.details["boundary_share"], 2)
    (Score(0, 128 samples, 32 of the rarest class), 0.5)
    """
    check_fraction("boundary_share", boundary_share, zero=True)
    check_size("max_pixels", max_pixels)
    boundary_width = check_integer("boundary_width", boundary_width, 1, "give for example 1")
    source = _Pixels("source", source_features, source_labels, ignore_label, boundary_width, min_classes=1)
    target = _Pixels("target", target_features, target_labels, ignore_label, boundary_width, min_classes=2)
    random = np.random.default_rng(seed)
    some = source.draw(boundary_share, max_pixels, balanced, random)
    others = target.draw(boundary_share, max_pixels, balanced, random)
    drawn = target.classes.take(others)
    matching = match(
        source.features(some), source.classes.take(some), target.features(others), drawn, 0.0, regularisation, balanced
    )
    caveats = matching.caveats + lost_classes(target.classes, drawn, "max_pixels")
    share = float(target.near[others].mean())
    return report(-matching.task_difference, drawn.counts, caveats, **matching.differences, boundary_share=share)


class _Pixels:
    """The labelled pixels of one side, whose features are only gathered for those that are drawn."""

    def __init__(
        self, side: str, features: Any, labels: Any, ignore_label: int | None, width: int, *, min_classes: int
    ) -> None:
        self._maps = read_features(f"{side}_features", features, ndim=4)
        images, _, *size = self._maps.shape
        array = to_numpy(f"{side}_labels", labels)
        if array.shape != (images, *size):
            remedy = "scale label maps to the features' size by the nearest pixel"
            reject(f"{side}_labels", f"one a pixel of {side}_features, {(images, *size)}", array.shape, remedy)
        check_finite(f"{side}_labels", array)
        counted = np.ones(array.shape, dtype=bool) if ignore_label is None else array != ignore_label
        self._places = np.nonzero(counted)
        self.near = near_boundary(array, counted, width)[counted]
        self.classes: Classes = read_classes(
            f"{side}_labels", array[counted], int(counted.sum()), f"{side}_features", min_classes=min_classes
        )

    def draw(self, boundary_share: float, size: int, balanced: bool, random: np.random.Generator) -> NDArray[np.intp]:
        """Return which of the labelled pixels are taken."""
        groups, shares = self.near.astype(np.intp), [1 - boundary_share, boundary_share]
        if balanced:
            groups, shares = groups + 2 * self.classes.index, shares * len(self.classes.names)
        return draw(groups, shares, size, random)

    def features(self, rows: NDArray[np.intp]) -> Floats:
        """Return the features of some pixels, shape (rows, d)."""
        image, *place = (axis[rows] for axis in self._places)
        return self._maps[image, :, place[0], place[1]]


def near_boundary(labels: NDArray[Any], counted: NDArray[np.bool_], width: int = 1) -> NDArray[np.bool_]:
    """Return which counted pixels of label maps (n, h, w) have one of another class within ``width`` pixels.

    Examples
    --------
    >>> labels = np.array([[[0, 0, 0, 1, 1]]])
    >>> near_boundary(labels, labels >= 0).astype(int)
    array([[[0, 0, 1, 1, 0]]])
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    window = (1, 2 * width + 1, 2 * width + 1)
    values = labels.astype(np.float64)
    highest = maximum_filter(np.where(counted, values, -np.inf), window, mode="nearest")
    lowest = minimum_filter(np.where(counted, values, np.inf), window, mode="nearest")
    return counted & (highest != lowest)
