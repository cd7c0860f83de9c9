"""Candidates with their scores side by side: table, agreement and picture.

This file decides which candidate is the best and how a ranking looks. It leaves scores to
:mod:`metricopt.transfer.selection`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metricopt._validation import check_choice

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Okabe and Ito (2008): told apart by colour-blind readers; in grey print by line and marker.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_LINES, _MARKERS = ("-", "--", "-.", ":"), ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True)
class Candidate:
    """A network, or a place to cut it, and what the scores say of it.

    Attributes
    ----------
    name : str
    width : int
        Of its features.
    parameters : int
        Of the network with a head of one output.
    scores : dict of str to float
        Higher is better; NaN where one could not be computed.
    seconds : dict of str to float
        That each score took.
    caveats : dict of str to tuple of str
        Why a score cannot be trusted here, or computed; empty for most.
    """

    name: str
    width: int
    parameters: int
    scores: Mapping[str, float]
    seconds: Mapping[str, float]
    caveats: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class TransferRanking:
    """What :func:`~metricopt.transfer.rank_cuts` and :func:`~metricopt.transfer.rank_sources` found.

    Attributes
    ----------
    what : str
        ``"cut"`` or ``"source"``.
    candidates : tuple of Candidate
    class_counts : dict of class to int
        Of the samples that everything was computed from.
    feature_seconds : float
        That the pass of the data took.
    """

    what: str
    candidates: tuple[Candidate, ...]
    class_counts: Mapping[Hashable, int]
    feature_seconds: float

    @property
    def score_names(self) -> list[str]:
        """The names of the scores, in their order."""
        return list(self.candidates[0].scores)

    @property
    def num_positives(self) -> int:
        """How many samples the rarest class had, which is what limits all scores."""
        return min(self.class_counts.values())

    def best(self, score: str | None = None) -> Candidate:
        """Return the candidate that a score puts first; of several, the one with the fewest parameters.

        Parameters
        ----------
        score : str, optional
            By default the candidate with the lowest mean rank over all scores.
        """
        if score is not None:
            check_choice("score", score, self.score_names)
        ranks = self._ranks()
        worth = -(ranks.mean(axis=1) if score is None else ranks[score])
        by_name = worth.fillna(-math.inf).to_dict()
        return max(self.candidates, key=lambda each: (by_name[each.name], -each.parameters))

    def to_frame(self) -> pd.DataFrame:
        """Return a row a candidate: width, parameters; value, rank (1 is best) and seconds of each score; caveats."""
        import pandas as pd

        ranks = self._ranks()
        rows = []
        for each in self.candidates:
            row: dict[str, Any] = {self.what: each.name, "width": each.width, "parameters": each.parameters}
            row |= each.scores
            row |= {f"{score}_rank": ranks.loc[each.name, score] for score in each.scores}
            row |= {f"{score}_seconds": each.seconds[score] for score in each.scores}
            said = [f"{score}: {caveat}" for score, caveats in each.caveats.items() for caveat in caveats]
            rows.append({**row, "mean_rank": ranks.loc[each.name].mean(), "caveats": "; ".join(said)})
        return pd.DataFrame(rows)

    def agreement(self) -> pd.DataFrame:
        """Return Spearman's rank correlation over the candidates between every two scores."""
        return self._values().corr(method="spearman")

    def seconds(self) -> dict[str, float]:
        """Return the time of each score over all candidates; the pass of the data, which they share, comes on top."""
        return {score: sum(each.seconds[score] for each in self.candidates) for score in self.score_names}

    def plot(self, *, ax: Axes | None = None, title: str = "") -> Axes:
        """Draw every score over the candidates, each from its lowest value (0) to its highest (1), which is ringed.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; a new figure by default.
        title : str

        Returns
        -------
        Axes
            ``.figure.savefig("ranking.png")`` writes the picture.
        """
        names = [each.name for each in self.candidates]
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(2.5 + max(3.5, 0.35 * len(names)), 4.6), layout="constrained").subplots()
        for number, score in enumerate(self.score_names):
            values = [each.scores[score] for each in self.candidates]
            known = [value for value in values if not math.isnan(value)]
            low, spread = min(known), (max(known) - min(known)) or 1.0
            heights = [(value - low) / spread for value in values]
            color, marker = _COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)]
            # Cuts follow each other; between networks a line would mean nothing.
            line = _LINES[number % len(_LINES)] if self.what == "cut" else "None"
            label = f"{score} ({low:.3g} to {max(known):.3g})"
            look: dict[str, Any] = {"linestyle": line, "marker": marker, "markersize": 4, "color": color}
            ax.plot(names, heights, **look, label=label, zorder=2)
            best = names.index(self.best(score).name)
            ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": color, "zorder": 3}
            ax.plot(best, heights[best], "o", markersize=10 + 3 * number, **ring)
        ax.tick_params(axis="x", rotation=90, labelsize="small")
        ax.set(xlabel=self.what, ylabel="score, lowest to highest")
        ax.set_title(title, fontsize="medium")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=2, frameon=False, fontsize="small")
        return ax

    def _ranks(self) -> pd.DataFrame:
        """Return a row a candidate, a column a score: 1 is best, equal ones share their mean rank."""
        return self._values().rank(ascending=False)

    def _values(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame([each.scores for each in self.candidates], index=[each.name for each in self.candidates])
