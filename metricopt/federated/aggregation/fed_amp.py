r"""FedAMP: each site has a model of its own, and is held to a mixture of all that resembles it.

The mixture of site k is

.. math::
    u_k = \xi_{kk} w_k + \sum_{j \ne k} \xi_{kj} w_j, \qquad
    \xi_{kj} = \frac{s}{K - 1} \, e^{-\|w_k - w_j\|^2 / (\sigma d)}, \qquad \xi_{kk} = 1 - \sum_{j \ne k} \xi_{kj}

with the mean squared distance d of all pairs, so that :math:`\sigma` has no unit, and :math:`s` the most that the
others weigh together. The site trains its own weights with the proximal term to :math:`u_k`.

Differs from the paper: there :math:`\xi_{kj} = \alpha A'(\|w_k - w_j\|^2)` with :math:`A(x) = 1 - e^{-x / \sigma}` and
step sizes :math:`\alpha` that must suit the size of the weights; here distances are relative, and the others' parts sum
to a number that is given.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from metricopt._validation import Faults, check_positive
from metricopt.federated.aggregation.base import Aggregation
from metricopt.federated.weights import Arrays, mean_of


class FedAMP(Aggregation):
    """Sites whose weights resemble each other learn most from each other; see the module's text.

    The server sees the weights of each site, so that sums of them alone (secure aggregation) are not enough.

    Parameters
    ----------
    proximal : float, > 0
        How strongly a site is held to its mixture.
    others : float, in (0, 1]
        What the other sites weigh together where all weights are alike.
    width : float, > 0
        The scale of the squared distance, relative to its mean over all pairs of sites.

    References
    ----------
    Y. Huang, L. Chu, Z. Zhou, L. Wang, J. Liu, J. Pei, Y. Zhang (2021). Personalized cross-silo federated learning on
    non-IID data. AAAI. Algorithm 1.
    """

    is_global = False
    replaces_weights = False

    def __init__(self, proximal: float = 0.1, others: float = 0.8, width: float = 1.0) -> None:
        check_positive("proximal", proximal)
        check_positive("width", width)
        faults = Faults()
        faults.check(0 < others <= 1, "others", "in (0, 1]", repr(others), "give e.g. 0.8")
        faults.raise_if_any()
        self.proximal, self.others, self.width = float(proximal), float(others), float(width)

    def __repr__(self) -> str:
        return f"FedAMP(proximal={self.proximal:g}, others={self.others:g}, width={self.width:g})"

    def combine(self, updates: Mapping[str, Arrays], num_rows: Mapping[str, int]) -> dict[str, Arrays]:
        parts = self.parts(list(updates.values()))
        return {site: mean_of(updates.values(), own) for site, own in zip(updates, parts, strict=True)}

    def parts(self, updates: list[Arrays]) -> np.ndarray:
        """Return what the weights of each site count in the mixture of each, shape (K, K); rows sum to 1."""
        flat = np.stack([_flat(each) for each in updates])
        flat -= flat.mean(axis=0)  # small numbers, so that their products keep the differences
        products = flat @ flat.T
        squares = np.maximum(np.add.outer(products.diagonal(), products.diagonal()) - 2 * products, 0.0)
        np.fill_diagonal(squares, 0.0)
        number = len(flat)
        mean = squares.sum() / max(number * (number - 1), 1)
        resemblance = np.exp(-squares / (self.width * mean)) if mean > 0 else np.ones_like(squares)
        parts = self.others / max(number - 1, 1) * resemblance
        np.fill_diagonal(parts, 0.0)
        np.fill_diagonal(parts, 1 - parts.sum(axis=1))
        return np.asarray(parts)


def _flat(weights: Arrays) -> np.ndarray:
    """Return all weights that are no whole numbers as one row."""
    moving = [array.ravel() for array in weights.values() if np.issubdtype(array.dtype, np.floating)]
    return np.concatenate(moving).astype(np.float64)
