"""Scores and labels for the losses, and the classes of each label counted by hand."""

import numpy as np
import torch

NUM_POSITIVES, NUM_NEGATIVES = (12, 90), (300, 30)


def training_labels():
    """Of two labels, the first with 8 and the second with 200 labels missing."""
    labels = np.full((320, 2), np.nan)
    for column, (positives, negatives) in enumerate(zip(NUM_POSITIVES, NUM_NEGATIVES, strict=True)):
        labels[:positives, column] = 1
        labels[positives : positives + negatives, column] = 0
    return labels


def batch(dtype=torch.float64, seed=0):
    """Scores and labels of shape (16, 2), each label with both classes and with gaps."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((16, 2)) < 0.4).astype(float)
    labels[0], labels[1] = 1, 0
    labels[2::5, 0] = labels[3::6, 1] = np.nan
    return torch.from_numpy(rng.normal(scale=3, size=(16, 2))).to(dtype), torch.from_numpy(labels).to(dtype)


def mean_by_hand(loss_of_one, scores, labels):
    """The mean of ``loss_of_one(score, label, column)`` over the labels that are there."""
    scores, labels = scores.numpy(), labels.numpy()
    cells = [(row, column) for row, column in np.ndindex(*labels.shape) if not np.isnan(labels[row, column])]
    return np.mean([loss_of_one(scores[cell], labels[cell], cell[1]) for cell in cells])
