"""The command line of the benchmarks: ``python -m benchmarks run SUITE`` and single studies; all write results."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.chexpert.command import compare
from benchmarks.data import describe
from benchmarks.peers import soap
from benchmarks.peers.published import published_figures
from benchmarks.reporting import files as results
from benchmarks.reporting.report import write_report
from benchmarks.running import runner
from benchmarks.running.cells import cells_of, skipped
from benchmarks.studies import (
    ablation,
    average_precision,
    backbones,
    certify,
    linear,
    mixtures,
    mnist,
    rank_cuts,
    resume,
    speed,
    toy,
    transfer_speed,
    transfusion,
)
from benchmarks.suites import SUITES, Suite
from metricopt.solvers import REGISTRY

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Measure metricopt; results go to benchmarks/results."
)
console = Console()

Quick = Annotated[bool, typer.Option("--quick", help="A small version, printed only.")]
Processes = Annotated[int, typer.Option(help="How many processes share the work.")]

app.command("chexpert")(compare)

Name = Annotated[str, typer.Argument(help=f"Which suite: {', '.join(SUITES)}.", metavar="SUITE")]
RUNS = Path(__file__).parent / "runs"


@app.command("run")
def run_suite(
    name: Name,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, always from the beginning.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what is finished of an earlier run.")] = False,
    processes: Processes = 2,
) -> None:
    """Run what is not finished of a suite, then write its report; killed, it goes on where it was."""
    suite = _suite(name).quick() if quick else _suite(name)
    if quick or fresh:
        _file_of(suite).unlink(missing_ok=True)
    failed = runner.run(suite.name, cells_of(suite), _file_of(suite), processes, Console(stderr=True))
    _report(suite, RUNS if quick else results.RESULTS)
    if failed:
        console.print(f"{len(failed)} cells failed; the same command tries them again", style="red")
        raise typer.Exit(1)


@app.command("report")
def report_suite(name: Name) -> None:
    """Write the report of a suite from what is finished, here or in the results that came with the code."""
    _report(_suite(name), results.RESULTS)


def _suite(name: str) -> Suite:
    if name not in SUITES:
        raise typer.BadParameter(f"must be one of {', '.join(SUITES)}, got {name!r}")
    return SUITES[name]


def _file_of(suite: Suite) -> Path:
    return RUNS / f"{suite.name}.jsonl"


def _report(suite: Suite, folder: Path) -> None:
    table, page = folder / f"{suite.name}.parquet", folder / f"{suite.name}.md"
    if _file_of(suite).exists():
        frame = pd.DataFrame(runner.rows_of(cells_of(suite), _file_of(suite)))
    elif table.exists():
        frame = pd.read_parquet(table)
    else:
        raise typer.BadParameter(
            f"nothing of {suite.name} is finished; begin with: python -m benchmarks run {suite.name}"
        )
    if frame.empty:
        raise typer.BadParameter(f"no cell of {suite.name} is finished yet")
    frame.to_parquet(table, index=False)
    write_report(
        frame,
        suite.title,
        f"python -m benchmarks run {suite.name}",
        {method: f"{', '.join(packages)} not installed" for method, packages in skipped(suite).items()},
        page,
        datasets=describe(suite.datasets),
        published=published_figures(),
    )
    console.print(f"Written to {page}")


@app.command("toy")
def run_toy(quick: Quick = False, processes: Processes = 2) -> None:
    """Train the Rath-Hughes toy problem, where the global optimum is known."""
    jobs = [partial(toy.run_one, *case) for case in toy.cases(seeds=1 if quick else 5)]
    rows = _run_all(jobs, processes)
    frame = pd.DataFrame(rows)
    table = frame.groupby(["solver", "bound", "batch"]).agg(
        runs=("seed", "size"), at_optimum=("at_optimum", "sum"), seconds=("seconds", "max")
    )
    tables = {"Runs": table, "Published, at a precision of .9": published_figures()}
    _finish("toy", "Rath-Hughes toy problem: recall at a precision, linear model", rows, tables, quick)
    if not quick:
        toy.picture().savefig(results.RESULTS / "toy.png", dpi=110)


@app.command("mixtures")
def run_mixtures(quick: Quick = False, processes: Processes = 2, batch_size: int = 256) -> None:
    """Train on random 2-D mixtures and compare with the global optimum."""
    num_problems = {"FPOR": 100, "FROP": 50, "F1": 50}
    jobs = [
        partial(mixtures.run_one, seed, name, batch_size)
        for name, number in num_problems.items()
        for seed in range(4 if quick else number)
    ]
    rows = _run_all(jobs, processes)
    table = (
        pd.DataFrame(rows)
        .groupby("objective")
        .agg(
            problems=("gap", "size"),
            at_optimum=("gap", lambda gap: int((gap < 1e-9).sum())),
            mean_gap=("gap", lambda gap: f"{gap.mean():.5f}"),
            largest_gap=("gap", "max"),
            cross_entropy_at_optimum=("cross_entropy_gap", lambda gap: int((gap < 1e-9).sum())),
            cross_entropy_mean_gap=("cross_entropy_gap", "mean"),
            seconds=("seconds", "mean"),
        )
    )
    _finish("mixtures", "Random 2-D mixtures: gap to the global optimum of linear models", rows, {"Gaps": table}, quick)


@app.command("linear")
def run_linear(quick: Quick = False, processes: Processes = 2, batch_size: int = 256) -> None:
    """Train linear models on real sets: training metric against cross-entropy and sigmoid relaxations."""
    datasets = ("yeast3",) if quick else linear.DATASETS
    jobs = [
        partial(linear.run_one, dataset, split, batch_size)
        for dataset in datasets
        for split in range(1 if quick else linear.NUM_SPLITS)
    ]
    rows = [row for part in _run_all(jobs, processes) for row in part]
    title = "Linear models: the objective reached on the training data"
    _finish("linear", title, rows, {"Mean over splits": linear.summary(rows)}, quick)


@app.command("ablation")
def run_ablation(quick: Quick = False, processes: Processes = 2) -> None:
    """Train with every solver and every kind of link: metric reached, bound, agreement of slacks and model, seconds."""
    datasets = ("yeast3",) if quick else ablation.DATASETS
    jobs = [
        partial(ablation.run_one, dataset, split)
        for split in range(1 if quick else ablation.NUM_SPLITS)
        for dataset in datasets
    ]
    rows = [row for part in _run_all(jobs, processes) for row in part]
    title = "What ties slacks to scores: links, anchors, multipliers and penalties on linear models"
    # One split and one set lack the variants that the conclusions speak of.
    _finish("ablation", title, rows, ablation.tables(rows), quick, () if quick else ablation.conclusions(rows))


@app.command("average_precision")
def run_average_precision(quick: Quick = False, processes: Processes = 2) -> None:
    """Train linear models on average precision, judged on the training data, beside a sigmoid and LibAUC's SOAP."""
    jobs = [
        partial(average_precision.run_one, dataset, split)
        for dataset in (("yeast3",) if quick else average_precision.DATASETS)
        for split in range(1 if quick else average_precision.NUM_SPLITS)
    ]
    rows = [row for part in _run_all(jobs, processes) for row in part]
    title = "Linear models: average precision on training data"
    if soap.missing():
        title += f" (without SOAP, not installed: {', '.join(soap.missing())})"
    _finish("average_precision", title, rows, average_precision.summaries(rows), quick)


