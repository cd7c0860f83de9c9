"""FedProx: FedAvg, with a term that holds each site to the weights that it received."""

from __future__ import annotations

from metricopt._validation import check_positive
from metricopt.federated.aggregation.fed_avg import FedAvg


class FedProx(FedAvg):
    r"""Each site adds :math:`\frac{m}{2} \|w - w_0\|^2` to its loss, so that sites drift less far apart in a round.

    Parameters
    ----------
    proximal : float, > 0
        The strength :math:`m`.

    References
    ----------
    T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith (2020). Federated optimization in heterogeneous
    networks. MLSys. Algorithm 2.
    """

    def __init__(self, proximal: float = 0.01) -> None:
        check_positive("proximal", proximal)
        self.proximal = float(proximal)

    def __repr__(self) -> str:
        return f"FedProx(proximal={self.proximal:g})"
