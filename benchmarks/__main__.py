"""The command line of the benchmarks: ``python -m benchmarks run SUITE`` and single studies; all write results."""

from __future__ import annotations

import typer

from benchmarks.chexpert.command import compare
from benchmarks.studies import (
    ablation,
    average_precision,
    backbones,
    certify,
    compact_heads,
    device,
    evidence,
    evidence_programs,
    federated,
    fine_tuning,
    first_intercept,
    frozen_features,
    linear,
    mixtures,
    mnist,
    networks,
    programs,
    programs_tables,
    rank_cuts,
    regrouping,
    resume,
    score_evidence,
    speed,
    spots,
    subgroup_evidence,
    subgroup_training,
    toy,
    transfer_speed,
    transfusion,
)
from benchmarks.studies.study import command_of, name_of
from benchmarks.suites.command import report_suite, run_suite

STUDIES = (
    toy,
    mixtures,
    programs,
    programs_tables,
    subgroup_evidence,
    subgroup_training,
    linear,
    ablation,
    average_precision,
    mnist,
    spots,
    regrouping,
    frozen_features,
    first_intercept,
    compact_heads,
    networks,
    fine_tuning,
    speed,
    device,
    transfer_speed,
    backbones,
    certify,
    evidence,
    evidence_programs,
    score_evidence,
    transfusion,
    rank_cuts,
    resume,
    federated,
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Measure metricopt; results go to benchmarks/results."
)
app.command("chexpert")(compare)
app.command("run")(run_suite)
app.command("report")(report_suite)
for study in STUDIES:
    app.command(name_of(study))(command_of(study))

if __name__ == "__main__":
    app()
