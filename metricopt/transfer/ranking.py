"""A ranking of candidates by their scores, with its table and its picture.

This file decides which candidate is the best and how a ranking is shown. It leaves the scores to
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
    """A network, or a place to cut it, with its scores.

    Attributes
    ----------
    name : str
        The name of the network or of the cut point.
    width : int
        The number of features.
    parameters : int
        The parameters of the network with a head of one output.
    scores : dict of str to float
        The scores by name, where higher is better. A score that could not be computed is NaN.
    seconds : dict of str to float
        The time that each score took.
    caveats : dict of str to tuple of str
        For each score, the reasons why it cannot be trusted or computed here. Most scores have none.
    """

    name: str
    width: int
    parameters: int
    scores: Mapping[str, float]
    seconds: Mapping[str, float]
    caveats: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class TransferRanking:
    """The ranking that :func:`~metricopt.transfer.rank_cuts` or :func:`~metricopt.transfer.rank_sources` returns.

    Attributes
    ----------
    what : str
        The kind of the candidates, ``"cut"`` or ``"source"``.
    candidates : tuple of Candidate
        The candidates with their scores.
    class_counts : dict of class to int
        The number of samples of each class that the scores were computed from.
    feature_seconds : float
        The time that the pass of the data took.
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
        """The number of samples of the rarest class, which limits how far all scores can be trusted."""
        return min(self.class_counts.values())

    def best(self, score: str | None = None) -> Candidate:
        """Return the candidate with the highest score, and of several equal ones that with the fewest parameters.

        Parameters
        ----------
        score : str, optional
            The score. By default the candidate with the lowest mean rank over all scores is returned.
        """
        if score is not None:
            check_choice("score", score, self.score_names)
        ranks = self._ranks()
        worth = -(ranks.mean(axis=1) if score is None else ranks[score])
        by_name = worth.fillna(-math.inf).to_dict()
        return max(self.candidates, key=lambda each: (by_name[each.name], -each.parameters))

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row for each candidate.

        Its columns are the width and the parameters; the value, the rank (1 is best) and the seconds of each score; the
        mean rank; and the caveats.
        """
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
        """Return Spearman's rank correlation between every two scores, over the candidates."""
        return self._values().corr(method="spearman")

    def seconds(self) -> dict[str, float]:
        """Return the time that each score took for all candidates. The pass of the data is not part of it."""
        return {score: sum(each.seconds[score] for each in self.candidates) for score in self.score_names}

    def plot(self, *, ax: Axes | None = None, title: str = "") -> Axes:
        """Draw every score over the candidates, scaled from its lowest value (0) to its highest (1), which is ringed.

        Parameters
        ----------
        ax : Axes, optional
            The axes to draw into. The default is those of a new figure.
        title : str
            The title of the picture.

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
        """Return the ranks, with a row for each candidate and a column for each score: 1 is best, ties are averaged."""
        return self._values().rank(ascending=False)

    def _values(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame([each.scores for each in self.candidates], index=[each.name for each in self.candidates])
