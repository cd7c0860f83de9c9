"""The command line: its commands by name, each of which has a file of its own.

Exit codes: 0 the bound is supported, or none was asked; 2 bad input; 3 the rows that choose do not support the bound;
4 the interval of the test rows lies wholly beyond it; 5 another process of the launch was lost. All files are written
in the cases 0, 3 and 4. In a launch of several processes the main one prints and writes.
"""

from __future__ import annotations

import gc
from importlib import metadata
from typing import Annotated

import typer

from metricopt.cli.federate_command import federate_command
from metricopt.cli.fit_command import demo_command, fit_command
from metricopt.cli.predict_command import predict_command
from metricopt.cli.rank_cuts_command import rank_cuts_command
from metricopt.cli.score_commands import certify_command, evaluate_command, threshold_command

app = typer.Typer(
    help="Train a classifier on the metric that you answer for: recall at a precision, precision at a recall, F-beta, "
    "average precision.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("fit")(fit_command)
app.command("predict")(predict_command)
app.command("threshold")(threshold_command)
app.command("evaluate")(evaluate_command)
app.command("certify")(certify_command)
app.command("federate")(federate_command)
app.command("demo")(demo_command)
app.command("rank-cuts")(rank_cuts_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"metricopt {metadata.version('metricopt')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    gc.freeze()  # what was imported lives to the end: to look for garbage in it takes a sixth of a short command's time
    app(prog_name="metricopt")
