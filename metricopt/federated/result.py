"""What a federation leads to: one threshold for all sites, and what all held-out rows testify of it.

A :class:`~metricopt.FitResult` speaks of rows. Here they are those that histograms stand for, each at the worst end of
its bin, so that what it says of a bound holds for the true rows as well (:mod:`metricopt.federated.histograms`).

This file decides how histograms become results. It leaves thresholds, statuses and texts to
:mod:`metricopt.results.result`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.reports import Report
from metricopt.evidence.saved_numbers import with_nan, without_nan
from metricopt.evidence.subgroups import SubgroupColumn, read_column
from metricopt.federated.choosing import SITE
from metricopt.federated.histograms import PseudoRows
from metricopt.federated.message import Message, under
from metricopt.federated.task import Task
from metricopt.results.history import History
from metricopt.results.result import FitResult, result_from_scores
from metricopt.results.scores import DataScores
from metricopt.results.versions import versions_of

ALL_SITES = "all sites"


@dataclass(frozen=True)
class Testimony:
    """What sites told of the model that was chosen.

    Attributes
    ----------
    train, held_out : dict of str to ndarray, shape (L, 2, B), int64
        The histograms by the name of the site, or one of all together.
    train_edges, held_out_edges : ndarray, shape (L, B + 1)
    sites : tuple of str
        The sites that testified.
    history : sequence of dict
    selected_stage : str
        Which round the weights come from.
    seconds : float
    """

    train: Mapping[str, np.ndarray]
    train_edges: np.ndarray
    held_out: Mapping[str, np.ndarray]
    held_out_edges: np.ndarray
    sites: tuple[str, ...]
    history: Sequence[Mapping[str, Any]]
    selected_stage: str
    seconds: float

    def for_sites(self, *, is_summed: bool) -> Testimony:
        """Return what a site is told of the others: sums alone, unless a bound speaks of every site."""
        if not is_summed:
            return self
        train, held_out = ({ALL_SITES: np.sum(list(counts.values()), axis=0)} for counts in (self.train, self.held_out))
        return Testimony(
            train,
            self.train_edges,
            held_out,
            self.held_out_edges,
            self.sites,
            self.history,
            self.selected_stage,
            self.seconds,
        )

    def to_message(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays and words of a message."""
        arrays = {"train_edges": self.train_edges, "held_out_edges": self.held_out_edges}
        words = {
            "sites": list(self.sites),
            "history": [without_nan(dict(record)) for record in self.history],
            "selected_stage": self.selected_stage,
            "seconds": self.seconds,
        }
        counts = under("train", dict(self.train)) | under("held_out", dict(self.held_out))
        return under("testimony", arrays | counts), {"testimony": words}

    @classmethod
    def from_message(cls, message: Message) -> Testimony:
        """Return what :meth:`to_message` put into a message."""
        arrays = Message("", message.under("testimony"))
        words = dict(message.info["testimony"])
        return cls(
            arrays.under("train"),
            arrays.arrays["train_edges"],
            arrays.under("held_out"),
            arrays.arrays["held_out_edges"],
            tuple(words.pop("sites")),
            [with_nan(record) for record in words.pop("history")],
            **words,
        )


def result_of(model: nn.Module | None, task: Task, testimony: Testimony) -> FitResult:
    """Return the result for a model, by the rows that histograms stand for.

    Parameters
    ----------
    model : Module or None
        None where each site has a model of its own, and nobody all of them.
    task : Task
    testimony : Testimony
    """
    held_out = f"the held-out rows of {_listed(testimony.sites)}, by histograms of their scores"
    return result_from_scores(
        model,
        task.objective,
        {
            "train": _rows("train", testimony.train, testimony.train_edges, task),
            "validation": _rows("validation", testimony.held_out, testimony.held_out_edges, task),
        },
        label_names=task.label_names,
        diverged=False,
        confidence=task.confidence,
        holdout=held_out,
        baseline_name="",
        history=History(dict(record) for record in testimony.history),
        selected_stage=testimony.selected_stage,
        solver=task.solver.name,
        seconds=testimony.seconds,
        versions=versions_of(["metricopt", "torch"]),
    )


