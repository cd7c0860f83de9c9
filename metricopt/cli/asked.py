"""How commands are told what to maximise: the name of an objective with a number, or a program in words.

This file decides these options. What the words mean is decided in :mod:`metricopt.problem.sentences`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricopt._validation import check_choice, reject
from metricopt.cli.saved_run import values_in
from metricopt.problem.objectives import Objective
from metricopt.problem.program import Program
from metricopt.problem.sentences import PROGRAM

if TYPE_CHECKING:
    import pandas as pd

Alpha = Annotated[float | None, typer.Option(help="The bound, in (0, 1], if the objective has one.")]
Beta = Annotated[float | None, typer.Option(help="For OFBS: how many times recall outweighs precision.")]
Maximize = Annotated[
    str | None,
    typer.Option(help="In place of --objective: the metric to maximise, such as recall, f1 or 'net_benefit(0.1)'."),
]
Minimize = Annotated[str | None, typer.Option(help="The metric to minimise, such as 'expected_cost(1, 10)'.")]
SubjectTo = Annotated[
    list[str] | None,
    typer.Option(
        help="A bound, such as 'precision >= 0.8' or 'recall >= 0.85 in every site', where site is a column. It can be "
        "repeated."
    ),
]
ProgramOfLabel = Annotated[
    list[str] | None,
    typer.Option(
        "--program",
        help="In place of --objective, where there are several labels: a program for one of them, such as 'edema: "
        "maximise recall subject to precision >= 0.8'. Give one for each.",
    ),
]
ThresholdPer = Annotated[
    str | None, typer.Option(help="A column (site): each of its values gets a threshold of its own.")
]


def objective_in_words(
    objective: str,
    alpha: float | None,
    beta: float | None,
    *,
    maximize: str | None,
    minimize: str | None,
    subject_to: list[str] | None,
    threshold_per: str | None = None,
) -> str:
    """Return the objective that a command was asked for: its name, or the sentence of a program.

    Raises
    ------
    InvalidInputError
        If a program cannot be read, or is mixed with ``alpha`` or ``beta``.
    """
    if maximize is None and minimize is None:
        if subject_to or threshold_per:
            given = "--subject-to" if subject_to else "--threshold-per"
            reject("maximize", f"given beside {given}", None, "add e.g. --maximize recall")
        return objective
    if alpha is not None or beta is not None:
        got = f"alpha={alpha}, beta={beta}"
        reject("alpha and beta", "left out beside --maximize", got, "write the number into --subject-to")
    return str(Program(maximize, subject_to or [], threshold_per, minimize=minimize))


def programs_in_words(programs: list[str], labels: Sequence[str], beside: Mapping[str, Any]) -> dict[str, str]:
    """Return the sentence of each label's program.

    Parameters
    ----------
    programs : list of str
        The name of a label, a colon and a sentence each.
    labels : sequence of str
        The label columns.
    beside : mapping of str to Any
        The other options that say what to maximise; one that is given is rejected.

    Raises
    ------
    InvalidInputError
        If a label has no program or two, or another option says what to maximise, too.
    """
    for option, value in beside.items():
        if value:
            remedy = "write it into the sentences, such as 'edema: maximise recall subject to precision >= 0.8'"
            reject(option, "left out beside --program", value, remedy)
    found: dict[str, str] = {}
    for text in programs:
        label, _, sentence = (part.strip() for part in text.partition(":"))
        remedy = f"give e.g. --program {labels[0] + ': ' + PROGRAM!r}"
        if not sentence:
            reject("program", "a label, a colon and a sentence", repr(text), remedy)
        check_choice("the label of a program", label, labels)
        if label in found:
            reject("program", "given once for each label", f"two for {label}", remedy)
        found[label] = sentence
    missing = [label for label in labels if label not in found]
    if missing:
        remedy = f"add e.g. --program {missing[0] + ': maximise f1'!r}"
        reject("program", "given for each label", f"none for {', '.join(missing)}", remedy)
    return found


def subgroups_in(frame: pd.DataFrame, objective: Objective) -> dict[str, list[str]] | None:
    """Return the columns of subgroups that an objective names, None where it names none."""
    return {name: values_in(frame, "subgroups", name) for name in objective.columns} or None
