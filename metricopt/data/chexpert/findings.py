"""The signs of CheXpert's findings, drawn into a chest.

This file decides what each finding looks like and how faint it may be. It leaves the chest to
:mod:`metricopt.data.chexpert.anatomy` and the files to :mod:`metricopt.data.chexpert.synthetic`.

The signs are sketches as in a textbook, made so that small networks learn them within minutes. A result on them says
nothing about radiographs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from metricopt.data.chexpert.anatomy import Chest, Lung

FAINTEST = 0.35
"""The lowest strength of a stated finding that is visible at all."""

HEART_GROWTH, MEDIASTINUM_GROWTH = 0.45, 1.0
"""How much heart and mediastinum grow at full strength, relative to their normal sizes."""

MISSED, OVERCALLED, UNCERTAIN_SHOWN = 0.06, 0.03, 0.6
"""The fractions of stated findings left undrawn, of other findings drawn faintly, and of uncertain findings drawn."""


def draw_strengths(raw_labels: NDArray[np.float32], random: np.random.RandomState) -> NDArray[np.float64]:
    """Return how strongly each label of a study is drawn, from 0 (not at all) to 1."""
    chance, drawn = random.random_sample(raw_labels.shape), random.random_sample(raw_labels.shape)
    stated = np.where(chance < MISSED, 0.0, FAINTEST + (1 - FAINTEST) * drawn)
    uncertain = np.where(chance < UNCERTAIN_SHOWN, 0.15 + 0.4 * drawn, 0.0)
    absent = np.where(chance < OVERCALLED, 0.15 + 0.25 * drawn, 0.0)
    return np.where(raw_labels == 1, stated, np.where(raw_labels == -1, uncertain, absent))


def draw_chest(
    height: int, width: int, strengths: Mapping[str, float], random: np.random.RandomState, *, lateral: bool
) -> NDArray[np.uint8]:
    """Return one drawing that resembles a radiograph.

    Parameters
    ----------
    height, width : int
        The size of the image in pixels.
    strengths : {label: float in [0, 1]}
        How strongly each label is drawn.
    random : RandomState
        The generator of all variation.
    lateral : bool
        Whether the chest is seen from the side.

    Returns
    -------
    ndarray, shape (height, width), uint8
    """
    chest = Chest(
        height,
        width,
        random,
        lateral=lateral,
        heart=1 + HEART_GROWTH * strengths["Cardiomegaly"],
        mediastinum=1 + MEDIASTINUM_GROWTH * strengths["Enlarged Cardiomediastinum"],
    )
    for name, draw in SIGNS.items():
        if strengths[name] > 0:
            draw(chest, strengths[name])
    return _expose(chest)


def _expose(chest: Chest) -> NDArray[np.uint8]:
    """Return the drawing as a film would show it: uneven, of varied contrast, and noisy."""
    random = chest.random
    image = chest.image + 0.03 * chest.texture(3)
    image = np.clip(image, 0.02, None) ** np.float32(random.uniform(0.8, 1.25))
    image = image * np.float32(random.uniform(0.95, 1.35)) + np.float32(random.normal(0.02, 0.04))
    image += random.standard_normal(image.shape).astype(np.float32) * np.float32(random.uniform(0.02, 0.045))
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def _a_lung(chest: Chest) -> Lung:
    return chest.lungs[chest.random.randint(len(chest.lungs))]


def _within(chest: Chest, lung: Lung, low: float, high: float) -> tuple[float, float]:
    """Return a place in a lung, between two heights (-1 top, 1 bottom)."""
    x = lung.x + lung.half_width * chest.random.uniform(-0.25, 0.55) * lung.outward
    return x, lung.y + lung.half_height * chest.random.uniform(low, high)


def _lung_opacity(chest: Chest, strength: float) -> None:
    """Draw a hazy patch without an edge."""
    lung = _a_lung(chest)
    x, y = _within(chest, lung, -0.5, 0.7)
    cloud = chest.cloud(x, y, chest.random.uniform(0.16, 0.26), chest.random.uniform(0.18, 0.3))
    chest.image += np.float32(0.22 * strength + 0.04) * lung.mask * cloud


def _lung_lesion(chest: Chest, strength: float) -> None:
    """Draw one or two round nodules with an edge."""
    for _ in range(chest.random.randint(1, 3)):
        lung = _a_lung(chest)
        x, y = _within(chest, lung, -0.7, 0.5)
        radius = 0.055 + 0.055 * strength
        chest.image += np.float32(0.16 + 0.16 * strength) * lung.mask * chest.disc(x, y, radius, radius, 0.015)


def _edema(chest: Chest, strength: float) -> None:
    """Draw haze around both hila, and short lines at the sides."""
    for lung in chest.lungs:
        x = lung.x - 0.4 * lung.half_width * lung.outward
        haze = chest.cloud(x, lung.y + 0.12, 0.27, 0.38)
        grain = 1 + 0.25 * chest.texture(22)
        chest.image += np.float32(0.06 + 0.16 * strength) * lung.mask * haze * grain
        edge = lung.x + 0.8 * lung.half_width * lung.outward
        for line in range(3):
            y = lung.y + 0.3 + 0.07 * line
            line_drawn = chest.stroke([(edge - 0.1 * lung.outward, y), (edge, y)], 0.008)
            chest.image += np.float32(0.12 * strength) * lung.mask * line_drawn


def _consolidation(chest: Chest, strength: float) -> None:
    """Draw a dense patch that fills a part of a lobe down to a straight fissure."""
    lung = _a_lung(chest)
    x, y = _within(chest, lung, -0.45, 0.15)
    fissure = chest.soft(y + 0.1 + 0.15 * (chest.x - x) * lung.outward - chest.y, 0.015)
    patch = chest.disc(x, y, 0.24, 0.24, 0.06) * fissure
    chest.image += np.float32(0.1 + 0.22 * strength) * lung.mask * patch


def _pneumonia(chest: Chest, strength: float) -> None:
    """Draw a patchy infiltrate low in a lung, in which the airways stay dark."""
    lung = _a_lung(chest)
    x, y = _within(chest, lung, 0.35, 0.75)
    patches = np.clip(0.75 + 0.6 * chest.texture(14), 0, 1.6)
    cloud = chest.cloud(x, y, 0.2, 0.17) * patches
    root, tips = (x - 0.15 * lung.outward, y - 0.12), [(x + 0.1 * lung.outward, end) for end in (y, y + 0.1)]
    airways = chest.stroke([tips[0], root, tips[1]], 0.014)
    chest.image += np.float32(0.1 + 0.24 * strength) * lung.mask * cloud * (1 - 0.7 * airways)


def _atelectasis(chest: Chest, strength: float) -> None:
    """Draw plates of collapsed lung: bright lines that lie above the diaphragm."""
    lung = _a_lung(chest)
    for _ in range(chest.random.randint(2, 4)):
        x, y = _within(chest, lung, 0.3, 0.75)
        half, tilt = chest.random.uniform(0.1, 0.18), chest.random.uniform(-0.25, 0.25)
        plate = chest.stroke([(x - half, y - tilt * half), (x + half, y + tilt * half)], 0.016)
        chest.image += np.float32(0.08 + 0.2 * strength) * lung.mask * plate


def _pneumothorax(chest: Chest, strength: float) -> None:
    """Draw air beside the lung: a dark rim without vessels at apex and side, and the fine line of the pleura."""
    lung = _a_lung(chest)
    upper = chest.soft(lung.y + 0.35 - chest.y, 0.15)
    side = (chest.x - np.float32(lung.x)) * lung.outward / np.float32(lung.half_width)
    # the collapsed lung is a smaller copy, away from the wall and the apex
    apex = np.clip((lung.y - 0.1 - chest.y) / np.float32(lung.half_height), 0, None)
    inset = side * np.float32(1.0) + 0.75 * apex**2 - np.float32(1.0 - 0.45 * strength)
    rim = lung.mask * upper * chest.soft(inset, 0.03)
    line = np.exp(-((inset / np.float32(max(0.04, 0.7 * chest.pixel / lung.half_width))) ** 2)) * upper * lung.mask
    dark = np.float32(0.06)
    chest.image += rim * (dark - chest.image) * np.float32(0.5 + 0.4 * strength) + 0.14 * line


def _pleural_effusion(chest: Chest, strength: float) -> None:
    """Draw fluid that hides the angle at the base, with a level that climbs at the wall."""
    lungs = chest.lungs if chest.random.random_sample() < 0.35 else [_a_lung(chest)]
    for lung in lungs:
        side = (chest.x - np.float32(lung.x)) * lung.outward / np.float32(lung.half_width)
        level = lung.y + lung.half_height * (1.12 - 0.75 * strength)
        surface = np.float32(level) - 0.14 * np.clip(side, -1, 1.2) ** 3
        inside = chest.soft(0.25 * (1.25 - lung.depth), 0.03) * chest.soft(chest.base + 0.25 - chest.y, 0.05)
        fluid = chest.soft(chest.y - surface, 0.02) * inside
        chest.image = np.maximum(chest.image, fluid * np.float32(chest.random.uniform(0.5, 0.58)))


def _pleural_other(chest: Chest, strength: float) -> None:
    """Draw a thickened pleura: a bright, uneven seam along the wall of the chest."""
    lung = _a_lung(chest)
    side = (chest.x - np.float32(lung.x)) * lung.outward
    seam = np.exp(-(((lung.depth - 0.85) / np.float32(0.25 + 0.15 * strength)) ** 2)) * (side > 0)
    along = chest.cloud(lung.x + lung.outward * lung.half_width, lung.y + chest.random.uniform(-0.3, 0.3), 0.6, 0.4)
    chest.image += np.float32(0.2 + 0.36 * strength) * seam * along * np.clip(1 + 0.4 * chest.texture(12), 0.2, 2)


def _fracture(chest: Chest, strength: float) -> None:
    """Draw a rib that is broken: a gap, ends that do not meet, and bright callus around them."""
    random = chest.random
    outward = 1 if chest.lateral or random.random_sample() < 0.5 else -1
    x, wanted = outward * random.uniform(0.45, 0.72), random.uniform(-0.45, 0.25)
    # the nearest rib to the wanted height
    column = int(np.argmin(np.abs(chest.x[chest.x.shape[0] // 2] - x)))
    off_rib = np.abs(chest.rib_phase[:, column] - np.round(chest.rib_phase[:, column]))
    row = int(np.argmin(3 * off_rib + np.abs(chest.y[:, column] - wanted)))
    y = float(chest.y[row, column])
    step = (0.03 + 0.04 * strength) * random.choice((-1, 1))
    window = chest.disc(x, y, 0.1, 0.07, 0.01)
    chest.image -= np.float32(0.075) * chest.ribs * window
    ends = chest.stroke([(x - 0.11, y - 0.04 * outward - step), (x - 0.015, y - step)], 0.022)
    ends += chest.stroke([(x + 0.015, y + step), (x + 0.11, y + 0.04 * outward + step)], 0.022)
    callus = chest.cloud(x, y, 0.05, 0.05)
    chest.image += np.float32(0.08 + 0.14 * strength) * ends + np.float32(0.1 * strength) * callus


def _support_devices(chest: Chest, strength: float) -> None:
    """Draw tubes, catheters and electrodes: thin bright lines and dots."""
    random = chest.random
    bright = np.float32(0.16 + 0.24 * strength)
    kinds = random.permutation(3)[: random.randint(1, 4)]
    if 0 in kinds:  # tube in the windpipe
        x = random.normal(0.0, 0.015)
        chest.image += bright * chest.stroke([(x, -1.0), (x, random.uniform(-0.45, -0.25))], 0.014)
    if 1 in kinds:  # central venous catheter
        side = random.choice((-1, 1))
        bend = (0.07, -0.4) if chest.lateral else (-0.13, -0.35)
        tip = (bend[0], random.uniform(-0.1, 0.1))
        path = [(0.7 * side, -0.72), (0.3 * side, -0.6), (0.05 * side, -0.56), bend, tip]
        chest.image += bright * chest.stroke(path, 0.011)
    if 2 in kinds:  # electrodes with their wires
        for _ in range(random.randint(2, 4)):
            x, y = random.uniform(-0.7, 0.7), random.uniform(-0.4, 0.7)
            chest.image += bright * chest.disc(x, y, 0.035, 0.035, 0.01)
            wire = [(x, y), (x + random.uniform(-0.2, 0.2), y + 0.3), (random.uniform(-0.9, 0.9), 1.0)]
            chest.image += np.float32(0.7) * bright * chest.stroke(wire, 0.009)


# "No Finding" has no sign, and the size of heart and mediastinum is anatomy. Devices come last: they lie over the rest.
SIGNS: dict[str, Callable[[Chest, float], None]] = {
    "Lung Opacity": _lung_opacity,
    "Lung Lesion": _lung_lesion,
    "Edema": _edema,
    "Consolidation": _consolidation,
    "Pneumonia": _pneumonia,
    "Atelectasis": _atelectasis,
    "Pneumothorax": _pneumothorax,
    "Pleural Effusion": _pleural_effusion,
    "Pleural Other": _pleural_other,
    "Fracture": _fracture,
    "Support Devices": _support_devices,
}
