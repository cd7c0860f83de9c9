"""Where results go: rows as CSV for machines and a Markdown page for people, written by a command, never by hand.

This file decides files and tables; it leaves what was measured to the suites.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

RESULTS = Path(__file__).parents[1] / "results"
RUNS = Path(__file__).parents[1] / "runs"
"""Where unfinished and quick runs are kept; not part of the repository."""


def write(
    name: str,
    title: str,
    command: str,
    rows: list[dict[str, Any]],
    tables: dict[str, pd.DataFrame],
    conclusions: Sequence[str] = (),
) -> Path:
    """Write ``results/<name>.csv`` with every row and ``results/<name>.md`` with the tables made of them.

    Parameters
    ----------
    name, title : str
    command : str
        What anyone can run to make the files again.
    rows : list of dict
    tables : dict of str to DataFrame
        Heading to table.
    conclusions : sequence of str
        What follows from the rows, computed from them.

    Returns
    -------
    Path
        The Markdown page.
    """
    RESULTS.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(RESULTS / f"{name}.csv", index=False)
    versions = ", ".join(f"{package} {version(package)}" for package in ("metricopt", "torch", "numpy", "scikit-learn"))
    parts = [f"# {title}", f"Written by `{command}` with Python {platform.python_version()}, {versions}."]
    if conclusions:
        parts += ["## What follows", "\n".join(f"- {sentence}" for sentence in conclusions)]
    for heading, table in tables.items():
        parts += [f"## {heading}", markdown(table)]
    page = RESULTS / f"{name}.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def markdown(table: pd.DataFrame) -> str:
    """Return a table, its index first, as Markdown; floats in three digits, nothing for NaN.

    Examples
    --------
    >>> print(markdown(pd.DataFrame({"recall": [0.25]}, index=["toy"])))
    |  | recall |
    |---|---|
    | toy | 0.250 |
    """
    lines = [
        "| " + " | ".join(["", *map(str, table.columns)]) + " |",
        "|" + "---|" * (len(table.columns) + 1),
    ]
    for name, row in table.astype(object).iterrows():  # so that counts stay counts
        head = ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)
        cells = ["" if cell != cell else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        lines.append("| " + " | ".join([head, *cells]) + " |")
    return "\n".join(lines)
