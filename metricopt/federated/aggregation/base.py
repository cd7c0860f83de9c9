"""What every rule decides: which weights travel, what sites get back, and how strongly they are held to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from metricopt.federated.weights import Arrays


class Aggregation(ABC):
    r"""A rule by which the weights of sites become those that each goes on with.

    Attributes
    ----------
    proximal : float, >= 0
        The strength :math:`m` of the term :math:`\frac{m}{2} \|w - w_0\|^2` that holds a site's weights :math:`w` to
        those that it received, :math:`w_0`, while it trains.
    is_global : bool
        Whether all sites get the same.
    replaces_weights : bool
        Whether a site goes on from what it gets; if not, it goes on from its own weights.
    """

    proximal: float = 0.0
    is_global: bool = True
    replaces_weights: bool = True

    @property
    def name(self) -> str:
        """The name by which results speak of the rule."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"{self.name}()"

    def travelling(self, model: nn.Module) -> list[str]:
        """Return the names of the weights that leave a site; the others are personal."""
        return list(model.state_dict())

    @abstractmethod
    def combine(self, updates: Mapping[str, Arrays], num_rows: Mapping[str, int]) -> dict[str, Arrays]:
        """Return what each site gets.

        Parameters
        ----------
        updates : mapping of str to Arrays
            The weights of each site after its round, by the name of the site.
        num_rows : mapping of str to int
            How many training rows each site has.
        """

    def is_whole(self, model: nn.Module) -> bool:
        """Say whether the server ends with a model of its own: one for all sites, of which nothing is personal."""
        return self.is_global and set(self.travelling(model)) == set(model.state_dict())
