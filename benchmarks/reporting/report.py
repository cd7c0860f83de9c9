"""The report of a suite: one Markdown page with pictures beside it, made of the rows alone.

This file decides what is shown and in which order; the statistics are those of :mod:`benchmarks.reporting.statistics`,
the pictures those of :mod:`benchmarks.reporting.pictures`. Comparisons use complete pairs, so that a run that is not
finished can be reported, too: the page says how much of it is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.reporting import delivered, pictures, statistics
from benchmarks.reporting.comparison import (
    ALL_SETS,
    DELIVERED,
    NET,
    REFERENCE,
    SCORES,
    Comparison,
    ends_of,
    reference_of,
)
from benchmarks.reporting.files import markdown
from benchmarks.reporting.rules import by_rule, of_default_rule
from benchmarks.reporting.statistics import Interval, Ranking
from benchmarks.running.rules import DEFAULT

_CELL = ["model", "objective", "dataset", "split", "method"]


def write_report(
    frame: pd.DataFrame,
    suite_title: str,
    command: str,
    skipped: Mapping[str, str],
    out: Path,
    *,
    datasets: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
) -> Path:
    """Write the page and, in a folder of its name beside it, the pictures.

    Parameters
    ----------
    frame : DataFrame
        A row per (dataset, split, model, objective, method), at least one. Of a method with several rules for its
        threshold there is a row for each of them; the one of the default rule stands among the other methods.
    suite_title : str
    command : str
        What anyone can run to get the rows again.
    skipped : dict of str to str
        Peer that was not run, and why.
    out : Path
        The page, ``results/tables.md``; its pictures go to ``results/tables/``.
    datasets : DataFrame, optional
        About the data sets, indexed by name; those without any row count as missing.
    published : DataFrame, optional
        Figures of others that were not measured here.

    Returns
    -------
    Path
        The page.
    """
    all_rules, frame = frame, of_default_rule(frame)
    comparisons = [
        Comparison(model, objective, rows)
        for (model, objective), rows in frame.groupby(["model", "objective"], sort=False)
    ]
    folder = out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"# {suite_title}", _origin(frame, command), _missing(frame, datasets)]
    parts += ["## What follows", _what_follows(comparisons)]
    parts += ["## How to read it", _READING]
    for model in dict.fromkeys(frame["model"]):
        of_model = [each for each in comparisons if each.model == model]
        parts.append(f"## Model: {model}")
        parts += _pictures_of_differences(model, of_model, folder)
        for comparison in of_model:
            parts += _section(comparison, folder)
    rules = by_rule(all_rules)
    if len(rules):
        parts += ["## By rule", _ABOUT_RULES, markdown(rules)]
    parts += [
        "## Seconds",
        "Mean per data set and split, all settings together; one training for several objectives is shared out.",
        markdown(_seconds(frame)),
    ]
    if datasets is not None:
        parts += ["## Data", markdown(datasets)]
    if skipped:
        parts += ["## Not run", "\n".join(f"- {name}: {reason}" for name, reason in skipped.items())]
    if published is not None:
        parts += ["## Published figures on the Rath-Hughes toy problem, not measured here", markdown(published)]
    out.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return out


_READING = """\
- Scores: the best value on the test curve that meets the bound, 0 where nothing does. It places the cut with test
  labels, by the same rule for every method, so it says how good the scores are, not what a user gets.
- Deployed: at the threshold that was chosen without test rows, once. Methods named "folds" train on training and
  validation rows together, one model a fold, and choose it on out-of-fold scores by the library's default rule; peers
  with tuned thresholds train on the same rows and choose as they do. "auto" is `DirectMetricClassifier(model="auto")`
  with its own defaults on the same rows: the best of a linear model, an MLP, boosting and the mean of the last two. All
  others train on the training rows and take the best cut of the validation rows. MAPIE certifies thresholds for the
  scores of cross-entropy, with a confidence of .9 that is nominal here: the validation rows chose epoch and learning
  rate, too. Resampled tables have longer epochs, so fewer of them are selected from.
- Alarms raised: in how many trials (data set and split) there is an alarm on the test rows. Met given raised: in how
  many of these the bound holds there; where recall is bounded, silence is a miss and stays in.
- Delivered: the value where the bound holds on the test rows, 0 where it is missed or no alarm is raised.
- Net value, for a bound a on precision: (TP - a / (1 - a) FP) / P. A bound that is met with nothing to spare is worth 0
  like silence, a violation less than 0. For a bound on recall: the precision, less (a P - TP) / ((1 - a) P) where
  recall is below the bound; silence is worth -a / (1 - a).
- Shortfall: how far the bounded metric is below its bound, 0 where it is met. Silence has none where precision is
  bounded, and the whole bound where recall is.
- Sets met, splits pooled: on how many data sets the bound holds when the counts of all splits are added up, of those
  with an alarm.
