"""A chest without findings, drawn in gray levels, into which the signs of findings are drawn.

This file decides the normal anatomy of a frontal and a lateral view, and how much it varies. It leaves the signs of
findings to :mod:`metricopt.data.chexpert.findings`.

Coordinates run from -1 to 1, x to the right of the image and y downwards. Gray levels are attenuations, from 0 (air) to
about 1 (bone), bright in the image as on a radiograph.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Lung:
    """The place of one lung.

    Attributes
    ----------
    mask : ndarray, shape (height, width)
        1 inside the lung and 0 outside, with a soft edge.
    depth : ndarray, shape (height, width)
        0 at the axis of the lung, 1 at its edge, and more outside.
    x, y, half_width, half_height : float
        The middle of the lung, and half of its width and height.
    outward : int
        The direction of x in which the chest wall lies, 1 or -1.
    """

    mask: Field
    depth: Field
    x: float
    y: float
    half_width: float
    half_height: float
    outward: int


class Chest:
    """A drawing in progress.

    Parameters
    ----------
    height, width : int
        The size of the image in pixels.
    random : RandomState
        The generator of all variation.
    lateral : bool
        Whether the chest is seen from the side.
    heart, mediastinum : float
        The sizes of heart and mediastinum, relative to normal ones.
    """

    def __init__(
        self,
        height: int,
        width: int,
        random: np.random.RandomState,
        *,
        lateral: bool,
        heart: float = 1.0,
        mediastinum: float = 1.0,
    ) -> None:
        self.random = random
        turn, scale = random.normal(0, 0.03), random.uniform(0.92, 1.06)
        shift_x, shift_y = random.normal(0, 0.03, size=2)
        y, x = np.meshgrid(_axis(height) - shift_y, _axis(width) - shift_x, indexing="ij")
        self.x, self.y = ((x + turn * y) * scale).astype(np.float32), ((y - turn * x) * scale).astype(np.float32)
        self.pixel = 2.0 * scale / min(height, width)
        self.lateral = lateral
        heart *= random.normal(1.0, 0.07)
        mediastinum *= random.normal(1.0, 0.1)
        if lateral:
            self._draw_lateral(heart, mediastinum)
        else:
            self._draw_frontal(heart, mediastinum)

    def soft(self, excess: Field, softness: float) -> Field:
        """Return 1 where ``excess`` is well above 0, and 0 well below, with an edge of width ``softness``."""
        # never sharper than a pixel, which is what keeps small images free of jagged edges
        return 0.5 + 0.5 * np.tanh(excess * np.float32(1 / max(softness, 0.7 * self.pixel)))

    def disc(self, x: float, y: float, width: float, height: float, softness: float, turned: float = 0.0) -> Field:
        """Return an ellipse with the given half axes, turned clockwise by radians."""
        away_x, away_y = self.x - np.float32(x), self.y - np.float32(y)
        if turned:
            cosine, sine = np.float32(np.cos(turned)), np.float32(np.sin(turned))
            away_x, away_y = cosine * away_x + sine * away_y, cosine * away_y - sine * away_x
        radius = np.hypot(away_x / np.float32(width), away_y / np.float32(height))
        return self.soft((1 - radius) * np.float32(min(width, height)), softness)

    def cloud(self, x: float, y: float, width: float, height: float) -> Field:
        """Return a Gaussian spot."""
        across, along = (self.x - np.float32(x)) / np.float32(width), (self.y - np.float32(y)) / np.float32(height)
        return np.exp(-(across * across + along * along))

    def stroke(self, points: list[tuple[float, float]], width: float) -> Field:
        """Return a line through the points."""
        nearest = np.full_like(self.x, np.inf)
        for (x0, y0), (x1, y1) in pairwise(points):
            dx, dy = x1 - x0, y1 - y0
            along = ((self.x - np.float32(x0)) * np.float32(dx) + (self.y - np.float32(y0)) * np.float32(dy)) / (
                np.float32(dx * dx + dy * dy + 1e-9)
            )
            along = np.clip(along, 0, 1)
            away_x = self.x - np.float32(x0) - along * np.float32(dx)
            away_y = self.y - np.float32(y0) - along * np.float32(dy)
            nearest = np.minimum(nearest, away_x * away_x + away_y * away_y)
        width = max(width, 0.6 * self.pixel)
        return np.exp(-nearest / np.float32(width * width))

    def texture(self, coarse: int) -> Field:
        """Return smooth noise of mean 0 and deviation about 1, with ``coarse`` spots along each side."""
        grid = self.random.standard_normal((coarse, coarse)).astype(np.float32)
        rows, columns = (_smooth_weights(size, coarse) for size in self.x.shape)
        return rows @ grid @ columns.T

    def _draw_frontal(self, heart: float, mediastinum: float) -> None:
        random, x, y = self.random, self.x, self.y
        away = np.abs(x)
        shoulders = -0.86 + 0.42 * away**2.5
        body = self.soft(y - shoulders, 0.04) * self.soft(np.float32(random.uniform(0.94, 1.04)) - away, 0.03)
        neck = self.soft(np.float32(0.2) - away, 0.05)
        self.image = 0.52 * np.maximum(body, 0.8 * neck)

        inspiration = random.normal(0, 0.05)
        base = 0.52 + inspiration
        self.lungs = []
        for outward in (-1, 1):
            middle, half_width, top = 0.43 * outward, 0.33, -0.76
            narrowing = np.clip(0.4 + 0.7 * (y - top), 0.3, 1.0)  # at the apex
            sideways = (x - np.float32(middle + 0.1 * outward) + 0.1 * outward * narrowing) / (half_width * narrowing)
            dome = base - 0.04 * outward + 0.11 * sideways**2 + 0.05 * sideways * outward
            upwards, downwards = (np.float32(0.1 + top) - y) / 0.1, (y - dome) / 0.3
            depth = np.abs(sideways) ** 2.4 + np.clip(upwards, 0, None) ** 2
            inside = self.soft((1 - depth) * 0.15, 0.03) * self.soft(-downwards * 0.3, 0.02)
            self.lungs.append(Lung(inside, depth, middle, (top + base) / 2, half_width, (base - top) / 2, outward))
        for lung in self.lungs:
            self.image -= 0.36 * lung.mask
        self.base = base

        spine = self.soft(0.075 - away, 0.02)
        self.image += spine * (0.05 + 0.025 * np.cos(y * 38))
        width = 0.12 * mediastinum
        upper = self.soft(width + 0.1 * np.clip(y + 0.35, 0, 1) - away, 0.025)
        upper *= self.soft(0.6 - y, 0.2) * self.soft(y + 0.75, 0.2)
        aorta = self.disc(0.04 + 0.6 * width, -0.28, 0.1, 0.11, 0.02)
        self.image += 0.14 * upper + 0.09 * aorta * (1 - 0.5 * upper)
        # the right border hardly moves: a heart grows to the left side of the patient, the right of the image
        wide, high = 0.31 * heart, 0.22 * heart**0.7
        ventricles = self.disc(wide - 0.2, base - 0.17, wide, high, 0.02, turned=0.45)
        atrium = self.disc(-0.06, base - 0.2, 0.16, 0.2, 0.03)
        level = 0.55 + 0.03 * random.standard_normal()
        self.image = np.maximum(self.image, level * np.maximum(ventricles, atrium))
        self._draw_vessels()
        self._draw_ribs()
        for side in (-1, 1):
            ends = [(0.07 * side, -0.62), (0.4 * side, -0.68), (0.82 * side, -0.8)]
            self.image += 0.1 * self.stroke(ends, 0.03)
        if random.random_sample() < 0.4:  # air in the stomach, which is no finding
            self.image -= 0.2 * self.cloud(0.4, base + 0.22, 0.14, 0.08)
        if random.random_sample() < 0.4:  # breasts
            for side in (-1, 1):
                self.image += 0.06 * self.disc(0.45 * side, 0.38, 0.32, 0.26, 0.05)

    def _draw_lateral(self, heart: float, mediastinum: float) -> None:
        random, x, y = self.random, self.x, self.y
        body = self.soft(0.86 + 0.06 * y - np.abs(x - 0.02), 0.04) * self.soft(y + 0.9 - 0.1 * x**2, 0.04)
        self.image = 0.55 * body
        base = 0.5 + random.normal(0, 0.05)
        self.base = base
        narrowing = np.clip(0.5 + 0.6 * (y + 0.78), 0.4, 1.0)
        sideways = (x - 0.02) / (0.6 * narrowing)
        dome = base + 0.25 * np.clip(sideways, -0.5, 1) ** 3 - 0.05
        depth = np.abs(sideways) ** 2.4 + np.clip((-0.68 - y) / 0.1, 0, None) ** 2
        inside = self.soft((1 - depth) * 0.2, 0.03) * self.soft(dome - y, 0.02)
        self.lungs = [Lung(inside, depth, 0.02, -0.13, 0.6, 0.63, 1)]
        self.image -= 0.34 * inside
        spine = self.soft(0.1 - np.abs(x - 0.55 - 0.08 * np.cos(2.2 * y)), 0.03)
        self.image += spine * (0.1 + 0.03 * np.cos(y * 34)) * self.soft(0.9 - y, 0.2)
        silhouette = self.disc(0.12 * heart - 0.32, base - 0.24, 0.3 * heart, 0.24 * heart**0.7, 0.03, turned=-0.4)
        self.image = np.maximum(self.image, 0.52 * silhouette)
        self.image += 0.12 * self.soft(0.12 * mediastinum - np.abs(x - 0.05), 0.05) * self.soft(-0.1 - y, 0.1) * body
        self.image += 0.14 * self.stroke([(-0.62, -0.55), (-0.7, -0.1), (-0.68, 0.3)], 0.03)
        self._draw_vessels()
        self._draw_ribs()

    def _draw_vessels(self) -> None:
        """Draw the branches that leave the hila, and fine texture."""
        texture = 0.022 * self.texture(9) + 0.018 * self.texture(18)
        for lung in self.lungs:
            hilum_x = lung.x - 0.55 * lung.half_width * lung.outward
            hilum_y = lung.y + 0.12
            branches = np.zeros_like(self.x)
            for _ in range(4):
                angle = self.random.uniform(-1.3, 1.3)
                reach = self.random.uniform(0.5, 0.9) * lung.half_width * 1.4
                bend = angle + self.random.normal(0, 0.3)
                middle = (hilum_x + 0.5 * reach * lung.outward * np.cos(angle), hilum_y + 0.5 * reach * np.sin(angle))
                end = (middle[0] + 0.5 * reach * lung.outward * np.cos(bend), middle[1] + 0.5 * reach * np.sin(bend))
                branches = np.maximum(branches, self.stroke([(hilum_x, hilum_y), middle, end], 0.016))
            hilum = self.cloud(hilum_x, hilum_y, 0.09, 0.13)
            self.image += lung.mask * (0.07 * branches + 0.1 * hilum + texture)

    def _draw_ribs(self) -> None:
        """Draw the ribs as one periodic pattern: bands that sink from the spine to the sides."""
        self.rib_spacing = 0.165
        away = np.abs(self.x) if not self.lateral else np.clip(0.7 - self.x, 0, None)
        sinking = 0.3 * away**1.5 if not self.lateral else 0.35 * away
        phase = (self.y - sinking + self.random.uniform(0, 1) * self.rib_spacing) / np.float32(self.rib_spacing)
        band = np.exp(-(((phase - np.round(phase)) / 0.17) ** 2))
        reach = self.soft(0.86 - np.abs(self.x), 0.03) * self.soft(self.y + 0.74, 0.05)
        self.ribs = (band * reach * self.soft(self.base + 0.12 - self.y, 0.06)).astype(np.float32)
        self.rib_phase = phase
        self.image += (0.075 if not self.lateral else 0.05) * self.ribs


def _axis(size: int) -> Field:
    return ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1).astype(np.float32)


def _smooth_weights(size: int, coarse: int) -> Field:
    """Return the weights that turn ``coarse`` values into ``size`` smooth ones. Their squares sum to about 1."""
    centres = _axis(coarse)
    weights = np.exp(-(((_axis(size)[:, np.newaxis] - centres) * coarse / 2) ** 2) * 1.5)
    return (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)
