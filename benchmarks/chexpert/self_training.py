"""Uncertain findings as a model sees them: the policy U-SelfTrained of Irvin et al. (2019).

A network is trained with cross-entropy on the training rows whose finding is certain. Its probabilities then say what
the uncertain training rows count as. Uncertain rows that select, choose thresholds or test stay missing.

Differs from the paper: there the probabilities themselves are the targets. Counts of right and wrong alarms need labels
that are 0 or 1, so each uncertain label is drawn once with its probability, the same for every method.

References
----------
J. Irvin et al. (2019). CheXpert: a large chest radiograph dataset with uncertainty labels and expert comparison. AAAI.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch.utils.data import DataLoader

import metricopt
from benchmarks.chexpert.request import Request
from metricopt.data import CheXpertImages, CheXpertTable, soft_targets
from metricopt.scoring.forward import score_loader


def drawn_labels(
    request: Request, table: CheXpertTable, train: CheXpertImages, validation: CheXpertImages, seed: int
) -> NDArray[np.float32]:
    """Return the labels of the training rows, those of uncertain findings drawn with a model's probabilities.

    Parameters
    ----------
    request : Request
    table : CheXpertTable
        The rows of ``train``.
    train, validation : CheXpertImages
        Their uncertain labels are missing.
    seed : int
        Of the model and of the draws.

    Returns
    -------
    ndarray, shape (n, L), float32
        0, 1 or NaN (missing).
    """
    model = request.make_model(seed)
    metricopt.fit(
        model,
        DataLoader(train, request.batch_size, shuffle=True),
        "OAP",
        label_names=request.labels,
        val_loader=DataLoader(validation, request.batch_size),
        eval_dataset=train.without_augmentation(),
        solver="cross_entropy",
        epochs=request.epochs,
        learning_rate=request.learning_rate,
        seed=seed,
        progress=False,
    )
    loader = DataLoader(train.without_augmentation(), request.batch_size)
    scores, _ = score_loader(model, loader, torch.device("cpu"), len(request.labels))
    targets = soft_targets(table, request.policy, probabilities=expit(scores))
    drawn = np.random.default_rng(seed).random(targets.shape) < targets
    return np.where(np.isnan(targets), targets, drawn).astype(np.float32)
