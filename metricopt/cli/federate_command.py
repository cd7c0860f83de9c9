"""The command that runs a federation of a project, on this machine or on those that NVIDIA FLARE connects.

This file decides its arguments, and what it prints and writes. It leaves the run to :mod:`metricopt.federated.runs`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from metricopt._validation import reject
from metricopt.cli.running import NOT_SUPPORTED, PROCESS_LOST, bad_input, claim, fail
from metricopt.cli.score_commands import Overwrite
from metricopt.cli.written import is_supported


def federate_command(
    project: Annotated[Path, typer.Argument(help="A Python file with the functions new_server() and new_site(name).")],
    out: Annotated[Path, typer.Option(help="Folder for the model, report.html, summary.txt and what each side keeps.")],
    sites: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME,...",
            help="The names of the sites, each of which is then a process on this machine.",
        ),
    ] = "",
    startup_kit: Annotated[
        Path | None,
        typer.Option(help="The folder that NVIDIA FLARE's provisioning made for you: run on the machines it connects."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(help="Seconds that a question waits for the answer of a site; the round goes on without it."),
    ] = 600.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run that stopped was, in the same --out.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train one model on the rows of several sites, which share weights and counts and never rows.

    The exit code is 0 where the held-out rows support the bound, 2 for bad input, 3 where they do not support it, 5
    where too few sites answered or the run stopped for another reason.

    For example: metricopt federate hospitals.py --sites north,south,west --out runs/hospitals
    """
    with bad_input():
        from metricopt.federated.folder import MODEL
        from metricopt.federated.runs import FederationStoppedError, simulate, submit

        claim(out, overwrite or resume)
        names = [name.strip() for name in sites.split(",") if name.strip()]
        try:
            if startup_kit is None:
                found = simulate(project, names, out, timeout=timeout, resume=resume)
            else:
                if names:
                    reject("sites", "left out with --startup-kit", sites, "all that are connected take part")
                found = submit(project, startup_kit, out, timeout=timeout, resume=resume)
        except FederationStoppedError as error:
            fail(str(error), PROCESS_LOST)
        found.result.save(out / MODEL)
        found.report(out / "report.html")
        (out / "summary.txt").write_text(found.summary() + "\n", encoding="utf-8")
    console = Console(highlight=False)
    console.print(escape(found.summary()), soft_wrap=True)
    console.print(f"Written: {escape(str(out))}: report.html, summary.txt, model", soft_wrap=True)
    if not is_supported(found.result):
        raise typer.Exit(NOT_SUPPORTED)