@app.command("mnist")
def run_mnist(quick: Quick = False, processes: Processes = 2) -> None:
    """Train heads on frozen features of a rare digit: ImageNet against random weights, cuts, direct training."""
    epochs = 10 if quick else mnist.NUM_EPOCHS
    jobs = [partial(mnist.run_one, split, epochs) for split in range(1 if quick else mnist.NUM_SPLITS)]
    rows = [row for part in _run_all(jobs, processes) for row in part]
    title = "A rare digit (not medical): transfer, truncation and direct training on frozen features"
    _finish("mnist", title, rows, mnist.tables(rows), quick, mnist.conclusions(rows))


@app.command("speed")
def run_speed(quick: Quick = False) -> None:
    """Time a step and an exact threshold against what they build on; one thread."""
    rows = speed.run(quick)
    table = pd.DataFrame(rows).set_index("what")
    _finish("speed", "Speed: ratios within one run, one thread", rows, {"Ratios": table}, quick)
    if not all(row["within_budget"] for row in rows):
        raise typer.Exit(1)


@app.command("transfer_speed")
def run_transfer_speed(quick: Quick = False) -> None:
    """Time the transferability scores on one core, beside the published algorithms."""
    rows = transfer_speed.run(quick)
    title = "Transferability scores: seconds of one core, beside the published algorithms"
    _finish("transfer_speed", title, rows, {"Scores": pd.DataFrame(rows).set_index("what")}, quick)
    if not all(row["within_budget"] for row in rows):
        raise typer.Exit(1)


