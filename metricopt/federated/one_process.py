"""A whole federation in one process, without an engine: for tests, for benchmarks and to try things out.

This file decides how questions reach sites that are objects beside the server.
"""

from __future__ import annotations

from collections.abc import Sequence

from metricopt._validation import reject
from metricopt.federated.result import FederatedResult
from metricopt.federated.server import Server
from metricopt.federated.site import Site


def federate(server: Server, sites: Sequence[Site]) -> FederatedResult:
    """Let a server ask sites in this process until it is finished, and return its result.

    Parameters
    ----------
    server : Server
        One that has gone some way is taken further.
    sites : sequence of Site
        Of different names. Each holds a result of its own afterwards.

    Raises
    ------
    InvalidInputError
        If two sites have the same name.
    TooFewSitesError
        If too few of them can take part.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> from metricopt.federated import Server, Site
    >>> def rows(seed):
    ...     x = torch.rand(400, 1, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    ...     return DataLoader(TensorDataset(x, (x[:, 0] > 0.5).float()), batch_size=50, shuffle=True)
    >>> def new_model():
    ...     return torch.nn.Linear(1, 1)
    >>> server = Server(new_model(), "FPOR", alpha=0.8, rounds=12)
    >>> found = federate(server, [Site("north", new_model, rows(0)), Site("south", new_model, rows(1))])
    >>> found.result.status, found.met_at()
    (<Status.FEASIBLE: 'feasible'>, {'north': True, 'south': True})
    """
    by_name = {site.name: site for site in sites}
    if len(by_name) < len(sites):
        names = [site.name for site in sites]
        reject("sites", "of different names", names, "give each site a name of its own")
    while not server.finished:
        questions = server.questions(list(by_name))
        server.receive({name: by_name[name].answer(question) for name, question in questions.items()})
    return server.result
