"""The best cut of every label, in torch: for scores that lie on an accelerator and should stay there.

It is the twin of :mod:`metricopt.problem.cuts` for training, without confidence. Nothing here waits for a number on the
host.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metricopt.problem.objectives import CountObjective
from metricopt.problem.ratios import Counts

CELLS_AT_ONCE = 4_000_000


@torch.no_grad()
def best_cuts(
    scores: Tensor, labels: Tensor, weight: Tensor | None, objective: CountObjective
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the exact threshold of each label, the value that it reaches, and whether the label has both classes.

    Parameters
    ----------
    scores, labels, weight : Tensor, shape (n, L)
        Labels are 0, 1 or NaN (missing); the weight may be None.
    objective : CountObjective
        With one bound over all rows, or none.

    Returns
    -------
    threshold, value, is_judged : Tensor, shape (L,)
        As :func:`metricopt.choose_threshold` chooses them.
    """
    num_labels = scores.shape[1]
    # Each label by its own bound, or as many together as memory allows.
    beside = 1 if isinstance(objective.bound, tuple) else max(CELLS_AT_ONCE // max(len(scores), 1), 1)
    singles, found = objective.for_labels(num_labels), []
    for first in range(0, num_labels, beside):
        own, single = slice(first, first + beside), singles[first]
        assert isinstance(single, CountObjective)
        found.append(_best(scores[:, own], labels[:, own], None if weight is None else weight[:, own], single))
    threshold, value, is_judged = (torch.cat(each) for each in zip(*found, strict=True))
    return threshold, value, is_judged


def _best(
    scores: Tensor, labels: Tensor, weight: Tensor | None, objective: CountObjective
) -> tuple[Tensor, Tensor, Tensor]:
    exact = torch.float32 if scores.device.type == "mps" else torch.float64
    present = ~labels.isnan()
    if weight is not None:
        present &= weight > 0
    worth = present.to(exact) if weight is None else torch.where(present, weight.to(exact), 0)
    lowest = torch.full_like(scores[:1], -torch.inf)
    ordered, order = torch.where(present, scores, -torch.inf).sort(dim=0, descending=True)
    positives, negatives = (
        torch.cat([torch.zeros_like(worth[:1]), torch.where(labels == kind, worth, 0).gather(0, order).cumsum(dim=0)])
        for kind in (1, 0)
    )  # the first cut raises no alarm
    all_positives, all_negatives = positives[-1], negatives[-1]
    flagged = torch.cat([torch.full_like(lowest, torch.inf), ordered])
    below = torch.cat([ordered, lowest])
    is_cut = (flagged != below) & (flagged > -torch.inf)
    counts = Counts(positives, negatives, all_positives - positives, all_negatives - negatives)
    value, bounded = _known(objective.value(counts)), objective.bounded_value(counts)
    safety = (
        torch.zeros_like(value)
        if bounded is None
        else _known(bounded if objective.bound_direction == "min" else -bounded)
    )
    feasible = objective.feasible(counts) & is_cut
    is_feasible = feasible.any(dim=0)
    candidates = torch.where(is_feasible, feasible, is_cut)
    for first, second in ((value, safety), (safety, value)):  # where a cut is feasible, and where none is
        key = torch.where(is_feasible, first, second)
        held = torch.where(candidates, key, -torch.inf)
        candidates = candidates & (held == held.max(dim=0).values)
    places = torch.arange(len(value), device=scores.device).unsqueeze(1)
    place = torch.where(candidates, places, len(value) - 1).min(dim=0).values.unsqueeze(0)  # the highest threshold
    upper, lower = flagged.gather(0, place)[0], below.gather(0, place)[0]
    middle = upper / 2 + lower / 2
    threshold = torch.where((lower < middle) & (middle <= upper), middle, upper)
    nothing = torch.nextafter(lower, torch.full_like(lower, torch.inf))
    threshold = torch.where(upper == torch.inf, nothing, threshold)
    return threshold, value.gather(0, place)[0], (all_positives > 0) & (all_negatives > 0)


def _known(values: Tensor) -> Tensor:
    """Return values with minus infinity where they are undefined."""
    return torch.where(values.isnan(), -torch.inf, values)
