"""OTCE for segmentation, whose samples are pixels, with more of them from the borders of regions."""

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
    boundary_fraction: float = 0.5,
    boundary_width: int = 1,
    regularisation: float = 0.0,
    max_pixels: int = 10_000,
    balanced: bool = False,
    seed: int = 0,
) -> Score:
    """Return the negative entropy of the target pixels' classes given the source pixels', matched by optimal transport.

    It is :func:`metricopt.transfer.otce` with pixels as samples. Most pixels of a region are similar, and segmentations
    differ near its boundary, so a given fraction of the pixels is drawn there.

    Parameters
    ----------
    source_features, target_features : array, shapes (n, d, h, w) and (m, d, h', w')
        The feature maps of both data sets, from the same layer of the source network.
    source_labels, target_labels : array, shapes (n, h, w) and (m, h', w')
        The class of each pixel, as whole numbers. Scale label maps to the size of the feature maps by the nearest
        pixel.
    ignore_label : int, optional
        The class of pixels that are left out.
    boundary_fraction : float, in [0, 1]
        The fraction of the pixels that is drawn near boundaries, as far as there are enough. With 0 pixels elsewhere
        are preferred.
    boundary_width : int, >= 1
        How many pixels from another class a pixel counts as near a boundary. Ignored pixels have no class.
    regularisation : float, >= 0
        The weight of the entropy of the plan, as for ``otce``.
    max_pixels : int
        How many pixels of each side are drawn at most. The paper's 10,000 take about 80 s and 4.3 GB, and 2,000 take
        about 1 s. Time grows faster than the square of this number.
    balanced : bool
        Whether every class weighs the same on both sides, and equally many pixels of each class are drawn as far as
        there are enough.
    seed : int
        The seed by which pixels are drawn.

    Returns
    -------
    Score
        A number in nats, in [-H(Y_t), 0]. ``details`` holds ``domain_difference``, ``task_difference`` and
        ``boundary_fraction``, the fraction of the target's drawn pixels that lie near a boundary. The class counts are
        those of the drawn pixels.

    Warns
    -----
    TransferWarning
        If ``otce`` would warn.

    Raises
    ------
    InvalidInputError, ImportError
        If ``otce`` would raise, or labels and feature maps differ in size.

    References
    ----------
    Y. Tan, Y. Li, S.-L. Huang (2021). Transferability estimation for semantic segmentation task. arXiv:2109.15242.

    Examples
    --------
    >>> labels = np.zeros((2, 8, 8), dtype=int)
    >>> labels[:, 2:6, 2:6] = 1
    >>> maps = labels[:, None] + 0.1 * np.random.default_rng(0).normal(size=(2, 3, 8, 8))
    >>> score = segmentation_otce(maps, labels, maps[::-1], labels)
    >>> score, round(score.details["boundary_fraction"], 2)
    (Score(0, 128 samples, 32 of the rarest class), 0.5)
    """
    check_fraction("boundary_fraction", boundary_fraction, zero=True)
    check_size("max_pixels", max_pixels)
    boundary_width = check_integer("boundary_width", boundary_width, 1, "give for example 1")
    source = _Pixels("source", source_features, source_labels, ignore_label, boundary_width, min_classes=1)
    target = _Pixels("target", target_features, target_labels, ignore_label, boundary_width, min_classes=2)
    random = np.random.default_rng(seed)
    some = source.draw(boundary_fraction, max_pixels, balanced, random)
    others = target.draw(boundary_fraction, max_pixels, balanced, random)
    drawn = target.classes.take(others)
    matching = match(
        source.features(some), source.classes.take(some), target.features(others), drawn, 0.0, regularisation, balanced
    )
    caveats = matching.caveats + lost_classes(target.classes, drawn, "max_pixels")
    near = float(target.near[others].mean())
    return report(-matching.task_difference, drawn.counts, caveats, **matching.differences, boundary_fraction=near)


class _Pixels:
    """The labelled pixels of one side. Features are gathered only for the pixels that are drawn."""

    def __init__(
        self, side: str, features: Any, labels: Any, ignore_label: int | None, width: int, *, min_classes: int
    ) -> None:
        self._maps = read_features(f"{side}_features", features, ndim=4)
        images, _, *size = self._maps.shape
        array = to_numpy(f"{side}_labels", labels)
        if array.shape != (images, *size):
            remedy = "scale label maps to the features' size by the nearest pixel"
            rule = f"of shape {(images, *size)}, one label for each pixel of {side}_features"
            reject(f"{side}_labels", rule, f"shape {array.shape}", remedy)
        check_finite(f"{side}_labels", array)
        counted = np.ones(array.shape, dtype=bool) if ignore_label is None else array != ignore_label
        self._places = np.nonzero(counted)
        self.near = near_boundary(array, counted, width)[counted]
        self.classes: Classes = read_classes(
            f"{side}_labels", array[counted], int(counted.sum()), f"{side}_features", min_classes=min_classes
        )

    def draw(
        self, boundary_fraction: float, size: int, balanced: bool, random: np.random.Generator
    ) -> NDArray[np.intp]:
        """Return the numbers of the labelled pixels that are drawn."""
        groups, proportions = self.near.astype(np.intp), [1 - boundary_fraction, boundary_fraction]
        if balanced:
            groups, proportions = groups + 2 * self.classes.index, proportions * len(self.classes.names)
        return draw(groups, proportions, size, random)

    def features(self, rows: NDArray[np.intp]) -> Floats:
        """Return the features of some pixels, shape (rows, d)."""
        image, *place = (axis[rows] for axis in self._places)
        return self._maps[image, :, place[0], place[1]]


def near_boundary(labels: NDArray[Any], counted: NDArray[np.bool_], width: int = 1) -> NDArray[np.bool_]:
    """Return which counted pixels of label maps (n, h, w) have a pixel of another class within ``width`` pixels.

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