def _rows(data: str, counts: Mapping[str, np.ndarray], edges: np.ndarray, task: Task) -> DataScores:
    scores, labels, sites = PseudoRows.of(counts, edges, "worst").one_by_one()
    return DataScores(data, scores, None, labels, None, subgroups=_column(task, sites))


def _column(task: Task, sites: np.ndarray) -> dict[str, SubgroupColumn]:
    return {SITE: read_column(SITE, sites, len(sites), strict=False)} if task.objective.columns else {}


def _listed(sites: Sequence[str]) -> str:
    """Name some sites.

    Examples
    --------
    >>> _listed(["north"]), _listed(["north", "south", "west"]), _listed([f"s{k}" for k in range(9)])
    ('north', '3 sites (north, south, west)', '9 sites')
    """
    if len(sites) == 1:
        return sites[0]
    return f"{len(sites)} sites" + (f" ({', '.join(sites)})" if len(sites) <= 5 else "")


@dataclass(frozen=True)
class FederatedResult:
    """What the server ends with.

    Attributes
    ----------
    result : FitResult
        The model of all sites with the global threshold, and what all held-out rows testify. Its ``model`` is None
        where each site keeps weights of its own.
    sites : Report
        What the threshold reaches on all held-out rows and, in its ``subgroups``, on those of each site.
    log : list of dict
        What sites refused, missed or were told, by round.
    rounds : int
        How many rounds trained.
    num_bytes : int
        How many bytes all messages had, both ways.
    """

    result: FitResult
    sites: Report
    log: Sequence[Mapping[str, Any]]
    rounds: int
    num_bytes: int

    @classmethod
    def of(cls, model: nn.Module | None, task: Task, testimony: Testimony, **rest: Any) -> FederatedResult:
        """Return the result by the testimony of each site; ``rest`` are the remaining attributes."""
        result = result_of(model, task, testimony)
        scores, labels, sites = PseudoRows.of(testimony.held_out, testimony.held_out_edges, "worst").one_by_one()
        report = evaluate(
            scores,
            labels,
            result.thresholds,
            task.objective,
            label_names=task.label_names,
            data="held-out rows",
            by=sites,
            subgroups=_column(task, sites),
        )
        return cls(result, report, **rest)

    @property
    def history(self) -> History:
        """A record for each round and label."""
        return self.result.history

    def met_at(self) -> dict[str, bool]:
        """Return at which sites every label's bound holds on the held-out rows; a label without a bound counts as met.

        A site at which a bounded metric is undefined, as precision is without alarms, counts as one where it does not.
        """
        return {site: all(label.met is not False for label in report) for site, report in self.sites.subgroups.items()}

    def summary(self) -> str:
        """Return the summary of the result, with a line for each site and for what went wrong."""
        lines = [self.result.summary(), "", f"Sites, after {self.rounds} rounds and {self.num_bytes:,} bytes:"]
        for site, report in self.sites.subgroups.items():
            lines += [f"  {site}: {text}" for text in str(report).splitlines()[1:]]
        lines += [f"  {entry_in_words(entry)}" for entry in self.log]
        return "\n".join(lines)

    def report(self, path: str | Path) -> Path:
        """Write one HTML page: the result, with a line for each site.

        Parameters
        ----------
        path : str or Path
            The file; one that exists is replaced.
        """
        return self.result.report(path, self.sites, notes=[entry_in_words(entry) for entry in self.log])


def entry_in_words(entry: Mapping[str, Any]) -> str:
    """Return an entry of the log in words."""
    when = "before training" if entry["round"] < 0 else f"in round {entry['round'] + 1}"
    return f"{entry['site']}, {when} ({entry['kind']}): {entry['what']}"