@app.command("backbones")
def run_backbones(
    quick: Quick = False,
    repeats: Annotated[int, typer.Option(help="How many rounds of timings.", min=1)] = 60,
    threads: Annotated[int, typer.Option(help="Of torch; more than one need cores of their own.", min=1)] = 1,
) -> None:
    """Count and time transferred and truncated networks, beside what was published of them."""
    repeats = 5 if quick else repeats
    rows = backbones.run(repeats, threads)
    title = "Truncated and transferred networks: parameters, multiply-accumulates, CPU latency"
    said = backbones.conclusions(rows, repeats, threads)
    _finish("backbones", title, rows, backbones.tables(rows), quick, said)
    console.print(said[0], soft_wrap=True)
    if not backbones.is_within_budget(rows):
        raise typer.Exit(1)


@app.command("certify")
def run_certify(quick: Quick = False, processes: Processes = 2) -> None:
    """Count how often certified bounds fail on new data, and check metrics at another prevalence by resampling."""
    rows = [row for part in _run_all(certify.jobs(quick), processes) for row in part]
    title = "Certified thresholds and metrics at another prevalence"
    _finish("certify", title, rows, certify.tables(rows), quick, certify.conclusions(rows))
    if not certify.is_sound(rows):
        raise typer.Exit(1)


@app.command("transfusion")
def run_transfusion(quick: Quick = False, processes: Processes = 2) -> None:
    """Train a network that keeps its lowest k pretrained blocks, and see which blocks make training faster."""
    steps = 20 if quick else transfusion.NUM_STEPS
    jobs = [
        partial(transfusion.run_one, kept, seed, steps)
        for seed in range(2 if quick else transfusion.NUM_SEEDS)
        for kept in transfusion.STARTS
    ]
    rows = _run_all(jobs, processes)
    title = "Weight transfusion: which pretrained blocks make training faster (a rare digit, not medical)"
    _finish("transfusion", title, rows, transfusion.tables(rows), quick, transfusion.conclusions(rows))


@app.command("rank_cuts")
def run_rank_cuts(quick: Quick = False, processes: Processes = 2) -> None:
    """Rank the cuts of a network by transferability scores, train the head of each, and see which scores were right."""
    rows = [row for part in _run_all(rank_cuts.jobs(quick), processes) for row in part]
    title = "Where to cut, without training: transferability scores beside trained heads (a rare digit, not medical)"
    _finish("rank_cuts", title, rows, rank_cuts.tables(rows), quick, rank_cuts.conclusions(rows))


@app.command("resume")
def run_resume(quick: Quick = False, processes: Processes = 2) -> None:
    """Kill trainings with every solver at random moments, resume them, and compare with runs that were left alone."""
    whole = _run_all([partial(resume.run_whole, solver) for solver in REGISTRY], processes)
    jobs = [
        partial(resume.run_killed, solver, kill, *known)
        for solver, known in zip(REGISTRY, whole, strict=True)
        for kill in range(2 if quick else 20)
    ]
    rows = _run_all(jobs, processes)
    table = (
        pd.DataFrame(rows)
        .groupby("solver")
        .agg(
            kills=("was_killed", "sum"),
            while_a_file_was_written=("while_writing", "sum"),
            resumed_from_step=("resumed_from_step", lambda steps: f"{steps.min()} to {steps.max()}"),
            of_steps=("steps", "max"),
            identical=("identical", "sum"),
        )
    )
    title = "Checkpoints: training killed (kill -9) at random moments and resumed, compared bit for bit"
    _finish("resume", title, rows, {"Kills": table}, quick)
    if not all(row["identical"] for row in rows):
        raise typer.Exit(1)


def _run_all(jobs: Iterable[Callable[[], Any]], processes: int) -> list[Any]:
    """Run the jobs in processes of their own, in order, with progress."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(job) for job in jobs]
        progress = track(as_completed(futures), total=len(futures), console=Console(stderr=True))
        for future in progress:
            future.result()  # a failed job ends the run at once
    return [future.result() for future in futures]


def _finish(
    name: str,
    title: str,
    rows: list[dict[str, Any]],
    tables: dict[str, pd.DataFrame],
    quick: bool,
    conclusions: Sequence[str] = (),
) -> None:
    for heading, table in tables.items():
        console.print(f"\n[bold]{title}[/bold] - {heading}\n")
        console.print(results.markdown(table), soft_wrap=True)
    if not quick:
        page = results.write(name, title, f"python -m benchmarks {name}", rows, tables, conclusions)
        console.print(f"\nWritten to {page}")


if __name__ == "__main__":
    app()