- Intervals are at 95 %. Within a data set: t over splits, paired; splits overlap, so "corrected" has them as long as
  Nadeau and Bengio (2003) ask for, and verdicts go by the plain ones. Over the suite: t over data sets, which
  speaks of further ones; "paired over splits" is t over the splits, which speaks of these data sets alone; "bootstrap"
  draws data sets, then splits.
- Ranks: of the means over splits within every data set, ties averaged; bars join methods that Nemenyi's test at 5 %
  does not tell apart. p: Wilcoxon over data sets against the direct method, Holm-corrected."""


_ABOUT_RULES = f"""\
The same scores of the same trainings, with the threshold chosen on out-of-fold scores by one rule or another; the
tables above have "{DEFAULT}". Means over data sets of means over splits; alarms and bounds met are of all trials
together."""


def _what_follows(comparisons: list[Comparison]) -> str:
    if not any(each.direct for each in comparisons):
        return f"Nothing about direct optimization: no row is of a direct method beside {REFERENCE}."
    table = markdown(glance(comparisons))
    return table + "\n\n" + "\n".join(f"- {sentence}" for each in comparisons for sentence in conclusions(each))


def glance(comparisons: list[Comparison]) -> pd.DataFrame:
    """Return a line for every model, objective and direct method: ahead by how much, where, and its places.

    The reference of a method is cross-entropy with thresholds from the same rows.
    """
    lines = {}
    for each in comparisons:
        for method in each.direct:
            intervals = each.intervals(method)
            suite = intervals.pop(ALL_SETS)
            verdicts = [interval.verdict for interval in intervals.values()]
            line = {
                "scores minus reference": str(suite),
                "above / below / sets": f"{verdicts.count('above')} / {verdicts.count('below')} / {len(verdicts)}",
            }
            reference = reference_of(method)
            of_splits = statistics.between_splits(statistics.differences(each.curve, method, reference))
            line["paired over splits"] = ends_of(of_splits)
            for name, values in (("net", each.net), ("delivered", each.delivered)):
                ahead = statistics.between_datasets(statistics.differences(values, method, reference))
                line[f"{name} minus reference"] = str(ahead)
            for name, heading in ((SCORES, "place of scores"), (NET, "of net"), (DELIVERED, "of delivered")):
                ranking = each.rankings.get(name)
                if ranking is not None and method in ranking.mean_ranks:
                    line[heading] = f"{ranking.place(method)} of {len(ranking.mean_ranks)}"
            lines[each.model, each.objective, method] = line
    return pd.DataFrame.from_dict(lines, orient="index").fillna("")


def conclusions(comparison: Comparison) -> Iterator[str]:
    """Yield what follows for every direct method, where it loses as well."""
    for method in comparison.direct:
        reference = reference_of(method)
        intervals = comparison.intervals(method)
        suite = intervals.pop(ALL_SETS)
        if not intervals:
            yield f"**{comparison.title}**: no split has both {method} and {reference} yet."
            continue
        bootstrap = statistics.hierarchical_bootstrap(statistics.differences(comparison.curve, method, reference))
        parts = [
            f"**{comparison.title}**: {method} minus {reference}, test {comparison.metric} of the scores: "
            f"{suite} over {len(intervals)} data sets{_bracket(bootstrap)}"
        ]
        for verdict in ("above", "below"):
            names = [name for name, interval in intervals.items() if interval.verdict == verdict]
            parts.append(
                f"significantly {verdict} on {len(names)}"
                + (f" ({', '.join(names)})" if verdict == "below" and names else "")
            )
        worse = [name for name, interval in intervals.items() if interval.mean < 0]
        parts.append(f"lower in the mean on {len(worse)}" + (f" ({', '.join(worse)})" if worse else ""))
        sentences = ["; ".join(parts) + "."]
        for what, ranking in comparison.rankings.items():
            if method in ranking.mean_ranks:
                sentences.append(_about_rank(what, ranking, method))
        if comparison.bounded:
            sentences.append(_about_bound(comparison, method))
        yield " ".join(sentence for sentence in sentences if sentence)


def _bracket(bootstrap: Interval) -> str:
    return "" if math.isnan(bootstrap.low) else f" (bootstrap [{bootstrap.low:+.4f}, {bootstrap.high:+.4f}])"


def _about_rank(what: str, ranking: Ranking, method: str) -> str:
    number = len(ranking.mean_ranks)
    best = str(ranking.mean_ranks.index[0])
    text = f"{what.split(':')[0].capitalize()}: mean rank {ranking.mean_ranks[method]:.2f}, place "
    text += f"{ranking.place(method)} of {number}"
    if ranking.place(method) > 1:
        differs = "significantly behind" if ranking.differ(method, best) else "not significantly different from"
        text += f", {differs} {best} ({ranking.mean_ranks.iloc[0]:.2f})"
    elif reference_of(method) in ranking.mean_ranks:
        reference = reference_of(method)
        differs = "significantly before" if ranking.differ(method, reference) else "not significantly different from"
        text += f", {differs} {reference} ({ranking.mean_ranks[reference]:.2f})"
    return text + "."


def _about_bound(comparison: Comparison, method: str) -> str:
    rows = comparison.rows
    raised = comparison.over_trials(delivered.alarms_raised(rows))
    met = comparison.over_trials(delivered.met_given_raised(rows)).reindex(raised.index, fill_value=0.0)
    short, value = (comparison.over_sets(of(rows)) for of in (delivered.shortfall, delivered.delivered))
    each = [
        f"{name} in {met[name]:.0%} of the {raised[name]:.0%} of trials with alarms "
        f"(delivered {value[name]:.3f}, shortfall {short[name]:.3f})"
        for name in (method, reference_of(method))
        if name in raised
    ]
    return f"{comparison.bounded.capitalize()} bound met on test: {', '.join(each)}." if each else ""


def _origin(frame: pd.DataFrame, command: str) -> str:
    packages = [name for name in ("python", "metricopt", "torch", "numpy", "scikit-learn") if name in frame]
    versions = [f"{name} {' and '.join(map(str, frame[name].dropna().unique()))}" for name in packages]
    took = f"Training took {_duration(frame['seconds'].sum())} of one core."
    return f"Written by `{command}` with {', '.join(versions)}. {took}"


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _missing(frame: pd.DataFrame, datasets: pd.DataFrame | None) -> str:
    """Say how much was run: every method on every data set and split, where its model and objective were begun."""
    asked = set(frame["dataset"]) | set(() if datasets is None else datasets.index)
    splits = frame["split"].nunique()
    num_methods = len(frame[["model", "objective", "method"]].drop_duplicates())
    expected, found = len(asked) * splits * num_methods, len(frame[_CELL].drop_duplicates())
    text = f"{found} cells: {len(asked)} data sets, {splits} {'split' if splits == 1 else 'splits'}."
    if found < expected:
        text += f" **{expected - found} of {expected} cells are missing**; comparisons use complete pairs only."
    return text


def _pictures_of_differences(model: str, comparisons: list[Comparison], folder: Path) -> list[str]:
    parts = []
    for method in dict.fromkeys(method for each in comparisons for method in each.direct):
        panels = {each.objective: each.intervals(method) for each in comparisons if method in each.direct}
        title = f"{model}: {method} minus {reference_of(method)}, quality of the scores on test"
        parts.append(_save(pictures.differences(panels, title), folder, f"{model} {method} differences", title))
    return parts


def _save(figure: Any, folder: Path, name: str, title: str) -> str:
    """Write a picture; return the line that shows it."""
    file = "_".join("".join(letter if letter.isalnum() else " " for letter in name).split()) + ".png"
    # No date and no version of the library in the file: the same rows give the same bytes.
    figure.savefig(folder / file, dpi=130, metadata={"Software": None})
    return f"![{title}]({folder.name}/{file})"


def _section(comparison: Comparison, folder: Path) -> list[str]:
    title, metric = comparison.title, comparison.metric
    parts = [f"### {title}", comparison.summary, "Scores.", markdown(comparison.scores_overview())]
    parts += ["Deployed, on test rows.", markdown(comparison.delivered_overview())]
    if comparison.rankings:
        ranks = pictures.critical_differences(comparison.rankings, comparison.families, f"{title}: mean ranks")
        parts.append(_save(ranks, folder, f"{title} ranks", f"{title}: mean ranks"))
    points = comparison.points()
    if comparison.bounded and len(points) > 1:
        picture = pictures.pareto(
            points,
            f"mean shortfall of {comparison.bounded} on test (better: left)",
            f"mean {metric} on test (better: up)",
            f"{title}: objective and violation at the deployed threshold, mean over data sets",
        )
        parts.append(_save(picture, folder, f"{title} pareto", f"{title}: objective and violation"))
    parts += [f"Scores: {metric} on the test curve, best in bold.", markdown(comparison.scores())]
    for method in comparison.direct:
        against = f"Scores: {method} minus {reference_of(method)}, paired by split."
        parts += [against, markdown(comparison.paired(method))]
    shown = f"delivered {metric}"
    if comparison.bounded:
        shown += f" / {comparison.bounded} of all splits pooled / splits that meet the bound, of those with alarms"
    parts += [f"Deployed, by data set: {shown}; best delivered in bold.", markdown(comparison.delivered_by_set())]
    return parts


def _seconds(frame: pd.DataFrame) -> pd.DataFrame:
    table = frame.pivot_table(index="method", columns=["model", "objective"], values="seconds", sort=False)
    table.columns = [", ".join(names) for names in table.columns]
    return table.map(lambda seconds: "" if math.isnan(seconds) else f"{seconds:.1f}")
