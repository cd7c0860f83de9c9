"""A small problem for the explicit-slack solvers, and how tests drive them through it."""

import numpy as np
import torch

from metricopt.solvers.exact_penalty import ExactPenalty
from metricopt.solvers.lagrangian import AugmentedLagrangian, Lagrangian

SOLVERS = [Lagrangian, AugmentedLagrangian, ExactPenalty]
NUM_STEPS = 30


def problem(num_rows=60, num_labels=1, seed=0, has_missing=False):
    """Scores that tell the classes apart a little; every label has both classes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((num_rows, num_labels)) < 0.3).astype(np.float32)
    labels[0], labels[1] = 1, 0
    scores = (labels + rng.normal(size=labels.shape)).astype(np.float32)
    if has_missing:
        labels[5::7, 0] = np.nan
    return scores, labels


def started(solver, objective, scores, labels, weight=None, stage=0, num_steps=NUM_STEPS):
    """The solver at the first step of a stage, its slacks at the predictions that the scores make."""
    solver.prepare(objective, labels, weight)
    solver.start(solver.stages(200)[stage], num_steps)
    solver.refresh(scores, labels, weight)
    return solver


def loss_and_gradient(solver, scores, labels, weight=None, index=None):
    """The loss of a batch, of all samples without an index, and its derivatives in the scores."""
    index = np.arange(len(labels)) if index is None else index
    batch = torch.from_numpy(np.array(scores[index])).requires_grad_()
    own = None if weight is None else torch.from_numpy(np.array(weight[index])).float()
    loss = solver.loss(batch, torch.from_numpy(labels[index]), own, torch.from_numpy(index))
    (gradient,) = torch.autograd.grad(loss, batch)
    return loss.item(), gradient.numpy()


def train(solver, scores, labels, num_steps, weight=None, seed=7, batch_size=20):
    """Let the scores themselves descend in random batches with repeated rows; return all that was seen on the way."""
    rng, scores, trail = np.random.default_rng(seed), scores.copy(), []
    for number in range(num_steps):
        index = rng.integers(0, len(labels), batch_size)
        loss, gradient = loss_and_gradient(solver, scores, labels, weight, index)
        solver.step()
        np.subtract.at(scores, index, gradient)
        if number % 5 == 4:
            solver.refresh(scores, labels, weight)
        multiplier = solver.multiplier()
        seen = [loss, gradient.tolist(), solver.slacks().tolist(), None if multiplier is None else multiplier.tolist()]
        trail.append(seen)
    return trail, scores
